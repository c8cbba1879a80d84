"""Linux namespaces from plain Python: no root, no package of the distribution, no trace.

Python has `os.setns` and `os.unshare` from 3.12 on; for 3.11 the same two calls are made through ctypes. A
network namespace lives as long as a file descriptor, or a process, is in it: nothing is mounted or named, so
that whatever kills us leaves nothing behind.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sojourn.lab import bpf_delegation

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


_WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
_SI_KERNEL = 0x80
_TRIED = (errno.EPERM, errno.ENOSPC, errno.EINVAL, errno.EUSERS)


def sandbox(main: Callable[[], int], *, root: bool = False) -> int:
    """Run `main` in namespaces of its own (user, mount, process, network) and return its exit status.

    Everything that `main` starts or makes ends with it, whatever kills it or us. Without the right to make user
    namespaces, root goes without one, and with `root` does not try; anybody else gets `SandboxUnavailable`. Signals
    that are sent to us reach `main`; SIGTERM, SIGHUP and SIGQUIT as SystemExit. Call it before starting threads.
    """
    uid, gid = os.geteuid(), os.getegid()
    if root and uid != 0:
        raise SandboxUnavailable(errno.EPERM, "only root can do without a user namespace")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    try:
        report, done = os.pipe()
        ours = os.pidfd_open(os.getpid())
        outside, inside = socket.socketpair()
        front = os.fork()
        if front == 0:
            os.close(report)
            outside.close()
            os._exit(_enter_and_run(_Inside(main, before), uid, gid, done, ours, root, inside))
        os.close(done)
        os.close(ours)
        inside.close()
        bpf_delegation.grant(outside)
        with os.fdopen(report, "rb") as stream:
            trouble = stream.read()
        status = _watch(front)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if trouble:
        number = int(trouble)
        raise SandboxUnavailable(number, f"this kernel does not let us make namespaces: {os.strerror(number)}")
    return status


def _watch(child: int, *, everybody: bool = False) -> int:
    """The exit status of `child`, to which signals are passed on; with `everybody` orphans are reaped too.

    The watched signals are blocked and taken here one by one. What the terminal sends (Ctrl-C) it sends to the whole
    group, so that the child has it already; what a process sent to us alone is meant for the child.
    """
    while True:
        while (ended := _reap(-1 if everybody else child)) is not None:
            if ended[0] == child:
                return ended[1]
        told = signal.sigwaitinfo(_WATCHED)
        if told.si_signo != signal.SIGCHLD and told.si_code != _SI_KERNEL:
            os.kill(child, told.si_signo)


def _reap(which: int) -> tuple[int, int] | None:
    try:
        child, status = os.waitpid(which, os.WNOHANG)
    except ChildProcessError:
        return None
    return (child, _status(os.waitstatus_to_exitcode(status))) if child else None


def _die_with(parent: int) -> None:
    """As `die_with_parent`, also when the parent, whose pidfd this is, died already."""
    die_with_parent()
    if select.select([parent], [], [], 0)[0]:
        os._exit(1)
    os.close(parent)


def _enter_and_run(
    main: Callable[[], int], uid: int, gid: int, done: int, parent: int, root: bool, outside: socket.socket
) -> int:
    _die_with(parent)
    try:
        _enter(uid, gid, root)
        _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        bpf_delegation.ask(outside)
    except OSError as error:
        os.write(done, str(error.errno).encode())
        return 1
    die_with_parent()  # once more: a change of credentials may have cleared it
    ours = os.pidfd_open(os.getpid())
    first = os.fork()  # the first process of the new process namespace: when it ends, all in there end
    if first != 0:
        os.close(done)
        return _watch(first)
    _die_with(ours)
    # Tools in the sandbox expect to find themselves in /proc; where a container forbids the mount, the old one serves.
    _libc.mount(b"proc", b"/proc", b"proc", 0, None)
    _loopback_up()
    os.close(done)
    worker = os.fork()
    if worker == 0:
        os._exit(_status(main()))
    return _watch(worker, everybody=True)


def _enter(uid: int, gid: int, root: bool) -> None:
    """New namespaces for the calling process; its children are in the new process namespace. Raises OSError."""
    if not root:
        try:
            unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
            _map_identity(uid, gid)
            return
        except OSError as error:
            if uid != 0 or error.errno not in _TRIED:
                raise
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)


class _Inside:
    """The main function as the worker process runs it: signals as they were, an exit status whatever happens."""

    def __init__(self, main: Callable[[], int], mask: set[signal.Signals | int]) -> None:
        self._main = main
        self._mask = mask

    def __call__(self) -> int:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, _leave)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        try:
            return self._main()
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except SystemExit as leave:
            return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()


def _leave(number: int, _: object) -> None:
    """Once: whoever cleans up because of it is not to be disturbed by a second one."""
    for again in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(again, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _status(code: int) -> int:
    return 128 - code if code < 0 else code


def _map_identity(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
