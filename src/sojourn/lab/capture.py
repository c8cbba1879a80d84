"""``python -m sojourn.lab.capture``: what passes at the points of interest of a lab, one pcapng file per
node.

One process serves all points. It gets its sockets from the lab, opened inside the nodes, and on standard
input a line of JSON ``{"snap": octets, "files": [{"path": ..., "interfaces": [{"name": ..., "descriptor":
n}]}]}``; every further line is a comment that goes into each file with its next packet (a handover, say). It
ends with its input.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from sojourn.lab.pcapng import Writer

_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_ETH_P_ALL = 3
_BATCH = 256
_BUFFER = 4 << 20
_TIMESPEC = struct.Struct("@qq")

# Classic BPF (code, jump if true, jump if false, operand). Taken: IPv6 whose next header is the Mobility
# Header (135), ICMPv6 (58) or hop-by-hop options (0, MLD), the first two also behind destination options (60) or a
# routing header (43), and 802.3 frames with a length field (Layer 2 Update, EtherType < 1536).
_SIGNALLING = [
    (0x28, 0, 0, 12),  # A = EtherType
    (0x15, 2, 0, 0x86DD),
    (0x25, 9, 0, 1535),  # other EtherTypes: no
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x30, 0, 0, 20),  # A = next header
    (0x15, 7, 0, 0),
    (0x15, 1, 0, 60),
    (0x15, 0, 1, 43),
    (0x30, 0, 0, 54),  # A = the one behind it
    (0x15, 3, 0, 135),
    (0x15, 2, 0, 58),
    (0x15, 1, 0, 60),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
]


def open_tap(interface: str, everything: bool) -> socket.socket:
    """All frames on `interface` of the calling thread's namespace, or those of the signalling."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    if not everything:
        program = create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in _SIGNALLING))
        argument = struct.pack("@HxxxxxxP", len(_SIGNALLING), addressof(program))
        tap.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
    tap.setblocking(False)
    tap.bind((interface, _ETH_P_ALL))
    return tap


@dataclass
class _File:
    stream: BinaryIO
    writer: Writer
    comment: str = ""


@dataclass
class _Tap:
    socket: socket.socket
    file: _File
    interface: int


def _taps(specification: dict[str, Any]) -> tuple[list[_Tap], list[_File]]:
    taps, files = [], []
    for entry in specification["files"]:
        stream = Path(entry["path"]).open("wb")  # noqa: SIM115 (closed when the process ends)
        file = _File(stream, Writer(stream))
        files.append(file)
        for point in entry["interfaces"]:
            number = file.writer.add_interface(point["name"])
            taps.append(_Tap(socket.socket(fileno=point["descriptor"]), file, number))
    return taps, files


def _drain(tap: _Tap, buffer: bytearray) -> None:
    view = memoryview(buffer)
    for _ in range(_BATCH):
        try:
            length, control, _, _ = tap.socket.recvmsg_into([buffer], 64, socket.MSG_TRUNC)
        except (BlockingIOError, OSError):  # nothing more, or the interface went down
            return
        seconds, nanoseconds = _TIMESPEC.unpack(control[0][2]) if control else (0, 0)
        frame = bytes(view[: min(length, len(buffer))])
        wall = seconds * 1_000_000_000 + nanoseconds
        tap.file.writer.packet(tap.interface, wall, frame, length, tap.file.comment)
        tap.file.comment = ""


def main() -> int:
    """Exit status 0 when standard input ended."""
    specification = json.loads(FileIO(0, closefd=False).readline())  # unbuffered: comments follow
    taps, files = _taps(specification)
    by_descriptor = {tap.socket.fileno(): tap for tap in taps}
    buffer = bytearray(specification["snap"])
    poll = select.poll()
    for descriptor in (0, *by_descriptor):
        poll.register(descriptor, select.POLLIN)
    print("ready", flush=True)
    ended = False
    while not ended:
        for descriptor, _ in poll.poll():
            if descriptor:
                _drain(by_descriptor[descriptor], buffer)
            elif said := os.read(0, 65536):
                for file in files:
                    file.comment = " / ".join(filter(None, [file.comment, *said.decode().splitlines()]))
            else:
                ended = True
    for tap in taps:  # what came before the end belongs to it
        _drain(tap, buffer)
    for file in files:
        file.stream.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
