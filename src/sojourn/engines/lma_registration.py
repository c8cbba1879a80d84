"""An LMA answers Proxy Binding Updates (RFC 5213 5.3 to 5.5).

The steps are taken in the order of 5.3.1. A request that may be about another session of the node waits for the end of
that one (5.4.1.2, 4. and 5.4.1.3, 3.); only the latest such request of a node is kept, as its MAG repeats it anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.sequence import newer
from sojourn.engines.configuration import Gateway, HomeProfile
from sojourn.engines.home_ipv4 import ipv4_of
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import ALL_ZERO, HomeRequest
from sojourn.engines.lma_state import LmaState
from sojourn.engines.registration import PROXY, Refused
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix, text

IDENTIFIER_MAX = 253
"""Longest identifier accepted, in octets (RFC 4282 2.2: the longest NAI that other protocols can carry)."""


_PROXY_ONLY = int(BindingUpdateFlags.P)
_DISTRIBUTED = int(BindingUpdateFlags.D)
_ACCEPTED, _ANSWERED = int(Status.ACCEPTED), int(BindingAcknowledgementFlags.P)


@dataclass(slots=True)
class Pending:
    """A request that waits for the end of another session."""

    request: HomeRequest
    profile: HomeProfile


class LmaRegistration(LmaState):
    """The LMA as the one that is asked."""

    _pending: dict[bytes, Pending]

    def _on_update(self, update: BindingUpdate, source: Address) -> None:
        """RFC 5213 5.3.1."""
        gateway = self._gateways.get(source)
        if gateway is not None:
            self.heard[source] = self._now
        elif not self._strangers.take(self._now):
            return
        if self.extensions and gateway is not None and any(one.on_update(update, source) for one in self.extensions):
            return
        try:
            self._check_kind(update)
            request = HomeRequest.of(update, source)
            profile = self._admit(request, gateway)
            if gateway is not None and gateway.repeats and self._answer_again(request):
                return
            self._check_time(request)
            request.complete()
            for extension in self.extensions:
                extension.asked(request)
            entry, doubtful = self.cache.find(request)
            self._check_sequence(request, entry)
            if self.extensions and any(extension.takes_over(request, entry) for extension in self.extensions):
                return
            self._associate(request, profile, entry, doubtful)
        except Refused as refused:
            self._refuse(update, source, refused)

    # --- 5.3.1, step by step ----------------------------------------------------------------------------------------

    def _check_kind(self, update: BindingUpdate) -> None:
        """We are no home agent for hosts, and no CMD."""
        if not update.flags & _PROXY_ONLY:
            raise Refused(Status.HOME_REGISTRATION_NOT_SUPPORTED, "not a proxy registration (flag P)")
        if update.flags & _DISTRIBUTED and self.configuration.refuse_distributed:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "a distributed registration (flag D)")

    def _admit(self, request: HomeRequest, gateway: Gateway | None) -> HomeProfile:
        """Steps 5 to 8: who asks, for whom, and whether that one is served."""
        if gateway is None:
            raise Refused(Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG, "source is not a MAG of this domain")
        if request.gateway != request.source and request.gateway not in gateway.care_of:
            raise Refused(Status.INVALID_CARE_OF_ADDRESS, "Alternate Care-of Address is not one of this MAG")
        profile = None if len(request.node) > 1 + IDENTIFIER_MAX else self._profile(request.node)
        if profile is None:
            raise Refused(Status.NOT_LMA_FOR_THIS_MOBILE_NODE, "unknown node")
        if profile.gateways and request.source not in profile.gateways:
            raise Refused(Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG, "this MAG may not register this node")
        if not profile.service:
            raise Refused(Status.PROXY_REG_NOT_ENABLED, "node without mobility service")
        return profile

    def _check_time(self, request: HomeRequest) -> None:
        """Step 9, RFC 5213 5.5: within the window, and later than all that was accepted for this node."""
        stamp = request.timestamp
        if stamp is None:
            return
        accepted = 0
        for entry in self.cache.of(request.node):
            accepted = max(accepted, entry.timestamp)
        if stamp < accepted:
            raise Refused(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED, "a later update was accepted")
        own_clock = not self.configuration.mobile_node_generated_timestamp_in_use
        if own_clock and abs(stamp - self._ticks()) > self._window:
            raise Refused(Status.TIMESTAMP_MISMATCH, "timestamp outside of the window")
        if stamp == accepted:
            raise Refused(Status.TIMESTAMP_MISMATCH, "timestamp accepted already")

    def _answer_again(self, request: HomeRequest) -> bool:
        """Whether it is the latest update that was accepted, once more: nothing follows from it but the answer."""
        for entry in self.cache.of(request.node) if request.timestamp else ():
            same = (entry.source, entry.timestamp, entry.sequence) == (
                request.source,
                request.timestamp,
                request.sequence,
            )
            if same and entry.waiting == (request.lifetime == 0):
                self._report("update-repeated", node=entry.node, gateway=self._name(entry.source))
                self._answer(entry, request, 0 if entry.waiting else entry.lifetime)
                return True
        return False

    def _check_sequence(self, request: HomeRequest, entry: BindingCacheEntry | None) -> None:
        """Without a Timestamp the sequence numbers of a session order its updates (RFC 6275 9.5.1)."""
        if request.timestamp is None and entry is not None and not newer(request.sequence, entry.sequence):
            raise Refused(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, "sequence number used already", entry.sequence)

    def _associate(
        self, request: HomeRequest, profile: HomeProfile, entry: BindingCacheEntry | None, doubtful: bool
    ) -> None:
        """Step 13: a new session, or what happens to one that there is."""
        if request.lifetime == 0:
            other = doubtful and request.link_layer != ALL_ZERO  # another interface, which did not leave
            self._deregister(request, None if other else entry)
        elif entry is None:
            self._open(request, profile)
        elif not doubtful or entry.waiting:
            self._extend(entry, request, profile)
        elif self.configuration.max_delay_before_new_bce_assign > 0:
            self._wait(request, profile, entry)
        else:
            self._open(request, profile)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def _open(self, request: HomeRequest, profile: HomeProfile) -> None:
        """RFC 5213 5.3.2: a new session. As long as not all prefixes are known that are in use, none is given: the MAG
        asks again.
        """
        if self.restoring:
            self._report("not-yet-restored", node=request.node, gateway=self._name(request.source))
            return
        self._check_room(request)
        if request.ipv4_only:
            prefixes: tuple[Prefix, ...] = ()
        elif request.any_prefix or not request.prefixes:
            prefixes = self.prefixes.assign(profile, self._now, request.node + request.link_layer)
            if not prefixes:
                raise Refused(Status.INSUFFICIENT_RESOURCES, "no prefix is free")
        else:
            prefixes = request.prefixes
            if self.cache.has_interface(request):  # a MAG with an old store: it will ask for any, and get these
                raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "this interface has other prefixes")
            if not self.prefixes.claim(profile, prefixes, self._now):
                raise Refused(Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, "not a prefix for this node")
        try:
            prefixes += self.prefixes.ipv4.assign(request.ipv4, self._now)
        except Refused:
            self.prefixes.release(prefixes, self._now, rest=False)
            raise
        entry = BindingCacheEntry(
            self._slots.take(),
            request.node,
            request.link_layer,
            request.technology,
            request.gateway,
            request.source,
            prefixes,
            0,
            0,
            0,
            0,
        )
        self._enter(entry)
        self._accept(entry, request, profile)
        self._forward(entry)
        self._keep(entry)
        self._report("registered", node=entry.node, gateway=self._name(entry.source))
        self._answer(entry, request, entry.lifetime)

    def _check_room(self, request: HomeRequest) -> None:
        configuration = self.configuration
        if len(self.cache) >= configuration.nodes:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many sessions")
        if len(self.cache.of(request.node)) >= configuration.sessions_per_node:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many sessions of this node")
        self._check_room_of(request.source)

    def _check_room_of(self, source: Address) -> None:
        if self._serves[source] >= self.configuration.nodes_per_gateway:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many sessions of this MAG")

    def _extend(self, entry: BindingCacheEntry, request: HomeRequest, profile: HomeProfile) -> None:
        """RFC 5213 5.3.3 and 5.3.4: the same session again, from the same MAG or from another one."""
        prefixes = self._with_ipv4(entry, request)
        if entry.source != request.source:
            self._check_room_of(request.source)
            self._serves[entry.source] -= 1
            self._serves[request.source] += 1
        left, revived = entry.gateway, entry.waiting
        stored = entry.gateway, entry.source, entry.link_layer, entry.technology, entry.link_local, entry.waiting
        entry.gateway, entry.source = request.gateway, request.source
        entry.link_layer, entry.technology = request.link_layer, request.technology
        entry.waiting = False
        self._accept(entry, request, profile)
        others = prefixes != entry.prefixes
        if others:
            self._change(entry, prefixes)
        if left != entry.gateway or revived or others:
            self._forward(entry)
        if others or stored != (
            entry.gateway, entry.source, entry.link_layer, entry.technology, entry.link_local, entry.waiting,
        ):  # fmt: skip
            self._keep(entry)
        if left != entry.gateway:
            self._report("handover", node=entry.node, gateway=self._name(entry.source), left=left)
        self._answer(entry, request, entry.lifetime)

    def _with_ipv4(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[Prefix, ...]:
        """RFC 5844 3.1.2: what the session has from now on. Raises `Refused`.

        Who asks gets an address; a new MAG that does not ask serves no IPv4, so there is none any more (3.1.2.4), and
        the same of IPv6.
        """
        had = entry.prefixes
        if not had[-1].is_ipv4:
            return had + self.prefixes.ipv4.assign(request.ipv4, self._now)
        self.prefixes.ipv4.check(request.ipv4, had[-1])
        if request.ipv4 is None and entry.source != request.source and len(had) > 1:
            return had[:-1]
        if request.ipv4_only and entry.source != request.source:
            return had[-1:]
        return had

    def _accept(self, entry: BindingCacheEntry, request: HomeRequest, profile: HomeProfile) -> None:
        """The accepted values of a registration."""
        self._take_note(entry, request)
        most, lifetime = profile.lifetime_max, request.lifetime
        entry.lifetime = self._granted(most if most and most < lifetime else lifetime)
        entry.expires = self._now + entry.lifetime
        wanted = request.link_local
        if wanted is not None and any(wanted):
            entry.link_local = wanted
        elif wanted is not None and entry.link_local is None:
            entry.link_local = self._link_local(entry.node, entry.link_layer)
        self._timers.start(("expiry", entry.slot), entry.expires)
        for extension in self.extensions:
            extension.registered(entry, request)

    def _take_note(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """What orders the next update after this one."""
        entry.timestamp = request.timestamp or 0
        entry.sequence = request.sequence
        self._forget_earlier(request)

    def _forget_earlier(self, request: HomeRequest) -> None:
        """What waits about the same interface was before: nobody wants that any more, or it is elsewhere."""
        pending = self._pending.get(request.node)
        if pending is not None and request.link_layer == pending.request.link_layer != ALL_ZERO:
            del self._pending[request.node]
            self._timers.stop(("assign", request.node))

    # --- the two delays -----------------------------------------------------------------------------------------------

    def _wait(self, request: HomeRequest, profile: HomeProfile, entry: BindingCacheEntry) -> None:
        """RFC 5213 5.4.1.2, 4.: for the de-registration of the other session, MaxDelayBeforeNewBCEAssign at most."""
        known = self._pending.get(request.node)
        if known is None or known.request.source != request.source:
            self._after(self.configuration.max_delay_before_new_bce_assign, "assign", request.node)
            self._report("waiting-for-deregistration", node=request.node, gateway=self._name(request.source))
        self._pending[request.node] = pending = Pending(request, profile)
        for extension in self.extensions:
            extension.waiting(pending, entry)

    def _on_assign_due(self, node: bytes) -> None:
        """Nobody de-registered: a new session."""
        pending = self._pending.pop(node, None)
        if pending is None:
            return
        try:
            self._open(pending.request, pending.profile)
        except Refused as refused:
            self._refuse(pending.request.update, pending.request.source, refused)

    def _deregister(self, request: HomeRequest, entry: BindingCacheEntry | None) -> None:
        """RFC 5213 5.3.5. Not of a session that we know, or that is elsewhere by now: ignored."""
        if entry is None or entry.gateway != request.gateway:
            self._forget_earlier(request)
            self._report("deregistration-ignored", node=request.node, gateway=self._name(request.source))
            return
        self._take_note(entry, request)
        rest = entry.prefixes if entry.waiting else _left_by(request, entry)
        if rest != entry.prefixes:
            self._end_in_part(entry, request, rest)
            return
        if not entry.waiting:
            self._suspend(entry)
        self._answer(entry, request, 0)
        self._take_up(entry)

    def _end_in_part(self, entry: BindingCacheEntry, request: HomeRequest, rest: tuple[Prefix, ...]) -> None:
        """RFC 5844 3.1.2.5: "the Binding Cache entry MUST NOT be deleted, only the respective states"."""
        gone = tuple([prefix for prefix in entry.prefixes if prefix not in rest])
        self._change(entry, rest)
        self._keep(entry)
        self._report("deregistered-in-part", node=entry.node, gateway=self._name(entry.source), prefixes=len(gone))
        self._answer(entry, request, 0, gone)

    def _suspend(self, entry: BindingCacheEntry) -> None:
        """5.3.5: its traffic is dropped, and it ends after MinDelayBeforeBCEDelete unless somebody registers it."""
        self._drop_traffic(entry)
        entry.waiting = True
        self._after(self.configuration.min_delay_before_bce_delete, "expiry", entry.slot)
        self._keep(entry)
        self._report("deregistered", node=entry.node, gateway=self._name(entry.source))
        for extension in self.extensions:
            extension.deregistered(entry)

    def _take_up(self, entry: BindingCacheEntry) -> None:
        """Somebody waited for the end of this session: it goes on there."""
        pending = self._pending.pop(entry.node, None)
        if pending is None:
            return
        self._timers.stop(("assign", entry.node))
        later = entry.timestamp
        try:
            self._extend(entry, pending.request, pending.profile)
            entry.timestamp = max(entry.timestamp, later)
        except Refused as refused:
            self._refuse(pending.request.update, pending.request.source, refused)

    def _on_expiry(self, entry: BindingCacheEntry) -> None:
        """The lifetime is over, or the wait after a de-registration."""
        self._report("binding-deleted" if entry.waiting else "binding-expired", node=entry.node)
        self._end(entry)

    def _end(self, entry: BindingCacheEntry) -> None:
        """Nothing is left of it; whoever waited for that goes on."""
        self._remove(entry)
        if entry.node in self._pending:
            self._timers.stop(("assign", entry.node))
            self._on_assign_due(entry.node)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answer(
        self, entry: BindingCacheEntry, request: HomeRequest, lifetime: int, about: tuple[Prefix, ...] | None = None
    ) -> None:
        """RFC 5213 5.3.6, in the order of figure 6; to where the request came from. `about`: not all of the session.

        Who asks for IPv4 alone is told of no home network prefix (RFC 5844 3.1.2.6).
        """
        prefixes, home = entry.prefixes, entry.home_prefixes
        if about is not None:
            prefixes, home = about, tuple([prefix for prefix in about if not prefix.is_ipv4])
        if request.ipv4_only:
            home = ()
        update = request.update
        if update.flags & PROXY != PROXY:
            return  # nobody asked for an answer (flag A)
        echoed = request.firsts
        options: list[MobilityOption] = [
            echoed[MobileNodeIdentifier],
            *[HomeNetworkPrefix.of(prefix) for prefix in home],
            echoed[HandoffIndicator],
            echoed[AccessTechnologyType],
        ]
        for kind in (Timestamp, MobileNodeLinkLayerIdentifier):
            if kind in echoed:
                options.append(echoed[kind])
        if request.link_local is not None:
            options.append(LinkLocalAddress(entry.link_local or request.link_local))
        if request.ipv4 is not None:
            options += self.prefixes.ipv4.answer(prefixes, request.ipv4)
        if ("store", entry.key) in self._timers:  # the disk refused it: no answer without another attempt
            self._timers.stop(("store", entry.key))
            self._keep(entry)
        answer = BindingAcknowledgement(_ACCEPTED, _ANSWERED, request.sequence, lifetime, tuple(options))
        if self.extensions:
            answer = self._extended(answer, entry, request)
        self._send(answer, request.source)

    def _extended(
        self, answer: BindingAcknowledgement, entry: BindingCacheEntry, request: HomeRequest
    ) -> BindingAcknowledgement:
        """With what extensions have to say."""
        status = max(int(extension.status(entry, request)) for extension in self.extensions)
        flags = answer.flags
        for extension in self.extensions:
            flags |= extension.answer_flags(entry, request)
        more = [option for extension in self.extensions for option in extension.answer(entry, request)]
        answer = BindingAcknowledgement(status, flags, answer.sequence, answer.lifetime, answer.options)
        return self._fitting(answer, more)

    def _name(self, source: Address) -> str:
        known = self._gateways.get(source)
        return known.name if known is not None and known.name else text(source)


def _left_by(request: HomeRequest, entry: BindingCacheEntry) -> tuple[Prefix, ...]:
    """What a session keeps when this ends: nothing but what a selective de-registration does not name (RFC 5844
    3.2.3.3: its IPv4 home address alone, or all of its home network prefixes). All of it stands for an ordinary end.
    """
    had = entry.prefixes
    if len(had) < 2 or not had[-1].is_ipv4:
        return had
    if request.ipv4_only:
        return had[:-1] if ipv4_of(request.ipv4) == had[-1] else had
    named = set(request.prefixes)
    return had[-1:] if request.ipv4 is None and named and named >= set(had[:-1]) else had
