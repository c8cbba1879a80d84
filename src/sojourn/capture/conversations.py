"""Requests and their answers, per node; what was repeated, what is missing, and which belong to one handover.

An answer belongs to the request with the same sequence number (or cookie, or identifier) between the same two
addresses; where it comes from elsewhere, as RFC 8885 3.3 lets an anchor answer past the CMD, to that of the same node.
A request is a retransmission of an earlier one when it repeats it but for sequence number and time (RFC 6275 11.8 gives
each transmission a new number) while no answer was seen. A copy is the very same packet, seen at a second point.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sojourn.capture import names
from sojourn.capture.signals import Signal
from sojourn.wire import (
    AnchoredPrefix,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    MobilityMessage,
    Timestamp,
)
from sojourn.wire.units import SECOND, Duration

_ANSWERS = {5: 6, 8: 9, 14: 15, 17: 18, 19: 20, 22: 23, 1: 3, 2: 4}
"""Mobility Header types of requests, and of the answers to them."""
_REQUESTS = {answer: request for request, answer in _ANSWERS.items()}
_ICMPV6_ANSWERS = {144: 145, 146: 147}
_ICMPV6_REQUESTS = {answer: request for request, answer in _ICMPV6_ANSWERS.items()}
_SEQUENCES = ("sequence", "cookie", "home_init_cookie", "care_of_init_cookie", "init_cookie", "identifier")
_HEARTBEAT, _RESPONSE, _UNSOLICITED = 13, 1, 2
_FRESH = frozenset({5, 9, 10, 13, 21, 27})
"""Options that are new in each transmission: times and what authenticates them."""
_REMEMBERED = 4096
"""Requests that wait for an answer, and packets that may be seen again."""
_COPY = 2 * SECOND
_PATIENCE = 64 * SECOND
"""The longest time between two transmissions: twice MAX_BINDACK_TIMEOUT (RFC 6275 12)."""


class Role(NamedTuple):
    """What a message is in an exchange."""

    kind: Hashable
    """The same for a request and its answer."""
    request: bool
    sequence: Hashable


@dataclass(slots=True)
class Exchange:
    """A request in all its transmissions, and what came back."""

    node: bytes | None
    requests: list[Signal]
    answers: list[Signal] = field(default_factory=list)
    refusals: list[Signal] = field(default_factory=list)
    """The request as quoted in an ICMPv6 error."""
    copies: int = 0
    expects: bool = True
    """Whether an answer has to come at all."""
    sequences: dict[Hashable, Signal] = field(default_factory=dict)

    @property
    def round_trip(self) -> Duration | None:
        """From the transmission that the first answer names to that answer, both seen at one point; else None."""
        if not self.answers or not self.requests:
            return None
        answer = self.answers[0]
        role = role_of(answer)
        asked = self.sequences.get(role.sequence, self.requests[0]) if role else self.requests[0]
        return _between(asked, answer)

    @property
    def stamp(self) -> int | None:
        """The Timestamp option, which all messages of one attachment have in common (RFC 8885 3.2)."""
        for signal in (*self.requests, *self.answers):
            if isinstance(signal.message, MobilityMessage) and (option := signal.message.first(Timestamp)):
                return option.ticks
        return None


@dataclass(slots=True)
class Place:
    """Where a signal belongs: what the line about it can say."""

    exchange: Exchange | None = None
    answers: Signal | None = None
    """The request that it answers."""
    repeats: Signal | None = None
    """The first transmission of the same request."""
    copy_of: Signal | None = None
    """The same packet, where it was seen first."""
    round_trip: Duration | None = None


def role_of(signal: Signal) -> Role | None:
    """Request or answer, and its number; None for messages that stand alone."""
    message = signal.message
    if message is None:
        return None
    number = type(message).number
    sequence = next((getattr(message, name) for name in _SEQUENCES if hasattr(message, name)), None)
    if sequence is None:
        return None
    if not isinstance(message, MobilityMessage):
        if number in _ICMPV6_ANSWERS or number in _ICMPV6_REQUESTS:
            return Role(("icmpv6", _ICMPV6_REQUESTS.get(number, number)), number in _ICMPV6_ANSWERS, sequence)
        return None
    if number == _HEARTBEAT:
        flags = getattr(message, "flags", 0)
        return None if flags & _UNSOLICITED else Role(number, not flags & _RESPONSE, sequence)
    if number in names.SUBTYPED:
        return Role(number, names.subtype(message) == 1, sequence)
    if number in _ANSWERS or number in _REQUESTS:
        return Role(_REQUESTS.get(number, number), number in _ANSWERS, sequence)
    return None


def node_of(signal: Signal) -> bytes | None:
    """Whom a message is about: the Mobile Node Identifier with its subtype, else the home address."""
    message = signal.message
    if isinstance(message, MobilityMessage):
        identifier = message.first(MobileNodeIdentifier)
        if identifier is not None:
            return bytes((identifier.subtype,)) + identifier.identifier
    return signal.payload.home_source or signal.payload.home_destination


class Pairing:
    """Finds the exchange of each signal as it comes, in bounded memory."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Any, ...], Exchange] = OrderedDict()
        self._by_node: OrderedDict[tuple[Any, ...], Exchange] = OrderedDict()
        self._by_content: OrderedDict[tuple[Any, ...], Exchange] = OrderedDict()
        self._seen: OrderedDict[tuple[Any, ...], Signal] = OrderedDict()

    def place(self, signal: Signal) -> Place:
        """Where `signal` belongs."""
        if signal.payload.quoted:
            return self._quoted(signal)
        if (copy := self._copy(signal)) is not None:
            exchange = self._exchange(signal)
            if exchange is not None:
                exchange.copies += 1
                _nearer(exchange, copy, signal)
            return Place(copy_of=copy)
        role = role_of(signal)
        if role is None:
            return Place()
        return self._request(signal, role) if role.request else self._answer(signal, role)

    def _copy(self, signal: Signal) -> Signal | None:
        """The same octets between the same addresses, from another interface or with another hop limit."""
        payload = signal.payload
        key = (payload.octets, payload.source, payload.destination)
        before = self._seen.get(key)
        _remember(self._seen, key, signal)
        if before is None or signal.time is None or before.time is None or signal.time - before.time > _COPY:
            return None
        if _point(before) == _point(signal):
            return None
        return before

    def _exchange(self, signal: Signal) -> Exchange | None:
        role, payload = role_of(signal), signal.payload
        if role is None:
            return None
        ends = (payload.source, payload.destination) if role.request else (payload.destination, payload.source)
        return self._open.get((role.kind, *ends, role.sequence))

    def _quoted(self, signal: Signal) -> Place:
        exchange = self._exchange(signal)
        if exchange is None:
            return Place()
        exchange.refusals.append(signal)
        return Place(exchange, answers=exchange.requests[-1])

    def _request(self, signal: Signal, role: Role) -> Place:
        payload, node = signal.payload, node_of(signal)
        content = (role.kind, payload.source, payload.destination, node, _content(signal.message))
        exchange = self._by_content.get(content)
        if exchange is not None and not exchange.answers and _soon(exchange.requests[-1], signal):
            first = exchange.requests[0]
            exchange.requests.append(signal)
        else:
            first = None
            exchange = Exchange(node, [signal], expects=_expects(signal))
            _remember(self._by_content, content, exchange)
        exchange.sequences[role.sequence] = signal
        _remember(self._open, (role.kind, payload.source, payload.destination, role.sequence), exchange)
        if node is not None:
            _remember(self._by_node, (role.kind, payload.destination, node, role.sequence), exchange)
        return Place(exchange, repeats=first)

    def _answer(self, signal: Signal, role: Role) -> Place:
        payload, node = signal.payload, node_of(signal)
        exchange = self._open.get((role.kind, payload.destination, payload.source, role.sequence))
        if exchange is None or (node is not None and exchange.node is not None and node != exchange.node):
            exchange = self._by_node.get((role.kind, payload.source, node, role.sequence)) if node else None
        if exchange is None:
            return Place(Exchange(node, [], [signal]))
        exchange.answers.append(signal)
        exchange.node = exchange.node or node
        asked = exchange.sequences.get(role.sequence, exchange.requests[0])
        return Place(exchange, answers=asked, round_trip=_between(asked, signal))


