"""What RFC 6275 promises: at any moment, after some quiet, and with nobody left.

The truth about nodes is where their radios are (`sim.mip6_air`) and what their engines signed (`Proofs`); what home
agents and correspondent nodes make of it is in their kernels and caches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sim import mip6_ledgers as ledgers
from sim.examiner import Examiner
from sim.mip6_air import Radios
from sim.mip6_domain import HOME, VISITOR, WITHOUT, Mip6Domain, Mobile
from sim.mip6_flows import MobileFlows
from sim.mip6_wires import Loop
from sim.world import Machine
from sojourn.core.effects import SendMessage
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingState
from sojourn.engines.mn import MobileNode
from sojourn.engines.mn_state import Place
from sojourn.wire import AlternateCareOfAddress, BindingUpdate, MobileNodeIdentifier
from sojourn.wire.addresses import Address, text
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import SECOND, Instant, WallClock


@dataclass(slots=True)
class Update:
    """A Binding Update that an engine of a mobile node sent."""

    number: int
    """Greater than that of all before."""
    sequence: int
    care_of: frozenset[Address]


class Proofs:
    """Who said what: the updates of the engines themselves, by (receiver, home address)."""

    def __init__(self, domain: Mip6Domain) -> None:
        self._mobiles = domain.mobiles
        self._fellows = {domain.members[name].address: domain.members[HOME].address for name in domain.agents}
        self._updates: dict[tuple[Address, Address], list[Update]] = defaultdict(list)
        self._number = 0
        domain.wires.on_update = self._on_update

    def _on_update(self, sender: str, sent: SendMessage) -> None:
        update = sent.message
        if sender not in self._mobiles or not isinstance(update, BindingUpdate) or not update.lifetime:
            return
        ways = {option.care_of for option in update.all(BindingIdentifier)}
        alternate = update.first(AlternateCareOfAddress)
        ways = ways or {alternate.address if alternate is not None else sent.source}
        self._number += 1
        known = Update(self._number, update.sequence, frozenset(ways))
        self._updates[self._group(sent.destination), sent.home_address or sent.source].append(known)

    def _group(self, receiver: Address) -> Address:
        """What is signed for one home agent of a link is signed for all: the authenticator covers care-of address,
        home address and message, not the home agent's address (RFC 4285 5.1)."""
        return self._fellows.get(receiver, receiver)

    def latest(self, receiver: Address, home: Address, sequence: int, care_of: Address) -> int:
        """The number of the latest update that says so; 0: there is none."""
        updates = self._updates[self._group(receiver), home]
        return next((u.number for u in reversed(updates) if u.sequence == sequence and care_of in u.care_of), 0)


