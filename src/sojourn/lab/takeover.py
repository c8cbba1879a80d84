"""Anchors die: ``sojourn lab run takeover`` and ``sojourn lab run anchor-dies`` (RFC 7333 REQ6f).

In one network, and two ways. `takeover`: two hosts come from ar1 to ar2 with sessions on prefixes that ar1 anchors,
whose partner is ar3. The daemon of ar1 is killed and started again, then the whole router goes dark and comes back; one
of the hosts moves meanwhile. `anchor-dies`: ar2 has no partner. A host that came from it to ar4 is told that its prefix
is over, and everything else goes on.

``--mode direct``: there is no database, the routers tell each other. The other modes of RFC 8885 are taken too.

How long a session stands still is compared with a limit that the machine's own lateness, measured just before, is
added to.
"""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.core.effects import Advertise
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.host.recorder import load_steps
from sojourn.lab.conduct import conduct_with
from sojourn.lab.measure import Window, loss, milliseconds
from sojourn.lab.outages import without
from sojourn.lab.own_options import choice
from sojourn.lab.programs import Programs
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.scene import Play, Scene, holds, perform
from sojourn.lab.standstill import Standstill, spare
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.units import MILLISECOND, SECOND, Instant

RATE = 100
"""Packets a second of each stream, each way."""
LIMIT = 1500 * MILLISECOND
"""A session stands still for no longer when its anchor dies."""
ANCHOR, PARTNER, SERVING, OTHER = "ar1", "ar3", "ar2", "ar4"
ALONE = SERVING
"""An anchor without a partner."""
CALM, KILLED, BACK, DARK, MOVED, LIT = (
    "all is well",
    f"the daemon of {ANCHOR} is killed",
    f"the daemon of {ANCHOR} is back",
    f"{ANCHOR} is dark",
    "a host moves on",
    f"{ANCHOR} is back",
)
GONE, RETURNED = f"{ALONE} is dark", f"{ALONE} is back"
_DOWNLOAD = 100_000
_AROUND = 12.0
"""Seconds that all phases together last besides."""


@scenario("takeover", "an anchor dies, its partner takes its pool over and gives it back; sessions go on")
def takeover(options: ScenarioOptions) -> int:
    """The scenario; its own option is ``--mode``."""
    return _run("takeover", options, play_takeover)


@scenario("anchor-dies", "an anchor without a partner dies: its prefixes are withdrawn, all other sessions go on")
def anchor_dies(options: ScenarioOptions) -> int:
    """The scenario; its own option is ``--mode``."""
    return _run("anchor-dies", options, play_anchor_dies)


def _run(name: str, options: ScenarioOptions, play: Play) -> int:
    def take(options: ScenarioOptions) -> str:
        return choice(options.extra, "mode", ("proxy", "relay", "locator", "direct"))

    return conduct_with(name, options, take, lambda mode: perform(options, takeover_topology(mode), play))


def takeover_topology(mode: str) -> Topology:
    """Of these scenarios; in direct mode without a database."""
    topology = load("takeover").model_copy(update={"mode": mode})
    return without(topology, "cmd") if mode == "direct" else topology


# --- with a partner ---------------------------------------------------------------------------------------------------


def play_takeover(scene: Scene, dwell: float = 1.5) -> Report:
    """The whole run."""
    lab, traffic, server = scene.lab, scene.traffic, scene.topology.address("server")
    traffic.serve("server", server)
    sources = {host: scene.address(host, "2001:db8:a1") for host in ("mn1", "mn2")}
    for host, source in sources.items():
        traffic.stream(f"{host}-call", host, source, server, up=RATE, down=RATE)
        traffic.exchange(f"{host}-terminal", host, source, server, interval=50 * MILLISECOND)
        lab.air.roam(host, SERVING)
    traffic.download(
        "download", "mn1", sources["mn1"], server, octets=int((6 * dwell + _AROUND) * _DOWNLOAD), rate=_DOWNLOAD
    )
    scene.until("both are known where they are", lambda: _anchored(scene) == 2)
    programs = Programs(lab, "mn2", sources["mn2"], "server", server, 6 * dwell + _AROUND)
    deaths: dict[str, Instant] = {}
    scene.phase(CALM, dwell)
    deaths[KILLED] = scene.happens(KILLED, lambda: lab.stop_daemon(ANCHOR, kill=True))
    scene.until(f"{PARTNER} holds the pool", lambda: _stand_in(scene) == "holding")
    scene.phase(KILLED, dwell)
    deaths[BACK] = scene.happens(BACK, lambda: lab.start_daemon(ANCHOR))
    scene.until(f"{ANCHOR} has its pool again", lambda: _stand_in(scene) == "ready")
    scene.phase(BACK, dwell)
    deaths[DARK] = scene.happens(DARK, lambda: lab.darken(ANCHOR))
    scene.until(f"{PARTNER} holds the pool", lambda: _stand_in(scene) == "holding")
    scene.phase(DARK, dwell)
    deaths[MOVED] = scene.happens(MOVED, lambda: lab.air.roam("mn2", OTHER))
    scene.phase(MOVED, dwell)
    deaths[LIT] = scene.happens(LIT, lambda: _light(scene, ANCHOR))
    scene.until(f"{ANCHOR} has its pool again", lambda: _stand_in(scene) == "ready")
    scene.phase(LIT, dwell)
    ended = programs.finish()
    traffic.wait("ended", 60.0, flow="download")
    traffic.stop(*(f"{host}-{kind}" for host in sources for kind in ("call", "terminal")))
    left = _pool_routes(scene)
    return _takeover_report(scene, dict(scene.finish()), deaths, ended, left)


