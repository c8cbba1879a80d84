"""A mobile node and its correspondent nodes: return routability and direct registration (RFC 6275 11.6, 11.7.2).

Nothing is begun before the home agent has acknowledged a care-of address, and packets go through the tunnel until the
correspondent node acknowledged it. Home tokens are used again after a move while they are fresh (5.2.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sojourn.core.effects import SendMessage
from sojourn.core.events import CorrespondentSeen, MessageReceived
from sojourn.core.mobile_effects import EnsureRouteOptimisation, WithdrawRouteOptimisation
from sojourn.core.sequence import following
from sojourn.engines.mip6_configuration import (
    MAX_BINDACK_TIMEOUT,
    MAX_RO_FAILURE,
    MAX_RR_BINDING_LIFETIME,
    MAX_TOKEN_LIFETIME,
)
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_state import DIRECT, HomeEntry, MnState, Place
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
    NonceIndices,
    Status,
)
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration, Instant

_ACKNOWLEDGE = int(BindingUpdateFlags.A)
_NONCES = frozenset({Status.EXPIRED_HOME_NONCE_INDEX, Status.EXPIRED_CARE_OF_NONCE_INDEX, Status.EXPIRED_NONCES})
_REFRESH_AFTER = (4, 5)
Pair = tuple[Address, Address]
"""Home address and correspondent node."""


class Progress(Enum):
    """Where a correspondent registration is."""

    WAITING = "waiting"
    """For the home agent."""
    TESTING = "testing"
    UPDATING = "updating"
    BOUND = "bound"
    REFUSED = "refused"
    """It cannot, or does not want: everything goes through the tunnel for a while."""


@dataclass(slots=True)
class Token:
    """What a test brought."""

    index: int
    octets: bytes
    until: Instant


@dataclass(slots=True)
class CorrespondentEntry:
    """An entry of the Binding Update List about a correspondent node."""

    home: Address
    correspondent: Address
    progress: Progress = Progress.WAITING
    care_of: Address | None = None
    """What is tested or registered; None: the binding is to be deleted."""
    sequence: int = 0
    asked: Duration = 0
    expires: Instant = 0
    """Of the binding; 0: there is none."""
    optimised: bool = False
    """Packets go directly."""
    home_cookie: bytes = b""
    """Of the test that is under way; empty: there is none."""
    care_of_cookie: bytes = b""
    home_token: Token | None = None
    care_of_token: Token | None = None
    tested: Address | None = None
    """What the care-of token is for."""
    timeout: Duration = 0
    failures: int = 0
    key: bytes = b""
    """Kbm of the update that is under way."""

    @property
    def pair(self) -> Pair:
        """By what it is known."""
        return self.home, self.correspondent


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
        known = self.correspondents.get((home, correspondent))
        if known is None and len(self.correspondents) < self.configuration.correspondents:
            known = CorrespondentEntry(home, correspondent, sequence=self._entropy.below(1 << 16))
            self.correspondents[known.pair] = known
            self._test(known)

    def _of(self, entry: HomeEntry) -> list[CorrespondentEntry]:
        return [known for known in self.correspondents.values() if known.home == entry.address]

    # --- what the home registration brings ----------------------------------------------------------------------------

    def _on_moved(self, entry: HomeEntry) -> None:
        """What was direct goes through the tunnel until the correspondent nodes know the new care-of address.

        Where the home address need not be tested again, that is begun as soon as the home agent was told (11.7.2),
        not when it has answered: whoever sends directly sends to the old care-of address until then.
        """
        for known in self._of(entry):
            if known.progress is Progress.REFUSED:
                continue
            if known.care_of != entry.care_of:
                self._pause(known)
                known.progress = Progress.WAITING
            fresh = known.home_token is not None and known.home_token.until > self._now
            if known.progress is Progress.WAITING and fresh and entry.bound(self._now) and entry.place is Place.AWAY:
                known.care_of, known.failures = entry.care_of, 0
                self._begin_tests(known)

    def _on_reachable(self, entry: HomeEntry) -> None:
        for known in self._of(entry):
            if known.progress is Progress.WAITING:
                self._test(known)

    def _on_home(self, entry: HomeEntry) -> None:
        """At home the bindings are deleted, with a home test alone (11.6.1)."""
        for known in self._of(entry):
            self._pause(known)
            if known.expires > self._now:
                known.care_of, known.failures = None, 0
                self._begin_tests(known)
            else:
                self._forget(known)

    def _forget_correspondents(self, entry: HomeEntry) -> None:
        for known in self._of(entry):
            self._forget(known)

    def _shorten(self, entry: HomeEntry) -> None:
        """11.4.2: bindings that would outlive the home address are told a new lifetime."""
        for known in self._of(entry):
            if known.expires > entry.valid_until:
                self._test(known)

    # --- return routability (11.6) ------------------------------------------------------------------------------------

    def _test(self, known: CorrespondentEntry) -> None:
        """Tests for the current care-of address, as far as there are no fresh tokens."""
        entry = self.homes.get(known.home)
        if entry is None or entry.registered is None or entry.registered != entry.care_of:
            known.progress = Progress.WAITING
            return
        known.care_of, known.failures = entry.care_of, 0
        self._begin_tests(known)

    def _begin_tests(self, known: CorrespondentEntry) -> None:
        known.progress = Progress.TESTING
        known.timeout = self.configuration.retransmission.initial_bindack_timeout
        if known.home_token is not None and known.home_token.until <= self._now:
            known.home_token = None
        fresh = known.care_of_token is not None and known.care_of_token.until > self._now
        if not fresh or known.tested != known.care_of:
            known.care_of_token = None
        self._send_tests(known)

    def _send_tests(self, known: CorrespondentEntry) -> None:
        """Both at the same time, with new cookies every time, and not too often (11.8)."""
        earlier = self._tests_sent.get(known.correspondent, ())
        most = self.configuration.retransmission.max_update_rate
        if len(earlier) >= most and earlier[0] + SECOND > self._now:
            self._timers.start(("test-later", known.pair), earlier[0] + SECOND)
            return
        self._tests_sent[known.correspondent] = (*earlier[1 - most :], self._now)
        if known.home_token is None:
            known.home_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(HomeTestInit(known.home_cookie), known.home, known.correspondent))
        if known.care_of is not None and known.care_of_token is None:
            known.care_of_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(CareOfTestInit(known.care_of_cookie), known.care_of, known.correspondent))
        self._timers.start(("test", known.pair), self._now + known.timeout)
        self._proceed(known)

    def _on_test_silent(self, known: CorrespondentEntry) -> None:
        """11.8: repeated with doubling pauses; one that never answers is left alone for a while."""
        known.failures += 1
        if known.failures > MAX_RO_FAILURE:
            self._refuse(known, "silent")
            return
        known.timeout = min(2 * known.timeout, MAX_BINDACK_TIMEOUT)
        self._send_tests(known)

    def _on_test(self, event: MessageReceived, message: HomeTest | CareOfTest) -> None:
        """11.6.2: from whom it was asked, to the address that was tested, with the cookie of the question, once."""
        cared = isinstance(message, CareOfTest)
        token = Token(message.nonce_index, message.keygen_token, self._now + MAX_TOKEN_LIFETIME)
        taken = False
        for known in self.correspondents.values():
            if known.correspondent != event.source or known.progress is not Progress.TESTING or event.routed_to:
                continue
            if cared and known.care_of == event.destination and _same(known.care_of_cookie, message.cookie):
                known.care_of_token, known.care_of_cookie, known.tested = token, b"", known.care_of
            elif not cared and known.home == event.destination and _same(known.home_cookie, message.cookie):
                known.home_token, known.home_cookie = token, b""
            else:
                continue
            taken = True
            self._proceed(known)
        if not taken:
            self._report("test-discarded", source=event.source)

    # --- Binding Updates (11.7.2) -------------------------------------------------------------------------------------

    def _proceed(self, known: CorrespondentEntry) -> None:
        """Both tests were passed; the home test alone is enough to delete a binding."""
        home, care_of = known.home_token, known.care_of_token
        if home is None or (known.care_of is not None and care_of is None):
            return
        self._timers.stop(("test", known.pair))
        entry = self.homes[known.home]
        known.progress = Progress.UPDATING
        if known.care_of is None or care_of is None:
            known.asked, known.key = 0, binding_key(home.octets, b"")
        else:
            until = min(entry.expires, entry.valid_until, self._now + MAX_RR_BINDING_LIFETIME)
            known.asked = max((until - self._now) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)
            known.key = binding_key(home.octets, care_of.octets)
        known.sequence = following(self._last_sequence(known))
        update = BindingUpdate(known.sequence, _ACKNOWLEDGE, known.asked)
        self._requests.start(self._direct_key(known), update, self._now)

    def _last_sequence(self, known: CorrespondentEntry) -> int:
        outstanding = self._requests.get(self._direct_key(known))
        return known.sequence if outstanding is None else outstanding.update.sequence

    @staticmethod
    def _direct_key(known: CorrespondentEntry) -> Key:
        return DIRECT, known.home, known.correspondent, None

    def _direct_envelope(self, known: CorrespondentEntry, update: BindingUpdate) -> SendMessage:
        known.sequence = update.sequence
        assert known.home_token is not None
        care_of_index = known.care_of_token.index if update.lifetime and known.care_of_token else 0
        indices = NonceIndices(known.home_token.index, care_of_index)
        message = BindingUpdate(update.sequence, update.flags, update.lifetime, (indices,))
        signed(message, known.key, known.care_of or known.home, known.correspondent)
        source = known.care_of or known.home
        return SendMessage(message, source, known.correspondent, known.home if known.care_of else None)

    def _on_direct_acknowledgement(self, event: MessageReceived, answer: BindingAcknowledgement) -> None:
        """11.7.3: proven, but where the nonces are what is wrong; then nothing but a new test follows from it."""
        known = self.correspondents.get((event.routed_to or event.destination, event.source))
        if known is None or known.progress is not Progress.UPDATING:
            self._report("acknowledgement-discarded", source=event.source)
            return
        proven = verified(answer, event.octets, known.key, known.care_of or known.home, known.correspondent)
        key = self._direct_key(known)
        outstanding = self._requests.get(key)
        if outstanding is None or not (proven or answer.status in _NONCES):
            self._report("acknowledgement-discarded", source=event.source)
            return
        sent = outstanding.sent if outstanding.sent >= 0 else self._now
        if answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW:
            self._requests.cancel(key)
            known.sequence = answer.sequence
            self._proceed(known)
        elif self._requests.answered(key, answer.sequence, self._now) is None:
            self._report("acknowledgement-discarded", source=event.source)
        elif answer.status in _NONCES:
            self._renew_tokens(known, answer.status)
        elif answer.status >= Status.REASON_UNSPECIFIED:
            self._refuse(known, f"status {answer.status}")
        elif known.care_of is None:
            self._forget(known)
        else:
            self._on_bound(known, answer, sent)

    def _renew_tokens(self, known: CorrespondentEntry, status: int) -> None:
        known.failures += 1
        if known.failures > MAX_RO_FAILURE:
            self._refuse(known, f"status {status}")
            return
        if status != Status.EXPIRED_CARE_OF_NONCE_INDEX:
            known.home_token = None
        if status != Status.EXPIRED_HOME_NONCE_INDEX:
            known.care_of_token = None
        self._begin_tests(known)

    def _on_bound(self, known: CorrespondentEntry, answer: BindingAcknowledgement, sent: Instant) -> None:
        """Binding Refresh Advice of a correspondent node is ignored (11.7.3)."""
        assert known.care_of is not None
        granted = min(answer.lifetime, known.asked)
        known.progress, known.failures, known.expires = Progress.BOUND, 0, sent + granted
        known.optimised = True
        self._use(known)
        after = granted * _REFRESH_AFTER[0] // _REFRESH_AFTER[1]
        self._timers.start(("direct-refresh", known.pair), sent + after)
        self._timers.start(("direct-expiry", known.pair), known.expires)
        self._report("optimised", home=known.home, correspondent=known.correspondent)

    def _use(self, known: CorrespondentEntry) -> None:
        """Packets go directly, and those that come so are taken."""
        if known.optimised and known.care_of is not None:
            self._do(EnsureRouteOptimisation(known.home, known.correspondent, known.care_of))

    # --- the end of it ------------------------------------------------------------------------------------------------

    def _pause(self, known: CorrespondentEntry) -> None:
        """Through the tunnel, and no question is open."""
        if known.optimised:
            known.optimised = False
            self._do(WithdrawRouteOptimisation(known.home, known.correspondent))
        known.home_cookie = known.care_of_cookie = b""
        self._requests.cancel(self._direct_key(known))
        kinds = ("test", "test-later", "direct-refresh", "direct-expiry", "direct-repair")
        self._timers.stop_all((kind, known.pair) for kind in kinds)

    def _refuse(self, known: CorrespondentEntry, why: str) -> None:
        """11.3.5, 11.7.3: it is not asked again for a while."""
        self._pause(known)
        known.progress, known.expires = Progress.REFUSED, 0
        self._after(self.configuration.retry_correspondent, "direct-retry", known.pair)
        self._report("not-optimised", home=known.home, correspondent=known.correspondent, reason=why)

    def _forget(self, known: CorrespondentEntry) -> None:
        self._pause(known)
        self._timers.stop(("direct-retry", known.pair))
        del self.correspondents[known.pair]
        if all(other.correspondent != known.correspondent for other in self.correspondents.values()):
            self._tests_sent.pop(known.correspondent, None)

    def _on_direct_timer(self, kind: str, known: CorrespondentEntry) -> None:
        if kind == "test":
            self._on_test_silent(known)
        elif kind == "test-later":
            self._send_tests(known)
        elif kind == "direct-refresh":
            self._test(known)
        elif kind == "direct-repair":
            self._use(known)
        elif kind == "direct-expiry" and known.progress is not Progress.REFUSED:
            self._pause(known)
            known.expires = 0
            self._test(known)
        elif kind == "direct-retry":
            self._forget(known)

    # --- what goes wrong (11.3.5, 11.3.6, 11.7.4) ---------------------------------------------------------------------

    def _on_unsupported(self, correspondent: Address, why: str) -> None:
        """A correspondent node does not know the Mobility Header, or not these messages."""
        for known in [entry for entry in self.correspondents.values() if entry.correspondent == correspondent]:
            if known.progress in (Progress.TESTING, Progress.UPDATING):
                self._refuse(known, why)

    def _on_unknown_binding(self, correspondent: Address, home: Address) -> None:
        """It has no binding: through the tunnel, and begin again."""
        known = self.correspondents.get((home, correspondent))
        if known is not None and known.progress is Progress.BOUND:
            self._pause(known)
            known.expires = 0
            self._test(known)

    def _on_direct_refresh_request(self, correspondent: Address, home: Address) -> None:
        known = self.correspondents.get((home, correspondent))
        if known is not None and known.progress is Progress.BOUND:
            self._test(known)


def _same(cookie: bytes, received: bytes) -> bool:
    return bool(cookie) and cookie == received
