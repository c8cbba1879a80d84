"""Networks that move: ``sojourn lab run bus`` (RFC 3963, 5648, 6276).

A bus has three links to the world, one home agent, and a network for who rides along. It got the network's prefix by
DHCPv6 from a Kea at the home agent (implicit mode: the home agent knows it too). A van has one link, and tells its home
agent what is behind it (explicit mode). Passengers are stock hosts: nothing of ours is in them, and nothing of theirs
changes when the vehicle moves. At last a phone with Mobile IPv6 of its own gets onto the bus: its tunnel is in another.

In the control nobody moves; then the bus's daemon is killed, and is back with the prefix. Twice the bus changes a link
of which it knows that it will go: everything takes another one before (make before break), and nothing may be lost.
Then the link in use is gone without a word, then another one, and the last link moves. A link is usable when the router
of the vehicle has heard its router and has an address there; from then on, passengers wait for a round trip to the home
agent, and for this machine, if it has other things to do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise

from sojourn.lab.kea import Kea, installed
from sojourn.lab.measure import milliseconds
from sojourn.lab.mobile_scene import Mobile, Move, interruption, limit, median_delay, slack
from sojourn.lab.passengers import Passengers
from sojourn.lab.programs import Programs, conditions, verdicts
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.scene import Phase, Scene, holds, run
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import Direction, FlowRecord, resets
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.dhcpv6 import uuid_duid
from sojourn.wire.units import MILLISECOND, SECOND, Instant

RATE = 1000
"""Packets a second of the rider's call, each way."""
SLOW_RATE = 200
"""Of the calls of others."""
DWELL = 1.5
"""Seconds of each phase."""
BUS, VAN, PHONE, RIDER, GUEST = "bus", "van", "phone", "rider", "guest"
CONTROL, KILLED, ANNOUNCED, BROKEN, ALONE, NESTED, ABOARD = (
    "three links, nobody moves",
    "the bus's daemon was killed",
    "two links changed, announced",
    "the link in use broke",
    "one link, which moved",
    "the phone is on the bus",
    "the van is on it too",
)
_TURNS = 4
"""Whose turn it is between the break and the first packet by the other link: bus, link, home agent, link."""
_DOWNLOAD = 100_000
"""Octets a second."""
_PATIENCE = 30.0
_PRESSED = 0.98
"""The share of the rate that a sender with nothing in its way keeps."""
_STAY = 12.0
"""Seconds that all of it takes beside the phases, on a machine with other things to do."""


@scenario("bus", "a bus with three links and a delegated prefix takes a network of stock hosts along (RFC 3963, 6276)")
def bus(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, topology(), play)


def topology() -> Topology:
    """That of the scenario. Where there is no Kea, the bus knows the prefix from its configuration."""
    found = load("bus")
    if installed():
        return found
    told = found.nodes[BUS].model_copy(update={"delegated": False})
    return found.model_copy(update={"nodes": {**found.nodes, BUS: told}})


def play(scene: Scene, dwell: float = DWELL) -> Report:
    """Get a prefix, let passengers talk, change links with and without a word, board the bus."""
    with ExitStack() as opened:
        return _play(scene, dwell, opened)