def _light(scene: Scene, router: str) -> None:
    scene.lab.lighten(router)
    scene.lab.start_daemon(router)


def _anchored(scene: Scene) -> int:
    return sum(row["presence"] == "away" for row in scene.rows(ANCHOR, "sessions"))


def _stand_in(scene: Scene) -> str:
    rows = [row for row in scene.rows(PARTNER, "peers") if row["address"] == scene.topology.address(ANCHOR)]
    return str(rows[0]["stand_in"])


def _takeover_report(
    scene: Scene, records: dict[str, FlowRecord], deaths: dict[str, Instant], ended: dict[str, bool], left: list[str]
) -> Report:
    calls = [records["mn1-call"], records["mn2-call"]]
    figures = [_after(scene, calls, name, at) for name, at in deaths.items()]
    found = {figure.name: figure for figure in figures}
    verdicts = [
        *_alive(records),
        *(
            holds(f"{name} on mn2", "right" if well else "wrong or cut off", "right", well)
            for name, well in ended.items()
        ),
    ]
    verdicts.append(found[DARK].still(LIMIT))
    verdicts += [found[name].lossless() for name in (KILLED, BACK, LIT)]
    stays = _after(scene, calls[:1], MOVED, deaths[MOVED])
    verdicts.append(stays.lossless("of the host that stays"))
    verdicts.append(
        holds(f"left of the pool at {PARTNER} and in the network", ", ".join(left) or "nothing", "nothing", not left)
    )
    return Report(
        "An anchor dies, its partner steps in",
        f"Two hosts at {SERVING} have sessions on prefixes of {ANCHOR}; {PARTNER} takes the pool over and gives it up.",
        verdicts=verdicts,
        tables=[_table(figures)],
        conditions=_conditions(scene),
        data={"topology": scene.topology.model_dump(mode="json")},
    )


def _pool_routes(scene: Scene) -> list[str]:
    """What leads to the partner, there and in the core."""
    pool = scene.topology.nodes[ANCHOR].pool
    assert pool is not None
    halves = [str(half) for half in pool.subnets()]
    found = []
    for node in ("core", PARTNER):
        for line in scene.lab.state(node).lines:
            if any(half in line for half in halves):
                found.append(f"{node}: {line}")
    return found


# --- without one ------------------------------------------------------------------------------------------------------


def play_anchor_dies(scene: Scene, dwell: float = 1.5) -> Report:
    """The whole run."""
    lab, traffic, server = scene.lab, scene.traffic, scene.topology.address("server")
    traffic.serve("server", server)
    for host, place in (("mn1", ALONE), ("mn2", ALONE), ("mn3", PARTNER)):
        if lab.air.where(host) != place:
            lab.air.roam(host, place)
    old = scene.address("mn1", "2001:db8:a2")
    elsewhere = scene.address("mn3", "2001:db8:a3")
    scene.address("mn2", "2001:db8:a2")
    traffic.stream("old", "mn1", old, server, up=RATE, down=RATE)
    traffic.stream("elsewhere", "mn3", elsewhere, server, up=RATE, down=RATE)
    lab.air.roam("mn1", OTHER)
    lab.air.roam("mn3", OTHER)
    new = scene.address("mn1", "2001:db8:a4")
    traffic.stream("new", "mn1", new, server, up=RATE, down=RATE)
    traffic.exchange("terminal", "mn1", new, server, interval=50 * MILLISECOND)
    scene.until("it is known where they are", lambda: all(_serves(scene, OTHER, one) for one in (old, elsewhere)))
    deaths: dict[str, Instant] = {}
    scene.phase(CALM, dwell)
    deaths[GONE] = scene.happens(GONE, lambda: lab.darken(ALONE))
    scene.until("the prefix is withdrawn", lambda: not _serves(scene, OTHER, old))
    kept = [line for line in lab.state(OTHER).lines if _of(old) in line]
    lab.air.roam("mn2", OTHER, notice=False)
    begun = scene.address("mn2", "2001:db8:a4")
    traffic.stream("begun", "mn2", begun, server, up=RATE, down=RATE)
    scene.phase(GONE, dwell)
    deaths[RETURNED] = scene.happens(RETURNED, lambda: _light(scene, ALONE))
    scene.until("the prefix is back", lambda: _serves(scene, OTHER, old))
    scene.phase(RETURNED, dwell)
    traffic.stop("old", "new", "elsewhere", "begun", "terminal")
    records = dict(scene.finish())
    told = _told(scene, Prefix.of(address(old), 64), deaths[GONE])
    return _anchor_dies_report(scene, records, deaths, kept, told)


