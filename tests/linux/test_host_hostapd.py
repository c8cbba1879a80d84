"""A real hostapd lets a real wpa_supplicant in, by IEEE 802.1X over a veth, and the host layer hears of it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from domain_of_daemons import HOST, domain, until

from sojourn.core.events import Event, NodeDetached, NodeSeen, Sighting
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.host.loop import Host
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.stores import MemoryStore
from sojourn.wire.addresses import address
from support.access_router import NODE, AccessRouter, access_router, reachable
from support.access_router import until as wait_until
from support.toy import Scripted

pytestmark = pytest.mark.lab

OURS, PEER = address("2001:db8::1"), address("2001:db8::2")
IDENTITY = "ann@example.net"
PATIENCE = 30.0
"""Seconds. The two programs take their time: a supplicant begins two seconds after its start."""

_HOSTAPD = """\
driver=wired
interface=p0
ctrl_interface={directory}/hostapd
ieee8021x=1
eap_server=1
eap_user_file={directory}/users
use_pae_group_addr=1
"""
_SUPPLICANT = """\
ctrl_interface={directory}/wpa
ap_scan=0
network={{
 key_mgmt=IEEE8021X
 eap=MD5
 identity="{identity}"
 password="secret"
 eapol_flags=0
}}
"""


class Wired:
    """hostapd at the router's port, wpa_supplicant in the host."""

    def __init__(self, network: AccessRouter, directory: Path) -> None:
        self.network, self.directory = network, directory
        self._processes: list[subprocess.Popen[bytes]] = []
        (directory / "users").write_text(f'"{IDENTITY}" MD5 "secret"\n')
        (directory / "hostapd.conf").write_text(_HOSTAPD.format(directory=directory))
        (directory / "wpa.conf").write_text(_SUPPLICANT.format(directory=directory, identity=IDENTITY))

    @property
    def control(self) -> str:
        return str(self.directory / "hostapd" / "p0")

    def hostapd(self) -> subprocess.Popen[bytes]:
        return self._start(self.network.router, "hostapd", str(self.directory / "hostapd.conf"))

    def supplicant(self) -> subprocess.Popen[bytes]:
        configuration = str(self.directory / "wpa.conf")
        return self._start(self.network.host, "wpa_supplicant", "-D", "wired", "-i", "eth0", "-c", configuration)

    def _start(self, namespace: NetworkNamespace, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        program = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin")
        assert program, f"{name} is not here: make tools"
        log = (self.directory / f"{name}.log").open("ab")
        with namespace.entered(), log:
            process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        self._processes.append(process)
        return process

    def log_off(self) -> None:
        """The supplicant is told to, as by wpa_cli(8)."""
        with self.network.host.entered(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
            control.bind("")  # known in its own namespace only
            control.settimeout(5)
            control.connect(str(self.directory / "wpa" / "eth0"))
            control.send(b"LOGOFF")
            assert control.recv(100) == b"OK\n"

    def close(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    with access_router(dad=False) as network:
        for own in (OURS, PEER):
            network.netlink.add_address(1, own, 128)
        wait_until(lambda: reachable(network.router, OURS) and reachable(network.router, PEER))
        made = Wired(network, tmp_path)
        yield made
        made.close()


async def _until(what: str, condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        await asyncio.sleep(0.01)


def _from_hostapd(told: Sequence[Event | None]) -> list[Event]:
    """What the bridge says, too, is left out: it knows no identities, and forgets nobody here."""
    return [event for event in told if isinstance(event, NodeDetached) or getattr(event, "identity", None)]


def test_a_station_is_known_by_the_name_that_it_authenticated_with(wired: Wired) -> None:
    """It comes and leaves; hostapd is killed and starts again, and it is let in once more; and again without it."""
    came = NodeSeen("acc0", NODE, Sighting.STATION, identity=IDENTITY)
    left = NodeDetached("acc0", NODE)

    async def run() -> None:
        engine = Scripted()
        with wired.network.router.entered():
            host = Host(
                engine,
                MemoryDataplane(),
                MemoryStore(),
                address=OURS,
                peers={PEER},
                access=["acc0"],
                access_points=[("acc0", wired.control, "")],
            )
        host.start()
        [point] = host.access_points.points

        def told() -> list[Event]:
            return _from_hostapd([event for _, event in engine.told])

        assert not point.heard  # there is no hostapd yet
        hostapd = wired.hostapd()
        await _until("hostapd is heard", lambda: point.heard)
        wired.network.host_up()
        supplicant = wired.supplicant()
        await _until("it is let in", lambda: told() == [came])
        wired.log_off()
        await _until("it left", lambda: told() == [came, left])
        for process in (supplicant, hostapd):
            process.kill()
            process.wait()
        await _until("hostapd is missed", lambda: not point.heard)
        hostapd, supplicant = wired.hostapd(), wired.supplicant()
        await _until("it is let in again", lambda: told() == [came, left, came])
        for process in (supplicant, hostapd):
            process.kill()
            process.wait()
        wired.hostapd()
        await _until("the new one knows nobody", lambda: told() == [came, left, came, left])
        assert host.counters()["hostapd:connected"] == 2
        host.close(withdraw=True)

    asyncio.run(run())


def test_a_daemon_serves_a_station_that_its_access_point_lets_in(tmp_path: Path) -> None:
    """Before its first frame: the host's link is down. The socket is played here."""
    with domain(tmp_path) as world:
        daemon = world.daemons["ar1"]
        with daemon.machine.namespace.entered():
            hostapd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        control = tmp_path / "wlan0"
        daemon.edit("[[maar.peers]]", f'[[maar.hostapd]]\ncontrol = "{control}"\ninterface = "acc0"\n[[maar.peers]]')
        hostapd.bind(str(control))
        hostapd.settimeout(10)
        world.start()
        question, sender = hostapd.recvfrom(100)
        assert question == b"ATTACH"
        hostapd.sendto(b"OK\n", sender)

        def asked() -> bytes:
            """The next question; those that come at intervals are answered."""
            while (question := hostapd.recv(100)) == b"PING":
                hostapd.sendto(b"PONG\n", sender)
            return question

        assert asked() == b"STA-FIRST"
        hostapd.sendto(b"", sender)
        assert daemon.show("sessions") == []
        hostapd.sendto(f"<3>AP-STA-CONNECTED {HOST}".encode(), sender)
        assert asked().startswith(b"STA ")
        about = f"{HOST}\nflags=[AUTHORIZED]\ndot1xAuthSessionUserName={IDENTITY}\n"
        hostapd.sendto(about.encode(), sender)
        until("a session", lambda: daemon.show("sessions"))
        assert [row["presence"] for row in daemon.show("sessions")] == ["served"]
        assert IDENTITY not in daemon.log.read_text(), "names are hashed as other identifiers are"
        hostapd.sendto(f"<3>AP-STA-DISCONNECTED {HOST}".encode(), sender)
        until("it left", lambda: [row["presence"] for row in daemon.show("sessions")] != ["served"])
        hostapd.close()
