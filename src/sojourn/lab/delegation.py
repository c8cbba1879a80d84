"""A host that is a router takes its network along: ``sojourn lab run delegation`` (RFC 7148).

The LMA delegates a prefix to the bus at mag1. A passenger, here an address of the delegated prefix behind the bus's own
link, talks to the server while the bus roams to mag2 and back, and notices nothing but the outage.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Network

from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, to_json
from sojourn.lab.scene import STREAM_RATE, Scene, holds, run

_STOPS = ("mag2", "mag1")


@scenario("delegation", "a bus roams, and the network behind it keeps its delegated prefix (RFC 7148)")
def delegation(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "delegation", play)


def play(scene: Scene) -> Report:
    """Get a prefix, let a passenger talk, roam."""
    bus, server = scene.topology.hosts[0], scene.topology.of_kind("server")[0]
    scene.address(bus)
    scene.until("a prefix is delegated", lambda: len(_delegated(scene)) == 1)
    (network,) = _delegated(scene)
    passenger = str(IPv6Network(network)[0x42])
    _behind(scene, bus, passenger)
    destination = scene.topology.address(server)
    scene.traffic.serve(server, destination)
    scene.traffic.stream("passenger", bus, passenger, destination, up=STREAM_RATE, down=STREAM_RATE)
    scene.phase("at mag1")
    for stop in _STOPS:
        scene.lab.air.roam(bus, stop, outage=0.02)
        scene.until(f"{stop} serves the bus", lambda stop=stop: _at(scene, stop))  # type: ignore[misc]
        scene.phase(f"at {stop}" if stop != "mag1" else "at mag1 again")
    return _report(scene, network, passenger)


def _behind(scene: Scene, bus: str, passenger: str) -> None:
    """An address of the network, on no link that the gateway sees."""
    scene.ip(bus, "address", "add", f"{passenger}/128", "dev", "lo", "nodad")


def _delegated(scene: Scene) -> list[str]:
    return [network for row in scene.rows("lma", "bindings") for network in row["delegated"]]


def _at(scene: Scene, gateway: str) -> bool:
    rows = scene.rows("lma", "bindings")
    return [(row["gateway"], row["state"]) for row in rows] == [(gateway, "active")]


def _report(scene: Scene, network: str, passenger: str) -> Report:
    record = scene.finish()["passenger"]
    found = {
        one.name: (scene.measured(record.up, one.name), scene.measured(record.down, one.name)) for one in scene.phases
    }
    kept = _delegated(scene)
    verdicts = [
        holds(
            f"lost {name}", sum(way.lost for way in ways), "0 in both directions", not any(way.lost for way in ways)
        )
        for name, ways in found.items()
    ]  # fmt: skip
    verdicts.append(holds("delegated prefix", ", ".join(kept) or "none", "the same", kept == [network]))
    rows: list[Sequence[str]] = [
        (name, f"{up.delay:.1f} ms", f"{down.delay:.1f} ms", str(up.sent + down.sent))
        for name, (up, down) in found.items()
    ]
    return Report(
        "A network that moves",
        f"A bus has {network} for its network and roams; a passenger at {passenger} talks to a server (RFC 7148).",
        verdicts=verdicts,
        tables=[Table("The passenger's packets", ("phase", "delay up", "delay down", "sent"), rows)],
        conditions=[("passenger", "an address of the delegated prefix, on no link that a gateway sees")],
        data={"topology": scene.topology.model_dump(mode="json"), "measured": to_json(found)},
    )