class Mip6Truth:
    """The checkers of one domain."""

    def __init__(self, domain: Mip6Domain, air: Radios, flows: MobileFlows) -> None:
        self._domain, self._air, self._flows = domain, air, flows
        self._examiner = Examiner(domain.world, self._examine, _subject)
        self._proofs = Proofs(domain)
        self._accepted: dict[tuple[str, Address], dict[int | None, int]] = defaultdict(dict)
        """Of each home address at each home agent or correspondent node, the latest update that was believed: about
        all of it, or about one of its care-of addresses."""
        self._lives: dict[str, tuple[int, Instant]] = {}
        """The life of each mobile node, and until when bindings of an earlier one may live."""
        self._clocks: dict[str, tuple[int, WallClock]] = {}
        """The life of each home agent, and the latest time that its clock ever showed."""
        self._forgetful: set[str] = set()
        """Those that may take an old update for a new one: their clock was put back before they began."""

    # --- at any moment --------------------------------------------------------------------------------------------

    def now(self, calm: bool) -> list[str]:
        """See `sim.cast.Truth`."""
        self._read_clocks()
        return self._domain.wires.faults or self._examiner.faults() or [*self._unproved(), *self._astray()]

    def passing(self, calm: bool) -> set[str]:
        """See `sim.cast.Truth`."""
        return set()

    def _examine(self, machine: Machine) -> Iterator[str]:
        engine, machines = machine.engine, len(self._domain.members)
        if isinstance(engine, HomeAgent):
            yield from ledgers.ha(engine)
            yield from () if machine.kernel_is_behind else ledgers.kernel_of_ha(machine, engine)  # type: ignore[arg-type]
            yield from () if machine.disk_is_behind else ledgers.disk_of_ha(machine, engine)  # type: ignore[arg-type]
        elif isinstance(engine, MobileNode):
            yield from ledgers.mn(engine, machines)
            yield from () if machine.kernel_is_behind else ledgers.kernel_of_mn(machine, engine)  # type: ignore[arg-type]
        elif isinstance(engine, CorrespondentNode):
            yield from ledgers.cn(engine)
            yield from () if machine.kernel_is_behind else ledgers.kernel_of_cn(machine, engine)  # type: ignore[arg-type]

    def _read_clocks(self) -> None:
        for name in self._domain.serving:
            machine = self._domain.members[name]
            wall = machine.clock.wall(self._domain.world.now)
            life, latest = self._clocks.get(name, (0, wall))
            if machine.lives != life and wall < latest:
                self._forgetful.add(name)
            self._clocks[name] = machine.lives, max(wall, latest)

    def _unproved(self) -> Iterator[str]:
        """No binding that its node did not ask for, and never an earlier one after a later one."""
        for name in (*self._domain.serving, "cn1"):
            machine = self._domain.members[name]
            if machine.driver is None:
                continue
            for home, identifier, sequence, ways in _bindings(machine.engine):
                for care_of in ways:
                    number = self._proofs.latest(machine.address, home, sequence, care_of)
                    accepted = self._accepted[name, home]
                    about = accepted if identifier is None else {None, identifier}
                    before = max((accepted.get(one, 0) for one in about), default=0)
                    if not number:
                        yield f"{name} has a binding of {text(home)} to {text(care_of)} that nobody asked for"
                    elif number < before and name not in self._forgetful:
                        yield f"{name}: an earlier update of {text(home)} replaced a later one"
                    accepted[identifier] = number

    def _astray(self) -> Iterator[str]:
        """Packets to a node reach that node or nobody, and never go round."""
        for mobile in self._domain.mobiles.values():
            if self._has_forgotten(mobile):
                continue
            for network in mobile.permanent:
                for name in self._domain.correspondents:
                    try:
                        reached, _ = self._flows.down(network.address, name)
                    except Loop as loop:
                        yield f"packets to {network}: {loop}"
                        continue
                    if reached not in ("", mobile.name):
                        yield f"a packet to {network} of {mobile.name} reaches {reached}"
                    self._flows.up(mobile, network.address, name)

    def _has_forgotten(self, mobile: Mobile) -> bool:
        """Whether it may use an address whose anchor has a binding of an earlier life, which nobody ends."""
        lives = self._domain.members[mobile.name].lives
        if not self._domain.plan.anchors or lives == 1:
            return False
        life, until = self._lives.get(mobile.name, (1, 0))
        if lives != life:
            until = self._domain.world.now + self._domain.plan.mn["lifetime"] + 5 * SECOND
            self._lives[mobile.name] = lives, until
        return self._domain.world.now < until

    # --- after some quiet -----------------------------------------------------------------------------------------

    def settled(self) -> list[str]:
        """Everybody is reached where he is, and by the direct way where that can be."""
        return [fault for mobile in self._domain.mobiles.values() for fault in self._served(mobile)]

    def _served(self, mobile: Mobile) -> Iterator[str]:
        engine, places = self._domain.mn(mobile.name), self._air.mobile_on(mobile.name)
        entry = engine.homes[mobile.home]
        if entry.stopped:
            yield f"{mobile.name} gave up: {entry.stopped}"
        if not places or entry.stopped:
            return
        if entry.beside and (HOME not in places or len(places) < 2):
            yield f"{mobile.name} at {places} takes itself to be at home and abroad"
        at_home = places[0] == HOME and not entry.beside
        if at_home != (entry.place is Place.HOME):
            yield f"{mobile.name} at {places} takes itself to be {entry.place.value}"
            return
        bound = [name for name in self._domain.agents if self._care_of(name, mobile.home)]
        if at_home and bound:
            yield f"{mobile.name} is at home, and {bound} have a binding of it"
        if not at_home and [self._care_of(name, mobile.home) for name in bound] != [entry.care_of]:
            yield f"{mobile.name} at {places} is registered with {bound}, from {entry.care_of}"
        for network in mobile.permanent:
            for name in self._domain.correspondents:
                if not self._flows.up(mobile, network.address, name):
                    yield f"{mobile.name} at {places} cannot send from {network} to {name}"
                elif self._flows.down(network.address, name)[0] != mobile.name:
                    yield f"{mobile.name} at {places} cannot be reached at {network} from {name}"
        yield from self._agreed(mobile, bound)
        for flow in self._flows.flows:
            if flow.mobile is mobile and flow.address in engine.homes and flow.correspondent != WITHOUT:
                yield from self._direct(mobile, flow.address, flow.correspondent)

    def _agreed(self, mobile: Mobile, bound: list[str]) -> Iterator[str]:
        """Both ends know the same care-of addresses, and of the same flows which goes where."""
        entry = self._domain.mn(mobile.name).homes[mobile.home]
        if entry.place is not Place.AWAY or not entry.ways or not bound:
            return
        known = self._domain.ha(bound[0]).cache[mobile.home]
        if {number: way.care_of for number, way in known.ways.items()} != entry.acknowledged:
            yield f"{mobile.name} has care-of addresses {sorted(entry.acknowledged)}, {bound[0]} {sorted(known.ways)}"
        if known.steered != entry.flows.done[1]:
            here, there = (
                [text(flow.care_of_address) for flow in flows] for flows in (entry.flows.done[1], known.steered)
            )
            yield f"{mobile.name} steers its flows by {here}, {bound[0]} by {there}"

    def _direct(self, mobile: Mobile, home: Address, name: str) -> Iterator[str]:
        engine = self._domain.mn(mobile.name)
        entry = engine.homes[home]
        if entry.place is not Place.AWAY or entry.at_home_first or not engine.configuration.route_optimisation:
            return
        known = engine.correspondents.get((home, self._domain.correspondents[name]))
        if known is None or known.using is None or self._flows.down(home, name)[1] != "direct":
            state = "nothing" if known is None else [way.progress.value for way in known.ways.values()]
            yield f"{mobile.name} speaks to {name} from {text(home)} by the long way: {state}"

    def _care_of(self, name: str, home: Address) -> Address | None:
        entry = self._domain.ha(name).cache.get(home)
        return entry.care_of if entry is not None and entry.state is BindingState.ACTIVE else None

    def quiet(self) -> list[str]:
        """And nothing is left of earlier places."""
        faults = self.settled()
        for home, entry in self._domain.cn().cache.items():
            mobile = next((m for m in self._domain.mobiles.values() if home in self._domain.mn(m.name).homes), None)
            if mobile is None or entry.ended or not self._air.mobile_on(mobile.name):
                continue
            if entry.care_of != self._domain.mn(mobile.name).homes[home].care_of:
                faults.append(f"cn1 sends packets of {mobile.name} to {text(entry.care_of)}, where it was")
        return faults

    def idle(self) -> list[str]:
        """The same; and local home addresses are given up when no session uses them."""
        faults = self.quiet()
        for mobile in self._domain.mobiles.values():
            entries = self._domain.mn(mobile.name).homes.values()
            kept = [text(entry.address) for entry in entries if entry.local and entry.place is not Place.HOME]
            if kept and self._air.mobile_on(mobile.name):
                faults.append(f"{mobile.name} keeps {kept}, which nothing uses")
        return faults

    def empty(self) -> list[str]:
        """Nobody was ever here."""
        faults = []
        for name in (*self._domain.serving, "cn1"):
            machine = self._domain.members[name]
            engine, state = machine.engine, machine.plane.state
            if engine.cache or machine.store or machine.host.held:
                faults.append(
                    f"{name} has {len(engine.cache)} bindings, {len(machine.store)} records, {machine.host.held}"
                )
            if state.slots or state.prefixes or state.counters:
                faults.append(f"{name} forwards {state}")
            if engine._timers._live:
                faults.append(f"{name} waits for {list(engine._timers._live)}")
        for mobile in self._domain.mobiles.values():
            engine = self._domain.mn(mobile.name)
            if not self._air.noticed(mobile):
                continue
            if len(engine._requests) or engine.homes[mobile.home].place is not Place.NOWHERE:
                faults.append(f"{mobile.name} is nowhere, and asks {list(engine._requests._outstanding)}")
        return faults


def _subject(update: BindingUpdate) -> bytes | None:
    """Whom the rate of an update is counted for; a visitor may have several addresses at one anchor."""
    option = update.first(MobileNodeIdentifier)
    return None if option is None or option.identifier.startswith(VISITOR) else option.identifier


def _bindings(engine: object) -> Iterator[tuple[Address, int | None, int, list[Address]]]:
    """Home address, BID if it was about a single one, sequence number and care-of addresses of what packets go by."""
    if isinstance(engine, HomeAgent):
        for home, entry in engine.cache.items():
            if entry.state is BindingState.ACTIVE:
                yield home, None, entry.sequence, [way.care_of for way in entry.ways.values()] or [entry.care_of]
    elif isinstance(engine, CorrespondentNode):
        for home, known in engine.cache.items():
            if not known.ended and not known.ways:
                yield home, None, known.sequence, [known.care_of]
            for identifier, way in known.ways.items():
                yield home, identifier, known.sequences[identifier], [way.care_of]
