"""A kernel with Mobile IPv6 of its own, or without: which one this is, and the module for a while."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sojourn.dataplane.kernel_ways import usable

_FINIT_MODULE, _DELETE_MODULE = 313, 176
_IN_USE = 11
_PATIENCE = 10.0
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def mobile_ipv6() -> Iterator[None]:
    """The kernel's module is there meanwhile, and not for other tests: it judges Mobility Headers by itself."""
    path = next(Path("/usr/lib/uml/modules", os.uname().release).rglob("mip6.ko"), None)
    if path is None:  # a kernel without modules has it built in
        yield
        return
    with path.open("rb") as module:
        assert _libc.syscall(_FINIT_MODULE, module.fileno(), b"", 0) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        end = time.monotonic() + _PATIENCE
        while _libc.syscall(_DELETE_MODULE, b"mip6", os.O_NONBLOCK) != 0:  # namespaces end in their own time
            number = ctypes.get_errno()
            assert number == _IN_USE, os.strerror(number)
            assert time.monotonic() < end, "mip6 is still in use"
            time.sleep(0.05)


_SHORTEST = {1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2}


def hands_on(octets: bytes) -> bool:
    """Whether a raw socket of this kernel gets to see such a Mobility Header (RFC 6275 9.2)."""
    if not usable():
        return True
    whole = len(octets) >= 8 and 8 * octets[1] + 8 <= len(octets)
    return whole and octets[0] == 59 and octets[1] >= _SHORTEST.get(octets[2], 0)
