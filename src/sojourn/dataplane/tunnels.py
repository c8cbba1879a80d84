"""The ways in which Linux tunnels (RFC 2473): how packets get into a tunnel, and how those that come out are let in.

    seg6      the SRv6 code; no device. In: `encap.red` with one segment. Out: End.DT6, a route for each peer
    ip6tnl    two ip6tnl devices of our own, for kernels without that code. In: the first one, which takes the outer
              addresses from the route (collect-metadata mode). Out: the second one; a route for each peer lets its
              packets pass on to where the kernel takes them out, and drops those of anybody else

Both write and read the same octets, so that routers of one domain need not agree. They differ in details: ip6tnl
follows RFC 6040 (congestion marks survive the tunnel) but leaves the traffic class of the outer header zero; a stranger
gets no ICMPv6 error from it. A collect-metadata device also *receives*: any tunnelled packet to any address of the
machine that no other device wants. A rule drops those, which is why there is a second device. Fast handovers have been
tried with seg6 only, and are refused with ip6tnl.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from sojourn.dataplane import links
from sojourn.dataplane.encapsulation import HeaderTunnel, SegmentTunnel, Tunnel
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import Rule
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import TRIAL, LinuxSettings
from sojourn.wire.addresses import ANY, Address, Prefix

AUTO = "auto"
GATEWAY = b"\xfe\x80" + bytes(13) + b"\1"


class Way(NamedTuple):
    """The part of a route or nexthop object that leads into a tunnel."""

    device: int
    gateway: Address | None
    tunnel: Tunnel | None


class Tunnels(Protocol):
    """One way to tunnel."""

    name: str

    def prepare(self, near: int) -> None:
        """Devices are there; `near` is our end of the loop. Raises OSError where the kernel cannot do it."""
        ...

    def to(self, remote: Address) -> Way:
        """Into the tunnel to `remote`."""
        ...

    def objects(self) -> Iterator[Route | Rule]:
        """What takes packets of peers out and nobody else's, and lets our own pass."""
        ...

    def out_of(self, own: Prefix, remote: Address) -> Route:
        """What takes packets from `remote` to one of our addresses out."""
        ...


class Seg6Tunnels:
    """With the kernel's SRv6 code."""

    name = "seg6"

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self._near = 0

    def prepare(self, near: int) -> None:
        self._near = near
        _try_nexthop(self._netlink, self._settings, self.to(self._settings.address))

    def to(self, remote: Address) -> Way:
        return Way(self._near, None, SegmentTunnel(remote))

    def objects(self) -> Iterator[Route | Rule]:
        for address in self._settings.addresses:
            yield from self._ending_at(Prefix(address, 128))

    def _ending_at(self, own: Prefix) -> Iterator[Route]:
        tables = self._settings.tables
        # An encapsulated packet is looked up again, as if the outer header had come from the access interface.
        yield Route(tables.sources, ANY, own, RTN_THROW)
        for peer in self._settings.peers:
            yield self.out_of(own, peer)
            if self._settings.ipv4:
                source = Prefix(peer, 128)
                yield Route(tables.decapsulation_ipv4, own, source, device=self._near, decapsulate_ipv4=True)

    def out_of(self, own: Prefix, remote: Address) -> Route:
        table = self._settings.tables.decapsulation
        return Route(table, own, Prefix(remote, 128), device=self._near, decapsulate=True)


class Ip6tnlTunnels:
    """With two ip6tnl devices."""

    name = "ip6tnl"

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self._entry = 0

    def prepare(self, near: int) -> None:
        if self._settings.ipv4:
            raise OSError(errno.EAFNOSUPPORT, "IPv4 is not led through these")
        if self._settings.handovers:
            raise OSError(errno.EOPNOTSUPP, "there are no fast handovers with these; set handovers = 0")
        if len(self._settings.addresses) > 1:
            raise OSError(errno.EOPNOTSUPP, "these end at one address of this router")
        self._netlink.request(self._nothing_comes_in().ensure())  # before there is anything to come in
        entry, out = self._settings.tunnels
        found = links.links(self._netlink)
        if entry not in found:
            try:
                links.add_tunnel_entry(self._netlink, entry)
            except FileExistsError as error:
                raise OSError(error.errno, "another ip6tnl interface is in external mode; there can be one") from error
        if out not in found or found[out].tunnel_end != self._settings.address:
            links.add_tunnel_exit(self._netlink, out, self._settings.address)
        found = links.links(self._netlink)
        for name in (entry, out):
            links.raise_quiet(self._netlink, found[name].index, self._settings.tunnel_mtu)
        self._entry = found[entry].index
        _try_nexthop(self._netlink, self._settings, self.to(self._settings.address))

    def to(self, remote: Address) -> Way:
        # The gateway keeps the kernel from making a neighbour entry for each inner destination.
        return Way(self._entry, GATEWAY, HeaderTunnel(remote, self._settings.address))

    def objects(self) -> Iterator[Route | Rule]:
        yield self._nothing_comes_in()
        for peer in self._settings.peers:
            yield self.out_of(Prefix(self._settings.address, 128), peer)
        # Not for `own`: a lookup that finds no source there goes on with less specific destinations.
        yield Route(self._settings.tables.decapsulation, ANY, kind=RTN_BLACKHOLE)

    def out_of(self, own: Prefix, remote: Address) -> Route:
        return Route(self._settings.tables.decapsulation, own, Prefix(remote, 128), RTN_THROW)

    def _nothing_comes_in(self) -> Rule:
        return Rule(self._settings.priorities.inner_spoofing, 0, self._settings.tunnels[0])


_KINDS = (Seg6Tunnels, Ip6tnlTunnels)
BACKENDS = tuple(kind.name for kind in _KINDS)


def prepared(netlink: Netlink, settings: LinuxSettings, near: int) -> Tunnels:
    """The tunnels that the settings ask for, or the first kind that this kernel has. Raises OSError without any."""
    refusals: list[str] = []
    for kind in _KINDS:
        if settings.backend not in (AUTO, kind.name):
            continue
        tunnels = kind(netlink, settings)
        try:
            tunnels.prepare(near)
            return tunnels
        except OSError as error:
            if error.errno == errno.EPERM:
                raise
            refusals.append(f"{kind.name}: {(error.strerror or str(error)).rstrip('.')}")
    raise OSError(errno.EOPNOTSUPP, f"this kernel has no tunnels ({'; '.join(refusals)})")


def leftovers(netlink: Netlink, settings: LinuxSettings, used: Tunnels | None) -> Iterator[int]:
    """Our devices for tunnels that `used` does not need: of an earlier life, or all of them at the end."""
    if isinstance(used, Ip6tnlTunnels):
        return
    found = links.links(netlink)
    for name in settings.tunnels:
        if name in found and found[name].kind == "ip6tnl":
            yield found[name].index


def _try_nexthop(netlink: Netlink, settings: LinuxSettings, way: Way) -> None:
    """Whether the kernel takes such a tunnel. Nothing refers to the object while it is there."""
    nexthop = Nexthop(settings.nexthops + TRIAL, *way)
    netlink.request(nexthop.ensure(), nexthop.withdraw())
