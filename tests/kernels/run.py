"""``python tests/kernels/run.py [--wire INTERFACE] COMMAND ...``: a command on another kernel, in user-mode Linux.

The kernel is Debian's (package user-mode-linux), or the one that the environment variable ``UML`` names. It sees the
files of this machine read only, has one processor, and no network but, as ``vec0``, the far end of what `INTERFACE` is
connected to. The exit status is that of the command. Everything runs in namespaces of its own: whatever kills us, no
process and no file is left.

Where a tool is missing the command is not run, which is a failure in CI (``CI=true``) and else only said.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from sojourn.lab.namespaces import SandboxUnavailable, sandbox

MEMORY = "512M"
PATIENCE = 1800
"""Seconds after which a guest that does not end is stopped."""
GUEST = Path(__file__).resolve().with_name("guest.py")
EXCHANGE = "/dev/shm"
"""A file system of our own in the sandbox: the guest's memory, and what we tell each other (see guest.py)."""
_INHERITED = ("CI", "SOJOURN_BACKENDS")


class ToolMissing(Exception):
    """Something that has to be installed; the text says what."""


def kernel() -> str:
    """The path of the kernel, which is an ordinary program."""
    name = os.environ.get("UML", "linux.uml")
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"no {name} here: apt install user-mode-linux")
    return found


def compiler() -> str | None:
    """The C compiler that this processor's registers make necessary, if they do; see xstate.c."""
    if "amx_tile" not in Path("/proc/cpuinfo").read_text().split():
        return None
    for name in ("cc", "gcc", "clang", "tcc"):
        if found := shutil.which(name):
            return found
    raise ToolMissing("this processor has AMX, so that user-mode Linux needs a C compiler: apt install tcc")


def larger_registers(compiler: str | None, directory: Path) -> dict[str, str]:
    """What the kernel's environment has to say for it."""
    if compiler is None:
        return {}
    library = directory / "xstate.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-nostdlib", "-o", library, GUEST.with_name("xstate.c")], check=True)
    return {"LD_PRELOAD": str(library)}


def wire_to(interface: str) -> socket.socket:
    """All frames that pass `interface`. Raises OSError."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 3))  # ETH_P_ALL
    promiscuous = struct.pack("=iHH8x", socket.if_nametoindex(interface), 1, 0)
    wire.setsockopt(263, 1, promiscuous)  # SOL_PACKET, PACKET_ADD_MEMBERSHIP
    wire.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
    return wire


def boot(kernel: str, compiler: str | None, command: list[str], wire: socket.socket | None) -> int:
    """Run `command` in the guest, in a sandbox: its status."""
    if ctypes.CDLL(None, use_errno=True).mount(b"none", EXCHANGE.encode(), b"tmpfs", 0, None) != 0:
        print(f"cannot mount on {EXCHANGE}: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        return 1
    scratch = {"HOME": EXCHANGE, "TMPDIR": EXCHANGE}
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SOJOURN_SANDBOX": "1",
        "SOJOURN_KERNEL": "other" if "UML" in os.environ else "stock",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": os.environ.get("TERM", "dumb") if sys.stdout.isatty() else "dumb",
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
    }
    order = {"command": command, "environment": environment | scratch, "directory": os.getcwd()}
    directory = Path(EXCHANGE)
    (directory / "order").write_text(json.dumps(order))
    arguments = [
        *(f"mem={MEMORY}", "root=/dev/root", "rootfstype=hostfs", "ro", "quiet", "con=null", "con0=null,fd:1"),
        *(f"uml_dir={EXCHANGE}/uml/", f"init={sys.executable}", "--", "-I", str(GUEST)),
    ]
    if wire is not None:
        arguments.insert(0, f"vec0:transport=fd,fd={wire.fileno()},vec=0")
    passed = [] if wire is None else [wire.fileno()]
    environment = {**os.environ, **scratch, **larger_registers(compiler, directory)}
    return _watch([kernel, *arguments], environment, directory, passed)


def _watch(arguments: list[str], environment: dict[str, str], directory: Path, passed: list[int]) -> int:
    """The guest's words are passed on; those of its kernel only when it ends without a status."""
    log = directory / "kernel.log"
    reading, writing = os.pipe()
    with log.open("wb") as console:
        guest = subprocess.Popen(
            [arguments[0], f"con1=null,fd:{writing}", *arguments[1:]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=(writing, *passed),
            process_group=0,
        )
    os.close(writing)
    # All of its processes: each holds the pipe, whose end we wait for.
    timer = threading.Timer(PATIENCE, os.killpg, (guest.pid, signal.SIGKILL))
    timer.start()
    with os.fdopen(reading, "rb", 0) as words:
        while octets := words.read(4096):
            os.write(1, octets.replace(b"\r\n", b"\n"))
    guest.wait()
    timer.cancel()
    try:
        return int((directory / "status").read_text())
    except (OSError, ValueError):
        sys.stderr.write(log.read_text(errors="replace")[-8000:])
        print(f"the guest kernel ended without a status ({guest.returncode})", file=sys.stderr)
        return 1


def main() -> int:
    """See the head of this file."""
    missing = 1 if os.environ.get("CI") == "true" else 0
    command, wire = sys.argv[1:], None
    if command[:1] == ["--wire"]:
        command, wire = command[2:], wire_to(command[1])
    try:
        tools = kernel(), compiler()
        return sandbox(lambda: boot(*tools, command, wire))
    except ToolMissing as error:
        print(f"not run on another kernel: {error}", file=sys.stderr)
        return missing
    except SandboxUnavailable as error:
        print(f"not run on another kernel: {error.strerror}", file=sys.stderr)
        return missing


if __name__ == "__main__":
    raise SystemExit(main())
