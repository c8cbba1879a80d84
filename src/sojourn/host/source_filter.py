"""A packet filter that the kernel runs before a message takes room in a socket: only from these, or from all others.

Without it a flood of forged messages from strangers fills the buffer of a raw socket faster than any program empties
it, and the messages of peers are lost with them. Classic BPF (SO_ATTACH_FILTER), which needs no privilege.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Collection

from sojourn.wire.addresses import Address

MOST = 400
"""Sources that fit: the kernel takes 4,096 instructions, and a source needs ten."""

_SO_ATTACH_FILTER = 26
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NETWORK_HEADER = -0x100000
"""SKF_NET_OFF: offsets from here count from the IPv6 header, which the socket itself does not show."""
_SOURCE = 8
_WHOLE, _NOTHING = 0x40000, 0


def attach(raw: socket.socket, sources: Collection[Address], *, others: bool = False) -> None:
    """`raw` gets only what comes from `sources`; with `others`, only what does not.

    Raises OSError when the kernel refuses and ValueError for more than `MOST` sources.
    """
    program = instructions(sources, others)
    buffer = ctypes.create_string_buffer(program, len(program))
    raw.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )


def instructions(sources: Collection[Address], others: bool) -> bytes:
    """The program, 8 octets an instruction."""
    if len(sources) > MOST:
        raise ValueError(f"{len(sources)} sources, a filter takes {MOST}")
    listed, unlisted = (_NOTHING, _WHOLE) if others else (_WHOLE, _NOTHING)
    program = b""
    for source in sorted(sources):
        words = struct.unpack("!4I", source)
        # The last word first: in one domain it tells most routers apart.
        for left, index in enumerate((3, 2, 1, 0)):
            program += _instruction(_LOAD_WORD, (_NETWORK_HEADER + _SOURCE + 4 * index) & 0xFFFFFFFF)
            program += _instruction(_JUMP_IF_EQUAL, words[index], 0, 2 * (3 - left) + 1)
        program += _instruction(_RETURN, listed)
    return program + _instruction(_RETURN, unlisted)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
