"""Proxy Mobile IPv6 with real packets: stock hosts roam between gateways, kernels forward, tshark reads captures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sojourn.lab.demo_walk import WalkPlan
from sojourn.lab.kernel_state import KernelState, configured, host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.live import SilentView
from sojourn.lab.measure import Window, crowding, loss
from sojourn.lab.pmip_walk import MESSAGES, ProxyWalk, make_report, verdicts, walk
from sojourn.lab.topology import Topology, load, parse
from sojourn.lab.traffic import Direction, Traffic
from sojourn.wire.units import MILLISECOND, SECOND, Instant
from support.capture import complaints, dissect
from support.selftests import checks, troubles

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SHORT = WalkPlan(stops=("mag2", "mag3", "mag1"), control=1.0, dwell=2.0, outage=20 * MILLISECOND)
GENEROUS = 10
PATIENCE = 15.0
TOPOLOGY = """
name = "gateways"
[nodes]
core = "router"
mag1 = "mag"
mag2 = "mag"
lma = "lma"
server = "server"
mn = { kind = "host", dad = "off" }
mo = { kind = "host", dad = "off" }
[links]
core.mag1 = 0
core.mag2 = 0
core.lma = 0
core.server = 0
"""
HOME = "2001:db8:f1"
NOT_TEXT = "Expert Info (Warning/Undecoded): Trailing stray characters"
"""tshark shows identifiers as text; a node that has no name is known by its link-layer address."""


def becomes(question: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


def addresses(lab: Lab, host: str = "mn") -> list[str]:
    """The addresses that a host would use for something new."""
    return [found.address for found in host_addresses(lab.nodes[host].namespace) if not found.deprecated]


def registered_at(lab: Lab, gateway: str) -> bool:
    """Whether the LMA has every node at this gateway."""
    with lab.client("lma") as client:
        rows = client.show("bindings")
    return bool(rows) and all((row["gateway"], row["state"]) == (gateway, "active") for row in rows)


@contextmanager
def conversation(lab: Lab, hosts: tuple[str, ...] = ("mn",)) -> Iterator[Traffic]:
    places = {name: lab.nodes[name].namespace.descriptor for name in (*hosts, "server")}
    with Traffic(places, patience=10 * SECOND, status_every=0) as traffic:
        traffic.serve("server", lab.topology.address("server"))
        yield traffic


def talk(lab: Lab, traffic: Traffic, source: str, host: str = "mn") -> None:
    """A terminal session and a stream between a host and the server."""
    server = lab.topology.address("server")
    traffic.exchange(f"{host}/terminal", host, source, server, interval=50 * MILLISECOND)
    traffic.stream(f"{host}/stream", host, source, server, up=50, down=50)


def arrived(direction: Direction, since: Instant, until: Instant) -> float:
    """The share of the packets sent meanwhile that arrived."""
    found = loss(direction, Window(since, until))
    return 1 - found.share


# --- the scenario -----------------------------------------------------------------------------------------


def optimistic(topology: Topology) -> Topology:
    """The host does not wait for duplicate address detection, so that the walk is short."""
    nodes = dict(topology.nodes)
    nodes["mn"] = nodes["mn"].model_copy(update={"dad": "optimistic"})
    return topology.model_copy(update={"nodes": nodes})


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProxyWalk, Path]:
    output = tmp_path_factory.mktemp("pmipv6")
    return walk(optimistic(load("pmipv6")), SHORT, output, SilentView()), output


def test_a_stock_host_keeps_its_address_and_its_sessions(walked: tuple[ProxyWalk, Path]) -> None:
    result, _ = walked
    assert [verdict.sentence() for verdict in verdicts(result)[:4] if not verdict.holds] == []
    assert result.source.startswith(HOME)
    assert [(move.source, move.target) for move in result.moves] == [
        ("mag1", "mag2"),
        ("mag2", "mag3"),
        ("mag3", "mag1"),
    ]
    for move in result.moves:
        assert move.messages >= MESSAGES - 1
        assert max(move.down, move.up) <= GENEROUS * move.down_bound
        assert move.delay >= 30  # by way of the LMA: 5 ms, and 10 twice, and 5


def test_the_report_is_written(walked: tuple[ProxyWalk, Path], tmp_path: Path) -> None:
    make_report(walked[0]).write(tmp_path)
    assert "Proxy Mobile IPv6" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def captured(walked: tuple[ProxyWalk, Path]) -> list[ElementTree.Element]:
    """All packets that were captured at gateways and LMA, as tshark sees them."""
    files = [walked[1] / "capture" / f"{name}.pcapng" for name in ("mag1", "mag2", "mag3", "lma")]
    return [packet for file in files for packet in dissect(file)]


def protocols(packet: ElementTree.Element) -> set[str]:
    return {proto.get("name", "") for proto in packet.iter("proto")}


def mobility(packets: list[ElementTree.Element]) -> list[ElementTree.Element]:
    """Those with a Mobility Header, but not those that an ICMPv6 error quotes."""
    return [packet for packet in packets if "mipv6" in protocols(packet) and "icmpv6" not in protocols(packet)]


def test_tshark_has_nothing_to_complain_of(captured: list[ElementTree.Element]) -> None:
    assert len(mobility(captured)) >= 4 * MESSAGES
    told = {complaint for packet in mobility(captured) for complaint in complaints(packet)}
    assert {complaint for complaint in told if "(Comment/" not in complaint} <= {NOT_TEXT}


def test_signalling_has_neither_home_address_option_nor_routing_header(captured: list[ElementTree.Element]) -> None:
    """RFC 5213 5.3.6, 6.9.1.5: the Mobility Header comes right after the IPv6 header, in requests and answers."""
    for packet in mobility(captured):
        following = [field.get("show") for field in packet.iter("field") if field.get("name") == "ipv6.nxt"]
        assert following == ["135"]


# --- what a domain can do -------------------------------------------------------------------------------------


@contextmanager
def up(output: Path, more: str = "") -> Iterator[Lab]:
    with Lab(parse(TOPOLOGY + more), output) as lab:
        yield lab


def test_C116_a_host_with_its_link_up_all_the_time_notices_nothing(tmp_path: Path) -> None:  # noqa: N802
    """Address and routes stay, and the session goes on, though the host solicits nobody."""
    with up(tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: bool(addresses(lab)))
        (source,) = addresses(lab)
        before = seen_by(lab)
        with conversation(lab) as traffic:
            talk(lab, traffic, source)
            for gateway in ("mag2", "mag1", "mag2"):
                time.sleep(0.5)
                lab.air.roam("mn", gateway, outage=0.02)
                assert becomes(lambda gateway=gateway: registered_at(lab, gateway))
            time.sleep(0.5)
            records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
        assert records["mn/terminal"].outcome == "complete"
        stream = records["mn/stream"].down
        assert len(stream.sent) - stream.arrived <= 3 * GENEROUS * crowding()  # usually 2 of a move
        assert addresses(lab) == [source]
        assert seen_by(lab) == before


def seen_by(lab: Lab) -> list[str]:
    """Addresses and routes of a host."""
    return sorted(line for line in lab.state("mn").lines if line.startswith(("address", "route")))


def test_hosts_keep_several_prefixes_and_meet_across_gateways(tmp_path: Path) -> None:
    with up(tmp_path, "[lma]\neverybody = { count = 2 }\n") as lab:
        lab.air.roam("mn", "mag1")
        lab.air.roam("mo", "mag2")
        assert becomes(lambda: len(addresses(lab)) == len(addresses(lab, "mo")) == 2)
        both = addresses(lab)
        with conversation(lab, ("mn", "mo")) as traffic:
            for flow, source in enumerate(both):
                traffic.exchange(f"{flow}", "mn", source, lab.topology.address("server"), interval=50 * MILLISECOND)
            traffic.serve("mo", addresses(lab, "mo")[0])
            traffic.exchange("meet", "mn", both[1], addresses(lab, "mo")[0], interval=50 * MILLISECOND)
            time.sleep(0.5)
            lab.air.roam("mn", "mag2", outage=0.02)  # now both are at one gateway, and still meet at the LMA
            time.sleep(1.5)
            records = traffic.finish(tmp_path / "traffic.jsonl")
        assert {record.outcome for record in records} == {"complete"}
        assert all(record.up.arrived > 10 for record in records)
        assert sorted(addresses(lab)) == sorted(both)


def test_an_lma_that_is_killed_forwards_and_starts_again_with_what_it_knew(tmp_path: Path) -> None:
    with up(tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: registered_at(lab, "mag1") and bool(addresses(lab)))
        (source,) = addresses(lab)
        with conversation(lab) as traffic:
            talk(lab, traffic, source)
            time.sleep(0.5)
            lab.stop_daemon("lma", kill=True)
            gone = time.monotonic_ns()
            time.sleep(0.5)
            lab.start_daemon("lma")
            assert registered_at(lab, "mag1")
            time.sleep(0.5)
            here = time.monotonic_ns()
            lab.air.roam("mn", "mag2", outage=0.02)
            assert becomes(lambda: registered_at(lab, "mag2"))
            time.sleep(0.5)
            records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
        assert records["mn/terminal"].outcome == "complete"
        assert arrived(records["mn/stream"].down, gone, here) > 0.9
        assert addresses(lab) == [source]


def left(lab: Lab, name: str, before: KernelState) -> list[str]:
    """What is in a kernel now, without what its bridge learned from frames."""
    found = configured(lab.state(name).difference(before))
    return [line for line in found if not line.startswith("+ station")]


def test_kernels_hold_nothing_any_more_when_the_hosts_are_gone(tmp_path: Path) -> None:
    short = '[mag]\nlifetime = "8s"\n[lma]\nmin_delay_before_bce_delete = "1s"\n'
    with up(tmp_path, short) as lab:
        machines = ("mag1", "mag2", "lma", "core")
        before = {name: lab.state(name) for name in machines}
        for gateway in ("mag1", "mag2"):
            for host in ("mn", "mo"):
                lab.air.roam(host, gateway)
            assert becomes(lambda gateway=gateway: registered_at(lab, gateway))
        assert lab.state("lma").difference(before["lma"]) != []
        lab.air.detach("mn")
        lab.air.detach("mo", notice=False)  # found out when it does not answer, or when its lifetime is over

        def clean() -> bool:
            return not any(left(lab, name, state) for name, state in before.items())

        assert becomes(clean), {name: left(lab, name, state) for name, state in before.items()}


def test_daemons_that_stop_take_everything_away(tmp_path: Path) -> None:
    with up(tmp_path) as lab:
        plain = {}
        for name in ("mag1", "lma"):
            assert lab.stop_daemon(name) == 0
            plain[name] = lab.state(name)
            lab.start_daemon(name)
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: registered_at(lab, "mag1"))
        for name, state in plain.items():
            assert lab.stop_daemon(name) == 0
            assert left(lab, name, state) == []


def test_a_host_without_mobility_service_is_a_visitor(tmp_path: Path) -> None:
    """RFC 5213 6.14: it gets a prefix of the gateway and forwarding there, and nobody asks the LMA."""
    profiles = '[mag]\nprofiles = [{ link_layer = "02:00:00:00:00:01", service = false }]\n'
    with up(tmp_path, profiles) as lab:
        lab.air.roam("mn", "mag1")
        lab.air.roam("mo", "mag1")
        assert becomes(lambda: bool(addresses(lab)) and bool(addresses(lab, "mo")))
        (visitor,) = addresses(lab)
        assert visitor.startswith("2001:db8:b1")
        assert addresses(lab, "mo")[0].startswith(HOME)
        with lab.client("lma") as client:
            assert len(client.show("bindings")) == 1
        with conversation(lab) as traffic:
            talk(lab, traffic, visitor)
            time.sleep(0.5)
            records = traffic.finish(tmp_path / "traffic.jsonl")
        assert {record.outcome for record in records} == {"complete"}


def test_maars_go_on_as_gateways_where_there_is_only_an_lma(tmp_path: Path) -> None:
    """RFC 8885 has the D flag; an LMA that knows none answers without it, and MAARs are MAGs then."""
    text = TOPOLOGY.replace('"mag"', '"access-router"')
    with Lab(parse(text), tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: any(one.startswith(HOME) for one in addresses(lab)))
        home = [one for one in addresses(lab) if one.startswith(HOME)]
        with conversation(lab) as traffic:
            talk(lab, traffic, home[0])
            time.sleep(0.5)
            lab.air.roam("mn", "mag2", outage=0.02)
            assert becomes(lambda: registered_at(lab, "mag2"))
            time.sleep(0.5)
            records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
        assert records["mn/terminal"].outcome == "complete"
        assert [one for one in addresses(lab) if one.startswith(HOME)] == home


def test_people_see_what_lma_and_gateway_know(tmp_path: Path) -> None:
    with up(tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: registered_at(lab, "mag1"))
        with lab.client("mag1") as client:
            (session,) = client.show("sessions")
        with lab.client("lma") as client:
            (binding,) = client.show("bindings")
        assert session["prefixes"] == binding["prefixes"]
        assert (session["presence"], session["confirmed"]) == ("served", True)
        assert troubles(lab, "lma", "mag1", "mag2") == []
        assert checks(lab, "lma") == [("kernel", "ok"), ("way", "ok")]
        assert checks(lab, "mag1") == [("kernel", "ok"), ("way", "ok"), ("way back", "ok")]


def test_a_mag_that_is_killed_forwards_and_starts_again_with_its_nodes(tmp_path: Path) -> None:
    with up(tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: registered_at(lab, "mag1") and bool(addresses(lab)))
        (source,) = addresses(lab)
        with conversation(lab) as traffic:
            talk(lab, traffic, source)
            time.sleep(0.5)
            lab.stop_daemon("mag1", kill=True)
            gone = time.monotonic_ns()
            time.sleep(0.5)
            lab.start_daemon("mag1")
            time.sleep(0.5)
            back = time.monotonic_ns()
            records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
        assert records["mn/terminal"].outcome == "complete"
        assert arrived(records["mn/stream"].down, gone, back) > 0.9
        assert registered_at(lab, "mag1")
        assert addresses(lab) == [source]


def test_a_host_whose_link_goes_down_asks_and_is_told_the_same(tmp_path: Path) -> None:
    """A Router Solicitation is answered when the registration is confirmed, with the prefix that the host had."""
    with up(tmp_path) as lab:
        lab.air.roam("mn", "mag1")
        assert becomes(lambda: bool(addresses(lab)))
        before = addresses(lab)
        lab.air.roam("mn", "mag2", carrier=True, outage=0.05)
        assert becomes(lambda: registered_at(lab, "mag2"))
        with conversation(lab) as traffic:
            talk(lab, traffic, before[0])
            traffic.wait("started", flow="mn/terminal")
            time.sleep(0.5)
            records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
        assert records["mn/terminal"].up.arrived > 3
        assert addresses(lab) == before
