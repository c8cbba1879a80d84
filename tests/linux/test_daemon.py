"""The daemon with real packets: two access routers and a database in namespaces, each run by ``sojourn run``."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from domain_of_daemons import HOST, Daemon, Domain, domain, until

from sojourn.control.client import ControlClient, ControlError
from sojourn.host.recorder import load_events
from sojourn.wire import BindingRefreshRequest, encode, seal
from sojourn.wire.addresses import address, eui64_link_local
from sojourn.wire.icmpv6 import RouterSolicitation, encode_icmpv6, seal_icmpv6

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_PR_CAPBSET_DROP, _CAP_NET_RAW = 24, 13


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Domain]:
    with domain(tmp_path) as built:
        yield built


def prefixes(daemon: Daemon, topic: str = "bindings") -> set[str]:
    return {str(row["prefix"]) for row in daemon.show(topic)}


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


def test_kill_9_forwarding_goes_on_and_the_next_life_takes_over(world: Domain) -> None:
    """Not a packet is lost by the death, nor by the restart; nothing is removed; the session goes on moving."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    world.roam(2)
    world.address("2001:db8:a200:")
    until("the old prefix follows", lambda: "2001:db8:a100::/64" in prefixes(world.daemons["ar2"]))
    kernels = [router.kernel() for router in world.routers]
    for name in world.daemons:
        assert world.daemons[name].stop(signal.SIGKILL) == -signal.SIGKILL
    assert world.answers(first, 5) == 5
    assert [router.kernel()["routes"] for router in world.routers] == [kernel["routes"] for kernel in kernels]

    with ping_all_along(world, first) as lost:
        world.start()
    assert lost() == 0
    for name in ("ar1", "ar2"):
        removed = [line for line in world.daemons[name].log.read_text().splitlines() if " removed " in line]
        assert removed == []
    assert [router.kernel()["nexthops"] for router in world.routers] == [kernel["nexthops"] for kernel in kernels]
    assert world.answers(first) == 3
    until("the database knows again", lambda: world.daemons["cmd"].show("bindings"))
    world.roam(1)
    until("home again", lambda: world.daemons["ar1"].show("sessions")[0]["presence"] == "served")
    assert world.answers(first) == 3


class ping_all_along:  # noqa: N801 - used like a function
    """Echo requests from the host's address `source` every 2 ms while the body runs; the number lost afterwards."""

    def __init__(self, world: Domain, source: str) -> None:
        self._world = world
        self._command = [sys.executable, __file__, source]

    def __enter__(self) -> ping_all_along:
        with self._world.host.namespace.entered():
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "answered\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._output, _ = self._process.communicate("stop\n")

    def __call__(self) -> int:
        sent, answered = map(int, self._output.split())
        assert sent > 5
        return sent - answered


