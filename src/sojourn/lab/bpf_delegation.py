"""Leave for a sandbox to load eBPF programs.

bpf(2) is for root. Root can delegate it to a user namespace (Linux 6.9): a bpf file system that belongs to that
namespace, and on which root wrote what may be done, is mounted there at /sys/fs/bpf; `sojourn.dataplane.bpf.Token`
finds it. Where that fails (an older kernel, a sandbox that was not started by root, one within another), the sandbox
goes without.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
from contextlib import suppress

_TARGET = b"/sys/fs/bpf"
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432  # the same on all machines
_CLOEXEC = 1
_SET_STRING, _CREATE = 1, 6
_EMPTY_PATH = 4
_AT_FDCWD = -100
_DELEGATED = (b"delegate_cmds", b"delegate_maps", b"delegate_progs", b"delegate_attachs")
_PATIENCE = 5.0
"""Seconds."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def ask(channel: socket.socket) -> None:
    """In the new user namespace, before anything else runs there; `channel` leads to `grant`, and is closed."""
    with channel, suppress(OSError):
        if platform.machine() == "alpha":  # system calls have other numbers
            return
        context = _call(_FSOPEN, b"bpf", _CLOEXEC)
        try:
            socket.send_fds(channel, [b"."], [context])
            channel.settimeout(_PATIENCE)
            if channel.recv(1) != b"y":
                return
            mounted = _call(_FSMOUNT, context, _CLOEXEC, 0)
        finally:
            os.close(context)
        try:
            _call(_MOVE_MOUNT, mounted, b"", _AT_FDCWD, _TARGET, _EMPTY_PATH)
        finally:
            os.close(mounted)


def grant(channel: socket.socket) -> None:
    """Outside, as root; returns when the other side asked and was answered, or went away. `channel` is closed."""
    with channel, suppress(OSError):
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        for context in descriptors:
            try:
                for option in _DELEGATED:
                    _call(_FSCONFIG, context, _SET_STRING, option, b"any", 0)
                _call(_FSCONFIG, context, _CREATE, None, None, 0)
                channel.sendall(b"y")
            finally:
                os.close(context)
