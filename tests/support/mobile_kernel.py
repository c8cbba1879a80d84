"""A kernel with Mobile IPv6 of its own, or without: which one this is, and the module for a while."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
