"""Many bindings are extended with one message: ``sojourn lab run bulk`` (RFC 6602).

Three hosts are at mag1, which extends their bindings together, and three at mag2, which does that one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.lab.measure_signalling import SignallingMonitor
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table
from sojourn.lab.scene import Scene, holds, run
from sojourn.wire import BindingUpdate
from sojourn.wire.units import SECOND

TOGETHER, APART = "mag1", "mag2"
_SETTLED = 9.0
"""Seconds until the bindings that began one after the other are extended together: a lifetime, and a little."""
_WATCHED = 16.0
_LIFETIME = 8 * SECOND
_EXTENSIONS = _WATCHED / (_LIFETIME / SECOND / 2)
"""Of each binding, in that time."""


@scenario("bulk", "a gateway extends the bindings of all its hosts with one message (RFC 6602)")
def bulk(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "bulk", play)


def play(scene: Scene) -> Report:
    """Let bindings be extended for a while."""
    for host in scene.topology.hosts:
        scene.address(host)
    scene.say(f"{len(scene.topology.hosts)} hosts are registered")
    scene.phase("bindings are extended for the first time", _SETTLED)
    gateways = scene.topology.of_kind("mag")
    with SignallingMonitor({name: scene.lab.nodes[name].namespace for name in gateways}) as monitor:
        scene.phase("bindings are extended", _WATCHED)
        signals = list(monitor.signals)
    bindings = scene.rows("lma", "bindings")
    found: dict[str, int] = {}
    octets: dict[str, int] = {}
    for signal in signals:
        if isinstance(signal.message, BindingUpdate):
            found[signal.node] = found.get(signal.node, 0) + 1
            octets[signal.node] = octets.get(signal.node, 0) + signal.octets
    hosts = {name: sum(row["gateway"] == name for row in bindings) for name in gateways}
    together, apart = found.get(TOGETHER, 0), found.get(APART, 0)
    rows: list[Sequence[str]] = [
        (name, str(hosts[name]), str(found.get(name, 0)), str(octets.get(name, 0))) for name in gateways
    ]
    alive = all(row["state"] == "active" and row["lifetime"] * SECOND <= _LIFETIME for row in bindings)
    return Report(
        "Bulk registration",
        "Two gateways with three hosts each; one extends their bindings with one message (RFC 6602).",
        verdicts=[
            holds("bindings", len(bindings), "6, all of them active", len(bindings) == 6 and alive),
            holds("updates for a group", together, f"{_EXTENSIONS:g} and 1 at most", 0 < together <= _EXTENSIONS + 1),
            holds("fewer than one by one", f"{together} and {apart}", "half at most", 2 * together <= apart),
        ],
        tables=[Table(f"Updates in {_WATCHED:g} s", ("gateway", "hosts", "updates", "octets"), rows)],
        conditions=[("lifetime", f"{_LIFETIME // SECOND} s, extended at half of it")],
        data={"topology": scene.topology.model_dump(mode="json"), "updates": found, "octets": octets},
    )
