"""The DHCP clients of the distribution, in the host of a test domain."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest
from domain_of_daemons import Machine, until

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.stock_hosts import DHCLIENT_SCRIPT

_USABLE = "ip -6 address show scope link -tentative dev "


def needed(program: str) -> str:
    """The path of a client. A machine without it has not run contrib/install-tools."""
    path = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        pytest.fail(f"no {program}: run contrib/install-tools")
    return path


class Host(Protocol):
    """Where a client runs."""

    @property
    def namespace(self) -> NetworkNamespace: ...

    def run(self, command: str) -> str: ...


class Dhclient:
    """isc-dhcp-client, in the foreground, with a script of ours that sets what it is told."""

    def __init__(self, machine: Host, directory: Path, *options: str, interface: str = "wlan0") -> None:
        self.machine = machine
        self.directory = directory / f"dhclient-{len(list(directory.glob('dhclient-*')))}"
        self.directory.mkdir()
        self.log = self.directory / "heard"
        self.words = self.directory / "words"
        self.log.touch()
        script = self.directory / "script"
        script.write_text(DHCLIENT_SCRIPT.format(log=self.log))
        script.chmod(0o755)
        configuration = self.directory / "conf"
        configuration.write_text("timeout 5; retry 1; reboot 2; initial-interval 1; select-timeout 0;\n")
        files = ["-lf", str(self.directory / "leases"), "-pf", str(self.directory / "pid")]
        command = [needed("dhclient"), "-d", "-v", "-cf", str(configuration), "-sf", str(script), *files]
        self._command = [*command, *options, interface]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it; for IPv6 once there is an address that it can ask from."""
        if "-6" in self._command:
            until("a link-local address", lambda: "fe80::" in self.machine.run(_USABLE + self._command[-1]))
        with self.machine.namespace.entered(), self.words.open("ab") as words:
            self.process = subprocess.Popen(self._command, stdout=words, stderr=words)

    def heard(self, what: str) -> list[str]:
        """The lines about events whose name or values hold `what`."""
        return [line for line in self.log.read_text().splitlines() if what in line]

    def wait(self, what: str, times: int = 1) -> str:
        """The latest such line, once there are `times` of them."""

        def look() -> str:
            found = self.heard(what)
            return found[-1] if len(found) >= times else ""

        try:
            return str(until(f"{times} x {what}", look))
        except AssertionError as error:
            words = self.words.read_text()[-3000:]
            raise AssertionError(f"{error}\n{self.log.read_text()}\n{words}") from None

    def stop(self) -> None:
        """End it without a word to the server."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Dhcpcd:
    """dhcpcd, in the foreground, without its scripts and files of this machine."""

    def __init__(
        self, machine: Host, directory: Path, *options: str, interface: str = "wlan0", settings: str = ""
    ) -> None:
        configuration = directory / "dhcpcd.conf"
        common = "option interface_mtu\nnoipv4ll\nnohook resolv.conf, timesyncd\nscript /bin/true\n"
        configuration.write_text(common + settings)
        self.words = directory / "dhcpcd.log"
        self._directory = directory
        command = [needed("dhcpcd"), "-d", "-B", "-f", str(configuration), "-j", str(self.words), *options, interface]
        # What it remembers belongs to this one, and not to the machine.
        hide = 'for one in /var/lib/dhcpcd /run; do mount -t tmpfs none $one || exit 1; done; exec "$@"'
        alone = ["unshare", "--mount", "sh", "-c", hide, "sh", *command]
        with machine.namespace.entered(), self.words.open("ab") as words:
            self._process = subprocess.Popen(alone, stdout=words, stderr=words)

    def __enter__(self) -> Dhcpcd:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # its helpers go with it
            self._process.kill()
            self._process.wait()


def addresses(machine: Machine, interface: str = "wlan0", family: int = 6) -> list[dict[str, Any]]:
    """The global addresses of an interface."""
    found = json.loads(machine.run(f"ip -{family} -j address show dev {interface} scope global"))
    return [item for link in found for item in link.get("addr_info", []) if item]
