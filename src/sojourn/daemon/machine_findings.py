"""What is true of this machine, seen from where we are (not from a sandbox): Python, IPv6, interfaces, tools."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import sys
from pathlib import Path

from sojourn.daemon.machine import LOOPBACK, ipv6_here
from sojourn.daemon.probes import MISSING, OK, SPARED, Finding
from sojourn.dataplane.direct_ways import DirectWays
from sojourn.dataplane.netlink import Netlink

TUNNEL_OVERHEAD = 40
"""Octets of the outer IPv6 header (RFC 2473)."""
ETHERNET_MTU = 1500
_OLDEST_PYTHON = (3, 11)
_SIOCGIFMTU = 0x8921
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 1
_TOOLS = {
    "tshark": ("reading captures of the lab; tests/interop", "apt install tshark"),
    "nft": ("looking at counters and filters by hand", "apt install nftables"),
    "ip": ("looking at routes by hand", "apt install iproute2"),
}


def look_around() -> list[Finding]:
    """All of it; nothing is changed."""
    return [_python(), _ipv6(), _forwarding(), _mtu(), _direct_ways(), *(_tool(name) for name in _TOOLS)]


def _python() -> Finding:
    state = OK if sys.version_info >= _OLDEST_PYTHON else MISSING
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", state, "everything", True, found, "" if state == OK else "install Python 3.11 or newer")


def _ipv6() -> Finding:
    if ipv6_here():
        return Finding("ipv6", OK, "everything", True)
    return Finding("ipv6", MISSING, "everything", True, "switched off", "boot without ipv6.disable=1")


def _forwarding() -> Finding:
    used_for = "an access router on this machine"
    try:
        on = Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text().strip() == "1"
    except OSError:
        on = False
    if on:
        return Finding("forwarding", OK, used_for, False)
    return Finding(
        "forwarding", SPARED, used_for, False, "off", "on routers only: sysctl net.ipv6.conf.all.forwarding=1"
    )


def _direct_ways() -> Finding:
    """A program is loaded, and let go without having been anywhere: a sandbox might refuse what the daemon may do."""
    used_for = "mobile and correspondent nodes: the direct way"
    remedy = "run as root on a kernel with CONFIG_NET_CLS_BPF; else packets go by way of the home agent"
    try:
        netlink = Netlink()
        try:
            DirectWays(netlink, False, 1).leave()
        finally:
            netlink.close()
    except OSError as error:
        return Finding("direct-ways", SPARED, used_for, False, error.strerror or str(error), remedy)
    return Finding("direct-ways", OK, used_for, False, "ebpf")


def _mtu() -> Finding:
    used_for = "tunnels between access routers"
    mtus = {name: mtu for name, mtu in _mtus().items() if mtu < ETHERNET_MTU + TUNNEL_OVERHEAD}
    if not mtus:
        return Finding("mtu", OK, used_for, False)
    found = ", ".join(f"{name} {mtu}" for name, mtu in sorted(mtus.items())[:4])
    note = f"{found}; nodes are told {TUNNEL_OVERHEAD} octets less than `mtu` of the configuration"
    return Finding("mtu", OK, used_for, False, note)


def _mtus() -> dict[str, int]:
    """The MTU of every interface that is up."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _, name in socket.if_nameindex():
            if name == LOOPBACK:
                continue
            try:
                request = struct.pack("16s24x", name.encode())
                (flags,) = struct.unpack_from("=H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
                if flags & _IFF_UP:
                    (found[name],) = struct.unpack_from("=i", fcntl.ioctl(control, _SIOCGIFMTU, request), 16)
            except OSError:
                continue  # it went away
    return found


def _tool(name: str) -> Finding:
    used_for, remedy = _TOOLS[name]
    where = shutil.which(name)
    if where:
        return Finding(name, OK, used_for, False, where)
    return Finding(name, SPARED, used_for, False, "not installed", f"{remedy}, if wanted")
