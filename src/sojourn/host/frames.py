"""The frames of an access link: what a router says to one host, and what gives a host away.

Octets in, values out and the other way round; the sockets are in `sojourn.host.access`. What hosts send is
checked as RFC 4861 6.1.1, 7.1.1 and 7.1.2, RFC 2710 3 and RFC 3810 5.2 ask before anything is concluded from
it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from sojourn.core.effects import Advertise, AdvertisedPrefix, QueryListeners, SendDhcp
from sojourn.core.events import DhcpReceived, Event, GroupsReported, NodeSeen, Sighting
from sojourn.wire.addresses import ALL_NODES, UNSPECIFIED, Address, LinkLayer
from sojourn.wire.checksum import internet_checksum
from sojourn.wire.dhcpv6 import CLIENT_PORT, SERVER_PORT
from sojourn.wire.errors import DecodeError
from sojourn.wire.icmpv6 import (
    ICMPV6,
    Icmpv6Message,
    Mtu,
    MulticastListenerQuery,
    MulticastListenerReport,
    MulticastListenerReport2,
    NdOption,
    NeighbourAdvertisement,
    NeighbourAdvertisementFlags,
    NeighbourSolicitation,
    PrefixInformation,
    PrefixInformationFlags,
    RouteInformation,
    RouterAdvertisement,
    RouterAdvertisementFlags,
    RouterSolicitation,
    SourceLinkLayerAddress,
    decode_icmpv6,
    encode_icmpv6,
    seal_icmpv6,
    verify_icmpv6,
)
from sojourn.wire.listeners import MulticastAddressRecord
from sojourn.wire.units import MILLISECOND, SECOND

ETHERTYPE_IPV6 = b"\x86\xdd"
QUERY_RESPONSE = 100 * MILLISECOND
"""Hosts spread their answers to a probe over this time."""
ROUTER_LIFETIME_MAX = 0xFFFF * SECOND

_HOP_LIMIT_DISCOVERY = 255
_HOP_LIMIT_LISTENERS = 1
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_PROTOCOL_UDP = 17
_HOP_LIMIT_DHCP = 64
_ROUTER_ALERT = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))
"""The Hop-by-Hop Options header that multicast listener messages travel in (RFC 2711, RFC 3810 5)."""
_ALERT = _ROUTER_ALERT[2:6]
"""The Router Alert option of value 0, MLD; two octets of padding may stand before or behind it."""
_LISTENER_QUERY = 130
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


class Sign(NamedTuple):
    """A host showed itself."""

    link_layer: LinkLayer
    sighting: Sighting
    address: Address | None
    records: tuple[MulticastAddressRecord, ...] = ()
    """What it says of multicast groups, where a router may believe it."""
    old: bool = False
    """It says so in the words of version 1 (RFC 2710)."""


# --- out ----------------------------------------------------------------------------------------------------


def ethernet(destination: LinkLayer, source: LinkLayer, packet: bytes) -> bytes:
    """A frame around an IPv6 packet."""
    return b"".join((destination, source, ETHERTYPE_IPV6, packet))


def advertisement(effect: Advertise) -> bytes:
    """The IPv6 packet of a Router Advertisement: to all nodes, whoever gets the frame (RFC 6085)."""
    autonomous = int(PrefixInformationFlags.AUTONOMOUS) * effect.autonomous
    options: list[NdOption] = [SourceLinkLayerAddress(effect.router_link_layer)]
    options += [PrefixInformation.of(p.prefix, autonomous | _on_link(p), p.valid, p.preferred) for p in effect.prefixes]
    options += [RouteInformation.of(route, effect.lifetime) for route in effect.routes]
    if effect.mtu:
        options.append(Mtu(effect.mtu))
    lifetime = min(effect.lifetime, ROUTER_LIFETIME_MAX)
    flags = RouterAdvertisementFlags.MANAGED * effect.managed | RouterAdvertisementFlags.OTHER * effect.other
    message = RouterAdvertisement(flags=flags, lifetime=lifetime, options=tuple(options))
    return _discovery(message, effect.router, ALL_NODES)


def dhcp(effect: SendDhcp, link_layer: LinkLayer) -> bytes:
    """The frame of a DHCPv6 server's message."""
    length = 8 + len(effect.payload)
    bare = _UDP.pack(SERVER_PORT, CLIENT_PORT, length, 0) + effect.payload
    checksum = internet_checksum(bare, effect.source, effect.destination, _PROTOCOL_UDP) or 0xFFFF
    header = _IPV6.pack(6 << 28, length, _PROTOCOL_UDP, _HOP_LIMIT_DHCP, effect.source, effect.destination)
    packet = b"".join((header, bare[:6], checksum.to_bytes(2, "big"), effect.payload))
    return ethernet(effect.link_layer, link_layer, packet)