def _of(source: str) -> str:
    return str(Prefix.of(address(source), 64))


def _serves(scene: Scene, router: str, source: str) -> bool:
    return any(row["prefix"] == _of(source) for row in scene.rows(router, "bindings"))


def _told(scene: Scene, prefix: Prefix, since: Instant) -> Instant | None:
    """When the host was told that its prefix is over."""
    for at, step in load_steps(scene.lab.daemon(OTHER).events):
        over = isinstance(step, Advertise) and any(one.prefix == prefix and not one.valid for one in step.prefixes)
        if over and at >= since:
            return at
    return None


def _anchor_dies_report(
    scene: Scene, records: dict[str, FlowRecord], deaths: dict[str, Instant], kept: list[str], told: Instant | None
) -> Report:
    others = [records["new"], records["elsewhere"]]
    figures = [_after(scene, others, name, at) for name, at in deaths.items()]
    limit = SECOND + spare(figures[0].lateness)
    took = None if told is None else told - deaths[GONE]
    words = "never" if took is None else f"{milliseconds(took):.0f} ms"
    verdicts = [
        holds(
            "the host is told that its prefix is over",
            f"after {words}",
            f"{milliseconds(SECOND):.0f} ms + {milliseconds(limit - SECOND):.0f} at most on this machine",
            took is not None and took <= limit,
        ),
        holds(f"left of the prefix in the kernel of {OTHER}", ", ".join(kept) or "nothing", "nothing", not kept),
        *[figure.lossless("of other sessions") for figure in figures],
    ]
    begun = [loss(way, scene.window(GONE)) for way in (records["begun"].up, records["begun"].down)]
    sent, lost = sum(one.sent for one in begun), sum(one.lost for one in begun)
    verdicts.append(holds("lost of a session that began meanwhile", f"{lost} of {sent}", "0", not lost and sent > 0))
    back = [loss(way, scene.window(RETURNED)) for way in (records["old"].up, records["old"].down)]
    sent, lost = sum(one.sent for one in back), sum(one.lost for one in back)
    verdicts.append(
        holds(f"lost of the old session when {ALONE} is back", f"{lost} of {sent}", "0", not lost and sent > 0)
    )
    reset = resets([records["terminal"]])
    verdicts.append(holds("TCP resets", reset, "0", reset == 0))
    return Report(
        "An anchor dies, and nobody steps in",
        f"A host at {OTHER} has a session on a prefix of {ALONE}, and others on other prefixes.",
        verdicts=verdicts,
        tables=[_table(figures)],
        conditions=_conditions(scene),
        data={"topology": scene.topology.model_dump(mode="json")},
    )


# --- figures ----------------------------------------------------------------------------------------------------------


def _after(scene: Scene, records: Sequence[FlowRecord], name: str, at: Instant) -> Standstill:
    """What became of streams after a moment, until the phase of its name is over."""
    return Standstill(name, records, Window(at, scene.window(name).end))


def _alive(records: dict[str, FlowRecord]) -> list[Verdict]:
    living = sum(record.outcome == "complete" for record in records.values())
    reset = resets(records.values())
    return [
        holds(
            "sessions alive", f"{living} of {len(records)}", f"{len(records)} of {len(records)}", living == len(records)
        ),
        holds("TCP resets", reset, "0", reset == 0),
        holds(
            "download",
            "right" if records["download"].intact else "wrong or cut off",
            "right",
            records["download"].intact,
        ),
    ]


def _table(figures: Sequence[Standstill]) -> Table:
    rows: list[Sequence[str]] = [
        (
            one.name,
            f"{milliseconds(one.silence):.0f} ms",
            str(one.sent),
            str(one.lost),
            f"{milliseconds(one.lateness):.0f} ms",
        )
        for one in figures
    ]
    return Table("After each moment", ("since", "longest silence", "sent", "lost", "this machine was late by"), rows)


def _conditions(scene: Scene) -> list[tuple[str, str]]:
    settings = LivenessSettings()
    return [
        ("liveness", f"beats of {milliseconds(settings.interval):.0f} ms at most, {settings.misses} missed"),
        ("streams", f"{RATE} packets a second each way"),
        ("routes", "static; what a router announces reaches all others as soon as a kernel tells it"),
    ]
