"""Defects of fast handovers that the fault simulation (tests/sim) found; each once, and never again."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.events import HandoverExpected
from sojourn.engines.configuration import Mode
from sojourn.engines.maar_session import Presence, Session
from sojourn.wire import BindingUpdate, HomeNetworkPrefix
from sojourn.wire.extensions.rfc5949 import LocalMobilityAnchorAddress
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import HOSTS, Domain, node, router
from support.handovers import initiate


def _walked(*path: str, mode: Mode = Mode.PROXY, **settings: object) -> Domain:
    """mn1 walked along `path`, ten seconds at each place."""
    domain = Domain(mode, maars=3, **{"handovers": 8, **settings})  # type: ignore[arg-type]
    for old, new in zip(("", *path), path, strict=False):
        if old:
            domain.detach("mn1", old)
        domain.attach("mn1", new)
        domain.run(10 * SECOND)
    return domain


def _session(domain: Domain, name: str) -> Session:
    session = domain.session(name, "mn1")
    assert session is not None
    return session


def _expected(domain: Domain, old: str, new: int) -> None:
    domain.event(old, HandoverExpected(HOSTS["mn1"], router(new)))
    domain.run(50 * MILLISECOND)


def test_an_anchor_goes_on_asking_for_a_node_that_was_expected_and_did_not_come() -> None:
    """Nothing would ever have happened to its session again."""
    domain = _walked("ar1", "ar2")
    _expected(domain, "ar2", 1)
    assert ("expiry", node("mn1")) in domain.maar("ar1")._timers
    domain.run(5 * SECOND)
    assert domain.maar("ar1").handovers == {}
    assert _session(domain, "ar1").presence is Presence.AWAY
    assert ("expiry", node("mn1")) in domain.maar("ar1")._timers


def test_who_expects_a_node_waits_longer_than_who_announced_it() -> None:
    """Both waited for the same time: the new router threw away what waited before it was told that nobody comes."""
    domain = _walked("ar1")
    _expected(domain, "ar1", 2)
    domain.run(5 * SECOND)
    assert domain.members["ar1"].reported("handover-called-off") == 1
    assert domain.members["ar2"].reported("handover-unfinished") == 0
    assert domain.session("ar2", "mn1") is None


def test_a_node_that_goes_elsewhere_than_was_said_first_is_served_until_it_goes() -> None:
    """Its packets went on to the router that was named first, even when the second one refused."""
    domain = _walked("ar1")
    own = domain.own("ar1", "mn1")
    _expected(domain, "ar1", 2)
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)
    domain.event("ar1", HandoverExpected(HOSTS["mn1"], router(3)))
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)


def test_a_node_that_did_not_come_is_looked_for_where_the_database_says() -> None:
    """ar3 said that it would come from there, which may be long ago: the tunnel of its prefix led there afterwards."""
    domain = _walked("ar1", "ar2")
    own = domain.own("ar1", "mn1")
    prefix = HomeNetworkPrefix.of(domain.maar("ar3").configuration.pool.subnet(7, 64))
    domain.inject(router(3), "ar1", initiate(prefix, LocalMobilityAnchorAddress(1, router(3))))
    domain.run(3 * SECOND)
    assert domain.plane("ar1").way(own) == EnsureTunnel(_session(domain, "ar1").slot, router(2))
    assert _session(domain, "ar1").anchored == {}


def test_a_node_that_came_and_left_is_not_forgotten_when_its_context_comes_late() -> None:
    """It was registered at ar2 for a moment, so packets went there; and from there back to where they came from."""
    domain = _walked("ar1")
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.detach("mn1", "ar2")
    own = HomeNetworkPrefix.of(domain.own("ar1", "mn1"))
    domain.inject(router(1), "ar2", initiate(own, LocalMobilityAnchorAddress(1, router(1))))
    domain.run(3 * SECOND)
    assert _session(domain, "ar2").presence is Presence.DEPARTED
    assert ("expiry", node("mn1")) in domain.maar("ar2")._timers


def test_a_node_that_never_was_here_is_forgotten_when_it_went_elsewhere_instead() -> None:
    """ar2 expected it and was asked for it by ar3: what it knew was kept for ever, on a link without a name."""
    domain = _walked("ar1")
    _expected(domain, "ar1", 2)
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar3")
    domain.run(10 * SECOND)
    assert domain.session("ar2", "mn1") is None


def test_context_that_comes_after_its_node_is_advertised_and_stored() -> None:
    domain = _walked("ar1")
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    prefix = domain.maar("ar1").configuration.pool.subnet(7, 64)
    options = (HomeNetworkPrefix.of(prefix), LocalMobilityAnchorAddress(1, router(1)))
    domain.inject(router(1), "ar2", initiate(*options))
    session = _session(domain, "ar2")
    assert prefix in session.anchored
    assert domain.members["ar2"].store[node("mn1")] == session.record()


def test_in_relay_mode_a_prefix_that_the_database_ended_does_not_live_on_in_a_handover() -> None:
    """The new router heard of it from the previous one only, until the next refresh: by then it was another node's."""
    domain = _walked("ar1", "ar2", mode=Mode.RELAY)
    assert domain.own("ar1", "mn1") in _session(domain, "ar2").anchored
    domain.cmd._surplus = lambda prefixes: list(prefixes)[:1]  # type: ignore[method-assign, assignment]
    domain.detach("mn1", "ar2")
    domain.attach("mn1", "ar3")
    domain.run(SECOND)
    due = domain.maar("ar3")._timers.when(("refresh", node("mn1")))
    assert due is not None
    assert due - domain.now <= 3 * SECOND