def _point(signal: Signal) -> tuple[object, ...]:
    return signal.origin, signal.interface, signal.payload.hop_limit, signal.payload.path


def _between(asked: Signal, answer: Signal) -> Duration | None:
    """The time between the two, if one capture has both: the clocks and places of two captures differ."""
    if answer.time is None or asked.time is None or asked.origin != answer.origin:
        return None
    return answer.time - asked.time


def _nearer(exchange: Exchange, answer: Signal, copy: Signal) -> None:
    """An answer counts where its request was seen: there a round trip can be told."""
    if exchange.requests and copy.origin == exchange.requests[0].origin != answer.origin:
        exchange.answers = [copy if known is answer else known for known in exchange.answers]


def _remember(table: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _REMEMBERED:
        table.popitem(last=False)


def _soon(before: Signal, after: Signal) -> bool:
    return before.time is None or after.time is None or 0 <= after.time - before.time <= _PATIENCE


def _expects(signal: Signal) -> bool:
    """A Binding Update asks for its answer with A (RFC 6275 6.1.7); the other requests always want one."""
    message = signal.message
    return not isinstance(message, BindingUpdate) or bool(message.flags & (BindingUpdateFlags.A | BindingUpdateFlags.P))


def _content(message: Any) -> tuple[Any, ...]:
    """All that a retransmission has in common with what it repeats."""
    fields = [getattr(message, name, None) for name in ("flags", "lifetime", "status", "code", "trigger")]
    options = [repr(option) for option in message.options if getattr(type(option), "number", 0) not in _FRESH]
    return (*fields, *options)


# --- the view of a whole capture ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Group:
    """Exchanges that belong to one event: in RFC 8885 the messages with one timestamp."""

    title: str
    """``registration``, ``handover``, ``refresh``, ``retirement``; empty for messages that stand alone."""
    exchanges: list[Exchange] = field(default_factory=list)
    target: bytes | None = None
    """The care-of address that it ends with."""

    @property
    def span(self) -> Duration | None:
        """From the first message to the last."""
        times = [signal.time for exchange in self.exchanges for signal in _signals(exchange) if signal.time is not None]
        return max(times) - min(times) if times else None


@dataclass(slots=True)
class Conversation:
    """All that was said about one node, or between two routers about no node."""

    node: bytes | None
    ends: tuple[bytes, ...] = ()
    exchanges: list[Exchange] = field(default_factory=list)
    singles: list[Signal] = field(default_factory=list)

    def groups(self) -> list[Group]:
        """The exchanges in order, those of one attachment together."""
        groups: list[Group] = []
        by_key: dict[tuple[int, str], Group] = {}
        place: bytes | None = None
        for exchange in sorted(self.exchanges, key=_begin):
            stamp, first = exchange.stamp, (exchange.requests or exchange.answers)[0]
            lifetime = getattr(first.message, "lifetime", None)
            if stamp is None or lifetime is None:
                groups.append(Group("", [exchange]))
                continue
            key = (stamp, "" if lifetime else _subject(first.message))
            group = by_key.get(key)
            if group is None or (not _starred(exchange) and group.target == first.payload.source):
                moved = place is not None and place != first.payload.source
                title = "retirement" if lifetime == 0 else _title(place, moved)
                group = by_key[key] = Group(title, [], first.payload.source)
                groups.append(group)
                if lifetime:
                    place = first.payload.source
            group.exchanges.append(exchange)
        return groups


class Conversations:
    """Collects exchanges and single messages by node."""

    def __init__(self, most: int = 200_000) -> None:
        self._pairing = Pairing()
        self._by_key: dict[tuple[Any, ...], Conversation] = {}
        self._most = most
        self._known: set[int] = set()
        self.left_out = 0
        """Messages beyond the limit."""

    def add(self, signal: Signal) -> None:
        """The next message."""
        if self._most <= 0:
            self.left_out += 1
            return
        self._most -= 1
        place = self._pairing.place(signal)
        if place.copy_of is not None:
            return
        exchange = place.exchange
        if exchange is None:
            self._conversation(node_of(signal), signal).singles.append(signal)
        elif id(exchange) not in self._known:
            self._known.add(id(exchange))
            self._conversation(exchange.node, signal).exchanges.append(exchange)

    def all(self) -> list[Conversation]:
        """Nodes in the order of their first message, then pairs of routers."""
        return sorted(self._by_key.values(), key=lambda conversation: conversation.node is None)

    def _conversation(self, node: bytes | None, signal: Signal) -> Conversation:
        ends = () if node else tuple(sorted((signal.payload.source, signal.payload.destination)))
        conversation = self._by_key.get((node, *ends))
        if conversation is None:
            conversation = self._by_key[node, *ends] = Conversation(node, ends)
        return conversation


def _signals(exchange: Exchange) -> Iterable[Signal]:
    return (*exchange.requests, *exchange.answers)


def _begin(exchange: Exchange) -> int:
    return next((signal.time for signal in _signals(exchange) if signal.time is not None), 0)


def _subject(message: Any) -> str:
    """What a de-registration is about: the prefix that an anchor lets go of (RFC 8885 3.2)."""
    return repr(message.first(AnchoredPrefix) or "all")


def _starred(exchange: Exchange) -> bool:
    return bool(exchange.requests) and exchange.requests[0].name.endswith("*")


def _title(place: bytes | None, moved: bool) -> str:
    if place is None:
        return "registration"
    return "handover" if moved else "refresh"
