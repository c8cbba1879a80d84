"""Tunnels over IPv4 on a real kernel (RFC 5844 4): ar1 anchors, ar2 serves, between them there is IPv4 alone."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sojourn.core.effects import EnsureTransport, WithdrawTransport
from sojourn.dataplane.ipv4_relay import congested, socket_name
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.lab.ipv4 import add_address
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import address
from support.dataplane_bed import AR1, AR2, HOST, SERVER, Bed, Stream, arrives, captured

pytestmark = pytest.mark.lab

AR1_4, AR2_4, STRANGER_4 = (address(f"192.0.2.{host}") for host in ("1", "17", "33"))
_OWN = {"ar1": AR1_4, "ar2": AR2_4}
_PEER = {"ar1": AR2, "ar2": AR1}


@pytest.fixture
def bed() -> Iterator[Bed]:
    with network() as made:
        yield made


@contextmanager
def network() -> Iterator[Bed]:
    """The network, with IPv4 and no IPv6 between the routers; the relays end with it."""
    bed = Bed()
    for name, own in (("ar1", AR1_4), ("ar2", AR2_4), ("server", STRANGER_4)):
        gateway = f"192.0.2.{own[15] + 1}"
        add_address(bed.namespaces[name], bed.ends[name, "core"].index, f"192.0.2.{own[15]}", 28)
        add_address(bed.namespaces["core"], bed.ends["core", name].index, gateway, 28)
        ip(bed, name, f"route add default via {gateway}")
    bed.namespaces["core"].sysctl("net/ipv4/ip_forward", 1)
    # Nothing of IPv6 passes between the two routers.
    for name in ("ar1", "ar2"):
        ip(bed, name, f"-6 route add blackhole {'2001:db8:a2::/64' if name == 'ar1' else '2001:db8:a1::/64'}")
    yield bed
    for name in _OWN:
        with bed.namespaces[name].entered(), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as relay:
            try:
                relay.connect(socket_name("sojourn4"))
            except OSError:
                continue
            relay.send(b'{"end": true}')
            relay.recv(100)
    bed.close()


def ip(bed: Bed, name: str, words: str) -> None:
    with bed.namespaces[name].entered():
        subprocess.run(["ip", *words.split()], check=True)


def plane(bed: Bed, router: str, **changes: object) -> LinuxDataplane:
    transport = {"transport": _OWN[router], "transport_peers": (_PEER[router],)}
    return bed.plane(router, **{"drop_strays": False, **transport, **changes})


def pair(bed: Bed, port: int = 0) -> tuple[LinuxDataplane, LinuxDataplane]:
    """Anchor and gateway with host a at the gateway."""
    anchor, serving = plane(bed, "ar1"), plane(bed, "ar2")
    anchor.apply(EnsureTransport(AR2, AR2_4, port))
    serving.apply(EnsureTransport(AR1, AR1_4, port))
    bed.serve_away(anchor, serving)
    for one in (anchor, serving):
        one.finish()
    return anchor, serving


def state(bed: Bed, router: str) -> set[str]:
    """Everything but what the kernel learns by itself."""
    return {
        one for one in KernelState.of(bed.namespaces[router]).lines if not one.startswith(("station ", "neighbour "))
    }


def relay_runs(bed: Bed, router: str) -> bool:
    with bed.namespaces[router].entered(), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as relay:
        return relay.connect_ex(socket_name("sojourn4")) == 0


def both_ways(bed: Bed) -> tuple[bool, bool]:
    with bed.udp("server", SERVER, 7000) as server, bed.udp("a", HOST, 7000) as host:
        return arrives(server, host, HOST), arrives(host, server, SERVER)


@pytest.mark.parametrize(("port", "outer"), [(0, b"\x29"), (5437, b"\x11")])
def test_4_1_4_1_packets_travel_in_ipv4_or_in_udp(bed: Bed, port: int, outer: bytes) -> None:
    pair(bed, port)
    with bed.wire("core", "ar2") as wire:
        assert both_ways(bed) == (True, True)
        seen = [one for one in captured(wire) if one[:1] == b"\x45" and one[9:10] == outer]
    ends = {(one[12:16], one[16:20]) for one in seen}
    assert ends == {(AR1_4[12:], AR2_4[12:]), (AR2_4[12:], AR1_4[12:])}
    if port:
        assert {one[20:24] for one in seen} == {struct.pack("!HH", 5437, 5437)}
        assert {one[28] >> 4 for one in seen} == {6}, "no TLV header: nobody asked for GRE"


def test_4_1_4_1_nobody_elses_packets_are_taken_out(bed: Bed) -> None:
    """Not from another address, and not from another port of the same one."""
    pair(bed, 5437)
    with bed.wire("ar1", "core") as wire:
        assert both_ways(bed) == (True, True)
        inner = next(
            one[28:]
            for one in captured(wire)
            if one[9:10] == b"\x11" and one[20:22] == b"\x15\x3d" and one[12:16] == AR2_4[12:]
        )
    with bed.udp("server", SERVER, 7000) as server:
        for name, port in (("server", 5437), ("ar2", 6666)):
            with bed.namespaces[name].entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
                forger.bind(("", port))
                forger.sendto(inner, ("192.0.2.1", 5437))
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.recv(100)


def test_another_port_of_a_nat_moves_all_packets_at_once(bed: Bed) -> None:
    anchor, _ = pair(bed, 5437)
    assert both_ways(bed) == (True, True)
    anchor.apply(EnsureTransport(AR2, AR2_4, 6000))
    assert both_ways(bed) == (False, False)
    anchor.apply(EnsureTransport(AR2, AR2_4, 5437))
    assert both_ways(bed) == (True, True)
    anchor.apply(WithdrawTransport(AR2))
    assert both_ways(bed) == (False, False)


def test_forwarding_outlives_the_daemon_and_the_next_life_takes_it_up(bed: Bed) -> None:
    anchor, serving = pair(bed, 5437)
    with bed.udp("server", SERVER, 7000) as server, bed.udp("a", HOST, 7000) as host:
        stream = Stream(server, host, HOST, rate=200)
        with stream.running():
            for one in (anchor, serving):
                bed.crash(one)
            time.sleep(0.1)
            anchor, serving = pair(bed, 5437)
    assert (stream.lost, stream.repeated, stream.overtaken) == (0, 0, 0)


def test_a_peer_that_the_next_life_does_not_ask_for_is_forgotten(bed: Bed) -> None:
    anchor, _ = pair(bed)
    bed.crash(anchor)
    anchor = plane(bed, "ar1")
    assert both_ways(bed) == (True, True), "as it was, until the new life knows"
    anchor.finish()
    assert both_ways(bed) == (False, False)


def test_nothing_is_left_in_the_end(bed: Bed) -> None:
    before = {router: state(bed, router) for router in _OWN}
    anchor, serving = pair(bed, 5437)
    bed.stop("ar1", anchor)
    bed.stop("ar2", serving)
    for router in _OWN:
        assert state(bed, router) == before[router]
        assert not relay_runs(bed, router)


def test_4_1_4_2_a_packet_too_big_is_answered_and_one_that_fits_passes(bed: Bed) -> None:
    pair(bed, 5437)
    with bed.udp("server", SERVER, 7000) as server, bed.udp("a", HOST, 7000) as host:
        server.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER: always
        server.sendto(bytes(1460 - 48), (_text(HOST), 7000))
        assert len(host.recv(2000)) == 1460 - 48
        refused = 0
        for _ in range(50):
            try:
                server.sendto(bytes(1500 - 48), (_text(HOST), 7000))
            except OSError as error:
                refused = error.errno or 0
                break
            time.sleep(0.02)
        assert refused == errno.EMSGSIZE


def test_a_router_whose_relay_died_says_so_and_begins_anew(bed: Bed) -> None:
    anchor, _ = pair(bed)
    relays = subprocess.run(
        ["pgrep", "-f", "ipv4_relay.py sojourn4 192.0.2.1 "], capture_output=True, text=True, check=True
    )
    for number in relays.stdout.split():
        os.kill(int(number), signal.SIGKILL)
    time.sleep(0.1)
    with pytest.raises(OSError, match="relay"):
        anchor.apply(EnsureTransport(AR2, AR2_4, 0))
    bed.crash(anchor)
    anchor = plane(bed, "ar1")
    anchor.apply(EnsureTransport(AR2, AR2_4, 0))
    anchor.apply(EnsureTransport(AR2, AR2_4, 0))
    bed.serve_away(anchor, bed.planes[0])
    assert both_ways(bed) == (True, True)


def _text(one: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6, one)


@pytest.mark.parametrize("tos", [0, 1, 2, 3])
def test_4_1_4_2_congestion_marks_survive(tos: int) -> None:
    """RFC 6040 4.2: a packet that cannot be marked is dropped; the checksum of IPv4 stays right."""
    header = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, tos | 0xB8, 28, 7, 0, 64, 17, 0, AR1_4[12:], AR2_4[12:]))
    header[10:12] = struct.pack("!H", _checksum(bytes(header)))
    marked = congested(bytes(header) + bytes(8))
    if not tos:
        assert marked == b""
        return
    assert marked[1] == 0xBB
    assert _checksum(marked[:20]) == 0
    six = congested(struct.pack("!IHBB", 6 << 28 | (tos | 0xB8) << 20 | 5, 0, 59, 64) + HOST + SERVER)
    assert struct.unpack("!I", six[:4])[0] == 6 << 28 | 0xBB << 20 | 5


def _checksum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
