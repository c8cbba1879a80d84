"""The daemon with real packets: two access routers and a database in namespaces, each run by ``sojourn run``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from domain_of_daemons import HOST, Daemon, Domain, prefixes, until, with_a_database

from sojourn.control.client import ControlClient, ControlError
from sojourn.host.recorder import load_events
from sojourn.wire import BindingRefreshRequest, encode, seal
from sojourn.wire.addresses import address, eui64_link_local
from sojourn.wire.icmpv6 import RouterSolicitation, encode_icmpv6, seal_icmpv6

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


def test_walk_show_and_orderly_stop(world: Domain) -> None:
    """A host moves, both its addresses work, the tables say so, and nothing is left in any kernel."""
    machines = [world.cmd, *world.routers]
    before = [machine.kernel() for machine in machines]
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert world.answers(first) == 3
    world.roam(2)
    second = world.address("2001:db8:a200:")
    until("the old prefix follows", lambda: "2001:db8:a100::/64" in prefixes(world.daemons["ar2"]))
    assert world.answers(second) == 3
    assert world.answers(first) == 3

    [session] = world.daemons["ar2"].show("sessions")
    assert session["node"] == HOST
    assert session["prefixes"] == ["2001:db8:a200::/64 preferred", "2001:db8:a100::/64 deprecated"]
    [binding] = world.daemons["cmd"].show("bindings")
    assert binding["serving"] == "ar2"
    [route] = world.daemons["ar1"].show("routes")
    assert route["downlink"] == "tunnel 2001:db8:a2::1"
    assert route["packets"] > 0
    assert {row["name"] for row in world.daemons["cmd"].show("peers")} == {"ar1", "ar2"}

    assert [daemon.stop() for daemon in world.daemons.values()] == [0, 0, 0]
    assert [machine.kernel() for machine in machines] == before


def test_identifiers_are_hashed_unless_asked_for(world: Domain) -> None:
    world.start()
    world.roam(1)
    daemon = world.daemons["ar1"]
    until("a session", lambda: daemon.show("sessions"))
    with ControlClient(daemon.socket) as client:
        hashed = json.dumps([client.show("sessions"), client.show("routes"), client.recent()])
        assert HOST not in hashed
        assert HOST.replace(":", "") not in hashed
        assert HOST in json.dumps(client.recent(plain=True))
    assert HOST not in daemon.log.read_text()


def test_commands(world: Domain) -> None:
    world.daemons["cmd"].start()
    daemon = world.daemons["ar1"]
    daemon.start()
    with ControlClient(daemon.socket) as client:
        assert [row["event"] for row in client.command("refresh")] == ["refresh-requested"]
        with pytest.raises(ControlError, match="was not taken"):
            client.command("dance")
        with pytest.raises(ControlError, match="there is no table 'nonsense'; there are sessions"):
            client.show("nonsense")
        assert client.counters()["maar:driver:Commanded"] == 2


def test_a_link_that_changes_is_told_of_once(world: Domain) -> None:
    """The event and the engine's report of it say the same."""
    daemon = world.daemons["ar1"]
    daemon.start()
    for state in ("down", "up"):
        daemon.machine.run(f"ip link set acc0 {state}")
    with ControlClient(daemon.socket) as client:

        def told() -> list[int]:
            changes = (row for row in client.recent() if row["event"] == "link-changed")
            return [int(row["up"]) for row in changes if row["interface"] == "acc0"]

        until("it is told", lambda: told()[-2:] == [0, 1])
        assert all(before != after for before, after in pairwise(told())), told()


