"""The traffic process with real sockets: every packet accounted for, sessions that die are seen to die."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.lab.traffic import Traffic, TrafficError
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, SECOND

pytestmark = pytest.mark.lab

HOST, SERVER = "2001:db8:1::1", "2001:db8:1::2"


class Cable:
    """A host and a server with one cable between them."""

    def __init__(self) -> None:
        self.places = {"mn": NetworkNamespace("mn"), "server": NetworkNamespace("server")}
        self.ends = [
            End(namespace, "eth0", index, b"\x02\0\0\0\0" + bytes((index,)))
            for index, namespace in enumerate(self.places.values(), start=100)
        ]
        self.netlinks = [RouteNetlink(namespace) for namespace in self.places.values()]
        self.netlinks[0].add_veth(self.ends[0], self.ends[1], 1500)
        for end, netlink, text in zip(self.ends, self.netlinks, (HOST, SERVER), strict=True):
            end.namespace.sysctl("net/ipv6/conf/eth0/accept_dad", 0)
            netlink.set_link(end.index, up=True)
            netlink.add_address(end.index, address(text), 64)

    def cut(self) -> None:
        self.netlinks[1].set_link(self.ends[1].index, up=False)

    def close(self) -> None:
        for netlink in self.netlinks:
            netlink.close()
        for place in self.places.values():
            place.close()


@pytest.fixture
def cable() -> Iterator[Cable]:
    built = Cable()
    yield built
    built.close()


@pytest.fixture
def traffic(cable: Cable) -> Iterator[Traffic]:
    places = {name: place.descriptor for name, place in cable.places.items()}
    with Traffic(places, patience=1 * SECOND, status_every=0) as running:
        running.serve("server", SERVER)
        yield running


def test_every_kind_of_flow_ends_complete(traffic: Traffic, tmp_path: Path) -> None:
    traffic.stream("voice", "mn", HOST, SERVER, up=50, down=50)
    traffic.exchange("terminal", "mn", HOST, SERVER, interval=20 * MILLISECOND)
    traffic.download("web", "mn", HOST, SERVER, octets=200_000, rate=1_000_000)
    traffic.wait("ended", flow="web")
    records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
    assert {record.outcome for record in records.values()} == {"complete"}
    assert records["web"].intact
    voice = records["voice"]
    assert voice.up.arrived == len(voice.up.sent) > 5
    assert voice.down.arrived == len(voice.down.sent) > 5
    assert set(voice.down.hop_limits) == {64}  # nobody in between
    assert records["terminal"].up.arrived == len(records["terminal"].up.sent) > 5


def test_a_burst_sends_what_it_was_told_and_loses_nothing(traffic: Traffic, tmp_path: Path) -> None:
    traffic.stream("probe", "mn", HOST, SERVER, up=20, down=20)
    time.sleep(0.3)
    traffic.pace("probe", up=20, down=1000)
    time.sleep(0.5)
    traffic.pace("probe", up=20, down=0)
    [record] = traffic.finish(tmp_path / "traffic.jsonl")
    assert len(record.down.sent) > 250
    assert (record.down.arrived, record.down.duplicates) == (len(record.down.sent), 0)


def test_a_cut_cable_shows_as_lost_packets_and_dead_sessions(cable: Cable, traffic: Traffic, tmp_path: Path) -> None:
    traffic.stream("voice", "mn", HOST, SERVER, up=50, down=50)
    traffic.exchange("terminal", "mn", HOST, SERVER, interval=20 * MILLISECOND)
    traffic.download("web", "mn", HOST, SERVER, octets=10_000_000, rate=200_000)
    time.sleep(0.5)
    cable.cut()
    traffic.wait("ended", flow="terminal")
    traffic.wait("ended", flow="web")
    records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
    assert records["terminal"].outcome == "timeout"
    assert records["web"].outcome == "timeout"
    assert not records["web"].intact
    assert 0 < records["voice"].up.arrived < len(records["voice"].up.sent)


def test_an_address_that_the_host_does_not_have_is_refused(traffic: Traffic) -> None:
    traffic.stream("voice", "mn", "2001:db8:99::1", SERVER, up=50, down=50)
    assert traffic.wait("ended", flow="voice")["outcome"].startswith("refused")


def test_a_new_flow_begins_when_its_address_appears(cable: Cable, traffic: Traffic, tmp_path: Path) -> None:
    traffic.watch("mn")
    traffic.greet("new", "mn", SERVER, within="2001:db8:1:0:8000::/65", interval=20 * MILLISECOND, rate=50)
    with pytest.raises(TrafficError, match="silent"):
        traffic.wait("started", 0.3, flow="new")
    cable.netlinks[0].add_address(cable.ends[0].index, address("2001:db8:1:0:8000::1"), 64)
    assert traffic.wait("started", flow="new")["source"] == "2001:db8:1:0:8000::1"
    time.sleep(0.3)
    records = {record.flow: record for record in traffic.finish(tmp_path / "traffic.jsonl")}
    assert records["new"].connected
    assert records["new/hops"].down.arrived
