"""A home agent goes out of service: ``sojourn lab run drain`` (RFC 5142).

Fifty mobile nodes are registered with it. It asks all of them, at a pace that an operator chose, to go to another home
agent of the same link; each registers there and de-registers here. Then packets for the home link are led to the other
one, and the daemon of the first is stopped. One node has sessions all the time: a call, a terminal, a download, and
programs that are not ours.

Three of the nodes are daemons that forward; the others are a crowd in one process (`crowd`): their engines and their
messages are the same, and nobody sends packets to them. A node registers with its new home agent before it leaves the
old one, whose tunnel serves until then: nothing is lost. What still comes to the old home agent afterwards, as routes
lead there, finds the new one on the home link.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise

from sojourn.core.effects import SendMessage
from sojourn.host.recorder import load_steps
from sojourn.lab.crowd import Crowd, Member
from sojourn.lab.daemons import association
from sojourn.lab.measure import Window
from sojourn.lab.mobile_scene import Mobile, limit, median_delay
from sojourn.lab.programs import Programs, conditions, verdicts
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.scene import Scene, holds, run
from sojourn.lab.topology import Setting, Topology, load
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.addresses import eui64_link_local, text
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import MILLISECOND, SECOND, Instant

NODES = 50
RATE = 50
"""Nodes that are asked in a second."""
CALL_RATE = 500
DWELL = 1.5
WITHIN = 20
"""Seconds for all of them, on a machine that does other things as well."""
HOME, SPARE, VISIBLE, CROWD, LINK = "home", "spare", "laptop", "crowd", "f2"
BEFORE, AFTER, GONE = "all at the first one", "all at the other one", "the first one is out of service"
_SPI = 5000
_DOWNLOAD = 100_000
_STAY = 5.0


@scenario("drain", "a home agent goes out of service: fifty nodes go to another one, sessions go on (RFC 5142)")
def drain(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, topology(), play)


def topology() -> Topology:
    """That of the file, and both home agents know the crowd."""
    found = load("drain")
    known: list[Setting] = [
        {"home_address": found.address(node), "association": association(found, node)} for node in found.of_kind("mn")
    ]
    known += [
        {"home_address": member.home, "association": {"spi": member.spi, "key": member.key}}
        for member in _crowd(found).members
    ]
    return found.model_copy(update={"ha": {**found.ha, "nodes": known}})


def _crowd(known: Topology) -> Crowd:
    """As many as are missing."""
    home, link = known.link_prefix(HOME), known.link_prefix(LINK)
    members = tuple(
        Member(str(home[0xC0_0000 + number]), str(link[0xC0_0000 + number]), _SPI + number, f"{number:032x}")
        for number in range(NODES - len(known.of_kind("mn")))
    )
    return Crowd(known.address(HOME), str(home), str(link), members)


def play(scene: Scene, dwell: float = DWELL) -> Report:
    """Register, ask them to leave, take the first home agent out of service."""
    lab, traffic, server = scene.lab, scene.traffic, scene.topology.address("server")
    mobiles = [Mobile(scene, name) for name in scene.topology.of_kind("mn")]
    visible = mobiles[0]
    crowd = _crowd(scene.topology)
    crowd.place(lab.nodes[CROWD].namespace, lab.nodes[CROWD].ends["wlan0"].index)
    process = lab.nodes[CROWD].spawn([sys.executable, "-m", "sojourn.lab.crowd"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(crowd.line())
    process.stdin.flush()
    for mobile in mobiles:
        mobile.wait("away")
    scene.until(f"{NODES} nodes are registered", lambda: _count(scene, HOME) == NODES)
    traffic.serve("server", server)
    traffic.stream("call", VISIBLE, visible.home, server, up=CALL_RATE, down=CALL_RATE)
    traffic.exchange("terminal", VISIBLE, visible.home, server, interval=100 * MILLISECOND)
    seconds = 3 * dwell + _STAY
    octets = int(seconds * _DOWNLOAD)
    traffic.download("download", VISIBLE, visible.home, server, octets=octets, rate=_DOWNLOAD)
    programs = Programs(lab, VISIBLE, visible.home, "server", server, seconds)
    scene.phase(BEFORE, dwell)
    scene.say(f"{HOME} asks all to go to {SPARE}, {RATE} a second")
    asked = time.monotonic_ns()
    scene.command(HOME, "switch", to=scene.topology.address(SPARE), rate=str(RATE))
    scene.until(f"all are registered with {SPARE}", lambda: _count(scene, SPARE) == NODES)
    scene.until(f"none is registered with {HOME}", lambda: _count(scene, HOME) == 0)
    done = time.monotonic_ns()
    scene.phase(AFTER, dwell)
    gateway = text(eui64_link_local(lab.nodes[SPARE].ends["to-core"].link_layer))
    pool = str(scene.topology.nodes[HOME].pool)
    scene.ip("core", "route", "replace", pool, "via", gateway, "dev", f"to-{SPARE}", "proto", "static")
    stopped = lab.stop_daemon(HOME)
    scene.phase(GONE, dwell)
    ran = programs.finish()
    traffic.wait("ended", 30.0, flow="download")
    traffic.stop("call", "terminal")
    process.stdin.close()
    crowd_ended = process.wait(10)
    records = dict(scene.finish())
    return _Findings(scene, records, asked, done, (stopped, crowd_ended), ran).report()


def _count(scene: Scene, agent: str) -> int:
    return sum(row["state"] == "active" for row in scene.rows(agent, "bindings"))


class _Findings:
    """What the run shows."""

    def __init__(
        self,
        scene: Scene,
        records: dict[str, FlowRecord],
        asked: Instant,
        done: Instant,
        ended: tuple[int | None, int],
        programs: dict[str, bool],
    ) -> None:
        self.scene, self.topology, self.records = scene, scene.topology, records
        self.asked, self.done, self.ended, self.programs = asked, done, ended, programs
        self.phases = {phase.name: phase.window for phase in scene.phases}

    def report(self) -> Report:
        """A table, and what had to hold."""
        daemons = len(self.topology.of_kind("mn"))
        return Report(
            "A home agent goes out of service",
            f"{NODES} mobile nodes are asked to go to another home agent of the same link; one of them has sessions.",
            verdicts=[*self._nodes(), *self._sessions(), *self._losses()],
            limits=self._limits(),
            tables=[self._table()],
            conditions=[
                ("nodes", f"{daemons} daemons, {NODES - daemons} engines with a raw socket in one process"),
                ("pace", f"{RATE} nodes a second"),
                ("links", "one way to both home agents: f1 10 ms, f2 15 ms"),
                ("call", f"{CALL_RATE} packets a second each way"),
                *conditions(),
            ],
            data={"topology": self.topology.model_dump(mode="json"), "seconds": (self.done - self.asked) / SECOND},
        )

    # --- nodes --------------------------------------------------------------------------------------------------------

    def _nodes(self) -> list[Verdict]:
        told = self._told()
        took, span = (self.done - self.asked) / SECOND, (max(told, default=0) - min(told, default=0)) / SECOND
        least = (NODES - 1) / RATE
        return [
            holds("asked", f"{len(told)} nodes", f"{NODES}", len(told) == NODES),
            holds("asked in", f"{span:.2f} s", f"{least:.2f} s or a little more", 0.8 * least <= span <= took),
            holds("all with the other one, none here after", f"{took:.2f} s", f"{WITHIN} s at most", took <= WITHIN),
            holds("daemon and crowd ended", f"status {self.ended[0]}, {self.ended[1]}", "0, 0", self.ended == (0, 0)),
        ]

    def _told(self) -> list[Instant]:
        """When each node was asked first."""
        first: dict[bytes | None, Instant] = {}
        for at, step in load_steps(self.scene.lab.daemon(HOME).events):
            if isinstance(step, SendMessage) and isinstance(step.message, HomeAgentSwitch):
                first.setdefault(step.routed_to, at)
        return list(first.values())

    # --- the one with sessions ----------------------------------------------------------------------------------------

    def _sessions(self) -> list[Verdict]:
        count = len(self.records)
        living = sum(record.outcome == "complete" for record in self.records.values())
        download, reset = self.records["download"], resets(self.records.values())
        return [
            holds("sessions alive", f"{living} of {count}", f"{count} of {count}", living == count),
            holds("download", "right" if download.intact else "wrong or cut off", "right", download.intact),
            holds("TCP resets", reset, "0", reset == 0),
            *verdicts(self.programs, "the change"),
        ]

    def _lost(self, since: Instant, until: Instant) -> tuple[int, int]:
        call = self.records["call"]
        pairs = [pair for way in (call.up, call.down) for pair in zip(way.sent, way.received, strict=True)]
        sent = [received for at, received in pairs if since <= at < until]
        return sum(not received for received in sent), len(sent)

    def _losses(self) -> list[Verdict]:
        found = []
        change = Window(self.phases[BEFORE].end, self.phases[AFTER].start)
        for name, window in {**self.phases, "the change": change}.items():
            lost, sent = self._lost(window.start, window.end)
            found.append(holds(f"lost: {name}", f"{lost} of {sent}", "0", lost == 0 and sent > 0))
        return found

    def _limits(self) -> list[Verdict]:
        return [limit("longest pause of the call around the change", self._silence(), SECOND // CALL_RATE)]

    def _silence(self) -> int:
        """The longest one around the change."""
        arrived = sorted(at for at in self.records["call"].down.received if at)
        gaps = [b - a for a, b in pairwise(arrived) if a <= self.done + SECOND and b >= self.asked]
        return max(gaps, default=WITHIN * SECOND)

    def _table(self) -> Table:
        rows: list[Sequence[str]] = []
        change = self._lost(self.phases[BEFORE].end, self.phases[AFTER].start)
        for name, window in self.phases.items():
            lost, sent = self._lost(window.start, window.end)
            delay = median_delay(self.records["call"].down, window.start, window.end)
            rows.append((name, f"{delay:.1f} ms", str(sent), str(lost)))
            if name == BEFORE:
                rows.append(("the change", "", str(change[1]), str(change[0])))
        return Table("The call of the node with sessions", ("phase", "delay", "sent", "lost"), rows)
