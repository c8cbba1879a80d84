"""IPv4 on an access link, as far as it concerns the router itself: a host's DHCP, and whether it is there (ARP)."""

from __future__ import annotations

import struct

from sojourn.core.effects import SendDhcp
from sojourn.core.events import DhcpReceived, NodeSeen, Sighting
from sojourn.wire.addresses import LinkLayer, from_ipv4, to_ipv4
from sojourn.wire.checksum import ones_complement_sum
from sojourn.wire.dhcpv4 import CLIENT_PORT, SERVER_PORT

ETHERTYPE_IPV4 = b"\x08\x00"
ETHERTYPE_ARP = b"\x08\x06"
_HEADER = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_HEAD = (1, 0x0800, 6, 4)
_REQUEST = 1
_PROTOCOL_UDP = 17
_HOP_LIMIT = 64
_DONT_FRAGMENT = 0x4000
_ANY = bytes(4)


# --- out ----------------------------------------------------------------------------------------------------------


def dhcp(effect: SendDhcp, link_layer: LinkLayer) -> bytes:
    """The frame of a server's message."""
    source, destination = to_ipv4(effect.source), to_ipv4(effect.destination)
    length = 8 + len(effect.payload)
    header = _HEADER.pack(0x45, 0, 20 + length, 0, _DONT_FRAGMENT, _HOP_LIMIT, _PROTOCOL_UDP, 0, source, destination)
    header = header[:10] + ones_complement_sum(header).to_bytes(2, "big") + header[12:]
    pseudo = source + destination + struct.pack("!BBH", 0, _PROTOCOL_UDP, length)
    bare = _UDP.pack(SERVER_PORT, CLIENT_PORT, length, 0) + effect.payload
    checksum = ones_complement_sum(pseudo + bare) or 0xFFFF
    sealed = bare[:6] + checksum.to_bytes(2, "big") + bare[8:]
    return b"".join((effect.link_layer, link_layer, ETHERTYPE_IPV4, header, sealed))


def arp_request(link_layer: LinkLayer, node: LinkLayer, target: bytes) -> bytes:
    """The frame of an ARP probe (RFC 5227 2.1.1) to `node` alone: it claims no address of ours."""
    question = _ARP.pack(*_ARP_HEAD, _REQUEST, link_layer, _ANY, bytes(6), target)
    return b"".join((node, link_layer, ETHERTYPE_ARP, question))


# --- in -----------------------------------------------------------------------------------------------------------


def event(interface: str, frame: bytes, sealed: bool = True) -> NodeSeen | DhcpReceived | None:
    """What a host said; None when it is of no interest or not as the RFCs ask.

    Not `sealed`: the sender's kernel left the UDP checksum to hardware that the frame did not pass.
    """
    if len(frame) < 42 or frame[6] & 1:
        return None
    if frame[12:14] == ETHERTYPE_ARP:
        return _arp(interface, frame)
    return _dhcp(interface, frame, sealed)


def _arp(interface: str, frame: bytes) -> NodeSeen | None:
    *head, _, sender, address, _, _ = _ARP.unpack_from(frame, 14)
    if tuple(head) != _ARP_HEAD or sender != frame[6:12]:
        return None
    return NodeSeen(interface, sender, Sighting.NEIGHBOUR, None if address == _ANY else from_ipv4(address))


def _dhcp(interface: str, frame: bytes, sealed: bool) -> DhcpReceived | None:
    version, _, length, _, fragment, _, protocol, _, source, destination = _HEADER.unpack_from(frame, 14)
    start = 14 + 4 * (version & 15)
    packet = frame[14 : 14 + length]
    if version >> 4 != 4 or start < 34 or protocol != _PROTOCOL_UDP or fragment & 0x3FFF or len(packet) < length:
        return None
    if start + 8 > 14 + length or ones_complement_sum(frame[14:start]):
        return None
    udp = packet[start - 14 :]
    _, port, size, checksum = _UDP.unpack_from(udp)
    if port != SERVER_PORT or not 8 <= size <= len(udp):
        return None
    pseudo = source + destination + struct.pack("!BBH", 0, _PROTOCOL_UDP, size)
    if sealed and checksum and ones_complement_sum(pseudo + udp[:size]):
        return None
    return DhcpReceived(interface, frame[6:12], from_ipv4(source), from_ipv4(destination), udp[8:size])
