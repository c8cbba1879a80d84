"""An LMA revokes bindings, and lets its MAGs do so (RFC 5846 8).

The command ``revoke`` names a node (and perhaps one of its prefixes: if that is its IPv4 home address, only this one is
revoked, and the rest stays), or a MAG, or a realm (and perhaps a MAG). And a
request that waits for the end of another session (RFC 5213 5.4.1.2, 4.) does not just wait: the MAG of that session is
asked whether the node is still there.

Policy, where the RFC leaves it to the LMA: a session is kept while its revocation is under way; its MAG cannot register
it meanwhile, another one can, which ends the revocation. A MAG that refuses keeps the session, one that is silent or
does not understand does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sojourn.engines.configuration import Gateway
from sojourn.engines.extension import LmaExtension
from sojourn.engines.extension_settings import RevocationSettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.naming import node_in_words
from sojourn.engines.questions import Question
from sojourn.engines.registration import Refused, identifier_option
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
    IdentifierType,
    MobileNodeIdentifier,
    MobilityOption,
    RevocationStatus,
    RevocationTrigger,
    Status,
)
from sojourn.wire.addresses import Address, Prefix, text, to_ipv4
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.units import Instant

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration, Pending


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question is about."""

    trigger: RevocationTrigger
    asked: Instant
    entry: BindingCacheEntry | None = None
    """None: all sessions of the peer, or of a realm there."""
    realm: bytes = b""
    ipv4: Prefix | None = None
    """Only this address of the session."""


