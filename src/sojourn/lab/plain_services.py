"""A router that knows nothing of mobility, with all that hosts expect: advertisements, DHCPv6, DHCPv4.

The prefix, and the IPv4 subnet, are those of the link, the same for all hosts, and hosts use them as long as they hear
of this router and no longer. It answers with the codec and the servers of the daemons, which know no role; that it is
no part of a mobility domain shows in its link-layer and link-local address, and in its prefix, which is on the link.
"""

from __future__ import annotations

import select
from contextlib import suppress
from ipaddress import IPv4Network

from sojourn.core.effects import Advertise, AdvertisedPrefix, SendDhcp
from sojourn.core.events import DhcpReceived, Event, NodeSeen, Sighting
from sojourn.engines.dhcp import Discarded, NotYet
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Dhcpv6Server, Dhcpv6Settings, Holdings
from sojourn.host.access import AccessLink
from sojourn.lab.background import Background
from sojourn.lab.ipv4 import add_address
from sojourn.lab.lab import Lab
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.wire import DecodeError
from sojourn.wire.addresses import Address, LinkLayer, Prefix, eui64_link_local, from_ipv4, is_ipv4
from sojourn.wire.dhcpv4 import decode_dhcpv4
from sojourn.wire.dhcpv6 import decode_dhcpv6, link_layer_duid
from sojourn.wire.units import MINUTE

_ALL_SERVERS: Address = bytes.fromhex("ff020000000000000000000000010002")
_LEASE = 10 * MINUTE
_FIRST_HOST = 10
_TURN = 0.2


class PlainServices(Background):
    """Serves the access link of one plain router of a lab, in a thread, until closed."""

    def __init__(self, lab: Lab, name: str, ipv4: IPv4Network) -> None:
        node, pool = lab.nodes[name], lab.topology.nodes[name].pool
        assert pool is not None
        bridge = node.ends["acc0"]
        self._link_layer = bridge.link_layer
        self._address = eui64_link_local(bridge.link_layer)
        network = Prefix(pool.network_address.packed, pool.prefixlen).subnet(0, 64)
        self._prefix = AdvertisedPrefix(network, _LEASE, _LEASE, on_link=True)
        self._subnet = ipv4
        self._router = from_ipv4(ipv4[1].packed)
        self._leases: dict[LinkLayer, Home] = {}
        netlink = RouteNetlink(node.namespace)
        netlink.add_address(bridge.index, network.address[:15] + b"\x01", 64)
        netlink.close()
        add_address(node.namespace, bridge.index, str(ipv4[1]), ipv4.prefixlen)
        self._v6 = Dhcpv6Server(Dhcpv6Settings(link_layer_duid(bridge.link_layer), True, _LEASE // 2, _LEASE))
        self._v4 = Dhcpv4Server(Dhcpv4Settings(self._router, _LEASE, lab.topology.mtu))
        self._link = node.namespace.call(lambda: AccessLink(("acc0",), ipv4=True))
        super().__init__()

    def _leave(self) -> None:
        self._link.close()

    def _run(self) -> None:
        ports = list(self._link.all_ports())
        while not self._stop.is_set():
            readable, _, _ = select.select(ports, [], [], _TURN)
            for port in readable:
                for event in port.receive():
                    with suppress(OSError, DecodeError, Discarded, NotYet):
                        self._on_event(event)

    def _on_event(self, event: Event) -> None:
        match event:
            case NodeSeen(interface, link_layer, Sighting.ROUTER_SOLICITATION):
                self._advertise(interface, link_layer)
            case DhcpReceived() if is_ipv4(event.source):
                self._on_dhcpv4(event)
            case DhcpReceived():
                self._on_dhcpv6(event)

    def _advertise(self, interface: str, link_layer: LinkLayer) -> None:
        advertised = Advertise(
            interface, link_layer, self._address, self._link_layer, _LEASE, (self._prefix,), other=True
        )
        self._link.apply(advertised)

    def _on_dhcpv6(self, event: DhcpReceived) -> None:
        message, multicast = decode_dhcpv6(event.payload), event.destination == _ALL_SERVERS
        self._v6.check(message, multicast)
        answer = self._v6.answer(message, Holdings((self._prefix,)), multicast).message.encode()
        self._link.apply(SendDhcp(event.interface, event.link_layer, self._address, event.source, answer))

    def _on_dhcpv4(self, event: DhcpReceived) -> None:
        message = decode_dhcpv4(event.payload)
        self._v4.check(message, event.link_layer)
        number = _FIRST_HOST + len(self._leases)
        made = Home(from_ipv4(self._subnet[number].packed), self._subnet.prefixlen, self._router)
        answer = self._v4.answer(message, self._leases.setdefault(event.link_layer, made), True)
        if answer.message is not None:
            payload = answer.message.encode()
            self._link.apply(SendDhcp(event.interface, event.link_layer, answer.source, answer.destination, payload))
