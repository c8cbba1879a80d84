"""Every daemon of three domains is restarted under traffic, and nothing is lost: ``sojourn lab run upgrade``.

A restart here is what ``systemctl restart`` does: SIGUSR1 (the unit's ExecStop says that a successor comes), SIGTERM,
and a new process with the same file, which may be another version. Traffic runs all the while, a thousand packets a
second in each domain: distributed (RFC 8885), where the session's prefix is anchored at one router and served by
another; Proxy Mobile IPv6 (RFC 5213); and Mobile IPv6 (RFC 6275), with a direct way to the correspondent node that has
one. Routers of the distributed domain miss each other within a second (`liveness`), which a restart takes: who is
succeeded says so before. Hosts of access routers listen to a multicast group meanwhile. A control phase in which
nothing is restarted stands beside; and at the end the host moves once more, which the restarted daemons must know how
to serve.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sojourn.lab.conduct import conduct
from sojourn.lab.measure import Window, loss
from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.multicast import GROUP
from sojourn.lab.multicast_traffic import MulticastTraffic, missing
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.scene import Scene, holds, perform
from sojourn.lab.topology import load
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.units import MILLISECOND, SECOND

RATE = 500
"""Packets a second each way."""
_SETTLES = 1.0
"""Seconds after a daemon is ready that count as its restart still: what it asks others for comes by then."""
_CONTROL = 2.0
_ARRIVES = 0.3
"""Seconds until what was sent has arrived, if it ever does."""


@dataclass(frozen=True, slots=True)
class Restart:
    """One daemon that was succeeded by another one."""

    role: str
    node: str
    window: Window
    lost: int = 0
    sent: int = 0
    numbers: range = range(0)
    """Of packets to a group that were sent meanwhile."""
    missed: int = 0
    """Of these, by the host, which listens."""


@scenario("upgrade", "every role is restarted under 1000 packets a second, and nothing is lost")
def upgrade(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct("upgrade", options, lambda: play(options))


def play(
    options: ScenarioOptions, domains: Sequence[str] = ("dmm", "pmip", "mobile"), settles: float = _SETTLES
) -> Report:
    """The domains, one after the other; each restart is watched for `settles` seconds more.

    Raises `SceneFailed`, TrafficError, DaemonFailed, OSError.
    """
    parts = [_perform(options, domain, settles) for domain in domains]
    return Report(
        "An upgrade in service",
        "Every role is restarted under traffic, as systemctl restart does it; a successor takes up what is there.",
        verdicts=[verdict for part in parts for verdict in part.verdicts],
        tables=[Table(part.title, part.tables[0].columns, part.tables[0].rows) for part in parts],
        conditions=[
            ("traffic", f"{RATE} packets a second each way in each domain, and a terminal session"),
            ("a restart", f"from the signal until {_SETTLES:g} s after the successor is ready"),
        ],
        data={"domains": {part.title: part.data for part in parts}},
    )


def _perform(options: ScenarioOptions, domain: str, settles: float) -> Report:
    acts = {"dmm": _distributed, "pmip": _proxy, "mobile": _mobile}[domain]
    inner = replace(options, output=Path(options.output) / domain)
    inner.output.mkdir(parents=True, exist_ok=True)
    return perform(inner, load(f"upgrade-{domain}"), lambda scene: acts(scene, settles))


def _distributed(scene: Scene, settles: float) -> Report:
    source = scene.address("host", "2001:db8:a")
    scene.lab.air.roam("host", "ar2")
    scene.address("host", str(scene.topology.nodes["ar2"].pool).partition("::")[0])

    def known() -> bool:
        [row] = scene.rows("ar2", "sessions") or [{"prefixes": (), "confirmed": False}]
        return len(row["prefixes"]) == 2 and bool(row["confirmed"])

    scene.until("the old prefix follows", known)
    with MulticastTraffic(scene.lab.nodes["server"], GROUP, RATE) as group:
        return _act(scene, settles, "host", source, ("cmd", "ar1", "ar2"), lambda: _roam(scene, "ar1"), group)


def _proxy(scene: Scene, settles: float) -> Report:
    source = scene.address("host")
    with MulticastTraffic(scene.lab.nodes["server"], GROUP, RATE) as group:
        return _act(scene, settles, "host", source, ("lma", "mag1"), lambda: _roam(scene, "mag2"), group)


def _mobile(scene: Scene, settles: float) -> Report:
    mobile = Mobile(scene, "mn")
    mobile.wait("home")
    mobile.go("f1")
    scene.traffic.serve("cn", scene.topology.address("cn"))
    found = scene.topology.address("cn")
    scene.traffic.stream("direct", "mn", mobile.home, found, up=RATE, down=RATE)
    scene.until("a direct way, or none to be had", lambda: mobile.optimised("cn") or _without_ways(scene))
    return _act(scene, settles, "mn", mobile.home, ("home", "mn", "cn"), lambda: mobile.go("f2"))


def _without_ways(scene: Scene) -> bool:
    """Whether this kernel cannot send directly at all (`sojourn doctor`)."""
    return "refusal=" in scene.lab.daemon("mn").log.read_text(errors="replace")


def _roam(scene: Scene, target: str) -> None:
    scene.lab.air.roam("host", target)


def _act(
    scene: Scene,
    settles: float,
    host: str,
    source: str,
    nodes: Sequence[str],
    move: Callable[[], None],
    group: MulticastTraffic | None = None,
) -> Report:
    """Restart `nodes` one after the other under traffic, then `move` the host. It listens to the `group`, if any."""
    server = scene.topology.address("server")
    scene.traffic.serve("server", server)
    scene.traffic.stream("stream", host, source, server, up=RATE, down=RATE)
    scene.traffic.exchange("terminal", host, source, server, interval=100 * MILLISECOND)
    scene.until("packets arrive", lambda: scene.traffic.count("stream")["arrived"] > 10)
    if group is not None:
        group.listen(scene.lab.nodes[host])
        scene.until("packets to the group arrive", lambda: len(group.heard[host]) > 10)
    scene.phase("nothing is restarted", _CONTROL)
    restarts = [_restart(scene, settles, node, group) for node in nodes]
    if group is not None:
        restarts = [replace(one, missed=len(missing(group.heard[host], one.numbers))) for one in restarts]
    scene.say(f"{host} moves once more")
    move()
    moved = scene.traffic.count("stream")["arrived"]
    scene.until("packets arrive again", lambda: scene.traffic.count("stream")["arrived"] > moved + RATE // 2)
    records = dict(scene.finish())
    return _report(scene, records, [_judged(records, one) for one in restarts])


def _restart(scene: Scene, settles: float, node: str, group: MulticastTraffic | None) -> Restart:
    kind = scene.topology.nodes[node].kind
    role = {"access-router": "maar"}.get(kind, kind)
    scene.say(f"{node} ({role}) is restarted")
    since, first = time.monotonic_ns(), 0 if group is None else group.sent
    scene.lab.restart_daemon(node)
    time.sleep(settles)
    until, last = time.monotonic_ns(), 0 if group is None else group.sent
    time.sleep(_ARRIVES)
    return Restart(role, node, Window(since, until), numbers=range(first, last))


def _judged(records: dict[str, FlowRecord], restart: Restart) -> Restart:
    ways = [way for one in records.values() if one.kind == "stream" for way in (one.up, one.down)]
    found = [loss(way, restart.window) for way in ways]
    return replace(restart, lost=sum(one.lost for one in found), sent=sum(one.sent for one in found))


def _report(scene: Scene, records: dict[str, FlowRecord], restarts: Sequence[Restart]) -> Report:
    domain = scene.topology.name.removeprefix("upgrade-")
    ways = [way for one in records.values() if one.kind == "stream" for way in (one.up, one.down)]
    control = [loss(way, scene.phases[0].window) for way in ways]
    lost, sent = sum(one.lost for one in control), sum(one.sent for one in control)
    verdicts: list[Verdict] = [holds(f"{domain}: lost, nothing restarted", f"{lost} of {sent}", "0", lost == 0)]
    verdicts += [
        holds(f"{domain}: lost, {one.role} ({one.node}) restarted", f"{one.lost} of {one.sent}", "0", one.lost == 0)
        for one in restarts
    ]
    verdicts += [
        holds(
            f"{domain}: lost of a group, {one.role} ({one.node}) restarted",
            f"{one.missed} of {len(one.numbers)}",
            "0",
            one.missed == 0,
        )
        for one in restarts
        if one.numbers
    ]
    terminal = records["terminal"]
    verdicts.append(holds(f"{domain}: terminal session", terminal.outcome, "complete", terminal.outcome == "complete"))
    reset = resets(records.values())
    verdicts.append(holds(f"{domain}: TCP resets", reset, "0", reset == 0))
    rows: list[Sequence[str]] = [
        (one.role, one.node, f"{(one.window.end - one.window.start) / SECOND:.1f} s", str(one.sent), str(one.lost))
        for one in restarts
    ]
    columns = ("role", "node", "lasted", "packets", "lost")
    return Report(domain, "", verdicts=verdicts, tables=[Table(domain, columns, rows)])