def _play(scene: Scene, dwell: float, opened: ExitStack) -> Report:
    lab, traffic = scene.lab, scene.traffic
    mobiles = {name: Mobile(scene, name) for name in (BUS, VAN, PHONE)}
    server = scene.topology.address("server")
    agent = mobiles[BUS].agent
    if scene.topology.nodes[BUS].delegated:
        known = {uuid_duid(address(mobiles[BUS].home)): str(scene.topology.nodes[BUS].pool)}
        served = Kea(lab.nodes[agent], scene.options.output, str(scene.topology.link_prefix(agent)), known)
        opened.callback(served.stop)
    for mobile in mobiles.values():
        mobile.wait("away")
    networks = {name: Passengers(scene, name) for name in (BUS, VAN)}
    for network in networks.values():
        opened.callback(network.close)
    for radio, link in (("bus/2", "f2"), ("bus/3", "lte")):
        lab.air.roam(radio, link, carrier=True)
    _wait_for(scene, mobiles[BUS], "f1", "f2", "lte")
    traffic.serve("server", server)
    rider, guest = networks[BUS].address(RIDER), networks[VAN].address(GUEST)
    seconds = 5 * dwell + _STAY
    traffic.stream("rider", RIDER, rider, server, up=RATE, down=RATE)
    traffic.stream("guest", GUEST, guest, server, up=SLOW_RATE, down=SLOW_RATE)
    traffic.stream("phone", PHONE, mobiles[PHONE].home, server, up=SLOW_RATE, down=SLOW_RATE)
    for name, host, source in (("rider", RIDER, rider), ("guest", GUEST, guest)):
        traffic.exchange(f"{name}-terminal", host, source, server, interval=100 * MILLISECOND)
        octets = int(seconds * _DOWNLOAD)
        traffic.download(f"{name}-download", host, source, server, octets=octets, rate=_DOWNLOAD)
    programs = Programs(lab, RIDER, rider, "server", server, seconds)
    scene.phase(CONTROL, dwell)
    lab.stop_daemon(BUS, kill=True)
    lab.start_daemon(BUS)
    _wait_for(scene, mobiles[BUS], "f1", "f2", "lte")
    scene.until("the prefix is there again", lambda: bool(mobiles[BUS].row()["networks"]))
    scene.phase(KILLED, dwell)
    for target in ("f3", "f1"):
        _change(scene, mobiles[BUS], target, ("f2", "lte"))
    scene.phase(ANNOUNCED, dwell)
    broke = lab.air.detach("bus", carrier=True).disassociated
    _wait_for(scene, mobiles[BUS], "f2", "lte")
    scene.phase(BROKEN, dwell)
    lab.air.detach("bus/3", carrier=True)
    _wait_for(scene, mobiles[BUS], "f2")
    last = Mobile(scene, BUS, 1)
    last.go("f3")
    mobiles[VAN].go("f2")
    scene.phase(ALONE, dwell)
    mobiles[PHONE].go(BUS, wait=False)
    inside = networks[BUS].prefix
    scene.until("the phone is known on the bus", lambda: _within(scene, mobiles[PHONE], inside))
    scene.phase(NESTED, dwell)
    boards = time.monotonic_ns()
    Mobile(scene, VAN).go(BUS, wait=False)
    scene.until("the van is known on the bus", lambda: _within(scene, mobiles[VAN], inside))
    scene.phase(ABOARD, dwell)
    care_of = {name: str(mobiles[name].row()["care_of"]) for name in (PHONE, VAN)}
    ran = programs.finish()
    for name in (RIDER, GUEST):
        traffic.wait("ended", _PATIENCE, flow=f"{name}-download")
    ended = time.monotonic_ns()
    traffic.stop(*(f"{name}{what}" for name in ("rider", "guest") for what in ("", "-terminal")), "phone")
    told = {row["home"]: row["prefixes"] for row in scene.rows(agent, "bindings")}
    records = dict(scene.finish())
    moves = {RIDER: last.look_back(ended)[0], GUEST: mobiles[VAN].look_back(boards)[0]}
    return _Findings(scene, mobiles, networks, records, moves, ran, broke, care_of, told).report()


def _wait_for(scene: Scene, mobile: Mobile, *links: str) -> None:
    """Until the home agent has care-of addresses of just these links, the best one first."""
    prefixes = [str(scene.topology.link_prefix(link).network_address).rstrip(":") for link in links]

    def registered() -> bool:
        rows = [row for row in scene.rows(mobile.agent, "bindings") if row["home"] == mobile.home]
        found = [way.split()[1] for row in rows for way in row["ways"]]
        best = bool(rows) and rows[0]["care_of"].startswith(prefixes[0])
        return best and sorted(_prefix_of(way) for way in found) == sorted(prefixes)

    def _prefix_of(way: str) -> str:
        return next((prefix for prefix in prefixes if way.startswith(prefix)), "")

    scene.until(f"care-of addresses at {', '.join(links)}", registered)


def _change(scene: Scene, mobile: Mobile, target: str, others: Sequence[str]) -> None:
    """The link in use is avoided, and only then goes to another place, and is used again."""
    radio, interface = mobile.node, "wlan0"
    scene.say(f"{interface} of the bus: {scene.lab.air.where(radio)} to {target}")
    scene.command(mobile.node, "avoid", interface=interface)
    _settle(scene, mobile, others[0])
    scene.lab.air.detach(radio, carrier=True)
    _wait_for(scene, mobile, *others)
    scene.lab.air.roam(radio, target, carrier=True)
    scene.until(f"a care-of address at {target}", lambda: len(_ways(scene, mobile)) > len(others))
    scene.command(mobile.node, "use", interface=interface)
    _wait_for(scene, mobile, target, *others)


def _within(scene: Scene, mobile: Mobile, prefix: Prefix) -> bool:
    """Whether the home agent knows the node at an address of this prefix."""
    rows = [row for row in scene.rows(mobile.agent, "bindings") if row["home"] == mobile.home]
    return bool(rows) and prefix.covers(address(rows[0]["care_of"]))


def _ways(scene: Scene, mobile: Mobile) -> list[str]:
    """Care-of addresses that the home agent has."""
    rows = [row for row in scene.rows(mobile.agent, "bindings") if row["home"] == mobile.home]
    return [way.split()[1] for row in rows for way in row["ways"]]


