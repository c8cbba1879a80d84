"""Peers that are reached over IPv4 (RFC 5844 4): the way to them in the kernel, and the process that tunnels.

To routes and nexthop objects a peer is a permanent neighbour on an interface of our own, and its number there is the
end of the neighbour's link-layer address. So one message moves a node to another router as always, and what a NAT made
of a router's address is one entry of the relay's table (`ipv4_relay`), whatever the number of nodes. The interface has
the MTU of the tunnel: the kernel itself answers Packet Too Big.

The kernels that have their own tunnels over IPv4 (ipip, sit, fou) are not asked for them: one device for each peer, and
no table of who may come in with UDP.
"""

from __future__ import annotations

import errno
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from sojourn.dataplane import ipv4_relay, links, outliving
from sojourn.dataplane.ipv4_relay import FIRST, socket_name
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.object_parts import AF_INET
from sojourn.dataplane.objects import KernelObject, Neighbour, Rule
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnels import Way
from sojourn.wire.addresses import Address, text

_PATIENCE = 10.0
"""Seconds for an answer of the relay."""


class Ipv4Transport:
    """The relay, and the neighbours that stand for peers."""

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        assert settings.transport is not None
        self._netlink = netlink
        self._settings = settings
        self._own = settings.transport
        self._numbers = {peer: number for number, peer in enumerate(settings.transport_peers, 1)}
        self._device = 0
        self._asked: set[Address] = set()
        self._line: socket.socket | None = None

    def prepare(self) -> None:
        """The relay runs, with the interface; one of an earlier life goes on. Raises OSError."""
        name = self._settings.transport_device
        self.close()
        self._line = _call(self._settings)
        if self._line is not None and _ask(self._line, {"list": True}).get("whose") != self._whose:
            self.close()
            end_transport(self._settings)
        if self._line is None:
            self._start(name)
            self._line = _call(self._settings)
        found = links.links(self._netlink).get(name)
        if found is None:
            raise OSError(errno.ENODEV, f"the relay of tunnels over IPv4 made no {name}")
        self._device = found.index
        links.raise_quiet(self._netlink, found.index, self._settings.transport_mtu)
        links.write_setting(f"conf/{name}/rp_filter", 0, links.IPV4)

    def close(self) -> None:
        """Let go of the relay, which goes on."""
        if self._line is not None:
            self._line.close()
            self._line = None

    @property
    def _whose(self) -> str:
        """Of this address, with these peers: no other relay will do."""
        return " ".join(map(text, (self._own, *self._numbers)))

    def _start(self, name: str) -> None:
        try:
            outliving.start(ipv4_relay.__file__, name, _dotted(self._own), self._whose)
        except OSError as error:
            raise OSError(error.errno, f"tunnels over IPv4: {error.strerror}") from None

    def leads_to(self, remote: Address) -> bool:
        """Whether this is the way to that peer."""
        return remote in self._numbers

    def to(self, remote: Address) -> Way:
        """Into the tunnel to `remote`."""
        return Way(self._device, self._neighbour(remote).address, None)

    def objects(self) -> Iterator[KernelObject]:
        """The neighbours; and no node speaks to our IPv4 address, whatever source it claims."""
        for remote in self._numbers:
            yield self._neighbour(remote)
        for name in self._settings.access:
            yield Rule(self._settings.priorities.inner_spoofing, 0, name, self._own, family=AF_INET)

    def _neighbour(self, remote: Address) -> Neighbour:
        number = self._numbers[remote].to_bytes(4, "big")
        return Neighbour(self._device, b"\xfe\x80" + bytes(6) + b"\x53\x4a\0\0" + number, FIRST + number)

    # --- effects ------------------------------------------------------------------------------------------------------

    def ensure(self, remote: Address, address: Address, port: int) -> None:
        """Packets to `remote` go there, and are taken from there only. Raises OSError."""
        self._asked.add(remote)
        self._tell({"peers": {self._numbers[remote]: (_dotted(address), port)}})

    def withdraw(self, remote: Address) -> None:
        """They go nowhere. Raises OSError."""
        self._asked.discard(remote)
        self._tell({"forget": [self._numbers[remote]]})

    def finish(self) -> None:
        """What an earlier life asked for and this one did not is gone. Raises OSError."""
        self._tell({"forget": [number for peer, number in self._numbers.items() if peer not in self._asked]})

    def _tell(self, request: dict[str, Any]) -> None:
        answer = {"error": "is gone"} if self._line is None else _ask(self._line, request)
        if answer.get("error"):
            raise OSError(errno.EPIPE, f"the relay of tunnels over IPv4 {answer['error']}")


def end_transport(settings: LinuxSettings) -> None:
    """No relay runs, and its interface is gone. Raises OSError when it does not end."""
    until = time.monotonic() + _PATIENCE
    asked = False
    while (line := _call(settings)) is not None or (asked and _is_there(settings.transport_device)):
        asked = True
        if line is not None:
            with line:
                _ask(line, {"end": True})
        if time.monotonic() > until:
            raise OSError(errno.EBUSY, "the relay of tunnels over IPv4 does not end")
        time.sleep(0.01)


def _call(settings: LinuxSettings) -> socket.socket | None:
    """A line to the relay in this namespace, if there is one."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    line.settimeout(_PATIENCE)
    try:
        line.connect(socket_name(settings.transport_device))
    except OSError:
        line.close()
        return None
    return line


def _ask(line: socket.socket, request: dict[str, Any]) -> dict[str, Any]:
    """The answer of the relay."""
    try:
        line.send(json.dumps(request).encode())
        found = json.loads(line.recv(1 << 20) or b"null")
    except (OSError, ValueError):
        return {"error": "is gone"}
    return found if isinstance(found, dict) else {"error": "is gone"}


def _is_there(interface: str) -> bool:
    return any(name == interface for _, name in socket.if_nameindex())


def _dotted(address: Address) -> str:
    return socket.inet_ntop(socket.AF_INET, address[12:])