def test_hostile_octets_are_counted_and_harm_nobody(world: Domain) -> None:
    """Forged sources, rubbish and truncated messages at the raw socket: counters, and service goes on."""
    world.start()
    daemon = world.daemons["ar1"]
    with world.core.namespace.entered():
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
    with raw:
        for octets in (bytes(6), bytes(8), b"\x3b\x00\x05\x00" + bytes(4), os.urandom(1200)):
            raw.sendto(octets, ("2001:db8:a1::1", 0))
    with world.cmd.namespace.entered():
        peer = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
    with peer:
        peer.bind(("2001:db8:c::1", 0))
        for octets in (bytes(8), b"\x3b\x00\x05\x00" + bytes(4), b"\x3b\x01\x05\x00" + bytes(8) + b"\x08\xff\x00\x00"):
            peer.sendto(octets, ("2001:db8:a1::1", 0))

    def refused() -> bool:
        with ControlClient(daemon.socket) as client:
            counters = client.counters()
        return counters.get("maar:socket:unknown-source", 0) >= 4 and counters.get("maar:socket:received", 0) >= 7

    until("all counted", refused)
    world.roam(1)
    assert world.answers(world.address("2001:db8:a100:")) == 3
    assert daemon.stop() == 0
    assert "warning refused counter=maar:socket:unknown-source count=4" in daemon.log.read_text()


@pytest.mark.parametrize("counters", ["true", "false"])
def test_a_node_cannot_speak_as_a_router(world: Domain, counters: str) -> None:
    """Neither to its access router nor to a database in the same process; with and without the packet filter."""
    router = world.routers[0]
    router.run("ip -6 address add 2001:db8:a1::c/128 dev core nodad")
    daemon = world.daemons["ar1"]
    daemon.edit("[maar]\n", f"[maar]\ncounters = {counters}\n")
    daemon.edit('cmd = "2001:db8:c::1"', 'cmd = "2001:db8:a1::c"')
    database = world.daemons["cmd"].file.read_text().split("[cmd]")[1].replace("2001:db8:c::1", "2001:db8:a1::c")
    daemon.file.write_text(daemon.file.read_text() + "[cmd]" + database)
    daemon.start()
    world.roam(1)
    until("a session", lambda: daemon.show("sessions") and daemon.show("sessions")[0]["confirmed"])
    maar, cmd, peer = (address(text) for text in ("2001:db8:a1::1", "2001:db8:a1::c", "2001:db8:a2::1"))
    forged = [(cmd, maar), (peer, maar), (peer, cmd), (maar, cmd)]
    with ControlClient(daemon.socket) as client:
        before = client.counters()
    requests = daemon.log.read_text().count(" refresh-requested ")  # the router's own, at the start
    with world.host.namespace.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("wlan0", 0))
        for source, destination in forged:
            message = seal(encode(BindingRefreshRequest()), source, destination)
            packet = struct.pack("!IHBB", 6 << 28, len(message), 135, 64) + source + destination + message
            raw.send(bytes.fromhex("00005e005213" + HOST.replace(":", "") + "86dd") + packet)
        raw.send(bytes.fromhex("00005e005213" + HOST.replace(":", "") + "86dd") + _solicitation(HOST))
    until("they came and the frame after them", lambda: _sightings(daemon) > before["maar:driver:NodeSeen"])
    with ControlClient(daemon.socket) as client:
        after = client.counters()
    assert daemon.log.read_text().count(" refresh-requested ") == requests
    refused = [after.get(f"{role}:socket:from-access-link", 0) for role in ("maar", "cmd")]
    assert refused == ([0, 0] if counters == "true" else [2, 2])


def test_a_flood_of_invented_stations_is_put_off(world: Domain) -> None:
    """The daemon answers in the middle of it, its log stays small, and a host that is served can leave."""
    world.start()
    world.roam(1)
    daemon = world.daemons["ar1"]
    until("a session", lambda: daemon.show("sessions") and daemon.show("sessions")[0]["confirmed"])
    with world.host.namespace.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("wlan0", 0))
        for number in range(20_000):
            raw.send(b"\xff" * 6 + b"\x02\x99" + number.to_bytes(4, "big") + b"\0\6" + bytes(46))
    assert _sightings(daemon) < 15_000, "it answers before it has seen to all of them"
    world.roam(2)
    until("left", lambda: [row["presence"] for row in daemon.show("sessions") if row["node"] == HOST] == ["away"])
    seen = _sightings(daemon)
    assert daemon.stop() == 0
    lines = daemon.log.read_text().splitlines()
    refused = [line for line in lines if " node-refused " in line]
    assert any(" repeated=" in line for line in refused) or seen < 1000  # ten a second are told one by one
    assert len(refused) < 100


