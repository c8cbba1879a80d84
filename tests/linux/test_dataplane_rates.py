"""Rates of nodes (RFC 7222): what comes faster is dropped, to the node and from it, and nobody else's."""

from __future__ import annotations

import subprocess

import pytest

from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureRate, EnsureUplink, WithdrawRate
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.wire.addresses import Address, prefix, text
from support.dataplane_bed import HOME, HOST, HOST_B, OTHER, SERVER, Bed

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables]
BED = Bed

SENT = 40
SLOW = 80_000
"""Ten packets of a kilobyte a second, and as many at once."""


def limited(bed: Bed) -> LinuxDataplane:
    plane = bed.plane("ar1", rates=True)
    bed.serve_home(plane)
    plane.apply(EnsureDelivery(2, "acc0", bed.mac("b", "ar1")))
    plane.apply(EnsurePrefix(OTHER, 2))
    plane.apply(EnsureUplink(OTHER, None))
    bed.leave_through("b", "ar1")
    return plane


def arrived(bed: Bed, source: tuple[str, Address], target: tuple[str, Address]) -> int:
    """How many of a burst of kilobytes."""
    with bed.udp(*source) as sender, bed.udp(*target, 7) as receiver:
        receiver.settimeout(0.2)
        found = 0
        for _ in range(SENT):
            sender.sendto(bytes(1000), (text(target[1]), 7))
        try:
            while True:
                receiver.recv(2000)
                found += 1
        except TimeoutError:
            return found


A, B, FAR = ("a", HOST), ("b", HOST_B), ("server", SERVER)


def test_a_node_gets_and_sends_what_was_agreed_on_and_others_all(bed: Bed) -> None:
    plane = limited(bed)
    plane.apply(EnsureRate(HOME, SLOW, 0))
    assert 3 <= arrived(bed, FAR, A) <= 25
    assert arrived(bed, A, FAR) == SENT
    plane.apply(EnsureRate(HOME, 0, SLOW))
    assert arrived(bed, FAR, A) == SENT
    assert 3 <= arrived(bed, A, FAR) <= 25
    assert (arrived(bed, FAR, B), arrived(bed, B, FAR)) == (SENT, SENT)
    plane.apply(WithdrawRate(HOME))
    assert (arrived(bed, FAR, A), arrived(bed, A, FAR)) == (SENT, SENT)


def test_what_leaves_through_a_tunnel_has_a_rate_too(bed: Bed) -> None:
    plane, serving = bed.plane("ar1"), bed.plane("ar2", rates=True)
    bed.serve_away(plane, serving)
    bed.leave_through("a", "ar2")
    assert arrived(bed, A, FAR) == SENT
    serving.apply(EnsureRate(HOME, SLOW, SLOW))
    assert 3 <= arrived(bed, A, FAR) <= 25
    assert 3 <= arrived(bed, FAR, A) <= 25


def test_rates_of_an_earlier_life_end(bed: Bed) -> None:
    plane = limited(bed)
    plane.apply(EnsureRate(HOME, SLOW, SLOW))
    bed.crash(plane)
    successor = bed.plane("ar1", rates=True)
    bed.serve_home(successor)
    assert (arrived(bed, FAR, A), arrived(bed, A, FAR)) == (SENT, SENT)


def test_nft_can_read_the_rates(bed: Bed) -> None:
    plane = limited(bed)
    plane.apply(EnsureRate(HOME, SLOW, 2 * SLOW))
    with bed.namespaces["ar1"].entered():
        listing = subprocess.run(("nft", "list", "ruleset"), capture_output=True, text=True, check=True).stdout
    assert "limit rate over 10000 bytes/second" in listing
    assert "limit rate over 20000 bytes/second" in listing


def test_what_cannot_have_a_rate_is_refused(bed: Bed) -> None:
    plane = limited(bed)
    with pytest.raises(OSError, match="only /64"):
        plane.apply(EnsureRate(prefix("2001:db8:a100::/56"), SLOW, SLOW))
    with pytest.raises(OSError, match="not set up to limit rates"):
        bed.plane("ar2").apply(EnsureRate(HOME, SLOW, SLOW))
