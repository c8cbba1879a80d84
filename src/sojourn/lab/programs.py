"""Programs of the distribution in a lab, where they are installed: they know nothing of mobility, and are not ours.

OpenSSH keeps a session with a shell (`openssh`), ``curl`` fetches a file over HTTP, ``iperf3`` sends over TCP. Each
begins before the first move and ends after the last one, at a pace that lets it last so long.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from sojourn.lab.lab import Lab
from sojourn.lab.openssh import LINES, PATH, OpenSsh
from sojourn.lab.report import Verdict
from sojourn.lab.traffic_http import HTTP_PORT, digest

RATE = 100_000
"""Octets a second."""
TOOLS = {"OpenSSH": ("sshd", "ssh", "ssh-keygen"), "curl": ("curl",), "iperf3": ("iperf3",)}
_PATIENCE = 30.0
_READY_WITHIN = 10.0
_IPERF_PORT = 5201


def missing() -> list[str]:
    """Those of `TOOLS` that are not installed here."""
    return [name for name, tools in TOOLS.items() if any(shutil.which(tool, path=PATH) is None for tool in tools)]


class Programs:
    """Those that are there, from `source` at `host` to `address` at `server`, for so many seconds."""

    def __init__(self, lab: Lab, host: str, source: str, server: str, address: str, seconds: float) -> None:
        self._lab, self._host, self._server = lab, host, server
        self._source, self._address = source, address
        self._output = lab.output / "programs"
        self._output.mkdir(parents=True, exist_ok=True)
        self._octets, self._lines = int(seconds * RATE), int(seconds * LINES)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._right: dict[str, bool] = {}
        absent = missing()
        self._shell = None if "OpenSSH" in absent else self._start_openssh()
        if "curl" not in absent:
            self._start_curl()
        if "iperf3" not in absent:
            self._start_iperf(seconds)

    def finish(self) -> dict[str, bool]:
        """Whether each of them ended well; waits for them."""
        for name, process in self._running.items():
            try:
                done = process.wait(_PATIENCE) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done = False
            self._right[name] = done and self._received_right(name)
        return self._right

    def _received_right(self, name: str) -> bool:
        if name == "OpenSSH":
            return self._shell is not None and self._shell.right(self._lines)
        return name != "curl" or hashlib.sha256(self._file.read_bytes()).hexdigest() == digest("curl", self._octets)

    def _start_openssh(self) -> OpenSsh:
        shell = OpenSsh(self._output / "openssh", self._lab.nodes[self._server], self._address)
        if self._is_ready("OpenSSH", shell.process, shell.log, OpenSsh.READY):
            self._running["OpenSSH"] = shell.session(self._lab.nodes[self._host], self._source, self._lines)
        return shell

    def _start_curl(self) -> None:
        url = f"http://[{self._address}]:{HTTP_PORT}/curl?octets={self._octets}&rate={RATE}"
        command = ["curl", "--silent", "--show-error", "--globoff", "--interface", self._source]
        self._running["curl"] = self._spawn(self._host, [*command, "--output", str(self._file), url], "curl")

    def _start_iperf(self, seconds: float) -> None:
        port = str(_IPERF_PORT)
        listen = ["iperf3", "--server", "--one-off", "--forceflush", "--bind", self._address, "--port", port]
        server = self._spawn(self._server, listen, "iperf3-server")
        if not self._is_ready("iperf3", server, self._output / "iperf3-server.log", "Server listening on"):
            return
        command = ["iperf3", "--client", self._address, "--bind", self._source, "--port", port]
        pace = ["--time", str(int(seconds)), "--bitrate", str(8 * RATE)]
        self._running["iperf3"] = self._spawn(self._host, [*command, *pace], "iperf3")

    def _is_ready(self, name: str, server: subprocess.Popen[bytes], log: Path, word: str) -> bool:
        """Whether the server says so, soon enough; if it does not, that program failed."""
        deadline = time.monotonic() + _READY_WITHIN
        while word not in log.read_text(errors="replace"):
            if server.poll() is not None or time.monotonic() > deadline:
                self._right[name] = False
                return False
            time.sleep(0.02)
        return True

    def _spawn(self, node: str, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self._output / f"{name}.log").open("wb") as log:
            return self._lab.nodes[node].spawn(command, stdout=log, stderr=log)

    @property
    def _file(self) -> Path:
        return self._output / "curl.octets"


def verdicts(ran: dict[str, bool], over: str) -> list[Verdict]:
    """Each of them `over` all of what happened."""
    return [
        Verdict(f"{name} over {over}", "right" if right else "failed", "right", right) for name, right in ran.items()
    ]


def conditions() -> list[tuple[str, str]]:
    """What a reader of the report should know of those that did not run."""
    absent = missing()
    return [("not installed", ", ".join(absent))] if absent else []
