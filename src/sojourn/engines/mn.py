"""The mobile node of Mobile IPv6 (RFC 6275 section 11), and the mobile router (RFC 3963 section 5).

It keeps its home addresses wherever it is. How it notices that it moved is in `mn_movement`, how it registers with home
agents in `mn_registration`, by which ways packets leave in `mn_ways`, how it comes home in `mn_home`, what home agents
tell it to do in `mn_orders`, how it finds them in `mn_discovery`, the direct way to correspondent nodes in
`mn_correspondent`, `mn_direct_ways`, `mn_return_routability` and `mn_direct_registration`, local home addresses at
anchors in `mn_anchors`, which anchor is the nearest in `mn_nearest`, and how a mobile router gets a prefix for what is
behind it in `mn_delegation`. With `several` it registers the care-of addresses of all links (RFC 5648), and says which
packets take which (`mn_flows`).

Left out: IPsec (the operator's), CGA (RFC 4866).
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import DeleteBinding, Effect, EnsureUplink, SendMessage, StoreBinding
from sojourn.core.engine import Row
from sojourn.core.events import (
    AddressChanged,
    AddressProbed,
    ClockStepped,
    Commanded,
    CorrespondentSeen,
    DhcpReceived,
    EffectFailed,
    Event,
    IcmpErrorReceived,
    Icmpv6Received,
    LinkChanged,
    MessageReceived,
    NameResolved,
    PathProbed,
    RouterProbed,
    SessionsCounted,
)
from sojourn.core.mobile_effects import (
    EnsureCareOfPeers,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    ProbeAddress,
    SendDhcpv6,
    WithdrawHomeAddress,
)
from sojourn.engines.base import TimerName
from sojourn.engines.mip6_configuration import MnConfiguration
from sojourn.engines.mn_correspondent import MnCorrespondent
from sojourn.engines.mn_delegation import MnDelegation
from sojourn.engines.mn_discovery import MnDiscovery
from sojourn.engines.mn_movement import MnMovement
from sojourn.engines.mn_nearest import MnNearest
from sojourn.engines.mn_orders import MnOrders
from sojourn.engines.mn_records import MnRecords
from sojourn.engines.mn_state import DIRECT, HomeEntry
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingErrorStatus,
    BindingRefreshRequest,
    BindingRevocationIndication,
    BindingUpdate,
    CareOfTest,
    HomeTest,
)
from sojourn.wire.addresses import text
from sojourn.wire.extensions.rfc5096 import ExperimentalMobilityHeader
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6275_discovery import HomeAgentAddressDiscoveryReply, MobilePrefixAdvertisement
from sojourn.wire.icmpv6 import RouterAdvertisement
from sojourn.wire.mobility import MOBILITY_HEADER
from sojourn.wire.units import SECOND, Instant, WallClock

_PARAMETER_PROBLEM = 4
_UNRECOGNISED_NEXT_HEADER = 1
_UNRECOGNISED_OPTION = 2
_REPAIR_AFTER = 1 * SECOND
_SHOWN = 64
"""Octets of an experiment that are written down."""


class MobileNode(MnDelegation, MnRecords, MnMovement, MnOrders, MnDiscovery, MnCorrespondent, MnNearest):
    """The engine of the role ``mn``. `seed`: octets that nobody can guess (see `entropy`)."""

    def __init__(self, configuration: MnConfiguration, epoch: WallClock, seed: bytes) -> None:
        super().__init__(configuration, epoch, seed)
        self._kept, self._kept_direct, self._resumed = set(), set(), {}
        self.correspondents = {}
        self.delegations = {}
        self._tests_sent = {}
        self.candidates = {}

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`."""
        self._now = now
        if self.configuration.care_of_peers:
            self._do(EnsureCareOfPeers(self.configuration.care_of_peers))
        self._take_up(records)
        return self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._on_message(event)
            case Icmpv6Received():
                self._on_icmpv6(event)
            case LinkChanged():
                self._on_link_changed(event)
            case AddressChanged():
                self._on_address_changed(event)
            case RouterProbed():
                self._on_router_probed(event)
            case AddressProbed():
                self._on_probed(event)
            case CorrespondentSeen():
                self._on_correspondent_seen(event)
            case SessionsCounted(sessions):
                self._on_sessions_counted(sessions)
            case PathProbed(remote):
                self._on_path_probed(remote)
            case NameResolved(name, addresses):
                self._on_name_resolved(name, addresses)
                self._on_anchors_resolved(name, addresses)
            case DhcpReceived():
                self._on_dhcp(event)
            case IcmpErrorReceived():
                self._on_icmp_error(event)
            case ClockStepped(epoch):
                self._epoch = epoch
                self._keep_all()
            case EffectFailed():
                self._on_effect_failed(event)
            case Commanded(verb, arguments):
                self._on_command(verb, arguments)
            case _:
                pass

    def _on_message(self, event: MessageReceived) -> None:
        match event.message:
            case BindingAcknowledgement() as answer:
                if not self._on_home_acknowledgement(event, answer):
                    self._on_direct_acknowledgement(event, answer)
            case HomeTest() | CareOfTest() as message:
                self._on_test(event, message)
            case BindingRefreshRequest():
                self._on_refresh_request(event)
            case BindingError() as error:
                self._on_binding_error(event, error)
            case HomeAgentSwitch() as message:
                self._on_switch(event, message)
            case BindingRevocationIndication() as message:
                self._on_revocation(event, message)
            case ExperimentalMobilityHeader(data) if self.configuration.experiments:
                self._report("experiment-received", source=event.source, data=data[:_SHOWN].hex())
            case message:
                self._report("message-unexpected", source=event.source, type=type(message).__name__)

    def _on_refresh_request(self, event: MessageReceived) -> None:
        """11.7.4: of those only that have a binding."""
        home = event.routed_to or event.destination
        entry = self.homes.get(home)
        if entry is not None and event.source == entry.agent and entry.bound(self._now):
            self._register(entry)
        else:
            identifiers = [option.identifier for option in event.message.all(BindingIdentifier)]
            self._on_direct_refresh_request(event.source, home, identifiers)

    def _on_binding_error(self, event: MessageReceived, error: BindingError) -> None:
        """11.3.6: from somebody that an update was sent to, or ignored."""
        if error.status == BindingErrorStatus.UNKNOWN_MESSAGE_TYPE:
            self._on_unsupported(event.source, "binding error 2")
            return
        entry = self.homes.get(error.home_address)
        if entry is not None and entry.agent == event.source and entry.bound(self._now):
            self._register(entry)  # the tunnel stays: nothing proves who sent the message
        else:
            self._on_unknown_binding(event.source, error.home_address)

    def _on_icmpv6(self, event: Icmpv6Received) -> None:
        match event.message:
            case RouterAdvertisement() as advertisement:
                self._on_advertisement(event, advertisement)
            case HomeAgentAddressDiscoveryReply() as reply:
                self._on_agents(reply)
            case MobilePrefixAdvertisement() as advertisement:
                self._on_prefixes(event, advertisement)
            case _:
                pass

    def _on_icmp_error(self, event: IcmpErrorReceived) -> None:
        """11.3.5: Parameter Problem, code 1, to a Mobility Header; code 2 is only written down."""
        if event.type != _PARAMETER_PROBLEM:
            return
        if event.code == _UNRECOGNISED_NEXT_HEADER and event.protocol == MOBILITY_HEADER:
            self._on_unsupported(event.destination, "no Mobility Header")
        elif event.code == _UNRECOGNISED_OPTION:
            self._report("home-address-option-unknown", correspondent=event.destination)

    def _envelope(self, key: Key, update: BindingUpdate) -> SendMessage:
        if key[0] == DIRECT:
            return self._direct_envelope(self.correspondents[key[1], key[2]].ways[_number(key)], update)
        return self._home_envelope(self.homes[key[1]], key, update)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "request":
            self._on_request_timer(key)
        elif kind == "router":
            self._on_router_silent(*key)
        elif kind == "router-end":
            self._lose_router(*key)
        elif kind == "nearest":
            self._on_distances_known()
        elif kind == "measure":
            self._measure()
        elif kind == "sessions":
            self._check_sessions()
        elif kind == "store":
            self._store_again(key)
        elif kind == "delegation":
            self._on_delegation_due(self.homes[key])
        elif kind == "direct-repair":
            self._use(self.correspondents[key])
        elif isinstance(key, tuple):
            peer = self.correspondents.get(key[:2])
            if peer is not None and key[2] in peer.ways:
                self._on_direct_timer(kind, peer.ways[key[2]])
        elif key in self.homes:
            self._on_home_timer(kind, self.homes[key])
            self._on_discovery_timer(kind, self.homes[key])

    def _on_request_timer(self, key: Key) -> None:
        if key[0] == DIRECT:
            self._requests.due(key, self._now)
        else:
            self._on_request_due(self.homes[key[1]], key)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        """The kernel refused. Without a tunnel nothing is sent; what should hold is asked for again after a moment."""
        effect = event.effect
        self._report("effect-failed", effect=type(effect).__name__, error=event.error, reason=event.reason)
        match effect:
            case EnsureReverseTunnel(home) if home in self.homes:
                entry = self.homes[home]
                entry.registered = None
                self._block(entry)
                self._after(_REPAIR_AFTER, "again", entry.address)
            case EnsureReverseFlows(home) if home in self.homes:
                entry = self.homes[home]
                entry.flows.done = (), ()
                if entry.beside:
                    self._do(EnsureHomeBlock(home))  # there may be no way by the home link alone
                self._after(_REPAIR_AFTER, "again", home)
            case EnsureHomeBlock(home) if home in self.homes:
                self._do(WithdrawHomeAddress(home))  # what cannot be kept from leaving is not to be had
                self._after(_REPAIR_AFTER, "repair", home)
            case EnsureHomeAddress(home) if home in self.homes:
                self._do(EnsureHomeBlock(home))
                self._after(_REPAIR_AFTER, "repair", home)
            case SendDhcpv6():
                pass  # sent again in any case
            case EnsureUplink(network):
                for entry in self.homes.values():
                    if network in entry.home.networks:
                        self._after(_REPAIR_AFTER, "repair", entry.address)
            case EnsureRouteOptimisation(home, correspondent) if (home, correspondent) in self.correspondents:
                self._after(_REPAIR_AFTER, "direct-repair", (home, correspondent))
            case ProbeAddress(_, home) if home in self.homes:
                self._after(_REPAIR_AFTER, "repair", home)
            case StoreBinding() | DeleteBinding():
                self._after(_REPAIR_AFTER, "store", effect.key)
            case _:
                pass

    # --- for people -----------------------------------------------------------------------------------------------

    def _on_command(self, verb: str, arguments: dict[str, str]) -> None:
        """``register``: everything that was stopped begins again. ``avoid`` and ``use`` with ``interface``."""
        interface = arguments.get("interface", "")
        if verb in ("avoid", "use") and interface in self.links:
            (self.avoided.add if verb == "avoid" else self.avoided.discard)(interface)
            self._report("link-preference", interface=interface, avoided=int(verb == "avoid"))
            self._reconsider()
            return
        if verb == "experiment" and self.configuration.experiments:
            self._experiment(arguments.get("data", ""))
            return
        if verb != "register":
            self._report("command-unknown", verb=verb, arguments=len(arguments))
            return
        for entry in self.homes.values():
            entry.stopped, entry.pause, entry.taken_at = "", 0, ()
            entry.withheld.clear()
        self._reconsider()
        for entry in self.homes.values():
            if entry.registered is None:
                self._register(entry)

    def _experiment(self, data: str) -> None:
        """Tell it to the home agents (RFC 5096)."""
        try:
            message = ExperimentalMobilityHeader(bytes.fromhex(data) or bytes(2))
        except ValueError as error:
            self._report("command-malformed", verb="experiment", reason=str(error))
            return
        for entry in self.homes.values():
            if entry.agent is not None and entry.care_of is not None and entry.bound(self._now):
                self._do(SendMessage(message, entry.care_of, entry.agent, entry.address))

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``bindings`` (home agents) and ``sessions`` (correspondent nodes)."""
        if topic == "bindings":
            return [self._home_row(entry, now) for entry in self.homes.values()]
        if topic == "sessions":
            return [
                {
                    "home": text(peer.home),
                    "correspondent": text(peer.correspondent),
                    "state": way.progress.value,
                    "care_of": None if way.care_of is None else text(way.care_of),
                    "used": way.care_of is not None and way.care_of == peer.using,
                    "lifetime": max(way.expires - now, 0) // SECOND,
                }
                for peer in self.correspondents.values()
                for way in peer.ways.values()
            ]
        return []

    def _home_row(self, entry: HomeEntry, now: Instant) -> Row:
        return {
            "home": text(entry.address),
            "agent": None if entry.agent is None else text(entry.agent),
            "place": entry.place.value,
            "care_of": None if entry.care_of is None else text(entry.care_of),
            "registered": entry.registered is not None,
            "networks": [str(network) for network in entry.home.networks],
            "local": entry.local,
            "stopped": entry.stopped,
            "lifetime": max(entry.expires - now, 0) // SECOND,
        }


def _number(key: Key) -> int:
    """The BID that a request is about."""
    assert isinstance(key[3], int)
    return key[3]
