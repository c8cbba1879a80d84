"""An anchor of a distributed domain goes out of service: ``sojourn lab run drain-anchor``.

Three hosts are at ar1 with sessions from its prefixes. The operator says ``sojourn tell drain`` there: the hosts begin
nothing new with these addresses; a host that comes to ar1 all the same gets no prefix of it, but may use what other
routers gave it. Then the access point of ar1 is switched off, the hosts go elsewhere, old sessions live on through ar1
for as long as they have something to say, and new ones begin at the new routers. When the last old session has ended
and its prefix retired, ar1 reports that it is drained, and its daemon is stopped: nobody notices.

Who has a partner need not wait: ar2 hands its pool to ar3 (``sojourn tell drain to=partner``) while a session from it
is alive, and is stopped, and the session goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.scene import Scene, holds, run
from sojourn.lab.traffic import resets
from sojourn.wire.units import MILLISECOND

LEAVES = "ar1"
RATE = 100
DWELL = 1.5
HOLD = 2
"""Seconds without a packet after which a prefix of ar1 retires while it drains."""
OLD, GONE = "old sessions through ar1", "ar1 is stopped"
HANDED, STOPPED = "the partner of ar2 has its pool", "ar2 is stopped"


@scenario("drain-anchor", "an anchor of a distributed domain goes out of service; nobody notices (sojourn tell drain)")
def drain_anchor(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "drain-anchor", play)


@dataclass(slots=True)
class _Findings:
    deprecated: int = 0
    """Hosts that hold their address of ar1 deprecated."""
    guest: list[str] = field(default_factory=list)
    """Addresses of ar1's pool that the guest got there."""
    guest_new: str = ""
    """What the guest uses for something new while it is at ar1."""
    progress: list[tuple[str, str, str]] = field(default_factory=list)
    stopped: int | None = None


def play(scene: Scene, dwell: float = DWELL) -> Report:
    """Drain, let the hosts go, end their old sessions, stop. Raises `SceneFailed`."""
    lab, traffic, found = scene.lab, scene.traffic, _Findings()
    server = scene.topology.address("server")
    traffic.serve("server", server)
    hosts = ("h1", "h2", "h3")
    pool = scene.topology.nodes[LEAVES].pool
    assert pool is not None
    within = str(pool).partition("::")[0]
    for host in hosts:
        source = scene.address(host, within)
        traffic.stream(f"{host}-old", host, source, server, up=RATE, down=RATE)
        traffic.exchange(f"{host}-terminal", host, source, server, interval=100 * MILLISECOND)
    theirs = scene.address("guest", "2001:db8:a2")
    _note(scene, found, "before", drain=False)
    scene.say(f"{LEAVES} drains")
    with lab.client(LEAVES) as client:
        client.command("drain", {"hold": str(HOLD)})
    _note(scene, found, "told to drain")
    scene.until("the hosts begin nothing new there", lambda: _deprecated(scene, hosts, within) == len(hosts))
    found.deprecated = _deprecated(scene, hosts, within)
    scene.say(f"a guest comes to {LEAVES}")
    lab.air.roam("guest", LEAVES)
    scene.until("its own prefix is served there", lambda: _serves(scene, LEAVES, theirs))
    traffic.stream("guest", "guest", theirs, server, up=RATE, down=RATE)
    scene.phase("the guest is there", dwell)
    found.guest = [
        one.address for one in host_addresses(lab.nodes["guest"].namespace) if one.address.startswith(within)
    ]
    found.guest_new = scene.address("guest", "2001:db8:a")
    scene.say(f"the access point of {LEAVES} is off: everybody goes elsewhere")
    for number, host in enumerate((*hosts, "guest")):
        target = ("ar2", "ar3")[number % 2]
        lab.air.roam(host, target)
    for number, host in enumerate(hosts):
        fresh = scene.address(host, str(scene.topology.nodes[("ar2", "ar3")[number % 2]].pool).partition("::")[0])
        traffic.stream(f"{host}-new", host, fresh, server, up=RATE, down=RATE)
    scene.until("all old prefixes are known at the new routers", lambda: _anchored(scene) == len(hosts))
    _note(scene, found, "hosts elsewhere")
    scene.phase(OLD, dwell)
    scene.say("the old sessions end")
    traffic.stop(*(f"{host}-{kind}" for host in hosts for kind in ("old", "terminal")))
    scene.until(f"{LEAVES} is drained", lambda: _anchored(scene) == 0)
    _note(scene, found, "old sessions over")
    found.stopped = lab.stop_daemon(LEAVES)
    scene.phase(GONE, dwell)
    scene.say("h1 leaves ar2, which hands its pool to ar3")
    lab.air.roam("h1", "ar3")
    scene.until("ar2 anchors for it", lambda: any(row["role"] == "anchored" for row in scene.rows("ar2", "bindings")))
    with lab.client("ar2") as client:
        client.command("drain", {"to": "partner"})
    scene.until("ar3 has the pool", lambda: _handed(scene))
    scene.phase(HANDED, dwell)
    found.stopped = found.stopped or lab.stop_daemon("ar2")
    scene.phase(STOPPED, dwell)
    return _report(scene, found)


