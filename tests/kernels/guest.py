"""The first process of the guest kernel: mounts, modules, one command, its status, power off.

It runs from the host's own files, which it sees read only; what it is to do, and what came of it, are files in the
directory `EXCHANGE` of the host. Only the standard library is used.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import traceback
from pathlib import Path

MODULES = (
    *("ipv6", "ip6_tunnel", "veth", "bridge", "tun", "xfrm_user"),
    *("nf_tables", "sch_netem", "sch_tbf", "sch_ingress", "cls_bpf", "act_gact"),
)
EXCHANGE = "/dev/shm"
HERE = Path("/run/exchange")
"""Where the guest sees it."""
_FINIT_MODULE = 313
_MS_NOSUID = 2
_POWER_OFF = 0x4321FEDC

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} {arguments}: {os.strerror(number)}")


def mount(kind: str, where: str, data: str | None = None) -> None:
    """Mount a file system of the kernel's own, or a directory of the host (``hostfs``)."""
    _call("mount", b"none", where.encode(), kind.encode(), _MS_NOSUID, data and data.encode())


def load_modules() -> None:
    """`MODULES`, what they need first. A kernel without modules has them built in."""
    directory = Path("/usr/lib/uml/modules", os.uname().release)
    if not directory.exists():
        return
    needs = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).stem.replace("-", "_")] = [*reversed(others.split()), path]
    loaded: set[str] = set()
    for path in (path for name in MODULES for path in needs[name]):
        if path in loaded:
            continue
        loaded.add(path)
        with (directory / path).open("rb") as module:
            _call("syscall", _FINIT_MODULE, module.fileno(), b"", 0)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def main() -> int:
    """The status of the command."""
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/dev/shm")):
        Path(where).mkdir(exist_ok=True)
        mount(kind, where)
    HERE.mkdir()
    mount("hostfs", str(HERE), EXCHANGE)
    load_modules()
    loopback_up()
    order = json.loads((HERE / "order").read_text())
    with open("/dev/tty1", "w") as terminal:
        return subprocess.call(
            order["command"],
            env=order["environment"],
            cwd=order["directory"],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
        )


if __name__ == "__main__":
    status = 1
    try:
        status = main()
    except BaseException:
        traceback.print_exc()
    finally:
        (HERE / "status").write_text(str(status))
        os.sync()
        _libc.reboot(_POWER_OFF)
