"""The correspondent node of Mobile IPv6 with route optimisation (RFC 6275 section 9).

It tests whether a mobile node can be reached at both of its addresses before it believes a Binding Update, and keeps
nothing of a node until it does (5.2.5). A node that has several care-of addresses (RFC 5648) proves and registers each
by itself. Packets go to the best of them, or where its flow bindings say (RFC 6089, `ha_flows`); all are taken from.
Bindings are in `cn_entry`, tokens in `cn_nonces`, cryptography in `return_routability`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import (
    CountTraffic,
    DeleteBinding,
    Effect,
    EnsureCounter,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
)
from sojourn.core.engine import Row
from sojourn.core.events import (
    ClockStepped,
    EffectFailed,
    Event,
    HomeAddressRefused,
    IcmpErrorReceived,
    MessageReceived,
    TrafficCounted,
)
from sojourn.core.mobile_effects import EnsureCareOfRoute, WithdrawCareOfRoute
from sojourn.engines.base import TimerName, TokenBucket
from sojourn.engines.care_of_ways import OVERWRITE, WAYS_MAX, Way, best, copies
from sojourn.engines.cn_entry import CorrespondentEntry
from sojourn.engines.cn_nonces import Nonces
from sojourn.engines.ha_flows import flows_after
from sojourn.engines.ha_flows import refused as refused_flows
from sojourn.engines.mip6_base import MobilityEngine
from sojourn.engines.mip6_configuration import MAX_NONCE_LIFETIME, MAX_RR_BINDING_LIFETIME, CnConfiguration
from sojourn.engines.mip6_request import (
    HOME_REGISTRATION,
    BindingRequest,
    Discarded,
    routable,
    unicast,
    with_options,
)
from sojourn.engines.registration import Refused
from sojourn.engines.return_routability import binding_key, signed, verified
from sojourn.wire import (
    LIFETIME_UNIT,
    MOBILITY_HEADER,
    BindingErrorStatus,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    MobilityOption,
    NonceIndices,
    Status,
    UnknownMessage,
)
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.extensions.rfc5096 import ExperimentalMobilityHeader
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import SECOND, Instant, WallClock

_PERSISTENT = 3
"""So many of these for one care-of address end its binding (RFC 6275 9.3.4)."""
_REFRESH_PART = 8
"""When this part of the lifetime is left, a binding in use is to be refreshed; and once more at half of that."""
_STORED_AGAIN = 1 * SECOND
"""After a disk refused."""
_ALWAYS_ANSWERED = frozenset(
    {
        Status.INSUFFICIENT_RESOURCES,
        Status.HOME_REGISTRATION_NOT_SUPPORTED,
        Status.SEQUENCE_NUMBER_OUT_OF_WINDOW,
        Status.EXPIRED_HOME_NONCE_INDEX,
        Status.EXPIRED_CARE_OF_NONCE_INDEX,
        Status.EXPIRED_NONCES,
        Status.REGISTRATION_TYPE_CHANGE_DISALLOWED,
    }
)
"""Refusals that are told to who did not ask for an answer, too (RFC 6275 9.5.1, 9.5.4)."""


class CorrespondentNode(MobilityEngine):
    """The engine of the role ``cn``. `seed`: octets that nobody can guess (see `entropy`)."""

    def __init__(self, configuration: CnConfiguration, epoch: WallClock, seed: bytes) -> None:
        super().__init__(epoch, seed)
        self.configuration = configuration
        self.cache: dict[Address, CorrespondentEntry] = {}
        """By home address."""
        self._asking: set[Address] = set()
        """Home addresses whose packets are being counted."""
        self._nonces = Nonces(self._entropy, 0)
        self._tests = TokenBucket(configuration.tests_per_second, configuration.tests_per_second)

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Nodes whose binding was lost are told so when they send packets (Binding Error)."""
        self._now = now
        self._nonces = Nonces(self._entropy, now)
        for key, record in records:
            try:
                entry = CorrespondentEntry.restored(key, record, self._epoch, now)
            except ValueError as error:
                self._report("record-refused", home=key if len(key) == 16 else None, reason=str(error))
                self._do(DeleteBinding(key))
                continue
            if len(self.cache) < self.configuration.bindings:
                self.cache[key] = entry
                if self.configuration.refresh:
                    self._do(EnsureCounter(entry.counted))
                self._do(entry.route)
                self._await_end(entry)
        return self._flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._on_message(event)
            case HomeAddressRefused(home, source, destination):
                self._complain(BindingErrorStatus.UNKNOWN_BINDING, source, destination, home)
            case IcmpErrorReceived(type=1, destination=destination, protocol=protocol):
                self._on_unreachable(destination, protocol)
            case TrafficCounted(packets):
                self._on_counted(packets)
            case ClockStepped(epoch):
                self._epoch = epoch
                for entry in self.cache.values():
                    self._keep(entry)  # until when they last, by that clock
            case EffectFailed(effect, error, reason):
                self._report("effect-failed", effect=type(effect).__name__, error=error, reason=reason)
                if isinstance(effect, EnsureCareOfRoute) and effect.home_address in self.cache:
                    self._end(self.cache[effect.home_address])  # its packets take the way through the home agent
                elif isinstance(effect, StoreBinding | DeleteBinding):
                    self._after(_STORED_AGAIN, "store", effect.key)
            case _:
                pass

    def _on_message(self, event: MessageReceived) -> None:
        match event.message:
            case BindingUpdate() as update:
                self._on_update(event, update)
            case HomeTestInit(cookie=cookie):
                self._on_test_init(event, cookie, care_of=False)
            case CareOfTestInit(cookie=cookie):
                self._on_test_init(event, cookie, care_of=True)
            case ExperimentalMobilityHeader(data):
                self._on_experiment(event, data, wanted=False)
            case UnknownMessage():
                self._on_unknown_type(event)
            case message:
                self._report("message-unexpected", source=event.source, type=type(message).__name__)

    # --- return routability (RFC 6275 9.4) --------------------------------------------------------------------------

    def _on_test_init(self, event: MessageReceived, cookie: bytes, care_of: bool) -> None:
        """The answer goes where the question came from, and nothing is remembered."""
        if event.home_address is not None or not unicast(event.source):
            self._report("test-discarded", source=event.source)
            return
        if not self._tests.take(self._now):
            self._report("test-limited", source=event.source)
            return
        index, token = self._nonces.token(event.source, care_of, self._now)
        answer = CareOfTest(index, cookie, token) if care_of else HomeTest(index, cookie, token)
        self._do(SendMessage(answer, event.routed_to or event.destination, event.source))

    # --- bindings (RFC 6275 9.5) ------------------------------------------------------------------------------------

    def _on_update(self, event: MessageReceived, update: BindingUpdate) -> None:
        key = b""
        try:
            request = BindingRequest.of(event, update)
        except Discarded as discarded:
            self._report("update-discarded", source=event.source, reason=str(discarded))
            return
        try:
            entry = self.cache.get(request.home)
            self._check_kind(request, entry)
            identifier = self._identified(request, entry)
            key = self._authenticate(request)
            if entry is not None:
                request.check_sequence(entry.latest(identifier))
            if request.lifetime:
                self._register(request, entry, key)
            else:
                self._deregister(request, entry, key)
        except Discarded as discarded:
            self._report("update-discarded", source=request.source, home=request.home, reason=str(discarded))
        except Refused as refused:
            self._refuse(request, refused, key)

    def _identified(self, request: BindingRequest, entry: CorrespondentEntry | None) -> int | None:
        """Which care-of address is meant: its BID, None when it is about all of them. Raises `Refused`.

        The address comes with the identifier, or is known (RFC 5648 6.2); whatever it is, it is what was tested.
        """
        options = request.all(BindingIdentifier)
        if len(options) > 1:
            raise Refused(Status.MCOA_BULK_REGISTRATION_PROHIBITED, "several care-of addresses at once")
        if not options or not self.configuration.several:
            return None
        (option,) = options
        known = {} if entry is None else entry.ways
        if option.identifier == 0 or (option.care_of and not routable(option.care_of.rjust(16, b"\0"))):
            raise Refused(Status.MCOA_MALFORMED, "not an identifier, or not an address that can be one")
        if not request.lifetime:
            return option.identifier
        if not option.care_of and option.identifier not in known:
            raise Refused(Status.MCOA_UNKNOWN_COA, "an identifier without care-of address")
        request.care_of = option.care_of or known[option.identifier].care_of
        overwrite = bool(request.update.flags & OVERWRITE)
        if entry is not None and not entry.ended and not known and not overwrite:
            raise Refused(Status.MCOA_NON_MCOA_BINDING_EXISTS, "a binding without identifier")
        return None if overwrite else option.identifier

    def _check_kind(self, request: BindingRequest, entry: CorrespondentEntry | None) -> None:
        """We are nobody's home agent (RFC 6275 10.3.1, 9.5.1)."""
        if request.update.flags & HOME_REGISTRATION:
            if entry is not None and not entry.ended:
                raise Refused(Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "a home registration (flag H)")
            raise Refused(Status.HOME_REGISTRATION_NOT_SUPPORTED, "a home registration (flag H)")

    def _authenticate(self, request: BindingRequest) -> bytes:
        """The binding management key, with which the update was signed (RFC 6275 5.2.5, 5.2.6, 9.5.1)."""
        indices = request.update.first(NonceIndices)
        if indices is None:
            raise Discarded("no Nonce Indices option")
        home = self._nonces.recall(indices.home, request.home, False, self._now)
        care_of: bytes | None = b""
        if request.lifetime:
            care_of = self._nonces.recall(indices.care_of, request.care_of, True, self._now)
        if home is None and care_of is None:
            raise Refused(Status.EXPIRED_NONCES, "both nonces are not valid")
        if home is None:
            raise Refused(Status.EXPIRED_HOME_NONCE_INDEX, "home nonce is not valid")
        if care_of is None:
            raise Refused(Status.EXPIRED_CARE_OF_NONCE_INDEX, "care-of nonce is not valid")
        key = binding_key(home, care_of)
        if not verified(request.update, request.octets, key, request.signed_address, request.destination):
            raise Discarded("authenticator is wrong, or not the last option")
        return key

    def _register(self, request: BindingRequest, entry: CorrespondentEntry | None, key: bytes) -> None:
        """RFC 6275 9.5.2."""
        circular = self.cache.get(request.care_of)
        request.check_care_of(request.care_of, circular is not None and not circular.ended)
        if entry is None and len(self.cache) >= self.configuration.bindings:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many bindings")
        longest = min(self.configuration.lifetime_max, MAX_RR_BINDING_LIFETIME)
        lifetime = max(min(request.lifetime, longest) // LIFETIME_UNIT * LIFETIME_UNIT, LIFETIME_UNIT)
        now, home = self._now, request.home
        new = CorrespondentEntry(
            home, request.care_of, request.destination, request.sequence, now + lifetime, now + MAX_NONCE_LIFETIME
        )
        answers = self._add_way(request, new, entry)
        if entry is not None and not entry.ended:
            new.packets = entry.packets
        elif self.configuration.refresh:
            self._do(EnsureCounter(new.counted))
        self.cache[home] = new
        self._do(new.route)
        self._await_end(new)
        self._keep(new)
        self._report("registered", home=home, care_of=request.care_of)
        self._accept(request, lifetime, key, *answers)

    def _add_way(
        self, request: BindingRequest, new: CorrespondentEntry, entry: CorrespondentEntry | None
    ) -> list[MobilityOption]:
        """Beside the others, or in the place of all (RFC 5648 6.2); its flow bindings, and what is answered to them."""
        option = request.update.first(BindingIdentifier)
        if option is None or not self.configuration.several:
            return []
        if entry is not None and not request.update.flags & OVERWRITE:
            new.sequence, new.flows = entry.sequence, entry.flows
            new.ways, new.ends, new.sequences = dict(entry.ways), dict(entry.ends), dict(entry.sequences)
        new.ways[option.identifier] = Way(request.care_of, option.priority)
        new.ends[option.identifier] = new.expires
        new.sequences[option.identifier] = request.sequence
        if len(new.sequences) > WAYS_MAX:
            raise Refused(Status.INSUFFICIENT_RESOURCES, "too many care-of addresses")
        new.care_of = best(new.ways)
        return self._flows(request, new)

    def _flows(self, request: BindingRequest, entry: CorrespondentEntry) -> list[MobilityOption]:
        """RFC 6089 5.3, 6: as a home agent keeps them."""
        if not self.configuration.flows:
            return [*refused_flows(request)]
        entry.flows, answers = flows_after(request, entry.flows, entry.ways)
        return [*answers]

    def _await_end(self, entry: CorrespondentEntry) -> None:
        """Of the care-of address that ends first."""
        entry.expires = max(entry.ends.values(), default=entry.expires)
        first = entry.first_end
        self._timers.start(("expiry", entry.home), first)
        if self.configuration.refresh:
            self._timers.start(("refresh", entry.home), first - (first - self._now) // _REFRESH_PART)

    def _lessen(self, entry: CorrespondentEntry, gone: set[int]) -> None:
        """Some care-of addresses are gone; packets go to the best of those that are left, if there are any."""
        left = {identifier: way for identifier, way in entry.ways.items() if identifier not in gone}
        if not left:
            self._end(entry)
            return
        entry.ways, entry.care_of, entry.unreachable = left, best(left), 0
        entry.ends = {identifier: entry.ends[identifier] for identifier in left}
        self._do(entry.route)
        self._await_end(entry)
        self._keep(entry)

    def _keep(self, entry: CorrespondentEntry) -> None:
        """It is written down."""
        if self.stores and not entry.ended:
            self._do(StoreBinding(entry.home, entry.record(self._epoch)))

    def _deregister(self, request: BindingRequest, entry: CorrespondentEntry | None, key: bytes) -> None:
        """RFC 6275 9.5.3: what is remembered keeps this update, and those before it, from being used again."""
        option = request.update.first(BindingIdentifier) if self.configuration.several else None
        if option is not None:
            if entry is None or option.identifier not in entry.ways:
                raise Refused(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "no binding of that identifier")
            entry.sequences[option.identifier] = request.sequence
            entry.forget = self._now + MAX_NONCE_LIFETIME
            answers = self._flows(request, entry)
            self._lessen(entry, {option.identifier})
            self._accept(request, 0, key, *answers)
            return
        if entry is not None:
            entry.sequence = request.sequence
            entry.forget = self._now + MAX_NONCE_LIFETIME
            self._end(entry)
        self._accept(request, 0, key)

    def _accept(self, request: BindingRequest, lifetime: int, key: bytes, *more: MobilityOption) -> None:
        """The status of each is that of the answer, and that of the option zero (RFC 5648 6.2)."""
        if request.wants_answer:
            answer = request.acknowledgement(Status.ACCEPTED, lifetime=lifetime)
            with_options(answer, *self._copies(request), *more)
            self._do(request.answer(signed(answer, key, request.signed_address, request.destination)))

    def _copies(self, request: BindingRequest) -> list[BindingIdentifier]:
        """Who does not want several care-of addresses passes identifiers over (RFC 5648 6.1)."""
        return copies(request, {}) if self.configuration.several else []

    def _refuse(self, request: BindingRequest, refused: Refused, key: bytes) -> None:
        """Signed, unless the nonces are what is wrong (RFC 6275 9.5.4); to who proved nothing, not too often."""
        self._report(
            "update-refused",
            source=request.source,
            home=request.home,
            status=int(refused.status),
            reason=refused.reason,
        )
        if not request.wants_answer and refused.status not in _ALWAYS_ANSWERED:
            return
        answer = with_options(
            request.acknowledgement(refused.status, sequence=refused.sequence), *self._copies(request)
        )
        if key:
            signed(answer, key, request.signed_address, request.destination)
        elif not self._strangers.take(self._now):
            return
        self._do(request.answer(answer))

    def _end(self, entry: CorrespondentEntry) -> None:
        """No binding any more; remembered as long as its nonces are valid (RFC 6275 5.2.8)."""
        if not entry.ended:
            entry.ended = True
            entry.ways, entry.ends, entry.flows = {}, {}, {}
            self._do(WithdrawCareOfRoute(entry.home))
            if self.stores:
                self._do(DeleteBinding(entry.home))
            if self.configuration.refresh:
                self._do(WithdrawCounter(entry.counted))
        self._timers.stop(("refresh", entry.home))
        if entry.forget > self._now:
            self._timers.start(("expiry", entry.home), entry.forget)
        else:
            self._timers.stop(("expiry", entry.home))
            del self.cache[entry.home]

    def _on_timer(self, name: TimerName) -> None:
        kind, home = name
        entry = self.cache.get(home)
        if kind == "store":
            self._do(DeleteBinding(home)) if entry is None or entry.ended else self._keep(entry)
        if entry is None:
            return
        if kind == "expiry":
            self._lessen(entry, {identifier for identifier, end in entry.ends.items() if end <= self._now})
        elif kind == "refresh":
            self._asking.add(home)
            self._do(CountTraffic())

    def _on_counted(self, packets: dict[Prefix, int]) -> None:
        """RFC 6275 9.5.5: a binding near its end that is in use is asked for, at the home address."""
        for home in sorted(self._asking):
            entry = self.cache.get(home)
            if entry is None or entry.ended:
                continue
            seen, before = packets.get(entry.counted, 0), entry.packets
            entry.packets = seen
            if seen > before:
                due = [identifier for identifier, end in entry.ends.items() if end <= entry.first_end + SECOND]
                request = BindingRefreshRequest(tuple(map(BindingIdentifier, due)))  # RFC 5648 6.4
                self._do(SendMessage(request, entry.address, home))
                self._report("refresh-requested", home=home)
            left = (entry.first_end - self._now) // 2
            if left > SECOND:
                self._after(left, "refresh", home)
        self._asking.clear()

    def _on_unreachable(self, destination: Address, protocol: int) -> None:
        """RFC 6275 9.3.4: packets go through the home agent again when the care-of address cannot be reached.

        This host's own errors are about the home address: the care-of address was a neighbour, and is there no more.
        Both of two mobile nodes that move at once would wait for each other's updates, which go that way too.
        """
        met = [known for known in self.cache.values() if destination in known.care_of_addresses]
        if protocol != MOBILITY_HEADER and destination in self.cache:
            met.append(self.cache[destination])
        for entry in [known for known in met if not known.ended]:
            entry.unreachable += 1
            if entry.unreachable >= _PERSISTENT:
                self._report("care-of-unreachable", home=entry.home, care_of=destination)
                where = entry.care_of if destination == entry.home else destination
                self._lessen(entry, {identifier for identifier, way in entry.ways.items() if way.care_of == where})

    # --- for people -----------------------------------------------------------------------------------------------

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``bindings`` (also ``sessions``)."""
        if topic not in ("bindings", "sessions"):
            return []
        return [
            {
                "home": text(entry.home),
                "care_of": text(entry.care_of),
                "also": [text(where) for where in sorted(entry.care_of_addresses - {entry.care_of})],
                "state": "ended" if entry.ended else "active",
                "lifetime": max(entry.expires - now, 0) // SECOND,
            }
            for entry in self.cache.values()
        ]
