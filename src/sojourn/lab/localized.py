"""Two hosts of one LMA meet without it: ``sojourn lab run localized`` (RFC 6705).

Both are at one gateway, then one roams to another. Before localized routing, and after it, every packet goes by way of
the LMA. With it, packets between hosts of one gateway never leave that router, and between two gateways they take the
shortest way that there is. Stretch is the way taken over the shortest one: in delay, and where the shortest way has
none, in links that a packet passes, as the kernel of the gateway counted on its core link.
"""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.lab.measure import Window, crowding, loss, lost_time, milliseconds
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, to_json
from sojourn.lab.scene import STREAM_RATE, Measured, Scene, holds, run

BY_THE_LMA, ONE_GATEWAY, TWO_GATEWAYS, ENDED = (
    "by way of the LMA",
    "localized at one gateway",
    "localized between two gateways",
    "by way of the LMA again",
)
_SIGNALLING = 0.1
"""Packets other than those of the stream, for each of these: registrations, neighbour discovery."""
_ALLOWED_MS = 5.0
"""For the machine's own pace, on every way."""
_CROSSINGS = {BY_THE_LMA: 2, ONE_GATEWAY: 0, TWO_GATEWAYS: 1, ENDED: 1}
"""How often a packet passes the core link of the first gateway."""
_ACCESS = 2
"""Links that every packet passes: the two of the air."""
_LOSS_MS = 1000.0
"""At most lost at the move: the registration, and the initiations after it."""


@scenario("localized", "two hosts talk directly, at one gateway and between two, not by way of the LMA (RFC 6705)")
def localized(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "localized", play)


def play(scene: Scene) -> Report:
    """Meet, roam, part."""
    one, other = scene.topology.hosts
    source, destination = scene.address(one), scene.address(other)
    pair = _pair(scene)
    scene.traffic.serve(other, destination)
    scene.traffic.stream("talk", one, source, destination, up=STREAM_RATE, down=STREAM_RATE)
    scene.phase(BY_THE_LMA)
    scene.command("lma", "localize", **pair)
    scene.until("the gateway localizes", lambda: _localized(scene) == [1, 1])
    scene.phase(ONE_GATEWAY)
    moved = scene.lab.air.roam(other, "mag2", outage=0.02).start
    scene.until("both gateways localize", lambda: _localized(scene) == [2, 2])
    scene.phase(TWO_GATEWAYS)
    scene.command("lma", "delocalize", **pair)
    scene.until("nobody localizes", lambda: _localized(scene) == [0, 0])
    scene.phase(ENDED)
    return _report(scene, moved)


def _pair(scene: Scene) -> dict[str, str]:
    nodes = [b"\x05" + scene.lab.air.link_layer(host) for host in scene.topology.hosts]
    return {"node": nodes[0].hex(), "other": nodes[1].hex()}


def _localized(scene: Scene) -> list[int]:
    """How many gateways said for each node that they do it."""
    return [row["localized"] for row in scene.rows("lma", "bindings")]


def _report(scene: Scene, moved: int) -> Report:
    record = scene.finish()["talk"]
    found = {phase.name: scene.measured(record.up, phase.name) for phase in scene.phases}
    topology = scene.topology
    anchor = topology.of_kind("lma")[0]
    up_and_down = milliseconds(topology.delay("mag1", anchor) + topology.delay(anchor, "mag1"))
    straight = milliseconds(topology.delay("mag1", "mag2"))
    shortest = {BY_THE_LMA: 0.0, ONE_GATEWAY: 0.0, TWO_GATEWAYS: straight, ENDED: straight}
    expected = {BY_THE_LMA: up_and_down, ONE_GATEWAY: 0.0, TWO_GATEWAYS: straight, ENDED: up_and_down}
    ahead = scene.window(TWO_GATEWAYS).start
    lost = lost_time(loss(record.up, Window(moved, ahead)).lost, STREAM_RATE)
    both = {name: found[name].sent + scene.measured(record.down, name).sent for name in found}
    crossings = {phase.name: phase.crossings["mag1"] / both[phase.name] for phase in scene.phases}
    verdicts = [
        holds(
            f"core crossed: {name}", f"{crossings[name]:.2f}", f"{times}", abs(crossings[name] - times) <= _SIGNALLING
        )
        for name, times in _CROSSINGS.items()
    ]
    allowed = _ALLOWED_MS * crowding()
    verdicts += [
        holds(
            f"delay: {name}", f"{found[name].delay:.1f} ms", f"{delay:.1f} ms + {allowed:.0f} at most",
            delay <= found[name].delay <= delay + allowed,
        )
        for name, delay in expected.items()
    ]  # fmt: skip
    stretch = 1 + crossings[ONE_GATEWAY] / _ACCESS
    verdicts.append(holds("stretch at one gateway", f"{stretch:.2f}", "1.00", round(stretch, 2) == 1.0))
    quiet = sum(found[name].lost for name in found)
    verdicts.append(holds("lost while nobody moved", quiet, "0", quiet == 0))
    verdicts.append(holds("lost at the move", f"{lost:.0f} ms", f"{_LOSS_MS:g} ms at most", lost <= _LOSS_MS))
    rows: list[Sequence[str]] = [_row(name, found[name], shortest[name], crossings[name]) for name in found]
    return Report(
        "Localized routing",
        "Two stock hosts of one LMA talk, at one gateway and at two, by way of the LMA and directly (RFC 6705).",
        verdicts=verdicts,
        tables=[Table("Packets of one direction", ("phase", "delay", "core", "stretch", "sent", "lost"), rows)],
        conditions=[
            ("links", f"gateway to gateway {straight:g} ms, by way of the LMA {up_and_down:g} ms, one way"),
            ("stretch", "delay over that of the shortest way; where that has none, links over links"),
        ],
        data={"topology": topology.model_dump(mode="json"), "measured": to_json(found)},
    )


def _row(name: str, found: Measured, shortest: float, crossings: float) -> tuple[str, ...]:
    stretch = found.delay / shortest if shortest else 1 + crossings / _ACCESS
    return (name, f"{found.delay:.1f} ms", f"{crossings:.2f}", f"{stretch:.2f}", str(found.sent), str(found.lost))
