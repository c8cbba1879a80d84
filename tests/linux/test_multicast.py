"""Multicast in a whole domain: stock listeners that roam, hosts that misbehave, and a router that dies."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.daemon import machine
from sojourn.daemon.configuration import parse
from sojourn.host import frames
from sojourn.lab import multicast
from sojourn.lab.lab import Lab
from sojourn.lab.multicast_traffic import MulticastTraffic, missing
from sojourn.lab.topology import load
from sojourn.wire.addresses import ALL_NODES, address, eui64_link_local
from sojourn.wire.icmpv6 import (
    Icmpv6Message,
    MulticastListenerQuery,
    MulticastListenerReport2,
    encode_icmpv6,
    seal_icmpv6,
)
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import SECOND
from support.capture import malformed
from support.multicast_bed import until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

RATE = 200


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    # What is judged here are numbers of packets, so nothing depends on the links' exact delays.
    kind = getattr(request, "param", "")
    with Lab(load("multicast"), tmp_path, verify=False, capture=kind) as made:
        yield made
    if kind:
        assert malformed(tmp_path) == []


def _listening(lab: Lab, router: str) -> set[str]:
    """The groups that a router pulls, of those that it forwards."""
    with lab.client(router) as client:
        return {row["group"] for row in client.show("groups", plain=True)}


def _listeners(lab: Lab, router: str) -> set[tuple[str, str, str]]:
    """Who listens to the group of these tests, where, and to which sources, as ``sojourn show groups`` tells."""
    with lab.client(router) as client:
        rows = [row for row in client.show("groups", plain=True) if row["group"] == "ff0e::5052"]
    return {(row["node"], row["interface"], row["wants"]) for row in rows}


def _counters(lab: Lab, router: str) -> dict[str, int]:
    with lab.client(router) as client:
        return client.counters()


def _proc(lab: Lab, node: str, name: str) -> str:
    return lab.nodes[node].namespace.call(Path("/proc/thread-self/net", name).read_text)


def _send(lab: Lab, host: str, message: Icmpv6Message, source: bytes, destination: bytes) -> None:
    """An MLD message as a host would send it."""
    payload = bytes.fromhex("3a00050200000100") + seal_icmpv6(encode_icmpv6(message), source, destination)
    packet = struct.pack("!IHBB", 6 << 28, len(payload), 0, 1) + source + destination + payload
    frame = frames.ethernet(frames.group_link_layer(destination), lab.air.link_layer(host), packet)
    with lab.nodes[host].namespace.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind(("wlan0", 0))
        raw.send(frame)


def _heard(traffic: MulticastTraffic, *hosts: str) -> None:
    """All of `hosts` hear the group now."""
    for host in hosts:
        known = len(traffic.heard[host])
        until(f"{host} hears", lambda host=host, known=known: len(traffic.heard[host]) > known + 5)  # type: ignore[misc]


@pytest.mark.parametrize("lab", ["signalling"], indirect=True)
def test_one_copy_for_two_listeners_and_it_follows_the_one_that_roams(lab: Lab) -> None:
    """REQ8. Judged by numbers; the time that a move takes is `sojourn lab run multicast`'s to judge."""
    result = multicast.roam(lab, 3)
    control, last = result.phases[0], result.phases[-1]
    assert result.copies("ar1", control) == (len(control.numbers), 0)
    assert [result.lost(host, control) for host in ("mn1", "mn2")] == [0, 0]
    assert [result.twice(host, phase) for host in ("mn1", "mn2") for phase in (control, last)] == [0] * 4
    for phase in result.moves:
        assert result.twice("mn1", phase) == 0
        lost = missing(result.traffic.heard["mn2"], phase.numbers)
        assert len(lost) < multicast.RATE  # less than a second, where a query interval is two minutes
        assert result.lost("mn1", phase) == 0
    assert result.copies("ar1", last) == (0, 0)
    assert result.copies("ar2", last) == (len(last.numbers), 0)


def test_who_listens_is_shown_and_who_quits_is_not_waited_for(lab: Lab) -> None:
    server, mn1, mn2 = (lab.nodes[name] for name in ("server", "mn1", "mn2"))
    with MulticastTraffic(server, multicast.GROUP, RATE) as traffic:
        traffic.watch(lab.nodes["ar1"], "to-core")
        traffic.listen(mn1)
        traffic.listen(mn2)
        _heard(traffic, "mn1", "mn2")
        both = {("02:00:00:00:00:01", "acc0", "all"), ("02:00:00:00:00:02", "acc0", "all")}
        until("both are known", lambda: _listeners(lab, "ar1") == both)
        traffic.leave(mn1)
        _heard(traffic, "mn2")
        traffic.leave(mn2)
        until("ar1 forgets the group", lambda: "ff0e::5052" not in _listening(lab, "ar1"))
        pulled = traffic.passed["ar1:to-core"]

        def quiet() -> bool:
            before = len(pulled)
            time.sleep(0.2)
            return len(pulled) == before

        until("ar1 pulls no more", quiet)


