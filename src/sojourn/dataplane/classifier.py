"""eBPF programs at interfaces: filters of the classifying qdisc (clsact), which see every packet that comes or leaves.

A filter belongs to the kernel: packets go through it whether or not the process that attached it still runs. Those of
ours are found again by preference and name. Of several with one preference the newest is asked first, and the next one
only if it has nothing to say (`UNSPEC`): so a new life attaches its own programs, and takes those of the earlier one
away when it has made everything hold again.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, Netlink, attribute, attributes, nested, u32

UNSPEC, OK, SHOT = -1, 0, 2
"""What a program says of a packet: the next filter decides; it goes on; it is dropped."""
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
PREFERENCE = 140
"""Of our filters, if nothing else is said; lower ones are asked first."""
_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_CLSACT_PARENT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS, _TCA_BPF_ID = 6, 7, 8, 11
_DIRECT_ACTION = 1
_ALL_PROTOCOLS = 0x0300
"""ETH_P_ALL in network order."""
_TC = struct.Struct("=BxxxiIII")
"""struct tcmsg: family, interface, handle, parent, info (preference and protocol)."""


class Filter(NamedTuple):
    """One program at one interface."""

    device: int
    parent: int
    """`INGRESS` or `EGRESS`."""
    handle: int
    name: str
    program: int
    """The kernel's number of the program."""
    preference: int = PREFERENCE

    def __str__(self) -> str:
        direction = "ingress" if self.parent == INGRESS else "egress"
        return f"filter {self.name} {direction} interface {self.device}"


def attach(
    netlink: Netlink, device: int, parent: int, name: str, descriptor: int, preference: int = PREFERENCE
) -> None:
    """Packets at `device` go through the program; in front of those that are there. Raises OSError."""
    qdisc = _TC.pack(0, device, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_TCA_KIND, b"clsact\0")
    netlink.request(Message(_RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, qdisc, (errno.EEXIST,)))
    options = u32(_TCA_BPF_FD, descriptor) + attribute(_TCA_BPF_NAME, name.encode() + b"\0")
    options += u32(_TCA_BPF_FLAGS, _DIRECT_ACTION)
    body = _TC.pack(0, device, 0, parent, preference << 16 | _ALL_PROTOCOLS)
    body += attribute(_TCA_KIND, b"bpf\0") + nested(_TCA_OPTIONS, options)
    netlink.request(Message(_RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, body))


def filters(netlink: Netlink, device: int, parent: int) -> list[Filter]:
    """The eBPF filters at one side of an interface, in the order in which they are asked."""
    try:
        answers = netlink.dump(_RTM_GETTFILTER, _TC.pack(0, device, 0, parent, 0))
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENODEV, errno.ENOENT):  # no clsact there, no such interface
            return []
        raise
    found = []
    for body in answers:
        _, index, handle, where, info = _TC.unpack_from(body)
        values = attributes(body, _TC.size)
        if values.get(_TCA_KIND) != b"bpf\0" or not handle or index != device or where != parent:
            continue
        options = attributes(values.get(_TCA_OPTIONS, b""))
        name = options.get(_TCA_BPF_NAME, b"").rstrip(b"\0").decode("ascii", "replace")
        program = int.from_bytes(options.get(_TCA_BPF_ID, b""), "little")
        found.append(Filter(index, where, handle, name, program, info >> 16))
    return found


def detach(netlink: Netlink, found: Filter) -> None:
    """That filter is gone."""
    body = _TC.pack(0, found.device, found.handle, found.parent, found.preference << 16 | _ALL_PROTOCOLS)
    body += attribute(_TCA_KIND, b"bpf\0")
    netlink.request(Message(_RTM_DELTFILTER, 0, body, (errno.ENOENT, errno.ENODEV, errno.EINVAL)))


def tidy(netlink: Netlink, device: int) -> None:
    """An interface without filters has no classifying qdisc either."""
    for parent in (INGRESS, EGRESS):
        if netlink.dump(_RTM_GETTFILTER, _TC.pack(0, device, 0, parent, 0)):
            return
    body = _TC.pack(0, device, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_TCA_KIND, b"clsact\0")
    netlink.request(Message(_RTM_DELQDISC, 0, body, (errno.ENOENT, errno.ENODEV, errno.EINVAL)))
