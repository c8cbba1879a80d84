"""What the kernel complains of while something runs: errors, warnings of its own code, leaked references.

It is one log for the machine, so that somebody else's trouble shows as well. Where it may not be read, nothing is
known.
"""

from __future__ import annotations

import os

_ERROR = 3
"""The level of the syslog from which on down a line is one."""
_TROUBLE = ("WARNING:", "BUG:", "Oops", "unregister_netdevice: waiting", "refcount", "soft lockup")


class KernelLog:
    """Listens from now on, until closed."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self.close()

    @property
    def readable(self) -> bool:
        """Whether anything would be known."""
        return self._descriptor >= 0

    def complaints(self) -> list[str]:
        """Those since the last call."""
        found = []
        while self.readable:
            try:
                record = os.read(self._descriptor, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # lines were overwritten before they were read
                continue
            if not record:
                break
            found += complaints(record.decode(errors="replace"))
        return found

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def complaints(record: str) -> list[str]:
    """What is one, of a record ``level,number,time,flags;words`` of /dev/kmsg; what follows it in lines is about it."""
    head, _, words = record.partition(";")
    first = words.partition("\n")[0]
    level = head.partition(",")[0]
    serious = level.isdigit() and int(level) & 7 <= _ERROR
    return [first] if serious or any(word in first for word in _TROUBLE) else []
