"""Figures of RFC 7333 (REQ6g) beside what a lab counts without asking any daemon: times between frames as the kernel
stamps them, what is in the kernel's tables and for how long, octets on a wire. They agree within 5 %.

Links are long, so that a machine that is busy, and late by milliseconds, does not matter.
"""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sojourn.dataplane.netlink import attributes
from sojourn.lab.lab import Lab
from sojourn.lab.node import Node
from sojourn.lab.topology import Topology, star
from sojourn.wire import BindingAcknowledgement, BindingUpdate, DecodeError, MobilityMessage, decode
from sojourn.wire.addresses import Address, address
from sojourn.wire.units import MILLISECOND, SECOND
from support.lab_metrics import Samples, address_from, becomes, grown, near, samples, served, summed
from support.stars import silent_host
from support.wire_clock import Frame, Tap

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

MOVES = 3
RESOLUTION = MILLISECOND
"""A packet of the stream comes every millisecond."""


def distributed(far: str = "120ms", database: str = "150ms", **more: object) -> Topology:
    """Two MAARs, one of which is `far`, and a database."""
    return star(
        "metrics-dmm",
        {"ar1": "access-router", "ar2": "access-router", "cmd": "cmd", "cn": "server", "mn": silent_host()},
        delays={"ar2": far, "cmd": database},
        metrics=True,
        **more,
    )


def proxy() -> Topology:
    """Two MAGs, one of which is far, and their LMA."""
    return star(
        "metrics-pmip",
        {"lma": "lma", "mag1": "mag", "mag2": "mag", "cn": "server", "mn": silent_host()},
        delays={"lma": "150ms", "mag2": "120ms"},
        metrics=True,
    )


@contextmanager
def stream(lab: Lab, to: str) -> Iterator[None]:
    """A packet from the server each millisecond."""
    ended = threading.Event()
    with lab.nodes["cn"].namespace.entered():
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)

    def send() -> None:
        due = time.monotonic()
        while not ended.is_set():
            with suppress(OSError):
                sender.sendto(bytes(200), (to, 7))
            due += 0.001
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sender.close()


def message(frame: Frame) -> MobilityMessage | None:
    """The Mobility Header of a packet that has one and nothing else."""
    packet = frame.packet
    if frame.octets[12:14] != b"\x86\xdd" or packet[6] != 135:
        return None
    with suppress(DecodeError):
        return decode(packet[40:])
    return None


def times_of_a_move(access: list[Frame], core: list[Frame], node: bytes, to: Address) -> tuple[int, int]:
    """From the frame that shows the node at its new router: until its registration is accepted, and until the first
    packet goes out to it."""
    shown = next(one.at for one in access if not one.leaves and one.octets[6:12] == node)
    said = [(one.at, found) for one in core if one.at > shown and (found := message(one)) is not None]
    asked = {one.sequence for _, one in said if isinstance(one, BindingUpdate) and one.lifetime}
    answered = next(
        at for at, one in said if isinstance(one, BindingAcknowledgement) and one.status < 128 and one.sequence in asked
    )
    out = [one for one in access if one.leaves and one.at > shown and one.packet[6] == socket.IPPROTO_UDP]
    delivered = next(one.at for one in out if one.packet[24:40] == to)
    return answered - shown, delivered - shown


@pytest.mark.parametrize(
    ("topology", "anchor", "old", "new", "kind"),
    [(distributed(), "ar1", "ar1", "ar2", "handover"), (proxy(), "lma", "mag1", "mag2", "any")],
    ids=["dmm", "pmip"],
)
def test_handover_delay_and_reactivity_are_those_on_the_wire(
    topology: Topology, anchor: str, old: str, new: str, kind: str, tmp_path: Path
) -> None:
    with Lab(topology, tmp_path) as lab:
        lab.air.roam("mn", old)
        becomes(lambda: served(lab, old))
        held = address_from(lab, lab.topology.nodes[anchor].pool)
        node = lab.air.link_layer("mn")
        first = samples(lab, new)
        reactivity = delay = 0
        with stream(lab, held):
            for number in range(1, MOVES + 1):
                with Tap(lab.nodes[new], "acc0") as access, Tap(lab.nodes[new], "to-core") as core:
                    lab.air.roam("mn", new)
                    assert becomes(lambda wanted=number: measured(first, samples(lab, new), kind) >= wanted), number
                    time.sleep(0.3)
                found = times_of_a_move(access.frames, core.frames, node, address(held))
                reactivity, delay = reactivity + found[0], delay + found[1]
                back = samples(lab, old)
                lab.air.roam("mn", old)
                assert becomes(lambda back=back: measured(back, samples(lab, old), kind) == 1)
                time.sleep(1.0)  # until its last router has de-registered it, and is told so
        last = samples(lab, new)
    resolution = MOVES * RESOLUTION / SECOND
    told = grown(first, last, "sojourn_protocol_reactivity_seconds_sum", kind=kind)
    assert near(told, reactivity / SECOND, resolution), (told, reactivity)
    told = grown(first, last, "sojourn_handover_delay_seconds_sum", kind=kind)
    assert near(told, delay / SECOND, resolution), (told, delay)