class LmaRevocation(RevocationProcedure["LmaRegistration"], LmaExtension):
    """The LMA's part."""

    def __init__(self, lma: LmaRegistration, settings: RevocationSettings) -> None:
        super().__init__(lma)
        self.settings = settings
        self._authorized = frozenset(settings.authorized)
        self._under_way: dict[int, Question[BindingRevocationIndication, Subject]] = {}
        """By the number of the session: the "revocation in progress" flag (8.1)."""

    def _is_peer(self, source: Address) -> bool:
        return source in self._role._gateways

    # --- on command ---------------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``revoke`` with ``node`` [``prefix``], ``gateway``, or ``realm`` [``gateway``]; and ``trigger``, a number."""
        if not {"node", "prefix", "gateway", "realm", "trigger"} >= arguments.keys():
            return False
        if "node" in arguments and not {"gateway", "realm"} & arguments.keys():
            return self._revoke_node(arguments["node"], arguments.get("prefix", ""), arguments.get("trigger", "1"))
        gateways = self._gateways(arguments.get("gateway"))
        realm = arguments.get("realm", "").encode()
        if (
            not gateways
            or {"node", "prefix", "trigger"} & arguments.keys()
            or not {"gateway", "realm"} & arguments.keys()
        ):
            return False
        for gateway in gateways:
            self._revoke_all(gateway.address, realm)
        return True

    def _gateways(self, named: str | None) -> list[Gateway]:
        """By name or address; all of them when nobody is named."""
        known = self._role._gateways.values()
        return [one for one in known if named is None or named in (one.name, text(one.address))]

    def _revoke_node(self, words: str, prefix: str, number: str) -> bool:
        try:
            trigger = RevocationTrigger(int(number))
        except ValueError:
            return False
        entries = [
            entry
            for entry in self._role.cache.of(node_in_words(words))
            if not prefix or prefix in map(str, entry.prefixes)
        ]
        if trigger >= RevocationTrigger.PER_PEER_POLICY or not entries:
            return False
        for entry in entries:
            mapped = entry.prefixes[-1]
            if prefix and prefix == str(mapped) and mapped.is_ipv4 and entry.home_prefixes:
                self._revoke_ipv4(entry, trigger, mapped)
            else:
                self._revoke_entry(entry, trigger)
        return True

    def _revoke_ipv4(self, entry: BindingCacheEntry, trigger: RevocationTrigger, address: Prefix) -> None:
        """8.1: flag V, and the address; the session goes on."""
        subject = Subject(trigger, self.now, entry, ipv4=address)
        options = (identifier_option(entry.node), Ipv4HomeAddressRequest(32, to_ipv4(address.address)))
        if not self._revoke(self._role._mag_of(entry), trigger, options, subject, IPV4_ONLY):
            self._end_ipv4(subject)

    def _end_ipv4(self, subject: Subject) -> None:
        """Unless the session ended or changed meanwhile."""
        entry, address = subject.entry, subject.ipv4
        if entry is None or self._role.cache.get(entry.slot) is not entry or address not in entry.prefixes:
            return
        self._role._change(entry, entry.home_prefixes)
        self._role._keep(entry)
        self._report("revoked", node=entry.node, gateway=self._role._name(entry.source), family="ipv4")

    def _revoke_entry(self, entry: BindingCacheEntry, trigger: RevocationTrigger) -> None:
        """8.1: the node, all prefixes of the session, and where the tunnel ends if that is not the MAG's address."""
        if entry.slot in self._under_way:
            return
        options: list[MobilityOption] = [
            identifier_option(entry.node),
            *(HomeNetworkPrefix.of(prefix) for prefix in entry.home_prefixes),
        ]
        gateway = self._role._mag_of(entry)
        if entry.gateway != gateway:
            options.append(AlternateCareOfAddress(entry.gateway))
        if self._revoke(gateway, trigger, options, Subject(trigger, self.now, entry)):
            *_, self._under_way[entry.slot] = self._questions
        elif trigger not in HANDOVERS:
            self._finish([entry], trigger)

    def _revoke_all(self, gateway: Address, realm: bytes) -> None:
        """8.1: all sessions of a MAG ("MUST NOT include any mobility options"), or those of a realm."""
        trigger = RevocationTrigger.PER_PEER_POLICY
        options: tuple[MobilityOption, ...] = ()
        if realm:
            trigger = RevocationTrigger.REVOKING_MOBILITY_NODE_LOCAL_POLICY
            options = (MobileNodeIdentifier(int(IdentifierType.NAI), b"@" + realm),)
        subject = Subject(trigger, self.now, realm=realm)
        if not self._revoke(gateway, trigger, options, subject):
            self._finish(self._covered(gateway, subject), trigger)

    def _covered(self, peer: Address, subject: Subject) -> list[BindingCacheEntry]:
        """What is left of it: sessions that ended or went elsewhere meanwhile are not, nor those registered since."""
        if subject.entry is not None:
            entry = self._role.cache.get(subject.entry.slot)
            return [subject.entry] if entry is subject.entry and self._role._mag_of(entry) == peer else []
        return self._all(
            lambda entry: (
                self._role._mag_of(entry) == peer
                and entry.expires - entry.lifetime <= subject.asked
                and (not subject.realm or realm_of(entry.node) == subject.realm)
            )
        )

    def _all(self, wanted: Callable[[BindingCacheEntry], bool]) -> list[BindingCacheEntry]:
        return [entry for entry in self._role.cache if wanted(entry)]

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _on_acknowledgement(
        self, question: Question[BindingRevocationIndication, Subject], answer: BindingRevocationAcknowledgement
    ) -> None:
        """6.2.2, 8.1."""
        subject = question.subject
        if subject.ipv4 is not None:
            if answer.status in REVOKED:
                self._end_ipv4(subject)
            return
        self._forget(subject)
        if answer.status in REVOKED:
            self._finish(self._covered(question.peer, subject), subject.trigger)
        elif subject.trigger in HANDOVERS and subject.entry is not None:
            self._role._on_assign_due(subject.entry.node)

    def _on_unanswered(self, question: Question[BindingRevocationIndication, Subject]) -> None:
        """6.3: cleaned up; but who asked because of a handover gets a session of its own (8.1)."""
        subject = question.subject
        if subject.ipv4 is not None:
            self._end_ipv4(subject)
            return
        self._forget(subject)
        if subject.trigger in HANDOVERS and subject.entry is not None:
            self._role._on_assign_due(subject.entry.node)
        else:
            self._finish(self._covered(question.peer, subject), subject.trigger)

    def _forget(self, subject: Subject) -> None:
        if subject.entry is not None:
            self._under_way.pop(subject.entry.slot, None)

    def _finish(self, entries: Iterable[BindingCacheEntry], trigger: RevocationTrigger) -> None:
        """8.1: after a handover "as if it received a de-registration", else they end."""
        for entry in entries:
            if trigger not in HANDOVERS:
                self._end(entry)
                continue
            if not entry.waiting:
                self._role._suspend(entry)
            self._role._take_up(entry)

    def _end(self, entry: BindingCacheEntry) -> None:
        self._report("revoked", node=entry.node, gateway=self._role._name(entry.source))
        self._role._end(entry)

    # --- beside registrations -----------------------------------------------------------------------------------------

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """8.1, the race: whom we told that the binding ends cannot extend it. Raises `Refused`."""
        question = None if entry is None else self._under_way.get(entry.slot)
        if question is None or not request.lifetime or question.subject.trigger in HANDOVERS:
            return False
        if request.source == question.peer:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "the binding is being revoked")
        return False

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """It was registered all the same: "removing the revocation in progress flag" (8.1).

        Who waits for its end waits as if nobody had been asked.
        """
        if entry.slot in self._under_way and entry.node in self._role._pending:
            self._role._after(self._role.configuration.max_delay_before_new_bce_assign, "assign", entry.node)
        self._give_up(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """It ended in another way."""
        self._give_up(entry)

    def _give_up(self, entry: BindingCacheEntry) -> None:
        question = self._under_way.pop(entry.slot, None)
        if question is not None:
            self._questions.forget(question)

    def waiting(self, pending: Pending, entry: BindingCacheEntry) -> None:
        """8.1: "SHOULD proactively send a Binding Revocation Indication message to the previous" MAG."""
        if self._role._mag_of(entry) in self._unable or entry.slot in self._under_way:
            return
        self._revoke_entry(entry, RevocationTrigger.INTER_MAG_HANDOVER_UNKNOWN)
        if entry.slot in self._under_way:
            self._role._timers.stop(("assign", entry.node))

    # --- a MAG revokes (8.2) ------------------------------------------------------------------------------------------

    def _on_indication(self, message: BindingRevocationIndication, source: Address) -> None:
        if message.flags & GLOBAL:
            self._on_global(message, source)
            return
        if message.flags & IPV4_ONLY:  # a MAG gives an address back by registering without it
            raise Rejected(RevocationStatus.BINDING_DOES_NOT_EXIST)
        node = node_named(message)
        entries = [entry for entry in self._role.cache.of(node) if self._role._mag_of(entry) == source]
        named = [option.prefix for option in message.all(HomeNetworkPrefix)]
        if named:
            entries = [entry for entry in entries if any(prefix in entry.prefixes for prefix in named)]
        if not entries:
            raise Rejected(RevocationStatus.BINDING_DOES_NOT_EXIST)
        missing = [prefix for prefix in named if not any(prefix in entry.prefixes for entry in entries)]
        for entry in entries:
            self._end(entry)
        if missing:
            options = (identifier_option(node), *(HomeNetworkPrefix.of(prefix) for prefix in missing))
            self._acknowledge(message, source, RevocationStatus.PARTIAL_SUCCESS, options)
        else:
            self._acknowledge(message, source, RevocationStatus.SUCCESS)

    def _on_global(self, message: BindingRevocationIndication, source: Address) -> None:
        """All bindings of a MAG that has the right, or of one of its tunnel ends."""
        if message.trigger != RevocationTrigger.PER_PEER_POLICY:
            raise Rejected(RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED)
        identity = message.first(MobileNodeIdentifier)
        if identity is None or (identity.key(), source) not in self._authorized:
            raise Rejected(RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED)
        care_of = message.first(AlternateCareOfAddress)
        for entry in self._all(
            lambda entry: self._role._mag_of(entry) == source and (care_of is None or entry.gateway == care_of.address)
        ):
            self._end(entry)
        self._acknowledge(message, source, RevocationStatus.SUCCESS)
