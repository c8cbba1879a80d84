"""Operating a domain (RFC 7333 REQ6), on one lab: figures equal what others count, a selftest names the very place that
was sabotaged, what is torn down is proved to be gone, and a node's story is told.

The tests follow each other on one domain: a host that roams, a server that speaks with it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.lab.kernel_state import KernelState
from sojourn.lab.lab import Lab
from sojourn.lab.measure_signalling import SignallingMonitor, packet_socket
from sojourn.lab.topology import star
from sojourn.wire.addresses import text
from support.lab_metrics import (
    PATIENCE,
    Samples,
    address_from,
    becomes,
    echoes,
    get,
    near,
    prefix_of,
    samples,
    served,
    summed,
)
from support.stars import silent_host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(360)]

TOPOLOGY = star(
    "operations",
    {"ar1": "access-router", "ar2": "access-router", "cmd": "cmd", "cn": "server", "mn": silent_host()},
    "5ms",
    delays={"cn": "0ms"},
    metrics=True,
    maar={"idle_hold": "10m"},
)
NODE = "02:00:00:00:00:01"
ROUTERS = ("ar1", "ar2", "cmd")
ECHOES = 60


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(TOPOLOGY, tmp_path_factory.mktemp("lab")) as made:
        made.air.roam("mn", "ar1")
        assert becomes(lambda: served(made, "ar1"))
        yield made


def pool_address(lab: Lab, router: str) -> str:
    """The host's address in the pool of a router."""
    return address_from(lab, lab.topology.nodes[router].pool)


def roam(lab: Lab, router: str) -> None:
    lab.air.roam("mn", router)
    assert becomes(lambda: served(lab, router))


# --- figures ----------------------------------------------------------------------------------------------------------


def test_figures_equal_independent_counts(lab: Lab) -> None:
    old = pool_address(lab, "ar1")
    before: dict[str, Samples] = {}
    after: dict[str, Samples] = {}
    since: dict[str, int] = {}
    until: dict[str, int] = {}
    tapped = lab.nodes["core"].namespace.call(lambda: packet_socket(41))
    tapped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    with SignallingMonitor({name: lab.nodes[name].namespace for name in ROUTERS}) as monitor:
        for name in ROUTERS:
            before[name], since[name] = samples(lab, name), time.monotonic_ns()
        roam(lab, "ar2")
        assert echoes(lab, old, ECHOES) >= ECHOES // 2
        roam(lab, "ar1")
        roam(lab, "ar2")
        said = -1
        while said < len(monitor.signals):  # until the last answers are there
            said = len(monitor.signals)
            time.sleep(0.5)
        for name in ROUTERS:
            until[name], after[name] = time.monotonic_ns(), samples(lab, name)
    frames: Counter[tuple[str, str]] = Counter()
    octets: Counter[tuple[str, str]] = Counter()
    inner: Counter[tuple[str, str]] = Counter()
    with tapped, contextlib.suppress(BlockingIOError):
        while True:
            frame, (_, _, direction, _, _) = tapped.recvfrom(4096)
            if direction != 4:  # as it came in: each once
                ends = text(frame[22:38]), text(frame[38:54])
                frames[ends] += 1
                octets[ends] += len(frame) - 14
                inner[ends] += 40 + int.from_bytes(frame[58:60], "big")

    def grown(node: str, name: str, **labels: str) -> float:
        return summed(after[node], name, **labels) - summed(before[node], name, **labels)

    for node in ROUTERS:
        sent = [one for one in monitor.signals if one.node == node and since[node] < one.at < until[node]]
        assert near(grown(node, "sojourn_signalling_messages_total", direction="sent"), len(sent)), node
        assert near(grown(node, "sojourn_signalling_octets_total", direction="sent"), sum(s.octets for s in sent)), node
    at = {name: lab.topology.address(name) for name in ("ar1", "ar2")}
    there, back = (at["ar1"], at["ar2"]), (at["ar2"], at["ar1"])
    for node, direction, ends in (("ar1", "sent", there), ("ar2", "received", there), ("ar1", "received", back)):
        assert near(grown(node, "sojourn_tunnel_packets_total", direction=direction), frames[ends]), (node, direction)
        assert near(grown(node, "sojourn_tunnel_octets_total", direction=direction), octets[ends]), (node, direction)
    overhead = grown("ar1", "sojourn_tunnel_overhead_octets_total", direction="sent")
    assert near(overhead, octets[there] - inner[there])

    for router, moves in (("ar2", 2), ("ar1", 1)):
        assert grown(router, "sojourn_handover_delay_seconds_count", kind="handover") == moves
        delay = grown(router, "sojourn_handover_delay_seconds_sum", kind="handover")
        reactivity = grown(router, "sojourn_protocol_reactivity_seconds_sum", kind="handover")
        assert moves * 0.018 <= reactivity <= delay  # at least the round trip to the database
    with lab.client("ar2") as client:
        rows = client.show("bindings")
    assert summed(after["ar2"], "sojourn_sessions") == len({row["prefix"] for row in rows}) == 2
    assert summed(after["ar2"], "sojourn_users", sessions="2") == 1
    assert summed(after["ar1"], "sojourn_tunnels", encapsulation="seg6") in (0, 1)
    assert summed(after["cmd"], "sojourn_nodes") == 1
    assert summed(after["cmd"], "pmip6BindingBindingAcks_total") == summed(
        after["cmd"], "sojourn_signalling_messages_total", direction="sent", type="proxy-binding-acknowledgement"
    )
    assert json.loads(get(lab, "ar1", "/health")) == {"healthy": True, "problems": []}


