"""Forwarding effects carried out: `linux` in the kernel, `memory` in dictionaries.

`LinuxDataplane` and `LinuxSettings` are in `sojourn.dataplane.linux`, so that the simulator loads no netlink.
"""

from sojourn.dataplane.base import Dataplane
from sojourn.dataplane.memory import MemoryDataplane

__all__ = ["Dataplane", "MemoryDataplane"]
