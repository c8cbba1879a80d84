"""Radios of mobile nodes on links, and what the kernels of these nodes tell their engines of it.

Each radio is a node of `sim.air`. A link shows itself by Router Advertisements; the kernel makes an address of the
prefix and says so. One that moved without a word (`told` is False) notices by the other router alone.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.air import Air, Node
from sim.mip6_domain import HOME, Mip6Domain, Mobile
from sim.world import Machine
from sojourn.core.effects import AccessEffect, ForgetStation
from sojourn.core.events import AddressChanged, Icmpv6Received, LinkChanged, RouterProbed, Sighting
from sojourn.wire.addresses import address
from sojourn.wire.icmpv6 import decode_icmpv6, encode_icmpv6
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration

CONFIGURE: Duration = 15 * MILLISECOND
"""From an advertisement to an address that may be used."""
_UNREACHABLE: Duration = 3 * SECOND
_FIRST: Duration = 5 * MILLISECOND
_BEACON: Duration = 600 * SECOND
_ALL_NODES = address("ff02::1")


class Radios(Air):
    """See the module's text."""

    def __init__(self, domain: Mip6Domain) -> None:
        super().__init__(domain.world, domain.radios())
        self._domain = domain
        domain.wires.air = self
        self.interface = domain.interface
        self._attachments: dict[str, int] = dict.fromkeys(self.nodes, 0)
        self.on_changed: Callable[[str], None] = lambda mobile: None
        """Told when a mobile node got another link, or lost one."""

    # --- nodes move -----------------------------------------------------------------------------------------------

    def arrive(self, node: Node, machine: Machine, interface: str, sighting: Sighting) -> None:
        """See `Air.arrive`."""
        noticed = node.promises.pop(b"left", ()) == ()
        node.place, node.interface, node.arrived = machine.name, interface, self._world.now
        node.promises.clear()
        self._attach(node, noticed)

    def leave(self, node: Node, *, told: bool) -> None:
        """See `Air.leave`."""
        place, node.place = node.place, None
        node.arrived = self._world.now
        self._attachments[node.name] += 1
        if told:
            self._detach(node)
        else:
            node.promises[b"left"] = (self._domain.links[HOME].prefix,)
            self._world.later(_UNREACHABLE, self._unreachable, (node, place))
        self.on_changed(self._domain.owner(node.name).name)

    def _unreachable(self, known: tuple[Node, str]) -> None:
        """The kernel found that the router does not answer any more (RFC 4861 7.3)."""
        node, place = known
        if self._domain.wires.joined(node.name) != place:
            router = self._domain.links[place].router
            self._host(node).tell(RouterProbed(self.interface(node.name), router, False))

    def _attach(self, node: Node, noticed: bool = True) -> None:
        mobile = self._domain.owner(node.name)
        self._attachments[node.name] += 1
        self.on_changed(mobile.name)
        if (node.place, node.interface) in self.down:
            if noticed:
                self._detach(node)
            return
        if noticed:
            mobile.held[node.name].clear()
            self._host(node).tell(LinkChanged(self.interface(node.name), True, node.link_layer))
        self._world.later(_FIRST if noticed else SECOND, self._beacon, (node, self._attachments[node.name]))

    def _detach(self, node: Node) -> None:
        self._domain.owner(node.name).held[node.name].clear()
        self._host(node).tell(LinkChanged(self.interface(node.name), up=False))

    def _host(self, node: Node) -> Machine:
        return self._world.machines[self._domain.owner(node.name).name]

    def show(self, node: Node, sighting: Sighting) -> None:
        """See `Air.show`: it asks for a router."""
        if sighting is Sighting.ROUTER_SOLICITATION:
            self._advertised(node)

    def frame(self, node: Node) -> None:
        """Nobody looks at frames here."""

    def on_link(self, machine: str) -> list[Node]:
        """See `Air.on_link`."""
        return [node for node in self.nodes.values() if node.place == machine]

    def noticed(self, mobile: Mobile) -> bool:
        """Whether a mobile node knows of every link that it lost."""
        return not any(self.nodes[radio].promises.get(b"left") for radio in mobile.radios)

    def mobile_on(self, mobile: str) -> list[str]:
        """The links that a mobile node has."""
        radios = self._domain.mobiles[mobile].radios
        return [place for radio in radios if (place := self._domain.wires.joined(radio)) is not None]

    # --- links ----------------------------------------------------------------------------------------------------

    def fail(self, machine: Machine, interface: str) -> None:
        """See `Air.fail`."""
        if (machine.name, interface) in self.down:
            return
        self.down.add((machine.name, interface))
        for node in self.on_link(machine.name):
            if node.interface == interface:
                self._attachments[node.name] += 1
                self._detach(node)
                self.on_changed(self._domain.owner(node.name).name)

    def mend(self, machine: Machine, interface: str) -> None:
        """See `Air.mend`."""
        if (machine.name, interface) in self.down:
            self.down.discard((machine.name, interface))
            for node in self.on_link(machine.name):
                if node.interface == interface:
                    self._attach(node)

    def greet(self, machine: Machine) -> None:
        """See `Air.greet`: a kernel tells a new process of its links, and home agents hear of each other."""
        for mobile in self._domain.mobiles.values():
            if mobile.name == machine.name:
                for radio in mobile.radios:
                    node = self.nodes[radio]
                    if node.place is not None:
                        self._attach(node)
        if machine.name in self._domain.agents:
            self._neighbours(None)

    def _neighbours(self, _: object) -> None:
        for name in self._domain.agents:
            for other in self._domain.agents:
                machine = self._world.machines[other]
                if name != other and machine.driver is not None:
                    link = self._domain.links[HOME]
                    heard = address(f"fe80::{self._domain.agents.index(other) + 1}")
                    link = type(link)(HOME, link.prefix, heard, machine.address)
                    message = decode_icmpv6(encode_icmpv6(link.advertisement()))
                    self._world.machines[name].tell(Icmpv6Received(message, heard, _ALL_NODES, "home0"))

    def forget(self, machine: Machine, effect: ForgetStation) -> None:
        """Nobody has stations here."""

    def on_access(self, machine: Machine, effect: AccessEffect) -> None:
        """Nobody asks here."""

    # --- routers speak --------------------------------------------------------------------------------------------

    def solicited(self, mobile: str, interface: str) -> None:
        """A mobile node asks for a router."""
        for radio in self._domain.mobiles[mobile].radios:
            if self.interface(radio) == interface:
                known = self.nodes[radio], self._attachments[radio]
                self._world.later(_FIRST, lambda known: self._advertised(*known), known)

    def _beacon(self, known: tuple[Node, int]) -> None:
        """The router advertises itself now and then."""
        node, attachment = known
        if self._attachments[node.name] != attachment or node.place is None:
            return
        self._advertised(node)
        interval = self._domain.links[node.place].interval
        self._world.later(interval * 9 // 10 if interval else _BEACON, self._beacon, known)

    def _advertised(self, node: Node, attachment: int | None = None) -> None:
        place = self._domain.wires.joined(node.name)
        mobile = self._domain.owner(node.name)
        if place is None or (place, mobile.name) in self._domain.wires.cut:
            return
        if attachment is not None and self._attachments[node.name] != attachment:
            return
        link = self._domain.links[place]
        message = decode_icmpv6(encode_icmpv6(link.advertisement()))
        self._host(node).tell(Icmpv6Received(message, link.router, _ALL_NODES, self.interface(node.name)))
        self._world.later(CONFIGURE, self._configure, (node, self._attachments[node.name]))

    def _configure(self, known: tuple[Node, int]) -> None:
        """The kernel made an address."""
        node, attachment = known
        if self._attachments[node.name] != attachment or node.place is None:
            return
        link, mobile = self._domain.links[node.place], self._domain.owner(node.name)
        made = self._domain.made(node.name, link)
        if made != mobile.home:
            mobile.held[node.name][made] = link.name
        lifetimes = 12 * HOUR, 24 * HOUR
        self._host(node).tell(AddressChanged(self.interface(node.name), made, 64, True, *lifetimes))
