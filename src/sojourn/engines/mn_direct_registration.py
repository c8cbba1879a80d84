"""A mobile node registers with correspondent nodes (RFC 6275 11.7.2, 11.7.3).

With several care-of addresses (RFC 5648 5.2) the best is registered first; its answer tells whether the correspondent
node wants more than one.
"""

from __future__ import annotations

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.core.sequence import following, newer
from sojourn.engines.care_of_ways import OVERWRITE
from sojourn.engines.mip6_configuration import (
    MAX_RO_FAILURE,
    MAX_RR_BINDING_LIFETIME,
)
from sojourn.engines.mn_direct import CorrespondentEntry, DirectWay, Progress
from sojourn.engines.mn_return_routability import MnReturnRoutability
from sojourn.engines.mn_state import Place
from sojourn.engines.return_routability import binding_key, signed, verified
from sojourn.wire import (
    LIFETIME_UNIT,
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    MobilityOption,
    NonceIndices,
    Status,
)
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6089 import FlowIdentification
from sojourn.wire.units import Instant

_ACKNOWLEDGE = int(BindingUpdateFlags.A)
_NONCES = frozenset({Status.EXPIRED_HOME_NONCE_INDEX, Status.EXPIRED_CARE_OF_NONCE_INDEX, Status.EXPIRED_NONCES})
_ONE_ONLY = frozenset({Status.MCOA_PROHIBITED, Status.MCOA_BULK_REGISTRATION_PROHIBITED, Status.MCOA_MALFORMED})
_REFRESH_AFTER = (4, 5)


