"""Programs of the distribution in a lab, where they are installed: they know nothing of mobility, and are not ours.

``curl`` fetches a file over HTTP, ``iperf3`` sends over TCP. Each begins before the first move and ends after the last
one, at a pace that lets it last so long.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from sojourn.lab.lab import Lab
from sojourn.lab.traffic_http import HTTP_PORT, digest

RATE = 100_000
"""Octets a second."""
_PATIENCE = 30.0
_IPERF_PORT = 5201


class Programs:
    """Those that are there, from `source` at `host` to `address` at `server`, for so many seconds."""

    def __init__(self, lab: Lab, host: str, source: str, server: str, address: str, seconds: float) -> None:
        self._lab, self._host, self._server = lab, host, server
        self._source, self._address = source, address
        self._output = lab.output / "programs"
        self._output.mkdir(parents=True, exist_ok=True)
        self._octets = int(seconds * RATE)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        if shutil.which("curl"):
            self._start_curl()
        if shutil.which("iperf3"):
            self._start_iperf(seconds)

    def finish(self) -> dict[str, bool]:
        """Whether each of them ended well; waits for them."""
        found: dict[str, bool] = {}
        for name, process in self._running.items():
            try:
                done = process.wait(_PATIENCE) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done = False
            found[name] = done and (name != "curl" or self._fetched_right())
        return found

    def _start_curl(self) -> None:
        url = f"http://[{self._address}]:{HTTP_PORT}/curl?octets={self._octets}&rate={RATE}"
        command = ["curl", "--silent", "--show-error", "--globoff", "--interface", self._source]
        self._running["curl"] = self._spawn(self._host, [*command, "--output", str(self._file), url], "curl")

    def _start_iperf(self, seconds: float) -> None:
        port = str(_IPERF_PORT)
        self._spawn(
            self._server, ["iperf3", "--server", "--one-off", "--bind", self._address, "--port", port], "iperf3-server"
        )
        command = ["iperf3", "--client", self._address, "--bind", self._source, "--port", port]
        pace = ["--time", str(int(seconds)), "--bitrate", str(8 * RATE)]
        self._running["iperf3"] = self._spawn(self._host, [*command, *pace], "iperf3")

    def _spawn(self, node: str, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self._output / f"{name}.log").open("wb") as log:
            return self._lab.nodes[node].spawn(command, stdout=log, stderr=log)

    @property
    def _file(self) -> Path:
        return self._output / "curl.octets"

    def _fetched_right(self) -> bool:
        found = hashlib.sha256(self._file.read_bytes()).hexdigest()
        return found == digest("curl", self._octets)