# --- selftest ---------------------------------------------------------------------------------------------------------


def selftest(lab: Lab, node: str, target: str = "", *, repair: bool = False) -> list[dict[str, Any]]:
    with lab.client(node) as client:
        return client.selftest(target, repair=repair)


def wrong(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """What is wrong, and where."""
    return {(row["result"], row["place"]) for row in rows if row["result"] not in ("ok", "skipped", "repaired")}


def sound(lab: Lab, *nodes: str) -> bool:
    return all(not wrong(selftest(lab, node)) for node in nodes)


def run(lab: Lab, node: str, *commands: str) -> None:
    for command in commands:
        process = lab.nodes[node].spawn(command.split(maxsplit=1) if command.startswith("nft ") else command.split())
        assert process.wait() == 0, command


ECHO_DROPPED = (
    "nft add table ip6 sabotage",
    "nft add chain ip6 sabotage in { type filter hook {hook} priority 0; }",
    "nft add rule ip6 sabotage in {what} drop",
)


def drops(hook: str, what: str) -> list[str]:
    return [command.replace("{hook}", hook).replace("{what}", what) for command in ECHO_DROPPED]


def test_a_sound_domain_passes_at_every_router(lab: Lab) -> None:
    """The host is at ar2, with a prefix of ar1."""
    assert becomes(lambda: sound(lab, *ROUTERS))
    rows = selftest(lab, "ar1", prefix_of(pool_address(lab, "ar1")))
    assert [(row["check"], row["result"]) for row in rows] == [("kernel", "ok"), ("way", "ok")]
    assert rows[1]["ms"] >= 20  # both links, there and back
    assert {row["check"] for row in selftest(lab, "ar2")} == {"kernel", "way", "way back"}
    assert {row["check"] for row in selftest(lab, "cmd")} == {"kernel", "router"}


@pytest.mark.parametrize(
    ("at", "command", "asked", "result", "place"),
    [
        ("ar1", "ip -6 route del PREFIX table 54", "ar1", "missing", "anchor's route"),
        ("ar2", "ip -6 route del PREFIX table 54", "ar1", "lost", "serving router's route"),
        ("ar2", "ip -6 route del PREFIX table 54", "ar2", "missing", "serving router's route"),
        ("ar2", "ip -6 rule del pref 10", "ar1", "lost", "tunnel"),
        ("ar2", "ip -6 rule del pref 10", "ar2", "missing", "tunnel"),
        ("ar2", "ip -6 route del default from PREFIX table 53", "ar2", "missing", "tunnel"),
        ("ar1", "ip -6 rule del pref 110", "ar1", "missing", "rules"),
        ("ar1", "nft flush table ip6 sojourn", "ar1", "changed", "filter"),
        ("ar1", "ip -6 route add 2001:db8:a100:ff::/64 dev sojourn0 proto 140 table 54", "ar1", "left behind", None),
    ],
)
def test_a_selftest_names_the_place_of_the_sabotage(
    lab: Lab, at: str, command: str, asked: str, result: str, place: str | None
) -> None:
    prefix = prefix_of(pool_address(lab, "ar1"))
    run(lab, at, command.replace("PREFIX", prefix))
    told: list[dict[str, Any]] = []

    def is_named() -> bool:
        """Exactly this place, with what to do; a machine that is late may lose a probe, so it is asked again."""
        told[:] = selftest(lab, asked)
        found = [row for row in told if row["result"] == result and place in (None, row["place"])]
        others = {where for _, where in wrong(told)} - {place or "anchor's route"}
        return any(row["remedy"] for row in found) and not others

    assert becomes(is_named), told
    repaired = selftest(lab, at, repair=True)
    assert "repaired" in {row["result"] for row in repaired}, repaired
    assert becomes(lambda: sound(lab, "ar1", "ar2"))


def test_a_host_that_does_not_answer_and_a_network_that_is_cut_are_told_apart(lab: Lab) -> None:
    run(lab, "mn", *drops("input", "icmpv6 type echo-request"))
    assert becomes(lambda: wrong(selftest(lab, "ar1")) == {("lost", "host")})
    run(lab, "mn", "nft delete table ip6 sabotage")
    run(lab, "core", *drops("forward", f"ip6 daddr {lab.topology.address('ar2')}"))
    assert becomes(lambda: wrong(selftest(lab, "ar1")) == {("lost", "network")})
    assert ("lost", "network") in wrong(selftest(lab, "cmd"))
    run(lab, "core", "nft delete table ip6 sabotage")
    assert becomes(lambda: sound(lab, "ar1", "cmd"))


def test_one_session_is_tested_by_node_prefix_or_address(lab: Lab) -> None:
    old, new = pool_address(lab, "ar1"), pool_address(lab, "ar2")
    for target, prefixes in (
        (prefix_of(old), {prefix_of(old)}),
        (new, {prefix_of(new)}),
        (NODE, {prefix_of(old), prefix_of(new)}),
    ):
        rows = selftest(lab, "ar2", target)
        assert {row["prefix"] for row in rows if row["prefix"]} == prefixes, target
    from sojourn.control.client import ControlError

    with pytest.raises(ControlError, match="no session"):
        selftest(lab, "ar2", "02:00:00:00:00:99")


# --- torn down --------------------------------------------------------------------------------------------------------


def sojourn(lab: Lab, node: str, *words: str) -> tuple[int, str]:
    with lab.nodes[node].namespace.entered():
        done = subprocess.run(
            [sys.executable, "-m", "sojourn.cli.main", *words], capture_output=True, text=True, check=False
        )
    return done.returncode, done.stdout + done.stderr


def test_what_is_torn_down_is_gone_from_the_kernel(lab: Lab) -> None:
    """The prefix of ar1 is idle, and retires as soon as it may."""
    prefix = prefix_of(pool_address(lab, "ar1"))
    file = lab.daemon("ar1").file
    file.write_text(file.read_text().replace('idle_hold = "10m"', 'idle_hold = "1s"'))
    with lab.client("ar1") as client:
        client.command("reload")

    def retired() -> bool:
        with lab.client("ar1") as client:
            return all(row["prefix"] != prefix for row in client.show("bindings"))

    assert becomes(retired)
    assert becomes(lambda: sound(lab, "ar1"))
    stem = prefix.removesuffix("::/64")
    assert [line for line in KernelState.of(lab.nodes["ar1"].namespace).lines if stem in line] == []


def test_the_story_of_a_node_is_told_also_of_a_daemon_that_is_down(lab: Lab) -> None:
    daemon = lab.daemon("ar1")
    words = ("show", "why", NODE, "--file", str(daemon.file))
    code, told = sojourn(lab, "ar1", *words)
    assert code == 0, told
    assert max(map(len, told.splitlines())) <= 80
    for sentence in ("attached on acc0", "moved to ar2", "through a tunnel to ar2", "retired"):
        assert sentence in " ".join(told.split()), told
    lab.stop_daemon("ar1", kill=True)
    code, told = sojourn(lab, "ar1", *words, "--json")
    assert code == 0, told
    events = [row["event"] for row in json.loads(told)]
    assert events.index("attached") < events.index("anchoring") < events.index("prefix-retired")


def test_without_a_daemon_nothing_may_be_left(lab: Lab) -> None:
    """It was killed just now, which leaves its forwarding for a successor; an orderly stop leaves nothing."""
    file = str(lab.daemon("ar1").file)
    lab.daemon("ar1").control.unlink(missing_ok=True)
    code, told = sojourn(lab, "ar1", "selftest", "--file", file, "--json")
    assert code == 1
    left = " ".join(row["detail"] for row in json.loads(told))
    assert "rule" in left
    assert "interface sojourn0" in left
    assert "nf_tables table ip6 sojourn-traffic" in left
    lab.start_daemon("ar1")
    lab.stop_daemon("ar1")
    code, told = sojourn(lab, "ar1", "selftest", "--file", file)
    assert code == 0, told
    assert max(map(len, told.splitlines())) <= 80


# --- supervisors ------------------------------------------------------------------------------------------------------


def test_a_supervisor_hears_of_every_step_and_the_watchdog_is_fed(lab: Lab, tmp_path: Path) -> None:
    """What systemd's Type=notify and WatchdogSec want (sd_notify(3)), from start to stop."""
    file = tmp_path / "cn.toml"
    file.write_text(
        f'control = "{tmp_path}/cn.sock"\n[cmd]\naddress = "{lab.topology.address("cn")}"\n'
        '[[cmd.maars]]\naddress = "2001:db8:a1::1"\npool = "2001:db8:a100::/48"\n'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(PATIENCE)
        heard: list[str] = []

        def hears(word: str) -> bool:
            while True:
                heard.append(supervisor.recv(4096).decode())
                if word in heard[-1].split("\n"):
                    return True

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        command = [sys.executable, "-m", "sojourn.cli.main", "run", str(file)]
        daemon = lab.nodes["cn"].spawn(command, env=environment, stderr=subprocess.DEVNULL)
        assert hears("READY=1")
        assert heard[-1].endswith("STATUS=running cmd; 0 in cmd")
        assert all(hears("WATCHDOG=1") for _ in range(3))
        daemon.send_signal(signal.SIGHUP)
        assert hears("RELOADING=1")
        assert int(heard[-1].partition("MONOTONIC_USEC=")[2]) <= time.monotonic_ns() // 1000
        assert hears("READY=1")
        daemon.terminate()
        assert hears("STOPPING=1")
        assert daemon.wait(PATIENCE) == 0
