"""What LMA, gateways, home agent, mobile node and correspondent say of their messages and tunnels, beside captures at
the links where they are: equal within 5 % (REQ6g). MAAR and CMD are in test_lab_operations.py, times in
test_lab_metrics.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from sojourn.lab.lab import Lab
from sojourn.lab.topology import star
from sojourn.wire.addresses import address
from support.lab_metrics import Samples, address_from, becomes, echoes, grown, near, samples, served
from support.stars import OPTIMISTIC, mobile, silent_host
from support.wire_clock import Frame, Tap
from support.wire_counts import Counts, signalling, tunnelled

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

WAYS = {"sent": True, "received": False}
"""Directions, and whether frames leave."""
PMIP = star(
    "metrics-lma",
    {"lma": "lma", "mag1": "mag", "mag2": "mag", "cn": "server", "mn": silent_host()},
    "5ms",
    delays={"cn": "0ms"},
    metrics=True,
)
MIP6 = star(
    "metrics-mip6",
    {"home": "ha", "f1": "plain", "f2": "plain", "cn": "cn", "server": "server", "mn": mobile("home")},
    "5ms",
    metrics=True,
    ha=OPTIMISTIC,
)


class Watch:
    """Figures of daemons and frames at links, from the same moment on until `close`."""

    def __init__(self, lab: Lab, opened: ExitStack, daemons: tuple[str, ...], links: tuple[str, ...]) -> None:
        self._lab, self._opened = lab, opened
        self._taps = {name: opened.enter_context(Tap(lab.nodes[name], "to-core")) for name in links}
        self._before = {name: samples(lab, name) for name in daemons}
        self._after: dict[str, Samples] = {}

    def close(self) -> None:
        """When nothing is said any more."""
        said = -1
        while said != (said := sum(signalling(tap.frames, leaves=True).packets for tap in self._taps.values())):
            time.sleep(1.0)
        self._after = {name: samples(self._lab, name) for name in self._before}
        self._opened.close()

    def frames(self, *links: str) -> list[Frame]:
        """At these."""
        return [frame for name in links for frame in self._taps[name].frames]

    def agrees(self, daemon: str, role: str, direction: str, kind: str, truth: Counts) -> None:
        """Its figures of ``signalling`` messages or ``tunnel`` packets, with their octets."""
        names = {"signalling": "sojourn_signalling_messages_total", "tunnel": "sojourn_tunnel_packets_total"}
        assert truth.packets >= 5, f"{daemon} {direction} {kind}: too few to say anything"
        for name, count in ((names[kind], truth.packets), (f"sojourn_{kind}_octets_total", truth.octets)):
            told = grown(self._before[daemon], self._after[daemon], name, role=role, direction=direction)
            assert near(told, count), (daemon, direction, name, told, count)


def test_an_lma_and_its_gateways_count_what_is_on_their_links(tmp_path: Path) -> None:
    routers = ("lma", "mag1", "mag2")
    with Lab(PMIP, tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: served(lab, "mag1"))
        held = address_from(lab, lab.topology.nodes["lma"].pool)
        with ExitStack() as opened:
            watch = Watch(lab, opened, routers, routers)
            for target in ("mag2", "mag1") * 5:
                lab.air.roam("mn", target)
                assert becomes(lambda target=target: served(lab, target))
                assert echoes(lab, held, 10) >= 5
            watch.close()
        for name in routers:
            for direction, leaves in WAYS.items():
                frames = watch.frames(name)
                role = "lma" if name == "lma" else "mag"
                watch.agrees(name, role, direction, "signalling", signalling(frames, leaves=leaves))
                watch.agrees(name, role, direction, "tunnel", tunnelled(frames, leaves=leaves))


def row_of(lab: Lab, topic: str, wanted: Callable[[dict[str, object]], bool]) -> bool:
    """Whether the mobile node shows such a row."""
    with lab.client("mn") as client:
        return any(wanted(row) for row in client.show(topic, plain=True))


def test_home_agent_mobile_node_and_correspondent_count_what_is_on_their_links(tmp_path: Path) -> None:
    """What the mobile node says to a correspondent through its home agent is its message, and none of the agent's."""
    with Lab(MIP6, tmp_path) as lab:
        home, agent, peer = (lab.topology.address(name) for name in ("mn", "home", "cn"))
        assert becomes(lambda: row_of(lab, "bindings", lambda row: row["place"] == "home"))
        with ExitStack() as opened:
            watch = Watch(lab, opened, ("home", "mn", "cn"), ("home", "f1", "f2", "cn"))
            for target in ("f1", "f2") * 4:
                lab.air.roam("mn", target, outage=0.05, carrier=True)
                assert becomes(lambda target=target: registered(lab, target))
                assert echoes(lab, home, 10, "server") >= 5
                assert echoes(lab, home, 3) >= 1
                assert becomes(
                    lambda: row_of(lab, "sessions", lambda row: (row["correspondent"], row["state"]) == (peer, "bound"))
                )
            watch.close()
        links = {"home": watch.frames("home"), "mn": watch.frames("f1", "f2"), "cn": watch.frames("cn")}
        for direction, leaves in WAYS.items():
            told = signalling(links["mn"], leaves=leaves, inside=True)
            watch.agrees("mn", "mn", direction, "signalling", told)
            watch.agrees("mn", "mn", direction, "tunnel", tunnelled(links["mn"], leaves=leaves))
            for name, role, own in (("home", "ha", address(agent)), ("cn", "cn", address(peer))):
                told = signalling(links[name], leaves=leaves, of=own)
                watch.agrees(name, role, direction, "signalling", told)
            watch.agrees("home", "ha", direction, "tunnel", tunnelled(links["home"], leaves=leaves, of=address(agent)))


def registered(lab: Lab, target: str) -> bool:
    """Whether it is with its home agent, by an address of that link."""
    pool = lab.topology.nodes[target].pool
    assert pool is not None

    def there(row: dict[str, object]) -> bool:
        return bool(row["registered"] and row["care_of"]) and IPv6Address(row["care_of"]) in pool

    return row_of(lab, "bindings", there)
