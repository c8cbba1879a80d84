"""Which packets `mobile_sockets` hears where: each once, whatever the kernel makes of their headers.

What travels with a Home Address option or a type 2 routing header is heard by the packet socket, also inside of a
tunnel. A kernel with Mobile IPv6 takes such headers away, where there is a binding, and hands on the rest: the raw
sockets leave that alone. Data it takes by itself, or drops in silence, so that the packet socket is for signalling
only; without Mobile IPv6 in the kernel it hears of data as well (RFC 6275 9.3.1).

Where the headers stand is said in `mobile_packets`.
"""

from __future__ import annotations

from typing import Final

from sojourn.host.packet_filter import Program

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x30, 0x15, 0x35, 0x06
_PACKET_TYPE = 0xFFFFF004
_NETWORK_HEADER = 0xFFF00000
"""SKF_NET_OFF: what a raw socket does not show."""
_WHOLE = 0x40000
_IPV6, _ROUTING, _ICMPV6, _OPTIONS, _MOBILITY = 41, 43, 58, 60, 135
_HOME_ADDRESS, _TYPE_2 = 0xC9, 2
_DISCOVERY = 144
"""The least type of ICMPv6 that mobile nodes and home agents have for themselves."""
_END: Final[Program] = [("take", _RETURN, _WHOLE, "", ""), ("drop", _RETURN, 0, "", "")]

HEARD_PLAINLY: Final[Program] = [
    ("", _LOAD, _NETWORK_HEADER + 6, "", ""),  # next header
    ("", _EQUAL, _OPTIONS, "options", ""),
    ("", _EQUAL, _ROUTING, "", "take"),
    ("", _LOAD, _NETWORK_HEADER + 42, "", ""),  # type of the routing header
    ("", _EQUAL, _TYPE_2, "drop", "take"),
    ("options", _LOAD, _NETWORK_HEADER + 46, "", ""),
    ("", _EQUAL, _HOME_ADDRESS, "drop", "take"),
    *_END,
]
"""For a raw socket of protocol 135."""
ICMPV6_HEARD_PLAINLY: Final[Program] = [
    ("", _LOAD, 0, "", ""),  # type of the message
    ("", _AT_LEAST, _DISCOVERY, "", "take"),
    *HEARD_PLAINLY,
]
"""For one of ICMPv6: errors may come with a Home Address option, by the kernel's own doing."""


def heard_in_packets(signalling_only: bool) -> Program:
    """For a packet socket."""
    inner = 40
    return [
        ("", _LOAD, _PACKET_TYPE, "", ""),
        ("", _EQUAL, 0, "", "drop"),  # for this machine
        ("", _LOAD, 6, "", ""),  # next header
        ("", _EQUAL, _IPV6, "inner", ""),
        *_with_home_address(0, "", signalling_only),
        ("inner", _LOAD, inner + 6, "", ""),
        *_with_home_address(inner, "inner-", signalling_only),
        *_END,
    ]


def _with_home_address(start: int, name: str, signalling_only: bool) -> Program:
    """Of the IPv6 header at `start`, whose next header is loaded."""
    found = name + "found" if signalling_only else "take"
    lines: Program = [
        ("", _EQUAL, _OPTIONS, name + "options", ""),
        ("", _EQUAL, _ROUTING, "", "drop"),
        ("", _LOAD, start + 42, "", ""),
        ("", _EQUAL, _TYPE_2, found, "drop"),
        (name + "options", _LOAD, start + 46, "", ""),
        ("", _EQUAL, _HOME_ADDRESS, found, "drop"),
    ]
    if signalling_only:
        lines += [
            (found, _LOAD, start + 40, "", ""),  # what follows that header, which is of 24 octets
            ("", _EQUAL, _MOBILITY, "take", ""),
            ("", _EQUAL, _ICMPV6, name + "message", ""),
            ("", _EQUAL, _OPTIONS, "", "drop"),  # after a routing header
            ("", _LOAD, start + 64, "", ""),
            ("", _EQUAL, _MOBILITY, "take", "drop"),
            (name + "message", _LOAD, start + 64, "", ""),
            ("", _AT_LEAST, _DISCOVERY, "take", "drop"),
        ]
    return lines
