"""Make before break with a transient binding: ``sojourn lab run transient`` (RFC 6058).

A host moves from mag1 to mag2 as in any domain, and then back. The way back is prepared: mag1 is told that the host
will come and sees it before it leaves mag2, registers it with a transient binding, and everything goes on at mag2
until the host is there. What the registration costs at the plain move, a round trip to the LMA, nobody waits for then.
"""

from __future__ import annotations

from sojourn.lab.air import RoamTimes
from sojourn.lab.measure import Window, crowding, loss, lost_time, milliseconds
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, to_json
from sojourn.lab.scene import Scene, holds, run
from sojourn.lab.traffic import Direction
from sojourn.wire.addresses import link_layer_text
from sojourn.wire.units import MILLISECOND

PLAIN, PREPARED = "plain", "prepared"
OUTAGE = 20 * MILLISECOND
_RATE = 200
_AHEAD = 0.5
"""Seconds that the new gateway hears of the host before it comes."""
_ALLOWED_MS = 30.0


@scenario("transient", "a handover that is prepared loses no round trip to the LMA: make before break (RFC 6058)")
def transient(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "transient", play)


def play(scene: Scene) -> Report:
    """There plainly, and back with a transient binding."""
    host, server = scene.topology.hosts[0], scene.topology.of_kind("server")[0]
    source, destination = scene.address(host), scene.topology.address(server)
    scene.traffic.serve(server, destination)
    scene.traffic.stream("talk", host, source, destination, up=_RATE, down=_RATE)
    scene.phase("at mag1", 1.0)
    moves = {PLAIN: scene.lab.air.roam(host, "mag2", outage=OUTAGE / 1e9)}
    scene.until("mag2 serves the host", lambda: _served(scene, "mag2"))
    scene.phase("at mag2", 1.0)
    words = {"node": link_layer_text(scene.lab.air.link_layer(host)), "kind": "between-gateways"}
    scene.command("mag1", "make-before-break", **words)
    moves[PREPARED] = scene.lab.air.roam(host, "mag1", outage=OUTAGE / 1e9, make_before_break=_AHEAD)
    scene.until("mag1 serves the host", lambda: _served(scene, "mag1"))
    scene.phase("at mag1 again", 1.0)
    return _report(scene, moves)


def _served(scene: Scene, gateway: str) -> bool:
    """Registered there, and not in transition."""
    rows = scene.rows("lma", "bindings")
    return [(row["gateway"], row["state"], row["transient"]) for row in rows] == [(gateway, "active", "active")]


def _report(scene: Scene, moves: dict[str, RoamTimes]) -> Report:
    record, topology = scene.finish()["talk"], scene.topology
    there = milliseconds(topology.delay("mag1", topology.of_kind("lma")[0]))
    outage = milliseconds(OUTAGE)
    bounds, allowed = (outage + 2 * there, outage), _ALLOWED_MS * crowding()
    lost = {name: (_lost(record.down, move), _lost(record.up, move)) for name, move in moves.items()}
    verdicts = [
        holds(
            f"prepared move, lost {way}", f"{value:.0f} ms", f"{bound:.0f} ms + {allowed:.0f} at most",
            value <= bound + allowed,
        )
        for way, value, bound in zip(("to the host", "from the host"), lost[PREPARED], bounds, strict=True)
    ]  # fmt: skip
    better = lost[PLAIN][1] - lost[PREPARED][1]
    verdicts.append(holds("saved from the host", f"{better:.0f} ms", f"{there:.0f} ms at least", better >= there))
    quiet = sum(scene.measured(way, one.name).lost for one in scene.phases for way in (record.up, record.down))
    verdicts.append(holds("lost while nobody moved", quiet, "0", quiet == 0))
    rows = [(name, f"{down:.0f} ms", f"{up:.0f} ms") for name, (down, up) in lost.items()]
    return Report(
        "Make before break with a transient binding",
        "A stock host moves between two gateways, plainly and prepared with a transient binding (RFC 6058).",
        verdicts=verdicts,
        tables=[Table("Lost at a move", ("move", "to the host", "from the host"), list(rows))],
        conditions=[
            ("links", f"gateway to LMA {there:g} ms one way"),
            ("outage", f"{outage:g} ms in which the host is nowhere"),
            ("prepared", f"the new gateway hears of the host {_AHEAD:g} s before it comes"),
        ],
        data={"topology": topology.model_dump(mode="json"), "lost": to_json(lost)},
    )


def _lost(direction: Direction, move: RoamTimes) -> float:
    """Milliseconds of the stream that were lost around a move."""
    around = Window(move.disassociated - 100 * MILLISECOND, move.disassociated + 1000 * MILLISECOND)
    return lost_time(loss(direction, around).lost, _RATE)
