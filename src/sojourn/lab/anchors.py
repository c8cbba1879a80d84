"""Anchors nearby against one home agent far away: ``sojourn lab run anchors`` (RFC 8818).

A laptop visits two access networks that have an anchor, a third that has none, and the first one again. Everywhere it
begins a call, from the address that the kernel chooses: that of the nearest anchor. Calls keep their address for as
long as they last, and their anchor with it; a binding whose call is over ends. One more call is from the home address
all the time: it shows what a single home agent would cost.

The stretch of a call is how long its packets take in relation to the shortest way. The formula has the delays of the
links alone; what was measured has this machine in it, which the call from the home address shows as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sojourn.lab.measure import milliseconds
from sojourn.lab.mobile_scene import Mobile, median_delay
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.scene import Phase, Scene, holds, run
from sojourn.lab.traffic import FlowRecord, resets

RATE = 100
"""Packets a second of each call, each way."""
DWELL = 1.5
EAST, WEST, CAFE, HOME = "east", "west", "cafe", "home"
CALLS = {"call-east": EAST, "call-west": WEST, "call-cafe": EAST, "call-home": HOME}
"""Each call, and the anchor of its address: in the network without one, that which is nearest from there."""
WAY = (EAST, WEST, CAFE, EAST)
_TOLERANCE = 8.0
"""Milliseconds that this machine may add to a delay."""


@scenario("anchors", "new sessions use the nearest anchor, old ones keep theirs; what one home agent costs (RFC 8818)")
def anchors(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "anchors", play)


def play(scene: Scene) -> Report:
    """Three networks and back."""
    topology, traffic = scene.topology, scene.traffic
    laptop, server = topology.of_kind("mn")[0], topology.address("server")
    mobile = Mobile(scene, laptop)
    traffic.serve("server", server)
    mobile.wait("away")
    sources = {"call-home": mobile.home}
    for place in WAY[:3]:
        if place != WAY[0]:
            mobile.go(place)
        name = f"call-{place}"
        sources[name] = _source(mobile, _prefix(scene, CALLS[name]))
        traffic.stream(name, laptop, sources[name], server, up=RATE, down=RATE)
        if place == WAY[0]:
            traffic.stream("call-home", laptop, mobile.home, server, up=RATE, down=RATE)
        scene.phase(f"at {place}", DWELL)
    mobile.go(EAST)
    scene.phase(f"at {EAST} again", DWELL)
    held = _anchored(scene, mobile)
    traffic.stop("call-west")
    scene.until("the binding of a call that is over ends", lambda: not _bindings(scene, WEST))
    left = _anchored(scene, mobile)
    return _Findings(scene, dict(scene.finish()), sources, held, left).report()


def _source(mobile: Mobile, prefix: str) -> str:
    """What a new connection has, once that is one of the anchor."""
    mobile.scene.until(
        f"new sessions use an address of {prefix}::/64", lambda: mobile.connects("server").startswith(prefix)
    )
    return mobile.connects("server")


def _prefix(scene: Scene, anchor: str) -> str:
    return str(scene.topology.link_prefix(anchor).network_address).rstrip(":")


def _bindings(scene: Scene, agent: str) -> list[str]:
    return [row["home"] for row in scene.rows(agent, "bindings") if row["state"] == "active"]


def _anchored(scene: Scene, mobile: Mobile) -> list[str]:
    """Anchors, and the home agent, that have a binding of the laptop."""
    return [agent for agent in scene.topology.of_kind("ha") if _bindings(scene, agent)]


@dataclass(slots=True)
class _Findings:
    """What the run shows."""

    scene: Scene
    records: dict[str, FlowRecord]
    sources: dict[str, str]
    held: list[str]
    left: list[str]

    def report(self) -> Report:
        """Tables, and what had to hold."""
        return Report(
            "Anchors nearby against one home agent",
            "A laptop visits three access networks and the first one again; calls are from addresses of the nearest "
            "anchors, and one is from the home address.",
            verdicts=[*self._choices(), *self._alive(), *self._delays(), *self._ends()],
            tables=[self._table()],
            conditions=[
                ("links", "core to east and server 5 ms, to west and cafe 8 ms, to the home agent 60 ms"),
                ("calls", f"{RATE} packets a second each way"),
            ],
            data={
                "topology": self.scene.topology.model_dump(mode="json"),
                "sources": self.sources,
                "stretch": to_json(self._rows()),
            },
        )

    # --- what had to hold ---------------------------------------------------------------------------------------------

    def _choices(self) -> list[Verdict]:
        found = []
        for name, anchor in CALLS.items():
            prefix, source = _prefix(self.scene, anchor), self.sources[name]
            found.append(holds(f"address of {name}", source, f"one of {prefix}::/64", source.startswith(prefix)))
        return found

    def _alive(self) -> list[Verdict]:
        complete = sum(record.outcome == "complete" for record in self.records.values())
        quiet = sum(
            self.scene.measured(way, phase.name).lost
            for record in self.records.values()
            for phase in self.scene.phases
            for way in (record.up, record.down)
        )
        reset = resets(self.records.values())
        return [
            holds("calls alive", f"{complete} of {len(self.records)}", "all of them", complete == len(self.records)),
            holds("lost while nobody moved", quiet, "0", quiet == 0),
            holds("TCP resets", reset, "0", reset == 0),
        ]

    def _delays(self) -> list[Verdict]:
        found = []
        for phase in self.scene.phases:
            home, around, _ = self._delay("call-home", phase)
            late = max(home - around, 0.0)
            for name in CALLS:
                measured, formula, _ = self._delay(name, phase)
                if not measured or name == "call-home":
                    continue
                allowed = _TOLERANCE + late
                words = f"{formula:g} ms + {allowed:.0f} at most on this machine"
                near = formula <= measured <= formula + allowed
                found.append(holds(f"delay of {name} {phase.name}", f"{measured:.1f} ms", words, near))
                said = f"{home / measured:.1f} times as far"
                found.append(holds(f"home agent instead, {name} {phase.name}", said, "farther", home > measured))
        return found

    def _ends(self) -> list[Verdict]:
        """At the first network again, its anchor has nothing to do; the others have as long as calls need them."""
        return [
            holds("bindings at the end", ", ".join(self.held), "home, west", self.held == [HOME, WEST]),
            holds("when its call is over", ", ".join(self.left), "home", self.left == [HOME]),
        ]

    # --- figures ------------------------------------------------------------------------------------------------------

    def _delay(self, name: str, phase: Phase) -> tuple[float, float, float]:
        """To the laptop: as measured, by the formula, and on the shortest way; in milliseconds."""
        topology, place = self.scene.topology, phase.name.split()[1]
        measured = median_delay(self.records[name].down, phase.window.start, phase.window.end)
        shortest = topology.delay("server", place)
        around = topology.delay("server", CALLS[name]) + topology.delay(CALLS[name], place)
        return measured, milliseconds(around), milliseconds(shortest)

    def _rows(self) -> list[Sequence[str]]:
        rows: list[Sequence[str]] = []
        for phase in self.scene.phases:
            row = [phase.name]
            for name in CALLS:
                measured, formula, shortest = self._delay(name, phase)
                row.append(f"{measured / shortest:.2f} ({formula / shortest:.2f})" if measured else "")
            rows.append(row)
        return rows

    def _table(self) -> Table:
        note = "Delay to the laptop in relation to the shortest way; in brackets by the formula."
        return Table("Stretch", ("", *CALLS), self._rows(), note)
