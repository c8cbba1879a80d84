"""Whether the default routes of this machine changed: direct ways lead through the routers that these name."""

from __future__ import annotations

import socket
import struct

from sojourn.dataplane.netlink import NETLINK_ROUTE, split

_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_GROUP_IPV6_ROUTE = 11
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN = 254
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_DATAGRAM = 1 << 16
_DRAIN = 256


class RouteWatch:
    """Raises OSError when there is no netlink."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _GROUP_IPV6_ROUTE)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def changed(self) -> bool:
        """Whether one came or went since; also when notifications were lost."""
        found = False
        for _ in range(_DRAIN):
            try:
                octets = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                found = True  # ENOBUFS: something was missed
                continue
            for kind, _flags, _sequence, payload in split(octets):
                if kind in (_RTM_NEWROUTE, _RTM_DELROUTE) and len(payload) >= _ROUTE.size:
                    _, length, _, _, table, _, _, _, _ = _ROUTE.unpack_from(payload)
                    found |= length == 0 and table == _MAIN
        return found