def _settle(scene: Scene, mobile: Mobile, link: str) -> None:
    """Until both ends send by `link`, and what was on its way by another one has arrived."""
    prefix = str(scene.topology.link_prefix(link).network_address).rstrip(":")

    def there() -> bool:
        rows = [row for row in scene.rows(mobile.agent, "bindings") if row["home"] == mobile.home]
        return bool(rows) and rows[0]["care_of"].startswith(prefix)

    scene.until(f"packets for the bus go by {link}", there)
    longest = max(scene.topology.delay(mobile.agent, one) for one in scene.topology.of_kind("plain"))
    time.sleep((4 * longest + 100 * MILLISECOND) / SECOND)


class _Findings:
    """What the run shows."""

    def __init__(
        self,
        scene: Scene,
        mobiles: dict[str, Mobile],
        networks: dict[str, Passengers],
        records: dict[str, FlowRecord],
        moves: dict[str, Move],
        programs: dict[str, bool],
        broke: Instant,
        care_of: dict[str, str],
        told: dict[str, list[str]],
    ) -> None:
        self.scene, self.topology, self.mobiles, self.networks = scene, scene.topology, mobiles, networks
        self.records, self.moves, self.programs = records, moves, programs
        self.broke, self.care_of, self.told = broke, care_of, told
        self.delegated = self.topology.nodes[BUS].delegated
        self.phases = {phase.name: phase for phase in scene.phases}

    def report(self) -> Report:
        """Tables, and what had to hold."""
        return Report(
            "Networks that move",
            f"A bus with three links has {self.networks[BUS].network} behind it, {self._got()}; a van with one link "
            f"has {self.networks[VAN].network}.",
            verdicts=[*self._prefixes(), *self._sessions(), *self._losses(), *self._breaks(), *self._nested()],
            limits=self._limits(),
            tables=[self._table()],
            conditions=[
                ("links", "one way to the home agent: f1 10 ms, f2 15 ms, f3 20 ms, lte 35 ms"),
                ("passengers", "stock Linux hosts, configured by Router Advertisements of their vehicle"),
                ("rider's call", f"{RATE} packets a second each way"),
                *conditions(),
            ],
            data={
                "topology": self.topology.model_dump(mode="json"),
                "moves": to_json(self.moves),
                "programs": self.programs,
                "networks": {name: str(one.network) for name, one in self.networks.items()},
            },
        )

    def _got(self) -> str:
        return "delegated by Kea" if self.delegated else "as configured"

    # --- networks -----------------------------------------------------------------------------------------------------

    def _prefixes(self) -> list[Verdict]:
        found = []
        got = "delegated to the bus, implicit mode" if self.delegated else "told by the bus (no Kea is installed)"
        for name, how in ((BUS, got), (VAN, "told by the van, explicit mode")):
            network, wanted = str(self.networks[name].network), str(self.topology.nodes[name].pool)
            held = self.told.get(self.mobiles[name].home, [])
            right = network == wanted and held == [wanted]
            found.append(holds(how, network, f"{wanted}, at the home agent too", right))
        return found

    def _sessions(self) -> list[Verdict]:
        count = len(self.records)
        living = sum(record.outcome == "complete" for record in self.records.values())
        downloads = [record for name, record in self.records.items() if name.endswith("-download")]
        intact = sum(record.intact for record in downloads)
        reset = resets(self.records.values())
        found = [
            holds("sessions alive", f"{living} of {count}", f"{count} of {count}", living == count),
            holds("downloads right", f"{intact} of {len(downloads)}", "all", intact == len(downloads)),
            holds("TCP resets", reset, "0", reset == 0),
        ]
        return found + verdicts(self.programs, "all moves of the bus")

    # --- what was lost ------------------------------------------------------------------------------------------------

    def _lost(self, name: str, since: Instant, until: Instant) -> tuple[int, int]:
        record = self.records[name]
        pairs = [pair for way in (record.up, record.down) for pair in zip(way.sent, way.received, strict=True)]
        sent = [received for at, received in pairs if since <= at < until]
        return sum(not received for received in sent), len(sent)

    def _losses(self) -> list[Verdict]:
        control, killed, announced = (self.phases[name].window for name in (CONTROL, KILLED, ANNOUNCED))
        found = []
        for what, since, until in (
            ("lost while nobody moved (control)", control.start, control.end),
            ("lost over a crash of the bus's daemon", control.end, killed.end),
            ("lost while links were changed, announced", killed.end, announced.end),
        ):
            lost, sent = self._lost("rider", since, until)
            found.append(holds(what, f"{lost} of {sent}", "0", lost == 0 and sent > 0))
        for phase in (BROKEN, ALONE, NESTED, ABOARD):
            window = self.phases[phase].window
            gone = [self._lost(name, window.start, window.end) for name in ("rider", "guest", "phone")]
            lost, sent = (sum(column) for column in zip(*gone, strict=True))
            found.append(holds(f"lost after it: {phase}", f"{lost} of {sent}", "0", lost == 0))
        return found

    def _breaks(self) -> list[Verdict]:
        trip, silence = self._trip(), self._silence(self.records[RIDER].down)
        found = [self._interrupted("silence when the link in use broke", RIDER, silence, trip, self.broke, "f1")]
        for name, move in self.moves.items():
            waited = interruption(self.records[name].down, move)
            bound = self.mobiles[BUS if name == RIDER else VAN].bound(move)
            said = f"{name}, {move.name}, interrupted"
            found.append(self._interrupted(said, name, waited, bound, move.left, move.source))
        return found

    def _trip(self) -> int:
        """What was on its way by the link that broke, and the news of that by the next one."""
        agent = self.mobiles[BUS].agent
        return self.topology.delay(agent, "f1") + self.topology.delay(agent, "f2")

    def _limits(self) -> list[Verdict]:
        found = [limit("silence when the link in use broke", self._silence(self.records[RIDER].down), self._trip())]
        for name, move in self.moves.items():
            bound = self.mobiles[BUS if name == RIDER else VAN].bound(move)
            said = f"{name}, {move.name}: interrupted"
            found.append(limit(said, interruption(self.records[name].down, move), bound))
        since, until = self.phases[KILLED].window.end, self.phases[ANNOUNCED].window.end
        rate = round(self._lost(RIDER, since, until)[1] / 2 / ((until - since) / SECOND))
        enough = rate >= _PRESSED * RATE
        found.append(Verdict("packets a second each way, links changed", str(rate), f"{RATE}", enough))
        return found

    def _interrupted(self, said: str, flow: str, waited: int, bound: int, at: Instant, link: str) -> Verdict:
        """What the formula allows, and what this machine was late just before: it shows in packets that were no part of
        any change.
        """
        pause = SECOND // (RATE if flow == RIDER else SLOW_RATE)
        spare = slack() + pause + _TURNS * self._lateness(self.records[flow].down, at, link)
        words = f"{milliseconds(bound):.0f} ms + {milliseconds(spare):.0f} at most on this machine"
        return holds(said, f"{milliseconds(waited):.0f} ms", words, waited <= bound + spare)

    def _lateness(self, direction: Direction, at: Instant, link: str) -> int:
        pairs = zip(direction.sent, direction.received, strict=True)
        near = [received - sent for sent, received in pairs if received and 0 <= at - sent < SECOND]
        return max(max(near, default=0) - self._delay(link), 0)

    def _silence(self, direction: Direction) -> int:
        arrived = sorted(at for at in direction.received if at)
        gaps = [b - a for a, b in pairwise(arrived) if a <= self.broke + SECOND and b >= self.broke]
        return max(gaps, default=SECOND)

    def _delay(self, link: str) -> int:
        agent = self.mobiles[BUS].agent
        return self.topology.delay("server", agent) + self.topology.delay(agent, link)

    def _nested(self) -> list[Verdict]:
        """A mobile node and a mobile router on the bus: what is for them, and for who is behind, has two tunnels."""
        within, found = self.networks[BUS].prefix, list[Verdict]()
        for node, flow, phase in ((PHONE, "phone", NESTED), (VAN, "guest", ABOARD)):
            care_of, window = self.care_of[node], self.phases[phase].window
            arrived = sum(window.start <= at < window.end for at in self.records[flow].down.received)
            inside = within.covers(address(care_of))
            found.append(holds(f"the {node} on the bus is at", care_of, f"an address of {within}", inside))
            found.append(holds(f"packets to the {flow} there, in two tunnels", arrived, "some", arrived > 0))
        return found

    # --- the table ----------------------------------------------------------------------------------------------------

    def _table(self) -> Table:
        rows: list[Sequence[str]] = [(phase.name, *self._row(phase)) for phase in self.scene.phases]
        note = "Median delay to each; lost: of the rider's call, both ways. Direct ways there are none (RFC 3963 1)."
        return Table("What passengers notice", ("phase", "rider", "guest", "phone", "lost"), rows, note)

    def _row(self, phase: Phase) -> list[str]:
        window = phase.window
        delays = [median_delay(self.records[name].down, window.start, window.end) for name in (RIDER, GUEST, PHONE)]
        return [*(f"{delay:.1f} ms" for delay in delays), str(self._lost(RIDER, window.start, window.end)[0])]
