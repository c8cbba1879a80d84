"""Another configuration takes up what the one before it left, as a reload and a restart do: afterwards the kernel holds
what it would hold if there had been no other, and an orderly stop gives back what was there before all of them.
"""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any

import pytest

from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureTunnel, EnsureUplink
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.settings import LinuxSettings
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import address, link_layer, prefix
from support.dataplane_bed import AR2, OTHER, STRANGER, Bed

pytestmark = pytest.mark.lab
BED = Bed

RESTART = {"address", "access", "backend", "loop", "tables", "priorities", "nexthops", "tunnels", "transport_device"}
"""Where forwarding is: a daemon refuses to change these while it runs (`sojourn.daemon.reloading`)."""
TRANSPORT = {"transport", "transport_peers"}
"""Likewise, as the relay process is of one address with these peers."""
OTHERS: dict[str, dict[str, Any]] = {
    "pool": {"pool": prefix("2001:db8:a900::/48")},
    "peers": {"peers": (AR2, address("2001:db8:a3::1"))},
    "buffer": {"buffer": False},
    "mtu": {"mtu": 1400},
    "prefix_length": {"prefix_length": 60},
    "delegated_length": {"delegated_length": 60},
    "ipv4": {"ipv4": True},
    "ipv4_pool": {"ipv4": True, "ipv4_pool": prefix("::ffff:10.1.0.0/112"), "drop_unassigned": True},
    "counters": {"counters": False},
    "other_addresses": {"other_addresses": (address("2001:db8:a1::5"),)},
    "path_addresses": {"path_addresses": (address("2001:db8:a1::6"),)},
    "other_pools": {"other_pools": (prefix("2001:db8:a901::/48"),)},
    "drop_unassigned": {"drop_unassigned": True},
    "local_routing": {"local_routing": False},
    "drop_strays": {"drop_strays": True},
    "rates": {"rates": True},
    "link_layer": {"link_layer": link_layer("02:00:5e:00:52:99")},
    "link_local": {"link_local": address("fe80::99")},
    "upstream": {"upstream": "core"},
    "mark": {"mark": 0x00880000},
    "mark_mask": {"mark": 0x000C0000, "mark_mask": 0x000F0000},
    "hold_octets": {"hold_octets": 1 << 18},
    "hold_seconds": {"hold_seconds": 3},
    "handovers": {"handovers": 2, "neighbours": (AR2,)},
    "handover_packets": {"handovers": 2, "neighbours": (AR2,), "handover_packets": 100},
    "announced": {"announced": (prefix("2001:db8:a100::/48"),), "announced_metric": 7},
    "announced_metric": {"announced": (prefix("2001:db8:a100::/48"),), "announced_metric": 9},
    "neighbours": {"handovers": 2, "neighbours": (AR2, STRANGER)},
}
PATIENCE = 5.0


def test_every_setting_is_of_one_kind() -> None:
    """So that a new one is not forgotten."""
    assert {field.name for field in fields(LinuxSettings)} == OTHERS.keys() | RESTART | TRANSPORT


def _life(bed: Bed, settings: LinuxSettings) -> LinuxDataplane:
    """A data plane that serves a host and tunnels to another router."""
    with bed.namespaces["ar1"].entered():
        plane = LinuxDataplane(settings)
        plane.begin()
        own = prefix("2001:db8:a100:1::/64") if settings.prefix_length == 64 else prefix("2001:db8:a100:10::/60")
        plane.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
        plane.apply(EnsurePrefix(own, 1))
        plane.apply(EnsureUplink(own, None))
        plane.apply(EnsureTunnel(2, AR2))
        plane.apply(EnsurePrefix(OTHER, 2))
        plane.finish()
    return plane


def _state(bed: Bed) -> set[str]:
    """Without what every life chooses anew, and what passing traffic makes the kernel learn."""
    lines = KernelState.of(bed.namespaces["ar1"]).lines
    return {
        line.rpartition(" ")[0] if line.startswith("link sojourn") else line
        for line in lines
        if not line.startswith(("station ", "neigh"))
    }


def _becomes(bed: Bed, wanted: set[str]) -> None:
    """The kernel takes up an address in a moment of its own."""
    deadline = time.monotonic() + PATIENCE
    while (now := _state(bed)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(now - wanted) == [], "left behind"
    assert sorted(wanted - now) == [], "missing"


@pytest.mark.parametrize("name", OTHERS)
def test_a_changed_setting_leaves_nothing_of_the_one_before(bed: Bed, name: str) -> None:
    usual = bed.settings("ar1")
    other = replace(usual, **OTHERS[name])
    if other == usual:  # the bed has it so
        usual = replace(usual, **{name: LinuxSettings.__dataclass_fields__[name].default})
    before = _state(bed)
    fresh = {}
    for settings in (usual, other):
        plane = _life(bed, settings)
        time.sleep(0.3)
        fresh[settings] = _state(bed)
        with bed.namespaces["ar1"].entered():
            plane.close()
        _becomes(bed, before)
    plane = _life(bed, usual)
    for settings in (other, usual):
        plane.leave()
        plane = _life(bed, settings)
        _becomes(bed, fresh[settings])
    with bed.namespaces["ar1"].entered():
        plane.close()
    _becomes(bed, before)
