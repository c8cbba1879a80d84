"""A router registers the nodes on its links and understands the answers (RFC 5213 6.9.1 and 6.9.4).

This is what a MAG does, and a MAAR as well: with a CMD the message says more (`maar_registration`), and towards an
LMA that knows no D flag a MAAR is a MAG.

One clock question is settled here. Whom we ask orders registrations by their Timestamp, so a router whose clock is
behind would lose every race. When it says that our clock is off (status 156, or 157 with a time far from ours) the
difference is kept and added to later timestamps; the system's clock stays as it is (6.9.1.2, 9.).
"""

from __future__ import annotations

from typing import Any

from sojourn.core.effects import ProbeNode
from sojourn.engines.access_presence import PresenceProcedures
from sojourn.engines.access_session import NEVER, REFUSED, SERVED
from sojourn.engines.access_state import S
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.home_ipv4 import home_in, ipv4_request, is_about_ipv4
from sojourn.engines.registration import HANDOFFS, NO_TIME, PROXY, PROXY_DMM, identifier_option
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Prefix
from sojourn.wire.units import SECOND, Duration, WallClock, ticks, wall_clock

IDENTIFYING = frozenset({HandoffIndicator, AccessTechnologyType, MobileNodeLinkLayerIdentifier})
"""Options of every registration that its answer returns, if it returns them, as they were."""
CORRECTIONS_MAX = 3
"""Registrations repeated with another clock."""
_OTHER_PREFIXES = (Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH)
RETRY_AFTER = 30 * SECOND
"""A node that was refused may try again then."""


