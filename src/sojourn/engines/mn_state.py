"""State and vocabulary of the mobile node: links, home addresses, the Binding Update List (RFC 6275 11.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sojourn.core.effects import SendMessage
from sojourn.core.sequence import following
from sojourn.engines.authentication import signed as authenticated
from sojourn.engines.base import OutboxEngine
from sojourn.engines.entropy import Entropy
from sojourn.engines.mip6_configuration import Home, MnConfiguration
from sojourn.engines.mn_flows import FlowList, Wanted, wanted
from sojourn.engines.retransmission import Key, Retransmission
from sojourn.wire import (
    LIFETIME_UNIT,
    AlternateCareOfAddress,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    MobilityOption,
)
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5568 import LinkLayerCode, MobilityHeaderLinkLayerAddress
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import Duration, Instant, WallClock

_FLAGS = int(BindingUpdateFlags.A | BindingUpdateFlags.H)
_STAMP_SECOND = 1 << 32
_STAMPS = 8
"""Timestamps remembered of one request: an answer to any of its transmissions counts."""
FIRST, AGAIN, LEAVE, DIRECT = "first", "home", "leave", "correspondent"
"""What a request is for: a home agent that has no binding, one that has, the end of a binding, a correspondent node."""
TAKEN = "somebody has the home address"
"""Why it is not used at home, until the node leaves, or asks again."""
FOREVER: Instant = 1 << 62
Ways = dict[int, Address]
"""Care-of addresses by binding identifier (BID), which is the number of the interface, in the order of preference."""


@dataclass(slots=True)
class Router:
    """A default router on a link."""

    prefixes: set[Prefix] = field(default_factory=set)
    anchors: dict[Prefix, Address] = field(default_factory=dict)
    """The router's own addresses, if it is a home agent for who visits (RFC 8818)."""
    interval: Duration = 0
    """At least so often it advertises itself (RFC 6275 7.3); 0: it did not say."""
    agent: bool = False


@dataclass(slots=True)
class CareOf:
    """An address of this host that packets reach it at where it is."""

    prefix: Prefix
    preferred: bool
    valid_until: Instant


@dataclass(slots=True)
class Link:
    """What one interface is attached to."""

    up: bool = False
    link_layer: LinkLayer = b""
    """Of this host there, if it is known."""
    routers: dict[Address, Router] = field(default_factory=dict)
    addresses: dict[Address, CareOf] = field(default_factory=dict)

    def advertised(self) -> set[Prefix]:
        """The prefixes of all routers."""
        return set().union(*(router.prefixes for router in self.routers.values()))


class Place(Enum):
    """Where the node is, seen from one home address."""

    NOWHERE = "nowhere"
    AWAY = "away"
    RETURNING = "returning"
    """On the home link; the home agent was told and did not answer yet."""
    HOME = "home"