def _pinger(source: str) -> None:
    """What `ping_all_along` runs in the host's namespace."""
    import selectors
    import struct

    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.bind((source, 0))
    raw.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(raw, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    sent, answered, ends, due = 0, set[int](), 0.0, 0.0
    while not ends or (time.monotonic() < ends and len(answered) < sent):
        if not ends and time.monotonic() >= due:
            due = time.monotonic() + 0.002
            raw.sendto(struct.pack("!BBHHH", 128, 0, 0, 0x5053, sent & 0xFFFF), ("2001:db8:5e::1", 0))
            sent += 1
        for key, _ in selector.select(0.002):
            if key.fileobj is sys.stdin:
                selector.unregister(sys.stdin)
                ends = time.monotonic() + 2
                continue
            octets = raw.recv(2048)
            if octets[0] == 129 and octets[4:6] == b"\x50\x53":
                if not answered:
                    print("answered", flush=True)
                answered.add(int.from_bytes(octets[6:8], "big"))
    print(sent, len(answered))


def test_keep_forwarding(world: Domain) -> None:
    """The file may ask for an orderly stop that leaves forwarding as it is."""
    for daemon in world.daemons.values():
        if daemon.machine is not world.cmd:
            daemon.edit("[maar]\n", "[maar]\nkeep_forwarding = true\n")
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert [daemon.stop(signal.SIGINT) for daemon in world.daemons.values()] == [0, 0, 0]
    assert world.answers(first) == 3


def test_a_wrong_file_starts_nothing(world: Domain) -> None:
    """Exit code 2, the file, the line and the key are named, and the kernel is untouched."""
    daemon = world.daemons["ar1"]
    before = world.routers[0].kernel()
    daemon.edit('"2001:db8:a1::1"', '"2001:db8:dead::1"')
    daemon.edit('"acc0"', '"acc7"')
    code, words = daemon.refusal()
    assert code == 2
    assert f"{daemon.file}:8: maar.address: 2001:db8:dead::1 is not an address of this machine" in words
    assert "maar.access[0]: there is no interface 'acc7'" in words
    assert world.routers[0].kernel() == before
    assert not Path(daemon.socket).exists()
    assert not daemon.file.with_suffix(".sqlite").exists()


def test_a_second_daemon_is_refused(world: Domain) -> None:
    """On the same socket, on the same store, or in the same network namespace: exit code 1 and a sentence."""
    world.daemons["cmd"].start()
    first = world.daemons["ar1"]
    first.start()
    kernel = world.routers[0].kernel()
    directory = first.file.parent

    def second(*edits: tuple[str, str]) -> str:
        other = Daemon(world.routers[0], directory, first.file.read_text())
        other.file = directory / "second.toml"
        other.file.write_text(first.file.read_text())
        for old, new in edits:
            other.edit(old, new)
        code, words = other.refusal()
        assert code == 1, words
        assert world.routers[0].kernel() == kernel
        return words

    assert "another daemon is running with the control socket" in second()
    words = second(("ar1.sock", "other.sock"))
    assert "ar1.sqlite: is in use by another process" in words
    assert not (directory / "other.sock").exists()
    words = second(("ar1.sock", "other.sock"), ("ar1.sqlite", "other.sqlite"))
    assert "a role that forwards (maar, mag or lma) is running on this machine already" in words
    (directory / "elsewhere").mkdir()
    words = second(("ar1.sock", "elsewhere/other.sock"), ("ar1.sqlite", "elsewhere/other.sqlite"))
    assert "a role that forwards (maar, mag or lma) is running on this machine already" in words
    assert first._ready(), "the first daemon goes on"


def test_another_user_cannot_keep_it_from_starting(world: Domain, tmp_path: Path) -> None:
    """By what everybody may do: bind an abstract socket, lock a directory or a file that he may read."""
    names = ("sojourn/maar", "sojourn/cmd/2001:db8:c::1")
    with ExitStack() as theirs:
        for machine, name in zip((world.routers[0], world.cmd), names, strict=True):
            with machine.namespace.entered():
                squatter = theirs.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            squatter.bind(f"\0{name}")
        for path in (tmp_path, Path("/proc/self/ns/net"), world.daemons["ar1"].file):
            descriptor = os.open(path, os.O_RDONLY)
            theirs.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        world.daemons["cmd"].start()
        world.daemons["ar1"].start()
    assert [world.daemons[name].stop() for name in ("ar1", "cmd")] == [0, 0]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".lock")] == []


def test_without_the_right_to_raw_sockets(world: Domain) -> None:
    """A sentence and exit code 1; the kernel is as before."""
    daemon = world.daemons["ar1"]
    before = world.routers[0].kernel()
    libc = ctypes.CDLL(None, use_errno=True)

    def drop() -> None:
        if libc.prctl(_PR_CAPBSET_DROP, _CAP_NET_RAW, 0, 0, 0) != 0:
            os._exit(99)

    code, words = daemon.refusal(drop)
    assert code == 1
    assert "CAP_NET_RAW" in words
    assert "Traceback" not in words
    assert world.routers[0].kernel() == before


def test_a_kernel_that_refuses_at_the_start(world: Domain) -> None:
    """The rule for `local` stands where it cannot be passed: exit code 1, and the kernel as before."""
    router = world.routers[0]
    router.run("ip -6 rule add pref 5 lookup local")
    before = router.kernel()
    code, words = world.daemons["ar1"].refusal()
    assert code == 1
    assert "the rule for table local must stand after" in words
    assert "Traceback" not in words
    assert router.kernel() == before


def _refusing(daemon: Daemon, which: int) -> list[str]:
    """A daemon of which the role that is started as number `which` is refused by the kernel."""
    program = (
        "import sys, sojourn.host.loop as loop\n"
        "start, started = loop.Host.start, []\n"
        "def refuse(self):\n"
        "    started.append(self)\n"
        f"    if len(started) == {which}: raise OSError(12, 'Cannot allocate memory')\n"
        "    return start(self)\n"
        "loop.Host.start = refuse\n"
        "from sojourn.cli.main import main\n"
        f"sys.exit(main(['run', {str(daemon.file)!r}]))\n"
    )
    return [sys.executable, "-c", program]


