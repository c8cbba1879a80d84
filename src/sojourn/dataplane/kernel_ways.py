"""Route optimisation by the kernel's own Mobile IPv6 (CONFIG_IPV6_MIP6): XFRM states and policies, as of IPsec.

A *state* says that packets between two addresses have a Home Address option or a type 2 routing header, and with which
care-of address; a *policy* which packets are to have it, or may have it. Ours carry request number 140, or, as a
policy that lets signalling pass by, priority 140.

    mobile node    accepts   state  type 2 header, anybody -> home           policy in   anybody -> home, if it has it
                   sends     state  option, home -> correspondent            policy out  home -> correspondent
    correspondent  accepts   state  option, home -> each address of ours     policy in   home -> anybody, if it has it
                   sends     state  type 2 header, anybody -> home           policy out  anybody -> home
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple, TypeAlias

from sojourn.dataplane import objects
from sojourn.dataplane.audit import CHANGED, DIRECT, LEFT, MISSING, Finding
from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, Netlink, attribute, attributes, each_attribute
from sojourn.dataplane.object_parts import AF_INET6, PROTOCOL, RTM_GETADDR, Key
from sojourn.wire.addresses import ANY, UNSPECIFIED, Address, Prefix, address, text

NETLINK_XFRM = 6
OPTION, HEADER = 60, 43
"""What a state is about: the Home Address option, the type 2 routing header."""
_IN, _OUT = 0, 1
_NEW_STATE, _DELETE_STATE, _GET_STATE, _UPDATE_STATE = 0x10, 0x11, 0x12, 0x1A
_DELETE_POLICY, _GET_POLICY, _UPDATE_POLICY = 0x14, 0x15, 0x19
_XFRMA_TEMPLATE, _XFRMA_SOURCE, _XFRMA_CARE_OF = 5, 13, 14
_ROUTE_OPTIMISATION = 2
_FROM_ANYBODY = 8
"""XFRM_STATE_WILDRECV."""
_AF_INET6 = 10
_SELECTOR = struct.Struct("=16s16sHHHHHBBBxxxiI")
"""Destination, source, ports with masks, family, their lengths, protocol, interface, user."""
_ID = struct.Struct("=16sIBxxx")
_LIFETIMES = struct.pack("=8Q", *[0xFFFFFFFFFFFFFFFF] * 4, 0, 0, 0, 0) + bytes(32)
_STATE = struct.Struct("=56s24s16s96s12sIIHBBB7x")
_PACKETS = 56 + 24 + 16 + 64 + 8
"""Where a state has the number of its packets."""
_POLICY = struct.Struct("=56s96sIIBBBB4x")
_TEMPLATE = struct.Struct("=24sHxx16sIBBBxIII")
_OURS = PROTOCOL
_WITH, _BESIDE = 2 * _OURS, _OURS
"""Priorities; the lower one is asked first."""
_SIGNALLING = (135, 255)
_TRIAL = (address("100::1"), address("100::2"))
"""Of the discard prefix (RFC 6666)."""


def _selector(source: Prefix, destination: Prefix, protocol: int = 0) -> bytes:
    lengths = (destination.length, source.length)
    return _SELECTOR.pack(destination.address, source.address, 0, 0, 0, 0, _AF_INET6, *lengths, protocol, 0, 0)


class State(NamedTuple):
    """Packets from `source` to `destination` have an option or header with `care_of`."""

    kind: int
    source: Address
    destination: Address
    care_of: Address
    from_anybody: bool = False

    @property
    def key(self) -> Key:
        return ("state", self.kind, self.source, self.destination)

    def messages(self) -> tuple[Message, Message]:
        """One that makes it, and one that changes the one that is there."""
        peer = Prefix(self.destination, 128)
        own = ANY if self.source == UNSPECIFIED else Prefix(self.source, 128)
        body = _STATE.pack(
            _selector(own, peer),
            _ID.pack(self.destination, 0, self.kind),
            self.source,
            _LIFETIMES,
            bytes(12),
            0,
            _OURS,
            _AF_INET6,
            _ROUTE_OPTIMISATION,
            0,
            _FROM_ANYBODY if self.from_anybody else 0,
        )
        body += attribute(_XFRMA_CARE_OF, self.care_of)
        return Message(_NEW_STATE, NLM_F_CREATE | NLM_F_EXCL, body), Message(_UPDATE_STATE, 0, body)

    def withdraw(self) -> Message:
        body = struct.pack("=16sIHBx", self.destination, 0, _AF_INET6, self.kind)
        return Message(_DELETE_STATE, 0, body + attribute(_XFRMA_SOURCE, self.source), (errno.ESRCH,))

    def __str__(self) -> str:
        return f"state {self.kind} {text(self.source)} to {text(self.destination)} at {text(self.care_of)}"


class Policy(NamedTuple):
    """Packets from `source` to `destination` have what `kind` says: those that leave, always."""

    direction: int
    source: Prefix
    destination: Prefix
    kind: int
    """0: nothing, with `protocol`."""
    protocol: int = 0

    @property
    def key(self) -> Key:
        return ("policy", self.direction, self.source, self.destination, self.protocol)

    def ensure(self) -> Message:
        priority = _WITH if self.kind else _BESIDE
        selector = _selector(self.source, self.destination, self.protocol)
        body = _POLICY.pack(selector, _LIFETIMES, priority, 0, self.direction, 0, 0, 0)
        if self.kind:
            optional = int(self.direction == _IN)
            identity = _ID.pack(UNSPECIFIED, 0, self.kind)
            mode = (_ROUTE_OPTIMISATION, 0, optional)
            template = _TEMPLATE.pack(identity, _AF_INET6, UNSPECIFIED, _OURS, *mode, *[0xFFFFFFFF] * 3)
            body += attribute(_XFRMA_TEMPLATE, template)
        return Message(_UPDATE_POLICY, 0, body)

    def withdraw(self) -> Message:
        selector = _selector(self.source, self.destination, self.protocol)
        return Message(_DELETE_POLICY, 0, selector + struct.pack("=IBxxx", 0, self.direction), (errno.ENOENT,))

    def __str__(self) -> str:
        return (
            f"policy {('in', 'out')[self.direction]} {self.source} to {self.destination} {self.protocol or self.kind}"
        )


Thing: TypeAlias = State | Policy


class KernelWays:
    """States and policies in the namespace of the calling thread. Raises OSError where the kernel has no such thing."""

    def __init__(self) -> None:
        self._netlink = Netlink(protocol=NETLINK_XFRM)
        self._held: dict[Key, Thing] = {}
        self._wanted: dict[Key, Thing] = {}
        trial = State(OPTION, *_TRIAL, _TRIAL[0])
        try:
            self._ensure(trial)
            self._withdraw(trial)
        except OSError:
            self._netlink.close()
            raise

    # --- life -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What an earlier life left stays until `finish`."""
        self._held = {thing.key: thing for thing in self.found()}

    def finish(self) -> list[str]:
        """Remove what was not asked for; answers with its names."""
        left, self._held = list(self._held.values()), {}
        self._netlink.request(*(thing.withdraw() for thing in left))
        return [str(thing) for thing in left]

    def reassert(self) -> None:
        """Everything is put into the kernel again."""
        self._ensure(*list(self._wanted.values()))

    def findings(self) -> list[Finding]:
        """Where the kernel has others than were asked for. Raises OSError."""
        there = {thing.key: thing for thing in self.found()}
        found = []
        for key, thing in self._wanted.items():
            if key not in there:
                found.append(Finding(MISSING, DIRECT, str(thing)))
            elif there[key] != thing:
                found.append(Finding(CHANGED, DIRECT, f"{there[key]}, instead of {thing}"))
        return found + [Finding(LEFT, DIRECT, str(thing)) for key, thing in there.items() if key not in self._wanted]

    def restore(self) -> None:
        """What nobody asked for goes; the rest follows with `reassert`."""
        self._netlink.request(*(thing.withdraw() for thing in self.found() if thing.key not in self._wanted))

    def remove(self) -> None:
        """Nothing of ours is left."""
        self._netlink.request(*(thing.withdraw() for thing in self.found()))

    def leave(self) -> None:
        """Let go; what there is stays."""
        self._netlink.close()

    # --- mobile node ----------------------------------------------------------------------------------------------

    def accept(self, home: Address, care_of: Address) -> None:
        """Packets with a type 2 routing header for `home` are taken at `care_of`, and nowhere else."""
        self._ensure(
            State(HEADER, UNSPECIFIED, home, care_of, from_anybody=True), Policy(_IN, ANY, Prefix(home, 128), HEADER)
        )

    def accept_no_more(self, home: Address) -> None:
        """They are not."""
        self._withdraw(Policy(_IN, ANY, Prefix(home, 128), HEADER), State(HEADER, UNSPECIFIED, home, UNSPECIFIED))

    def optimise(self, home: Address, correspondent: Address, care_of: Address) -> None:
        """Packets from `home` to `correspondent` leave with a Home Address option from `care_of`, but signalling."""
        own, peer = Prefix(home, 128), Prefix(correspondent, 128)
        beside = [Policy(_OUT, own, peer, 0, protocol) for protocol in _SIGNALLING]
        self._ensure(State(OPTION, home, correspondent, care_of), *beside, Policy(_OUT, own, peer, OPTION))

    def optimise_no_more(self, home: Address, correspondent: Address) -> None:
        """They leave as they are."""
        own, peer = Prefix(home, 128), Prefix(correspondent, 128)
        beside = [Policy(_OUT, own, peer, 0, protocol) for protocol in _SIGNALLING]
        state = State(OPTION, home, correspondent, UNSPECIFIED)
        self._withdraw(Policy(_OUT, own, peer, OPTION), *beside, state)

    # --- correspondent node -----------------------------------------------------------------------------------------

    def go_to(self, home: Address, care_of: Address, addresses: list[Address]) -> None:
        """Packets to `home` leave with a type 2 routing header to `care_of`, but signalling; packets with its Home
        Address option are taken from there, at `addresses`."""
        peer = Prefix(home, 128)
        options = [State(OPTION, home, own, care_of) for own in addresses]
        beside = [Policy(_OUT, ANY, peer, 0, protocol) for protocol in _SIGNALLING]
        self._ensure(*options, Policy(_IN, peer, ANY, OPTION), State(HEADER, UNSPECIFIED, home, care_of))
        self._ensure(*beside, Policy(_OUT, ANY, peer, HEADER))

    def go_no_more(self, home: Address) -> None:
        """Neither."""
        peer = Prefix(home, 128)
        known = [*self._wanted.values(), *self._held.values()]
        options = [one for one in known if isinstance(one, State) and (one.kind, one.source) == (OPTION, home)]
        beside = [Policy(_OUT, ANY, peer, 0, protocol) for protocol in _SIGNALLING]
        self._withdraw(Policy(_OUT, ANY, peer, HEADER), *beside, State(HEADER, UNSPECIFIED, home, UNSPECIFIED))
        self._withdraw(Policy(_IN, peer, ANY, OPTION), *options)

    def taken(self, home: Address) -> int:
        """Packets with its Home Address option so far."""
        packets = 0
        for body in self._netlink.dump(_GET_STATE, b""):
            state = parse_state(body)
            if state is not None and (state.kind, state.source) == (OPTION, home):
                packets += struct.unpack_from("=Q", body, _PACKETS)[0]
        return packets

    # --- kernel -----------------------------------------------------------------------------------------------------

    def _ensure(self, *things: Thing) -> None:
        for thing in things:
            if self._held.pop(thing.key, None) != thing:
                self._put(thing)
            self._wanted[thing.key] = thing

    def _put(self, thing: Thing) -> None:
        if isinstance(thing, Policy):
            self._netlink.request(thing.ensure())
            return
        create, change = thing.messages()
        try:
            self._netlink.request(create)
        except FileExistsError:
            self._netlink.request(change)

    def _withdraw(self, *things: Thing) -> None:
        for thing in things:
            self._held.pop(thing.key, None)
            self._wanted.pop(thing.key, None)
        self._netlink.request(*(thing.withdraw() for thing in things))

    def found(self) -> list[Thing]:
        """States and policies of ours that the kernel has. Raises OSError."""
        states = [parse_state(body) for body in self._netlink.dump(_GET_STATE, b"")]
        policies = [parse_policy(body) for body in self._netlink.dump(_GET_POLICY, b"")]
        return [thing for thing in (*policies, *states) if thing is not None]


