"""The cast of RFC 8885 with nodes that ask by DHCP: what is leased follows them, and ends when nobody renews it."""

from __future__ import annotations

import random
from dataclasses import replace

from sim.air import Air, Node
from sim.dmm import Dmm
from sim.dmm_truth import DmmTruth
from sim.domain import DmmDomain
from sim.paths import Loop, Paths
from sim.world import Machine
from sojourn.core.effects import AccessEffect, SendDhcp
from sojourn.core.events import Sighting
from sojourn.wire.addresses import LinkLayer, Prefix, from_ipv4, is_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.dhcpv6 import Dhcpv6Message, IaPd, IaPrefix, MessageType, RapidCommit, decode_dhcpv6
from sojourn.wire.units import SECOND, Instant
from support.dhcp import Client, prefixes_in, single

LEASE = 40 * SECOND
_FRESH = 10 * SECOND
"""After a renewal a router has to forward for so long."""


class Holder(Client):
    """A node that keeps what it got as long as nobody takes it away, wherever it is."""

    def __init__(self, domain: DmmDomain, node: Node) -> None:
        super().__init__(domain, node.name)
        self.node = node
        self.ipv4: Prefix | None = None
        self.delegated: Prefix | None = None
        self.renewed: dict[Prefix, Instant] = {}
        """When a router where it is now last said that it has this."""

    @property
    def interface(self) -> str:
        """See `Client.interface`."""
        return self.node.interface

    def step(self, dice: random.Random) -> None:
        """It does one thing, or goes on with what it has."""
        place = self.node.place
        if place is None:
            return
        match dice.choice(["discover", "request", "solicit", "renew", "renew", "release", "decline"]):
            case "discover" if self.ipv4 is None:
                self.shout(place, DhcpType.DISCOVER)
            case "request" if self.ipv4 is None:
                self.shout(place, DhcpType.REQUEST, requested_address=bytes((10, dice.randrange(1, 5), 0, 2)))
            case "solicit" if self.delegated is None:
                self.say(place, MessageType.SOLICIT, IaPd(9, 0, 0), RapidCommit())
            case "release" if self.ipv4 is not None and dice.random() < 0.3:
                self.shout(place, DhcpType.RELEASE, client=self.ipv4.address)
                self.ipv4 = None
            case "decline" if self.ipv4 is not None and dice.random() < 0.1:
                self.shout(place, DhcpType.DECLINE, requested_address=to_ipv4(self.ipv4.address))
                self.ipv4 = None
            case _:
                self.renew(place)

    def renew(self, place: str) -> None:
        """All that it has."""
        if self.ipv4 is not None:
            self.shout(place, DhcpType.REQUEST, client=self.ipv4.address)
        if self.delegated is not None:
            self.say(place, MessageType.REBIND, IaPd(9, 0, 0, (IaPrefix.of(self.delegated, SECOND, SECOND),)))

    def hear(self, place: str, sent: SendDhcp) -> None:
        """An answer of the router where it is."""
        if is_ipv4(sent.source):
            self._on_ipv4(place, decode_dhcpv4(sent.payload))
        else:
            self._on_ipv6(decode_dhcpv6(sent.payload))

    def _on_ipv4(self, place: str, answer: Dhcpv4Message) -> None:
        if answer.kind == DhcpType.OFFER and self.ipv4 is None:
            server = answer.options[Code.SERVER_IDENTIFIER]
            self.shout(place, DhcpType.REQUEST, requested_address=answer.yours, server_identifier=server)
        elif answer.kind == DhcpType.ACK:
            self.ipv4 = single(from_ipv4(answer.yours))
            self.renewed[self.ipv4] = self.domain.now
        elif answer.kind == DhcpType.NAK:
            self.ipv4 = None

    def _on_ipv6(self, answer: Dhcpv6Message) -> None:
        for lease in prefixes_in(answer) if answer.first(IaPd) else ():
            if lease.valid:
                self.delegated = lease.prefix
                self.renewed[lease.prefix] = self.domain.now
            elif lease.prefix == self.delegated:
                self.delegated = None

    def fresh(self) -> list[Prefix]:
        """What it has and heard of lately, where it is."""
        since = max(self.domain.now - _FRESH, self.node.arrived)
        held = [prefix for prefix in (self.ipv4, self.delegated) if prefix is not None]
        return [prefix for prefix in held if self.renewed.get(prefix, -1) >= since]


class LeasingAir(Air):
    """Nodes that ask for something whenever they show themselves, as long as they are `asking`."""

    def __init__(self, domain: DmmDomain, nodes: dict[str, LinkLayer], seed: int) -> None:
        super().__init__(domain.world, nodes)
        self.holders = {name: Holder(domain, node) for name, node in self.nodes.items()}
        self.asking = True
        self._dice = random.Random(f"leasing {seed}")

    def show(self, node: Node, sighting: Sighting) -> None:
        """See `Air.show`."""
        super().show(node, sighting)
        if self.asking and node.place is not None and (node.place, node.interface) not in self.down:
            self.holders[node.name].step(self._dice)

    def on_access(self, machine: Machine, effect: AccessEffect) -> None:
        """See `Air.on_access`."""
        super().on_access(machine, effect)
        if isinstance(effect, SendDhcp):
            node = self.node_at(machine.name, effect.interface, effect.link_layer)
            if node is not None:
                self.holders[node.name].hear(machine.name, effect)


class LeasingTruth(DmmTruth):
    """What must be true of leases as well."""

    def __init__(self, domain: DmmDomain, air: LeasingAir, paths: Paths) -> None:
        super().__init__(domain, air, paths, claims=True)
        self._leasing = air

    def settled(self) -> list[str]:
        """What a node heard just now that it has reaches it."""
        faults = super().settled()
        for holder in self._leasing.holders.values():
            for prefix in holder.fresh():
                try:
                    reached = self._paths.down(prefix)
                except Loop as loop:
                    faults.append(f"{prefix}: {loop}")
                    continue
                if reached is not holder.node:
                    faults.append(f"{holder.node.name} at {holder.node.place} was told that it has {prefix}, in vain")
        return faults

    def idle(self) -> list[str]:
        """Nobody renews anything any more."""
        self._leasing.asking = False
        return super().idle()


class Leasing(Dmm):
    """One domain whose routers lease; see `sim.cast.Cast`."""

    name = "leasing"
    share_of_tight = 0.0

    def __init__(self, seed: int) -> None:
        self._seed = seed
        super().__init__(seed)
        self.patience = replace(self.patience, idle=self.patience.idle + 2 * LEASE, empty=self.patience.empty + LEASE)

    def _particulars(self, dice: random.Random) -> None:
        super()._particulars(dice)
        self.domain.give_pools()
        for name in self.domain.maar_configurations:
            self.domain.adjust(name, {"dhcp_lease": LEASE})

    def _make_air(self, nodes: dict[str, LinkLayer]) -> LeasingAir:
        return LeasingAir(self.domain, nodes, self._seed)

    def _make_truth(self, paths: Paths) -> LeasingTruth:
        assert isinstance(self.air, LeasingAir)
        return LeasingTruth(self.domain, self.air, paths)
