"""A phone with two links (RFC 5648): directly to its correspondent by either, and at home and abroad at once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, perform
from sojourn.lab.topology import star
from sojourn.lab.traffic import Direction
from sojourn.wire.units import MILLISECOND, SECOND
from support.stars import TRUSTING, mobile

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

TOPOLOGY = star(
    "several",
    {"home": "ha", "wifi": "plain", "lte": "plain", "cn": "cn", "phone": mobile("wifi", radios=2)},
    delays={"lte": "20ms"},
    ha=TRUSTING,
    mn={"several": True, "home_too": True},
)
RATE = 200
TRIP = 40 * MILLISECOND
"""By the mobile network, both ways."""


def silence(direction: Direction, around: int) -> int:
    """The longest pause between two packets that arrived, about a moment."""
    arrived = sorted(at for at in direction.received if at)
    return max(
        (later - earlier for earlier, later in pairwise(arrived) if earlier <= around + SECOND and later >= around),
        default=10 * SECOND,
    )


def lateness(direction: Direction, around: int) -> int:
    """How late this machine was then."""
    pairs = zip(direction.sent, direction.received, strict=True)
    return max((got - sent for sent, got in pairs if got and abs(sent - around) < SECOND), default=0)


def test_direct_by_either_link_and_at_home_and_abroad_at_once(tmp_path: Path) -> None:
    lost: dict[str, int] = {}
    gaps: list[tuple[int, int]] = []

    def play(scene: Scene) -> Report:
        phone = Mobile(scene, "phone")
        prefixes = {link: str(scene.topology.link_prefix(link).network_address).rstrip(":") for link in ("wifi", "lte")}

        def at(*links: str) -> bool:
            """Whether the correspondent has just these care-of addresses, the first one for what it sends."""
            rows = scene.rows("cn", "bindings")
            found = [where for row in rows if row["state"] == "active" for where in (row["care_of"], *row["also"])]
            ways = zip(found, links, strict=False)
            return len(found) == len(links) and all(where.startswith(prefixes[link]) for where, link in ways)

        def ways() -> list[str]:
            rows = [row for row in scene.rows("home", "bindings") if row["state"] == "active"]
            return [way.split()[1] for row in rows for way in row["ways"]]

        scene.until("by Wi-Fi", lambda: len(ways()) == 1)
        scene.lab.air.roam("phone/2", "lte", carrier=True)
        scene.traffic.serve("cn", scene.topology.address("cn"))
        scene.traffic.stream("call", "phone", phone.home, scene.topology.address("cn"), up=RATE, down=RATE)
        scene.until("both care-of addresses at the correspondent", lambda: at("wifi", "lte"))
        scene.phase("directly by Wi-Fi", 0.5)
        broke = scene.lab.air.detach("phone", carrier=True).disassociated
        scene.until("by the mobile network alone", lambda: at("lte"))
        scene.phase("directly by the mobile network", 0.5)
        scene.lab.air.roam("phone", "home", carrier=True)
        scene.until("at home too", lambda: phone.home in ways() and len(ways()) == 2 and at())
        scene.phase("by the home link", 0.5)
        (row,) = scene.rows("phone", "bindings")
        assert (row["place"], row["home"]) == ("away", phone.home)
        scene.lab.air.detach("phone", carrier=True)
        scene.until("abroad alone", lambda: phone.home not in ways() and at("lte"))
        scene.phase("directly again", 0.5)
        record = scene.finish()["call"]
        for phase in scene.phases:
            lost[phase.name] = sum(scene.measured(way, phase.name).lost for way in (record.up, record.down))
        for way in (record.up, record.down):
            gaps.append((silence(way, broke), TRIP + 2 * SECOND // RATE + 4 * lateness(way, broke)))
        return Report("", "")

    perform(ScenarioOptions(tmp_path), TOPOLOGY, play)
    assert lost == dict.fromkeys(lost, 0)
    assert len(lost) == 4
    assert all(gap < allowed + SECOND for gap, allowed in gaps), gaps
