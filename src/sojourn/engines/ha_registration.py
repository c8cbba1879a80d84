"""A home agent answers Binding Updates (RFC 6275 10.3; RFC 3963 6.2); what they must be is in `ha_checks`."""

from __future__ import annotations

from typing import NamedTuple

from sojourn.core.effects import SendMessage, WithdrawPrefix
from sojourn.core.events import AddressProbed, MessageReceived
from sojourn.core.mobile_effects import EnsureFlows, Flow, ProbeAddress, WithdrawProxyNeighbour
from sojourn.engines.authentication import signed
from sojourn.engines.care_of_ways import Ways, best, copies
from sojourn.engines.ha_checks import HaChecks
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_flows import flows_after
from sojourn.engines.ha_flows import refused as refused_flows
from sojourn.engines.ha_multiple import changed, ended, link_layer_of
from sojourn.engines.mip6_configuration import MAX_DELETE_BCE_TIMEOUT, HomeNode
from sojourn.engines.mip6_request import (
    ROUTER,
    BindingRequest,
    Discarded,
    defended,
    with_options,
)
from sojourn.engines.registration import Refused
from sojourn.wire import (
    LIFETIME_UNIT,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingRefreshAdvice,
    BindingRefreshRequest,
    BindingUpdate,
    MobileNodeIdentifier,
    MobilityOption,
    RevocationTrigger,
    Status,
    VendorSpecific,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6089 import FlowIdentification
from sojourn.wire.units import SECOND, Duration

_PROBE_TIME = 3 * SECOND
"""Duplicate Address Detection takes one; whoever does not answer at all is not waited for longer."""
_REFRESH_PART = 8
"""The node is asked for a refresh when this part of the lifetime is left: it should have come by itself before."""
_LOW = 0xFFFFFFFF
_VENDOR_OPTIONS = 4
"""Of one node that are kept."""


class _Asked(NamedTuple):
    """What a request asks for, and what of it cannot be had."""

    networks: tuple[Prefix, ...]
    ways: Ways
    wrong: dict[int, Status]


class HaRegistration(HaChecks):
    """The home agent as the one that is asked."""

    _probing: dict[Address, Address]
    """Addresses that are tested, and the home address that each belongs to."""

    def _on_update(self, event: MessageReceived, update: BindingUpdate) -> None:
        node: HomeNode | None = None
        try:
            request = BindingRequest.of(event, update)
        except Discarded as discarded:
            self._report("update-discarded", source=event.source, reason=str(discarded))
            return
        try:
            self._check_kind(request)
            node = self._node(request)
            self._authenticate(request, node)
            entry = self.cache.get(request.home)
            self._check_order(request, node, entry)
            if request.lifetime and self._forbidden(request.home) == ():
                raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the binding is being revoked")
            if request.lifetime:
                self._register(request, node, entry)
            else:
                self._deregister(request, node, entry)
        except Discarded as discarded:
            self._report("update-discarded", source=request.source, home=request.home, reason=str(discarded))
        except Refused as refused:
            self._refuse(request, node, refused)

    # --- registration (RFC 6275 10.3.1) -----------------------------------------------------------------------------

    def _register(self, request: BindingRequest, node: HomeNode, entry: BindingCacheEntry | None) -> None:
        asked = self._asked(request, node, entry)
        for care_of in {way.care_of for way in asked.ways.values() if way.care_of != request.home} or {request.care_of}:
            request.check_care_of(care_of, care_of == self._address or self._active(care_of) is not None)
        if entry is None:
            if len(self.cache) >= self.configuration.bindings:
                raise Refused(Status.INSUFFICIENT_RESOURCES, "too many bindings")
            entry = BindingCacheEntry(request.home, self._slots.take(), node, BindingState.TENTATIVE)
            self.cache[request.home] = entry
        if entry.state is BindingState.ACTIVE:
            self._check_stay(entry, request, asked)
            self._accept(entry, request, asked)
        elif entry.unprobed:
            entry.pending = request  # a repetition; the test goes on
        else:
            self._probe(entry, request, asked)

    def _asked(self, request: BindingRequest, node: HomeNode, entry: BindingCacheEntry | None) -> _Asked:
        """Raises `Refused`."""
        return _Asked(self._networks(request, node, entry), *self._ways(request, entry))

    def _networks(self, request: BindingRequest, node: HomeNode, entry: BindingCacheEntry | None) -> tuple[Prefix, ...]:
        """The mobile network prefixes that it registers (RFC 3963 6.2). Raises `Refused`."""
        router = bool(request.update.flags & ROUTER)
        if entry is not None and entry.state is BindingState.ACTIVE and entry.is_router != router:
            raise Refused(Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "flag R is not that of the binding")
        if not router:
            return ()
        if not self.configuration.mobile_routers:
            raise Refused(Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED, "no mobile routers here")
        named = [option.prefix for option in request.all(MobileNetworkPrefix)]
        for network in named:
            if not 0 < network.length <= 128 or network.overlaps(Prefix(self._address, 128)):
                raise Refused(Status.INVALID_PREFIX, "not a prefix of a mobile network")
            if network not in node.prefixes:
                raise Refused(Status.NOT_AUTHORIZED_FOR_PREFIX, "prefix of somebody else")
        if not named and not node.prefixes:
            raise Refused(Status.FORWARDING_SETUP_FAILED, "no prefix is known for this mobile router")
        return tuple(dict.fromkeys(named)) or node.prefixes

    def _ways(self, request: BindingRequest, entry: BindingCacheEntry | None) -> tuple[Ways, dict[int, Status]]:
        """All care-of addresses of the node after this request, and what is wrong with which (RFC 5648 6.2)."""
        if request.first(BindingIdentifier) is not None and not self.configuration.several:
            raise Refused(Status.MCOA_PROHIBITED, "one care-of address only")
        active = entry is not None and entry.state is BindingState.ACTIVE
        known = entry.ways if entry is not None and active else {}
        home_too = self.configuration.home_too and bool(self.configuration.interface)
        home_too = home_too and not request.update.flags & ROUTER
        ways, wrong = changed(request, known, active and not known, home_too)
        for identifier in self._forbidden(request.home) or ():
            if ways.pop(identifier, None) is not None:
                wrong[identifier] = Status.ADMINISTRATIVELY_PROHIBITED
        if wrong and not ways:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "these care-of addresses are being revoked")
        return ways, wrong

    def _check_stay(self, entry: BindingCacheEntry, request: BindingRequest, asked: _Asked) -> None:
        """RFC 5142 5.3: who was told for long to use another home agent keeps its binding until that ends, wherever it
        goes meanwhile; it is not made longer.
        """
        moved = asked.ways != entry.ways or (not asked.ways and request.care_of != entry.care_of)
        if self._was_told(entry) and not moved and asked.networks == entry.prefixes:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the node is to use another home agent")

    def _forbidden(self, home: Address) -> tuple[int, ...] | None:
        """What is being revoked: some BIDs, everything when there are none; None: nothing."""
        raise NotImplementedError

    def _take_back(
        self, entry: BindingCacheEntry, trigger: RevocationTrigger, identifiers: tuple[int, ...] = ()
    ) -> None:
        """Revoke a binding, or some care-of addresses."""
        raise NotImplementedError

    def _probe(self, entry: BindingCacheEntry, request: BindingRequest, asked: _Asked) -> None:
        """Duplicate Address Detection, unless nobody can be on the home link. An optimist accepts meanwhile, but tells
        the link nothing before the end of the test: who has the address is not disturbed (RFC 4429 3.3).
        """
        interface = self.configuration.interface
        self._timers.stop(("expiry", entry.home))
        if not interface or not self.configuration.duplicate_address_detection:
            self._accept(entry, request, asked)
            return
        entry.unprobed = set(defended(request.home, request.update.flags))
        self._after(_PROBE_TIME, "probe", entry.home)
        for address in defended(request.home, request.update.flags):
            self._probing[address] = entry.home
            self._do(ProbeAddress(interface, address))
        if self.configuration.optimistic_duplicate_address_detection and entry.home not in self._contested:
            self._accept(entry, request, asked)
        else:
            entry.pending = request

    def _on_probed(self, event: AddressProbed) -> None:
        entry = self.cache.get(self._probing.pop(event.address, b""))
        if entry is None or event.address not in entry.unprobed:
            return
        if event.duplicate:
            self._fail(entry, Refused(Status.DUPLICATE_ADDRESS_DETECTION_FAILED, "somebody has that address"))
            return
        entry.unprobed.discard(event.address)
        if not entry.unprobed:
            self._timers.stop(("probe", entry.home))
            self._contested.discard(entry.home)
            request, entry.pending = entry.pending, None
            if request is not None:
                self._accept(entry, request, self._asked(request, entry.node, entry))
            else:
                self._defend(entry)

    def _fail(self, entry: BindingCacheEntry, refused: Refused) -> None:
        """The home address could not be had, or not be kept: then the node asks again, and is answered after a test."""
        request = entry.pending
        self._stop_probing(entry)
        if request is None:
            self._report("address-contested", home=entry.home, reason=refused.reason)
            if len(self._contested) < self.configuration.bindings:
                self._contested.add(entry.home)
            entry.yielded = True
            self._take_back(entry, RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE)
            return
        if entry.home in self.cache:
            self._remove(entry)
        if request is not None:
            self._refuse(request, entry.node, refused)

    def _stop_probing(self, entry: BindingCacheEntry) -> None:
        """Nobody waits for the end of Duplicate Address Detection. What began with it ends with it."""
        for address in entry.unprobed:
            self._probing.pop(address, None)
        entry.pending = None
        entry.unprobed = set()
        self._timers.stop(("probe", entry.home))
        if entry.state is BindingState.TENTATIVE:
            self._remove(entry)

    def _accept(self, entry: BindingCacheEntry, request: BindingRequest, asked: _Asked) -> None:
        """Tunnel, route, interception, and only then the acknowledgement."""
        before = entry.care_of, entry.flags, entry.prefixes, entry.state
        way, ends = entry.way, entry.tunnel_ends
        networks, ways, wrong = asked
        if entry.state is BindingState.ACTIVE:
            self._shrink(entry, request, networks)
        steered, entry.ways = entry.steered, ways
        abroad = {identifier: known for identifier, known in ways.items() if known.care_of != entry.home}
        at_home = len(abroad) < len(ways)
        entry.link_layer = (link_layer_of(request) or entry.link_layer) if at_home else b""
        flows = self._flows(entry, request, ways)
        entry.care_of, entry.flags, entry.prefixes = (
            best(abroad) if abroad else request.care_of,
            request.update.flags,
            networks,
        )
        entry.sequence, entry.state = request.sequence, BindingState.ACTIVE
        granted, status = self._granted(request, entry.node)
        left = max((entry.expires - self._now) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)
        entry.lifetime = min(granted, left) if self._was_told(entry) else granted
        entry.expires = self._now + entry.lifetime
        self._timers.start(("expiry", entry.home), entry.expires)
        self._timers.start(("refresh", entry.home), entry.expires - entry.lifetime // _REFRESH_PART)
        if before[1:] != (entry.flags, entry.prefixes, entry.state):
            self._forward(entry)
            steered = entry.steered if entry.flows else steered
        elif way != entry.way:
            self._lead(entry)
        self._accept_from(entry, ends)
        self._steer(entry, steered)
        self._keep(entry)
        if before[3] is not BindingState.ACTIVE:
            self._report("registered", home=entry.home, care_of=entry.care_of)
        elif before[0] != entry.care_of:
            self._report("handover", home=entry.home, care_of=entry.care_of, left=before[0])
        entry.vendors = tuple(
            option for option in request.all(VendorSpecific) if option.vendor in self.configuration.vendors
        )[:_VENDOR_OPTIONS]
        flags = int(BindingAcknowledgementFlags.R) if entry.is_router else 0
        told = dict(wrong)
        if at_home and status is Status.ACCEPTED:
            status = Status.MCOA_RETURNHOME_WO_NDP
            told |= {identifier: status for identifier, known in ways.items() if known.care_of == entry.home}
        answer = request.acknowledgement(Status.MCOA_NOTCOMPLETE if wrong else status, flags, entry.lifetime)
        self._answer(request, entry.node, answer, self._advice(entry), *copies(request, told), *flows, *entry.vendors)

    def _flows(self, entry: BindingCacheEntry, request: BindingRequest, ways: Ways) -> list[FlowIdentification]:
        """The flow bindings after this request, and what is answered (RFC 6089 5.3)."""
        if not self.configuration.flows:
            return refused_flows(request)
        entry.flows, answers = flows_after(request, entry.flows, ways)
        return answers

    def _steer(self, entry: BindingCacheEntry, before: tuple[Flow, ...]) -> None:
        """Behind the tunnels that it leads into."""
        if entry.steered != before:
            self._do(EnsureFlows(entry.slot, entry.steered))

    def _shrink(self, entry: BindingCacheEntry, request: BindingRequest, networks: tuple[Prefix, ...]) -> None:
        """What the binding had and the new request does not ask for."""
        for network in entry.prefixes:
            if network not in networks:
                self._do(WithdrawPrefix(network))
        for address in entry.defended:
            if self.configuration.interface and address not in defended(entry.home, request.update.flags):
                self._do(WithdrawProxyNeighbour(self.configuration.interface, address))

    def _granted(self, request: BindingRequest, node: HomeNode) -> tuple[Duration, Status]:
        """The lifetime, and whether the prefix of the home address needs to be looked at (RFC 6275 10.3.1)."""
        prefix = self._home_prefix(request.home)
        assert prefix is not None
        longest = min(request.lifetime, node.lifetime_max or self.configuration.lifetime_max)
        lifetime = max(min(longest, prefix.valid) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)
        ends = min(prefix.preferred, prefix.valid) // LIFETIME_UNIT * LIFETIME_UNIT
        if ends < lifetime or prefix.valid // LIFETIME_UNIT * LIFETIME_UNIT <= lifetime:
            return lifetime, Status.ACCEPTED_BUT_PREFIX_DISCOVERY_NECESSARY
        return lifetime, Status.ACCEPTED

    def _advice(self, entry: BindingCacheEntry) -> MobilityOption | None:
        """Less than the lifetime; none from whom a restart does not make forget."""
        advice = self.configuration.refresh_advice
        if self.configuration.stores or not 0 < advice < entry.lifetime:
            return None
        return BindingRefreshAdvice(advice // LIFETIME_UNIT * LIFETIME_UNIT)

    # --- de-registration (RFC 6275 10.3.2) --------------------------------------------------------------------------

    def _deregister(self, request: BindingRequest, node: HomeNode, entry: BindingCacheEntry | None) -> None:
        """The entry is kept for a moment, so that an update that is still on its way does not revive it."""
        if entry is not None:
            self._stop_probing(entry)
        if entry is None or entry.state is BindingState.TENTATIVE:
            raise Refused(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "no binding")
        left = ended(request, entry.ways)
        entry.sequence = request.sequence
        if left:
            flows = self._lessen(entry, left, request)
            self._answer(request, node, request.acknowledgement(Status.ACCEPTED), *copies(request, {}), *flows)
            return
        if entry.state is BindingState.ACTIVE:
            self._stop_forwarding(entry)
            self._forget(entry)
            entry.state = BindingState.DELETED
            self._stop_serving(entry)
            self._report("deregistered", home=entry.home)
        elif ("forget", entry.home) in self._timers:  # the disk refused that: no answer without another attempt
            self._forget(entry)
        self._after(MAX_DELETE_BCE_TIMEOUT, "expiry", entry.home)
        flags = int(BindingAcknowledgementFlags.R) if entry.is_router else 0
        self._answer(request, node, request.acknowledgement(Status.ACCEPTED, flags), *copies(request, {}))

    def _lessen(
        self, entry: BindingCacheEntry, left: Ways, request: BindingRequest | None = None
    ) -> list[FlowIdentification]:
        """Some of its care-of addresses are gone; packets go to the best of the others (RFC 5648 6.2)."""
        way, ends, steered = entry.way, entry.tunnel_ends, entry.steered
        entry.ways = left
        abroad = {identifier: known for identifier, known in left.items() if known.care_of != entry.home}
        entry.care_of = best(abroad)
        entry.link_layer = entry.link_layer if len(abroad) < len(left) else b""
        flows = [] if request is None else self._flows(entry, request, left)
        self._steer(entry, steered)
        if entry.way != way:
            self._lead(entry)
        self._accept_from(entry, ends)
        self._keep(entry)
        return flows

    def _on_expiry(self, entry: BindingCacheEntry) -> None:
        if entry.state is BindingState.ACTIVE:
            self._report("binding-expired", home=entry.home)
        self._remove(entry)

    def _ask_to_refresh(self, entry: BindingCacheEntry) -> None:
        """RFC 6275 9.5.5, as long as the node may still be there."""
        self._do(SendMessage(BindingRefreshRequest(), self._address, entry.care_of, routed_to=entry.home))
        self._report("refresh-requested", home=entry.home)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _refuse(self, request: BindingRequest, node: HomeNode | None, refused: Refused) -> None:
        self._report(
            "update-refused",
            source=request.source,
            home=request.home,
            status=int(refused.status),
            reason=refused.reason,
        )
        if node is None and not self._strangers.take(self._now):
            return
        answer = request.acknowledgement(refused.status, sequence=refused.sequence)
        self._answer(request, node, answer, *copies(request, {}))

    def _answer(
        self,
        request: BindingRequest,
        node: HomeNode | None,
        answer: BindingAcknowledgement,
        *more: MobilityOption | None,
    ) -> None:
        association = node.association if node is not None else None
        identifier = request.first(MobileNodeIdentifier)
        with_options(answer, *more)
        if association is not None:
            with_options(answer, identifier, self._time(request, answer.status))
            signed(answer, association, request.care_of, request.home)
        self._do(request.answer(answer))

    def _time(self, request: BindingRequest, status: int) -> MobilityOption | None:
        """As it came; if it was wrong, with the seconds of our clock (RFC 4285 6)."""
        option = request.first(MobilityMessageReplayProtection)
        if option is None or status != Status.MIPV6_ID_MISMATCH:
            return option
        ours = MobilityMessageReplayProtection.at(self._epoch + self._now).timestamp
        return MobilityMessageReplayProtection(ours & ~_LOW | option.timestamp & _LOW)
