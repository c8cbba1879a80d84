"""RFC 6275 section 11: the mobile node, among real engines of home agent and correspondent node (`support.mip6`)."""

from __future__ import annotations

from support.mip6 import Roaming
from support.mip6_messages import COA, COA2, HOA


def test_smoke() -> None:
    net = Roaming()
    net.attach("f1")
    assert net.bound() == COA
    assert net.uplink() == net.downlink() == "tunnel"
    net.run(2 * 10**9)
    assert net.uplink() == net.downlink() == "direct"
    net.roam("f2")
    assert net.bound() == COA2
    assert net.uplink() == net.downlink() == "direct"
    net.roam("home")
    assert net.bound() is None
    assert net.to_home(HOA) == net.from_home() == "home"
