"""A MAAR goes out of service: nothing new begins there, and what is old ends in peace (`maar_drain`)."""

from __future__ import annotations

from sojourn.core.events import Commanded, TrafficCounted
from sojourn.wire.units import SECOND
from support.domain import Domain


def told(domain: Domain, name: str, **arguments: str) -> list[tuple[str, dict[str, str | int]]]:
    """What the engine says to the command."""
    before = len(domain.members[name].reports)
    domain.event(name, Commanded("drain", arguments))
    return [(report.name, report.detail) for _, report in domain.members[name].reports[before:]]


def lifetimes(domain: Domain, name: str) -> dict[str, int]:
    """Of each prefix, as it was advertised last by this router."""
    _, last = domain.members[name].advertised[-1]
    return {str(one.prefix): one.preferred // SECOND for one in last.prefixes}


def test_nodes_here_are_told_to_begin_nothing_new() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    own = str(domain.own("ar1", "mn1"))
    assert lifetimes(domain, "ar1")[own] > 0
    assert told(domain, "ar1") == [("draining", {"here": 1, "elsewhere": 0, "leases": 0})]
    domain.run(SECOND)
    assert lifetimes(domain, "ar1") == {own: 0}
    assert told(domain, "ar1", off="yes") == [("drain-ended", {})]
    domain.run(SECOND)
    assert lifetimes(domain, "ar1")[own] > 0


def test_who_comes_gets_no_prefix_and_prefers_what_it_has_from_elsewhere() -> None:
    domain = Domain()
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    elsewhere = domain.own("ar2", "mn1")
    told(domain, "ar1")
    domain.roam("mn1", "ar2", "ar1", SECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.own is None
    assert session.confirmed
    assert session.anchored == {elsewhere: domain.members["ar2"].address}
    assert lifetimes(domain, "ar1")[str(elsewhere)] > 0
    assert domain.reported("ar1", "pool-exhausted") == 0
    told(domain, "ar1", off="yes")
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    assert session.own is not None, "as soon as the drain is called off"


def test_it_is_over_when_nobody_is_here_and_nothing_is_anchored() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    told(domain, "ar1", hold="2")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    assert told(domain, "ar1") == [("draining", {"here": 0, "elsewhere": 1, "leases": 0})]
    own = domain.own("ar1", "mn1")
    for packets in (1, 2, 3, 3, 3, 3):  # a session lives on for a while
        assert domain.reported("ar1", "drained") == 0
        domain.event("ar1", TrafficCounted({own: packets}))
        domain.run(SECOND)
    domain.run(5 * SECOND)
    assert domain.reported("ar1", "drained") == 1
    assert domain.session("ar1", "mn1") is None
    assert told(domain, "ar1")[0] == ("draining", {"here": 0, "elsewhere": 0, "leases": 0})


def test_what_is_not_understood_changes_nothing() -> None:
    domain = Domain()
    for arguments in ({"hold": "soon"}, {"hold": "-1"}, {"speed": "1"}):
        [(name, detail)] = told(domain, "ar1", **arguments)
        assert (name, detail["reason"]) == ("command-refused", "expected hold=SECONDS, to=partner or off=yes")
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    assert domain.own("ar1", "mn1")


def test_a_node_that_returns_gets_the_prefix_that_is_still_valid_at_it() -> None:
    """Else a host that goes to and fro between two routers fills all of its addresses (16 with Linux) in minutes."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    first = domain.own("ar1", "mn1")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.event("ar1", Commanded("retire", {"prefix": str(first)}))
    domain.run(SECOND)
    assert domain.session("ar1", "mn1") is None
    domain.attach("mn2", "ar1")
    domain.run(SECOND)
    assert domain.own("ar1", "mn2") != first, "it rests"
    domain.roam("mn1", "ar2", "ar1", SECOND)
    assert domain.own("ar1", "mn1") == first