class MnDirectRegistration(MnReturnRoutability):
    """The mobile node with a Binding Update List for correspondent nodes."""

    def _proceed(self, way: DirectWay) -> None:
        """Both tests were passed; the home test alone is enough to delete a binding."""
        peer, home, care_of = way.peer, way.peer.home_token, way.care_of_token
        if home is None or (way.care_of is not None and care_of is None):
            return
        self._timers.stop(("test", way.name))
        entry = self.homes[peer.home]
        way.progress = Progress.UPDATING
        flags = _ACKNOWLEDGE
        if way.care_of is None or care_of is None:
            way.asked, way.key, way.indices = 0, binding_key(home.octets, b""), (home.index, 0)
        else:
            until = min(entry.expires, entry.valid_until, self._now + MAX_RR_BINDING_LIFETIME)
            way.asked = max((until - self._now) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)
            way.key, way.indices = binding_key(home.octets, care_of.octets), (home.index, care_of.index)
            peer.bound_until = max(peer.bound_until, self._now + way.asked)
            if way.identifier and not any(other.optimised for other in peer.ways.values() if other is not way):
                flags |= OVERWRITE  # whatever it had from an earlier life (RFC 5648 5.9)
                peer.flows.known = {}
        peer.sequence = following(self._last_sequence(peer))
        if way.asked:
            self._keep_doubt(peer)
        self._requests.start(self._direct_key(way), BindingUpdate(peer.sequence, flags, way.asked), self._now)

    def _direct_envelope(self, way: DirectWay, update: BindingUpdate) -> SendMessage:
        """From the care-of address itself; when one of several is to be deleted, from another one."""
        peer = way.peer
        if newer(update.sequence, peer.sequence):
            peer.sequence = update.sequence
        options: list[MobilityOption] = [NonceIndices(*way.indices)]
        if way.identifier:
            care_of = way.care_of or b""
            options.append(BindingIdentifier(way.identifier, priority=way.rank if care_of else 0, care_of=care_of))
            way.said = self._flows_of(peer, way)
            options += peer.flows.asked(way.said)
        message = BindingUpdate(update.sequence, update.flags, update.lifetime, tuple(options))
        signed(message, way.key, way.care_of or peer.home, peer.correspondent)
        source = way.care_of
        if source is None and self.homes[peer.home].place is Place.AWAY:
            source = peer.using or self.homes[peer.home].care_of
        return SendMessage(message, source or peer.home, peer.correspondent, peer.home if source else None)

    def _take_back(self, way: DirectWay) -> None:
        """Tell the correspondent node at once that this care-of address is left, if it has another one: the new one
        has to be tested first. Nobody waits for an answer, as the update that follows says the same.
        """
        peer, entry = way.peer, self.homes[way.peer.home]
        others = [other.care_of for other in peer.ways.values() if other.optimised and other is not way]
        token = peer.home_token
        if (
            not way.optimised
            or not others
            or token is None
            or token.until <= self._now
            or entry.place is not Place.AWAY
        ):
            return
        self._requests.cancel(self._direct_key(way))
        peer.sequence = following(self._last_sequence(peer))
        key = binding_key(token.octets, b"")
        flows = self._flows_of(peer)
        options: list[MobilityOption] = [NonceIndices(token.index, 0), BindingIdentifier(way.identifier)]
        options += peer.flows.asked(flows)
        message = BindingUpdate(peer.sequence, 0, 0, tuple(options))
        signed(message, key, peer.home, peer.correspondent)
        self._do(SendMessage(message, others[0] or peer.home, peer.correspondent, peer.home))

    def _on_direct_acknowledgement(self, event: MessageReceived, answer: BindingAcknowledgement) -> None:
        """11.7.3: proven, but where the nonces are what is wrong; then nothing but a new test follows from it."""
        peer = self.correspondents.get((event.routed_to or event.destination, event.source))
        way = None if peer is None else self._answered(peer, answer)
        outstanding = None if way is None else self._requests.get(self._direct_key(way))
        if peer is None or way is None or outstanding is None:
            self._report("acknowledgement-discarded", source=event.source)
            return
        proven = verified(answer, event.octets, way.key, way.care_of or peer.home, peer.correspondent)
        if not (proven or answer.status in _NONCES):
            self._report("acknowledgement-discarded", source=event.source)
            return
        sent = outstanding.sent if outstanding.sent >= 0 else self._now
        key, refused = self._direct_key(way), answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
        if refused and not newer(outstanding.update.sequence, answer.sequence):
            self._requests.cancel(key)
            peer.sequence = answer.sequence if newer(answer.sequence, peer.sequence) else peer.sequence
            self._proceed(way)
        elif refused or self._requests.answered(key, answer.sequence, self._now) is None:
            self._report("acknowledgement-discarded", source=event.source)  # late: no number is used twice
        elif answer.status in _NONCES:
            self._renew_tokens(way, answer.status)
        elif way.care_of is None:  # whatever it says: there is none any more (133)
            self._on_flows_answered(way, answer)
            peer.bound_until = peer.bound_until if way.identifier else 0
            self._drop(way)
            self._pursue(peer)
            self._tidy(peer)
        else:
            self._on_update_answered(way, answer, sent)

    @staticmethod
    def _answered(peer: CorrespondentEntry, answer: BindingAcknowledgement) -> DirectWay | None:
        """What the answer is about: it says so, or it is the only one that waits for one."""
        option = answer.first(BindingIdentifier)
        updating = [way for way in peer.ways.values() if way.progress is Progress.UPDATING]
        return next((way for way in updating if option is None or way.identifier == option.identifier), None)

    def _on_update_answered(self, way: DirectWay, answer: BindingAcknowledgement, sent: Instant) -> None:
        peer = way.peer
        plain = bool(way.identifier) and answer.first(BindingIdentifier) is None
        if plain and answer.status < Status.REASON_UNSPECIFIED:  # a binding without identifier (RFC 5648 5.7)
            peer.single = True
            for known in list(peer.ways.values()):
                self._drop(known)
            assert way.care_of is not None
            alone = peer.ways[0] = DirectWay(peer, 0, way.care_of, asked=way.asked)
            alone.care_of_token, alone.tested = way.care_of_token, way.tested
            self._on_bound(alone, answer, sent)
            if self._wanted(peer).get(0) != alone.care_of:  # the best is another one by now
                self._test(alone)
        elif answer.status == Status.MCOA_NON_MCOA_BINDING_EXISTS and peer.optimised:
            for other in list(peer.ways.values()):
                if other is not way:
                    self._drop(other)
            self._proceed(way)  # in the place of all (5.7)
        elif answer.status in _ONE_ONLY and way.identifier:
            peer.single = True
            for known in list(peer.ways.values()):
                self._drop(known)
            self._pursue(peer)
            self._tidy(peer)
        elif answer.status >= Status.REASON_UNSPECIFIED:
            peer.unwilling = True
            self._refuse(way, f"status {answer.status}")
        else:
            self._on_flows_answered(way, answer)
            self._on_bound(way, answer, sent)

    def _on_flows_answered(self, way: DirectWay, answer: BindingAcknowledgement) -> None:
        """RFC 6089 5.2.6."""
        peer = way.peer
        if not way.identifier or not self.configuration.flows or answer.status >= Status.REASON_UNSPECIFIED:
            return
        peer.flows.sent = way.said
        for identifier, status in peer.flows.answered(answer.all(FlowIdentification)).items():
            self._report("flow-refused", home=peer.home, identifier=identifier, status=status)

    def _renew_tokens(self, way: DirectWay, status: int) -> None:
        way.stale += 1
        if way.stale > MAX_RO_FAILURE:
            self._refuse(way, f"status {status}")
            return
        if status != Status.EXPIRED_CARE_OF_NONCE_INDEX:
            way.peer.home_token = None
        if status != Status.EXPIRED_HOME_NONCE_INDEX:
            way.care_of_token = None
        self._begin_tests(way)

    def _on_bound(self, way: DirectWay, answer: BindingAcknowledgement, sent: Instant) -> None:
        """Binding Refresh Advice of a correspondent node is ignored (11.7.3)."""
        peer = way.peer
        granted = min(answer.lifetime, way.asked)
        way.progress, way.failures, way.expires = Progress.BOUND, 0, sent + granted
        way.stale = 0
        way.optimised, peer.unwilling = True, False
        after = granted * _REFRESH_AFTER[0] // _REFRESH_AFTER[1]
        self._timers.start(("direct-refresh", way.name), sent + after)
        self._timers.start(("direct-expiry", way.name), way.expires)
        self._use(peer)
        self._keep_direct(peer)
        self._report("optimised", home=peer.home, correspondent=peer.correspondent)
        self._pursue(peer)
