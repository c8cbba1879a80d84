"""Where the sign changes: how much longer sessions, or shorter stays, make a way send more messages than PMIPv6."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.evaluation.models.numerics import crossing

AtHandover = Callable[[float, float], float]
"""n_HO when sessions are so many times as long, and stays so many times as long, as they are."""

AGAINST_CENTRAL = {"relay": 1.0, "proxy": 1.0, "locator": 1.0, "direct": 2.0, "host": 2.0}
"""n_HO at which a way needs the 4 messages of PMIPv6: 2 + 2 n = 4, 1 + 3 n = 4, 2 n = 4."""
_FARTHEST = 1e4
"""Factors are looked for from 1 / 10,000 to 10,000."""


def session_factor(at_handover: AtHandover, way: str) -> float | None:
    """How many times as long sessions have to be for `way` (as its RFC draws it) to send as much as PMIPv6; longer,
    more.

    Solves n_HO(x, 1) = 1, or 2. None where no factor does.
    """
    limit = AGAINST_CENTRAL[way]
    return crossing(lambda factor: at_handover(factor, 1.0) - limit, 1 / _FARTHEST, _FARTHEST)


def stay_factor(at_handover: AtHandover, way: str) -> float | None:
    """How many times as long stays have to be for `way` to send as much as PMIPv6; shorter, more. None where none does.

    As n_HO never is above the sessions that a node has at a time, there is none where these are fewer than 1 (2).
    """
    limit = AGAINST_CENTRAL[way]
    return crossing(lambda factor: at_handover(1.0, factor) - limit, 1 / _FARTHEST, _FARTHEST)


def nodes_per_core(messages_per_node_second: float, seconds_per_message: float) -> float:
    """Nodes whose signalling keeps one processor busy: 1 / (rate x time)."""
    return 1 / (messages_per_node_second * seconds_per_message)
