"""Hosts as they are bought: what they do when they come into a network, and the connections of their users.

A host that enters *another* network does what its network manager does then: it forgets addresses, routes and leases
and begins anew. One that roams *within* a network does nothing at all. DHCP clients are those of the distribution.
"""

from __future__ import annotations

import errno
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeAlias

from sojourn.lab.background import Background
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.namespaces import NetworkNamespace

IpAddress: TypeAlias = IPv4Address | IPv6Address

DHCLIENT_SCRIPT = """\
#!/bin/sh
# What a client hears, one line each, and what it is to do about addresses; nothing of this machine's own files.
case "$reason" in
BOUND6|RENEW6|REBIND6)
  if [ -n "$new_ip6_address" ]; then
    ip -6 address replace "$new_ip6_address/128" dev "$interface" noprefixroute \\
      valid_lft "$new_max_life" preferred_lft "$new_preferred_life"
  fi ;;
EXPIRE6|STOP6|RELEASE6) ip -6 address del "$old_ip6_address/128" dev "$interface" 2>/dev/null ;;
DEPREF6) ip -6 address change "$cur_ip6_address/128" dev "$interface" preferred_lft 0 ;;
BOUND|RENEW|REBIND|REBOOT)
  if [ -n "$new_interface_mtu" ]; then ip link set "$interface" mtu "$new_interface_mtu"; fi
  ip -4 address replace "$new_ip_address/$new_subnet_mask" dev "$interface"
  ip -4 route replace default via "$new_routers" dev "$interface" ;;
EXPIRE|FAIL|STOP|RELEASE) ip -4 address flush dev "$interface" ;;
esac
echo "$reason ${{new_ip6_address:-}}/${{new_ip6_prefixlen:-}} pd=${{new_ip6_prefix:-}} \\
dns=${{new_dhcp6_name_servers:-}}${{new_domain_name_servers:-}} old=${{old_ip6_address:-}} \\
ip=${{new_ip_address:-}} mask=${{new_subnet_mask:-}} router=${{new_routers:-}} mtu=${{new_interface_mtu:-}}" >> {log}
exit 0
"""
_CONFIGURATION = "timeout 5; retry 1; reboot 2; initial-interval 1; select-timeout 0;\n"
_WHERE = "/usr/sbin:/sbin:/usr/bin:/bin"
NEEDED = {"dhclient": "isc-dhcp-client", "ip": "iproute2"}
"""Programs that hosts run, and the packages that have them."""

_TCP_USER_TIMEOUT = 18
_ECHO_PORT = 7


def missing() -> list[str]:
    """The packages of `NEEDED` that are not installed."""
    return [package for program, package in NEEDED.items() if shutil.which(program, path=_WHERE) is None]


