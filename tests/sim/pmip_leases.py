"""Nodes of `pmip`: who is taken to be where, interfaces of one machine, and nodes that ask for IPv4 home addresses."""

from __future__ import annotations

from sim.air import Air, Node
from sim.pmip_domain import PmipDomain
from sim.world import Machine, World
from sojourn.core.effects import AccessEffect, SendDhcp
from sojourn.core.events import DhcpReceived, Sighting
from sojourn.engines.access_session import Presence
from sojourn.wire.addresses import ANY_IPV4, LinkLayer, Prefix, address, from_ipv4, is_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREQUEST, Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.units import SECOND, Instant

_BROADCAST = address("255.255.255.255")
_HOST = 128


class WatchedAir(Air):
    """Knows who is taken to be at a MAG though it left without a word: that may claim it, or not notice its return."""

    def __init__(self, world: World, nodes: dict[str, LinkLayer], domain: PmipDomain) -> None:
        super().__init__(world, nodes)
        self._domain = domain
        self.unnoticed: set[str] = set()
        """Nodes about which some MAG is wrong since they moved last."""

    def arrive(self, node: Node, machine: Machine, interface: str, sighting: Sighting) -> None:
        """See `Air.arrive`."""
        believers = [
            each
            for each in self._domain.gateways
            if (session := self._domain.listed(each, node.name)) is not None and session.presence is Presence.SERVED
        ]
        (self.unnoticed.add if believers else self.unnoticed.discard)(node.name)
        super().arrive(node, machine, interface, sighting)

    def interfaces(self, node: Node) -> list[Node]:
        """See `Air.interfaces`."""
        if not self._domain.identities:
            return [node]
        identity = self._domain.identity(node.name)
        return [each for each in self.nodes.values() if self._domain.identity(each.name) == identity]


class LeasingAir(WatchedAir):
    """Nodes that ask for an IPv4 home address whenever they show themselves, and keep it (RFC 5844 3.4)."""

    def __init__(self, world: World, nodes: dict[str, LinkLayer], domain: PmipDomain) -> None:
        super().__init__(world, nodes, domain)
        self.leases: dict[str, tuple[Prefix, Instant]] = {}
        """What each node has, and when a router last said so."""

    def show(self, node: Node, sighting: Sighting) -> None:
        """See `Air.show`."""
        super().show(node, sighting)
        if node.place is None or (node.place, node.interface) in self.down:
            return
        lease = self.leases.get(node.name)
        if lease is None:
            self._shout(node, DhcpType.DISCOVER)
        else:
            self._shout(node, DhcpType.REQUEST, lease[0])

    def _shout(self, node: Node, kind: DhcpType, client: Prefix | None = None, **options: bytes) -> None:
        assert node.place is not None
        source = ANY_IPV4.address if client is None else client.address
        values = {Code.MESSAGE_TYPE: bytes((kind,))} | {Code[key.upper()]: value for key, value in options.items()}
        message = Dhcpv4Message(BOOTREQUEST, 7, node.link_layer, dict(values), client=to_ipv4(source))
        event = DhcpReceived(node.interface, node.link_layer, source, _BROADCAST, message.encode())
        self._world.machines[node.place].tell(event)

    def on_access(self, machine: Machine, effect: AccessEffect) -> None:
        """See `Air.on_access`."""
        super().on_access(machine, effect)
        if not isinstance(effect, SendDhcp) or not is_ipv4(effect.source):
            return
        node = self.node_at(machine.name, effect.interface, effect.link_layer)
        if node is not None:
            self._hear_lease(node, decode_dhcpv4(effect.payload))

    def _hear_lease(self, node: Node, answer: Dhcpv4Message) -> None:
        if answer.kind == DhcpType.OFFER and node.name not in self.leases:
            server = answer.options[Code.SERVER_IDENTIFIER]
            self._shout(node, DhcpType.REQUEST, requested_address=answer.yours, server_identifier=server)
        elif answer.kind == DhcpType.ACK:
            self.leases[node.name] = Prefix(from_ipv4(answer.yours), _HOST), self._world.now
        elif answer.kind == DhcpType.NAK:
            self.leases.pop(node.name, None)

    def fresh(self, node: Node) -> Prefix | None:
        """What it has and heard of lately, where it is."""
        lease = self.leases.get(node.name)
        since = max(self._world.now - 10 * SECOND, node.arrived)
        return lease[0] if lease is not None and lease[1] >= since else None
