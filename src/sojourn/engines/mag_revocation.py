"""A MAG lets its LMAs revoke bindings, and asks them to end all of its own (RFC 5846 9).

What was revoked for another reason than a handover ends for the node as a refused registration does: its prefixes are
withdrawn, and as long as it stays it may try again after a while. The command ``revoke`` asks an LMA (``lma``; that of
the configuration if none is named) to end all bindings that we have with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sojourn.core.effects import ProbeNode
from sojourn.engines.access_session import REFUSED, SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.extension_settings import RevocationSettings
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.questions import Question
from sojourn.engines.registration import identifier_option
from sojourn.engines.revocation import (
    GLOBAL,
    HANDOVERS,
    IPV4_ONLY,
    REVOKED,
    Rejected,
    RevocationProcedure,
    node_named,
    realm_of,
)
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    HomeNetworkPrefix,
    Pad1,
    PadN,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.addresses import Address, from_ipv4, text
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.units import MILLISECOND, Instant

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_ANSWERS_WITHIN = 400 * MILLISECOND
"""A node that is still attached shows it so soon; LMAs ask again after half a second at the earliest."""


_LOOK = 20 * MILLISECOND
"""Whether it did is looked at so often."""


class MagRevocation(RevocationProcedure["MagRegistration"], MagExtension):
    """The MAG's part."""

    def __init__(self, mag: MagRegistration, settings: RevocationSettings) -> None:
        super().__init__(mag)
        self.settings = settings
        self._unauthorized: set[Address] = set()
        """LMAs that do not let us revoke everything."""
        self._asked: dict[bytes, tuple[BindingRevocationIndication, Address, Instant]] = {}
        """Nodes that are asked whether they are still here: for whose sake, and since when."""

    def _is_peer(self, source: Address) -> bool:
        return source in self._role._anchors

    # --- an LMA revokes (9.1) -----------------------------------------------------------------------------------------

    def _on_indication(self, message: BindingRevocationIndication, source: Address) -> None:
        if message.flags & IPV4_ONLY:
            self._end_ipv4(message, source)
            return
        if message.flags & GLOBAL:
            sessions = self._covered(message, source)
        else:
            sessions = self._named(message, source)
            if message.trigger in HANDOVERS and any(session.presence is SERVED for session in sessions):
                self._ask_whether_here(sessions, message, source)
                return
        for session in sessions:
            self._end(session)
        self._acknowledge(message, source, RevocationStatus.SUCCESS)

    def _of(self, source: Address) -> list[BindingUpdateListEntry]:
        """Sessions with this LMA."""
        return [
            session
            for session in self._role.sessions.values()
            if session.lma == source and session.visitor is None and session.presence is not REFUSED
        ]

    def _covered(self, message: BindingRevocationIndication, source: Address) -> list[BindingUpdateListEntry]:
        """All sessions, or those of a realm. Raises `Rejected`."""
        if message.trigger == RevocationTrigger.PER_PEER_POLICY:
            if any(not isinstance(option, Pad1 | PadN) for option in message.options):
                raise Rejected(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
            return self._of(source)
        name = node_named(message)
        realm, care_of = realm_of(name), message.first(AlternateCareOfAddress)
        elsewhere = care_of is not None and care_of.address != self._address
        found = [session for session in self._of(source) if realm_of(session.identity) == realm]
        if not realm or name[1:2] != b"@" or elsewhere or not found:
            raise Rejected(RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED)
        return found

    def _named(self, message: BindingRevocationIndication, source: Address) -> list[BindingUpdateListEntry]:
        """The sessions of one node. Raises `Rejected`."""
        node = node_named(message)
        named = [option.prefix for option in message.all(HomeNetworkPrefix)]
        found = [session for session in self._of(source) if session.identity == node]
        if named:
            found = [session for session in found if not {*session.anchored, *session.retiring}.isdisjoint(named)]
        if not found:
            raise Rejected(RevocationStatus.BINDING_DOES_NOT_EXIST)
        return found

    def _end_ipv4(self, message: BindingRevocationIndication, source: Address) -> None:
        """9.1: "only the IPv4 home address binding"; the rest stays, and no other is asked for until it comes anew."""
        asked = message.first(Ipv4HomeAddressRequest)
        address = b"" if asked is None else from_ipv4(asked.address)
        found = [one for one in self._named(message, source) if one.home is not None and one.home.address == address]
        if not found:
            raise Rejected(RevocationStatus.BINDING_DOES_NOT_EXIST)
        for session in found:
            session.without_ipv4 = True
            self._role._on_home_ipv4(session, None)
            self._role._keep(session)
            self._report("revoked", node=session.node, family="ipv4")
        self._acknowledge(message, source, RevocationStatus.SUCCESS)

    def _end(self, session: BindingUpdateListEntry) -> None:
        """Nothing is registered any more, and the node is told if it is here."""
        self._report("revoked", node=session.node)
        role = self._role
        for purpose in ("register", "deregister"):
            role._requests.cancel((purpose, session.node, session.lma, None))
        if session.presence is SERVED:
            role._deny(session)
        else:
            role._remove(session)

    # --- is it still here? --------------------------------------------------------------------------------------------

    def _ask_whether_here(
        self, sessions: list[BindingUpdateListEntry], message: BindingRevocationIndication, source: Address
    ) -> None:
        """9.1: "SHOULD ensure that the mobile node is no longer attached"; the answer waits for that of the node."""
        for session in sessions:
            if session.presence is SERVED and session.node not in self._asked:
                self._asked[session.node] = (message, source, self.now)
                self._do(ProbeNode(session.interface, session.link_layer, self._role._known_address(session)))
                self.wake(_LOOK, session.node)

    def on_timer(self, key: Any) -> None:
        """Bytes: did that node answer? Else see `RevocationProcedure`."""
        if not isinstance(key, bytes):
            super().on_timer(key)
            return
        message, source, since = self._asked[key]
        session = self._role.sessions.get(key)
        here = session is not None and session.presence is SERVED
        if session is not None and here and session.seen < since and self.now - since < _ANSWERS_WITHIN:
            self.wake(_LOOK, key)
            return
        del self._asked[key]
        if session is not None and here and session.seen >= since:
            self._acknowledge(message, source, RevocationStatus.REVOCATION_FAILED_MN_IS_ATTACHED)
            return
        if session is not None and here:
            self._report("revoked", node=session.node)
            self._role._remove(session)
        self._acknowledge(message, source, RevocationStatus.SUCCESS)

    # --- all of ours (9.2) --------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``revoke``: ask an LMA to end all bindings. Refused by those who refused once."""
        named = arguments.get("lma")
        found = [lma for lma in self._role._anchors if named is None or text(lma) == named]
        if not {"lma"} >= arguments.keys() or not found or not self.settings.identity or found[0] in self._unauthorized:
            return False
        options = (identifier_option(self.settings.identity),)
        return self._revoke(found[0], RevocationTrigger.PER_PEER_POLICY, options, None)

    def _on_acknowledgement(
        self, question: Question[BindingRevocationIndication, Any], answer: BindingRevocationAcknowledgement
    ) -> None:
        """130: "SHOULD NOT retry" (9.2)."""
        if answer.status in REVOKED:
            self._end_all(question.peer)
        elif answer.status == RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED:
            self._unauthorized.add(question.peer)
            self._report("revocation-not-authorized", peer=question.peer)

    def _on_unanswered(self, question: Question[BindingRevocationIndication, Any]) -> None:
        """6.3: the resources are cleaned up all the same."""
        self._end_all(question.peer)

    def _end_all(self, lma: Address) -> None:
        for session in self._of(lma):
            self._end(session)
