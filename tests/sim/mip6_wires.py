"""The network of Mobile IPv6: where packets go hop by hop, through the tunnels and intercepted as kernels were told.

A message and a packet of a session take the same steps (`Wires.step`); the one with delays and losses on its way, the
other at once, to see where it would end (`Wires.trace`). A mobile node's only neighbour is the router of its link.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sim.world import Network, World
from sojourn.core.effects import EnsureDelivery, EnsureTunnel, SendMessage
from sojourn.core.events import AddressProbed, Event, IcmpErrorReceived, Icmpv6Received, MessageReceived, RouterProbed
from sojourn.core.mobile_effects import ProbeAddress, ProbeRouter, SendIcmpv6
from sojourn.engines.home_agents import home_agents_anycast
from sojourn.wire import decode, encode
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.icmpv6 import RouterSolicitation, decode_icmpv6, encode_icmpv6
from sojourn.wire.mobility import MOBILITY_HEADER
from sojourn.wire.units import MILLISECOND, SECOND

if TYPE_CHECKING:
    from sim.mip6_air import Radios
    from sim.mip6_domain import Link, Mobile
    from sim.mip6_host import HostMachine

HOPS = 12
"""A packet that met so many machines goes round."""
OVERHEARD = 200
"""Messages that a stranger remembers."""
DAD = 1 * SECOND
_AIR = 1 * MILLISECOND


class Loop(Exception):
    """The packet goes round until its hop limit ends; the text says where."""


@dataclass(slots=True)
class Packet:
    """A packet; with `inner`, a tunnel's."""

    source: Address
    destination: Address
    event: Event | None = None
    """What its receiver is told; None: a packet of a session."""
    inner: Packet | None = None
    home_address: Address | None = None
    routed_to: Address | None = None


@dataclass(slots=True)
class Overheard:
    """What a stranger knows."""

    sender: str
    octets: bytes
    sent: SendMessage


