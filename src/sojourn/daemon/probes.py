"""What this kernel can do, found out by trying in a network namespace that is thrown away afterwards.

Each probe makes the very object that the data plane or the lab would make and reads it back where kernels are known to
ignore what they do not understand. Run inside a sandbox; nothing is cleaned up.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sojourn.dataplane import filters
from sojourn.dataplane.ipv4_relay import Relay
from sojourn.dataplane.links import add_veth, raise_quiet
from sojourn.dataplane.multicast import MulticastRouting
from sojourn.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    open_netlink,
    split,
)
from sojourn.dataplane.nftables import Nftables
from sojourn.dataplane.object_parts import RTM_GETNEXTHOP, RTM_GETROUTE
from sojourn.dataplane.objects import Rule
from sojourn.dataplane.routes import Nexthop, Route, parse_nexthop, parse_route, routes_request
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnels import BACKENDS, Ip6tnlTunnels, Seg6Tunnels, Tunnels
from sojourn.host.mobile_sockets import MobileSockets
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.wire.addresses import address, prefix

OK, SPARED, DEGRADED, MISSING = "ok", "not needed", "degraded", "missing"

_RTM_NEWLINK, _RTM_NEWQDISC = 16, 36
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_LINK = struct.Struct("=BxHiII")
_IFF_UP = 1
_NEW = NLM_F_CREATE | NLM_F_EXCL
_TABLE, _LOCAL_TABLE = 1400, 1401
_PEER, _PREFIX, _SOURCE = address("2001:db8:ffff::1"), prefix("2001:db8:fffe::/64"), prefix("2001:db8:fffd::/64")
_GATEWAY = address("fe80::1")
_MOBILITY = 135
_ETHER_IPV6 = 0x86DD
_NETLINK_GENERIC = 16


@dataclass(frozen=True)
class Finding:
    """What one probe found."""

    name: str
    state: str
    """``ok``, ``not needed`` (not there, and nothing has to be done), ``degraded`` (works, with less) or
    ``missing``."""
    used_for: str
    needed: bool
    """Whether sojourn cannot do its work without it."""
    detail: str = ""
    remedy: str = ""


class Shortfall(Exception):
    """It is there, but not whole: the probe ends as ``degraded``, or as ``not needed``."""


@dataclass(frozen=True)
class Probe:
    """A thing to try. `run` answers with a detail, or raises OSError (missing) or `Shortfall`."""

    name: str
    used_for: str
    remedy: str
    run: Callable[[], str]
    needed: bool = True
    without: str = MISSING
    """What the lack of something that is needed amounts to."""
    backends: tuple[str, ...] = ()
    """The data planes that it is a part of."""

    def find(self) -> Finding:
        """Try it."""
        try:
            return Finding(self.name, OK, self.used_for, self.needed, self.run())
        except Shortfall as shortfall:
            state = DEGRADED if self.needed else SPARED
            return Finding(self.name, state, self.used_for, self.needed, str(shortfall), self.remedy)
        except OSError as error:
            state = self.without if self.needed else SPARED
            reason = (error.strerror or str(error)).rstrip(".")
            return Finding(self.name, state, self.used_for, self.needed, reason, self.remedy)


def _try_home_addresses() -> str:
    quiet = SignallingFilter()
    try:
        quiet.install()
        MobileSockets((), is_ours=lambda address: False).close()
        return ""
    finally:
        quiet.close()


def find_all() -> list[Finding]:
    """Try everything. To be called in a network namespace of its own, with the right to change it."""
    findings = [probe.find() for probe in PROBES]
    backend = backend_of(findings)
    return [_spared(probe, finding, backend) for probe, finding in zip(PROBES, findings, strict=True)]


def _spared(probe: Probe, finding: Finding, backend: str) -> Finding:
    """What only another data plane than the one that works here would need is not needed."""
    if finding.state == OK or not backend or not probe.backends or backend in probe.backends:
        return finding
    return replace(finding, state=SPARED, needed=False, remedy=f"{backend} does it here")


def untried(reason: str) -> list[Finding]:
    """For where nothing can be tried."""
    return [
        Finding(probe.name, MISSING if probe.needed else SPARED, probe.used_for, probe.needed, reason)
        for probe in PROBES
    ]


def backend_of(findings: list[Finding]) -> str:
    """The data plane that a MAAR would get here; empty when there is none."""
    whole = {finding.name for finding in findings if finding.state == OK}
    for backend in BACKENDS:
        if {probe.name for probe in PROBES if backend in probe.backends} <= whole:
            return backend
    return ""


# --- links --------------------------------------------------------------------------------------------------------

_numbers = itertools.count(1)


def _veth() -> tuple[int, str]:
    """A pair of which both ends are up; answers with one of them."""
    number = next(_numbers)
    near, far = f"probe{number}", f"far{number}"
    netlink = Netlink()
    try:
        add_veth(netlink, near, far, 1500)
        for name in (near, far):
            raise_quiet(netlink, socket.if_nametoindex(name), 1500)
    finally:
        netlink.close()
    return socket.if_nametoindex(near), near


def _request(*messages: Message) -> None:
    netlink = Netlink()
    try:
        netlink.request(*messages)
    finally:
        netlink.close()


def _try_veth() -> str:
    _veth()
    return ""


def _try_bridge() -> str:
    body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + attribute(_IFLA_IFNAME, b"probebr\0")
    _request(Message(_RTM_NEWLINK, _NEW, body + nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"bridge"))))
    return ""


def _try_tun() -> str:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", b"probetun", 0x0001 | 0x1000))  # IFF_TUN | NO_PI
    finally:
        os.close(descriptor)
    return ""


def _try_relay() -> str:
    """Tunnels over IPv4 are made by a process, with a TAP interface and raw sockets."""
    with Relay("probetap", "127.0.0.1", "probe"):
        return "a process of its own tunnels, and goes on without the daemon"


def _try_netem() -> str:
    index, _ = _veth()
    delay = struct.pack("=IIIIII", 1000, 1000, 0, 0, 0, 0)
    body = struct.pack("=BxxxiIII", 0, index, 0x10000, 0xFFFFFFFF, 0) + attribute(1, b"netem\0") + attribute(2, delay)
    _request(Message(_RTM_NEWQDISC, _NEW, body))
    return ""


# --- forwarding ---------------------------------------------------------------------------------------------------


def _holds(route: Route) -> str:
    """Install the route and find it again exactly as it was asked for."""
    netlink = Netlink()
    try:
        netlink.request(route.ensure())
        found = [parse_route(body) for body in netlink.dump(RTM_GETROUTE, routes_request(route.table))]
    finally:
        netlink.close()
    if route not in found:
        raise Shortfall("the kernel took the route, but not as it was asked for")
    return ""


def _try_decapsulation() -> str:
    return _holds(Route(_LOCAL_TABLE, prefix("2001:db8:ffff::2/128"), device=_veth()[0], decapsulate=True))


def _try_nexthop() -> str:
    nexthop = Nexthop(4711, _veth()[0], _GATEWAY)
    netlink = Netlink()
    try:
        netlink.request(nexthop.ensure())
        netlink.request(Route(_TABLE + 2, _PREFIX, nexthop=nexthop.id).ensure())
    finally:
        netlink.close()
    return ""


def _try_tunnels(kind: Callable[[Netlink, LinuxSettings], Tunnels]) -> str:
    """Its devices, a nexthop object and a route by source, found again exactly as they were asked for."""
    settings = LinuxSettings(_PEER, _SOURCE, (), (), tunnels=("probein", "probeout"))
    netlink = Netlink()
    try:
        tunnels = kind(netlink, settings)
        tunnels.prepare(_veth()[0])
        way = tunnels.to(_PEER)
        nexthop = Nexthop(4712, *way)
        netlink.request(nexthop.ensure())
        found = [parse_nexthop(body) for body in netlink.dump(RTM_GETNEXTHOP, bytes(8))]
    finally:
        netlink.close()
    if nexthop not in found:
        raise Shortfall("the kernel took the nexthop, but not as it was asked for")
    return _holds(Route(_TABLE, _PREFIX, _SOURCE, device=way.device, gateway=way.gateway, tunnel=way.tunnel))


def _try_source_route() -> str:
    return _holds(Route(_TABLE + 3, prefix("::/0"), source=_SOURCE, device=_veth()[0]))


def _try_rule() -> str:
    _request(Rule(77, _LOCAL_TABLE, destination=_PEER, ip_protocol=41).ensure())
    return ""


def _try_tunnel_source() -> str:
    """SEG6_CMD_SET_TUNSRC over generic netlink; the kernel wants privileges outside of user namespaces for it."""
    family = _generic_family("SEG6")
    set_tunnel_source, destination = 3, 1
    body = struct.pack("=BBxx", set_tunnel_source, 1) + attribute(destination, _PEER)
    try:
        _generic(family, body)
    except PermissionError:
        raise Shortfall("for root outside of user namespaces only") from None
    return ""


def _generic_family(name: str) -> int:
    controller, get_family, family_name, family_id = 16, 3, 2, 1
    answer = _generic(controller, struct.pack("=BBxx", get_family, 1) + attribute(family_name, name.encode() + b"\0"))
    return int.from_bytes(attributes(answer, 4)[family_id], "little")


def _generic(family: int, body: bytes) -> bytes:
    """The answer of a generic netlink family, or nothing but its acknowledgement."""
    with open_netlink(_NETLINK_GENERIC) as netlink:
        netlink.send(struct.pack("=IHHII", 16 + len(body), family, 0x5, 1, 0) + body)
        answer = b""
        while True:
            for kind, _, _, payload in split(netlink.recv(1 << 16)):
                if kind != 2:
                    answer = payload
                    continue
                number = -struct.unpack_from("=i", payload)[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return answer


# --- sockets ------------------------------------------------------------------------------------------------------


def _try_mobility_socket() -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, _MOBILITY) as raw:
        raw.bind(("::1", 0))
    return ""


def _try_packet_socket() -> str:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
        packets.bind((_veth()[1], _ETHER_IPV6))
    return ""


def _try_multicast_routing() -> str:
    routing = MulticastRouting(_veth()[1], (_veth()[1],))
    try:
        routing.start()
    except OSError as error:
        raise Shortfall(error.strerror or str(error)) from None
    finally:
        routing.close()
    return ""


def _try_nftables() -> str:
    """The packet filter as a whole, with a prefix that it counts."""
    settings = LinuxSettings(_SOURCE.address[:15] + b"\1", _SOURCE, (_PEER,), ("acc0",))
    key = filters.key(_PREFIX)
    table = Nftables()
    try:
        table.install(b"probe", filters.CHAINS, filters.rules(settings), settings.peers, len(key))
        table.add(key)
        if table.counters() != {key: 0}:
            raise Shortfall("the elements of sets do not count")
    finally:
        table.close()
    return ""


_ROUTER = "access routers"
_LAB = "lab and demo"
_HOST = "Mobile IPv6"
_KERNEL = "use a kernel with {}, as Debian 12, Ubuntu 22.04, Fedora and OpenWrt (kmod) have"
_BOTH = ("seg6", "ip6tnl")
_UNCOUNTED = "set counters = false: prefixes end with their node then, not when idle; or "

PROBES = (
    Probe("encap.red", f"{_ROUTER}: into a tunnel (seg6)", _KERNEL.format("CONFIG_IPV6_SEG6_LWTUNNEL"),
          partial(_try_tunnels, Seg6Tunnels), backends=("seg6",)),
    Probe("End.DT6", f"{_ROUTER}: out of a tunnel (seg6)", _KERNEL.format("CONFIG_IPV6_SEG6_LWTUNNEL"),
          _try_decapsulation, backends=("seg6",)),
    Probe("ip6tnl", f"{_ROUTER}: into and out of a tunnel (ip6tnl)", _KERNEL.format("CONFIG_IPV6_TUNNEL"),
          partial(_try_tunnels, Ip6tnlTunnels), backends=("ip6tnl",)),
    Probe("nexthops", f"{_ROUTER}: a handover in one message", "use Linux 5.3 or newer", _try_nexthop, backends=_BOTH),
    Probe("source-routes", f"{_ROUTER}: the way back to the anchor", _KERNEL.format("CONFIG_IPV6_SUBTREES"),
          _try_source_route, backends=_BOTH),
    Probe("rules", f"{_ROUTER}: tunnel ends at ordinary addresses",
          _KERNEL.format("CONFIG_IPV6_MULTIPLE_TABLES") + "; ipproto selectors need Linux 4.17",
          _try_rule, backends=_BOTH),
    Probe("nftables", f"{_ROUTER}: which prefix is idle; small segments",
          _UNCOUNTED + _KERNEL.format("CONFIG_NF_TABLES_IPV6"), _try_nftables, without=DEGRADED),
    Probe("multicast", f"{_ROUTER}: multicast to nodes", _KERNEL.format("CONFIG_IPV6_MROUTE"),
          _try_multicast_routing, needed=False),
    Probe("protocol-135", "signalling between routers", "run with CAP_NET_RAW (see packaging/sojourn@.service)",
          _try_mobility_socket),
    Probe("packet-socket", "hearing and advertising on access links", _KERNEL.format("CONFIG_PACKET"),
          _try_packet_socket),
    Probe("home-addresses", f"{_HOST}: signalling with home addresses in packet headers",
          _KERNEL.format("CONFIG_PACKET, CONFIG_NF_TABLES_IPV6"), _try_home_addresses, needed=False),
    Probe("veth", f"{_LAB}: links", _KERNEL.format("CONFIG_VETH"), _try_veth),
    Probe("bridge", f"{_LAB}: the air; access links with several nodes", _KERNEL.format("CONFIG_BRIDGE"), _try_bridge),
    Probe("netem", f"{_LAB}: delay and loss", "the lab delays packets itself, a little less exactly",
          _try_netem, needed=False),
    Probe("relay", f"{_ROUTER}: tunnels over IPv4 (RFC 5844)", "allow /dev/net/tun, and IPv4 raw sockets",
          _try_relay, needed=False),
    Probe("tun", f"{_LAB}: delay where netem is missing", "allow /dev/net/tun in this container, for more exact links",
          _try_tun, needed=False),
    Probe("tunsrc", "choosing the source of tunnels in the kernel", "the kernel's own choice serves",
          _try_tunnel_source, needed=False),
)  # fmt: skip
