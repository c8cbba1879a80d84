"""Delay, jitter, loss and rate on links; and the proof that they are really there.

netem does it where the kernel has it and a trial shows that it works; otherwise a relay process
(`sojourn.lab.relay`). Jitter is always the relay's, because netem would reorder. A rate is `tbf` on both
ends, or the relay's where the kernel has no tbf. Nothing is believed: after the set-up an echo over every
impaired link measures its round trip, and a link that is not what the topology says stops the lab
(`LinkMismatch`).
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Literal

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.network import Cable, Network
from sojourn.lab.offload import cut_tunnelled_bundles
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.lab.topology import Link, Topology
from sojourn.wire.addresses import eui64_link_local, text
from sojourn.wire.units import MILLISECOND, SECOND, Duration

Emulation = Literal["auto", "netem", "relay"]

_PROBE_DELAY = 5 * MILLISECOND
_TOLERANCE = 3 * MILLISECOND
_PATIENCE = 5 * SECOND
_ENOUGH = 3
"""Echoes after which a link that looks right is believed."""


class LinkMismatch(OSError):
    """A link does not do what the topology says."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What a link should do and what was measured."""

    between: tuple[str, str]
    delay: Duration
    """One way, as asked."""
    measured: Duration
    """Half of the shortest round trip."""
    means: str
    """``netem``, ``relay``, or ``-``."""


