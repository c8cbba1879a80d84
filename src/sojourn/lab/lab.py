"""A running lab: a topology as network namespaces with daemons, hosts and air. Use it inside the sandbox."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sojourn.lab.air import Air
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.topology import Kind, Topology


class Node:
    """One node of a running lab."""

    name: str
    kind: Kind
    namespace: NetworkNamespace
    address: str
    """Text of the global address; empty for a host, which makes its own."""
    interface: str
    """``wlan0`` of a host, ``acc0`` of an access router, the first core interface of the others."""

    def spawn(
        self,
        argv: Sequence[str],
        *,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = None,
        stderr: Any = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; it ends with the lab at the latest."""
        raise NotImplementedError


class Lab:
    """``with Lab(topology, output) as lab:`` builds it, starts the daemons, and leaves nothing."""

    nodes: dict[str, Node]
    air: Air

    def __init__(
        self,
        topology: Topology,
        output: Path,
        *,
        daemons: bool = True,
        capture: bool = False,
        seed: int = 0,
    ) -> None:
        """`output` is the directory for logs, event records, stores and captures. Nothing is built yet."""
        raise NotImplementedError

    def up(self) -> None:
        """Build the network, verify the links, start the daemons, put the hosts into their first cells."""
        raise NotImplementedError

    def down(self) -> None:
        """Stop the daemons in order and take everything away. Calling it twice changes nothing."""
        raise NotImplementedError

    def control(self, node: str, request: dict[str, Any]) -> dict[str, Any]:
        """What the daemon of `node` answers over its control socket."""
        raise NotImplementedError

    def stop_daemon(self, node: str, *, kill: bool = False) -> None:
        """Stop the daemon of `node`, in order or with SIGKILL."""
        raise NotImplementedError

    def start_daemon(self, node: str) -> None:
        """Start it again with the same configuration and store; back when it is ready."""
        raise NotImplementedError

    def mark(self, comment: str) -> None:
        """Write a comment (a handover, say) into all captures, at this moment."""
        raise NotImplementedError

    def __enter__(self) -> Lab:
        self.up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()