class Wires(Network):
    """The network; see the module's text."""

    links: Mapping[str, Link]
    mobiles: Mapping[str, Mobile]
    agents: Sequence[str]
    air: Radios

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.faults: list[str] = []
        """What may never happen to a packet, and did."""
        self.overheard: deque[Overheard] = deque(maxlen=OVERHEARD)
        self.on_update: Callable[[str, SendMessage], None] = lambda sender, sent: None
        """Told of every Mobility Header that an engine sends."""
        self._places: dict[bytes, str] = {}
        self._networks: dict[bytes, Prefix] = {}
        self._anycast: Address = b""

    def lay(self, links: Mapping[str, Link], mobiles: Mapping[str, Mobile], agents: Sequence[str]) -> None:
        """What is connected."""
        self.links, self.mobiles, self.agents = links, mobiles, agents
        self._places = {link.prefix.address[:8]: link.name for link in links.values()}
        self._networks = {known.network.address[:8]: known.network for known in mobiles.values() if known.network}
        self._anycast = home_agents_anycast(links[agents[0]].prefix)

    # --- where things are -----------------------------------------------------------------------------------------

    def machine(self, name: str) -> HostMachine:
        """By its name."""
        return self._world.machines[name]  # type: ignore[return-value]

    def _where(self, destination: Address) -> str | None:
        """The machine that ordinary routing carries a packet to: that with the address, or the router of its link."""
        name = self.names.get(destination)
        if name is not None and name not in self.mobiles:
            return name
        place = self._places.get(destination[:8])
        if place is not None and (place != self.agents[0] or self.machine(place).powered):
            return place
        if place is None and destination[:8] not in self._networks:
            return None
        return next((agent for agent in self.agents if self.machine(agent).powered), None)

    def joined(self, radio: str) -> str | None:
        """The link that a radio is on and gets packets from, if it does."""
        node = self.air.nodes[radio]
        if node.place is None or (node.place, node.interface) in self.air.down:
            return None
        return node.place if self.machine(node.place).powered else None

    def holder(self, place: str, where: Address) -> str | None:
        """The mobile node that has that address on that link."""
        for mobile in self.mobiles.values():
            for radio in mobile.radios:
                if self.joined(radio) != place or not self.machine(mobile.name).powered:
                    continue
                host = self.machine(mobile.name).host.held
                if where in mobile.held[radio]:
                    return mobile.name
                if host.get(("address", where), ("", False))[0] == self.air.interface(radio):
                    return mobile.name
        return None

    # --- one step -------------------------------------------------------------------------------------------------

    def step(self, at: str, packet: Packet) -> tuple[str, Packet] | None:
        """The next machine and what arrives there; the same machine: it is for that one. None: it is lost."""
        if at in self.mobiles:
            return self._from_mobile(self.mobiles[at], packet)
        machine = self.machine(at)
        if packet.destination == machine.address:
            return self._unpacked(machine, packet)
        link = self.links.get(at)
        place = link.prefix if link is not None else None
        if link is not None and packet.event is not None and packet.destination == self._anycast:
            alive = [name for name in self.agents if self.machine(name).driver is not None]
            return None if not alive else (at, packet) if alive[0] == at else (alive[0], packet)
        if machine.plane.state.prefixes:
            delivery = machine.plane.way(Prefix(packet.destination, 128))
            if isinstance(delivery, EnsureDelivery):
                return self._at_home(at, delivery, packet)
            way = self._way(machine, packet.destination)
            if way is not None:
                return at, Packet(machine.address, way.remote, inner=packet)
        if at in self.agents:
            for other in self.agents:
                if other != at and self.machine(other).powered and self._takes(other, packet.destination):
                    delivery = self.machine(other).plane.way(Prefix(packet.destination, 128))
                    if isinstance(delivery, EnsureDelivery):
                        return other, packet
                    way = self._way(self.machine(other), packet.destination)
                    return None if way is None else (other, packet)  # taken from the link, and then nowhere to go
        known = self.names.get(packet.destination)
        if place is not None and place.covers(packet.destination) and known is None:
            name = self.holder(at, packet.destination)
            return None if name is None or (at, name) in self.cut else (name, packet)
        following = self._where(packet.destination)
        if following == at and at in self.agents:  # a mobile router that is at home speaks the routing protocol
            name = self._router_at_home(packet.destination)
            return None if name is None else (name, packet)
        return None if following is None or following == at else (following, packet)

    def _at_home(self, at: str, way: EnsureDelivery, packet: Packet) -> tuple[str, Packet] | None:
        """On the home link, to a link-layer address: whoever has it."""
        for mobile in self.mobiles.values():
            for radio in mobile.radios:
                if self.joined(radio) == self.agents[0] and self.air.nodes[radio].link_layer == way.link_layer:
                    there = self.machine(mobile.name).powered and (at, mobile.name) not in self.cut
                    return (mobile.name, packet) if there else None
        return None

    def _router_at_home(self, destination: Address) -> str | None:
        for mobile in self.mobiles.values():
            if mobile.network and mobile.network.covers(destination):
                return self.holder(self.agents[0], mobile.home)
        return None

    def _takes(self, agent: str, destination: Address) -> bool:
        """Whether a home agent answers for an address on the home link, or routes a network."""
        host = self.machine(agent).host
        return ("proxy", destination) in host.held or (
            not self.links[self.agents[0]].prefix.covers(destination)
            and self._way(self.machine(agent), destination) is not None
        )

    def _way(self, machine: HostMachine, destination: Address) -> EnsureTunnel | None:
        way = machine.plane.way(Prefix(destination, 128))
        if way is None and destination[:8] in self._networks:
            way = machine.plane.way(self._networks[destination[:8]])
        return way if isinstance(way, EnsureTunnel) else None

    def _unpacked(self, machine: HostMachine, packet: Packet) -> tuple[str, Packet] | None:
        """What comes out of a tunnel goes on; a tunnel that nobody made is none."""
        inner = packet.inner
        if inner is None:
            return machine.name, packet
        state = machine.plane.state
        for prefix, slot in state.prefixes.items():
            if not prefix.covers(inner.source):
                continue
            way = state.slots.get(slot)
            if isinstance(way, EnsureTunnel) and way.remote == packet.source:
                return self.step(machine.name, inner)
            if ("end", slot, packet.source) in machine.host.held:
                return self.step(machine.name, inner)
        return None

    def _from_mobile(self, mobile: Mobile, packet: Packet) -> tuple[str, Packet] | None:
        machine = self.machine(mobile.name)
        if self._is_its(mobile, packet.destination):
            return self._unpacked_by(mobile, packet)
        held, source = machine.host.held, packet.source
        network = mobile.network if mobile.network and mobile.network.covers(source) else None
        steered = source if network is None else mobile.home
        if ("out", steered) in held:
            way = held["out", steered]
            if network is not None:
                agent = machine.plane.state.uplinks.get(network)
                way = None if way is None or agent is None else (way[0], agent)
            if way is None:
                return None
            packet = Packet(way[0], way[1], inner=packet)
            source = way[0]
        place = self._link_of(mobile, mobile.home if network is not None and packet.inner is None else source)
        if place is None:
            unheard = machine.kernel_refused_now  # the engine is yet to hear that its kernel refused
            if self._interface(mobile, source) == "" and any(map(self.joined, mobile.radios)) and not unheard:
                self.faults.append(f"{mobile.name} lets a packet out with its home address, where that is not at home")
            return None
        if (mobile.name, place) in self.cut:
            return None
        return place, packet

    def _is_its(self, mobile: Mobile, destination: Address) -> bool:
        if mobile.network is not None and mobile.network.covers(destination):
            return True
        kernel = self.machine(mobile.name).host.held
        return ("address", destination) in kernel or any(destination in held for held in mobile.held.values())

    def _unpacked_by(self, mobile: Mobile, packet: Packet) -> tuple[str, Packet] | None:
        inner = packet.inner
        if inner is None:
            return mobile.name, packet
        kernel = self.machine(mobile.name).host.held
        network = mobile.network is not None and mobile.network.covers(inner.destination)
        way = kernel.get(("out", mobile.home if network else inner.destination))
        if way is not None and way[1] == packet.source and self._is_its(mobile, inner.destination):
            return mobile.name, inner
        return None

    def _interface(self, mobile: Mobile, source: Address) -> str:
        """Where a packet with an address of this host leaves; empty: anywhere."""
        held = self.machine(mobile.name).host.held
        _, ways, _ = held.get(("ways", source), (b"", (), ()))
        on_link = next((way.interface for way in ways if way.care_of_address == source), None)
        return on_link or str(held.get(("address", source), ("?", False))[0])

    def _link_of(self, mobile: Mobile, source: Address) -> str | None:
        """Where a packet with that source leaves."""
        interface = self._interface(mobile, source)
        for radio in mobile.radios:
            place = self.joined(radio)
            if place is None:
                continue
            if mobile.held[radio].get(source) == place:
                return place
            if interface in ("", self.air.interface(radio)) and self.links[place].prefix.covers(source):
                return place
        return None

    # --- packets of sessions: at once -----------------------------------------------------------------------------

    def trace(self, at: str, packet: Packet) -> tuple[str, list[str], Packet] | None:
        """Who gets it, by which machines, and as what; None: it is lost. Raises `Loop`."""
        visited = [at]
        following = self.step(at, packet)
        while following is not None:
            name, packet = following
            if name == at and not self._is_elsewhere(at, packet):
                return name, visited, packet
            if name != at and not self._passes(at, name):
                return None
            visited.append(name)
            if len(visited) > HOPS:
                raise Loop(f"packets go round: {' '.join(visited)}")
            at = name
            if at in self.mobiles:
                return (at, visited, packet) if packet.inner is None else self._at_mobile(at, visited, packet)
            following = self.step(at, packet)
        return None

    def _at_mobile(self, at: str, visited: list[str], packet: Packet) -> tuple[str, list[str], Packet] | None:
        taken = self._unpacked_by(self.mobiles[at], packet)
        return None if taken is None else (at, visited, taken[1])

    def _is_elsewhere(self, at: str, packet: Packet) -> bool:
        """Whether `packet` was only put into a tunnel here."""
        return packet.inner is not None and packet.destination != self.machine(at).address

    def _passes(self, source: str, destination: str) -> bool:
        return (source, destination) not in self.cut and self.machine(destination).powered

    # --- messages: with all that may befall them ------------------------------------------------------------------

    def post(self, sender: str, sent: SendMessage | SendIcmpv6, *, forged: bool = False) -> None:
        """An engine sends something; or a stranger, from anywhere, with whatever source."""
        if isinstance(sent, SendMessage):
            octets = bytes(encode(sent.message))
            event: Event = MessageReceived(
                decode(octets), sent.source, sent.destination, sent.home_address, sent.routed_to, octets
            )
            self.sent += 1
            if not forged:
                receiver = self.names.get(sent.destination, sent.destination.hex())
                for heard in self.on_sent:
                    heard(sender, receiver, sent.message)
                self.on_update(sender, sent)
                self.overheard.append(Overheard(sender, octets, sent))
        else:
            if isinstance(sent.message, RouterSolicitation):
                self.air.solicited(sender, sent.interface)
                return
            message = decode_icmpv6(encode_icmpv6(sent.message))
            event = Icmpv6Received(message, sent.source, sent.destination, "", sent.home_address, sent.routed_to)
        packet = Packet(sent.source, sent.destination, event, None, sent.home_address, sent.routed_to)
        if forged:
            at = self._where(sent.destination)
            if at is not None:
                self._fly(sender, at, packet, HOPS)
            return
        self._go(sender, packet, HOPS)

    def inject(self, octets: bytes, sent: SendMessage) -> None:
        """A stranger sends octets as they are, if they can be decoded at all."""
        event = MessageReceived(
            decode(octets), sent.source, sent.destination, sent.home_address, sent.routed_to, octets
        )
        at = self._where(sent.destination)
        if at is not None:
            packet = Packet(sent.source, sent.destination, event, None, sent.home_address, sent.routed_to)
            self._fly("stranger", at, packet, HOPS)

    def _go(self, at: str, packet: Packet, hops: int) -> None:
        following = self.step(at, packet)
        while following is not None and following[0] == at and self._is_elsewhere(at, following[1]):
            following = self.step(at, following[1])
        if following is None or hops <= 0:
            return
        name, packet = following
        if name == at:
            self._deliver(name, packet)
        else:
            self._fly(at, name, packet, hops)

    def _fly(self, at: str, name: str, packet: Packet, hops: int) -> None:
        if (at, name) in self.cut:
            return
        innermost = packet
        while innermost.inner is not None:
            innermost = innermost.inner
        near = at in self.mobiles or name in self.mobiles
        delay = _AIR if near else self.delay(at, name)
        message = getattr(innermost.event, "message", None)
        for more in self.fate(at, name, message):
            self.flying += 1
            self._world.later(delay + more, self._land, (at, name, packet, hops))

    def _land(self, flight: tuple[str, str, Packet, int]) -> None:
        at, name, packet, hops = flight
        self.flying -= 1
        if not self.machine(name).powered:
            return
        if name in self.mobiles:
            mobile = self.mobiles[name]
            if at in self.links and at not in map(self.joined, mobile.radios):
                return  # it moved in the meantime
            taken = self._unpacked_by(mobile, packet)
            if taken is not None:
                self._deliver(name, taken[1])
            return
        self._go(name, packet, hops - 1)

    def _deliver(self, name: str, packet: Packet) -> None:
        event = packet.event
        if event is None:
            return
        if isinstance(event, MessageReceived):
            for heard in self.on_arrived:
                heard(self.names.get(packet.source, packet.source.hex()), name, event.message)
            if self.machine(name).plain:
                self._complain(name, packet)
                return
        self.machine(name).tell(event)

    def _complain(self, name: str, packet: Packet) -> None:
        """A machine without mobility: Parameter Problem, unrecognised next header (RFC 4443)."""
        error = IcmpErrorReceived(4, 1, packet.destination, MOBILITY_HEADER)
        self._go(name, Packet(self.machine(name).address, packet.source, error), HOPS)

    # --- questions to links ---------------------------------------------------------------------------------------

    def probe_address(self, name: str, effect: ProbeAddress) -> None:
        """Duplicate Address Detection on the link of a home agent, or of a mobile node that is at home."""
        self._world.later(DAD, self._probed, (name, effect, self.machine(name).lives))

    def _probed(self, asked: tuple[str, ProbeAddress, int]) -> None:
        name, effect, life = asked
        machine = self.machine(name)
        if machine.lives != life:
            return
        place = self.agents[0] if name in self.agents else name
        if name in self.mobiles:
            radio = next(known for known in self.mobiles[name].radios if self.air.interface(known) == effect.interface)
            joined = self.joined(radio)
            if joined is None:
                machine.tell(AddressProbed(effect.interface, effect.address, False))
                return
            place = joined
        holder = self.holder(place, effect.address)
        others = [other for other in self._on_link(place) if other != name and self.machine(other).powered]
        taken = holder not in (None, name) or any(
            ("proxy", effect.address) in self.machine(other).host.held and (name, other) not in self.cut
            for other in others
        )
        machine.tell(AddressProbed(effect.interface, effect.address, taken))

    def _on_link(self, place: str) -> Sequence[str]:
        return self.agents if place == self.agents[0] else (place,)

    def probe_router(self, name: str, effect: ProbeRouter) -> None:
        """Neighbour Unreachability Detection."""
        self._world.later(DAD, self._found, (name, effect, self.machine(name).lives))

    def _found(self, asked: tuple[str, ProbeRouter, int]) -> None:
        name, effect, life = asked
        if self.machine(name).lives != life:
            return
        radio = next(known for known in self.mobiles[name].radios if self.air.interface(known) == effect.interface)
        place = self.joined(radio)
        there = place is not None and self.links[place].router == effect.router and (name, place) not in self.cut
        self.machine(name).tell(RouterProbed(effect.interface, effect.router, there))


def session(source: Address, destination: Address, **more: Any) -> Packet:
    """A packet of a session."""
    return Packet(source, destination, **more)