class LinkEmulation:
    """The impairments of one network."""

    def __init__(self, topology: Topology, emulation: Emulation = "auto", seed: int = 0) -> None:
        self._topology = topology
        self._seed = seed
        impaired = [link for link in topology.links if link.relayed or link.rate]
        self.tbf = any(link.rate for link in impaired) and _kernel_has("tbf")
        wants_netem = emulation != "relay" and any(link.delay or link.loss for link in impaired)
        self.netem = wants_netem and netem_works()
        if emulation == "netem" and not self.netem:
            raise LinkMismatch("this kernel has no working netem")
        self.relayed = {frozenset(link.between) for link in impaired if self._needs_relay(link)}
        """The links for which `Network.build` must leave a gap."""
        self._process: subprocess.Popen[bytes] | None = None
        self.counters: list[dict[str, Any]] = []
        """What the relay passed, lost on purpose and dropped, per link; filled by `close`."""

    def _needs_relay(self, link: Link) -> bool:
        if link.rate and not self.tbf:
            return True
        return link.relayed and not (self.netem and not link.jitter and not link.rate)

    def start(self, network: Network) -> None:
        """Set queues, start the relay. Raises OSError."""
        for cable in network.cables:
            self._queue(network, cable)
            for end in cable.ends if cable.middle else ():
                end.namespace.call(partial(cut_tunnelled_bundles, end.name))
        if self.relayed and network.wire is not None:
            self._start_relay(network.wire, [cable for cable in network.cables if cable.middle])

    def _queue(self, network: Network, cable: Cable) -> None:
        link = cable.link
        for end in cable.ends:
            netlink = network.netlink(end.namespace)
            if link.rate and self.tbf:
                netlink.add_tbf(end.index, link.rate)
            elif link.relayed and cable.middle is None:
                netlink.add_netem(end.index, link.delay, link.loss)

    def _start_relay(self, wire: NetworkNamespace, cables: list[Cable]) -> None:
        with wire.entered():
            process = subprocess.Popen(
                [sys.executable, "-m", "sojourn.lab.relay"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        self._process = process
        links = [
            {
                "ends": [end.name for end in cable.middle or ()],
                "delay": cable.link.delay,
                "jitter": cable.link.jitter,
                "loss": cable.link.loss,
                "rate": None if self.tbf else cable.link.rate,
            }
            for cable in cables
        ]
        stdin, stdout = _pipes(process)
        stdin.write(json.dumps({"seed": self._seed, "links": links}).encode() + b"\n")
        stdin.flush()
        if stdout.readline() != b"ready\n":
            raise LinkMismatch("the relay process did not start; its message is above")

    def alive(self) -> bool:
        """False when there is a relay and it ended."""
        return self._process is None or self._process.poll() is None

    def verify(self, network: Network) -> list[LinkReport]:
        """Measure every impaired link. Raises LinkMismatch, which names each that is wrong."""
        cables = [cable for cable in network.cables if cable.link.relayed or cable.link.rate]
        shortest = measure([(cable.ends[0], cable.ends[1]) for cable in cables], [c.link.delay for c in cables])
        reports, wrong = [], []
        for cable, trip in zip(cables, shortest, strict=True):
            link = cable.link
            means = "relay" if cable.middle else "netem" if link.relayed else "-"
            reports.append(LinkReport(link.between, link.delay, (trip or 0) // 2, means))
            if trip is None or not _plausible(trip, link):
                found = "no answer" if trip is None else f"measured {trip / 2 / MILLISECOND:.2f} ms"
                wrong.append(f"{' - '.join(link.between)}: asked for {link.delay / MILLISECOND:g} ms, {found}")
        if wrong:
            raise LinkMismatch("links are not what the topology says: " + "; ".join(wrong))
        return reports

    def close(self) -> None:
        """Stop the relay and keep its counters."""
        process, self._process = self._process, None
        if process is None:
            return
        stdin, stdout = _pipes(process)
        try:
            stdin.close()
            last = stdout.readline()
            process.wait(2)
            self.counters = json.loads(last) if last else []
        except (OSError, ValueError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        stdout.close()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _plausible(trip: Duration, link: Link) -> bool:
    """Whether the shortest round trip fits: not shorter than asked, not longer than a busy machine
    explains."""
    lower = 2 * (link.delay - link.jitter) - MILLISECOND // 5
    upper = 2 * (link.delay + link.jitter) + _TOLERANCE + link.delay // 4
    return lower <= trip <= upper


# --- what the kernel can do
# ---------------------------------------------------------------------------------------


def _trial() -> tuple[NetworkNamespace, End, End, RouteNetlink]:
    trial = NetworkNamespace("trial")
    one = End(trial, "t0", 10, b"\x02\0\0\0\x01\0")
    two = End(trial, "t1", 11, b"\x02\0\0\0\x01\1")
    netlink = RouteNetlink(trial)
    netlink.add_veth(one, two, 1500)
    return trial, one, two, netlink


def _kernel_has(kind: Literal["tbf", "netem"]) -> bool:
    """Whether the kernel accepts such a queue, tried in a namespace of its own."""
    trial, one, _, netlink = _trial()
    try:
        if kind == "tbf":
            netlink.add_tbf(one.index, 10_000_000)
        else:
            netlink.add_netem(one.index, _PROBE_DELAY, 0.0)
    except OSError:
        return False
    finally:
        netlink.close()
        trial.close()
    return True


def netem_works() -> bool:
    """Whether netem is there and really delays: some kernels and sandboxes accept the request and do
    nothing."""
    if not _kernel_has("netem"):
        return False
    here, there = NetworkNamespace("netem-a"), NetworkNamespace("netem-b")
    one = End(here, "t0", 10, b"\x02\0\0\0\x01\0")
    two = End(there, "t1", 11, b"\x02\0\0\0\x01\1")
    netlinks = RouteNetlink(here), RouteNetlink(there)
    try:
        for namespace in (here, there):
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
        netlinks[0].add_veth(one, two, 1500)
        for netlink, end in zip(netlinks, (one, two), strict=True):
            netlink.set_link(end.index, up=True)
            netlink.add_netem(end.index, _PROBE_DELAY, 0.0)
        link = Link.model_validate({"between": ("a", "b"), "delay": _PROBE_DELAY / SECOND})
        trip = measure([(one, two)], [_PROBE_DELAY])[0]
        # The first echo waits for neighbour discovery; `measure` takes the shortest of several.
        return trip is not None and _plausible(trip, link)
    except OSError:
        return False
    finally:
        for closing in (*netlinks, here, there):
            closing.close()


# --- measuring
# ----------------------------------------------------------------------------------------------------

_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_ICMP6_FILTER = 1


class _Echo:
    """Echo requests from one end to the link-local address of the other."""

    def __init__(self, here: End, there: End, delay: Duration) -> None:
        self._pause = max(2 * delay + 2 * MILLISECOND, 5 * MILLISECOND)
        self.socket = here.namespace.call(_echo_socket)
        self._to = text(eui64_link_local(there.link_layer)), 0, 0, here.index
        self._connected = False
        self.sent: dict[int, int] = {}
        self.shortest: Duration | None = None
        self.answers = 0
        self.next = 0

    def send(self, now: int) -> None:
        self.next = now + self._pause
        try:
            if not self._connected:
                self.socket.connect(self._to)
                self._connected = True
                with suppress(BlockingIOError):
                    while self.socket.recv(256):
                        pass  # a raw socket hears every echo reply of its namespace, a connected one those of its link
            sequence = len(self.sent) & 0xFFFF
            self.sent[sequence] = time.monotonic_ns()
            self.socket.send(struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, 1, sequence))
        except OSError:
            return  # the way, the address or the carrier is not there yet; the next one will tell

    def receive(self) -> None:
        now = time.monotonic_ns()
        packet = self.socket.recv(256)
        sent = self.sent.get(struct.unpack_from("!H", packet, 6)[0]) if len(packet) >= 8 else None
        if sent is not None:
            self.answers += 1
            self.shortest = min(now - sent, self.shortest or now)


def _echo_socket() -> socket.socket:
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    passes = [0xFFFFFFFF] * 8
    passes[_ECHO_REPLY >> 5] &= ~(1 << (_ECHO_REPLY & 31)) & 0xFFFFFFFF
    raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *passes))
    raw.setblocking(False)
    return raw


def measure(ends: list[tuple[End, End]], delays: list[Duration]) -> list[Duration | None]:
    """The shortest round trip between each pair of ends, all at the same time; None without an answer."""
    echoes: list[_Echo] = []
    try:
        echoes += (_Echo(here, there, delay) for (here, there), delay in zip(ends, delays, strict=True))
        start = now = time.monotonic_ns()
        while now - start < _PATIENCE:
            waiting = [echo for echo, delay in zip(echoes, delays, strict=True) if not _settled(echo, delay)]
            if not waiting:
                break
            for echo in waiting:
                if echo.next <= now:
                    echo.send(now)
            pause = max(min(echo.next for echo in waiting) - time.monotonic_ns(), 0) / SECOND
            readable, _, _ = select.select([echo.socket for echo in waiting], [], [], pause)
            for echo in waiting:
                if echo.socket in readable:
                    echo.receive()
            now = time.monotonic_ns()
    finally:
        for echo in echoes:
            echo.socket.close()
    return [echo.shortest for echo in echoes]


def _settled(echo: _Echo, delay: Duration) -> bool:
    """Enough answers, and one that needs no excuse; a busy machine is given until `_PATIENCE`."""
    if echo.shortest is None or echo.answers < _ENOUGH:
        return False
    return echo.shortest <= 2 * delay + _TOLERANCE