def test_a_flood_of_groups_from_one_host_stays_bounded_and_disturbs_nobody(lab: Lab) -> None:
    source = eui64_link_local(lab.air.link_layer("mn1"))
    with MulticastTraffic(lab.nodes["server"], multicast.GROUP, RATE) as traffic:
        traffic.listen(lab.nodes["mn2"])
        _heard(traffic, "mn2")
        first = traffic.sent
        for number in range(40):
            records = [
                MulticastAddressRecord(RecordType.CHANGE_TO_EXCLUDE_MODE, address(f"ff0e::{number:x}:{one:x}"))
                for one in range(1, 61)
            ]
            _send(lab, "mn1", MulticastListenerReport2.of(*records), source, address("ff02::16"))
            time.sleep(0.01)
        until("the flood was refused", lambda: _counters(lab, "ar1").get("maar:driver:reports:group-refused", 0) > 1000)
        behind = traffic.sent - RATE // 10
        _heard(traffic, "mn2")
        assert missing(traffic.heard["mn2"], range(first, behind)) == []
        assert len(_listening(lab, "ar1") - {"ff0e::5052"}) == 64
        counters = _counters(lab, "ar1")
        asked = counters["maar:driver:reports:group-refused"] + 64
        assert asked + 60 * counters.get("maar:access:rate-limited", 0) >= 2400
        assert _proc(lab, "ar1", "igmp6").count("ff0e0000") == 65


def test_queries_of_a_host_are_counted_and_not_heeded(lab: Lab) -> None:
    """RFC 3810 7.6.2 would make the lowest address the querier, and the router would ask no more."""
    with MulticastTraffic(lab.nodes["server"], multicast.GROUP, RATE) as traffic:
        traffic.listen(lab.nodes["mn2"])
        _heard(traffic, "mn2")
        first = traffic.sent
        lowest = address("fe80::1")
        for query in (
            MulticastListenerQuery.general(10 * SECOND),
            MulticastListenerQuery.about(multicast.GROUP, SECOND, 2, 125 * SECOND),
            MulticastListenerQuery(SECOND),  # version 1: hosts that hear it speak version 1 for a while
        ):
            _send(lab, "mn1", query, lowest, ALL_NODES)
        until("they were seen", lambda: _counters(lab, "ar1").get("maar:access:queries-ignored", 0) == 3)
        traffic.listen(lab.nodes["mn1"])
        _heard(traffic, "mn1", "mn2")
        lab.air.roam("mn1", "ar2")
        _heard(traffic, "mn1", "mn2")
        assert missing(traffic.heard["mn2"], range(first, traffic.sent - RATE // 10)) == []
        assert "ff0e::5052" in _listening(lab, "ar2")


def test_a_host_of_version_1_listens_roams_and_leaves(lab: Lab) -> None:
    """Its silence is no proof that nobody listens (RFC 2710 4), so the router asks before it stops."""
    lab.nodes["mn1"].namespace.sysctl("net/ipv6/conf/wlan0/force_mld_version", 1)
    with MulticastTraffic(lab.nodes["server"], multicast.GROUP, RATE) as traffic:
        traffic.listen(lab.nodes["mn1"])
        _heard(traffic, "mn1")
        lab.air.roam("mn1", "ar2")
        _heard(traffic, "mn1")
        until("ar2 knows", lambda: bool(_listeners(lab, "ar2")))
        traffic.leave(lab.nodes["mn1"])
        until("nobody answered", lambda: "ff0e::5052" not in _listening(lab, "ar2"))


def test_a_router_that_is_killed_asks_its_listeners_when_it_is_back(lab: Lab) -> None:
    with MulticastTraffic(lab.nodes["server"], multicast.GROUP, RATE) as traffic:
        traffic.listen(lab.nodes["mn1"])
        _heard(traffic, "mn1")
        lab.stop_daemon("ar1", kill=True)
        _heard(traffic, "mn1")
        lab.start_daemon("ar1")
        _heard(traffic, "mn1")
        assert lab.stop_daemon("ar1") == 0
        assert "ff0e" not in _proc(lab, "ar1", "ip6_mr_cache")
        lab.start_daemon("ar1")
        _heard(traffic, "mn1")


def test_a_bridge_that_snoops_hands_reports_on(lab: Lab) -> None:
    """As bridges do by default: our queries make it work."""
    for node in ("ar1", "ar2"):
        with lab.nodes[node].namespace.entered():
            subprocess.run(["ip", "link", "set", "acc0", "type", "bridge", "mcast_snooping", "1"], check=True)
    with MulticastTraffic(lab.nodes["server"], multicast.GROUP, RATE) as traffic:
        traffic.listen(lab.nodes["mn1"])
        _heard(traffic, "mn1")
        lab.air.roam("mn1", "ar2")
        _heard(traffic, "mn1")
        traffic.listen(lab.nodes["mn2"])
        _heard(traffic, "mn1", "mn2")


def test_an_interface_upstream_that_is_not_there_is_told_with_its_line() -> None:
    text = (
        'control = "/run/x.sock"\n[maar]\naddress = "2001:db8:a1::1"\npool = "2001:db8:a100::/48"\n'
        'access = ["lo"]\ncmd = "2001:db8:c::1"\n[maar.multicast]\nupstream = "core7"\n'
    )
    problems = [problem.text("x.toml") for problem in machine.look(parse(text.encode(), "x.toml"))]
    assert any(line.startswith("x.toml:8: maar.multicast.upstream: there is no interface 'core7'") for line in problems)