def _with_a_database(world: Domain) -> Daemon:
    """ar1 has a database beside it: two roles."""
    world.routers[0].run("ip -6 address add 2001:db8:a1::c/128 dev core nodad")
    until("the kernel took it up", lambda: "local 2001:db8:a1::c" in world.routers[0].kernel()["routes"])
    both = world.daemons["ar1"]
    both.edit('cmd = "2001:db8:c::1"', 'cmd = "2001:db8:a1::c"')
    database = world.daemons["cmd"].file.read_text().split("[cmd]")[1].replace("2001:db8:c::1", "2001:db8:a1::c")
    both.file.write_text(both.file.read_text() + "[cmd]" + database)
    return both


def test_a_second_role_that_does_not_start_leaves_the_kernel_as_it_was(world: Domain) -> None:
    """As before the very first start; or as an earlier life left it, which forwards all along."""
    router, both = world.routers[0], _with_a_database(world)
    before = router.kernel()
    assert both.launch(_refusing(both, 2)).wait(45) == 1
    assert "cmd: start: Cannot allocate memory" in both.log.read_text()
    assert router.kernel() == before

    both.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert both.stop(signal.SIGKILL) == -signal.SIGKILL
    left = router.kernel()
    with ping_all_along(world, first) as lost:
        assert both.launch(_refusing(both, 2)).wait(45) == 1
    assert lost() == 0
    assert [router.kernel()[what] for what in ("rules", "routes", "nexthops")] == [
        left[what] for what in ("rules", "routes", "nexthops")
    ]
    both.start()
    assert both.stop() == 0
    assert router.kernel() == before


def test_a_reload_whose_second_role_does_not_start_leaves_the_old_ones_at_work(world: Domain) -> None:
    both = _with_a_database(world)
    both.launch(_refusing(both, 4))
    until("ready", both._ready)
    world.roam(1)
    first = world.address("2001:db8:a100:")
    both.edit("[maar]\n", '[maar]\nidle_hold = "9s"\n')
    with ping_all_along(world, first) as lost, ControlClient(both.socket) as client:
        with pytest.raises(ControlError, match="nothing was changed: cmd: start: Cannot allocate memory"):
            client.command("reload")
        assert both.show("sessions")[0]["node"] == HOST
        assert client.command("reload")[0]["event"] == "reloaded"
    assert lost() == 0
    world.roam(1)
    assert world.answers(first) == 3
    assert both.stop() == 0


