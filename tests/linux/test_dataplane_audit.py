"""What somebody else changes in the kernel is found with its place, and put right: IPv4, handover queues, the home link
of a home agent, direct ways. (Routes, rules and the filter of IPv6: `test_dataplane_life`; multicast:
`test_dataplane_multicast`.)
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsurePrefix,
    EnsureQueue,
    EnsureTunnel,
    EnsureUplink,
    WithdrawQueue,
)
from sojourn.core.mobile_effects import EnsureCareOfRoute, EnsureProxyNeighbour, EnsureRouteOptimisation
from sojourn.dataplane import audit
from sojourn.dataplane.audit import Audited
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.netlink import Netlink
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.addresses import prefix, text
from support.dataplane_bed import AR2, HOME, Bed
from support.mobile_bed import CARE_OF, CORRESPONDENT, MobileBed
from support.mobile_bed import HOME as HOME_ADDRESS

pytestmark = pytest.mark.lab
BED = Bed


@pytest.fixture
def mobile() -> Iterator[MobileBed]:
    bed = MobileBed()
    yield bed
    bed.close()


class Examined:
    """A data plane in its namespace."""

    def __init__(self, namespace: NetworkNamespace, plane: Audited) -> None:
        self.namespace = namespace
        self.plane = plane

    def findings(self) -> list[audit.Finding]:
        with self.namespace.entered():
            netlink = Netlink()
        try:
            return audit.differences(self.plane, self.plane.held(netlink))
        finally:
            netlink.close()

    def wrong(self) -> set[tuple[str, str]]:
        return {(one.what, one.place) for one in self.findings()}

    def run(self, command: str) -> str:
        words = command.split(maxsplit=1) if command.startswith("nft ") else command.split()
        with self.namespace.entered():
            return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def finds_and_repairs(self, command: str, *expected: tuple[str, str]) -> None:
        """It was sound; the command does that harm, and repair undoes it."""
        assert self.wrong() == set()
        self.run(command)
        assert self.wrong() == set(expected), command
        with self.namespace.entered():
            audit.repair(self.plane, self.findings())
        assert self.wrong() == set(), command


# --- IPv4 -----------------------------------------------------------------------------------------------------------

HERE, FAR, FOREIGN = (prefix(f"::ffff:10.1.0.{number}/128") for number in (5, 6, 7))


@pytest.fixture
def ipv4(bed: Bed) -> Examined:
    """An address that is used here, one whose node is elsewhere, and one of another anchor."""
    plane = bed.plane("ar1", ipv4=True, ipv4_pool=prefix("::ffff:10.1.0.0/112"))
    with bed.namespaces["ar1"].entered():
        plane.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
        plane.apply(EnsureTunnel(2, AR2))
        for address, slot in ((HERE, 1), (FAR, 2), (FOREIGN, 1)):
            plane.apply(EnsurePrefix(address, slot))
        plane.apply(EnsureUplink(HERE, None))
        plane.apply(EnsureUplink(FOREIGN, AR2))
        plane.apply(EnsureCounter(FAR))
        plane.finish()
    return Examined(bed.namespaces["ar1"], plane)


def mark_of(ipv4: Examined) -> str:
    """One of the sets that say which tunnel the address of another anchor takes."""
    listed = ipv4.run("nft list table ip sojourn")
    sets = [part for part in listed.split("set ")[1:] if part.startswith("mark") and "10.1.0.7" in part]
    return sets[0].split()[0]


@pytest.mark.parametrize(
    ("command", "what", "place"),
    [
        ("nft delete element ip sojourn known { 10.1.0.5 }", "missing", "filter"),
        ("nft add element ip sojourn known { 10.1.0.9 }", "left behind", "filter"),
        ("nft delete element ip sojourn far { 10.1.0.6 }", "missing", "filter"),
        ("nft delete element ip sojourn MARK { 10.1.0.7 }", "missing", "filter"),
        ("nft delete table ip sojourn", "missing", "filter"),
        ("nft flush chain ip sojourn prerouting", "changed", "filter"),
        ("ip route del 10.1.0.5/32 table 54", "missing", "serving router's route"),
        ("ip route del 10.1.0.6/32 table 54", "missing", "anchor's route"),
        ("ip rule del pref 110", "missing", "rules"),
        ("ip route add 10.1.0.77/32 dev sojourn0 proto 140 table 54", "left behind", "anchor's route"),
        ("nft delete element ip6 sojourn peers { 2001:db8:a2::1 }", "missing", "filter"),
    ],
)
def test_what_is_wrong_with_ipv4_is_named_and_put_right(ipv4: Examined, command: str, what: str, place: str) -> None:
    ipv4.finds_and_repairs(command.replace("MARK", mark_of(ipv4)), (what, place))


# --- handover queues --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leads", ["nowhere", "to the node", "to the router"])
def test_every_object_of_a_handover_queue_is_known_and_missed(bed: Bed, leads: str) -> None:
    with bed.namespaces["ar1"].entered():
        plane = LinuxDataplane(bed.settings("ar1", handovers=2, neighbours=(AR2,)))
        bed.planes.append(plane)
        plane.begin()
        mac = bed.mac("a", "ar1")
        for forwarded in (False, True):
            plane.apply(EnsureQueue(1, forwarded))
        plane.apply(EnsurePrefix(HOME, 1))
        for forwarded in (False, True):
            if leads == "to the node":
                plane.apply(EnsureFlowToNode(1, forwarded, "acc0", mac))
            elif leads == "to the router":
                plane.apply(EnsureFlowToRouter(1, forwarded, AR2))
        plane.finish()
        queues = Examined(bed.namespaces["ar1"], plane)
        assert queues.findings() == []
        of_queues = [thing for thing in plane.objects() if plane.place_of(thing)[0] == audit.QUEUE]
        assert len(of_queues) >= (3 if leads == "nowhere" else 9)
        for thing in of_queues:
            plane.remove([thing])
            found = queues.findings()
            assert (audit.MISSING, audit.QUEUE) in {(one.what, one.place) for one in found}, thing
            audit.repair(plane, found)
            assert queues.findings() == [], thing
        plane.apply(WithdrawQueue(1))
        plane.apply(EnsureDelivery(1, "acc0", mac))
        assert queues.findings() == [], "what a handover leaves for the next one is no fault"


# --- Mobile IPv6 ------------------------------------------------------------------------------------------------------


def test_where_a_home_agent_answers_for_nodes_is_looked_at(mobile: MobileBed) -> None:
    node, agent = mobile.mobile_node(), mobile.home_agent()
    mobile.register(node, agent)
    agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME_ADDRESS))
    home = Examined(mobile.namespaces["ha"], agent)
    lost = f"ip -6 neigh del proxy {text(HOME_ADDRESS)} dev lan0"
    home.finds_and_repairs(lost, ("missing", "home link"))
    stale = "ip -6 neigh add proxy 2001:db8:b00::77 dev lan0 protocol 140"
    home.finds_and_repairs(stale, ("left behind", "home link"))
    assert "2001:db8:b00::77" not in home.run("ip -6 neigh show proxy")


def test_the_direct_way_of_a_mobile_node_is_looked_at(mobile: MobileBed) -> None:
    node, agent = mobile.mobile_node(), mobile.home_agent()
    if not node.optimised:
        pytest.skip(node.refusal)
    mobile.register(node, agent)
    with mobile.namespaces["mn"].entered():
        node.apply_mobile(EnsureRouteOptimisation(HOME_ADDRESS, CORRESPONDENT, CARE_OF))
    examined = Examined(mobile.namespaces["mn"], node)
    if node.optimised == "xfrm":
        examined.finds_and_repairs("ip xfrm policy flush", ("missing", "direct way"))
        return
    way = f"ip -6 route del {text(CORRESPONDENT)} from {text(HOME_ADDRESS)} table 54"
    examined.finds_and_repairs(way, ("missing", "direct way"))
    examined.finds_and_repairs("tc filter del dev wlan0 ingress", ("missing", "direct way"))
    examined.finds_and_repairs("tc qdisc del dev wlan0 clsact", ("missing", "direct way"))


def test_the_direct_way_of_a_correspondent_node_is_looked_at(mobile: MobileBed) -> None:
    correspondent = mobile.correspondent()
    if not correspondent.optimised:
        pytest.skip(correspondent.refusal)
    with mobile.namespaces["cn"].entered():
        correspondent.apply_mobile(EnsureCareOfRoute(HOME_ADDRESS, CARE_OF))
    examined = Examined(mobile.namespaces["cn"], correspondent)
    if correspondent.optimised == "xfrm":
        examined.finds_and_repairs("ip xfrm state flush", ("missing", "direct way"))
        return
    examined.finds_and_repairs(f"ip -6 route del {text(HOME_ADDRESS)} table 51", ("missing", "direct way"))
    examined.finds_and_repairs("ip -6 rule del pref 110", ("missing", "rules"))
    examined.finds_and_repairs("tc filter del dev eth0 egress", ("missing", "direct way"))
