"""Where the sign changes: session lengths and dwell times at which one way begins to cost more than another."""

from __future__ import annotations

from dataclasses import replace

from sojourn.evaluation.models.anchors import anchors_at_handover
from sojourn.evaluation.models.mobility import Behaviour
from sojourn.evaluation.models.numerics import crossing

SHORTEST, LONGEST = 0.1, 30 * 86_400.0
"""Seconds between which break-evens are looked for: a tenth of a second and a month."""
AGAINST_CENTRAL = {"relay": 1.0, "proxy": 1.0, "direct": 2.0, "locator": 1.0}
"""n_HO at which a mode needs the 4 messages of PMIPv6: 2 + 2 n = 4, 2 n = 4, 1 + 3 n = 4."""


def session_break_even(behaviour: Behaviour, mode: str) -> float | None:
    """Mean session length in seconds above which `mode` (RFC 8885 as drawn) sends more messages than PMIPv6.

    Solves n_HO(S / D, S / I) = 1 (2 for direct) for S; None where no length between `SHORTEST` and `LONGEST` does.
    """
    limit = AGAINST_CENTRAL[mode]

    def surplus(session: float) -> float:
        one = replace(behaviour, session=session)
        return anchors_at_handover(one.kappa, one.rho) - limit

    return crossing(surplus, SHORTEST, LONGEST)


def dwell_break_even(behaviour: Behaviour, mode: str) -> float | None:
    """Mean dwell time in seconds below which `mode` sends more messages than PMIPv6; None where none does.

    As n_HO never is above rho, there is none while a node has fewer than 1 (2) sessions at a time.
    """
    limit = AGAINST_CENTRAL[mode]

    def surplus(dwell: float) -> float:
        one = replace(behaviour, dwell=dwell)
        return anchors_at_handover(one.kappa, one.rho) - limit

    return crossing(surplus, SHORTEST, LONGEST)


def nodes_per_core(messages_per_node_second: float, seconds_per_message: float) -> float:
    """Nodes whose signalling keeps one processor busy: 1 / (rate x time)."""
    return 1 / (messages_per_node_second * seconds_per_message)
