"""All forwarding entries of all bridges, a share at a time: a table that somebody filled keeps nobody waiting.

The kernel's dump is not a picture of one moment: while entries come and go it repeats some and leaves out others. So
an entry that the dump left out is asked for by itself before anybody concludes that it is gone.
"""

from __future__ import annotations

import errno
import os
import struct

from sojourn.dataplane.netlink import NLM_F_DUMP, NLM_F_REQUEST, Netlink, attribute, open_netlink, split
from sojourn.host import rtnetlink
from sojourn.host.rtnetlink import Station
from sojourn.wire.addresses import LinkLayer

_DATAGRAM = 1 << 16
_DONE, _ERROR = 3, 2
_LLADDR, _MASTER = 2, 9


class Census:
    """One dump at a time. Raises OSError when there is no netlink."""

    def __init__(self) -> None:
        self.running = False
        """More is to come."""
        self._socket = open_netlink(0)
        self._socket.setblocking(False)
        self._sequence = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def begin(self) -> None:
        """Ask for all entries; not while a dump is under way. Raises OSError."""
        self._sequence += 1
        body = rtnetlink.DUMP_STATIONS
        header = 16 + len(body), rtnetlink.RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0
        self._socket.send(struct.pack("=IHHII", *header) + body)
        self.running = True

    def more(self, datagrams: int) -> list[Station]:
        """The next entries, out of at most `datagrams` of the kernel's. Raises OSError: some were lost."""
        found: list[Station] = []
        for _ in range(datagrams):
            if not self.running:
                break
            try:
                octets = self._socket.recv(_DATAGRAM)
            except BlockingIOError:  # until the end there is always more to read
                self.running = False
                raise
            for kind, _flags, sequence, payload in split(octets):
                if sequence != self._sequence:
                    continue
                if kind in (_DONE, _ERROR):
                    self.running = False
                    number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                    if number:
                        raise OSError(number, os.strerror(number))
                else:
                    station = rtnetlink.station(payload)
                    if station is not None:
                        found.append(station)
        return found


def is_there(netlink: Netlink, bridge: int, link_layer: LinkLayer) -> bool:
    """Whether the bridge has an entry for that address. A kernel that cannot be asked (before 5.0): no."""
    body = struct.pack("=BxxxiHBB", rtnetlink.AF_BRIDGE, 0, 0, 0, 0)
    body += attribute(_LLADDR, link_layer) + attribute(_MASTER, struct.pack("=I", bridge))
    try:
        netlink.get(rtnetlink.RTM_GETNEIGH, body)
    except OSError as error:
        return error.errno in (errno.ENOBUFS, errno.ENOMEM)
    return True
