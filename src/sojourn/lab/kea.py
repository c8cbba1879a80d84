"""A DHCPv6 server that is not ours: Kea, as the distribution has it, inside a node of a lab."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from sojourn.lab.node import Node

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_READY_WITHIN = 15.0
_STARTED = "DHCP6_STARTED"


def installed() -> str | None:
    """Its program, where it is."""
    return shutil.which("kea-dhcp6", path=_PATH)


class Kea:
    """Delegates to each client, by its DUID, one prefix; `link` is the prefix of the addresses that ask (RFC 6276)."""

    def __init__(self, node: Node, output: Path, link: str, delegated: Mapping[bytes, str]) -> None:
        """Started, and back when it serves. Raises OSError."""
        program = installed()
        if program is None:
            raise FileNotFoundError("kea-dhcp6 is not here (Debian: kea-dhcp6-server)")
        # Out of a tunnel packets come on the uplink, and Kea answers on interfaces only that have its address.
        uplink = next(name for name in node.ends if name.startswith("to-"))
        command = ["ip", "-6", "address", "replace", f"{node.address}/128", "dev", uplink, "nodad"]
        if node.spawn(command).wait():
            raise OSError(f"{' '.join(command)} failed")
        self._log = output / "kea" / "log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        file = self._log.with_name("kea.json")
        file.write_text(json.dumps(configuration(f"{uplink}/{node.address}", link, delegated), indent=1))
        places = dict.fromkeys(("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"), str(self._log.parent.absolute()))
        with self._log.open("wb") as log:
            self._process = node.spawn([program, "-c", str(file.absolute())], stdout=log, stderr=log, env=places)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while _STARTED not in self.words():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise OSError(f"Kea does not serve: {self.words()[-300:]}")
            time.sleep(0.02)

    def words(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def configuration(interface: str, link: str, delegated: Mapping[bytes, str]) -> dict[str, object]:
    """What it reads: one subnet, whose clients have a prefix each and no addresses."""
    reservations = [{"duid": duid.hex(":"), "prefixes": [network]} for duid, network in delegated.items()]
    subnet = {"id": 1, "subnet": link, "reservations": reservations}
    dhcp6 = {
        "interfaces-config": {"interfaces": [interface]},
        "lease-database": {"type": "memfile", "persist": False},
        "server-id": {"type": "EN", "enterprise-id": 32473, "identifier": "10AB", "persist": False},
        "preferred-lifetime": 3000,
        "valid-lifetime": 4000,
        "subnet6": [subnet],
        "loggers": [{"name": "kea-dhcp6", "output_options": [{"output": "stdout"}], "severity": "INFO"}],
    }
    return {"Dhcp6": dhcp6}
