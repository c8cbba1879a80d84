"""A flow moves from one link of a host to the other: ``sojourn lab run flowmobility`` (RFC 7864).

A host is at mag1 with one link and at mag2 with another, and has a prefix on each. It talks from its address on the
first link. The LMA moves this flow to the second link, and back; the host, which has to choose a link for what it sends
(6), follows. Nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network

from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.measure import crowding, milliseconds
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, to_json
from sojourn.lab.scene import STREAM_RATE, Scene, holds, run
from sojourn.wire.addresses import link_layer_text

OWN, MOVED, BACK = "on its own link", "on the other link", "on its own link again"
_GATEWAYS = {OWN: "mag1", MOVED: "mag2", BACK: "mag1"}
_ROUTER = "fe80::200:5eff:fe00:5213"
_TABLE = "101"
_ALLOWED_MS = 5.0
_OTHERS = 0.1
"""Packets of others on a core link, for each packet of the stream."""


@scenario("flowmobility", "a flow moves between two links of a host, and nothing is lost (RFC 7864)")
def flowmobility(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "flowmobility", play)


def play(scene: Scene) -> Report:
    """Attach the second link, talk, move the flow there and back."""
    host, server = scene.topology.hosts[0], scene.topology.of_kind("server")[0]
    source, destination = scene.address(host), scene.topology.address(server)
    network = str(IPv6Network((source, 64), strict=False))
    _follow(scene, host, "wlan0")
    scene.ip(host, "rule", "add", "from", network, "table", _TABLE, "priority", "1000")
    scene.lab.air.roam(f"{host}/2", "mag2")
    scene.until("both links have a prefix", lambda: len(scene.rows("lma", "bindings")) == 2)
    scene.until("both links have an address", lambda: _addresses(scene, host) == 2)
    scene.traffic.serve(server, destination)
    scene.traffic.stream("talk", host, source, destination, up=STREAM_RATE, down=STREAM_RATE)
    scene.phase(OWN)
    other = link_layer_text(scene.lab.air.link_layer(f"{host}/2"))
    scene.command("lma", "move-flow", prefix=network, link_layer=other)
    scene.until("the flow is moved", lambda: _flows(scene) == [network])
    _follow(scene, host, "wlan1")
    scene.phase(MOVED)
    _follow(scene, host, "wlan0")  # before mag2 lets go of the prefix; mag1 always has it
    scene.command("lma", "return-flow", prefix=network)
    scene.until("the flow is back", lambda: _flows(scene) == [])
    scene.phase(BACK)
    return _report(scene)


def _follow(scene: Scene, host: str, interface: str) -> None:
    """The host sends what is from its prefix on that link, by a rule for the source, as hosts with two links have."""
    scene.ip(host, "route", "replace", "default", "via", _ROUTER, "dev", interface, "table", _TABLE)


def _addresses(scene: Scene, host: str) -> int:
    found = host_addresses(scene.lab.nodes[host].namespace)
    return len({IPv6Address(one.address).packed[:8] for one in found if not one.tentative})


def _flows(scene: Scene) -> list[str]:
    return [flow for row in scene.rows("lma", "bindings") for flow in row["flows"]]


def _report(scene: Scene) -> Report:
    record, topology = scene.finish()["talk"], scene.topology
    anchor, server = topology.of_kind("lma")[0], topology.of_kind("server")[0]
    verdicts, rows, allowed = [], list[Sequence[str]](), _ALLOWED_MS * crowding()
    for phase in scene.phases:
        down = scene.measured(record.down, phase.name)
        sent = down.sent + scene.measured(record.up, phase.name).sent
        gateway = _GATEWAYS[phase.name]
        shares = {name: phase.crossings[name] / sent for name in topology.of_kind("mag")}
        expected = milliseconds(topology.delay(server, anchor) + topology.delay(anchor, gateway))
        right = all(abs(share - (name == gateway)) <= _OTHERS for name, share in shares.items())
        words = ", ".join(f"{share:.2f} at {name}" for name, share in shares.items())
        verdicts.append(holds(f"core crossed {phase.name}", words, f"1 at {gateway}, 0 elsewhere", right))
        near = expected <= down.delay <= expected + allowed
        verdicts.append(
            holds(f"delay {phase.name}", f"{down.delay:.1f} ms", f"{expected:g} ms + {allowed:.0f} at most", near)
        )
        rows.append((phase.name, gateway, f"{down.delay:.1f} ms", str(sent)))
    lost = sum(len(way.sent) - way.arrived for way in (record.up, record.down))
    verdicts.append(holds("lost in the whole run", lost, "0", lost == 0))
    return Report(
        "Flow mobility",
        "A host with two links; its flow moves from one to the other and back, by command of the network (RFC 7864).",
        verdicts=verdicts,
        tables=[Table("The flow", ("phase", "gateway", "delay down", "packets"), rows)],
        conditions=[("host", "stock Linux with a rule for the source prefix; it follows the network's decision")],
        data={"topology": topology.model_dump(mode="json"), "rows": to_json(rows)},
    )
