"""A MAG registers nodes with their LMA and understands its answers (RFC 5213 6.9.1, 6.9.4).

What a MAAR does as well is in `gateway_registration`.
"""

from __future__ import annotations

from typing import Any

from sojourn.core.effects import SendMessage
from sojourn.core.sequence import newer
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.gateway_registration import echoes
from sojourn.engines.mag_access import MagAccess
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import DISTRIBUTED, REFUSING
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingError,
    BindingErrorStatus,
    BindingUpdate,
    Handoff,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix
from sojourn.wire.units import SECOND

_JUST_COME = 1 * SECOND


class MagRegistration(MagAccess):
    """The MAG as the one that asks."""

    # --- asking -----------------------------------------------------------------------------------------------------

    def _register(self, session: BindingUpdateListEntry, handoff: Handoff) -> None:
        if session.visitor is not None:  # it is only looked after
            self._after(self.configuration.lifetime // 2, "refresh", session.node)
        elif handoff is Handoff.NOT_CHANGED and not session.confirmed:
            self._register_home(session, Handoff.UNKNOWN)
        elif handoff is not Handoff.NOT_CHANGED or not self._is_refreshed(session):
            self._register_home(session, handoff)

    def _on_refresh_request(self) -> None:
        for extension in self.extensions:
            extension.refresh_requested()
        super()._on_refresh_request()

    def _is_refreshed(self, session: BindingUpdateListEntry) -> bool:
        return any(extension.refreshes(session) for extension in self.extensions)

    def _assert_presence(self, session: BindingUpdateListEntry) -> None:
        """It answered. What is being repeated goes on at its own pace (6.9.4, 3.)."""
        if self._requests.get(("register", session.node, session.lma, None)) is None:
            super()._assert_presence(session)

    def _deregister(self, session: BindingUpdateListEntry) -> None:
        self._deregister_home(session)

    def _is_being_registered(self, session: BindingUpdateListEntry) -> bool:
        return self._requests.get(("register", session.node, session.lma, None)) is not None

    def _release_home_ipv4(self, session: BindingUpdateListEntry) -> None:
        """RFC 5844 3.2.3.3, selective de-registration: "MUST NOT include any IPv6 Home Network Prefix options".

        A node without home network prefixes keeps its session, and the address with it.
        """
        if session.home is None or not session.confirmed or not self._prefixes_of(session):
            return
        whole = self._home_update(session, Handoff.NOT_CHANGED, 0)
        options = tuple(option for option in whole.options if not isinstance(option, HomeNetworkPrefix))
        self._request("release", session, BindingUpdate(whole.sequence, whole.flags, 0, options))
        self._remove_home_ipv4(session)
        session.ipv4_released = True
        self._keep(session)
        self._report("ipv4-released", node=session.node)

    def _deregister_home(self, session: BindingUpdateListEntry) -> None:
        self._requests.cancel(("release", session.node, session.lma, None))
        super()._deregister_home(session)

    def _is_home(self, session: BindingUpdateListEntry) -> bool:
        return True

    def _is_certain(self, session: BindingUpdateListEntry) -> bool:
        """It has just come: what came in between is the farewell of the MAG that it left."""
        return not session.confirmed and self._now - session.seen <= _JUST_COME

    def _identifier_of(self, session: BindingUpdateListEntry) -> bytes:
        return session.identity

    def _technology_of(self, session: BindingUpdateListEntry) -> AccessTechnologyType:
        return self._technologies.get(session.interface, self._technology)

    def _home_prefixes(self, session: BindingUpdateListEntry) -> tuple[Prefix, ...]:
        return self._prefixes_of(session) or session.wanted

    def _home_options(self, session: BindingUpdateListEntry) -> tuple[MobilityOption, ...]:
        """6.9.1.1, 6. and 9."""
        options: list[MobilityOption] = []
        if self.configuration.timestamp_based_approach_in_use:
            options.append(Timestamp(self._clock()))
        if self.configuration.link_local_of_lma:
            options.append(LinkLocalAddress(session.link_local or UNSPECIFIED))
        for extension in self.extensions:
            options += extension.options(session)
        return tuple(options)

    def _home_flags(self, session: BindingUpdateListEntry) -> int:
        flags = 0
        for extension in self.extensions:
            flags |= extension.flags(session)
        return flags

    def _on_request_due(self, key: Key) -> None:
        """6.9.4, 2.: "MUST ensure the mobile node is still attached ... before retransmitting"; silent, it is asked."""
        super()._on_request_due(key)
        session = self.sessions.get(key[1])
        request = self._requests.get(key)
        if session is None or request is None or key[0] != "register" or request.attempts < 2:
            return
        if session.probes == 0 and self._now - session.seen > self.configuration.presence_trust:
            self._probe(session)

    def _prefixes_of(self, session: BindingUpdateListEntry) -> tuple[Prefix, ...]:
        """Those that it is told of in advertisements."""
        return tuple([prefix for prefix in session.anchored if not prefix.is_ipv4])

    def _confirm(self, session: BindingUpdateListEntry, lifetime: int) -> None:
        super()._confirm(session, lifetime)
        self._timers.start(("expiry", session.node), session.expires)

    def _on_expiry(self, session: BindingUpdateListEntry) -> None:
        """The LMA did not extend the binding in time: there is none, so there are no home prefixes (6.9.2, 2.)."""
        if session.presence is not SERVED:
            return
        self._report("binding-expired", node=session.node)
        session.confirmed = False
        self._remove_home_ipv4(session)
        session.wanted = gone = self._prefixes_of(session)
        for prefix in gone:
            self._remove_foreign(session, prefix)
        self._advertise(session, gone)
        for extension in self.extensions:
            extension.expired(session)
        self._keep(session)

    def _terminate(self, session: BindingUpdateListEntry) -> None:
        """6.9.1.4: we end the session of a node that is here, which has to let its addresses go."""
        session.confirmed = False
        self._advertise(session, self._prefixes_of(session))
        self._forget_station(session)
        self._detach(session)

    # --- answers (6.9.1.2) ------------------------------------------------------------------------------------------

    def _on_acknowledgement(self, answer: BindingAcknowledgement, source: Address) -> None:
        firsts = answer.firsts()
        session = self._session_of(firsts)
        if source in self._anchors:
            self.heard[source] = self._now
            if any(extension.on_acknowledgement(answer, source) for extension in self.extensions):
                return
        if session is None or source != session.lma:
            self._report("acknowledgement-unexpected", source=source, sequence=answer.sequence)
        elif answer.flags & DISTRIBUTED:
            self._refuse_distributed(source)
        elif self._requests.answered(("deregister", session.node, source, None), answer.sequence, self._now):
            self._on_deregistered(session, answer)
        elif self._requests.answered(("release", session.node, source, None), answer.sequence, self._now):
            pass  # whatever the answer, the node has no IPv4 here
        else:
            self._on_registration_answered(session, answer, firsts)

    def _on_registration_answered(
        self, session: BindingUpdateListEntry, answer: BindingAcknowledgement, firsts: dict[type, Any]
    ) -> None:
        if not self._is_acceptable(session, answer):
            return
        request = self._answered(session, answer, firsts)
        if request is None or session.presence is not SERVED:
            self._report("acknowledgement-unexpected", source=session.lma, sequence=answer.sequence)
        elif not echoes(request, firsts) or _identity(firsts) != session.identity:
            self._report("acknowledgement-mismatch", node=session.node)  # 6.: and nothing is sent again
        elif answer.status >= REFUSING:
            if not any(extension.refused(session, answer) for extension in self.extensions):
                self._on_refused(session, request, answer)
        else:
            for extension in self.extensions:
                extension.accepting(session, request, answer)
            before = session.link_local if session.confirmed else None
            upload = self._learn_link_local(session, answer)
            self._on_home_accepted(session, answer)
            for extension in self.extensions:
                extension.accepted(session, answer)
            if before is not None and before != session.link_local:
                self._advertise(session)
            if upload:
                self._register(session, Handoff.NOT_CHANGED)
            self._on_settled(session.node)

    def _is_acceptable(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> bool:
        """If not, nobody answered, and the request is repeated."""
        if answer.status >= REFUSING or not self.extensions:
            return True
        outstanding = self._requests.get(("register", session.node, session.lma, None))
        return outstanding is None or all(
            extension.acceptable(session, outstanding.update, answer) for extension in self.extensions
        )

    def _answered(
        self, session: BindingUpdateListEntry, answer: BindingAcknowledgement, firsts: dict[type, Any]
    ) -> BindingUpdate | None:
        """The registration that `answer` belongs to. Status 135 comes with another sequence number (RFC 6275 9.5.1)."""
        key = ("register", session.node, session.lma, None)
        outstanding = self._requests.get(key)
        if (
            answer.status != Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
            or outstanding is None
            or outstanding.update.first(Timestamp) is not None
        ):
            return self._requests.answered(key, answer.sequence, self._now)
        if not newer(answer.sequence, outstanding.update.sequence) or not echoes(outstanding.update, firsts):
            return None  # a copy of what was accepted, or one of long ago; our next number will do
        self._requests.cancel(key)
        return outstanding.update

    def _session_of(self, firsts: dict[type, Any]) -> BindingUpdateListEntry | None:
        """5.: by the interface, if the answer returns it, else by the node."""
        option: MobileNodeLinkLayerIdentifier | None = firsts.get(MobileNodeLinkLayerIdentifier)
        if option is not None:
            return self.sessions.get(identifier(option.identifier))
        identity = _identity(firsts)
        return next((session for session in self.sessions.values() if session.identity == identity), None)

    def _refuse_distributed(self, source: Address) -> None:
        """RFC 8885 4.2: "MUST ignore the message, and an error MUST be returned"; there is no code for it."""
        self._report("acknowledgement-distributed", source=source)
        error = BindingError(int(BindingErrorStatus.UNKNOWN_MESSAGE_TYPE), UNSPECIFIED)
        self._do(SendMessage(error, self.configuration.address, source))

    def _on_refused(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        """7.: whom the LMA does not serve is not asked for again until an administrator says so."""
        super()._on_refused(session, request, answer)
        if answer.status == Status.PROXY_REG_NOT_ENABLED:
            self._timers.stop(("retry", session.node))

    def _ask_for_others(self, session: BindingUpdateListEntry) -> bool:
        return self._ask_for_any(session)

    def _let_go_of_home(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        session.wanted = tuple(other for other in session.wanted if other != prefix)
        super()._let_go_of_home(session, prefix)

    def _postpone(self, session: BindingUpdateListEntry) -> None:
        """11.: no service; it may try again later."""
        self._deny(session)

    def _learn_link_local(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> bool:
        """15.: be what the LMA says, unless the node is called so: then be somebody else, which the LMA is to learn."""
        option = answer.first(LinkLocalAddress)
        if option is None or not any(option.address) or not self.configuration.link_local_of_lma:
            return False
        taken = option.address == session.address
        session.link_local = _neighbouring(option.address) if taken else option.address
        if taken:
            self._report("link-local-in-use", node=session.node)
        self._ensure_logical(session, session.lma, session.link_local)
        return taken


def _identity(firsts: dict[type, Any]) -> bytes:
    option: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
    return b"" if option is None else option.key()


def _neighbouring(link_local: Address) -> Address:
    """Another link-local address, as unlikely to be anybody's."""
    return link_local[:15] + bytes((link_local[15] ^ 1,))
