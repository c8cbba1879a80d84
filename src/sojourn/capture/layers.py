"""From a captured frame to the mobility signalling in it.

A packet is peeled from the outside: link layer, then any nesting of IPv6 with its extension headers (RFC 8200), IPv4,
GRE (RFC 2784, RFC 2890) and the UDP encapsulations of mobility (RFC 5555 4.3, RFC 5844 4, RFC 5845 7), until a Mobility
Header or an ICMPv6 message is left. A type 2 routing header and a Home Address option change the addresses that
its checksum covers (RFC 6275 6.1.1), so both are kept. ESP stays closed; it is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from sojourn.capture.files import Packet
from sojourn.capture.fragments import Reassembler
from sojourn.wire import udp
from sojourn.wire.addresses import Address
from sojourn.wire.errors import DecodeError

MOBILITY, ICMPV6 = 135, 58
_HOP_BY_HOP, _IPV4, _UDP, _IPV6, _ROUTING, _FRAGMENT, _GRE, _ESP, _AH, _NONE, _DESTINATION = (
    0,
    4,
    17,
    41,
    43,
    44,
    47,
    50,
    51,
    59,
    60,
)
_HOME_ADDRESS_OPTION = 0xC9
DEEPEST = 16
"""Headers within headers; more than that is an attack on whoever reads it."""

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})
_FAMILY_IPV6 = frozenset({10, 24, 28, 30})
"""AF_INET6 on Linux, NetBSD and OpenBSD, FreeBSD, macOS."""
_ERRORS = {1: "Destination Unreachable", 2: "Packet Too Big", 3: "Time Exceeded", 4: "Parameter Problem"}


@dataclass(slots=True)
class Finding:
    """Something about a packet that its receiver will not like, or that a reader should know."""

    text: str
    rfc: str = ""
    grave: bool = True
    """A rule is broken; otherwise it is worth knowing."""


@dataclass(slots=True)
class Payload:
    """What is left when everything around it is peeled off."""

    protocol: int
    """`MOBILITY` or `ICMPV6`."""
    octets: bytes
    source: Address
    """On the innermost header; four octets if that is IPv4."""
    destination: Address
    hop_limit: int = 0
    home_source: Address | None = None
    """From a Home Address option."""
    home_destination: Address | None = None
    """From a type 2 routing header."""
    final: Address | None = None
    """Where another routing header leads to."""
    path: tuple[str, ...] = ()
    """Tunnels around it, from the outside."""
    missing: int = 0
    """Octets that were sent, but not captured."""
    fragments: bool = False
    checksum: bool = True
    """Whether the checksum means something: it does not in UDP over IPv4 (RFC 5844 4.1.3.1)."""
    quoted: str = ""
    """It did not travel here, it was returned to its sender in this ICMPv6 error."""
    reporter: Address | None = None
    """Who returned it."""
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Around:
    """What is known about the headers around some octets."""

    source: Address = b""
    destination: Address = b""
    hop_limit: int = 0
    home_source: Address | None = None
    home_destination: Address | None = None
    final: Address | None = None
    path: tuple[str, ...] = ()
    missing: int = 0
    fragments: bool = False
    quoted: str = ""
    depth: int = 0
    findings: tuple[Finding, ...] = ()

    def inside(self, name: str) -> _Around:
        """For what a tunnel called `name` carries."""
        path = (*self.path, name) if name else self.path
        return _Around(path=path, quoted=self.quoted, depth=self.depth + 1, fragments=self.fragments)


class Malformed(Exception):
    """A header that cannot be what it claims to be; the text says which and why."""


_IPV6_HEADER = Struct("!IHBB16s16s").unpack_from
_IPV4_HEADER = Struct("!BBHHHBBH4s4s").unpack_from
_UDP_HEADER = Struct("!HHHH").unpack_from
_FRAGMENT_HEADER = Struct("!BBHI").unpack_from


class Peeler:
    """Peels the packets of one capture; keeps the fragments that wait for others."""

    def __init__(self) -> None:
        self.fragments = Reassembler()
        self.passed: Counter[str] = Counter()
        """What was seen and not looked into, in words."""
        self._packet = Packet(0, None, 0, b"", 0)

    def peel(self, packet: Packet) -> Iterator[Payload]:
        """All signalling in a packet; mostly none or one. Raises `Malformed`."""
        self._packet = packet
        ethertype, octets = _link(packet)
        around = _Around(missing=packet.length - len(packet.octets))
        if ethertype == _ETHERTYPE_IPV6:
            return self._ipv6(octets, around)
        if ethertype == _ETHERTYPE_IPV4:
            return self._ipv4(octets, around)
        return iter(())

    def _ip(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        """Either version, as the first four bits say."""
        version = octets[0] >> 4 if octets else 0
        if version == 6:
            return self._ipv6(octets, around)
        return self._ipv4(octets, around) if version == 4 else iter(())

    def _ipv6(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        _deep(around)
        if len(octets) < 40:
            raise Malformed(f"{len(octets)} octets where an IPv6 header has 40 (RFC 8200 3)")
        word, length, next_header, around.hop_limit, around.source, around.destination = _IPV6_HEADER(octets)
        if word >> 28 != 6:
            raise Malformed(f"version {word >> 28} in an IPv6 header (RFC 8200 3)")
        end = 40 + length if length else len(octets) + around.missing  # zero: segmentation left to the interface
        around.missing = max(0, end - len(octets))
        return self._headers(next_header, octets[40:end], around)

    def _headers(self, protocol: int, octets: bytes, around: _Around) -> Iterator[Payload]:
        """The chain of extension headers, and what ends it."""
        for _ in range(DEEPEST):
            if protocol in (_HOP_BY_HOP, _DESTINATION, _ROUTING):
                size = 8 * octets[1] + 8 if len(octets) > 1 else 8
                if size > len(octets):
                    raise Malformed(f"an extension header of {size} octets beyond the packet's end (RFC 8200 4)")
                if protocol == _DESTINATION:
                    _destination_options(octets[2:size], around)
                elif protocol == _ROUTING:
                    _routing(octets[:size], around)
                protocol, octets = octets[0], octets[size:]
            elif protocol == _AH and len(octets) >= 2:
                protocol, octets = octets[0], octets[4 * octets[1] + 8 :]
            elif protocol == _FRAGMENT:
                whole = self._fragment(octets, around)
                if whole is None:
                    return
                protocol, octets = whole
            else:
                yield from self._upper(protocol, octets, around)
                return
        raise Malformed(f"more than {DEEPEST} extension headers (RFC 8200 4.1)")

    def _upper(self, protocol: int, octets: bytes, around: _Around) -> Iterator[Payload]:
        match protocol:
            case 135:
                yield _payload(MOBILITY, octets, around)
            case 58:
                yield from self._icmpv6(octets, around)
            case 41:
                yield from self._ipv6(octets, around.inside(_version(around)))
            case 4:
                yield from self._ipv4(octets, around.inside(_version(around)))
            case 17:
                yield from self._udp(octets, around)
            case 47:
                yield from self._gre(octets, around)
            case 50:
                self.passed["encrypted (ESP)"] += 1
            case _:
                return

    def _icmpv6(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        if not octets:
            return
        if octets[0] > 127:
            yield _payload(ICMPV6, octets, around)
        elif octets[0] in _ERRORS and not around.quoted and len(octets) > 48:
            within = around.inside("")
            within.quoted = f"{_ERRORS[octets[0]]}, code {octets[1]}"
            try:
                for payload in self._ipv6(octets[8:], within):
                    if payload.protocol == MOBILITY:
                        payload.reporter, payload.path = around.source, around.path
                        yield payload
            except Malformed:
                return  # whoever sent the error may quote what it likes

    def _ipv4(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        _deep(around)
        if len(octets) < 20:
            raise Malformed(f"{len(octets)} octets where an IPv4 header has 20 (RFC 791 3.1)")
        first, _, length, identification, word, ttl, protocol, _, source, destination = _IPV4_HEADER(octets)
        size = 4 * (first & 15)
        if first >> 4 != 4 or size < 20:
            raise Malformed(f"an IPv4 header that begins with {first:#04x} (RFC 791 3.1)")
        around.source, around.destination, around.hop_limit = source, destination, ttl
        end = length or len(octets) + around.missing
        around.missing = max(0, end - len(octets))
        data = octets[size:end]
        if word & 0x3FFF:
            key = (source, destination, identification, protocol, around.path)
            whole = self._piece(key, 8 * (word & 0x1FFF), not word & 0x2000, protocol, data, around)
            if whole is None:
                return iter(())
            protocol, data = whole
        if protocol == _IPV6:
            return self._ipv6(data, around.inside("IPv4"))
        if protocol == _IPV4:
            return self._ipv4(data, around.inside("IPv4"))
        if protocol in (_UDP, _GRE, _ESP):
            return self._upper(protocol, data, around)
        return iter(())

    def _udp(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        if len(octets) < 8:
            return iter(())
        source, destination, length, _ = _UDP_HEADER(octets)
        port = next((port for port in (destination, source) if port in udp.PORTS), 0)
        if not port:
            return iter(())
        data = octets[8:length] if length >= 8 else octets[8:]
        if port == udp.PMIPV6_CONTROL:
            around.path = (*around.path, f"UDP {port}")
            payload = _payload(MOBILITY, data, around)
            payload.checksum = len(around.source) == 16
            return iter((payload,)) if data else iter(())
        return self._udp_data(port, data, around)

    def _udp_data(self, port: int, data: bytes, around: _Around) -> Iterator[Payload]:
        """An IP packet, or with the T flag a TLV header before it (RFC 5845 7.2)."""
        within = around.inside(f"UDP {port}")
        within.missing = around.missing
        try:
            what, inner = udp.read(port, data)
        except DecodeError as error:
            raise Malformed(error.what) from None
        match what:
            case udp.Payload.IPV6 | udp.Payload.IPV4:
                return self._ip(inner, within)
            case udp.Payload.GRE:
                return self._gre(inner, within)
            case udp.Payload.UNKNOWN if inner:
                self.passed["in UDP of mobility without a known header"] += 1
        return iter(())

    def _gre(self, octets: bytes, around: _Around) -> Iterator[Payload]:
        """RFC 2784 with the key and sequence number of RFC 2890."""
        if len(octets) < 4 or octets[0] & 0x40 or octets[1] & 7:
            return iter(())
        size = 4 + 4 * sum(bool(octets[0] & flag) for flag in (0x80, 0x20, 0x10))
        ethertype = int.from_bytes(octets[2:4], "big")
        if ethertype not in (_ETHERTYPE_IPV4, _ETHERTYPE_IPV6):
            return iter(())
        within = around.inside("GRE")
        within.missing = around.missing
        return self._ip(octets[size:], within)

    def _fragment(self, octets: bytes, around: _Around) -> tuple[int, bytes] | None:
        if len(octets) < 8:
            raise Malformed(f"{len(octets)} octets where a fragment header has 8 (RFC 8200 4.5)")
        protocol, _, word, identification = _FRAGMENT_HEADER(octets)
        if not word & 0xFFF9:
            return protocol, octets[8:]  # an atomic fragment (RFC 6946) is whole
        key = (around.source, around.destination, identification, around.path)
        return self._piece(key, word & 0xFFF8, not word & 1, protocol, octets[8:], around)

    def _piece(
        self, key: tuple[object, ...], offset: int, last: bool, protocol: int, octets: bytes, around: _Around
    ) -> tuple[int, bytes] | None:
        if around.missing:
            self.passed["fragments cut off by the capture"] += 1
            return None
        packet = self._packet
        whole = self.fragments.add(key, packet.number, packet.time or 0, offset, last, protocol, octets)
        around.fragments = True
        return whole


def _version(around: _Around) -> str:
    """Of the header that carries a tunnel."""
    return "IPv6" if len(around.source) == 16 else "IPv4"


def _deep(around: _Around) -> None:
    if around.depth > DEEPEST:
        raise Malformed(f"more than {DEEPEST} tunnels in each other")


def _payload(protocol: int, octets: bytes, around: _Around) -> Payload:
    return Payload(
        protocol,
        octets,
        around.source,
        around.destination,
        around.hop_limit,
        around.home_source,
        around.home_destination,
        around.final,
        around.path,
        around.missing,
        around.fragments,
        quoted=around.quoted,
        findings=around.findings,
    )


# --- headers ------------------------------------------------------------------------------------------------------


def _destination_options(octets: bytes, around: _Around) -> None:
    """Find the Home Address option (RFC 6275 6.3)."""
    position = 0
    while position < len(octets):
        kind = octets[position]
        if kind == 0:
            position += 1
            continue
        size = octets[position + 1] if position + 1 < len(octets) else 255
        data = octets[position + 2 : position + 2 + size]
        if len(data) < size:
            around.findings += (Finding(f"destination option {kind} beyond its header", "RFC 8200 4.2"),)
            return
        if kind == _HOME_ADDRESS_OPTION:
            _home_address(data, position + 2, around)
        position += 2 + size


def _home_address(data: bytes, position: int, around: _Around) -> None:
    if len(data) != 16:
        around.findings += (Finding(f"a Home Address option of {len(data)} octets", "RFC 6275 6.3"),)
        return
    if position % 8 != 6:
        around.findings += (Finding(f"the Home Address option begins at 8n+{position % 8}, not 8n+6", "RFC 6275 6.3"),)
    if around.home_source is not None:
        around.findings += (Finding("a second Home Address option", "RFC 6275 6.3"),)
        return
    around.home_source = data


def _routing(octets: bytes, around: _Around) -> None:
    """Where the packet will be when its checksum is verified (RFC 8200 8.1)."""
    kind, left = octets[2], octets[3]
    if kind == 2:
        if len(octets) != 24 or left > 1:
            text = f"a type 2 routing header of {len(octets)} octets with {left} segments left"
            around.findings += (Finding(text, "RFC 6275 6.4.1"),)
        if len(octets) >= 24:
            around.home_destination = octets[8:24]
    elif left and kind == 4 and len(octets) >= 24:
        around.final = octets[8:24]  # segments stand in reverse (RFC 8754 2)
    elif left and kind == 0 and len(octets) >= 24:
        around.final = octets[-16:]


# --- link layers --------------------------------------------------------------------------------------------------


def _ethernet(octets: bytes) -> tuple[int, bytes]:
    return _tagged(int.from_bytes(octets[12:14], "big"), octets, 14)


def _tagged(ethertype: int, octets: bytes, position: int) -> tuple[int, bytes]:
    """Behind any VLAN tags (IEEE 802.1Q)."""
    while ethertype in _VLAN and position + 4 <= len(octets):
        ethertype = int.from_bytes(octets[position + 2 : position + 4], "big")
        position += 4
    return ethertype, octets[position:]


def _cooked(octets: bytes) -> tuple[int, bytes]:
    return _tagged(int.from_bytes(octets[14:16], "big"), octets, 16)


def _cooked2(octets: bytes) -> tuple[int, bytes]:
    return _tagged(int.from_bytes(octets[:2], "big"), octets, 20)


def _raw(octets: bytes) -> tuple[int, bytes]:
    version = octets[0] >> 4 if octets else 0
    return {4: _ETHERTYPE_IPV4, 6: _ETHERTYPE_IPV6}.get(version, 0), octets


def _null(octets: bytes) -> tuple[int, bytes]:
    """A family in the byte order of the machine that captured, which nobody wrote down."""
    for order in ("little", "big"):
        family = int.from_bytes(octets[:4], order)
        if family == 2:
            return _ETHERTYPE_IPV4, octets[4:]
        if family in _FAMILY_IPV6:
            return _ETHERTYPE_IPV6, octets[4:]
    return 0, b""


def _ppp(octets: bytes) -> tuple[int, bytes]:
    if octets[:2] == b"\xff\x03":
        octets = octets[2:]
    return {0x57: _ETHERTYPE_IPV6, 0x21: _ETHERTYPE_IPV4}.get(int.from_bytes(octets[:2], "big"), 0), octets[2:]


_LINKS = {
    0: _null,
    1: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _null,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked2,
}
"""By link type (https://www.tcpdump.org/linktypes.html); 12 and 14 are what BSD wrote for raw IP."""


def _link(packet: Packet) -> tuple[int, bytes]:
    """What the link layer says that its payload is, and that payload."""
    read = _LINKS.get(packet.link_type)
    if read is None:
        raise UnknownLink(packet.link_type)
    return read(packet.octets)


class UnknownLink(Exception):
    """A link type that nobody here can read."""

    def __init__(self, link_type: int) -> None:
        super().__init__(f"link type {link_type} cannot be read here")
        self.link_type = link_type
