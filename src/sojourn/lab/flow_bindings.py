"""A phone with two links, and what takes which: ``sojourn lab run flows`` (RFC 5648, RFC 6089, RFC 6088).

By its configuration calls take Wi-Fi, a large transfer the mobile network, many small ones both; all of them change
over to the other link when theirs goes. First it is told that Wi-Fi is about to go: everything is elsewhere before it
does, and of 1,000 packets a second each way none is lost. Later the mobile network goes without a word; what is lost
then is what was on its way, and what the home agent still sent there until it heard of it: a round trip by Wi-Fi.

Which link a packet took is seen from how long it took: the mobile network is 50 ms farther away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sojourn.lab.measure import milliseconds
from sojourn.lab.mobile_scene import Mobile, limit, median_delay, slack
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.scene import Phase, Scene, holds, run
from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.wire.units import SECOND

RATE = 1000
"""Packets a second of the call, each way."""
BULK_RATE = 100
DWELL = 1.2
"""Seconds of each phase."""
_TURNS = 4
"""Whose turn it is between the break and the first packet by the other link: phone, link, home agent, link."""
SMALL, SMALL_RATE = 12, 10
BOTH, AVOIDED, GONE, BACK, BROKEN = (
    "two links",
    "Wi-Fi is about to go",
    "Wi-Fi is gone",
    "Wi-Fi is back",
    "the mobile network broke",
)
WIFI, LTE = "wifi", "lte"
EXPECTED: dict[str, tuple[str, str, frozenset[str]]] = {
    BOTH: (WIFI, LTE, frozenset({WIFI, LTE})),
    AVOIDED: (LTE, LTE, frozenset({LTE})),
    GONE: (LTE, LTE, frozenset({LTE})),
    BACK: (WIFI, LTE, frozenset({WIFI, LTE})),
    BROKEN: (WIFI, WIFI, frozenset({WIFI})),
}
"""By phase: where the call goes, where the large transfer goes, and where the small ones go."""


@scenario(
    "flows", "a phone's calls, transfers and small things take the links they should; links come and go (RFC 6089)"
)
def flows(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "flows", play)


def play(scene: Scene) -> Report:
    """Two links, one of them announced to go, back, and the other one gone without a word."""
    topology, traffic = scene.topology, scene.traffic
    phone = topology.of_kind("mn")[0]
    mobile = Mobile(scene, phone)
    _wait_for(scene, mobile, WIFI)
    scene.lab.air.roam(f"{phone}/2", LTE, carrier=True)
    _wait_for(scene, mobile, WIFI, LTE)
    for name in topology.of_kind("server"):
        traffic.serve(name, topology.address(name))
    traffic.stream("call", phone, mobile.home, topology.address("call"), up=RATE, down=RATE)
    traffic.stream("bulk", phone, mobile.home, topology.address("bulk"), up=BULK_RATE, down=BULK_RATE)
    for number in range(SMALL):
        traffic.stream(f"small-{number}", phone, mobile.home, topology.address("web"), up=SMALL_RATE, down=SMALL_RATE)
    traffic.download("page", phone, mobile.home, topology.address("bulk"), octets=1_600_000, rate=200_000)
    scene.phase(BOTH, DWELL)
    scene.command(phone, "avoid", interface="wlan0")
    scene.phase(AVOIDED, DWELL)
    scene.lab.air.detach(phone, carrier=True)
    _wait_for(scene, mobile, LTE)
    scene.phase(GONE, DWELL)
    scene.lab.air.roam(phone, WIFI, carrier=True)
    _wait_for(scene, mobile, WIFI, LTE)
    scene.command(phone, "use", interface="wlan0")
    scene.phase(BACK, DWELL)
    broke = scene.lab.air.detach(f"{phone}/2", carrier=True).disassociated
    _wait_for(scene, mobile, WIFI)
    scene.phase(BROKEN, DWELL)
    return _Findings(scene, dict(scene.finish()), broke).report()


def _wait_for(scene: Scene, mobile: Mobile, *links: str) -> None:
    """Until the home agent has the care-of addresses of just these links."""
    prefixes = {str(scene.topology.link_prefix(link).network_address).rstrip(":") for link in links}

    def registered() -> bool:
        rows = [row for row in scene.rows(mobile.agent, "bindings") if row["home"] == mobile.home]
        found = [way.split()[1] for row in rows for way in row["ways"]]
        return len(found) == len(links) and all(any(way.startswith(one) for one in prefixes) for way in found)

    scene.until(f"care-of addresses at {', '.join(links)}", registered)


class _Findings:
    """What the run shows."""

    def __init__(self, scene: Scene, records: dict[str, FlowRecord], broke: int) -> None:
        self.scene, self.topology, self.records, self.broke = scene, scene.topology, records, broke
        self.small = [record for name, record in records.items() if name.startswith("small-")]

    def report(self) -> Report:
        """Tables, and what had to hold."""
        return Report(
            "Flow bindings",
            "A phone with Wi-Fi and a mobile network: each kind of traffic takes the link that the configuration says.",
            verdicts=[*self._links(), *self._losses(), *self._page()],
            limits=self._limits(),
            tables=[self._table()],
            conditions=[
                ("links", "one way to the home agent: 10 ms by Wi-Fi, 60 ms by the mobile network"),
                ("call", f"{RATE} packets a second each way"),
                ("small ones", f"{SMALL} flows of {SMALL_RATE} packets a second each way"),
            ],
            data={"topology": self.topology.model_dump(mode="json"), "table": to_json(self._rows())},
        )

    # --- which link -----------------------------------------------------------------------------------------------

    def _link(self, direction: Direction, server: str, phase: Phase) -> str:
        """That whose delay is nearest to what was measured; empty when nothing arrived."""
        delay = median_delay(direction, phase.window.start, phase.window.end)
        expected = {link: self._delay(server, link) for link in (WIFI, LTE)}
        return min(expected, key=lambda link: abs(expected[link] - delay)) if delay else ""

    def _delay(self, server: str, link: str) -> float:
        agent = self.topology.of_kind("ha")[0]
        return milliseconds(self.topology.delay(server, agent) + self.topology.delay(agent, link))

    def _both(self, record: FlowRecord, server: str, phase: Phase) -> set[str]:
        return {self._link(way, server, phase) for way in (record.up, record.down)}

    def _links(self) -> list[Verdict]:
        found = []
        for phase in self.scene.phases:
            call, bulk, small = EXPECTED[phase.name]
            for name, wanted in (("call", call), ("bulk", bulk)):
                links = self._both(self.records[name], name, phase)
                found.append(holds(f"{name}, {phase.name}", " and ".join(sorted(links)), wanted, links == {wanted}))
            links = set().union(*(self._both(record, "web", phase) for record in self.small))
            right = links == small and all(len(self._both(record, "web", phase)) == 1 for record in self.small)
            words = " and ".join(sorted(links))
            found.append(holds(f"small ones, {phase.name}", words, " and ".join(sorted(small)), right))
        return found

    # --- what was lost ------------------------------------------------------------------------------------------------

    def _lost(self, directions: Sequence[Direction], since: int, until: int) -> int:
        pairs = [pair for way in directions for pair in zip(way.sent, way.received, strict=True)]
        return sum(not received for sent, received in pairs if since <= sent < until)

    def _losses(self) -> list[Verdict]:
        call, bulk = self.records["call"], self.records["bulk"]
        every = [way for record in (call, bulk, *self.small) for way in (record.up, record.down)]
        first, last = self.scene.phases[0].window.start, self.scene.phases[-1].window.end
        planned = self._lost(every, first, self.broke - SECOND // 5)
        found = [holds("lost while links came and went as announced", planned, "0", planned == 0)]
        trip = self._trip()
        allowed = trip + slack() + SECOND // BULK_RATE + _TURNS * self._lateness(call.down)
        silence = self._silence(bulk.down)
        said = f"{milliseconds(silence):.0f} ms"
        words = f"{milliseconds(trip):.0f} ms + {milliseconds(allowed - trip):.0f} at most on this machine"
        found.append(holds("silence of the transfer at the break", said, words, silence <= allowed))
        others = self._lost([call.up, call.down], self.broke - SECOND // 5, last)
        found.append(holds("lost of the call at the break", others, "0: its link is the other one", others == 0))
        return found

    def _trip(self) -> int:
        """What the home agent still sends by the link that broke: until it hears of that by the other one."""
        return 2 * self.topology.delay(self.topology.of_kind("ha")[0], WIFI)

    def _limits(self) -> list[Verdict]:
        said = "silence of the transfer at the break, a packet each 10 ms"
        return [limit(said, self._silence(self.records["bulk"].down), self._trip() + SECOND // BULK_RATE)]

    def _lateness(self, direction: Direction) -> int:
        """How late this machine was at the break: the call, on the other link, shows it."""
        pairs = zip(direction.sent, direction.received, strict=True)
        near = [received - sent for sent, received in pairs if received and abs(sent - self.broke) < SECOND // 5]
        return max(max(near, default=0) - self.topology.delay("call", WIFI), 0)

    def _silence(self, direction: Direction) -> int:
        """Around the break: between two packets that arrived."""
        arrived = sorted(at for at in direction.received if at)
        gaps = [
            later - earlier
            for earlier, later in pairwise(arrived)
            if earlier <= self.broke + SECOND and later >= self.broke
        ]
        return max(gaps, default=SECOND)

    def _page(self) -> list[Verdict]:
        page = self.records["page"]
        return [
            holds("download over all changes", "right" if page.intact else "wrong or cut off", "right", page.intact)
        ]

    # --- the table ----------------------------------------------------------------------------------------------------

    def _rows(self) -> list[Sequence[str]]:
        rows: list[Sequence[str]] = []
        for phase in self.scene.phases:
            window = phase.window
            call = median_delay(self.records["call"].down, window.start, window.end)
            bulk = median_delay(self.records["bulk"].down, window.start, window.end)
            count = sum(self._link(record.down, "web", phase) == WIFI for record in self.small)
            rows.append((phase.name, f"{call:.1f} ms", f"{bulk:.1f} ms", f"{count} + {len(self.small) - count}"))
        return rows

    def _table(self) -> Table:
        columns = ("phase", "call", "transfer", "small ones")
        note = "Median delay to the phone. Small ones: flows by Wi-Fi, and by the mobile network."
        return Table("Who took which link", columns, self._rows(), note)
