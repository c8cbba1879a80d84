"""Which packets `mobile_sockets` hears where: each once, whatever the kernel makes of their headers.

What travels with a Home Address option or a type 2 routing header is heard by the packet socket, also inside of a
tunnel. A kernel with Mobile IPv6 takes such headers away, where there is a binding, and hands on the rest: the raw
sockets leave that alone. Data with a binding it takes too, with every packet passing the packet socket, and drops all
other in silence: there the packet socket hears only data that no binding makes plain (RFC 6275 9.3.1).

Where the headers stand is said in `mobile_packets`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from sojourn.host.packet_filter import Program
from sojourn.wire.addresses import Address

MOST = 40
"""Home addresses that fit: old kernels have 20 KiB for the programs of a socket, the next one and the one before."""
_STORE, _RECALL = 0x02, 0x60
_LOAD, _LOAD_WORD, _EQUAL, _AT_LEAST, _RETURN = 0x30, 0x20, 0x15, 0x35, 0x06
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


def heard_in_packets(taken: Mapping[Address, Address] | None) -> Program:
    """For a packet socket. `taken`: home addresses whose data the kernel takes, with their care-of addresses; None: it
    does not know of such things. With more than `MOST` of them no data is heard."""
    inner, signalling_only = 40, taken is not None
    return [
        ("", _LOAD, _PACKET_TYPE, "", ""),
        ("", _EQUAL, 0, "", "drop"),  # for this machine
        ("", _LOAD, 6, "", ""),  # next header
        ("", _EQUAL, _IPV6, "inner", ""),
        *_with_home_address(0, "", signalling_only, "data"),
        ("inner", _LOAD, inner + 6, "", ""),
        *_with_home_address(inner, "inner-", signalling_only, "drop"),
        *_END,
        *_data(taken or {}),
    ]


def _with_home_address(start: int, name: str, signalling_only: bool, data: str) -> Program:
    """Of the IPv6 header at `start`, whose next header is loaded; `data` is where to go with that."""
    found = name + "found" if signalling_only else "take"
    option = name + "option" if signalling_only else "take"
    lines: Program = [
        ("", _EQUAL, _OPTIONS, name + "options", ""),
        ("", _EQUAL, _ROUTING, "", "drop"),
        ("", _LOAD, start + 42, "", ""),
        ("", _EQUAL, _TYPE_2, found, "drop"),
        (name + "options", _LOAD, start + 46, "", ""),
        ("", _EQUAL, _HOME_ADDRESS, option, "drop"),
    ]
    if signalling_only:
        lines += [
            (found, _LOAD, start + 40, "", ""),  # what follows that header, which is of 24 octets
            ("", _EQUAL, _MOBILITY, "take", ""),
            ("", _EQUAL, _ICMPV6, name + "message", ""),
            ("", _EQUAL, _OPTIONS, "", "drop"),
            ("", _LOAD, start + 64, "", ""),
            ("", _EQUAL, _MOBILITY, "take", "drop"),
            (option, _LOAD, start + 40, "", ""),
            ("", _EQUAL, _MOBILITY, "take", ""),
            ("", _EQUAL, _ICMPV6, name + "message", data),
            (name + "message", _LOAD, start + 64, "", ""),
            ("", _AT_LEAST, _DISCOVERY, "take", "drop"),
        ]
    return lines


def _data(taken: Mapping[Address, Address]) -> Program:
    """With a Home Address option: heard, but that of `taken`. A jump leads over 255 lines at most."""
    if len(taken) > MOST:
        return [("data", _RETURN, 0, "", "")]
    lines: Program = []
    for place, start in enumerate((48, 52, 56, 60, 8, 12, 16, 20)):  # home address and source, read once
        lines += [("" if place else "data", _LOAD_WORD, start, "", ""), ("", _STORE, place, "", "")]
    for number, (home, care_of) in enumerate(taken.items()):
        for place, word in enumerate(struct.unpack("!8I", home + care_of)):
            lines.append(("" if place else f"data-{number}", _RECALL, place, "", ""))
            lines.append(("", _EQUAL, word, "", f"data-{number + 1}"))
        lines.append(("", _RETURN, 0, "", ""))
    return [*lines, (f"data-{len(taken)}", _RETURN, _WHOLE, "", "")]
