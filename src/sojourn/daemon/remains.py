"""What of sojourn is in this namespace's kernel while no daemon runs: after an orderly stop, nothing."""

from __future__ import annotations

import errno
import socket
from typing import Any

from sojourn.daemon.configuration import kernel_numbers, linux_settings
from sojourn.daemon.model import ROLES, File
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_maar import Maar
from sojourn.daemon.model_mag import Mag
from sojourn.dataplane import direct_ways, flow_filter, kernel_ways, nftables, reconcile, tunnel_traffic
from sojourn.dataplane.home_agent import proxies
from sojourn.dataplane.multicast import is_kept
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import KernelObject
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import UNSPECIFIED

KEPT, LEFT, NONE = "kept", "left behind", "ok"
_REMEDY = "start the daemon and stop it again, which takes everything back"


def remains(file: File) -> list[dict[str, Any]]:
    """A row for each thing that is there, as `sojourn.daemon.selftest` makes them. Raises OSError."""
    kept = any(getattr(getattr(file, role), "keep_forwarding", False) for role in ROLES)
    netlink = Netlink()
    try:
        things = [str(thing) for settings in _settings(file) for thing in _ours(netlink, settings)]
    finally:
        netlink.close()
    things += _beside(file)
    names = {name for settings in _settings(file) for name in (*settings.loop, *settings.tunnels)}
    interfaces = [
        name
        for _, name in socket.if_nameindex()
        if any(name == own or name.startswith((f"{own}-", f"{own[:10]}q", f"{own[:10]}r")) for own in names)
    ]
    things += [f"interface {name}" for name in interfaces] + _tables()
    result, remedy = (KEPT, "keep_forwarding = true asks for it") if kept else (LEFT, _REMEDY)
    rows = [_row(result, thing, remedy) for thing in dict.fromkeys(things)]
    return rows or [_row(NONE, "no daemon runs, and nothing of it is left in the kernel", None)]


def _settings(file: File) -> list[LinuxSettings]:
    found = []
    for role in ROLES:
        section = getattr(file, role)
        if isinstance(section, Maar | Mag | Lma):
            found.append(linux_settings(section))
        elif section is not None and hasattr(section, "kernel"):
            found.append(LinuxSettings(UNSPECIFIED, None, (), (), **kernel_numbers(section.kernel)))
    return found or [LinuxSettings(UNSPECIFIED, None, (), ())]


def _ours(netlink: Netlink, settings: LinuxSettings) -> list[KernelObject]:
    return list(reconcile.ours(netlink, settings))


def _beside(file: File) -> list[str]:
    """What is no route: answers for others on a home link, filters and policies of direct ways, multicast."""
    netlink = Netlink()
    try:
        found = [str(proxy) for proxy in proxies(netlink)] if file.ha is not None else []
        if file.mn is not None or file.cn is not None:
            found += [str(one) for one in direct_ways.filters_left(netlink)]
            found += [str(one) for one in kernel_ways.left()]
    finally:
        netlink.close()
    if is_kept():
        found.append("multicast routing, which a process of sojourn keeps")
    return found


def _tables() -> list[str]:
    """Tables of nf_tables with our names."""
    found = []
    for family, word in ((nftables.NFPROTO_IPV6, "ip6"), (nftables.NFPROTO_IPV4, "ip")):
        for name in (nftables.TABLE, tunnel_traffic.TABLE, *flow_filter.TABLES):
            try:
                table = nftables.Table(family, name)
            except OSError:
                continue
            try:
                if table.fingerprint() is not None:
                    found.append(f"nf_tables table {word} {name}")
            except OSError as error:
                if error.errno not in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM):
                    raise
            finally:
                table.close()
    return found


def _row(result: str, detail: str, remedy: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"node": None, "prefix": None, "check": "kernel", "result": result, "ms": None, "place": None}
    return row | {"detail": detail, "remedy": remedy}