@dataclass(slots=True)
class HomeEntry:
    """One home address, and its entry of the Binding Update List."""

    home: Home
    agent: Address | None
    place: Place = Place.NOWHERE
    care_of: Address | None = None
    interface: str = ""
    """The home link, when it is there."""
    arrived: bool = False
    """It may be used there: the home agent let go of it, or nobody has it."""
    sequence: int = 0
    asked: Duration = 0
    expires: Instant = 0
    """Of the binding; 0: there is none."""
    kept_until: Instant = 0
    """Until then a home agent may have a binding, as an answer may have been lost."""
    valid_until: Instant = FOREVER
    """The home address itself, as far as prefix discovery told."""
    registered: Address | None = None
    """The care-of address that the home agent acknowledged."""
    ways: Ways = field(default_factory=dict)
    """All care-of addresses, if several are registered (RFC 5648), the best one first."""
    acknowledged: Ways = field(default_factory=dict)
    """Those that the home agent has."""
    beside: int = 0
    """The BID of the home link, while the node is there and abroad at once (RFC 5648 5.6); 0: it is not."""
    apart: bool = False
    """The home agent does not want that."""
    flows: FlowList = field(default_factory=FlowList)
    """What it was asked to do with which packets (RFC 6089)."""
    single: bool = False
    """The home agent takes one care-of address only."""
    agents: tuple[Address, ...] = ()
    """Others of the home link that may be asked, in order."""
    successor: Address | None = None
    """The one that is asked while the binding of the first one still serves (see `mn_changeover`)."""
    left: tuple[Address, ...] = ()
    """Those that may have a binding besides, and are to delete it."""
    taken_at: tuple[Address, ...] = ()
    """Home agents that say that somebody has the home address; another one may have a binding of it."""
    doubted: tuple[int, ...] = ()
    """Sequence numbers of the updates in a row that the home agent found badly signed."""
    contested: bool = False
    """Somebody on the home link has it: perhaps the home agent, which is asked to let go."""
    order_stamp: int = 0
    """The latest timestamp of an order of the home agent (see `mn_orders`)."""
    withheld: set[int] = field(default_factory=set)
    """BIDs that the home agent took back (RFC 5846)."""
    dismissed: bool = False
    """The home agent of the configuration does not want to be asked (RFC 5142)."""
    stopped: str = ""
    """Why nothing is asked for any more; empty: it is."""
    shown: bool | None = None
    """Whether new connections use it abroad; None: nothing was said."""
    pause: Duration = 0
    """Before a refused request is repeated; doubles."""
    clock: Duration = 0
    """Our clock is to be read as so much later (RFC 4285 6)."""
    stamps: tuple[int, ...] = ()
    """Of the latest transmissions."""
    identifier: int = -1
    """Of the ICMPv6 question that is open, if one is."""
    tries: int = 0
    reachable: bool = False
    """Its packets have a way."""
    local: bool = False
    """A local home address (RFC 8818)."""
    unused: bool = False
    """No session had it when they were counted last."""

    @property
    def settled(self) -> bool:
        """Whether it is at home, and in use there."""
        return self.place is Place.HOME and self.arrived

    @property
    def address(self) -> Address:
        """The home address."""
        return self.home.address

    @property
    def at_home_first(self) -> bool:
        """Whether its packets take the home link, although it is abroad too."""
        first = next(iter(self.ways.items()), (0, b""))
        return first[1] == self.address and self.acknowledged.get(first[0]) == self.address

    def bound(self, now: Instant) -> bool:
        """Whether the home agent has a binding, as far as this node knows."""
        return self.expires > now

    def perhaps_bound(self, now: Instant) -> bool:
        """Whether it may have one."""
        return self.kept_until > now


