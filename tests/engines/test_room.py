"""More nodes than a router has room for: newcomers hear status 130, who is there stays, and nothing grows any more.

Counted is all that an engine keeps, wherever: the number of members of every container that can be reached from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import pytest

from sojourn.core.effects import ProbeNode
from sojourn.core.events import MessageReceived, NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityMessage, PreviousMaar, ServingMaar, Status
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.domain import CMD, HOSTS, Domain, pool, router
from support.messages import pbu, stamp
from support.pmip import LMA, ProxyDomain, gateway, request

_LIMIT = 20
_ROUNDS = 300
RESTED = 2 * MINUTE
"""Prefixes that were given to somebody rest for a minute, so as many are kept as new nodes a second may come."""
_CONTAINERS = (dict, list, set, frozenset, tuple, deque)


def kept(engine: object) -> int:
    """Members of all containers that it holds, directly or not; its configuration left out."""
    seen: set[int] = set()
    waiting: list[object] = [engine]
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | type) or callable(each):
            continue
        seen.add(id(each))
        members: Iterable[object] = ()
        if isinstance(each, _CONTAINERS):
            total += len(each)
            members = [*each, *each.values()] if isinstance(each, dict) else each
        else:
            names = [*getattr(each, "__dict__", ()), *(name for kind in type(each).__mro__ for name in _slots(kind))]
            members = [getattr(each, name, None) for name in names if name != "configuration"]
        waiting.extend(members)
    return total


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def statuses(messages: Iterable[MobilityMessage]) -> list[int]:
    return [one.status for one in messages if isinstance(one, BindingAcknowledgement)]


def test_what_is_counted_is_what_is_kept() -> None:
    domain = Domain()
    before = kept(domain.maar("ar1"))
    domain.attach("mn1", "ar1")
    assert kept(domain.maar("ar1")) > before


def invented(number: int) -> bytes:
    return b"\x02\x10" + number.to_bytes(4, "big")


def register(domain: Domain, source: int, number: int) -> BindingUpdate:
    """Of a node that nobody else knows, with a prefix of its own."""
    update = pbu(domain, pool(source).subnet(number, 64))
    identifier = type(update.options[0])(5, invented(number))
    return BindingUpdate(update.sequence, update.flags, update.lifetime, (identifier, *update.options[1:]))


@pytest.mark.parametrize("mode", CENTRAL)
@pytest.mark.parametrize(("limits", "room"), [({"nodes": _LIMIT}, _LIMIT), ({"nodes_per_maar": _LIMIT}, _LIMIT)])
def test_a_database_has_room_for_so_many_nodes(mode: Mode, limits: dict[str, int], room: int) -> None:
    domain = Domain(mode, cmd=limits)
    domain.attach("mn1", "ar2")
    domain.run(1 * SECOND)
    domain.clear()
    for number in range(_ROUNDS):
        domain.event("cmd", MessageReceived(register(domain, 1, number), router(1), CMD))
    domain.run(100 * MILLISECOND)
    full = kept(domain.cmd)
    answers = statuses(message for source, to, message in domain.sent() if (source, to) == ("cmd", "ar1"))
    served = room if "nodes_per_maar" in limits else room - 1
    assert answers == [0] * served + [int(Status.INSUFFICIENT_RESOURCES)] * (_ROUNDS - served)
    assert domain.reported("cmd", "update-refused") == _ROUNDS - served
    for number in range(_ROUNDS, 3 * _ROUNDS):
        domain.event("cmd", MessageReceived(register(domain, 1, number), router(1), CMD))
    domain.run(100 * MILLISECOND)
    assert kept(domain.cmd) <= full
    domain.roam("mn1", "ar2", "ar3", SECOND)
    session = domain.session("ar3", "mn1")
    assert session is not None
    assert session.confirmed, "who is there stays, and moves"


def test_an_access_router_has_room_for_so_many_nodes() -> None:
    domain = Domain(nodes=_LIMIT, new_nodes_per_second=10_000)
    domain.attach("mn1", "ar1")
    domain.run(1 * SECOND)
    domain.attach("mn1", "ar1", Sighting.NEIGHBOUR)
    domain.clear()

    def answer(name: str, probe: ProbeNode) -> None:
        if probe.link_layer == HOSTS["mn1"]:
            domain.attach("mn1", name, Sighting.NEIGHBOUR)

    domain.on_probe = answer

    def flood(first: int) -> int:
        for number in range(first, first + _ROUNDS):
            domain.event("ar1", NodeSeen("acc0", invented(number), Sighting.NEIGHBOUR))
        domain.run(RESTED)
        return kept(domain.maar("ar1"))

    full = max(flood(number * _ROUNDS) for number in range(6))
    assert max(flood(number * _ROUNDS) for number in range(6, 14)) < 1.1 * full
    assert len(domain.maar("ar1").sessions) <= _LIMIT
    assert domain.reported("ar1", "node-displaced") + domain.reported("ar1", "node-refused") >= 3 * _ROUNDS
    session = domain.session("ar1", "mn1")
    assert session is not None, "who proved itself stays"
    assert session.confirmed


def test_the_prefix_of_a_displaced_node_is_given_to_nobody_while_the_database_has_it_for_that_node() -> None:
    """Another database did not know whose it is; the one that did refused, and the router thought it had forgotten."""
    domain = Domain(nodes=2, quarantine=5 * SECOND, lifetime=60 * SECOND)
    had = {}
    for number in range(8):
        domain.event("ar1", NodeSeen("acc0", invented(number), Sighting.NEIGHBOUR))
        domain.run(6 * SECOND)
        session = domain.maar("ar1").sessions[next(reversed(domain.maar("ar1").sessions))]
        had[session.own] = number
    assert len(had) == 8
    assert domain.reported("ar1", "node-displaced") == 6
    assert domain.reported("ar1", "registration-refused") == 0


def test_a_router_has_room_for_so_many_nodes_that_are_elsewhere() -> None:
    """Of whom the database, or another router, says that it anchors something for them."""
    domain = Domain(maars=4, nodes=_LIMIT, partners={"ar1": "ar3"})
    domain.restart("ar1", store=False)
    domain.run(1 * SECOND)

    def claims(source: bytes, first: int) -> int:
        for number in range(first, first + _ROUNDS):
            update = register(domain, 1, number)
            more = (PreviousMaar.of(pool(1).subnet(number, 64), router(1)), ServingMaar(router(4)))
            domain.inject(source, "ar1", BindingUpdate(1, update.flags, update.lifetime, (*update.options, *more)))
        domain.run(100 * MILLISECOND)
        return kept(domain.maar("ar1"))

    for source in (router(4), CMD):
        domain.clear()
        claims(source, 0)
        full = claims(source, _ROUNDS)
        assert claims(source, 2 * _ROUNDS) <= full + _LIMIT
        assert len(domain.maar("ar1").sessions) <= _LIMIT
        answers = statuses(message for source, _, message in domain.sent() if source == "ar1")
        assert answers.count(int(Status.INSUFFICIENT_RESOURCES)) >= 2 * _ROUNDS


@pytest.mark.parametrize("limits", [{"nodes": _LIMIT}, {"nodes_per_gateway": _LIMIT}])
def test_an_anchor_has_room_for_so_many_nodes(limits: dict[str, int]) -> None:
    domain = ProxyDomain(lma=limits)
    domain.clear()

    def ask(first: int) -> int:
        for number in range(first, first + _ROUNDS):
            update = request(domain)
            identifier = type(update.options[0])(5, invented(number))
            full = BindingUpdate(update.sequence, update.flags, update.lifetime, (identifier, *update.options[1:]))
            domain.event("lma", MessageReceived(full, gateway(1), LMA))
        domain.run(100 * MILLISECOND)
        return kept(domain.members["lma"].engine)

    full = ask(0)
    answers = statuses(message for source, _, message in domain.sent() if source == "lma")
    assert answers == [0] * _LIMIT + [int(Status.INSUFFICIENT_RESOURCES)] * (_ROUNDS - _LIMIT)
    assert ask(_ROUNDS) <= full
    assert ask(2 * _ROUNDS) <= full


def test_a_timestamp_is_one_of_now() -> None:
    """The messages above are refused for want of room, and nothing else."""
    domain = Domain()
    domain.event("cmd", MessageReceived(register(domain, 1, 7), router(1), CMD))
    entry = next(entry for node, entry in domain.cmd.entries.items() if node.endswith(invented(7)))
    assert entry.timestamp == stamp(domain)
    assert entry.anchors == [(Prefix(pool(1).subnet(7, 64).address, 64), router(1))]
    domain.run(10 * MINUTE)
    assert not domain.cmd.entries, "and ends with its lifetime"
