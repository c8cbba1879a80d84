"""A gateway with two uplinks: ``sojourn lab run multipath`` (RFC 8278).

Flows of a host are spread over two tunnels, one by each uplink, in both directions; each flow keeps to one, so that no
packet overtakes another although one way is 10 ms longer. Then the second uplink is taken out of use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table
from sojourn.lab.scene import Scene, TunnelMonitor, holds, run
from sojourn.wire.addresses import eui64_link_local, text

BOTH, ONE = "over two uplinks", "over one uplink"
_FIRST, _SECOND = "2001:db8:b1::1", "2001:db8:b1::2"
_FLOWS = 24
_RATE = 10
_TABLE = "102"


@scenario("multipath", "flows of a host are spread over the two uplinks of its gateway, none is split (RFC 8278)")
def multipath(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "multipath", play)


def play(scene: Scene) -> Report:
    """Many flows over two paths, then over one."""
    _lay_second_path(scene)
    host, server = scene.topology.hosts[0], scene.topology.of_kind("server")[0]
    source, destination = scene.address(host), scene.topology.address(server)
    scene.until("both paths are registered", lambda: _paths(scene) == 2)
    namespaces = {name: scene.lab.nodes[name].namespace for name in ("mag1", "lma")}
    scene.traffic.serve(server, destination)
    flows = [f"flow-{number}" for number in range(_FLOWS)]
    for flow in flows:
        scene.traffic.stream(flow, host, source, destination, up=_RATE, down=_RATE)
    seen: dict[str, Counter[tuple[str, str, str]]] = {}
    for name in (BOTH, ONE):
        with TunnelMonitor(namespaces) as tunnels:
            scene.phase(name)
            seen[name] = tunnels.ends()
        if name == BOTH:
            scene.command("mag1", "path", address=_SECOND, state="down")
            scene.until("one path is left", lambda: _paths(scene) == 1)
    return _report(scene, flows, seen)


def _paths(scene: Scene) -> int:
    return sum(len(row["paths"]) for row in scene.rows("lma", "bindings"))


def _lay_second_path(scene: Scene) -> None:
    """The network routes the second care-of address by the second uplink, in both directions."""
    for node, way in (("lma", "core"), ("core", "wan2"), ("wan2", "mag1")):
        scene.ip(node, "route", "add", f"{_SECOND}/128", *_by(scene, node, way))
    scene.ip("mag1", "route", "add", "default", *_by(scene, "mag1", "wan2"), "table", _TABLE)
    scene.ip("mag1", "rule", "add", "from", _SECOND, "table", _TABLE, "priority", "50")


def _by(scene: Scene, node: str, neighbour: str) -> tuple[str, ...]:
    there = scene.lab.nodes[neighbour].ends[f"to-{node}"]
    return "via", text(eui64_link_local(there.link_layer)), "dev", f"to-{neighbour}"


def _report(scene: Scene, flows: list[str], seen: dict[str, Counter[tuple[str, str, str]]]) -> Report:
    records = scene.finish()
    ways = [way for flow in flows for way in (records[flow].up, records[flow].down)]
    verdicts, rows = [], list[Sequence[str]]()
    for name, expected in ((BOTH, {_FIRST, _SECOND}), (ONE, {_FIRST})):
        up = {near for node, near, _ in seen[name] if node == "mag1"}
        down = {far for node, _, far in seen[name] if node == "lma"}
        for words, found in (("from the host", up), ("to the host", down)):
            verdicts.append(
                holds(f"{name}, {words}", ", ".join(sorted(found)), ", ".join(sorted(expected)), found == expected)
            )
        lost = sum(scene.measured(way, name).lost for way in ways)
        verdicts.append(holds(f"lost {name}", lost, "0", lost == 0))
        rows += [(name, node, near, far, str(count)) for (node, near, far), count in sorted(seen[name].items())]
    reordered = sum(way.reordered for way in ways)
    verdicts.append(holds("packets that another one of their flow overtook", reordered, "0", reordered == 0))
    return Report(
        "A gateway with two uplinks",
        f"{_FLOWS} flows of a host, over two uplinks of its gateway and then over one (RFC 8278).",
        verdicts=verdicts,
        tables=[Table("Tunnelled packets", ("phase", "sent by", "from", "to", "packets"), rows)],
        conditions=[("uplinks", "one way to the core: 5 ms by the first, 15 ms by the second")],
        data={"topology": scene.topology.model_dump(mode="json")},
    )
