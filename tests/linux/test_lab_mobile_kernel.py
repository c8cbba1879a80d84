"""Daemons of Mobile IPv6 on a kernel that has Mobile IPv6 itself: registration, the direct way by XFRM, moves, home."""

from __future__ import annotations

import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.host.mobile_packets import parsed
from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from sojourn.wire.addresses import text
from support.capture import complaints, dissect
from support.mobile_kernel import mobile_ipv6
from support.stars import TRUSTING

pytestmark = [pytest.mark.lab, pytest.mark.mip6, pytest.mark.timeout(240)]

TOPOLOGY = star(
    "kernel",
    {"home": "ha", "f1": "plain", "f2": "plain", "cn": "cn", "laptop": {"kind": "mn", "at": "home"}},
    ha=TRUSTING,
)
KNOWN_TYPES = {"1", "2", "3", "4", "5", "6"}
UDP = 17


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


class Watch:
    """Headers of voice packets at the correspondent, as they come and go: (home address option, routing header)."""

    def __init__(self, scene: Scene) -> None:
        with scene.lab.nodes["cn"].namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def since(self) -> Counter[tuple[str | None, str | None, str | None]]:
        found: Counter[tuple[str | None, str | None, str | None]] = Counter()
        while True:
            try:
                octets = self._socket.recv(2048)
            except BlockingIOError:
                return found
            packet = parsed(octets)
            if packet is not None and packet.protocol == UDP:
                option, header = packet.home_address, packet.routed_to
                care_of = packet.source if option else packet.destination if header else None
                found[option and text(option), header and text(header), care_of and text(care_of)] += 1


def _states(scene: Scene, node: str) -> str:
    def ask() -> str:
        words = ["ip", "-6", "xfrm"]
        return "".join(
            subprocess.run([*words, what], check=True, capture_output=True, text=True).stdout
            for what in ("state", "policy")
        )

    return str(scene.lab.nodes[node].namespace.call(ask))


def test_a_laptop_goes_directly_by_the_kernel_moves_and_comes_home(tmp_path: Path) -> None:
    def play(scene: Scene) -> Report:
        laptop, cn = Mobile(scene, "laptop"), scene.topology.address("cn")
        scene.traffic.serve("cn", cn)
        laptop.wait("home")
        scene.traffic.stream("talk", "laptop", laptop.home, cn, up=50, down=50)
        scene.phase("at home", 0.5)
        watch = Watch(scene)
        for target in ("f1", "f2"):
            laptop.go(target)
            laptop.wait_optimised("cn")
            care_of = str(laptop.row()["care_of"])
            time.sleep(0.3)
            watch.since()
            scene.phase(target, 0.6)
            seen = watch.since()
            assert set(seen) == {(laptop.home, None, care_of), (None, laptop.home, care_of)}, seen
            assert "proto hao" in _states(scene, "laptop")
            assert "proto route2" in _states(scene, "cn")
        laptop.go("home")
        scene.until("cn has no binding", lambda: scene.rows("cn", "bindings")[0]["state"] == "ended")
        time.sleep(0.3)
        watch.since()
        scene.phase("at home again", 0.5)
        assert set(watch.since()) == {(None, None, None)}
        watch.close()
        assert _states(scene, "laptop") + _states(scene, "cn") == ""
        record = scene.finish()["talk"]
        for phase in scene.phases:
            for way in (record.up, record.down):
                measured = scene.measured(way, phase.name)
                assert measured.sent > 10, phase.name
                assert measured.lost == 0, phase.name
        return Report("", "")

    perform(ScenarioOptions(tmp_path), TOPOLOGY, play)
    told, kinds = set(), Counter[str]()
    for file in sorted((tmp_path / "capture").glob("*.pcapng")):
        for packet in dissect(file):
            protocols = {proto.get("name") for proto in packet.iter("proto")}
            kinds["icmp"] += "mipv6" in protocols and "icmpv6" in protocols
            if "mipv6" in protocols and "icmpv6" not in protocols:
                kinds.update(
                    field.get("show") or "" for field in packet.iter("field") if field.get("name") == "mip6.mhtype"
                )
                told |= {one for one in complaints(packet) if "(Comment/" not in one}
    assert told == set()
    assert set(+kinds) == KNOWN_TYPES
