"""One node of a running lab: a network namespace and what was put into it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import IO, TypeAlias

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End
from sojourn.lab.topology import Kind

Stream: TypeAlias = int | IO[bytes] | None


class Node:
    """A router, access router, database, anchor, server or host."""

    def __init__(self, name: str, kind: Kind, address: str) -> None:
        self.name = name
        self.kind = kind
        self.namespace = NetworkNamespace(name)
        self.address = address
        """Text of the global address; empty for a host, which makes its own; of a mobile node the home address."""
        self.ends: dict[str, End] = {}
        """Interfaces by name: ``to-NEIGHBOUR`` in the core, ``acc0`` and its port ``air``, ``wlan0``."""
        self.environment: dict[str, str] = {"SOJOURN_NODE": name}
        """What programs find in their environment beside ours."""
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def interface(self) -> str:
        """``wlan0`` of a host, ``acc0`` of an access router, the first core interface of the others."""
        if self.kind in ("host", "mn"):
            return "wlan0"
        return "acc0" if "acc0" in self.ends else next(iter(self.ends), "lo")

    def spawn(
        self,
        argv: Sequence[str],
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
        env: dict[str, str] | None = None,
        new_session: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; it ends with the lab at the latest. `env` is added to our environment.

        In a session of its own by default, so that Ctrl-C reaches the lab alone, which then stops it in
        order.
        """
        self._processes = [process for process in self._processes if process.poll() is None]
        with self.namespace.entered():
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **self.environment, **(env or {})},
                start_new_session=new_session,
            )
        self._processes.append(process)
        return process

    def end_processes(self, grace: float) -> None:
        """What was spawned and still runs gets SIGTERM, and SIGKILL after `grace` seconds."""
        running = [process for process in self._processes if process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def close(self) -> None:
        """Let go of the namespace; it vanishes with the last process in it."""
        self.namespace.close()
