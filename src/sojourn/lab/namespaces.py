"""Linux namespaces from plain Python: no root, no package of the distribution, no trace.

Python has `os.setns` and `os.unshare` from 3.12 on; for 3.11 the same two calls are made through ctypes. A
network namespace lives as long as a file descriptor, or a process, is in it: nothing is mounted or named, so
that whatever kills us leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG = 1
_MS_REC = 0x4000
_MS_PRIVATE = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the calling thread (for CLONE_NEWUSER: the process, which must have one thread) new namespaces."""
    _call("unshare", flags)


def setns(descriptor: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace that `descriptor` stands for."""
    _call("setns", descriptor, kind)


def die_with_parent() -> None:
    """The kernel kills the calling process when its parent dies, however that happens."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def own_namespace() -> int:
    """A descriptor of the network namespace that the calling thread is in."""
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class NetworkNamespace:
    """A network namespace of ours, held by a descriptor; close it and it is gone with all that is in it."""

    def __init__(self, name: str) -> None:
        """Make a new one, with its loopback up. `name` is for people."""
        self.name = name
        self.descriptor = _in_thread(_new_namespace)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside. Sockets opened here stay here; not to be held across an await."""
        home = own_namespace()
        try:
            setns(self.descriptor)
            yield
        finally:
            setns(home)
            os.close(home)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns when it runs inside, in a thread of its own."""

        def inside() -> T:
            setns(self.descriptor)
            return function()

        return _in_thread(inside)

    def sysctl(self, name: str, value: str | int) -> None:
        """Set ``net/...`` (slashes) inside."""
        self.call(lambda: Path("/proc/sys", name).write_text(str(value)))

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _new_namespace() -> int:
    unshare(CLONE_NEWNET)
    _loopback_up()
    return own_namespace()


def _loopback_up() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(control, 0x8914, request)  # SIOCSIFFLAGS


def _in_thread(function: Callable[[], T]) -> T:
    """Run in a thread that ends, because a thread that changed its namespace is not to be used again."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


class SandboxUnavailable(OSError):
    """The kernel or a policy forbids user namespaces."""


def sandbox(main: Callable[[], int]) -> int:
    """Run `main` in namespaces of its own (user, mount, process, network) and return its exit status.

    Everything that `main` starts or makes ends with it, whatever kills it or us. Without the right to make
    user namespaces, root goes without one; anybody else gets `SandboxUnavailable`. Call it before starting
    threads.
    """
    uid, gid = os.geteuid(), os.getegid()
    report, done = os.pipe()
    front = os.fork()
    if front == 0:
        os.close(report)
        os._exit(_enter_and_run(main, uid, gid, done))
    os.close(done)
    with os.fdopen(report, "rb") as stream:
        trouble = stream.read()
    status = _wait(front)
    if trouble:
        number = int(trouble)
        raise SandboxUnavailable(number, f"this kernel does not let us make namespaces: {os.strerror(number)}")
    return status


def _wait(child: int) -> int:
    """The exit status of `child`; Ctrl-C is for the child, which gets it too."""
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except KeyboardInterrupt:
            continue


def _enter_and_run(main: Callable[[], int], uid: int, gid: int, done: int) -> int:
    die_with_parent()
    try:
        try:
            unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
            _map_identity(uid, gid)
        except OSError as error:
            if uid != 0 or error.errno not in (errno.EPERM, errno.ENOSPC, errno.EINVAL):
                raise
            unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    except OSError as error:
        os.write(done, str(error.errno).encode())
        return 1
    first = os.fork()  # the first process of the new process namespace: when it ends, all in there end
    if first != 0:
        os.close(done)
        return _status(_wait(first))
    die_with_parent()
    # Tools in the sandbox expect to find themselves in /proc; where a container forbids the mount, the old
    # one serves.
    _libc.mount(b"proc", b"/proc", b"proc", 0, None)
    _loopback_up()
    os.close(done)
    worker = os.fork()
    if worker == 0:
        code = 1
        try:
            code = main()
        except KeyboardInterrupt:
            code = 130
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 1
        finally:
            import sys

            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_status(code))
    return _reap_until(worker)


def _reap_until(worker: int) -> int:
    while True:
        try:
            child, status = os.waitpid(-1, 0)
        except KeyboardInterrupt:
            continue
        if child == worker:
            return _status(os.waitstatus_to_exitcode(status))


def _status(code: int) -> int:
    return 128 - code if code < 0 else code


def _map_identity(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
