"""Programs that outlive the daemon: how one is started, and, run itself, what each of them does first.

Such a program is a file that imports nothing of ours, with a `PROGRAM`: called with the arguments, it gets ready, which
may raise OSError; its `run` does the work until somebody tells it to end. It has a session of its own and is nobody's
child, so what ends a daemon does not end it; the next life finds it by a socket.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any


def start(program: str, *arguments: str, quiet: bool = False) -> None:
    """Until the file `program` is ready. Raises OSError with what the kernel refused it.

    `quiet`: it does not hold our stderr, so whoever reads that sees its end when we end.
    """
    import subprocess  # the program itself, which has this file for its beginning, would only carry it along

    starting = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
        cwd="/",
    )
    assert starting.stdout is not None
    with starting.stdout:
        said = starting.stdout.readline().decode().strip()
    starting.wait()
    if said != "ready":
        number, _, reason = said.partition(" ")
        raise OSError(int(number) if number.isdigit() else errno.EIO, reason or "the program did not start")


def _loaded(program: str) -> Any:
    """By its file: with -I, as there is no knowing what else is beside us, nothing here can be imported by name."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("outliving_program", program)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PROGRAM


def main(program: str, *arguments: str) -> int:
    """Says ``ready`` when it is, or what the kernel refused."""
    for number in (signal.SIGINT, signal.SIGHUP):  # of the terminal: meant for the daemon
        signal.signal(number, signal.SIG_IGN)
    try:
        work = _loaded(program)(*arguments)
    except OSError as error:
        print(f"{error.errno} {error.strerror}", flush=True)
        return 1
    print("ready", flush=True)
    if os.fork():  # nobody has to wait for it
        return 0
    os.close(1)
    work.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