def _handed(scene: Scene) -> bool:
    """Whether ar2 says so; whoever is still at its own link does not matter here."""
    with scene.lab.client("ar2") as client:
        return any("with_partner" in row for row in client.command("drain", {}))


def _serves(scene: Scene, router: str, address: str) -> bool:
    """Whether a router serves the node with this address, and knows the prefix."""
    prefixes = [row["prefix"] for row in scene.rows(router, "bindings") if row["role"] != "anchored"]
    return any(IPv6Address(address) in IPv6Network(prefix) for prefix in prefixes)


def _anchored(scene: Scene) -> int:
    return sum(row["role"] == "anchored" for row in scene.rows(LEAVES, "bindings"))


def _deprecated(scene: Scene, hosts: Sequence[str], within: str) -> int:
    """How many hosts hold their address of the pool, and begin nothing with it."""
    return sum(
        any(
            one.address.startswith(within) and one.deprecated for one in host_addresses(scene.lab.nodes[host].namespace)
        )
        for host in hosts
    )


def _note(scene: Scene, found: _Findings, when: str, drain: bool = True) -> None:
    """What the daemon says of how far it is."""
    if not drain:
        here = len(scene.rows(LEAVES, "sessions"))
        found.progress.append((when, str(here), "0"))
        return
    with scene.lab.client(LEAVES) as client:
        row = next(row for row in client.command("drain", {}) if row["event"] == "draining")
    found.progress.append((when, str(row["here"]), str(row["elsewhere"])))


def _report(scene: Scene, found: _Findings) -> Report:
    records = scene.finish()
    verdicts: list[Verdict] = [
        holds("hosts that begin nothing new there", found.deprecated, "3", found.deprecated == 3),
        holds("addresses of ar1 that the guest got", len(found.guest), "0", not found.guest),
        holds("the guest begins new sessions with", found.guest_new, "an address of ar2", "a2" in found.guest_new),
    ]
    kept = {OLD: ("",), GONE: ("-new", "guest"), HANDED: ("h1-new",), STOPPED: ("h1-new",)}
    for phase, endings in kept.items():
        lost = sent = 0
        for name, record in records.items():
            if record.kind == "stream" and name.endswith(endings):
                for way in (record.up, record.down):
                    measured = scene.measured(way, phase)
                    lost, sent = lost + measured.lost, sent + measured.sent
        verdicts.append(holds(f"lost: {phase}", f"{lost} of {sent}", "0", lost == 0 and sent > 0))
    broken = [name for name, one in records.items() if one.outcome not in ("complete", "running")]
    verdicts.append(holds("sessions that broke", ", ".join(broken) or 0, "0", not broken))
    verdicts.append(holds("TCP resets", resets(records.values()), "0", resets(records.values()) == 0))
    last = found.progress[-1][1:]
    verdicts.append(holds("left at the end, here and elsewhere", " ".join(last), "0 0", last == ("0", "0")))
    verdicts.append(holds("the daemons of ar1 and ar2 ended with", found.stopped, "0", found.stopped == 0))
    return Report(
        "An anchor goes out of service",
        "Three hosts have sessions from prefixes of ar1, which drains and is stopped.",
        verdicts=verdicts,
        tables=[Table("How far it was", ("", "nodes here", "anchored for nodes elsewhere"), list(found.progress))],
        conditions=[("streams", f"{RATE} packets a second each way"), ("hold", f"{HOLD} s while ar1 drains")],
        data={"topology": scene.topology.model_dump(mode="json")},
    )