def test_a_bug_ends_the_process_and_not_the_forwarding(world: Domain) -> None:
    """The event that could not be handled is in the log, the exit code is 1, and the supervisor's restart heals."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    daemon = world.daemons["ar1"]
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    broken = (
        "import sys, sojourn.engines.maar as maar\n"
        "def fail(self, *asked): raise ZeroDivisionError('a bug')\n"
        "maar.MobilityAnchorAccessRouter._on_command = fail\n"
        "from sojourn.cli.main import main\n"
        f"sys.exit(main(['run', {str(daemon.file)!r}]))\n"
    )
    process = daemon.launch([sys.executable, "-c", broken])
    until("ready", daemon._ready)
    with ControlClient(daemon.socket) as client, pytest.raises(ControlError):
        client.command("refresh")
    assert process.wait(10) == 1
    log = daemon.log.read_text()
    assert "ZeroDivisionError: a bug" in log
    assert "Commanded(verb='refresh'" in log
    assert world.answers(first) == 3
    daemon.start()
    assert daemon.show("sessions")[0]["node"] == HOST


def test_a_reload_changes_what_can_change_under_traffic_and_refuses_the_rest_whole(world: Domain) -> None:
    """Not a packet is lost by it; a refusal names the key and changes nothing."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    world.roam(2)
    world.address("2001:db8:a200:")
    until("the old prefix follows", lambda: "2001:db8:a100::/64" in prefixes(world.daemons["ar2"]))
    daemon = world.daemons["ar1"]
    assert daemon.process is not None
    recording = daemon.log.with_suffix(".jsonl")
    recording.rename(recording.with_suffix(".rotated"))
    daemon.process.send_signal(signal.SIGHUP)
    until("looked at", lambda: "configuration-unchanged" in daemon.log.read_text())
    assert recording.read_text().startswith('{"sojourn":'), "a recording that logrotate moved goes on at its path"
    with ping_all_along(world, first) as lost, ControlClient(daemon.socket) as client:
        peers = len(client.show("peers"))
        daemon.edit("[maar]\n", '[maar]\nidle_hold = "9s"\n')
        with daemon.file.open("a") as file:
            file.write('[[maar.peers]]\nname = "ar3"\naddress = "2001:db8:a3::1"\n')
        [row] = client.command("reload")
        assert (row["event"], row["changed"]) == ("reloaded", "maar.peers, maar.idle_hold")
        assert len(client.show("peers")) == peers + 1
        assert daemon.show("sessions")[0]["node"] == HOST
        daemon.edit("idle_hold", "idle_hood")
        with pytest.raises(ControlError, match=r"nothing was changed(.|\n)*did you mean idle_hold\?"):
            client.command("reload")
        daemon.edit("idle_hood", "idle_hold")
        daemon.edit('pool = "2001:db8:a100::/48"', 'pool = "2001:db8:a100::/48"\nbackend = "memory"')
        daemon.edit('"9s"', '"8s"')
        with pytest.raises(ControlError, match=r"nothing was changed: maar\.backend cannot change while"):
            client.command("reload")
        daemon.process.send_signal(signal.SIGHUP)
        until("said in the log too", lambda: "not-reloaded" in daemon.log.read_text())
        assert client.ping().pid == daemon.process.pid
        time.sleep(0.5)  # it is over in a moment; the pinger may not have had its turn
    assert lost() == 0
    world.roam(1)
    until("home again", lambda: daemon.show("sessions")[0]["presence"] == "served")
    assert world.answers(first) == 3


def test_a_stop_for_a_successor_leaves_forwarding(world: Domain) -> None:
    """SIGUSR1, as the unit sends before SIGTERM when systemd restarts; without a lost packet."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    router = world.routers[0].kernel()
    with ping_all_along(world, first) as lost:
        for name in ("ar1", "cmd"):
            daemon = world.daemons[name]
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGUSR1)
            assert daemon.stop(signal.SIGTERM) == 0
            daemon.start()
    assert lost() == 0
    assert [world.routers[0].kernel()[what] for what in ("routes", "nexthops")] == [
        router["routes"],
        router["nexthops"],
    ]
    with ControlClient(world.daemons["ar1"].socket) as client:
        assert client.command("leave")[0]["event"] == "leaving"
    assert world.daemons["ar1"].process is not None
    assert world.daemons["ar1"].process.wait(45) == 0
    assert world.answers(first) == 3


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


def test_stale_socket_is_taken_over_and_a_file_is_not(world: Domain) -> None:
    daemon = world.daemons["cmd"]
    daemon.start()
    daemon.stop(signal.SIGKILL)
    assert Path(daemon.socket).exists()
    daemon.start()
    assert daemon.stop() == 0
    Path(daemon.socket).write_text("precious")
    code, words = daemon.refusal()
    assert code == 1
    assert "is there and is no socket" in words
    assert Path(daemon.socket).read_text() == "precious"


def test_two_roles_in_one_daemon(world: Domain) -> None:
    """The database lives beside an access router, at an address of its own; each has its recording and its share
    of the store."""
    router, other = world.routers
    both, ar2 = _with_a_database(world), world.daemons["ar2"]
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


def test_other_numbers_of_the_kernel(world: Domain) -> None:
    """Where somebody else uses our tables and priorities, they can be moved, and go again at the end."""
    router = world.routers[0]
    before = router.kernel()
    daemon = world.daemons["ar1"]
    kernel = '[maar.kernel]\nloop = ["dmm0", "dmm1"]\nfirst_table = 1000\nfirst_priority = 200\n'
    daemon.edit("[[maar.peers]]", kernel + "[[maar.peers]]")
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert world.answers(first) == 3
    assert "lookup 1004" in router.kernel()["rules"]
    assert daemon.stop() == 0
    assert router.kernel() == before


def test_tools_are_here() -> None:
    """These tests build networks with ip(8) and look at the kernel with nft(8)."""
    assert shutil.which("ip")
    assert shutil.which("nft")


if __name__ == "__main__":
    _pinger(sys.argv[1])