def _on_link(advertised: AdvertisedPrefix) -> int:
    return int(PrefixInformationFlags.ON_LINK) if advertised.on_link else 0


def solicitation(router: Address, router_link_layer: LinkLayer, target: Address) -> bytes:
    """The IPv6 packet of a Neighbour Solicitation to `target` itself: are you there (RFC 4861 7.3.1)."""
    message = NeighbourSolicitation(target, (SourceLinkLayerAddress(router_link_layer),))
    return _discovery(message, router, target)


def sign_of_life_query(router: Address) -> bytes:
    """The IPv6 packet of a general multicast listener query: every host has something to answer (RFC 3810
    5.1).
    """
    return _to_listeners(MulticastListenerQuery.general(QUERY_RESPONSE), router, ALL_NODES)


def query(router: Address, effect: QueryListeners) -> bytes:
    """The IPv6 packet of a multicast listener query; a general one goes to all nodes, another one to its group
    (RFC 3810 5.1.15), whoever gets the frame.
    """
    group = effect.group or UNSPECIFIED
    message = MulticastListenerQuery.about(group, effect.within, effect.robustness, effect.interval)
    return _to_listeners(message, router, effect.group or ALL_NODES)


def group_link_layer(group: Address) -> LinkLayer:
    """Where frames to a group go (RFC 2464 7)."""
    return b"\x33\x33" + group[12:]


def _to_listeners(message: Icmpv6Message, router: Address, destination: Address) -> bytes:
    payload = _ROUTER_ALERT + seal_icmpv6(encode_icmpv6(message), router, destination)
    return _IPV6.pack(6 << 28, len(payload), 0, _HOP_LIMIT_LISTENERS, router, destination) + payload


def _discovery(message: Icmpv6Message, source: Address, destination: Address) -> bytes:
    payload = seal_icmpv6(encode_icmpv6(message), source, destination)
    return _IPV6.pack(6 << 28, len(payload), ICMPV6, _HOP_LIMIT_DISCOVERY, source, destination) + payload


# --- in -----------------------------------------------------------------------------------------------------


def is_query(frame: bytes) -> bool:
    """Whether a frame that passed the filter is a multicast listener query, right or not."""
    ours = len(frame) > 62 and frame[12:14] == ETHERTYPE_IPV6 and frame[20] == 0
    return ours and frame[62] == _LISTENER_QUERY


def events(interface: str, frame: bytes, sealed: bool = True) -> list[Event]:
    """What a host said to us, or about itself; empty when it is of no interest or not as the RFCs ask.

    Not `sealed`: the sender's kernel left the UDP checksum to hardware that the frame did not pass.
    """
    if frame[20:21] == bytes((_PROTOCOL_UDP,)):
        asked = _dhcp(interface, frame, sealed)
        return [] if asked is None else [asked]
    found = sign(frame)
    if found is None:
        return []
    events: list[Event] = [NodeSeen(interface, found.link_layer, found.sighting, found.address)]
    if found.records:
        events.append(GroupsReported(interface, found.link_layer, found.records, found.old))
    return events


