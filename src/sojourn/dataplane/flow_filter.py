"""Which packets are of which flow (RFC 6089, selectors of RFC 6088): a table of nf_tables that marks them.

    prerouting     home agent: packets to a home address or network of a node with flows; mobile router: from one
    output         mobile node: packets from its home address; correspondent node: packets to one; they are routed anew
      Mobility Headers, and what is marked as too big        accept
      by the longest prefix of a node with flows             into the chain of that node: the first flow that fits marks

A node's chain is replaced in one transaction. The marks say which of the node's ways is meant (`flow_ways`). Later
fragments of a packet have no ports, and go with what no flow fits.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from sojourn.dataplane import nftables as nft
from sojourn.dataplane.filters import change_mark, mask_of, protocol
from sojourn.dataplane.netlink import attribute, nested
from sojourn.dataplane.nftables import NFPROTO_IPV6, Table
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc6088 import AddressRange, Ipv6TrafficSelector, NumberRange

_NODES = "nodes"
_NEWTABLE, _DELTABLE, _NEWCHAIN, _DELCHAIN, _NEWRULE, _DELRULE, _NEWSET, _NEWELEMENT, _DELELEMENT = (
    0,
    2,
    3,
    5,
    6,
    8,
    9,
    12,
    14,
)
_CREATE, _APPEND = 0x400, 0x800
_IS_MAP, _VERDICTS = 0x8, 0xFFFFFF00
_LESS_OR_EQUAL, _GREATER_OR_EQUAL = 3, 5
_SOURCE, _DESTINATION = 8, 24
_MOBILITY, _ESP = b"\x87", socket.IPPROTO_ESP
_WITH_PORTS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 132, 33)
"""And SCTP, DCCP."""
Key = bytes
Match = tuple[bytes, ...]
TABLES = ("sojourn-flows", "sojourn-cn-flows")
"""Of home agents and mobile nodes, and of correspondent nodes."""


class MarkedFlow(NamedTuple):
    """A flow, and the mark of its packets."""

    selector: Ipv6TrafficSelector
    mark: int


class FlowFilter:
    """`outwards`: packets *from* prefixes are marked, else packets *to* them; those of this machine too if `local`.

    Raises OSError where the kernel has no nf_tables. There is no table as long as nobody has flows.
    """

    def __init__(
        self,
        settings: LinuxSettings,
        lengths: Iterable[int],
        outwards: bool,
        local: bool = False,
        table: str = TABLES[0],
    ) -> None:
        self._table = table
        self._local = local
        self._settings = settings
        self._lengths = tuple(sorted(set(lengths), reverse=True))
        self._outwards = outwards
        self._socket: Table | None = None
        self._nodes: dict[int, tuple[tuple[Prefix, ...], tuple[MarkedFlow, ...]]] = {}
        self._stands = False

    def begin(self) -> None:
        """Open the socket in the network namespace that is meant; a kernel without nf_tables refuses flows later."""
        with suppress(OSError):
            self._socket = self._socket or Table(NFPROTO_IPV6)

    def close(self) -> None:
        """Close the socket; the table stays."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def finish(self) -> None:
        """After a restart: what an earlier life left goes if nobody has flows now. (If somebody has, it is gone.)"""
        if not self._nodes:
            with suppress(OSError):  # a kernel without nf_tables has no table
                self.remove()

    def remove(self) -> None:
        """Nothing of it is left."""
        self._nodes, self._stands = {}, False
        self._commit([(_DELTABLE, 0, nft_name(1, self._table))], harmless=errno.ENOENT)

    def put(self, owner: int, prefixes: Sequence[Prefix], flows: Sequence[MarkedFlow]) -> None:
        """The packets of these prefixes are told apart so, all at once; without flows, they are not."""
        before = self._nodes.pop(owner, ((), ()))
        wanted = (tuple(prefixes), tuple(flows))
        if flows and prefixes:
            self._nodes[owner] = wanted
        if not self._stands:
            if self._nodes:
                self._write_all()
        elif wanted != before:
            self._commit([*self._without(owner, before[0]), *(self._node(owner) if owner in self._nodes else ())])

    def _write_all(self) -> None:
        """In place of a table of an earlier life."""
        table = nft_name(1, self._table)
        steps = [(_NEWTABLE, _CREATE, table), (_DELTABLE, 0, table), (_NEWTABLE, _CREATE, table)]
        body = table + nft_name(2, _NODES) + _be32(3, _IS_MAP) + _be32(4, 8) + _be32(5, 16) + _be32(6, _VERDICTS)
        steps.append((_NEWSET, _CREATE, body + _be32(10, 1)))
        steps += self._base("prerouting", (nft.HOOK_PREROUTING, -290), "filter")
        if self._local:
            steps += self._base("output", (nft.HOOK_OUTPUT, -150), "route")
        for owner in self._nodes:
            steps += self._node(owner)
        self._commit(steps)
        self._stands = True

    def _base(self, name: str, hook: tuple[int, int], kind: str) -> Iterator[tuple[int, int, bytes]]:
        table = nft_name(1, self._table)
        hooked = nested(4, _be32(1, hook[0]) + _be32(2, hook[1]))
        yield _NEWCHAIN, _CREATE, table + nft_name(3, name) + hooked + nft_name(7, kind) + _be32(5, nft.ACCEPT)
        mask = struct.pack("=I", self._settings.mark_mask)
        unmarked = (nft.load_meta(nft.META_MARK), nft.mask(mask), nft.compare(nft.NOT_EQUAL, bytes(4)))
        yield self._rule(name, (protocol(_MOBILITY), nft.verdict(nft.ACCEPT)))
        yield self._rule(name, (*unmarked, nft.verdict(nft.ACCEPT)))
        offset = _SOURCE if self._outwards else _DESTINATION
        for length in self._lengths:
            address = nft.load(nft.NETWORK, offset, 16)
            yield self._rule(name, (address, nft.mask(mask_of(length)), _verdict_of(_NODES)))

    def _rule(self, chain: str, parts: Match) -> tuple[int, int, bytes]:
        body = nft_name(1, self._table) + nft_name(2, chain) + nested(4, b"".join(parts))
        return _NEWRULE, _CREATE | _APPEND, body

    def _node(self, owner: int) -> Iterator[tuple[int, int, bytes]]:
        prefixes, flows = self._nodes[owner]
        chain = f"f{owner}"
        yield _NEWCHAIN, _CREATE, nft_name(1, self._table) + nft_name(3, chain)
        for flow in flows:
            mark = change_mark(self._settings, flow.mark)
            for parts in matches(flow.selector, self._outwards):
                yield self._rule(chain, (*parts, *mark, nft.verdict(nft.ACCEPT)))
        yield _NEWELEMENT, _CREATE, _elements(self._table, prefixes, chain)

    def _without(self, owner: int, prefixes: Sequence[Prefix]) -> Iterator[tuple[int, int, bytes]]:
        if prefixes:
            table, chain = nft_name(1, self._table), f"f{owner}"
            yield _DELELEMENT, 0, _elements(self._table, prefixes, "")
            yield _DELRULE, 0, table + nft_name(2, chain)
            yield _DELCHAIN, 0, table + nft_name(3, chain)

    def _commit(self, steps: Sequence[tuple[int, int, bytes]], harmless: int = 0) -> None:
        if self._socket is None:
            self._socket = Table(NFPROTO_IPV6)
        self._socket.commit(steps, harmless)


