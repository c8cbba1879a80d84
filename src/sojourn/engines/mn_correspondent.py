"""A mobile node and its correspondent nodes: return routability and direct registration (RFC 6275 11.6, 11.7.2).

Nothing is begun before the home agent has acknowledged a care-of address, and packets go through the tunnel until the
correspondent node acknowledged it. Home tokens are used again after a move while they are fresh (5.2.7).

With several care-of addresses (RFC 5648 5.2) the best is registered first; its answer tells whether the correspondent
node wants more than one. Packets then leave by the best that it has, and at once by another one when a link is gone:
it takes them from all. It is told, too, and sends by another one itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import SendMessage
from sojourn.core.events import CorrespondentSeen, MessageReceived
from sojourn.core.mobile_effects import EnsureRouteOptimisation, WithdrawRouteOptimisation
from sojourn.core.sequence import following, newer
from sojourn.engines.care_of_ways import OVERWRITE
from sojourn.engines.mip6_configuration import (
    MAX_BINDACK_TIMEOUT,
    MAX_RO_FAILURE,
    MAX_RR_BINDING_LIFETIME,
    MAX_TOKEN_LIFETIME,
)
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_direct import UNDER_WAY, CorrespondentEntry, DirectWay, Pair, Progress, Token
from sojourn.engines.mn_flows import Wanted
from sojourn.engines.mn_state import DIRECT, HomeEntry, MnState, Place, Ways
from sojourn.engines.retransmission import Key
from sojourn.engines.return_routability import TOKEN, binding_key, signed, verified
from sojourn.wire import (
    LIFETIME_UNIT,
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    MobilityOption,
    NonceIndices,
    Status,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6089 import FlowIdentification
from sojourn.wire.units import SECOND, Instant

_ACKNOWLEDGE = int(BindingUpdateFlags.A)
_NONCES = frozenset({Status.EXPIRED_HOME_NONCE_INDEX, Status.EXPIRED_CARE_OF_NONCE_INDEX, Status.EXPIRED_NONCES})
_ONE_ONLY = frozenset({Status.MCOA_PROHIBITED, Status.MCOA_BULK_REGISTRATION_PROHIBITED, Status.MCOA_MALFORMED})
_REFRESH_AFTER = (4, 5)


class MnCorrespondent(MnState):
    """The mobile node as the one that takes the direct way."""

    correspondents: dict[Pair, CorrespondentEntry]
    _tests_sent: dict[Address, tuple[Instant, ...]]
    """When each correspondent node was asked lately."""

    def _on_correspondent_seen(self, event: CorrespondentSeen) -> None:
        """11.7.2: a packet came out of the tunnel; its sender may be told where we are."""
        home, correspondent = event.home_address, event.correspondent
        entry = self.homes.get(home)
        if not self.configuration.route_optimisation or entry is None or entry.place is not Place.AWAY:
            return
        if not routable(correspondent) or correspondent in (entry.agent, entry.address):
            return
        if (home, correspondent) in self.correspondents:
            return
        if len(self.correspondents) < self.configuration.correspondents:
            peer = CorrespondentEntry(home, correspondent, self._entropy.below(1 << 16))
            self.correspondents[peer.pair] = peer
            self._pursue(peer)
            self._tidy(peer)

    def _of(self, entry: HomeEntry) -> list[CorrespondentEntry]:
        return [peer for peer in self.correspondents.values() if peer.home == entry.address]

    # --- which care-of addresses it is to have ------------------------------------------------------------------------

    def _wanted(self, peer: CorrespondentEntry) -> Ways:
        """By BID, the best first; without identifiers the only one."""
        entry = self.homes.get(peer.home)
        if entry is None or entry.place is not Place.AWAY or entry.care_of is None or entry.at_home_first:
            return {}
        if entry.ways and not peer.single:
            return {number: way for number, way in entry.ways.items() if way != entry.address}
        return {0: entry.care_of} if entry.care_of != entry.address else {}

    def _pursue(self, peer: CorrespondentEntry) -> None:
        """What is wanted and was not begun: the best, and all others when the correspondent node took one."""
        wanted = self._wanted(peer)
        ranks = _ranks(wanted)
        for identifier, care_of in wanted.items():
            idle = not any(way.progress in UNDER_WAY for way in peer.ways.values())
            if identifier not in peer.ways and (peer.optimised or (idle and not peer.unwilling)):
                way = peer.ways[identifier] = DirectWay(peer, identifier, care_of, ranks[identifier])
                self._test(way)

    def _part(self, peer: CorrespondentEntry) -> None:
        """From care-of addresses that are not ours any more. The correspondent node is told if it has another one;
        else the next update is in the place of all that it knows.
        """
        wanted = self._wanted(peer)
        gone = [
            way
            for identifier, way in peer.ways.items()
            if identifier not in wanted and (way.care_of is not None or way.progress is Progress.WAITING)
        ]
        stays = any(way.optimised for way in peer.ways.values() if way.identifier in wanted)
        for way in gone:
            self._pause(way)
            if stays and way.expires > self._now:
                way.care_of, way.failures = None, 0
                self._begin_tests(way)
            else:
                self._drop(way)

    def _choose_way(self, peer: CorrespondentEntry) -> None:
        """Packets leave by the best that the correspondent node has."""
        known = [peer.ways[identifier] for identifier in self._wanted(peer) if identifier in peer.ways]
        usable = [way.care_of for way in known if way.optimised and way.care_of is not None]
        using = usable[0] if usable else None
        also = tuple(usable[1:]) if self.configuration.flows else ()
        if (using, also) == (peer.using, peer.also):
            return
        peer.using, peer.also = using, also
        if using is None:
            self._do(WithdrawRouteOptimisation(*peer.pair))
        else:
            self._do(EnsureRouteOptimisation(*peer.pair, using, also))

    # --- what the home registration brings ----------------------------------------------------------------------------

    def _on_moved(self, entry: HomeEntry) -> None:
        """What was direct goes through the tunnel until the correspondent nodes know the new care-of address.

        Where the home address need not be tested again, that is begun as soon as the home agent was told (11.7.2),
        not when it has answered: whoever sends directly sends to the old care-of address until then.
        """
        if entry.at_home_first:
            self._end_all(entry)
            return
        for peer in self._of(entry):
            wanted = self._wanted(peer)
            if wanted:
                self._part(peer)
            fresh = peer.home_token is not None and peer.home_token.until > self._now
            ready = fresh and entry.bound(self._now) and entry.place is Place.AWAY
            ranks = _ranks(wanted)
            for way in [way for way in peer.ways.values() if way.progress is not Progress.REFUSED]:
                if way.care_of is None and wanted and way.progress is not Progress.WAITING:
                    continue  # it is being deleted
                if way.care_of is None and not wanted and entry.place is Place.NOWHERE:
                    self._pause(way)  # nobody can be asked now
                    way.progress = Progress.WAITING
                    continue
                care_of = wanted.get(way.identifier)
                anew = way.care_of != care_of
                if anew:
                    self._take_back(way)
                    self._pause(way)
                    way.progress = Progress.WAITING
                anew = anew or way.rank != ranks.get(way.identifier, way.rank)
                way.rank = ranks.get(way.identifier, way.rank)
                if care_of is not None and ready and (way.progress is Progress.WAITING or anew):
                    way.care_of, way.failures = care_of, 0
                    self._begin_tests(way)
            self._choose_way(peer)
            self._pursue(peer)  # if none is left: it sends to where the node was until it hears more
            self._tidy(peer)

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

    def _on_reachable(self, entry: HomeEntry) -> None:
        if entry.at_home_first:
            self._end_all(entry)
        for peer in self._of(entry):
            for way in list(peer.ways.values()):
                if way.progress is Progress.WAITING:
                    self._test(way)
            self._pursue(peer)

    def _on_home(self, entry: HomeEntry) -> None:
        """At home the bindings are deleted, all in one, with a home test alone (11.6.1)."""
        self._end_all(entry)

    def _end_all(self, entry: HomeEntry) -> None:
        for peer in self._of(entry):
            bound = peer.bound_until > self._now
            for way in list(peer.ways.values()):
                self._pause(way)
                self._drop(way)
            if bound:
                last = peer.ways[0] = DirectWay(peer, 0, None)
                self._begin_tests(last)
            self._tidy(peer)

    def _forget_correspondents(self, entry: HomeEntry) -> None:
        for peer in self._of(entry):
            for way in list(peer.ways.values()):
                self._drop(way)
            self._tidy(peer)

    def _shorten(self, entry: HomeEntry) -> None:
        """11.4.2: bindings that would outlive the home address are told a new lifetime."""
        for peer in self._of(entry):
            for way in peer.ways.values():
                if way.expires > entry.valid_until and way.care_of is not None:
                    self._test(way)

    # --- return routability (11.6) ------------------------------------------------------------------------------------

    def _test(self, way: DirectWay) -> None:
        """Tests for the current care-of address, as far as there are no fresh tokens."""
        entry = self.homes.get(way.peer.home)
        care_of = self._wanted(way.peer).get(way.identifier)
        if way.care_of is None and entry is not None and entry.place is Place.AWAY and care_of is None:
            self._begin_tests(way)
            return
        if entry is None or care_of is None or not self._is_acknowledged(entry, way.identifier, care_of):
            way.progress = Progress.WAITING
            return
        way.care_of, way.failures = care_of, 0
        self._begin_tests(way)

    @staticmethod
    def _is_acknowledged(entry: HomeEntry, identifier: int, care_of: Address) -> bool:
        """Whether the home agent has that care-of address."""
        if identifier:
            return entry.registered is not None and entry.acknowledged.get(identifier) == care_of
        return entry.registered == care_of

    def _begin_tests(self, way: DirectWay) -> None:
        peer = way.peer
        way.progress = Progress.TESTING
        way.timeout = self.configuration.retransmission.initial_bindack_timeout
        if peer.home_token is not None and peer.home_token.until <= self._now:
            peer.home_token = None
        fresh = way.care_of_token is not None and way.care_of_token.until > self._now
        if not fresh or way.tested != way.care_of:
            way.care_of_token = None
        self._send_tests(way, first=True)

    def _send_tests(self, way: DirectWay, *, first: bool = False) -> None:
        """Both at the same time, with new cookies every time, and not too often (11.8). The `first` time a home test
        that another care-of address waits for will do."""
        peer = way.peer
        earlier = self._tests_sent.get(peer.correspondent, ())
        most = self.configuration.retransmission.max_update_rate
        if len(earlier) >= most and earlier[0] + SECOND > self._now:
            self._timers.start(("test-later", way.name), earlier[0] + SECOND)
            return
        self._tests_sent[peer.correspondent] = (*earlier[1 - most :], self._now)
        if peer.home_token is None and not (first and peer.home_cookie):
            peer.home_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(HomeTestInit(peer.home_cookie), peer.home, peer.correspondent))
        if way.care_of is not None and way.care_of_token is None:
            way.care_of_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(CareOfTestInit(way.care_of_cookie), way.care_of, peer.correspondent))
        self._timers.start(("test", way.name), self._now + way.timeout)
        self._proceed(way)

    def _on_test_silent(self, way: DirectWay) -> None:
        """11.8: repeated with doubling pauses; one that never answers is left alone for a while."""
        way.failures += 1
        if way.failures > MAX_RO_FAILURE:
            self._refuse(way, "silent")
            return
        way.timeout = min(2 * way.timeout, MAX_BINDACK_TIMEOUT)
        self._send_tests(way)

    def _on_test(self, event: MessageReceived, message: HomeTest | CareOfTest) -> None:
        """11.6.2: from whom it was asked, to the address that was tested, with the cookie of the question, once."""
        cared = isinstance(message, CareOfTest)
        token = Token(message.nonce_index, message.keygen_token, self._now + MAX_TOKEN_LIFETIME)
        taken = False
        for peer in list(self.correspondents.values()):
            if peer.correspondent != event.source or event.routed_to:
                continue
            testing = [way for way in peer.ways.values() if way.progress is Progress.TESTING]
            if cared:
                testing = [
                    way
                    for way in testing
                    if way.care_of == event.destination and _same(way.care_of_cookie, message.cookie)
                ]
                for way in testing:
                    way.care_of_token, way.care_of_cookie, way.tested = token, b"", way.care_of
            elif testing and peer.home == event.destination and _same(peer.home_cookie, message.cookie):
                peer.home_token, peer.home_cookie = token, b""
            else:
                continue
            taken = taken or bool(testing)
            for way in testing:
                self._proceed(way)
        if not taken:
            self._report("test-discarded", source=event.source)

    # --- Binding Updates (11.7.2) -------------------------------------------------------------------------------------

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
        self._requests.start(self._direct_key(way), BindingUpdate(peer.sequence, flags, way.asked), self._now)

    def _last_sequence(self, peer: CorrespondentEntry) -> int:
        """The latest, also of repetitions."""
        latest = peer.sequence
        for way in peer.ways.values():
            outstanding = self._requests.get(self._direct_key(way))
            if outstanding is not None and newer(outstanding.update.sequence, latest):
                latest = outstanding.update.sequence
        return latest

    @staticmethod
    def _direct_key(way: DirectWay) -> Key:
        return DIRECT, way.peer.home, way.peer.correspondent, way.identifier

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

    def _flows_of(self, peer: CorrespondentEntry, registered: DirectWay | None = None) -> Wanted:
        """The flow bindings that it is to have (RFC 6089): about its packets, and care-of addresses that it knows."""
        if not self.configuration.flows:
            return {}
        known = {way.identifier for way in peer.ways.values() if way.optimised}
        if registered is not None and registered.care_of is not None:
            known.add(registered.identifier)
        return {
            number: flow
            for number, flow in self._wanted_flows(self.homes[peer.home]).items()
            if flow.number in known and flow.may_come_from(peer.correspondent)
        }

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
        way.failures += 1
        if way.failures > MAX_RO_FAILURE:
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
        way.optimised, peer.unwilling = True, False
        after = granted * _REFRESH_AFTER[0] // _REFRESH_AFTER[1]
        self._timers.start(("direct-refresh", way.name), sent + after)
        self._timers.start(("direct-expiry", way.name), way.expires)
        self._use(peer)
        self._report("optimised", home=peer.home, correspondent=peer.correspondent)
        self._pursue(peer)

    def _use(self, peer: CorrespondentEntry) -> None:
        """Packets go directly, and those that come so are taken."""
        before = peer.using, peer.also
        self._choose_way(peer)
        if peer.using is not None and (peer.using, peer.also) == before:
            self._do(EnsureRouteOptimisation(*peer.pair, peer.using, peer.also))

    # --- the end of it ------------------------------------------------------------------------------------------------

    def _pause(self, way: DirectWay) -> None:
        """By another way, and no question is open."""
        peer = way.peer
        way.optimised = False
        self._choose_way(peer)
        way.care_of_cookie = b""
        if not any(other.progress is Progress.TESTING for other in peer.ways.values() if other is not way):
            peer.home_cookie = b""
        self._requests.cancel(self._direct_key(way))
        kinds = ("test", "test-later", "direct-refresh", "direct-expiry")
        self._timers.stop_all((kind, way.name) for kind in kinds)

    def _refuse(self, way: DirectWay, why: str) -> None:
        """11.3.5, 11.7.3: it is not asked again for a while."""
        peer = way.peer
        self._pause(way)
        way.progress, way.expires = Progress.REFUSED, 0
        self._after(self.configuration.retry_correspondent, "direct-retry", way.name)
        self._report("not-optimised", home=peer.home, correspondent=peer.correspondent, reason=why)
        self._pursue(peer)

    def _drop(self, way: DirectWay) -> None:
        """Nothing is left of this care-of address."""
        self._pause(way)
        self._timers.stop(("direct-retry", way.name))
        way.peer.ways.pop(way.identifier, None)

    def _tidy(self, peer: CorrespondentEntry) -> None:
        """A correspondent node that nothing is known of is none."""
        if peer.ways or self.correspondents.get(peer.pair) is not peer:
            return
        self._timers.stop(("direct-repair", peer.pair))
        del self.correspondents[peer.pair]
        if all(other.correspondent != peer.correspondent for other in self.correspondents.values()):
            self._tests_sent.pop(peer.correspondent, None)

    def _on_direct_timer(self, kind: str, way: DirectWay) -> None:
        peer = way.peer
        if kind == "test":
            self._on_test_silent(way)
        elif kind == "test-later":
            self._send_tests(way)
        elif kind == "direct-refresh":
            self._test(way)
        elif kind == "direct-expiry" and way.progress is not Progress.REFUSED:
            self._pause(way)
            way.expires = 0
            self._test(way)
        elif kind == "direct-retry":
            peer.unwilling = False
            self._drop(way)
            if peer.optimised:
                self._pursue(peer)
            self._tidy(peer)

    # --- what goes wrong (11.3.5, 11.3.6, 11.7.4) ---------------------------------------------------------------------

    def _on_unsupported(self, correspondent: Address, why: str) -> None:
        """A correspondent node does not know the Mobility Header, or not these messages."""
        for peer in [known for known in self.correspondents.values() if known.correspondent == correspondent]:
            for way in list(peer.ways.values()):
                if way.progress in (Progress.TESTING, Progress.UPDATING):
                    peer.unwilling = True
                    self._refuse(way, why)

    def _on_unknown_binding(self, correspondent: Address, home: Address) -> None:
        """It has no binding: through the tunnel, and begin again with the best."""
        peer = self.correspondents.get((home, correspondent))
        bound = [] if peer is None else [way for way in peer.ways.values() if way.progress is Progress.BOUND]
        if peer is None or not bound:
            return
        for way in bound:
            self._pause(way)
            way.expires, way.progress = 0, Progress.WAITING
        first = min(bound, key=lambda way: way.rank)
        for way in list(peer.ways.values()):
            if way is not first and way.progress is not Progress.REFUSED:
                self._drop(way)
        self._test(first)

    def _on_direct_refresh_request(self, correspondent: Address, home: Address, identifiers: Iterable[int]) -> None:
        """Of all that it has, or of some (RFC 5648 5.8)."""
        peer, named = self.correspondents.get((home, correspondent)), set(identifiers)
        for way in [] if peer is None else list(peer.ways.values()):
            if way.progress is Progress.BOUND and (not named or way.identifier in named):
                self._test(way)


def _same(cookie: bytes, received: bytes) -> bool:
    return bool(cookie) and cookie == received


def _ranks(wanted: Ways) -> dict[int, int]:
    """The priorities of care-of addresses, the best first: they stay what they are when another link comes or goes."""
    ranks: dict[int, int] = {}
    last = 0
    for identifier in wanted:
        last = ranks[identifier] = max(last + 1, identifier)
    return ranks
