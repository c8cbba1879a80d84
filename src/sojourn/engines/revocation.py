"""Bindings are revoked by the other side (RFC 5846): what LMA and MAG do alike.

Either side sends a Binding Revocation Indication, repeats it with growing timeouts, and is answered with a status. The
LMA's part is in `lma_revocation`, the MAG's in `mag_revocation`. An IPv4 home address can be revoked alone (flag V).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from sojourn.engines.extension import Extension, R
from sojourn.engines.extension_settings import RevocationSettings
from sojourn.engines.questions import Question, Questions
from sojourn.wire import (
    BindingRevocationAcknowledgement,
    BindingRevocationFlags,
    BindingRevocationIndication,
    IdentifierType,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest

T = TypeVar("T")

PROXY = int(BindingRevocationFlags.PROXY)
GLOBAL = int(BindingRevocationFlags.GLOBAL)
IPV4_ONLY = int(BindingRevocationFlags.IPV4_HOME_ADDRESS_ONLY)
_KNOWN_FLAGS = PROXY | GLOBAL | IPV4_ONLY
_TRIGGERS = frozenset(int(trigger) for trigger in RevocationTrigger)
_GLOBAL_TRIGGERS = 128
"""From here on they are about many bindings."""
HANDOVERS = frozenset(
    {
        RevocationTrigger.INTER_MAG_HANDOVER_SAME_ACCESS_TYPE,
        RevocationTrigger.INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE,
        RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN,
    }
)
REVOKED = (RevocationStatus.SUCCESS, RevocationStatus.PARTIAL_SUCCESS, RevocationStatus.BINDING_DOES_NOT_EXIST)
"""After these answers nothing is left of it on the other side."""


class Rejected(Exception):
    """The indication is answered with this status, and nothing is revoked."""

    def __init__(self, status: RevocationStatus) -> None:
        super().__init__(status.name)
        self.status = status


class RevocationProcedure(Extension[R]):
    """Sections 5 and 6."""

    name: ClassVar[str] = "revocation"
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset(
        {BindingRevocationIndication, BindingRevocationAcknowledgement}
    )
    verbs: ClassVar[frozenset[str]] = frozenset({"revoke"})
    settings: RevocationSettings
    _questions: Questions[BindingRevocationIndication, Any]

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Nothing is outstanding."""
        settings = self.settings
        self._questions = Questions(
            self, settings.bri_max_retries_number, settings.init_min_delay_bris, settings.max_brack_timeout
        )
        self._unable: set[Address] = set()
        """Peers that do not know Binding Revocation messages."""

    # --- sending ------------------------------------------------------------------------------------------------------

    def _revoke(
        self,
        peer: Address,
        trigger: RevocationTrigger,
        options: Iterable[MobilityOption],
        subject: object,
        more: int = 0,
    ) -> bool:
        """6.1.1: ask `peer`; the trigger says whether it is about many (G). False: it cannot be asked."""
        flags = PROXY | more | (GLOBAL if trigger >= _GLOBAL_TRIGGERS else 0)
        listed = tuple(options)
        if peer in self._unable:
            return False
        self._report("revocation-begun", peer=peer, trigger=int(trigger))
        return self._questions.ask(
            lambda sequence: BindingRevocationIndication(int(trigger), sequence, flags, listed), peer, subject
        )

    def on_timer(self, key: Any) -> None:
        """6.3: once more, or given up: the resources are cleaned up."""
        question = self._questions.due(key)
        if question is not None:
            self._report("revocation-unanswered", peer=question.peer)
            self._on_unanswered(question)

    def on_unrecognized(self, peer: Address) -> None:
        """6.2: it does not know what revocation is, and is not asked again."""
        for question in self._questions:
            if question.peer == peer:
                self._unable.add(peer)
                self._questions.forget(question)
                self._on_unanswered(question)

    # --- receiving ----------------------------------------------------------------------------------------------------

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """From a peer; what others say is discarded (6.2)."""
        if not self._is_peer(source):
            self._report("revocation-refused", source=source, reason="not a peer")
        elif isinstance(message, BindingRevocationIndication):
            try:
                self._check(message)
                self._on_indication(message, source)
            except Rejected as rejected:
                self._acknowledge(message, source, rejected.status)
        elif isinstance(message, BindingRevocationAcknowledgement):
            question = self._questions.answered(message.sequence, source)
            if question is None:
                self._report("revocation-unexpected", source=source, sequence=message.sequence)
            else:
                self._report("revocation-answered", peer=source, status=message.status)
                self._on_acknowledgement(question, message)

    def _check(self, message: BindingRevocationIndication) -> None:
        """6.2.1: what both sides reject. Raises `Rejected`."""
        if message.trigger not in _TRIGGERS:
            raise Rejected(RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED)
        several = bool(message.flags & GLOBAL)
        if several != (message.trigger >= _GLOBAL_TRIGGERS) or (several and not message.flags & PROXY):
            raise Rejected(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
        if message.flags & IPV4_ONLY and message.first(Ipv4HomeAddressRequest) is None:
            raise Rejected(RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED)
        if not message.flags & PROXY:
            raise Rejected(RevocationStatus.BINDING_DOES_NOT_EXIST)  # all bindings are proxy's

    def _acknowledge(
        self,
        message: BindingRevocationIndication,
        source: Address,
        status: RevocationStatus,
        options: tuple[MobilityOption, ...] = (),
    ) -> None:
        """6.1.2, to where the indication came from."""
        if status >= RevocationStatus.BINDING_DOES_NOT_EXIST:
            self._report("revocation-refused", source=source, status=int(status))
        flags = message.flags & _KNOWN_FLAGS
        self.send(BindingRevocationAcknowledgement(int(status), message.sequence, flags, options), source)

    # --- what the role provides ---------------------------------------------------------------------------------------

    def _is_peer(self, source: Address) -> bool:
        raise NotImplementedError

    def _on_indication(self, message: BindingRevocationIndication, source: Address) -> None:
        """A peer wants to revoke; the answer is the role's. Raises `Rejected`."""
        raise NotImplementedError

    def _on_acknowledgement(
        self, question: Question[BindingRevocationIndication, Any], answer: BindingRevocationAcknowledgement
    ) -> None:
        """A peer said what came of it."""
        raise NotImplementedError

    def _on_unanswered(self, question: Question[BindingRevocationIndication, Any]) -> None:
        """A peer does not say anything."""
        raise NotImplementedError


def node_named(message: MobilityMessage) -> bytes:
    """Subtype and identifier of the MN-ID option. Raises `Rejected` (131) where there is none."""
    option = message.first(MobileNodeIdentifier)
    if option is None or not option.identifier:
        raise Rejected(RevocationStatus.REVOKED_MOBILE_NODES_IDENTITY_REQUIRED)
    return option.key()


def realm_of(node: bytes) -> bytes:
    """What follows the last ``@`` of a name (8.1); empty where there is none."""
    return node.rpartition(b"@")[2] if node[:1] == bytes((IdentifierType.NAI,)) and b"@" in node else b""