def _sightings(daemon: Daemon) -> int:
    with ControlClient(daemon.socket) as client:
        return client.counters()["maar:driver:NodeSeen"]


def _solicitation(link_layer: str) -> bytes:
    """A Router Solicitation from a host."""
    source, group = eui64_link_local(bytes.fromhex(link_layer.replace(":", ""))), address("ff02::2")
    message = seal_icmpv6(encode_icmpv6(RouterSolicitation(())), source, group)
    return struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + group + message


def test_the_recording_replays(world: Domain) -> None:
    """``events`` with plain identifiers is a file that a test can replay."""
    daemon = world.daemons["ar1"]
    daemon.edit('log = "debug"', 'log = "debug"\nidentifiers = "plain"')
    world.start()
    world.roam(1)
    world.address("2001:db8:a100:")
    daemon.stop()
    events = [type(event).__name__ for _, event in load_events(daemon.file.with_suffix(".jsonl"))]
    assert "NodeSeen" in events
    assert "MessageReceived" in events


def test_show_from_the_command_line(world: Domain, tmp_path: Path) -> None:
    """Tables fit 80 columns, JSON is exact, and the file finds the socket."""
    world.start()
    world.roam(1)
    daemon = world.daemons["ar1"]
    until("a session", lambda: daemon.show("sessions"))
    sojourn = [sys.executable, "-m", "sojourn.cli.main", "show"]

    def shown(*words: str) -> str:
        return subprocess.run([*sojourn, *words], capture_output=True, text=True, check=True).stdout

    for topic in ("sessions", "bindings", "routes", "peers", "counters"):
        table = shown(topic, "--socket", daemon.socket)
        assert table
        assert all(len(line) <= 80 for line in table.splitlines())
    rows = json.loads(shown("sessions", str(daemon.file), "--json", "--plain"))
    assert rows[0]["node"] == HOST
    assert "attached" in shown("events", "--socket", daemon.socket)

    following = subprocess.Popen(
        [*sojourn, "events", "--follow", "--json", "--socket", daemon.socket], stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    world.roam(2)
    for line in following.stdout:
        if json.loads(line)["event"] == "anchoring":
            break
    following.send_signal(signal.SIGINT)
    following.stdout.close()
    assert following.wait(10) in (130, 141)


def test_two_roles_in_one_daemon(world: Domain) -> None:
    """The database lives beside an access router, at an address of its own; each has its recording and its share
    of the store."""
    router, other = world.routers
    both, ar2 = with_a_database(world), world.daemons["ar2"]
    before = [machine.kernel() for machine in world.routers]
    ar2.edit('cmd = "2001:db8:c::1"', 'cmd = "2001:db8:a1::c"')
    both.start()
    ar2.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    world.roam(2)
    world.address("2001:db8:a200:")
    until("the old prefix follows", lambda: "2001:db8:a100::/64" in prefixes(ar2))
    assert world.answers(first) == 3
    assert {row["of"] for row in both.show("bindings")} == {"maar", "cmd"}
    assert both.stop(signal.SIGKILL) == -signal.SIGKILL
    both.start()
    assert {row["of"] for row in both.show("bindings")} == {"maar", "cmd"}
    recordings = sorted(path.name for path in both.file.parent.glob("ar1.jsonl*"))
    assert recordings == [f"ar1.jsonl.{role}{key}" for role in ("cmd", "maar") for key in ("", ".key")]
    assert [both.stop(), ar2.stop()] == [0, 0]
    assert [machine.kernel() for machine in (router, other)] == before


def test_tools_are_here() -> None:
    """These tests build networks with ip(8) and look at the kernel with nft(8)."""
    assert shutil.which("ip")
    assert shutil.which("nft")