def measured(before: Samples, after: Samples, kind: str) -> float:
    """How many attachments were, since."""
    return grown(before, after, "sojourn_protocol_reactivity_seconds_count", kind=kind)


# --- sessions -------------------------------------------------------------------------------------------------------

_RTM_NEWROUTE, _RTM_DELROUTE, _ROUTES_OF_IPV6 = 24, 25, 1 << 10
_NODES_TABLE = 54


class RouteWatch:
    """When routes of 64 bits in the table of nodes came and went, as the kernel tells whoever listens."""

    def __init__(self, node: Node) -> None:
        self.lives: list[tuple[float, float]] = []
        """Of those that went: from when until when."""
        self._since: dict[bytes, float] = {}
        with node.namespace.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, _ROUTES_OF_IPV6))
        self._socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                octets = self._socket.recv(65536)
                while octets:
                    length, kind = struct.unpack_from("=IH", octets)
                    self._take(kind, octets[16:length])
                    octets = octets[(length + 3) & ~3 :]

    def _take(self, kind: int, body: bytes) -> None:
        values = attributes(body, 12)
        table = int.from_bytes(values.get(15, b""), "little")
        if body[1] != 64 or table != _NODES_TABLE:
            return
        destination, now = values[1], time.monotonic()
        if kind == _RTM_NEWROUTE:
            self._since.setdefault(destination, now)
        elif kind == _RTM_DELROUTE and destination in self._since:
            self.lives.append((self._since.pop(destination), now))


def kernel_tables(lab: Lab, node: str) -> tuple[int, dict[int, int], int]:
    """Prefixes of nodes, how many nodes have so many of them, and far ends of tunnels in use."""
    with lab.nodes[node].namespace.entered():
        routes, uplinks, nexthops = (
            subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=True).stdout
            for words in ("-6 route show table 54", "-6 route show table 53", "nexthop")
        )
    used = [one.group(1) for one in re.finditer(r"/64 nhid (\d+)", routes)]
    ways = [line for line in nexthops.splitlines() if line.split()[1] in used] + uplinks.splitlines()
    ends = {found.group(1) for line in ways if (found := re.search(r"(?:segs 1 \[ |encap ip6 .*dst )(\S+)", line))}
    return len(used), dict(Counter(Counter(used).values())), len(ends)


def test_sessions_users_tunnels_and_durations_are_those_of_the_kernels_tables(tmp_path: Path) -> None:
    """A prefix that nobody uses retires: its session is over at both routers."""
    routers = ("ar1", "ar2")
    with Lab(distributed("5ms", "5ms", maar={"idle_hold": "8s"}), tmp_path) as lab:
        watches = {name: RouteWatch(lab.nodes[name]) for name in routers}
        try:
            lab.air.roam("mn", "ar1")
            old = address_from(lab, lab.topology.nodes["ar1"].pool)
            assert becomes(lambda: served(lab, "ar1", old))
            time.sleep(2)
            lab.air.roam("mn", "ar2")
            assert becomes(lambda: served(lab, "ar2", old))
            for name in routers:
                assert becomes(lambda name=name: told(samples(lab, name)) == kernel_tables(lab, name)), name
            assert kernel_tables(lab, "ar2") == (2, {2: 1}, 1)
            assert becomes(lambda: all(watch.lives for watch in watches.values()))
            time.sleep(0.5)
            for name, watch in watches.items():
                found, [life] = samples(lab, name), watch.lives
                assert summed(found, "sojourn_session_duration_seconds_count") == 1
                assert near(summed(found, "sojourn_session_duration_seconds_sum"), life[1] - life[0]), name
                assert told(found) == kernel_tables(lab, name), name
        finally:
            for watch in watches.values():
                watch.close()


def told(found: Samples) -> tuple[float, dict[int, int], float]:
    """The same by the daemon's figures."""
    users = {int(number): int(value) for number, value in by(found, "sojourn_users", "sessions").items() if value}
    return summed(found, "sojourn_sessions"), users, summed(found, "sojourn_tunnels")


def by(found: Samples, name: str, label: str) -> dict[str, float]:
    """The values of a metric by one of its labels."""
    return {dict(labels)[label]: value for (own, labels), value in found.items() if own == name}
