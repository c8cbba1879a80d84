"""Sessions of mobile nodes, and the promise that they go on wherever the node goes: see `sim.flows`.

A session is between an address that is the node's for ever (its home address, or one of its mobile network) and a
correspondent node; with anchors (RFC 8818) also from the address that it got where it is. Nobody has to remember
anything for a session of the first kind: it is back as soon as node and home agent can speak to each other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sim.air import Node
from sim.mip6_air import Radios
from sim.mip6_domain import Mip6Domain, Mobile
from sim.mip6_wires import Loop, session
from sojourn.core.events import CorrespondentSeen, HomeAddressRefused, IcmpErrorReceived
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant

PER_NODE = 6
HANDOVER = 5 * SECOND
"""A node that got a link when all was calm has its sessions back after this time."""


@dataclass(slots=True)
class Flow:
    """One session."""

    mobile: Mobile
    address: Address
    correspondent: str
    begun: Instant
    worked: Instant
    local: bool = False
    """From an address of a visited link."""
    life: int = 0
    """Of the node's engine when it began."""
    lost: str = ""


class MobileFlows:
    """All sessions of one world."""

    def __init__(self, domain: Mip6Domain, air: Radios, recovery: Duration) -> None:
        """`recovery`: after trouble sessions work again in this time."""
        self._domain, self._air, self._recovery = domain, air, recovery
        self._world = domain.world
        self.flows: list[Flow] = []
        self.begun = 0
        self.excused = 0
        self._changed: dict[str, Instant] = dict.fromkeys(domain.mobiles, 0)
        air.on_changed = self._on_changed
        for mobile in domain.mobiles.values():
            domain.members[mobile.name].sessions = lambda mobile=mobile: self.counted(mobile)

    def _on_changed(self, mobile: str) -> None:
        self._changed[mobile] = self._world.now

    def counted(self, mobile: Mobile) -> dict[Address, int]:
        """What the sockets of a node use."""
        return Counter(flow.address for flow in self.flows if flow.mobile is mobile)

    def begin(self, node: Node) -> None:
        """A session from an address that the node has, if there are not too many."""
        mobile = self._domain.owner(node.name)
        mine = [flow for flow in self.flows if flow.mobile is mobile]
        now = self._world.now
        addresses = [mobile.home, *([_host(mobile.network)] if mobile.network else [])]
        here = [held for radio, held in mobile.held.items() if self._air.nodes[radio].place == node.place]
        local = [made for held in here for made, place in held.items() if place == node.place]
        if self._domain.plan.anchors:
            addresses += local
        which = addresses[self.begun % len(addresses)]
        to = ("cn1", "cn1", "cn2")[self.begun % 3]
        self.begun += 1
        if (
            node.place is None
            or len(mine) >= PER_NODE
            or any((f.address, f.correspondent) == (which, to) for f in mine)
        ):
            return
        life = self._domain.members[mobile.name].lives
        self.flows.append(Flow(mobile, which, to, now, now, which in local, life))

    def end(self, node: Node) -> None:
        """The oldest session of the node is over."""
        mobile = self._domain.owner(node.name)
        for flow in self.flows:
            if flow.mobile is mobile:
                self.flows.remove(flow)
                return

    def end_all(self) -> None:
        """Nobody sends anything any more."""
        self.flows.clear()

    def tick(self, calm_since: Instant) -> list[str]:
        """A packet each way on every session; what should have arrived and did not."""
        faults = []
        now = self._world.now
        calm = now - calm_since > self._recovery
        for flow in list(self.flows):
            if self.works(flow, sent=True):
                flow.worked = now
                continue
            flow.lost = self._excuse(flow, calm)
            if flow.lost:
                self.flows.remove(flow)
                self.excused += 1
            elif calm and self._is_due(flow.mobile):
                faults.append(self._words(flow))
        return faults

    def _excuse(self, flow: Flow, calm: bool) -> str:
        """A local home address is kept by the node alone, as long as its anchor can be asked."""
        if not flow.local:
            return ""
        if not calm:
            return "trouble"
        return "the node forgot" if flow.life != self._domain.members[flow.mobile.name].lives else ""

    def _is_due(self, mobile: Mobile) -> bool:
        return bool(self._air.mobile_on(mobile.name)) and self._world.now - self._changed[mobile.name] > HANDOVER

    def works(self, flow: Flow, *, sent: bool = False) -> bool:
        """Whether a packet gets both ways. One that is `sent` is seen by those who watch."""
        up = self.up(flow.mobile, flow.address, flow.correspondent, sent=sent)
        try:
            return self.down(flow.address, flow.correspondent, sent=sent)[0] == flow.mobile.name and up
        except Loop:
            return False

    def up(self, mobile: Mobile, source: Address, name: str, *, sent: bool = False) -> bool:
        """Whether a packet of the node gets to a correspondent node."""
        wires, correspondent = self._domain.wires, self._domain.correspondents[name]
        machine = self._domain.members[name]
        care_of = self._domain.members[mobile.name].host.held.get(("direct", source, correspondent))
        if care_of is None:
            found = wires.trace(mobile.name, session(source, correspondent))
            arrived = found is not None and found[0] == name
        else:
            found = wires.trace(mobile.name, session(care_of, correspondent, home_address=source))
            taken = (machine.host.held.get(("route", source)), *machine.host.held.get(("also", source), ()))
            arrived = found is not None and found[0] == name and care_of in taken
            if found is not None and not arrived and sent:
                machine.tell(HomeAddressRefused(source, care_of, correspondent))
        if arrived and sent:
            machine.plane.traffic(Prefix(source, 128))
        return arrived

    def down(self, destination: Address, name: str, *, sent: bool = False) -> tuple[str, str]:
        """Whom a packet reaches, and how: ``direct``, ``tunnel``, ``plain``; two empty words: nobody."""
        wires, correspondent = self._domain.wires, self._domain.correspondents[name]
        machine = self._domain.members[name]
        care_of = machine.host.held.get(("route", destination))
        if care_of is not None:
            found = wires.trace(name, session(correspondent, care_of, routed_to=destination))
            if found is None:
                if sent and machine.powered:
                    machine.tell(IcmpErrorReceived(1, 3, care_of, 0))
                return "", ""
            held = wires.machine(found[0]).host.held
            _, ways, _ = held.get(("ways", destination), (b"", (), ()))
            taken = (held.get(("direct", destination, correspondent)), *(way.care_of_address for way in ways))
            accepts = care_of in taken
            return (found[0], "direct") if accepts else ("", "")
        found = wires.trace(name, session(correspondent, destination))
        if found is None:
            return "", ""
        tunnelled = any(visited in self._domain.serving for visited in found[1]) and (
            ("out", destination) in wires.machine(found[0]).host.held
        )
        if sent and tunnelled and found[0] in self._domain.mobiles:
            wires.machine(found[0]).tell(CorrespondentSeen(destination, correspondent))
        return found[0], "tunnel" if tunnelled else "plain"

    def _words(self, flow: Flow) -> str:
        out = (self._world.now - flow.worked) / SECOND
        where = self._air.mobile_on(flow.mobile.name)
        pair = f"{Prefix(flow.address, 128)} with {flow.correspondent}"
        return f"{flow.mobile.name} at {where}: session of {pair} cut for {out:.0f} s"


def _host(network: Prefix) -> Address:
    return network.address[:15] + b"\x77"
