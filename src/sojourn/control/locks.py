"""Locks that die with whoever holds them, and that other users of the machine cannot hold.

Anybody may lock a file that he can open, also one that he may only read. So our files can be opened by their owner
only, and one that somebody else put in their place is removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

_PAUSE = 0.05
_TRIES = 8


class Held(Exception):
    """Another process holds the lock."""


class FileLock:
    """The file at `path`, made when missing and locked; waits `patience` seconds for another process to let go.

    Raises Held, and OSError when the file cannot be had.
    """

    def __init__(self, path: str | Path, patience: float = 0.0) -> None:
        self.path = str(path)
        end = time.monotonic() + patience
        while True:
            self._descriptor = self._open()
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                if time.monotonic() >= end:
                    raise Held(self.path) from None
                time.sleep(_PAUSE)
                continue
            if self._is_at_its_path():
                return
            os.close(self._descriptor)  # the one who had it removed it

    def close(self) -> None:
        """Let go, and leave nothing behind."""
        if self._descriptor < 0:
            return
        if self._is_at_its_path():
            os.unlink(self.path)
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        for _ in range(_TRIES):
            try:
                descriptor = os.open(self.path, flags, 0o600)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.ELOOP, errno.ENXIO) or not os.path.lexists(self.path):
                    raise
            else:
                status = os.fstat(descriptor)
                if status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                    return descriptor
                os.close(descriptor)
            os.unlink(self.path)  # somebody else's; in a directory of ours nobody can do this twice
        raise OSError(errno.EPERM, "somebody else makes this file again and again", self.path)

    def _is_at_its_path(self) -> bool:
        mine = os.fstat(self._descriptor)
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


_SETTING = "/proc/sys/net/ipv6/conf/all/stable_secret"
"""A file of which each network namespace has its own, and that nobody can open, not even to read, but those who may
change its network. We neither read nor write it.
"""


class NamespaceLock:
    """One for each network namespace, that only those can have who may change its network.

    Processes that see different mounts of /proc, as in two containers, do not see each other's lock.
    Raises Held, and OSError where that file cannot be opened: for want of rights, or in some containers.
    """

    def __init__(self) -> None:
        self._descriptor = os.open(_SETTING, os.O_WRONLY | os.O_CLOEXEC)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Held(_SETTING) from None
            raise

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)