def test_what_the_new_router_anchors_itself_is_not_sent_on_to_it() -> None:
    """To the database the node was at ar1 still: ar2 sent its packets there, and ar1 back, to and fro."""
    domain = _walked("ar2", "ar1")
    own = domain.own("ar2", "mn1")
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)
    _expected(domain, "ar1", 2)
    assert isinstance(domain.plane("ar1").way(domain.own("ar1", "mn1")), EnsureTunnel)
    assert domain.plane("ar1").way(own) is None
    domain.run(5 * SECOND)
    assert domain.members["ar1"].reported("handover-called-off") == 1
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)


def test_what_the_previous_router_told_ends_when_the_database_has_no_room_for_the_node() -> None:
    """Nobody told its anchor where the node is: it gave the prefix to another one, with both in use."""
    domain = _walked("ar1")
    own = domain.own("ar1", "mn1")
    domain.cmd.configuration = replace(domain.cmd.configuration, nodes=0)
    domain.cmd.entries.clear()
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.run(500 * MILLISECOND)
    assert own in _session(domain, "ar2").anchored
    domain.run(8 * SECOND)
    assert _session(domain, "ar2").anchored == {}
    assert isinstance(domain.plane("ar2").way(domain.own("ar2", "mn1")), EnsureDelivery)


def test_a_prefix_whose_end_was_refused_as_the_node_was_here_ends_after_the_handover() -> None:
    """The CMD had not heard that the node was there, and told that router nothing else: packets went round."""
    delays = {("ar1", "ar3"): 10 * MILLISECOND, ("cmd", "ar3"): 10 * MILLISECOND}  # ar2 answers first
    domain = _walked("ar2", "ar1", delays=delays, cmd={"prefixes_per_node": 2, "warm_up": 0})
    own = domain.own("ar2", "mn1")
    domain.lose = lambda source, to, message: (
        (source, to) == ("ar2", "cmd") and isinstance(message, BindingUpdate) and message.lifetime > 0
    )
    for old, new in (("ar1", "ar2"), ("ar2", "ar3")):
        domain.detach("mn1", old)
        domain.attach("mn1", new)
        domain.run(200 * MILLISECOND)
    assert domain.reported("ar2", "update-refused")
    domain.run(8 * SECOND)
    assert own not in _session(domain, "ar3").anchored
    assert domain.plane("ar2").way(own) is None