class StockHost:
    """One interface of a host of a lab; `asks` is "" for SLAAC, or the option of dhclient for its family."""

    def __init__(self, lab: Lab, name: str, directory: Path, *, asks: str = "", port: str = "") -> None:
        """`port` is what the air calls its second link, ``HOST/2``, when it is that one."""
        self.name = name
        self.interface = "wlan1" if port else "wlan0"
        self.port = port or name
        self._lab = lab
        self._namespace: NetworkNamespace = lab.nodes[name].namespace
        self._asks = asks
        self._directory = directory
        self._client: subprocess.Popen[bytes] | None = None
        self._visits = 0
        settings = {"-4": {"disable_ipv6": 1}, "-6": {"autoconf": 0}}.get(asks, {})
        for key, value in settings.items():
            self._set(key, value)

    def enter(self, router: str) -> None:
        """Into another network: nothing is left of the one before."""
        self.close()
        self._lab.air.detach(self.port)
        self._forget()
        self._lab.air.roam(self.port, router)
        if self._asks:
            self._ask()

    def roam(self, router: str) -> None:
        """To another router of the same network; the host does not notice."""
        self._lab.air.roam(self.port, router, outage=0.02)

    def close(self) -> None:
        """Its client ends without a word."""
        if self._client is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._client.pid, signal.SIGKILL)
            self._client.wait()
            self._client = None

    def _set(self, key: str, value: int) -> None:
        self._namespace.sysctl(f"net/ipv6/conf/{self.interface}/{key}", value)

    def _forget(self) -> None:
        """As a network manager: no address and no route of either family stays."""
        if self._asks == "-4":
            for what in ("address", "route"):
                self._run(["ip", "-4", what, "flush", "dev", self.interface])
        else:
            self._set("disable_ipv6", 1)
            self._set("disable_ipv6", 0)

    def _ask(self) -> None:
        self._visits += 1
        place = self._directory / f"{self.name}-{self._visits}"
        shutil.rmtree(place, ignore_errors=True)  # of an earlier run
        place.mkdir(parents=True)
        (place / "conf").write_text(_CONFIGURATION)
        script = place / "script"
        script.write_text(DHCLIENT_SCRIPT.format(log=place / "heard"))
        script.chmod(0o755)
        client = shutil.which("dhclient", path=_WHERE) or "dhclient"
        command = [client, "-d", "-v", self._asks, "-cf", str(place / "conf"), "-sf", str(script)]
        command += ["-lf", str(place / "leases"), "-pf", str(place / "pid"), self.interface]
        if self._asks == "-6":  # it asks from its link-local address, once that is settled
            usable = f"ip -6 address show scope link -tentative dev {self.interface} | grep -q fe80::"
            command = ["sh", "-c", f'until {usable}; do sleep 0.1; done; exec "$@"', "sh", *command]
        with (place / "log").open("wb") as log:
            self._client = self._lab.nodes[self.name].spawn(command, stdout=log, stderr=log)

    def _run(self, command: list[str]) -> None:
        self._lab.nodes[self.name].spawn(command, stderr=subprocess.DEVNULL).wait()

    @property
    def settled(self) -> bool:
        """Whether it has an address to begin something from."""
        if self._asks == "-4":
            return (self._directory / f"{self.name}-{self._visits}" / "heard").exists()
        found = host_addresses(self._namespace)
        return any(one.interface == self.interface and not one.tentative and not one.deprecated for one in found)

    def connect(self, server: IpAddress, patience: float = 2.0) -> Connection:
        """A connection of a user of this interface, from whatever address the kernel chooses. Raises OSError."""
        return Connection(self._namespace, server, self.interface, patience)


class Connection:
    """A TCP connection to the echo server, given up after `patience` seconds without an acknowledgement."""

    def __init__(self, namespace: NetworkNamespace, server: IpAddress, interface: str, patience: float) -> None:
        """Raises OSError."""
        family = socket.AF_INET6 if server.version == 6 else socket.AF_INET
        with namespace.entered():
            self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            self._socket.settimeout(patience)
            self._socket.connect((str(server), _ECHO_PORT))
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, round(1000 * patience))
        except OSError:
            self._socket.close()
            raise
        self._turn = 0

    @property
    def source(self) -> IpAddress:
        """Our end."""
        name = self._socket.getsockname()[0]
        return IPv6Address(name) if self._socket.family == socket.AF_INET6 else IPv4Address(name)

    def works(self, within: float) -> bool:
        """Whether a line comes back."""
        self._turn += 1
        line = f"{self._turn:08}\n".encode()
        try:
            self._socket.settimeout(within)
            self._socket.sendall(line)
            heard = b""
            while len(heard) < len(line):
                part = self._socket.recv(64)
                if not part:
                    return False
                heard += part
        except OSError:
            return False
        return heard == line

    def push(self) -> None:
        """Send something, and do not wait."""
        self._socket.setblocking(False)
        with suppress(OSError):
            self._socket.send(b"still there?\n")

    def ending(self, within: float) -> str:
        """The error that its user is told within this time; empty when it is told nothing, or data arrive."""
        self._socket.settimeout(within)
        try:
            return "" if self._socket.recv(64) else "closed"
        except TimeoutError as error:  # of the socket's own, or the connection's (ETIMEDOUT)
            return errno.errorcode.get(error.errno or 0, "")
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, "?")

    def close(self) -> None:
        """End it."""
        self._socket.close()


class EchoServer(Background):
    """Whoever connects gets back what it sends; both families, in one thread."""

    def __init__(self, namespace: NetworkNamespace, addresses: list[IpAddress]) -> None:
        self._selector = selectors.DefaultSelector()
        for address in addresses:
            family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
            with namespace.entered():
                listener = socket.create_server((str(address), _ECHO_PORT), family=family)
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, self._accept)
        super().__init__()

    def _leave(self) -> None:
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.2):
                key.data(key.fileobj)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, self._echo)

    def _echo(self, connection: socket.socket) -> None:
        octets = b""
        with suppress(OSError):
            octets = connection.recv(4096)
            connection.send(octets)
        if not octets:
            self._selector.unregister(connection)
            connection.close()


def until(question: Callable[[], bool], patience: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + patience
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer
