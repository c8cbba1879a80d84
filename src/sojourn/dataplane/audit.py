"""Does the kernel hold what it should, and nothing else of ours? (RFC 7333 REQ6: that indirection is in place, and that
it is torn down, is to be tested, and not in own tables only.)

A data plane tells what should hold as the objects that it would put there (`Audited.objects`), and what holds is read
from the kernel (`Audited.held`); where the two differ is a `Finding`. Each names a *place* on the way of a packet:

    anchor's route          a prefix is led to a node's next hop, at the router that the prefix belongs to
    tunnel                  into it, or out of it
    serving router's route  a prefix is led to the node itself, on a link of this router
    filter                  who may send, and the packet filter
    rules                   which tables the kernel looks into
    handover queue          what holds packets in a fast handover
    multicast               an entry of multicast forwarding
    home link               where a home agent answers for a node
    direct way              past the tunnel, between a mobile node and a correspondent node
    home address            of a mobile node, on this machine
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sojourn.core.effects import EnsureDelivery
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import InterfaceAddress, KernelObject, Neighbour, Rule
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route
from sojourn.dataplane.state import ForwardingState
from sojourn.wire.addresses import Prefix

ANCHOR, TUNNEL, SERVING, FILTER, RULES, ADDRESS = (
    "anchor's route",
    "tunnel",
    "serving router's route",
    "filter",
    "rules",
    "home address",
)
QUEUE, MULTICAST, HOME_LINK, DIRECT = "handover queue", "multicast", "home link", "direct way"
_NO_OBJECTS = (FILTER, MULTICAST, DIRECT)
"""Places of things that are put right as a whole."""
MISSING, CHANGED, LEFT = "missing", "changed", "left behind"


@dataclass(frozen=True)
class Finding:
    """One difference."""

    what: str
    """`MISSING`, `CHANGED` or `LEFT`."""
    place: str
    thing: str
    """The object, in words."""
    prefixes: tuple[Prefix, ...] = ()
    """Whose packets it concerns; none: everybody's."""
    held: KernelObject | None = None
    """What is there and should not be."""


@runtime_checkable
class Audited(Protocol):
    """A data plane that can be compared with the kernel."""

    def objects(self) -> Iterator[KernelObject]:
        """What should hold."""
        ...

    def held(self, netlink: Netlink) -> list[KernelObject]:
        """What of ours the kernel holds. May be called in another thread, with a socket of its own. Raises OSError."""
        ...

    def other_findings(self) -> list[Finding]:
        """Differences in what is no `KernelObject`: packet filter, multicast, direct ways. Raises OSError."""
        ...

    def place_of(self, thing: KernelObject) -> tuple[str, tuple[Prefix, ...]]:
        """Where on the way of whose packets it is."""
        ...

    def reassert(self) -> None:
        """Put everything into the kernel again. Raises OSError."""
        ...

    def restore_others(self, places: Collection[str]) -> None:
        """Make anew what is no `KernelObject`, where it is of these places; nothing else is in it until `reassert`.
        Raises OSError."""
        ...

    def remove(self, things: Iterable[KernelObject]) -> None:
        """Take these out of the kernel. Raises OSError."""
        ...


def compare(
    should: Iterable[KernelObject],
    holds: Iterable[KernelObject],
    place_of: Callable[[KernelObject], tuple[str, tuple[Prefix, ...]]],
) -> list[Finding]:
    """Every difference between what should hold and what holds."""
    there = {thing.key: thing for thing in holds}
    found: list[Finding] = []
    for key, thing in {thing.key: thing for thing in should}.items():
        held = there.pop(key, None)
        if held is None:
            found.append(Finding(MISSING, *_placed(place_of, thing)))
        elif not _same(thing, held):
            place, _, prefixes = _placed(place_of, thing)
            found.append(Finding(CHANGED, place, f"{held}, instead of {thing}", prefixes, held))
    for thing in there.values():
        found.append(Finding(LEFT, *_placed(place_of, thing), thing))
    return found


def differences(plane: Audited, held: Iterable[KernelObject]) -> list[Finding]:
    """What is wrong; `held` as of `Audited.held`. Raises OSError."""
    return [*compare(plane.objects(), held, plane.place_of), *plane.other_findings()]


def repair(plane: Audited, findings: Iterable[Finding]) -> None:
    """Put right what can be; what is refused is found by the next look."""
    known = list(findings)
    with suppress(OSError):
        plane.remove(one.held for one in known if one.held is not None and one.what == LEFT)
    places = {one.place for one in known if one.held is None and one.place in _NO_OBJECTS}
    if places:
        with suppress(OSError):
            plane.restore_others(places)
    with suppress(OSError):
        plane.reassert()


def _placed(
    place_of: Callable[[KernelObject], tuple[str, tuple[Prefix, ...]]], thing: KernelObject
) -> tuple[str, str, tuple[Prefix, ...]]:
    place, prefixes = place_of(thing)
    return place, str(thing), prefixes


def _same(thing: KernelObject, held: KernelObject) -> bool:
    """Of an address it matters that it is there; how long it is preferred may change."""
    return isinstance(thing, InterfaceAddress) or thing == held


def place_at_router(
    thing: KernelObject, state: ForwardingState, first_nexthop: int, nodes: int, sources: int, uplinks: int
) -> tuple[str, tuple[Prefix, ...]]:
    """Where an object is on the way of packets, at a router with these tables."""
    match thing:
        case Route(table=table, destination=destination) if table == nodes and thing.kind != RTN_BLACKHOLE:
            return _place_of_slot(state, state.prefixes.get(destination)), (destination,)
        case Route(table=table, source=source) if table == sources and thing.kind == RTN_THROW and source.length:
            return FILTER, (source,) if source in state.uplinks else ()
        case Route(table=table, source=source) if table == uplinks:
            return TUNNEL, (source,)
        case Route(decapsulate=True) | Route(decapsulate_ipv4=True):
            return TUNNEL, ()
        case Route():
            return (TUNNEL if thing.source.length == 128 else RULES), ()
        case Nexthop(id=number):
            slot = number - first_nexthop
            prefixes = tuple(prefix for prefix, used in state.prefixes.items() if used == slot)
            return (TUNNEL if thing.tunnel or thing.members else _place_of_slot(state, slot)), prefixes
        case Neighbour(address=address):
            slot = int.from_bytes(address[12:], "big")
            return SERVING, tuple(prefix for prefix, used in state.prefixes.items() if used == slot)
        case Rule():
            return (TUNNEL if thing.ip_protocol and thing.destination is not None else RULES), ()
        case _:
            return TUNNEL, ()  # the address of the loop, that all tunnels begin and end at


def _place_of_slot(state: ForwardingState, slot: int | None) -> str:
    way = None if slot is None else state.slots.get(slot)
    if isinstance(way, EnsureDelivery):
        return SERVING
    return ANCHOR
