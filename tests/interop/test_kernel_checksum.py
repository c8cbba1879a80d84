"""The Linux kernel as an oracle: a raw socket of protocol 135 fills and verifies the checksum by itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

import pytest
from pyroute2 import IPRoute

from sojourn import wire
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.addresses import address
from support.access_router import reachable, until
from support.wire_messages import random_message

pytestmark = [pytest.mark.lab, pytest.mark.interop]

SOURCE, DESTINATION = "2001:db8:1::1", "2001:db8:2::2"


@pytest.fixture(autouse=True)
def _inside_the_sandbox() -> None:
    if not os.environ.get("SOJOURN_SANDBOX"):
        pytest.fail("run inside the sandbox: make test")


@contextmanager
def raw_socket(own: str) -> Iterator[socket.socket]:
    """A socket for Mobility Headers, bound to one of our addresses."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, wire.MOBILITY_HEADER) as raw:
        raw.bind((own, 0))
        raw.settimeout(5)
        yield raw


@pytest.fixture
def two_addresses() -> Iterator[None]:
    """A namespace whose loopback has both addresses; sockets of the test open there."""
    namespace = NetworkNamespace("checksum")
    try:
        with namespace.entered(), IPRoute() as route:
            for own in (SOURCE, DESTINATION):
                route.addr("add", index=1, address=own, prefixlen=128)
        for own in (SOURCE, DESTINATION):  # the kernel answers before it delivers to a new address
            until(partial(reachable, namespace, address(own)))
        with namespace.entered():
            yield
    finally:
        namespace.close()


@pytest.mark.usefixtures("two_addresses")
def test_the_kernel_fills_what_seal_fills() -> None:
    rng = Random(135)
    with raw_socket(SOURCE) as sender, raw_socket(DESTINATION) as receiver:
        for _ in range(200):
            octets = wire.encode(random_message(rng))
            sender.sendto(octets, (DESTINATION, 0))
            received = receiver.recv(4096)
            assert received == wire.seal(octets, address(SOURCE), address(DESTINATION))
            assert wire.verify(received, address(SOURCE), address(DESTINATION))


@pytest.mark.usefixtures("two_addresses")
def test_the_kernel_takes_our_checksum_and_drops_a_wrong_one() -> None:
    rng = Random(136)
    with raw_socket(SOURCE) as sender, raw_socket(DESTINATION) as receiver:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, -1)  # send what we computed
        for _ in range(50):
            sealed = wire.seal(wire.encode(random_message(rng)), address(SOURCE), address(DESTINATION))
            wrong = bytearray(sealed)
            wrong[-1] ^= 1
            sender.sendto(wrong, (DESTINATION, 0))
            sender.sendto(sealed, (DESTINATION, 0))
            assert receiver.recv(4096) == sealed
