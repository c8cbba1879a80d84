"""What the fault simulation and readers found in routers that stand in for others (`maar_stand_in`, `maar_holders`)."""

from __future__ import annotations

import pytest
from test_survival import GONE, away, dark, leads

from sojourn.core.effects import EnsureTunnel
from sojourn.engines.configuration import Mode
from sojourn.wire import BindingUpdate, HomeNetworkPrefix, MobilityMessage, ServingMaar
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import Domain, node, router

BOTH = pytest.mark.parametrize(("mode", "cmds"), [(Mode.PROXY, 1), (Mode.DIRECT, 0)])


def _twice(first: str, partners: dict[str, str], mode: Mode, cmds: int) -> tuple[Domain, list[Prefix]]:
    """A node that came from `first` by ar1 to ar4, and its prefixes of these two."""
    each = Domain(mode, 4, cmds=cmds, partners=partners)
    each.attach("mn1", first)
    each.run(1 * SECOND)
    for old, new in ((first, "ar1"), ("ar1", "ar4")):
        each.roam("mn1", old, new)
        each.run(2 * SECOND)
    return each, [each.own(first, "mn1"), each.own("ar1", "mn1")]


class _Losing:
    """Of what ar4 tells ar3 of prefixes, only the last prefix arrives, until it is `over`."""

    def __init__(self, each: Domain, last: Prefix) -> None:
        self.over = False
        self.lost = 0
        self._last = last
        each.lose = self

    def __call__(self, source: str, destination: str, message: MobilityMessage) -> bool:
        if self.over or (source, destination) != ("ar4", "ar3") or not isinstance(message, BindingUpdate):
            return False
        prefixes = [option.prefix for option in message.all(HomeNetworkPrefix)]
        lost = message.first(ServingMaar) is not None and self._last not in prefixes
        self.lost += lost
        return lost


@BOTH
@pytest.mark.parametrize("arrives", [0, 1])
def test_two_anchors_with_one_partner_are_two_requests(mode: Mode, cmds: int, arrives: int) -> None:
    """The later one replaced the earlier one, which nobody repeated when it was lost."""
    each, prefixes = _twice("ar2", {"ar1": "ar3", "ar2": "ar3"}, mode, cmds)
    losing = _Losing(each, prefixes[arrives])
    dark(each, "ar1")
    dark(each, "ar2")
    each.run(GONE)
    assert losing.lost
    losing.over = True
    each.run(5 * SECOND)
    for prefix in prefixes:
        assert leads(each, prefix) == ["ar3", "ar4"]


def test_a_router_that_is_an_anchor_and_holds_the_pool_of_another_one_hears_both() -> None:
    """After it began anew it is told both at once."""
    each, prefixes = _twice("ar3", {"ar1": "ar3"}, Mode.PROXY, 1)
    dark(each, "ar1")
    each.run(GONE)
    losing = _Losing(each, prefixes[0])
    each.restart("ar3", store=True)
    each.run(2 * SECOND)
    assert losing.lost
    losing.over = True
    each.run(5 * SECOND)
    for prefix in prefixes:
        assert leads(each, prefix) == ["ar3", "ar4"]


def test_two_prefixes_that_end_one_after_the_other_are_both_forgotten_by_who_holds_them() -> None:
    """The later word replaced the earlier one."""
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    stand = each.maar("ar3").survival.standing[router(1)]  # type: ignore[union-attr]
    assert own in stand.entries
    ar2 = each.maar("ar2")
    session = ar2.sessions[node("mn1")]
    other = Prefix(own.address[:7] + b"\x77" + bytes(8), 64)
    session.anchored[other] = router(1)
    ar2._release_at(session, [own], router(1), router(3))
    ar2._release_at(session, [other], router(1), router(3))
    request = ar2._requests.get(("release", node("mn1"), router(3), router(1)))
    assert request is not None
    assert [option.prefix for option in request.update.all(HomeNetworkPrefix)] == [own, other]
    each.run(100 * MILLISECOND)


