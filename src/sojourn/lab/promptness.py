"""Short time slices for processes that must be on time.

A lab puts a whole network on a few processors: links, routers, hosts and whatever else the machine does. On real
hardware a link does not wait for a router, and a router not for the hosts. Linux 6.12 and newer give a process that
asks for short slices the processor at once when it wakes (EEVDF, sched_setattr(2) with ``sched_runtime``), without
any privilege and without more time in all. Older kernels ignore or refuse the wish; then nothing is different.
"""

from __future__ import annotations

import ctypes
import os
import struct

SLICE = 100_000
"""The shortest slice that the kernel grants, in ns."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period."""
_libc = ctypes.CDLL(None, use_errno=True)


def make_prompt(process: int = 0) -> bool:
    """Short slices for `process` (0: the calling thread) and what it starts later; False when that is not to be had.

    Nor is it where somebody gave the process another policy, as chrt(1) does.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return False
    try:
        nice = os.getpriority(os.PRIO_PROCESS, process)
        if os.sched_getscheduler(process) != os.SCHED_OTHER:
            return False
    except ProcessLookupError:  # it ended already
        return False
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, SLICE, 0, 0)
    return int(_libc.syscall(number, process, attributes, 0)) == 0
