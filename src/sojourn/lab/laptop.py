"""A laptop with Mobile IPv6: ``sojourn lab run laptop`` (RFC 6275).

It leaves its home link for two foreign ones and comes back, with a download, a terminal session and two voice calls,
all from its home address. One correspondent takes part in route optimisation, the other one knows nothing of mobility:
what goes to it shows the way through the home agent, and that asking it costs nothing. In the end the home agent is
gone while the laptop moves once more: it has plain Internet access, and its home address back when the home agent is.

What the standard implies on these links stands beside what was measured. A link is usable when the laptop has heard its
router and has an address of its prefix; from then on, old sessions wait for a round trip to the home agent, and the
direct way for two more, to the correspondent: a test and an update (with the home token of before, RFC 6275 5.2.7, at
the same time). A correspondent that sends directly sends to the old care-of address until it has that update.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sojourn.lab.measure import Window, milliseconds, routers_passed
from sojourn.lab.mobile_scene import Mobile, Move, interruption, lateness, limit, lost_at, median_delay, slack
from sojourn.lab.programs import Programs, conditions, verdicts
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.scene import Scene, holds, run
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, SECOND, Duration

RATE = 200
"""Packets a second of each voice call, to the laptop and from it."""
PACKET: Duration = SECOND // RATE
CAN, CANNOT = "talk-cn", "talk-server"
_CALLS = ((CANNOT, "by the home agent"), (CAN, "direct"))
DWELL = 2.0
_TURNS = 3
"""Of a registration: to the home agent, its own, and back. A test and an update have as many each, nearly."""
_DOWNLOAD = 1_500_000
"""Octets a second."""
_ASKED_AT_MOST = 9
"""Test messages to who does not answer: two at a time, four times (MAX_RO_FAILURE), and one of them once more."""


@scenario(
    "laptop", "a laptop leaves home for two foreign links and returns, with and without the direct way (RFC 6275)"
)
def laptop(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "laptop", play)


def play(scene: Scene, dwell: float = DWELL) -> Report:
    """Home, two foreign links, home, and once more without a home agent."""
    topology, traffic = scene.topology, scene.traffic
    node = topology.of_kind("mn")[0]
    mobile = Mobile(scene, node)
    peers = {"cn": topology.address("cn"), "server": topology.address("server")}
    for name, where in peers.items():
        traffic.serve(name, where)
    mobile.wait("home")
    visits = 4
    seconds = visits * (dwell + 2.5)
    traffic.stream(CAN, node, mobile.home, peers["cn"], up=RATE, down=RATE)
    traffic.stream(CANNOT, node, mobile.home, peers["server"], up=RATE, down=RATE)
    traffic.exchange("terminal", node, mobile.home, peers["server"], interval=100 * MILLISECOND)
    traffic.download("download", node, mobile.home, peers["cn"], octets=int(seconds * _DOWNLOAD), rate=_DOWNLOAD)
    programs = Programs(scene.lab, node, mobile.home, "cn", peers["cn"], seconds)
    scene.phase("at home", dwell)
    for target in ("f1", "f2"):
        mobile.go(target)
        mobile.wait_optimised("cn")
        scene.phase(f"at {target}", dwell)
    mobile.go("home")
    scene.phase("at home again", dwell)
    ran = programs.finish()
    ended = time.monotonic_ns()
    traffic.stop(CAN, CANNOT, "terminal")
    plain = _without_home_agent(scene, mobile)
    records = dict(scene.finish())
    return _Findings(mobile, records, mobile.look_back(ended)[:3], ran, plain).report()


def _without_home_agent(scene: Scene, mobile: Mobile) -> dict[str, str]:
    """The source of a new connection while the home agent is dead, and when it is back."""
    sources: dict[str, str] = {"at home": mobile.connects("server")}
    scene.say("the home agent is dead")
    scene.lab.stop_daemon(mobile.agent, kill=True)
    mobile.go("f1", wait=False)
    scene.until("the laptop has another address", lambda: bool(mobile.row()["care_of"]))
    sources["abroad, home agent dead"] = mobile.connects("server")
    scene.lab.start_daemon(mobile.agent)
    mobile.wait("away")
    sources["abroad, home agent back"] = mobile.connects("server")
    return sources


class _Findings:
    """What the run shows."""

    def __init__(
        self,
        mobile: Mobile,
        records: dict[str, FlowRecord],
        moves: list[Move],
        programs: dict[str, bool],
        sources: dict[str, str],
    ) -> None:
        self.mobile, self.scene, self.topology = mobile, mobile.scene, mobile.scene.topology
        self.records, self.moves, self.programs, self.sources = records, moves, programs, sources
        self.cn = address(self.topology.address("cn"))
        quiet = self.scene.phases[0].window
        shortest = self.topology.delay("server", mobile.agent)
        self.slack = slack()
        self.late = lateness(records[CANNOT].down, quiet.start, quiet.end, shortest)

    def report(self) -> Report:
        """Tables, and what had to hold."""
        return Report(
            "A laptop with Mobile IPv6",
            f"A laptop leaves home for two foreign links and returns; all of its sessions are from {self.mobile.home}.",
            verdicts=[*self._sessions(), *self._moves(), *self._ways(), *self._plain()],
            limits=self._limits(),
            tables=[self._move_table(), self._way_table()],
            conditions=[
                ("laptop", "stock Linux kernel with optimistic duplicate address detection (RFC 4429)"),
                ("links", "home agent 10 ms and foreign links 5 ms from the core, correspondents 5 ms"),
                ("outage", "20 ms in which the laptop is on no link, with a change of carrier"),
                (
                    "this machine",
                    f"{milliseconds(self.late):.1f} ms late with a packet; allowed for each turn of a message",
                ),
                *conditions(),
            ],
            data={
                "topology": self.topology.model_dump(mode="json"),
                "moves": to_json(self.moves),
                "programs": self.programs,
                "sources": self.sources,
            },
        )

    # --- what had to hold ---------------------------------------------------------------------------------------------

    def _sessions(self) -> list[Verdict]:
        living = sum(record.outcome == "complete" for record in self.records.values())
        download, count = self.records["download"], len(self.records)
        reset = resets(self.records.values())
        found = [
            holds("sessions alive", f"{living} of {count}", f"{count} of {count}", living == count),
            holds("download", "right" if download.intact else "wrong or cut off", "right", download.intact),
            holds("TCP resets", reset, "0", reset == 0),
        ]
        return found + verdicts(self.programs, "all moves")

    def _moves(self) -> list[Verdict]:
        found = []
        for move in self.moves:
            for name, words in _CALLS:
                found.append(self._interrupted(move, name, words))
        for move in self.moves[:2]:
            since = max(0, move.optimised.get(self.cn, 0) - move.reachable)
            bound = self._direct_bound(move)
            more = self.slack + 2 * _TURNS * self.late
            right = self.cn in move.optimised and since <= bound + more
            words = f"{milliseconds(bound):.0f} ms + {milliseconds(more):.0f} at most"
            found.append(holds(f"{move.name}, direct way after", f"{milliseconds(since):.0f} ms", words, right))
        return found

    def _limits(self) -> list[Verdict]:
        found = []
        for move in self.moves:
            for flow, words in _CALLS:
                waited = interruption(self.records[flow].down, move)
                found.append(limit(f"{move.name}, {words}: interrupted", waited, self._silent(move, flow)))
        for move in self.moves[:2]:
            since = max(0, move.optimised.get(self.cn, 0) - move.reachable)
            found.append(limit(f"{move.name}: direct way after", since, self._direct_bound(move)))
        return found

    def _silent(self, move: Move, flow: str) -> Duration:
        """How long nothing of a call comes to the laptop once the new link is usable, by the formula."""
        bound = self.mobile.bound(move)
        if flow == CAN and not move.first:  # it sends to the old care-of address until it is told
            there = self.mobile.round_trip(move.target, "cn")
            bound += there if move.target == self.mobile.agent else max(0, 2 * there - bound)
        return bound

    def _interrupted(self, move: Move, flow: str, words: str) -> Verdict:
        """Of one call, to the laptop."""
        bound = self._silent(move, flow)
        waited = interruption(self.records[flow].down, move)
        more = self.slack + PACKET + (_TURNS if flow == CANNOT else 2 * _TURNS) * self.late
        allowed = f"{milliseconds(bound):.0f} ms + {milliseconds(more):.0f} at most"
        said = f"interrupted {milliseconds(waited):.0f} ms"
        return holds(f"{move.name}, {words}", said, allowed, move.usable > 0 and waited <= bound + more)

    def _direct_bound(self, move: Move) -> Duration:
        """A test and an update; the first test of the home address goes round by the home agent, a first packet of the
        correspondent has come before.
        """
        direct = self.mobile.round_trip(move.target, "cn")
        agent = self.mobile.agent
        if move is not self.moves[0]:
            return 2 * direct
        around = self.mobile.round_trip(move.target, agent) + self.mobile.round_trip(agent, "cn")
        return around + direct + self.topology.delay(agent, move.target) + self.topology.delay("cn", agent)

    def _ways(self) -> list[Verdict]:
        found = []
        for name in ("at f1", "at f2"):
            stretch = self._stretch(CAN, "cn", name)
            found.append(holds(f"stretch with direct way, {name}", f"{stretch:.2f}", "1.00", stretch == 1.0))
        quiet = sum(
            self.scene.measured(way, one.name).lost
            for record in (self.records[CAN], self.records[CANNOT])
            for one in self.scene.phases
            for way in (record.up, record.down)
        )
        found.append(holds("lost while nobody moved", quiet, "0", quiet == 0))
        server = address(self.topology.address("server"))
        asked = sum(
            type(step).__name__ == "SendMessage" and getattr(step, "destination", b"") == server
            for _, step in self.mobile.steps
        )
        found.append(
            holds("asked who cannot", f"{asked} messages", f"{_ASKED_AT_MOST} at most", asked <= _ASKED_AT_MOST)
        )
        return found

    def _stretch(self, flow: str, other: str, phase: str) -> float:
        """Routers passed, to the laptop, for those that the shortest way has."""
        window = self.scene.window(phase)
        passed = routers_passed(self.records[flow].down, Window(window.start, window.end))
        shortest = len(self.topology.path(other, phase.removeprefix("at "))) - 1
        return (passed or 0) / shortest

    def _plain(self) -> list[Verdict]:
        home, dead, back = self.sources.values()
        prefix = str(self.topology.link_prefix("f1").network_address).rstrip(":")
        return [
            holds("new connection at home", home, self.mobile.home, home == self.mobile.home),
            holds("with a dead home agent", dead, f"one of {prefix}::/64", dead.startswith(prefix)),
            holds("when it is back", back, self.mobile.home, back == self.mobile.home),
        ]

    # --- tables -------------------------------------------------------------------------------------------------------

    def _move_table(self) -> Table:
        rows: list[Sequence[str]] = []
        for move in self.moves:
            direct = move.optimised.get(self.cn)
            rows.append(
                (
                    move.name,
                    f"{milliseconds(move.usable - move.left):.0f} ms",
                    f"{milliseconds(move.reachable - move.usable):.0f} ms",
                    f"{milliseconds(self.mobile.bound(move)):.0f} ms",
                    f"{milliseconds(interruption(self.records[CAN].down, move)):.0f} ms",
                    "" if direct is None else f"{milliseconds(direct - move.reachable):.0f} ms",
                    str(lost_at(self.records[CAN].down, move)),
                )
            )
        columns = ("move", "usable", "answer", "formula", "silence", "direct", "lost")
        return Table("What each move cost", columns, rows, _NOTE)

    def _way_table(self) -> Table:
        rows: list[Sequence[str]] = []
        for phase in self.scene.phases:
            where = phase.name.removeprefix("at ").removesuffix(" again")
            row = [phase.name]
            for flow, other in ((CAN, "cn"), (CANNOT, "server")):
                delay = median_delay(self.records[flow].down, phase.window.start, phase.window.end)
                shortest = milliseconds(self.topology.delay(other, where))
                row.append(f"{delay:.1f} ms ({shortest:g})")
            rows.append(row)
        return Table("Delay to the laptop, and that of the shortest way", ("", "who can", "who cannot"), rows)


_NOTE = (
    "Usable: from leaving the old link to a router and an address on the new one. Answer: of the home agent, from then "
    "on; the formula is a round trip to it: this home agent does not wait for its test of the home address, of a "
    "second (optimistic_duplicate_address_detection). Silence: of a call, from usable on. Direct: from the answer to "
    f"the direct way. Lost: of the call to the laptop, {RATE} packets a second."
)
