"""Who does route optimisation: the kernel, where it knows of Mobile IPv6, else programs of ours, or nobody."""

from __future__ import annotations

from sojourn.dataplane.direct_ways import DirectWays
from sojourn.dataplane.kernel_ways import KernelWays
from sojourn.dataplane.netlink import Netlink


def ways(
    netlink: Netlink, correspondent: bool, entries: int, mask: int
) -> tuple[KernelWays | None, DirectWays | None, str]:
    """One of them, or none and why."""
    try:
        return KernelWays(), None, ""
    except OSError:
        pass  # most kernels
    try:
        return None, DirectWays(netlink, correspondent, entries, mask), ""
    except OSError as error:
        return None, None, error.strerror or str(error)
