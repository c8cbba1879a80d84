"""Several tunnels at a time on a real kernel (RFC 8278): ar1 is the LMA, ar2 a MAG with two addresses in the core."""

from __future__ import annotations

import pytest

from sojourn.core.effects import (
    EnsureDelivery,
    EnsurePaths,
    EnsurePrefix,
    EnsureSpread,
    EnsureTunnel,
    EnsureUplink,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawUplink,
)
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import Address, address
from support.dataplane_bed import AR1, AR2, HOME, HOST, SERVER, Bed, arrives, captured

pytestmark = pytest.mark.lab
BED = Bed

AR2B = address("2001:db8:a2::2")
FLOWS = 24


@pytest.fixture
def ends(bed: Bed) -> tuple[LinuxDataplane, LinuxDataplane]:
    """The data planes of LMA and MAG; the host is at the MAG."""
    index = bed.ends["core", "ar2"].index
    bed.netlink("core").add_route(AR2B, 128, AR2, index)
    settings = {"access": (), "link_layer": None, "link_local": None, "peers": (AR2, AR2B)}
    with bed.namespaces["ar1"].entered():
        anchor = LinuxDataplane(bed.settings("ar1", **settings))
        bed.planes.append(anchor)
        anchor.begin()
    gateway = bed.plane("ar2", pool=None, local_routing=False, path_addresses=(AR2B,))
    anchor.apply(EnsureTunnel(1, AR2))
    anchor.apply(EnsurePrefix(HOME, 1))
    gateway.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar2")))
    gateway.apply(EnsurePrefix(HOME, 1))
    gateway.apply(EnsureUplink(HOME, AR1))
    bed.leave_through("a", "ar2")
    return anchor, gateway


def tunnels(bed: Bed, *, down: bool) -> tuple[set[Address], int]:
    """The MAG's ends of the tunnels that flows of one direction take, and how many flows arrive."""
    arrived = 0
    with bed.wire("core", "ar2") as wire:
        for _ in range(FLOWS):
            with bed.udp("a", HOST) as host, bed.udp("server", SERVER) as server:
                source, target, to = (server, host, HOST) if down else (host, server, SERVER)
                arrived += all(arrives(source, target, to) for _ in range(2))
        packets = [packet for packet in captured(wire) if packet[6] == 41]
    field = slice(24, 40) if down else slice(8, 24)
    peer = slice(8, 24) if down else slice(24, 40)
    return {packet[field] for packet in packets if packet[peer] == AR1}, arrived


def test_flows_to_a_node_are_spread_over_all_tunnels(bed: Bed, ends: tuple[LinuxDataplane, LinuxDataplane]) -> None:
    anchor, _ = ends
    assert tunnels(bed, down=True) == ({AR2}, FLOWS)
    anchor.apply(EnsurePaths(1, (AR2, AR2B)))
    assert tunnels(bed, down=True) == ({AR2, AR2B}, FLOWS)
    anchor.apply(EnsurePaths(1, (AR2B,)))
    assert tunnels(bed, down=True) == ({AR2B}, FLOWS)
    anchor.apply(EnsureTunnel(1, AR2))
    assert tunnels(bed, down=True) == ({AR2}, FLOWS)


def test_flows_from_a_node_are_spread_over_all_addresses(bed: Bed, ends: tuple[LinuxDataplane, LinuxDataplane]) -> None:
    _, gateway = ends
    assert tunnels(bed, down=False) == ({AR2}, FLOWS)
    gateway.apply(EnsureSpread(HOME, (AR2, AR2B)))
    assert tunnels(bed, down=False) == ({AR2, AR2B}, FLOWS)
    gateway.apply(WithdrawSpread(HOME))
    assert tunnels(bed, down=False) == ({AR2}, FLOWS)


def test_a_flow_stays_in_its_tunnel(bed: Bed, ends: tuple[LinuxDataplane, LinuxDataplane]) -> None:
    anchor, _ = ends
    anchor.apply(EnsurePaths(1, (AR2, AR2B)))
    for _ in range(4):
        with bed.udp("a", HOST) as host, bed.udp("server", SERVER) as server, bed.wire("core", "ar2") as wire:
            assert all(arrives(server, host, HOST) for _ in range(8))
            assert len({packet[24:40] for packet in captured(wire) if packet[6] == 41}) == 1


def _state(bed: Bed, router: str) -> set[str]:
    lines = KernelState.of(bed.namespaces[router]).lines
    return {line for line in lines if not line.startswith(("station ", "neighbour "))}


def test_a_later_life_takes_over_and_the_last_one_leaves_nothing(
    bed: Bed, ends: tuple[LinuxDataplane, LinuxDataplane]
) -> None:
    anchor, gateway = ends
    anchor.apply(EnsurePaths(1, (AR2, AR2B)))
    gateway.apply(EnsureSpread(HOME, (AR2, AR2B)))
    for router, plane, settings in (
        ("ar1", anchor, {"access": (), "link_layer": None, "link_local": None, "peers": (AR2, AR2B)}),
        ("ar2", gateway, {"pool": None, "local_routing": False, "path_addresses": (AR2B,)}),
    ):
        before = _state(bed, router)
        effects = list(plane.state.effects())
        bed.crash(plane)
        with bed.namespaces[router].entered():
            again = LinuxDataplane(bed.settings(router, **settings))
            bed.planes.append(again)
            again.begin()
            for effect in effects:
                again.apply(effect)
            assert again.finish() == []
        assert _state(bed, router) == before
        with bed.namespaces[router].entered():
            again.close()
        found = _state(bed, router)
        assert not [line for line in found if "sojourn" in line or "nexthop" in line or "table 5" in line]


def test_nothing_is_left_of_a_slot(bed: Bed, ends: tuple[LinuxDataplane, LinuxDataplane]) -> None:
    anchor, gateway = ends
    anchor.apply(EnsurePaths(1, (AR2, AR2B)))
    gateway.apply(EnsureSpread(HOME, (AR2, AR2B)))
    for effect in (WithdrawPrefix(HOME), WithdrawSlot(1)):
        anchor.apply(effect)
    for effect in (WithdrawUplink(HOME), WithdrawSpread(HOME), WithdrawPrefix(HOME), WithdrawSlot(1)):
        gateway.apply(effect)
    assert anchor.state.slots == gateway.state.slots == {}
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert not arrives(server, host, HOST, wait=0.3)


def test_an_address_that_is_not_ours_begins_no_tunnel(ends: tuple[LinuxDataplane, LinuxDataplane]) -> None:
    anchor, gateway = ends
    with pytest.raises(OSError, match="not an address that tunnels begin at"):
        gateway.apply(EnsureSpread(HOME, (AR2, AR1)))
    with pytest.raises(OSError, match="not a configured peer"):
        anchor.apply(EnsurePaths(1, (AR2, AR1)))
    assert isinstance(anchor.state.slots[1], EnsureTunnel)
