"""Access links against the stock Linux host at their other end."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.core.effects import Advertise, AdvertisedPrefix, ProbeNode
from sojourn.core.events import Event, NodeSeen, Sighting
from sojourn.host import frames
from sojourn.host.access import NODE_BURST, AccessLink, AccessPort
from sojourn.lab.rtnetlink import End
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.icmpv6 import RouterSolicitation, encode_icmpv6, seal_icmpv6
from sojourn.wire.units import SECOND
from support.access_router import (
    BRIDGE,
    NODE,
    NODE_LINK_LOCAL,
    PORT,
    ROUTER,
    ROUTER_LINK_LOCAL,
    AccessRouter,
    access_router,
    events_until,
    until,
)

pytestmark = pytest.mark.lab

DEPRECATED = 0x20
CURRENT, OLD = prefix("2001:db8:1::/64"), prefix("2001:db8:2::/64")


@pytest.fixture
def network() -> Iterator[AccessRouter]:
    with access_router(dad=False) as made:
        yield made


@pytest.fixture
def access(network: AccessRouter) -> Iterator[AccessLink]:
    with network.router.entered():
        made = AccessLink(["acc0"])
    yield made
    made.close()


def _port(access: AccessLink) -> AccessPort:
    return access.ports["acc0"]


def _advertise(preferred: int, *others: AdvertisedPrefix, lifetime: int = 600) -> Advertise:
    prefixes = (AdvertisedPrefix(CURRENT, preferred * SECOND, 600 * SECOND), *others)
    route = prefix("2001:db8:9::/48")
    return Advertise("acc0", NODE, ROUTER_LINK_LOCAL, ROUTER, lifetime * SECOND, prefixes, (route,), 1460)


def _made_of(network: AccessRouter, wanted: Prefix) -> dict[bytes, int]:
    return {a: flags for a, flags in network.host_addresses().items() if wanted.covers(a)}


def test_a_host_that_comes_up_gives_itself_away_in_every_way(network: AccessRouter, access: AccessLink) -> None:
    network.host_up()
    events = events_until(_port(access), lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)
    assert {event.link_layer for event in events if isinstance(event, NodeSeen)} == {NODE}
    assert {_sighting(event) for event in events} >= {Sighting.MULTICAST_LISTENER, Sighting.ROUTER_SOLICITATION}
    assert events[-1] == NodeSeen("acc0", NODE, Sighting.ROUTER_SOLICITATION, NODE_LINK_LOCAL)


def _sighting(event: Event) -> Sighting | None:
    return event.sighting if isinstance(event, NodeSeen) else None


def test_an_advertised_prefix_becomes_an_address_and_deprecated_when_asked(
    network: AccessRouter, access: AccessLink
) -> None:
    network.host_up()
    events_until(_port(access), lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)
    access.apply(_advertise(300))
    until(lambda: len(_made_of(network, CURRENT)) == 1)
    assert not next(iter(_made_of(network, CURRENT).values())) & DEPRECATED
    access.apply(_advertise(0, AdvertisedPrefix(OLD, 300 * SECOND, 600 * SECOND)))
    until(lambda: len(_made_of(network, OLD)) == 1)
    until(lambda: bool(next(iter(_made_of(network, CURRENT).values())) & DEPRECATED))
    assert not next(iter(_made_of(network, OLD).values())) & DEPRECATED
    access.apply(_advertise(300))
    until(lambda: not next(iter(_made_of(network, CURRENT).values())) & DEPRECATED)
    assert network.host.call(Path("/proc/sys/net/ipv6/conf/eth0/mtu").read_text).strip() == "1460"


def test_6_9_5_the_mtu_of_a_link_that_is_smaller_than_the_tunnel_is_advertised(
    network: AccessRouter, access: AccessLink
) -> None:
    """RFC 5213 6.9.5: "if the MTU value of the access link ... is lower than the determined Path MTU value, then the
    MTU of the access link MUST be used in the MTU option"."""
    network.host_up()
    events_until(_port(access), lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)
    network.netlink.set_link(BRIDGE, mtu=1400)
    access.refresh("acc0")
    access.apply(_advertise(300))
    until(lambda: network.host.call(Path("/proc/sys/net/ipv6/conf/eth0/mtu").read_text).strip() == "1400")


def test_the_advertising_router_is_the_default_router_until_it_says_otherwise(
    network: AccessRouter, access: AccessLink
) -> None:
    network.host_up()
    events_until(_port(access), lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)

    def gateways() -> set[bytes]:
        lines = network.host.call(Path("/proc/thread-self/net/ipv6_route").read_text).splitlines()
        fields = [line.split() for line in lines]
        return {bytes.fromhex(f[4]) for f in fields if f[0] + f[1] == "0" * 32 + "00" and f[9] == "eth0"}

    access.apply(_advertise(300))
    until(lambda: gateways() == {ROUTER_LINK_LOCAL})
    access.apply(_advertise(300, lifetime=0))
    until(lambda: gateways() == set())