class GatewayRegistration(PresenceProcedures[S]):
    """The router as the one that asks."""

    _relays_dhcp = False
    """Whether nodes may be told of IPv4 home addresses by a DHCP server elsewhere (RFC 5844 3.4.2)."""
    _offset: WallClock = 0
    """The clock of whom we ask minus ours, where that is more than the window."""

    # --- asking ---------------------------------------------------------------------------------------------------

    def _clock(self) -> int:
        return ticks(self._epoch + self._offset + self._now)

    def _register_home(self, session: S, handoff: Handoff) -> None:
        """RFC 5213 6.9.1.1 and 6.9.1.3: ask an LMA for the prefixes that we know, or for any."""
        self._request("register", session, self._home_update(session, handoff, self.configuration.lifetime))

    def _deregister_home(self, session: S) -> None:
        """RFC 5213 6.9.1.4: the node left; of the same options as the registration."""
        self._requests.cancel(("register", session.node, self._asked_about(session), None))
        self._after(self.configuration.retransmission.initial_bindack_timeout, "gone", session.node)
        self._request("deregister", session, self._home_update(session, Handoff.UNKNOWN, 0))

    def _home_update(self, session: S, handoff: Handoff, lifetime: Duration) -> BindingUpdate:
        node, technology = self._identifier_of(session), self._technology_of(session)
        networks = tuple([prefix for prefix in self._home_prefixes(session) if not prefix.is_ipv4])
        more = self._home_options(session)
        if self._asks_ipv4(session):
            more = (*more, ipv4_request(self._ipv4_home(session)))
        options = self._options(session, node, networks, handoff, technology, *more)
        return BindingUpdate(self._next_sequence(session), PROXY | self._home_flags(session), lifetime, options)

    def _options(
        self,
        session: S,
        node: bytes,
        networks: tuple[Prefix, ...],
        handoff: Handoff,
        technology: AccessTechnologyType,
        *more: MobilityOption,
    ) -> tuple[MobilityOption, ...]:
        """What every update carries (RFC 5213 6.9.1.5)."""
        return (
            identifier_option(node),
            *[HomeNetworkPrefix.of(prefix) for prefix in networks or (ANY,)],
            HANDOFFS[handoff],
            technology,
            MobileNodeLinkLayerIdentifier(session.link_layer),
            *more,
        )

    def _home_options(self, session: S) -> tuple[MobilityOption, ...]:
        """What an LMA is told besides; the Timestamp says which of two updates came last (RFC 5213 5.5)."""
        return (Timestamp(self._clock()),)

    def _home_flags(self, session: S) -> int:
        """Flags besides those of every proxy registration."""
        return 0

    def _renewed(self, update: BindingUpdate) -> BindingUpdate:
        """RFC 5213 6.9.4, 4.: "MUST use the latest timestamp". To a CMD the one of the attachment says more."""
        if update.flags == PROXY_DMM or update.first(Timestamp) is None:
            return update
        now = Timestamp(self._clock())
        options = tuple(now if isinstance(option, Timestamp) else option for option in update.options)
        return BindingUpdate(update.sequence, update.flags, update.lifetime, options)

    def _request(self, purpose: str, session: S, update: BindingUpdate) -> None:
        self._requests.start((purpose, session.node, self._asked_about(session), None), update, self._now)

    def _on_request_due(self, key: Key) -> None:
        """No answer in time: again. The sequence number that goes out is the one that the session goes on from."""
        session = self.sessions.get(key[1])
        self._requests.due(key, self._now)
        request = self._requests.get(key)
        if request is None or session is None or request.sent != self._now:
            return
        session.sequence = request.update.sequence
        if request.attempts > 1:
            self._report("retransmitted", purpose=key[0], node=key[1], attempt=request.attempts)

    def _on_refresh_request(self) -> None:
        """Whom we ask lost its memory (Binding Refresh Request, RFC 6275 6.1.2): tell it all, a little apart.

        But not of nodes that are being asked for a sign of life: what is said of these now would count as the latest
        word on where they are. Their answer registers them.
        """
        sessions = [one for one in self.sessions.values() if self._is_told_anew(one) and not self._is_in_doubt(one)]
        for index, session in enumerate(sessions):
            session.seen = self._now
            self._after(index * SECOND // 1000, "refresh", session.node)
        self._report("refresh-requested", sessions=len(sessions))

    def _is_told_anew(self, session: S) -> bool:
        return session.presence is SERVED

    def _is_in_doubt(self, session: S) -> bool:
        """Whether nothing may be said of a node before it answered: it was asked, or gave no sign in this life.

        Where something is being said already, it may as well be said now.
        """
        unseen = session.probes > 0 or session.seen == NEVER
        return unseen and self._requests.get(("register", session.node, self._asked_about(session), None)) is None

    # --- answers --------------------------------------------------------------------------------------------------

    def _on_home_accepted(self, session: S, answer: BindingAcknowledgement) -> None:
        """RFC 5213 6.9.1.2, 12. to 14., and 6.12: ways for the home prefixes; those that are no longer listed end."""
        first = not session.confirmed
        self._confirm(session, answer.lifetime)
        prefixes = [one.prefix for one in answer.all(HomeNetworkPrefix) if one.prefix_length and not one.off_link]
        before = tuple([prefix for prefix in self._prefixes_of(session) if not prefix.is_ipv4])
        gone = tuple(prefix for prefix in before if prefix not in prefixes)
        for prefix in gone:
            self._let_go_of_home(session, prefix)
        for prefix in prefixes:
            if prefix not in before:
                self._add_foreign(session, prefix, self._asked_about(session))
        changed = first or gone or len(prefixes) != len(before) or any(prefix not in before for prefix in prefixes)
        if self._asks_ipv4(session):
            changed = self._on_home_ipv4(session, home_in(answer.firsts(), self._relays_dhcp)) or changed
        if changed:
            self._advertise(session, gone)
            self._keep(session)
        if first:
            self._report("registered", node=session.node, **self._about_registration(session))

    def _about_registration(self, session: S) -> dict[str, int]:
        """What a report of a registration says besides."""
        return {"prefixes": len(session.anchored)}

    def _confirm(self, session: S, lifetime: int) -> None:
        session.confirmed = True
        session.corrections = 0
        session.contested = False
        session.lifetime = max(lifetime, 4 * SECOND)
        session.expires = self._now + session.lifetime
        self._after(session.lifetime // 2, "refresh", session.node)

    def _on_deregistered(self, session: S, answer: BindingAcknowledgement) -> None:
        """RFC 5213 6.9.1.4: nothing is left of it here, whatever the answer."""
        if session.presence is SERVED:
            return
        self._on_gone(session)

    def _on_gone(self, session: S) -> None:
        """RFC 5213 6.9.1.4: "or after INITIAL_BINDACK_TIMEOUT", answered or not."""
        self._report("deregistered", node=session.node)
        self._remove(session)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _on_refused(self, session: S, request: BindingUpdate, answer: BindingAcknowledgement) -> None:
        """RFC 5213 6.9.1.2, 7. to 11."""
        status = answer.status
        handoff = Handoff(handoff_of(request)) if self._is_home(session) else Handoff.UNKNOWN
        self._report("registration-refused", node=session.node, status=status)
        corrected = self._correct_clock(answer, self._way_of(request) if self._is_home(session) else 0)
        session.corrections += 1
        again = session.corrections <= CORRECTIONS_MAX
        if status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED and not corrected:
            if again and self._is_certain(session):
                self._register(session, handoff)
            else:
                session.contested = True
                session.probes = 0
                self._probe(session)
        elif status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and again:
            session.sequence = answer.sequence
            self._register(session, handoff)
        elif corrected and again:
            ahead = status == Status.TIMESTAMP_MISMATCH  # then ours was never accepted, and need not be surpassed
            session.attached = self._clock() if ahead else max(self._clock(), session.attached + 1)
            self._register(session, handoff)
            self._keep(session)
        elif self._asks_ipv4(session) and again and is_about_ipv4(status, answer.firsts()):
            self._ask_without_ipv4(session, handoff)
        elif status in _OTHER_PREFIXES and self._ask_for_others(session):
            pass
        elif status == Status.INSUFFICIENT_RESOURCES:
            self._postpone(session)
        else:
            self._deny(session)

    def _way_of(self, request: BindingUpdate) -> Duration:
        """How long the answer to `request` took, which came just now: half of a round trip. 0 without a Timestamp."""
        option = request.first(Timestamp)
        if option is None:
            return 0
        return max(self._epoch + self._offset + self._now - wall_clock(option.ticks), 0) // 2

    def _correct_clock(self, answer: BindingAcknowledgement, way: Duration = 0) -> bool:
        """Whether the answer showed that our clock is off by more than the window; then the difference is kept.

        `way` is how long the answer took, if that is known.
        """
        stamp = timestamp_of(answer)
        if stamp is None or answer.status not in (
            Status.TIMESTAMP_MISMATCH,
            Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED,
        ):
            return False
        difference = wall_clock(stamp) + way - (self._epoch + self._offset + self._now)
        window = self.configuration.clock_window
        if abs(difference) <= window and answer.status != Status.TIMESTAMP_MISMATCH:
            return False
        if abs(difference) <= window // 2 < way:
            difference = way  # the clocks agree, and the way is longer than the window: say when it will arrive
        if abs(difference) > window // 2:  # less is the way of the answer, not the clock
            self._offset += difference
            self._report("clock-corrected", milliseconds=self._offset // 1_000_000)
        return True

    def _asks_ipv4(self, session: S) -> bool:
        return not session.without_ipv4 and self._serves_ipv4(session)

    def _ask_without_ipv4(self, session: S, handoff: Handoff) -> None:
        """RFC 5844 3.2.3.2: for any address if the one that it had was refused, else for none until it comes anew."""
        session.without_ipv4 = self._ipv4_home(session) is None
        self._on_home_ipv4(session, None)
        self._register(session, handoff)

    def _ask_for_any(self, session: S) -> bool:
        """RFC 5213 6.9.1.2, 10.: "MAY request the local mobility anchor to do the assignment"; once, for all zeros."""
        gone = self._home_prefixes(session)
        if not gone:
            return False
        session.confirmed = False
        for prefix in gone:
            self._let_go_of_home(session, prefix)
        self._register(session, Handoff.UNKNOWN)
        self._advertise(session, gone)
        self._keep(session)
        return True

    def _deny(self, session: S) -> None:
        """No service: the prefixes end, nothing is forwarded, and the node may try again later."""
        gone = self._prefixes_of(session)
        session.confirmed = False
        self._remove_prefixes(session)
        self._advertise(session, gone)
        self._quiet(session)
        self._forget_listener(session)
        session.become(REFUSED)
        self._keep(session)
        self._after(RETRY_AFTER, "retry", session.node)

    def _on_retry(self, session: S) -> None:
        """Forget that it was refused; if it is still there, its answer makes it a newcomer."""
        self._do(ProbeNode(session.interface, session.link_layer, self._known_address(session)))
        self._remove(session)

    # --- what the role provides -------------------------------------------------------------------------------------

    def _is_home(self, session: S) -> bool:
        """Whether an LMA anchors this node, so that we are its MAG."""
        raise NotImplementedError

    def _serves_ipv4(self, session: S) -> bool:
        """Whether an LMA is asked for an IPv4 home address (RFC 5844 3.2)."""
        return False

    def _ipv4_home(self, session: S) -> Home | None:
        """Its IPv4 home address."""
        raise NotImplementedError

    def _on_home_ipv4(self, session: S, home: Home | None) -> bool:
        """It has this one, or none; whether that is new."""
        raise NotImplementedError

    def _is_certain(self, session: S) -> bool:
        """Whether nobody has to ask the node if it is here, although a later attachment elsewhere is known."""
        return False

    def _identifier_of(self, session: S) -> bytes:
        """Subtype and identifier of the Mobile Node Identifier option."""
        return session.node

    def _technology_of(self, session: S) -> AccessTechnologyType:
        """The Access Technology Type option."""
        return self._technology

    def _home_prefixes(self, session: S) -> tuple[Prefix, ...]:
        """The prefixes to ask an LMA for; none asks for any."""
        return tuple(session.anchored)

    def _prefixes_of(self, session: S) -> tuple[Prefix, ...]:
        """All that the node has here."""
        return tuple(session.anchored)

    def _let_go_of_home(self, session: S, prefix: Prefix) -> None:
        """It is no longer among the node's prefixes."""
        self._remove_foreign(session, prefix)

    def _ask_for_others(self, session: S) -> bool:
        """Whether others are asked for, as the prefixes that were asked for are not to be had."""
        raise NotImplementedError

    def _postpone(self, session: S) -> None:
        """Whom we ask has no room now."""
        raise NotImplementedError


def timestamp_of(message: BindingAcknowledgement) -> int | None:
    """The time that an answer carries, in ticks; None also for one that no clock shows."""
    option = message.first(Timestamp)
    return None if option is None or option.ticks >= NO_TIME else option.ticks


def handoff_of(update: BindingUpdate) -> int:
    """What an update said of the attachment."""
    option = update.first(HandoffIndicator)
    return 0 if option is None else option.indicator


def echoes(request: BindingUpdate, answered: dict[type, Any]) -> bool:
    """Whether an answer, of which these are the first options of each class, returns what the request had.

    RFC 5213 6.9.1.2, 6.: one with other identifying options is not an answer to it.
    """
    for option in request.options:
        if type(option) in IDENTIFYING:
            returned = answered.get(type(option), option)
            if returned is not option and returned != option:
                return False
    return True