def _dhcp(interface: str, frame: bytes, sealed: bool) -> DhcpReceived | None:
    """From a link-local address only: the server answers on the link (RFC 8415 13.1, 18.3.10)."""
    if len(frame) < 62 or frame[12:14] != ETHERTYPE_IPV6 or frame[6] & 1:
        return None
    _, length, _, _, source, destination = _IPV6.unpack_from(frame, 14)
    packet = frame[54 : 54 + length]
    if len(packet) < length or length < 8 or source[:8] != b"\xfe\x80" + bytes(6):
        return None
    _, port, size, checksum = _UDP.unpack_from(packet)
    if port != SERVER_PORT or size != length or not checksum:
        return None
    if sealed and internet_checksum(packet, source, destination, _PROTOCOL_UDP):
        return None
    return DhcpReceived(interface, frame[6:12], source, destination, packet[8:])


def sign(frame: bytes) -> Sign | None:
    """What an Ethernet frame says about its sender; None when it says nothing or is not as the RFCs ask."""
    if len(frame) < 58 or frame[12:14] != ETHERTYPE_IPV6 or frame[6] & 1:
        return None  # too short for any of it, or sent by a group
    _, length, following, hop_limit, source, destination = _IPV6.unpack_from(frame, 14)
    payload = frame[54 : 54 + length]
    if len(payload) < length or source[0] == 0xFF:
        return None
    options = b""
    if following == 0 and frame[54:56] == bytes((ICMPV6, 0)):
        options, payload = payload[2:8], payload[8:]
    elif following != ICMPV6:
        return None
    if not verify_icmpv6(payload, source, destination):
        return None
    try:
        message = decode_icmpv6(payload)
    except DecodeError:
        return None
    sighting = _sighting(message, source, destination, hop_limit)
    if sighting is None:
        return None
    if source == UNSPECIFIED:
        return Sign(frame[6:12], sighting, None)
    if isinstance(message, MulticastListenerReport) and _ALERT in options:
        # "Routers silently discard" reports without an address (RFC 3810 5.2.13), but a sign of life they are.
        old = not isinstance(message, MulticastListenerReport2)
        return Sign(frame[6:12], sighting, source, message.memberships, old)
    return Sign(frame[6:12], sighting, source)


def _sighting(message: Icmpv6Message, source: Address, destination: Address, hop_limit: int) -> Sighting | None:
    if isinstance(message, MulticastListenerReport):
        link_local = source == UNSPECIFIED or (source[0] == 0xFE and source[1] & 0xC0 == 0x80)
        return Sighting.MULTICAST_LISTENER if link_local and hop_limit == _HOP_LIMIT_LISTENERS else None
    if hop_limit != _HOP_LIMIT_DISCOVERY:
        return None  # it came through a router, or claims so
    match message:
        case RouterSolicitation():
            return Sighting.ROUTER_SOLICITATION if _source_allowed(message, source) else None
        case NeighbourSolicitation():
            proper = message.target[0] != 0xFF and _source_allowed(message, source)
            if source == UNSPECIFIED:
                proper = proper and destination.startswith(_SOLICITED_NODE)
            return Sighting.NEIGHBOUR if proper else None
        case NeighbourAdvertisement():
            solicited = message.flags & NeighbourAdvertisementFlags.SOLICITED
            proper = message.target[0] != 0xFF and not (solicited and destination[0] == 0xFF)
            return Sighting.NEIGHBOUR if proper else None
        case _:
            return None


def _source_allowed(message: RouterSolicitation | NeighbourSolicitation, source: Address) -> bool:
    """Without an address there is none to tell a link-layer address for (RFC 4861 6.1.1, 7.1.1)."""
    return source != UNSPECIFIED or not any(isinstance(o, SourceLinkLayerAddress) for o in message.options)
