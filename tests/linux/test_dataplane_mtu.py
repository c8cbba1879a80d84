"""MTU is never a black hole: a core of 1500 octets carries tunnels of 1460 (dataplane.md 1.3)."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from sojourn.core.effects import EnsureCounter
from sojourn.wire.addresses import text
from support.dataplane_bed import COUNTERS, HOME, HOST, ICMPV6, SERVER, Bed, arrives, captured, udp_packet

pytestmark = pytest.mark.lab

PACKET_TOO_BIG = 2


@pytest.fixture
def bed() -> Iterator[Bed]:
    """Host a is at ar2, its prefix at ar1."""
    bed = Bed()
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    anchor.apply(EnsureCounter(HOME))
    yield bed
    bed.close()


def too_big(errors: socket.socket) -> list[int]:
    """The MTUs in the Packet Too Big messages that came."""
    messages = [message for message in captured(errors) if message[0] == PACKET_TOO_BIG]
    return [struct.unpack_from("!I", message, 4)[0] for message in messages]


@pytest.mark.parametrize(
    ("sender", "source", "destination"), [("server", SERVER, HOST), ("a", HOST, SERVER)], ids=["downlink", "uplink"]
)
def test_a_datagram_too_big_for_the_tunnel_is_answered(
    bed: Bed, sender: str, source: bytes, destination: bytes
) -> None:
    """RFC 8200 5, RFC 4443 3.2: the number is what fits, 1500 - 40."""
    with bed.raw(sender, ICMPV6) as errors, bed.raw(sender, socket.IPPROTO_RAW) as raw:
        errors.settimeout(0.3)
        raw.sendto(udp_packet(source, destination, 7, bytes(1500 - 48)), (text(destination), 0))
        assert too_big(errors) == [1460]
        raw.sendto(udp_packet(source, destination, 7, bytes(1461 - 48)), (text(destination), 0))
        assert too_big(errors) == [1460]


def test_the_biggest_that_fits_arrives(bed: Bed) -> None:
    with bed.raw("server", socket.IPPROTO_RAW) as raw, bed.udp("a", HOST, 7) as host:
        raw.sendto(udp_packet(SERVER, HOST, 7, bytes(1460 - 48)), (text(HOST), 0))
        assert len(host.recv(2000)) == 1460 - 48


def test_big_datagrams_arrive_in_fragments_once_the_sender_knows(bed: Bed) -> None:
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        big = bytes(range(256)) * 12
        for _ in range(3):
            server.sendto(big, (text(HOST), 7))
        assert host.recv(4000) == big
        assert arrives(server, host, HOST)


def test_without_a_tunnel_nothing_is_too_big(bed: Bed) -> None:
    from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureUplink
    from support.dataplane_bed import HOST_NEW, NEW

    serving = bed.planes[1]
    serving.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar2")))
    serving.apply(EnsurePrefix(NEW, 1))
    serving.apply(EnsureUplink(NEW, None))
    payload = bytes(1500 - 48)
    for sender, source, receiver, destination in (
        ("server", SERVER, "a", HOST_NEW),
        ("a", HOST_NEW, "server", SERVER),
    ):
        with bed.raw(sender, socket.IPPROTO_RAW) as raw, bed.udp(receiver, destination, 7) as udp:
            raw.sendto(udp_packet(source, destination, 7, payload), (text(destination), 0))
            assert udp.recv(2000) == payload


@pytest.mark.parametrize("downlink", [True, False], ids=["download", "upload"])
def test_tcp_works_for_a_host_that_ignores_the_advertised_mtu(bed: Bed, downlink: bool) -> None:
    """The host's interface has 1500 octets; both ends are told smaller segments (RFC 9293 3.7.1), or, where packets are
    not filtered, are answered when one is too big."""
    data = bytes(range(256)) * 8192  # 2 MiB
    with bed.namespaces["server"].entered():
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with bed.namespaces["a"].entered():
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener, client:
        listener.bind((text(SERVER), 80))
        listener.listen()
        client.bind((text(HOST), 0))
        client.settimeout(10)
        client.connect((text(SERVER), 80))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(10)
            for end in (client, accepted) if COUNTERS else ():
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1400
            sender, receiver = (accepted, client) if downlink else (client, accepted)
            thread = threading.Thread(target=lambda: (sender.sendall(data), sender.shutdown(socket.SHUT_WR)))
            thread.start()
            digest, size = hashlib.sha256(), 0
            while chunk := receiver.recv(1 << 16):
                digest.update(chunk)
                size += len(chunk)
            thread.join()
    assert size == len(data)
    assert digest.digest() == hashlib.sha256(data).digest()


def test_segments_are_not_clamped_below_what_the_ends_want(bed: Bed) -> None:
    """A connection that never comes near the pool keeps its 1440 octets."""
    with bed.namespaces["server"].entered():
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with bed.namespaces["ar1"].entered():
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener, client:
        listener.bind((text(SERVER), 80))
        listener.listen()
        client.connect((text(SERVER), 80))
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 1400
