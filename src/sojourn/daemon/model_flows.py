"""The table `[[mn.flows]]`: which links which packets of a mobile node take (RFC 6089, see `model`)."""

from __future__ import annotations

import socket
from typing import Annotated, TypeAlias

from pydantic import PlainValidator

from sojourn.daemon.model_extensions import DscpField
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.files.fields import Expected, InterfaceField, PrefixField, SwitchField, wrong
from sojourn.files.sections import Section, setting
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc6088 import AddressRange, Ipv6TrafficSelector

_PROTOCOLS = {
    "tcp": socket.IPPROTO_TCP,
    "udp": socket.IPPROTO_UDP,
    "icmpv6": socket.IPPROTO_ICMPV6,
    "sctp": 132,
    "esp": socket.IPPROTO_ESP,
}
_PORT_MAX = 65535


def _parse_protocol(value: object) -> int:
    """A name that is known here, or a number."""
    known = _PROTOCOLS.get(value) if isinstance(value, str) else value
    if isinstance(known, bool) or not isinstance(known, int) or not 0 <= known <= 255:
        raise wrong(f"this is not one of {', '.join(_PROTOCOLS)} or a number from 0 to 255")
    return int(known)


def _parse_ports(value: object) -> tuple[int, int | None]:
    """One number, or the first and the last one."""
    if isinstance(value, tuple):
        return value
    words = str(value).split("-") if isinstance(value, int | str) and not isinstance(value, bool) else []
    if len(words) not in (1, 2) or not all(word.strip().isdecimal() for word in words):
        raise wrong("this is not a port, or two with a dash between them")
    first, last = int(words[0]), int(words[-1])
    if not first <= last <= _PORT_MAX:
        raise wrong(f"ports go from 0 to {_PORT_MAX}, the lower one first")
    return first, last if len(words) == 2 else None


ProtocolField: TypeAlias = Annotated[
    int,
    PlainValidator(_parse_protocol, json_schema_input_type=str | int),
    Expected('"tcp", "udp", "icmpv6", "sctp", "esp" or the number of a protocol', "udp"),
]
PortsField: TypeAlias = Annotated[
    tuple[int, int | None],
    PlainValidator(_parse_ports, json_schema_input_type=str | int),
    Expected("a port, or a range of them", "5004-5005"),
]
LinksField: TypeAlias = Annotated[tuple[InterfaceField, ...], Expected("a list of interfaces", ["lte0", "wlan0"])]


class MnFlow(Section):
    """Packets that take certain links, where `several` is on (RFC 6089). What is not said may be anything."""

    links: LinksField = setting("The first of these that leads anywhere; if none does, the way of all other packets.")
    shared: SwitchField = setting(
        "All of these links that lead anywhere, each for a part of this node's ports, instead of the first.", False
    )
    protocol: ProtocolField | None = setting("What the packets carry.", None)
    peer: PrefixField | None = setting("The others at the far end.", None, example="2001:db8:300::/48")
    peer_ports: PortsField | None = setting("Their ports.", None, example="443")
    ports: PortsField | None = setting("The ports of this node.", None)
    dscp: DscpField | None = setting("The differentiated services code point of packets to this node.", None)

    def policy(self) -> FlowPolicy:
        """What the engine is told."""
        selector = Ipv6TrafficSelector(
            source=_range(self.peer),
            source_port=self.peer_ports,
            destination_port=self.ports,
            traffic_class=None if self.dscp is None else (self.dscp << 2, self.dscp << 2 | 3),
            next_header=None if self.protocol is None else (self.protocol, None),
        )
        return FlowPolicy(selector, self.links, self.shared)


def _range(prefix: Prefix | None) -> AddressRange:
    if prefix is None or prefix.length == 0:
        return None
    first = int.from_bytes(prefix.address, "big")
    last = first | ((1 << (128 - prefix.length)) - 1)
    return prefix.address, None if first == last else last.to_bytes(16, "big")