def test_a_probe_is_answered(network: AccessRouter, access: AccessLink) -> None:
    network.host_up()
    port = _port(access)
    events_until(port, lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)
    access.apply(ProbeNode("acc0", NODE, NODE_LINK_LOCAL))
    answer = events_until(port, lambda e: _sighting(e) is Sighting.NEIGHBOUR)[-1]
    assert answer == NodeSeen("acc0", NODE, Sighting.NEIGHBOUR, NODE_LINK_LOCAL)
    port.counters.clear()
    access.apply(ProbeNode("acc0", NODE, None))
    answer = events_until(port, lambda e: _sighting(e) is Sighting.MULTICAST_LISTENER)[-1]
    assert answer == NodeSeen("acc0", NODE, Sighting.MULTICAST_LISTENER, NODE_LINK_LOCAL)


def _solicitation(sender: bytes = NODE, hop_limit: int = 255) -> bytes:
    everybody = bytes.fromhex("ff020000000000000000000000000002")
    message = seal_icmpv6(encode_icmpv6(RouterSolicitation()), NODE_LINK_LOCAL, everybody)
    header = b"\x60\0\0\0" + len(message).to_bytes(2, "big") + bytes((58, hop_limit))
    return frames.ethernet(b"\x33\x33\0\0\0\2", sender, header + NODE_LINK_LOCAL + everybody + message)


@pytest.fixture
def quiet(network: AccessRouter, access: AccessLink) -> AccessPort:
    """A host that says only what the test makes it say."""
    network.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
    network.host_up()
    return _port(access)


def test_our_own_frames_and_those_of_a_router_like_us_are_not_heard(network: AccessRouter, quiet: AccessPort) -> None:
    quiet.send(_solicitation(sender=ROUTER))  # on its way out
    network.from_host(_solicitation(sender=ROUTER))
    network.from_host(_solicitation())
    assert events_until(quiet, lambda e: True) == [
        NodeSeen("acc0", NODE, Sighting.ROUTER_SOLICITATION, NODE_LINK_LOCAL)
    ]
    assert quiet.counters["heard"] <= 2


def test_only_signs_of_hosts_pass_the_filter(network: AccessRouter, quiet: AccessPort) -> None:
    solicitation = _solicitation()
    for change in ((20, 17), (54, 128), (54, 134), (20, 0), (12, 8)):
        frame = bytearray(solicitation)
        frame[change[0]] = change[1]
        network.from_host(bytes(frame))
    network.from_host(solicitation[:40])
    network.from_host(solicitation)
    assert len(events_until(quiet, lambda e: True)) == 1
    assert quiet.counters == {"heard": 1}


def test_a_malformed_sign_is_counted(network: AccessRouter, quiet: AccessPort) -> None:
    network.from_host(_solicitation(hop_limit=64))
    network.from_host(_solicitation())
    assert len(events_until(quiet, lambda e: True)) == 1
    assert quiet.counters == {"heard": 2, "invalid": 1}


def test_a_node_that_floods_does_not_drown_another(network: AccessRouter, quiet: AccessPort) -> None:
    other = bytes.fromhex("020000000002")
    quiet._clock = lambda: 1000 * SECOND
    for _ in range(5 * NODE_BURST):
        network.from_host(_solicitation())
    network.from_host(_solicitation(sender=other))
    events = events_until(quiet, lambda e: isinstance(e, NodeSeen) and e.link_layer == other)
    assert len(events) == NODE_BURST + 1
    assert quiet.counters["rate-limited"] == 4 * NODE_BURST


def test_an_interface_that_is_not_there_is_refused(network: AccessRouter) -> None:
    with network.router.entered(), pytest.raises(OSError, match="No such device"):
        AccessLink(["acc0", "acc9"])


def test_an_effect_for_another_interface_is_refused(access: AccessLink) -> None:
    with pytest.raises(OSError, match="not an access interface") as caught:
        access.apply(ProbeNode("eth7", NODE, None))
    assert caught.value.errno == errno.ENODEV


def test_an_interface_that_went_and_came_back_is_used_again(network: AccessRouter, access: AccessLink) -> None:
    network.remove_bridge()
    access.refresh("acc0")
    with pytest.raises(OSError, match="device"):
        access.apply(_advertise(300))
    assert access.counters["interfaces-missing"] == 1
    network.netlink.add_bridge(End(network.router, "acc0", BRIDGE + 90, bytes.fromhex("020000000099")), 1500)
    network.netlink.set_link(PORT, up=True, master=BRIDGE + 90)
    access.refresh("acc0")
    assert _port(access).link_layer.hex() == "020000000099"
    network.host_up()
    events_until(_port(access), lambda e: _sighting(e) is Sighting.ROUTER_SOLICITATION)