class MnState(OutboxEngine):
    """What all procedures of a mobile node share."""

    def __init__(self, configuration: MnConfiguration, epoch: WallClock, seed: bytes) -> None:
        super().__init__(epoch)
        self.configuration = configuration
        self.homes = {home.address: HomeEntry(home, home.home_agent) for home in configuration.homes}
        """By home address: those of the configuration, and local ones."""
        self.links = {interface: Link() for interface in configuration.interfaces}
        self.current: tuple[str, Address | None] = ("", None)
        """The interface in use and the primary care-of address."""
        self.ways: Ways = {}
        """Care-of addresses of all links, the primary one first; empty unless several are to be registered."""
        self.anchored: dict[Address, Home] = {}
        """Addresses of the link where the node is, with their anchors (see `mn_anchors`)."""
        self.abandoned: dict[Address, HomeEntry] = {}
        """Local home addresses given up though the anchor, which did not answer, may still send their packets away."""
        self.nearest: Address | None = None
        """The local home address that new sessions use, if any (see `mn_nearest`)."""
        self.measured_from: Address | None = None
        """The care-of address that distances were measured from."""
        self.avoided: set[str] = set()
        """Interfaces that are used only when no other leads anywhere: they are about to go."""
        self._entropy = Entropy(seed)
        self._stamped = 0
        """The latest timestamp."""
        for entry in self.homes.values():
            entry.sequence = self._entropy.below(1 << 16)
        self._requests = Retransmission(
            configuration.retransmission,
            b"",
            self._do,
            self._timers.start,
            self._timers.stop,
            envelope=self._envelope,
        )

    def _envelope(self, key: Key, update: BindingUpdate) -> SendMessage:
        """What goes out for the request under `key`."""
        raise NotImplementedError

    # --- Binding Updates to a home agent (RFC 6275 11.7.1) ------------------------------------------------------------

    def _next_sequence(self, entry: HomeEntry) -> int:
        """Greater than that of every transmission before it, also of repetitions."""
        for purpose in (FIRST, AGAIN, LEAVE):
            outstanding = self._requests.get(self._key(entry, purpose))
            if outstanding is not None:
                entry.sequence = outstanding.update.sequence
        entry.sequence = following(entry.sequence)
        return entry.sequence

    def _key(self, entry: HomeEntry, purpose: str, agent: Address | None = None) -> Key:
        return purpose, entry.address, agent or entry.agent or b"", None

    def _home_update(self, entry: HomeEntry, lifetime: Duration) -> BindingUpdate:
        flags = _FLAGS
        if entry.home.router:
            flags |= int(BindingUpdateFlags.R)
        if entry.home.link_local:
            flags |= int(BindingUpdateFlags.L)
        return BindingUpdate(self._next_sequence(entry), flags, lifetime)

    def _home_envelope(self, entry: HomeEntry, key: Key, update: BindingUpdate) -> SendMessage:
        """With the time of now and signed, from where the node is: at home there is no Home Address option (11.5.5)."""
        at_home = entry.place is Place.RETURNING
        care_of = entry.address if at_home or entry.care_of is None else entry.care_of
        message = BindingUpdate(update.sequence, update.flags, update.lifetime)
        entry.sequence = update.sequence
        if update.lifetime:
            entry.kept_until = self._now + update.lifetime
        options: list[MobilityOption] = [AlternateCareOfAddress(care_of)]
        if update.lifetime and entry.ways:  # all at once, in the place of all before; the option above may not be there
            message.flags |= int(BindingUpdateFlags.B)  # flag O (RFC 5648 4.2, 5.3)
            options = [
                BindingIdentifier(identifier, home=way == entry.address, priority=rank, care_of=way)
                for rank, (identifier, way) in enumerate(entry.ways.items(), 1)
            ]
            if entry.beside:
                link = list(self.links.values())[entry.beside - 1]
                options.append(MobilityHeaderLinkLayerAddress(LinkLayerCode.MN, link.link_layer))
            options += entry.flows.asked(self._wanted_flows(entry))
        if update.lifetime and entry.home.router and not entry.home.implicit:
            options += [MobileNetworkPrefix.of(network) for network in entry.home.networks]
        options += self.configuration.vendor_options
        association = entry.home.association
        if association is not None:
            if association.identifier:
                options.append(MobileNodeIdentifier(association.identifier[0], association.identifier[1:]))
            if association.replay_protection:
                options.append(self._stamp(entry))
        message.options = tuple(options)
        if association is not None:
            authenticated(message, association, care_of, entry.address)
        return SendMessage(message, care_of, key[2], None if at_home else entry.address)

    def _wanted_flows(self, entry: HomeEntry) -> Wanted:
        """The flow bindings that follow from the configuration and the care-of addresses that there are."""
        links = {interface: number for number, interface in enumerate(self.links, 1) if number in entry.ways}
        if entry.beside != next(iter(entry.ways), 0):  # the home agent could not tell such packets apart
            links = {interface: number for interface, number in links.items() if number != entry.beside}
        return wanted(self.configuration.flows, links, self.avoided)

    def _stamp(self, entry: HomeEntry) -> MobilityMessageReplayProtection:
        """Greater than all before (RFC 4285 6), unless the clock was put back, as a home agent asked for."""
        option = MobilityMessageReplayProtection.at(self._epoch + self._now + entry.clock)
        if 0 <= self._stamped - option.timestamp < _STAMP_SECOND:
            option = MobilityMessageReplayProtection(self._stamped + 1)
        self._stamped = option.timestamp
        entry.stamps = (*entry.stamps[1 - _STAMPS :], option.timestamp)
        return option

    def _lifetime(self, entry: HomeEntry) -> Duration:
        """What to ask for: no more than home address and care-of address are valid for (11.7.1), at least a unit."""
        care_of = self._care_of()
        valid = min(entry.valid_until, care_of.valid_until if care_of is not None else FOREVER) - self._now
        return max(min(self.configuration.lifetime, valid) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)

    def _care_of(self) -> CareOf | None:
        interface, address = self.current
        link = self.links.get(interface)
        return None if link is None or address is None else link.addresses.get(address)

    def _cancel_requests(self, entry: HomeEntry) -> None:
        for purpose in (FIRST, AGAIN, LEAVE):
            self._requests.cancel(self._key(entry, purpose))

    # --- what the procedures do for each other ----------------------------------------------------------------------

    def _reconsider(self) -> None:
        """What follows from where the node is now."""
        raise NotImplementedError

    def _on_place_known(self, interface: str, care_of: Address | None) -> None:
        """The node is on this link now, with this care-of address."""
        raise NotImplementedError

    def _ways(self, entry: HomeEntry) -> Ways:
        """The care-of addresses that it is to have, if several are to be registered."""
        raise NotImplementedError

    def _be_nowhere(self, entry: HomeEntry) -> None:
        """There is no link."""
        raise NotImplementedError

    def _be_home(self, entry: HomeEntry, interface: str) -> None:
        """The home address is at home on this interface."""
        raise NotImplementedError

    def _be_away(self, entry: HomeEntry, care_of: Address) -> None:
        """The home address is abroad, and this is the way to it."""
        raise NotImplementedError

    def _discover(self, entry: HomeEntry) -> None:
        """Find a home agent."""
        raise NotImplementedError

    def _solicit_prefixes(self, entry: HomeEntry) -> None:
        """Ask what became of the prefix of the home address."""
        raise NotImplementedError

    def _on_moved(self, entry: HomeEntry) -> None:
        """The home agent is being told about another care-of address, or the same."""
        raise NotImplementedError

    def _on_reachable(self, entry: HomeEntry) -> None:
        """The home agent has the current care-of address."""
        raise NotImplementedError

    def _on_home(self, entry: HomeEntry) -> None:
        """The home address is at home again, and packets for it arrive there."""
        raise NotImplementedError

    def _drop_local(self, entry: HomeEntry) -> None:
        """A local home address is given up."""
        raise NotImplementedError

    def _show_again(self, entry: HomeEntry) -> None:
        """New sessions may use another address than until now."""
        raise NotImplementedError

    def _register(self, entry: HomeEntry) -> None:
        """Tell the home agent where the home address is."""
        raise NotImplementedError

    def _keep(self, entry: HomeEntry) -> None:
        """The registration is written down."""
        raise NotImplementedError

    def _lease(self, entry: HomeEntry) -> tuple[bytes, int, WallClock] | None:
        """The prefix that was delegated to this node, and until when; None: there is none."""
        raise NotImplementedError

    def _take_up_lease(self, entry: HomeEntry, network: Prefix, ends: WallClock) -> None:
        """An earlier life got it."""
        raise NotImplementedError

    def _let_go(self, entry: HomeEntry) -> None:
        """There is none any more."""
        raise NotImplementedError

    def _shorten(self, entry: HomeEntry) -> None:
        """The home address ends earlier than was thought."""
        raise NotImplementedError

    def _stop(self, entry: HomeEntry, why: str) -> None:
        """The home address is not used any more, until somebody says so."""
        raise NotImplementedError

    def _leave(self, entry: HomeEntry) -> None:
        """End the binding from abroad."""
        raise NotImplementedError

    def _forget_correspondents(self, entry: HomeEntry) -> None:
        """Nothing is known of correspondent nodes of this home address any more."""
        raise NotImplementedError
