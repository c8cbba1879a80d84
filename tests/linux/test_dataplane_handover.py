"""Moving a node: nothing is lost while a slot is replaced, and packets wait while the node is nowhere.

Loss is a matter of sequence numbers; each test compares with what the same stream loses without a move.
"""

from __future__ import annotations

import time

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel, EnsureUplink, WithdrawSlot
from sojourn.dataplane.linux import LinuxDataplane
from support.dataplane_bed import AR2, HOME, HOST, SERVER, Bed, Stream, arrives

pytestmark = pytest.mark.lab
BED = Bed


def test_replacing_the_way_of_a_slot_loses_nothing(bed: Bed) -> None:
    """400 moves between tunnel and access link; both ways lead to the host."""
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    stream = Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST)
    here = EnsureDelivery(1, "acc0", bed.mac("a", "ar1"))
    with stream.running():
        for _ in range(200):
            anchor.apply(here)
            time.sleep(0.001)
            anchor.apply(EnsureTunnel(1, AR2))
            time.sleep(0.001)
    assert stream.sent > 100
    assert (stream.lost, stream.repeated) == (0, 0)


def test_replacing_an_uplink_loses_nothing(bed: Bed) -> None:
    """200 changes between the tunnel to the anchor and the plain way."""
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    stream = Stream(bed.udp("a", HOST), bed.udp("server", SERVER, 7), SERVER)
    with stream.running():
        for _ in range(100):
            serving.apply(EnsureUplink(HOME, None))
            time.sleep(0.001)
            serving.apply(EnsureUplink(HOME, bed.settings("ar2").peers[0]))
            time.sleep(0.001)
    assert stream.sent > 100
    assert (stream.lost, stream.repeated) == (0, 0)


def outage(bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane, hold: bool) -> Stream:
    """The host is nowhere for 60 ms, then at ar2."""
    bed.serve_home(anchor)
    access = bed.ends["ar1", "pa"].index
    stream = Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST)
    with stream.running():
        if hold:
            anchor.apply(EnsureHold(1))
        bed.netlink("ar1").set_link(access, up=False)
        time.sleep(0.06)
        bed.serve_away(anchor, serving)
    return stream


def test_held_packets_arrive_after_an_outage(bed: Bed) -> None:
    """60 ms at 1000 packets a second: at most 2 are lost, where some 60 are without."""
    stream = outage(bed, bed.plane("ar1"), bed.plane("ar2"), hold=True)
    assert stream.lost <= 2
    assert stream.repeated == 0


def test_the_same_outage_without_a_hold_loses_packets(bed: Bed) -> None:
    """The control: the test above can fail."""
    assert outage(bed, bed.plane("ar1"), bed.plane("ar2"), hold=False).lost > 10


def test_held_packets_reach_a_node_that_returns(bed: Bed) -> None:
    anchor = bed.plane("ar1")
    bed.serve_home(anchor)
    stream = Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST)
    with stream.running():
        anchor.apply(EnsureHold(1))
        anchor.apply(EnsureHold(1))
        time.sleep(0.03)
        anchor.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
        time.sleep(0.03)
        anchor.apply(EnsureHold(1))  # again, at once: what was opened for the release is closed first
        time.sleep(0.03)
        anchor.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
    assert (stream.lost, stream.repeated) == (0, 0)


def test_held_packets_of_a_withdrawn_slot_are_forgotten(bed: Bed) -> None:
    """They do not come out later, in the hands of whoever gets the slot next."""
    anchor = bed.plane("ar1")
    bed.serve_home(anchor)
    with bed.udp("server", SERVER) as server, bed.udp("a", HOST, 7) as host:
        anchor.apply(EnsureHold(1))
        assert not arrives(server, host, HOST, 0.05)
        anchor.apply(WithdrawSlot(1))
        bed.serve_home(anchor)
        host.settimeout(0.2)
        with pytest.raises(TimeoutError):
            host.recv(100)
        assert arrives(server, host, HOST)


def test_nothing_stays_open_after_a_release(bed: Bed) -> None:
    anchor = bed.plane("ar1")
    bed.serve_home(anchor)
    anchor.apply(EnsureHold(1))
    anchor.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
    time.sleep(0.25)
    anchor.count()
    from sojourn.lab.kernel_state import KernelState

    ours = [line for line in KernelState.of(bed.namespaces["ar1"]).lines if "sojourn0" in line and "neighbour" in line]
    assert len(ours) <= 1  # the way round for packets too big
