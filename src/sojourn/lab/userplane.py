"""Tunnels end where registrations do not: ``sojourn lab run userplane`` (RFC 7389).

A host talks to a server while it roams from mag1 to mag2. Every registration goes to one address of the LMA and every
packet of the host to another, as packets on the gateways' own links show.
"""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.lab.measure_signalling import SignallingMonitor
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table
from sojourn.lab.scene import STREAM_RATE, Scene, TunnelMonitor, holds, run
from sojourn.wire.addresses import text

_USER_PLANE = "2001:db8:f101::1"


@scenario("userplane", "registrations go to one address of the LMA, packets of hosts to another (RFC 7389)")
def userplane(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "userplane", play)


def play(scene: Scene) -> Report:
    """Talk, roam, talk."""
    host, server = scene.topology.hosts[0], scene.topology.of_kind("server")[0]
    source, destination = scene.address(host), scene.topology.address(server)
    gateways = scene.topology.of_kind("mag")
    namespaces = {name: scene.lab.nodes[name].namespace for name in gateways}
    scene.traffic.serve(server, destination)
    with SignallingMonitor(namespaces) as signalling, TunnelMonitor(namespaces) as tunnels:
        scene.traffic.stream("talk", host, source, destination, up=STREAM_RATE, down=STREAM_RATE)
        scene.phase("at mag1")
        scene.lab.air.roam(host, "mag2", outage=0.02)
        scene.until("mag2 serves the host", lambda: _at(scene) == ["mag2"])
        scene.phase("at mag2")
        heard = {text(signal.destination) for signal in signalling.signals}
        ends = tunnels.ends()
    control = scene.topology.address(scene.topology.of_kind("lma")[0])
    record = scene.finish()["talk"]
    lost = sum(scene.measured(way, one.name).lost for one in scene.phases for way in (record.up, record.down))
    to_lma = {far for (_, _, far) in ends}
    rows: list[Sequence[str]] = [(node, near, far, str(count)) for (node, near, far), count in sorted(ends.items())]
    return Report(
        "A user plane of its own",
        "A host roams; its gateways register it at one address of the LMA and tunnel to another (RFC 7389).",
        verdicts=[
            holds("registrations go to", ", ".join(sorted(heard)), control, heard == {control}),
            holds("tunnels go to", ", ".join(sorted(to_lma)), _USER_PLANE, to_lma == {_USER_PLANE}),
            holds("gateways that tunnel", len({node for node, _, _ in ends}), "2", len({n for n, _, _ in ends}) == 2),
            holds("lost while nobody moved", lost, "0", lost == 0),
        ],
        tables=[Table("Tunnelled packets of the gateways", ("gateway", "from", "to", "packets"), rows)],
        data={"topology": scene.topology.model_dump(mode="json")},
    )


def _at(scene: Scene) -> list[str]:
    return [row["gateway"] for row in scene.rows("lma", "bindings")]
