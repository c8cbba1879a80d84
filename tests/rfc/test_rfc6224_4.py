"""RFC 6224 section 4 at a MAAR: listeners attach, roam and depart, and their multicast comes the short way."""

from __future__ import annotations

import errno

from sojourn.core.effects import (
    Advertise,
    EnsureMembership,
    EnsureMulticastRoute,
    QueryListeners,
    SendMessage,
    StoreBinding,
)
from sojourn.core.events import EffectFailed, GroupsReported, LinkChanged
from sojourn.engines.configuration import Mode, MulticastConfiguration
from sojourn.engines.maar_session import Presence
from sojourn.wire import BindingUpdate, Status
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import CMD, HOSTS, Domain, node
from support.listeners import G, H, is_ex, to_in
from support.messages import pba

_MULTICAST = MulticastConfiguration("core0", ("acc0",))


def _domain(*hosts: str, **settings: object) -> Domain:
    """The hosts are at ar1."""
    domain = Domain(Mode.PROXY, multicast=_MULTICAST, **settings)
    for host in hosts:
        domain.attach(host, "ar1")
    domain.run(200 * MILLISECOND)
    return domain


def _say(domain: Domain, name: str, host: str, *groups: Address) -> None:
    records = tuple(is_ex(group) for group in groups)
    domain.event(name, GroupsReported("acc0", HOSTS[host], records, False))


def _joined(domain: Domain, name: str) -> set[Address]:
    state = domain.plane(name).state
    assert {group for group, _ in state.multicast_routes} == set(state.memberships)
    return set(state.memberships)


def test_4_2_a_node_is_asked_in_the_batch_of_its_attachment_before_the_disk() -> None:
    """Signalling, ways and advertisement first; the store, which takes milliseconds, afterwards."""
    domain = _domain()
    domain.attach("mn1", "ar1")
    kinds = [type(effect) for _, name, effect in domain.effects if name == "ar1"]
    assert kinds.index(SendMessage) < kinds.index(Advertise) < kinds.index(QueryListeners) < kinds.index(StoreBinding)
    assert domain.members["ar1"].queries[-1].link_layer == HOSTS["mn1"]


def test_4_2_memberships_follow_a_roam_and_nothing_goes_through_a_tunnel() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G)
    domain.roam("mn1", "ar1", "ar2")
    assert _joined(domain, "ar1") == set()
    _say(domain, "ar2", "mn1", G)
    assert _joined(domain, "ar2") == {G}
    assert domain.plane("ar2").state.multicast_routes == {(G, None): ("acc0",)}


def test_4_2_a_departure_that_no_link_told_of_ends_when_the_database_tells() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G)
    domain.attach("mn1", "ar2")
    assert _joined(domain, "ar1") == {G}
    domain.run(200 * MILLISECOND)
    assert _joined(domain, "ar1") == set()


def test_4_2_the_tunnel_of_a_node_that_left_does_not_wait_for_its_groups() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G, H)
    domain.clear()
    domain.attach("mn1", "ar2")
    domain.run(200 * MILLISECOND)
    kinds = [type(effect).__name__ for _, name, effect in domain.effects if name == "ar1"]
    assert kinds.index("EnsureTunnel") < kinds.index("WithdrawMembership")


def test_6_two_listeners_and_one_departs() -> None:
    domain = _domain("mn1", "mn2")
    _say(domain, "ar1", "mn1", G)
    _say(domain, "ar1", "mn2", G)
    domain.roam("mn1", "ar1", "ar2")
    assert _joined(domain, "ar1") == {G}
    domain.detach("mn2", "ar1")
    assert _joined(domain, "ar1") == set()


def test_4_2_who_is_not_served_here_is_no_listener() -> None:
    """One that was never seen, and one that left."""
    domain = _domain("mn1")
    _say(domain, "ar1", "mn9", G)
    domain.detach("mn1", "ar1")
    _say(domain, "ar1", "mn1", G)
    assert _joined(domain, "ar1") == set()


def test_4_2_whom_the_database_refuses_is_no_listener_any_more() -> None:
    """RFC 6224 3, step 4: "The MAG should determine whether the MN is admissible to multicast services"."""
    domain = _domain()
    domain.attach("mn1", "ar1")
    _say(domain, "ar1", "mn1", G)
    assert _joined(domain, "ar1") == {G}
    domain.inject(CMD, "ar1", pba(domain, status=Status.PROXY_REG_NOT_ENABLED, sequence=_sequence(domain)))
    assert domain.session("ar1", "mn1").presence is Presence.REFUSED  # type: ignore[union-attr]
    assert _joined(domain, "ar1") == set()
    _say(domain, "ar1", "mn1", G)
    assert _joined(domain, "ar1") == set()


def _sequence(domain: Domain) -> int:
    [update] = [message for _, _, message in domain.sent(BindingUpdate) if isinstance(message, BindingUpdate)]
    return update.sequence


def test_a_router_that_begins_again_asks_everybody() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G)
    domain.members["ar1"].queries.clear()
    domain.restart("ar1", store=True)
    asked = [query.link_layer for query in domain.members["ar1"].queries]
    assert asked == [None, HOSTS["mn1"]]
    assert _joined(domain, "ar1") == set()  # as in the kernel, which forgot it with the process
    _say(domain, "ar1", "mn1", G)
    assert _joined(domain, "ar1") == {G}


def test_what_the_kernel_refused_is_tried_again() -> None:
    domain = _domain("mn1")
    refusal = OSError(errno.ENOBUFS, "no room for one more group")
    domain.plane("ar1").trouble = lambda effect: refusal if isinstance(effect, EnsureMembership) else None
    _say(domain, "ar1", "mn1", G)
    domain.run(3 * SECOND)
    assert domain.reported("ar1", "effect-failed") == 4
    domain.plane("ar1").trouble = None
    domain.run(SECOND)
    assert _joined(domain, "ar1") == {G}
    domain.event("ar1", EffectFailed(EnsureMulticastRoute(H, None, ()), 1, "of a group that nobody listens to"))
    domain.run(2 * SECOND)
    assert _joined(domain, "ar1") == {G}


def test_an_interface_that_comes_back_gets_its_routes_again_and_is_asked() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G)
    domain.clear()
    domain.event("ar1", LinkChanged("acc0", False))
    assert not [effect for _, _, effect in domain.effects if isinstance(effect, QueryListeners | EnsureMulticastRoute)]
    domain.event("ar1", LinkChanged("acc0", True))
    effects = [effect for _, _, effect in domain.effects]
    assert EnsureMulticastRoute(G, None, ("acc0",)) in effects
    assert any(isinstance(effect, QueryListeners) and effect.link_layer is None for effect in effects)


def test_a_node_that_quits_leaves_its_row() -> None:
    domain = _domain("mn1")
    _say(domain, "ar1", "mn1", G)
    [row] = domain.maar("ar1").show("groups", domain.now)
    assert (row["group"], row["node"], row["wants"]) == ("ff0e::1234", node("mn1").hex(), "all")
    domain.event("ar1", GroupsReported("acc0", HOSTS["mn1"], (to_in(G),), False))
    assert domain.maar("ar1").show("groups", domain.now) == []


def test_without_multicast_in_the_configuration_nothing_is_done_and_nothing_sent() -> None:
    domain = Domain(Mode.PROXY)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    _say(domain, "ar1", "mn1", G)
    domain.event("ar1", LinkChanged("acc0", True))
    domain.roam("mn1", "ar1", "ar2")
    assert domain.members["ar1"].queries == []
    assert domain.maar("ar1").show("groups", domain.now) == []