def matches(selector: Ipv6TrafficSelector, outwards: bool) -> Iterator[Match]:
    """The conditions of rules that together fit the packets of a flow; of those from the node when `outwards`."""
    one, other = selector.source, selector.destination
    port, other_port = selector.source_port, selector.destination_port
    if outwards:
        one, other, port, other_port = other, one, other_port, port
    fixed = [
        *_addresses(_SOURCE, one),
        *_addresses(_DESTINATION, other),
        *_masked(selector.traffic_class, 2, 0x0FF0, 4),
        *_masked(selector.flow_label, 4, 0xFFFFF, 0),
    ]
    ports = [*_numbers(nft.TRANSPORT, 0, 2, port), *_numbers(nft.TRANSPORT, 2, 2, other_port)]
    spi = _numbers(nft.TRANSPORT, 0, 4, selector.spi)
    carried = selector.next_header
    for number in _protocols(carried, bool(ports), bool(spi)):
        which = () if number is None else (protocol(bytes((number,))),)
        yield (*which, *fixed, *ports, *spi)
    if not ports and not spi and carried is not None and carried[1] not in (None, carried[0]):
        whole = _ends(bytes((carried[0],)), bytes((carried[1] or 0,)))
        yield (nft.load_meta(nft.META_PROTOCOL), *whole, *fixed)


def _protocols(carried: NumberRange, ports: bool, spi: bool) -> Iterator[int | None]:
    """Those that have what is compared; None: it does not matter."""
    first, last = (0, 255) if carried is None else (carried[0], carried[0] if carried[1] is None else carried[1])
    if ports and spi:
        return  # nothing has both
    if ports or spi:
        yield from (number for number in (_WITH_PORTS if ports else (_ESP,)) if first <= number <= last)
    elif carried is None:
        yield None
    elif first == last:
        yield first


def _addresses(offset: int, value: AddressRange) -> Match:
    if value is None:
        return ()
    first, last = value[0], value[0] if value[1] is None else value[1]
    return (nft.load(nft.NETWORK, offset, 16), *_ends(first, last))


def _numbers(base: int, offset: int, size: int, value: NumberRange) -> Match:
    if value is None:
        return ()
    first, last = value[0], value[0] if value[1] is None else value[1]
    return (nft.load(base, offset, size), *_ends(first.to_bytes(size, "big"), last.to_bytes(size, "big")))


def _masked(value: NumberRange, size: int, mask: int, shift: int) -> Match:
    """A part of the first octets of the IPv6 header."""
    if value is None:
        return ()
    first, last = value[0], value[0] if value[1] is None else value[1]
    ends = (end << shift & mask for end in (first, last))
    low, high = (end.to_bytes(size, "big") for end in ends)
    return (nft.load(nft.NETWORK, 0, size), nft.mask(mask.to_bytes(size, "big")), *_ends(low, high))


def _ends(first: bytes, last: bytes) -> Match:
    if first == last:
        return (nft.compare(nft.EQUAL, first),)
    return (nft.compare(_GREATER_OR_EQUAL, first), nft.compare(_LESS_OR_EQUAL, last))


def _verdict_of(name: str) -> bytes:
    """What the map says of the register; nothing when it is not there."""
    data = nft_name(1, name) + _be32(2, nft.REGISTER) + _be32(3, nft.VERDICT)
    return nested(1, nft_name(1, "lookup") + nested(2, data))


def _elements(table: str, prefixes: Sequence[Prefix], chain: str) -> bytes:
    """Of the map; with a chain to go on in."""
    verdict = nested(2, nested(2, _be32(1, nft.JUMP) + nft_name(2, chain))) if chain else b""
    listed = b"".join(nested(1, nested(1, attribute(1, prefix.address)) + verdict) for prefix in prefixes)
    return nft_name(1, table) + nft_name(2, _NODES) + nested(3, listed)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def nft_name(kind: int, name: str) -> bytes:
    """An attribute with a name in it."""
    return attribute(kind, name.encode() + b"\0")