def test_a_tunnel_to_whom_nothing_leads_any_more_is_there_after_the_kernel_refused_it() -> None:
    """Found by the simulation: only tunnels of prefixes that were held at that moment were asked for again."""
    each, own = away()
    dark(each, "ar1")
    each.run(GONE)
    partner = each.members["ar3"]
    partner.refuses = lambda effect: isinstance(effect, EnsureTunnel) and effect.remote == router(4)
    each.roam("mn1", "ar2", "ar4")
    each.roam("mn1", "ar4", "ar2")
    partner.refuses = None
    each.run(3 * SECOND)
    stand = each.maar("ar3").survival.standing[router(1)]  # type: ignore[union-attr]
    assert router(4) in stand.slots
    assert set(stand.slots.values()) <= each.plane("ar3").state.slots.keys()
    assert leads(each, own) == ["ar3", "ar2"]


def test_a_node_of_a_dead_router_that_moves_before_anybody_knows_keeps_its_prefix() -> None:
    """Its partner was asked before it held the pool, and named nothing; nobody asked it again."""
    each = Domain(Mode.DIRECT, 4, cmds=0, partners={"ar1": "ar3"})
    each.attach("mn1", "ar1")
    each.run(1 * SECOND)
    own = each.own("ar1", "mn1")
    dark(each, "ar1")
    each.attach("mn1", "ar4")
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar4"]


def test_what_a_partner_holds_does_not_stand_behind_what_it_named_long_ago() -> None:
    """The prefix of the dead router, which the node had last, came behind one that was over: it was the first to go."""
    each = Domain(Mode.DIRECT, 4, cmds=0, partners={"ar3": "ar1"}, prefixes_per_node=1)
    each.attach("mn1", "ar2")
    each.run(1 * SECOND)
    each.roam("mn1", "ar2", "ar1", 1 * SECOND)
    each.roam("mn1", "ar1", "ar3", 1 * SECOND)
    own = each.own("ar3", "mn1")
    dark(each, "ar3")
    each.run(GONE)
    each.attach("mn1", "ar4")
    each.run(1 * SECOND)
    assert leads(each, own) == ["ar1", "ar4"]


def test_what_a_partner_holds_of_two_routers_says_nothing_of_their_order() -> None:
    """Whoever served the node since knows that, and was answered back."""
    each = Domain(Mode.DIRECT, 5, cmds=0, partners={"ar1": "ar3", "ar2": "ar3"}, prefixes_per_node=2)
    each.attach("mn1", "ar2")
    each.run(1 * SECOND)
    each.roam("mn1", "ar2", "ar1", 1 * SECOND)
    own = each.own("ar1", "mn1")
    each.roam("mn1", "ar1", "ar4", 1 * SECOND)
    dark(each, "ar1")
    dark(each, "ar2")
    each.run(GONE)
    each.roam("mn1", "ar4", "ar5", 1 * SECOND)
    assert leads(each, own) == ["ar3", "ar5"]


def test_what_an_anchor_gave_a_node_before_it_lost_its_memory_is_not_what_it_has() -> None:
    """Its partner remembered all of them, and served the oldest one in the place of the one that the node had."""
    each = Domain(Mode.DIRECT, 3, cmds=0, partners={"ar1": "ar3"})
    each.attach("mn1", "ar1")
    each.run(1 * SECOND)
    given = each.maar("ar3").survival.standing[router(1)].given  # type: ignore[union-attr]
    first, session = each.own("ar1", "mn1"), each.maar("ar1").sessions[node("mn1")]
    each.maar("ar1")._exchange_own(session)
    each.run(1 * SECOND)
    assert given.nodes == {node("mn1"): {each.own("ar1", "mn1")}}
    late = session.attached - 1
    given.tell(node("mn1"), [first], late, each.world.now + 1, 8)
    assert given.nodes == {node("mn1"): {first, each.own("ar1", "mn1")}}, "what is late ends nothing"