def left() -> list[Thing]:
    """All states and policies of ours in this namespace; a kernel without them has none. Raises OSError."""
    try:
        ways = KernelWays()
    except OSError:
        return []
    try:
        return ways.found()
    finally:
        ways.leave()


def usable() -> bool:
    """Whether this kernel has Mobile IPv6; one that has it as a module loads it now."""
    try:
        KernelWays().leave()
    except OSError:
        return False
    return True


def parse_state(body: bytes) -> State | None:
    """None when it is not ours."""
    _, identity, source, _, _, _, request, _, mode, _, flags = _STATE.unpack_from(body)
    destination, _, kind = _ID.unpack(identity)
    if request != _OURS or mode != _ROUTE_OPTIMISATION:
        return None
    care_of = attributes(body, _STATE.size).get(_XFRMA_CARE_OF, UNSPECIFIED)
    return State(kind, source, destination, care_of, bool(flags & _FROM_ANYBODY))


def parse_policy(body: bytes) -> Policy | None:
    """None when it is not ours."""
    selector, _, priority, _, direction, _, _, _ = _POLICY.unpack_from(body)
    destination, source, _, _, _, _, _, to_length, from_length, protocol, _, _ = _SELECTOR.unpack(selector)
    kind = request = 0
    for number, template in each_attribute(body, _POLICY.size):
        if number == _XFRMA_TEMPLATE and len(template) >= _TEMPLATE.size:
            identity, _, _, request, _, _, _, _, _, _ = _TEMPLATE.unpack_from(template)
            kind = _ID.unpack(identity)[2]
    if direction > _OUT or (request != _OURS if kind else priority != _BESIDE or protocol not in _SIGNALLING):
        return None
    return Policy(direction, Prefix(source, from_length), Prefix(destination, to_length), kind, protocol)


def own_addresses(netlink: Netlink) -> list[Address]:
    """The addresses of this machine that others can send to."""
    found = []
    for body in netlink.dump(RTM_GETADDR, objects.addresses_request(AF_INET6)):
        scope = body[3]
        placed = attributes(body, 8).get(1, b"")
        if scope == 0 and len(placed) == 16:
            found.append(placed)
    return found
