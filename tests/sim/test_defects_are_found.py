"""The checkers can find something: engines with a defect planted in them do not get through eighty seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sim.episode import play
from sojourn.core.effects import EnsureUplink, StoreBinding, WithdrawPrefix
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_session import Presence
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.retransmission import Retransmission

SEEDS = 80
Plant = Callable[[pytest.MonkeyPatch], None]


def without(role: Any, effect: type) -> Plant:
    """The role never asks for this effect."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for name in ("handle", "expire", "restore"):
            whole = getattr(role, name)

            def lacking(self: Any, *arguments: Any, whole: Any = whole) -> list[Any]:
                return [each for each in whole(self, *arguments) if not isinstance(each, effect)]

            patch.setattr(role, name, lacking)

    return plant


def once_only(patch: pytest.MonkeyPatch) -> None:
    """What is lost is never sent again."""
    patch.setattr(Retransmission, "due", lambda self, key, now: self._outstanding.pop(key, None) and None)


def retires_in_vain(patch: pytest.MonkeyPatch) -> None:
    """A router keeps what the CMD said is over."""
    patch.setattr(MobilityAnchorAccessRouter, "_on_retirement_answered", lambda *_: None)


def instead(role: Any, name: str, method: Any) -> Plant:
    """One method of the role is another."""
    return lambda patch: patch.setattr(role, name, method)


def moves_once(patch: pytest.MonkeyPatch) -> None:
    """A later notice does not move the tunnel of a node that is away already."""
    whole = MobilityAnchorAccessRouter._give_up

    def stubborn(self: Any, session: Any, *more: Any) -> None:
        if session.presence is not Presence.AWAY:
            whole(self, session, *more)

    patch.setattr(MobilityAnchorAccessRouter, "_give_up", stubborn)


DEFECTS: dict[str, Plant] = {
    "a route stays": without(MobilityAnchorAccessRouter, WithdrawPrefix),
    "no way back to the anchor": without(MobilityAnchorAccessRouter, EnsureUplink),
    "nothing is sent again": once_only,
    "a retired prefix stays": retires_in_vain,
    "a tunnel does not follow": moves_once,
    "nothing retires": instead(MobilityAnchorAccessRouter, "_ask_to_retire", lambda *_: None),
    "nobody is probed": instead(MobilityAnchorAccessRouter, "_probe", lambda *_: None),
    "nothing refused is repaired": instead(MobilityAnchorAccessRouter, "_on_effect_failed", lambda *_: None),
    "a node has no cap": instead(CentralMobilityDatabase, "_limit", lambda *_: []),
    "previous routers are not told": instead(CentralMobilityDatabase, "_tell_moved", lambda *_, **__: None),
    "a router stores nothing": without(MobilityAnchorAccessRouter, StoreBinding),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    DEFECTS[defect](monkeypatch)
    assert any(play(seed).faults for seed in range(SEEDS))
