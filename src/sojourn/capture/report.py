"""What `sojourn decode` says: a line, a tree or an object for a message, some lines for a conversation.

Text is made of pieces with a style each; whoever prints them knows how wide and how colourful the place is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any, Literal, NamedTuple, TypeAlias

from sojourn.capture import names
from sojourn.capture.conversations import Conversation, Exchange, Group, Place, node_of
from sojourn.capture.files import Fault
from sojourn.capture.signals import Signal, Tally
from sojourn.capture.words import Row, Words, clean, time_text
from sojourn.wire import MobileNodeIdentifier, MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, WallClock

Style: TypeAlias = Literal["", "dim", "name", "good", "bad", "note"]
Clock: TypeAlias = Literal["utc", "relative", "delta", "epoch"]
REFUSED = 128
"""Status values from here on refuse (RFC 6275 6.1.8)."""


class Piece(NamedTuple):
    """Some words in one style."""

    text: str
    style: Style = ""


Line: TypeAlias = list[Piece]


def milliseconds(duration: Duration) -> str:
    """``8.27 ms``, ``1.2 s``."""
    if abs(duration) >= SECOND:
        return f"{duration / SECOND:.3g} s" if abs(duration) < 1000 * SECOND else f"{duration // SECOND} s"
    return f"{duration / MILLISECOND:.3g} ms"


class Report:
    """Writes about the messages of one run; times count from the first of them."""

    def __init__(self, words: Words, clock: Clock = "utc") -> None:
        self._words = words
        self._clock = clock
        self._first: WallClock | None = None
        self._last: WallClock | None = None

    # --- a message ------------------------------------------------------------------------------------------------

    def line(self, signal: Signal, place: Place) -> Line:
        """All that matters of one message."""
        words, payload = self._words, signal.payload
        pieces = [Piece(f"{signal.label:>5}", "dim"), Piece(self._time(signal.time), "dim")]
        pieces += [Piece(f"{words.address(payload.source)} > {words.address(payload.destination)}")]
        pieces += [Piece(signal.name, "name")]
        if payload.quoted and payload.reporter is not None:
            pieces += [Piece(f"returned by {words.address(payload.reporter)}: {payload.quoted}", "bad")]
        pieces += self._fields(signal)
        pieces += [Piece(brief) for brief in self._options(signal.message)]
        if payload.home_source is not None:
            pieces += [Piece(f"from home {words.address(payload.home_source)}")]
        if payload.home_destination is not None:
            pieces += [Piece(f"to home {words.address(payload.home_destination)}")]
        if payload.path:
            pieces += [Piece(f"in {' in '.join(reversed(payload.path))}", "dim")]
        return [*pieces, *_place(place), *_remarks(signal)]

    def tree(self, signal: Signal, place: Place) -> Iterator[tuple[int, Line]]:
        """The line, and below it everything: (depth, line) pairs."""
        yield 0, self.line(signal, place)
        message, payload = signal.message, signal.payload
        if message is None:
            yield 1, [Piece(f"octets: {self._words.opaque(payload.octets).text}")]
            return
        cls = type(message)
        number = cls.number or getattr(message, "type", 0)
        rfc = getattr(cls, "rfc", "")
        head = f"{names.words(cls)} ({number}){', ' + rfc if rfc else ''}; {len(payload.octets)} octets"
        yield 1, [Piece(head)]
        for row in self._words.rows(message):
            yield 1, _row_line(message, row)
        for option in message.options:
            yield from self._option_tree(option, 1)

    def _option_tree(self, option: Any, depth: int) -> Iterator[tuple[int, Line]]:
        cls = type(option)
        number = getattr(option, "type", getattr(cls, "number", None))
        rfc = getattr(cls, "rfc", "")
        head = f"{names.words(cls)}{f' ({number})' if number is not None else ''}"
        yield depth, [Piece(head, "name"), Piece(rfc, "dim")] if rfc else [Piece(head, "name")]
        for row in self._words.rows(option):
            yield depth + 1, _row_line(option, row)
        for inner in self._words.nested(option):
            yield from self._option_tree(inner, depth + 1)

    def _fields(self, signal: Signal) -> Line:
        message = signal.message
        if message is None:
            return [Piece(f"[{len(signal.payload.octets)} octets]")]
        pieces = []
        for row in sorted(self._words.rows(message), key=_rank):
            if row.name == "status":
                pieces.append(Piece(row.text, "bad" if refused(message) else "good"))
            elif row.name == "flags":
                pieces.append(Piece(row.text or "-"))
            elif row.name not in _UNSPOKEN and row.text:
                label = _LABELS.get(row.name, row.name.replace("_", " "))
                pieces.append(Piece(f"{label} {row.text}".strip()))
        return pieces

    def _options(self, message: Any) -> Iterator[str]:
        for option in message.options if message is not None else ():
            if getattr(type(option), "number", 0) != _TIMESTAMP or not isinstance(message, MobilityMessage):
                yield self._words.brief(option)

    def _time(self, time: WallClock | None) -> str:
        if time is None:
            return "-"
        if self._first is None:
            self._first = self._last = time
        assert self._last is not None
        since, self._last = time - (self._last if self._clock == "delta" else self._first), time
        match self._clock:
            case "utc":
                text = time_text(time)
                return text[11:26] if text.endswith("Z") else text
            case "epoch":
                return f"{time // SECOND}.{time % SECOND:09d}"
            case _:
                return f"{since / SECOND:.6f}"

    # --- an object ------------------------------------------------------------------------------------------------

    def object(self, signal: Signal, place: Place) -> dict[str, Any]:
        """One message for JSON; docs/decode.md describes the keys."""
        words, payload, message = self._words, signal.payload, signal.message
        node = node_of(signal)
        cls: Any = type(message)
        found: dict[str, Any] = {
            "kind": "message",
            "packet": signal.number,
            "file": signal.origin or None,
            "time": None if signal.time is None else time_text(signal.time),
            "interface": signal.interface or None,
            "source": words.address(payload.source),
            "destination": words.address(payload.destination),
            "home_source": None if payload.home_source is None else words.address(payload.home_source),
            "home_destination": None if payload.home_destination is None else words.address(payload.home_destination),
            "tunnels": list(payload.path),
            "name": signal.name,
            "message": None if message is None else cls.__name__,
            "type": None if message is None else cls.number or getattr(message, "type", 0),
            "rfc": getattr(cls, "rfc", None),
            "node": None if node is None else self.who(signal, node),
            "fields": {} if message is None else {row.name: row.value for row in words.rows(message)},
            "options": [] if message is None else [self._option_object(option) for option in message.options],
            "returned": payload.quoted or None,
            "answers": None if place.answers is None else place.answers.label,
            "round_trip_s": None if place.round_trip is None else place.round_trip / SECOND,
            "repeats": None if place.repeats is None else place.repeats.label,
            "copy_of": None if place.copy_of is None else place.copy_of.label,
            "comment": signal.comment or None,
            "problems": [
                {"text": finding.text, "rfc": finding.rfc or None, "grave": finding.grave}
                for finding in signal.findings
            ],
        }
        return found

    def _option_object(self, option: Any) -> dict[str, Any]:
        cls = type(option)
        found = {
            "option": cls.__name__,
            "type": getattr(option, "type", getattr(cls, "number", None)),
            **{row.name: row.value for row in self._words.rows(option) if row.name not in ("option", "type")},
        }
        inner = [self._option_object(item) for item in self._words.nested(option)]
        return {**found, "options": inner} if inner else found

    def who(self, signal: Signal, node: bytes) -> str:
        """A node: its identifier, or the home address that stands for it."""
        message = signal.message
        if isinstance(message, MobilityMessage) and message.first(MobileNodeIdentifier) is not None:
            return self._words.node(node)
        return self._words.address(node)

    # --- a conversation -------------------------------------------------------------------------------------------

    def title(self, conversation: Conversation) -> str:
        """Whom it is about."""
        if conversation.node is None:
            return f"between {' and '.join(map(self._words.address, conversation.ends))}"
        for exchange in conversation.exchanges:
            for signal in (*exchange.requests, *exchange.answers):
                if node_of(signal) == conversation.node:
                    return f"node {self.who(signal, conversation.node)}"
        return f"node {self.who(conversation.singles[0], conversation.node)}" if conversation.singles else "node ?"

    def conversation(self, conversation: Conversation) -> Iterator[tuple[int, Line]]:
        """(depth, line) pairs."""
        yield 0, [Piece(self.title(conversation), "name"), Piece(_outcome(conversation))]
        for group in conversation.groups():
            depth = 1
            if group.title:
                yield 1, self._group(group)
                depth = 2
            for exchange in group.exchanges:
                yield depth, self._exchange(exchange)
        for name, signals in _by_name(conversation.singles).items():
            labels = ", ".join(signal.label for signal in signals[:8]) + (", ..." if len(signals) > 8 else "")
            returned = [signal for signal in signals if signal.payload.quoted]
            text = f"{len(signals)} {name} without a number to pair them by ({labels})"
            pieces = [Piece(text)]
            if returned:
                pieces.append(Piece(f"{len(returned)} returned: {returned[0].payload.quoted}", "bad"))
            yield 1, pieces

    def _group(self, group: Group) -> Line:
        first = (group.exchanges[0].requests or group.exchanges[0].answers)[0]
        pieces = [Piece(self._time(first.time), "dim"), Piece(group.title, "name")]
        if group.target is not None and group.title != "retirement":
            pieces.append(Piece(f"{'to' if group.title == 'handover' else 'at'} {self._words.address(group.target)}"))
        if (span := group.span) is not None:
            pieces.append(Piece(f"took {milliseconds(span)}"))
        return pieces

    def _exchange(self, exchange: Exchange) -> Line:
        words = self._words
        if not exchange.requests:
            answer = exchange.answers[0]
            ends = f"{words.address(answer.payload.source)} > {words.address(answer.payload.destination)}"
            return [
                Piece(f"{answer.label:>5}", "dim"),
                Piece(answer.name, "name"),
                Piece(ends),
                Piece("answers a request that is not in the capture", "note"),
            ]
        first = exchange.requests[0]
        pieces = [Piece(f"{first.label:>5}", "dim"), Piece(first.name, "name")]
        pieces += [Piece(f"{words.address(first.payload.source)} > {words.address(first.payload.destination)}")]
        pieces += [
            Piece(f"{_LABELS.get(row.name, row.name)} {row.text}")
            for row in words.rows(first.message)
            if row.name in ("sequence", "lifetime")
        ]
        pieces += [Piece(words.brief(option)) for option in first.message.options if _telling(option)]  # type: ignore[union-attr]
        if len(exchange.requests) > 1:
            again = ", ".join(signal.label for signal in exchange.requests[1:])
            pieces.append(Piece(f"sent {len(exchange.requests)} times (again in {again})", "note"))
        for refusal in exchange.refusals[:1]:
            pieces.append(Piece(f"{refusal.label} returned: {refusal.payload.quoted}", "bad"))
        return [*pieces, *self._answers(exchange)]

    def _answers(self, exchange: Exchange) -> Line:
        if not exchange.answers:
            return [Piece("no answer", "bad") if exchange.expects else Piece("asks for no answer", "dim")]
        answer = exchange.answers[0]
        status = next((row.text for row in self._words.rows(answer.message) if row.name == "status"), "")
        pieces = [Piece("<-", "dim"), Piece(f"{answer.label} {answer.name}", "name")]
        if status:
            pieces.append(Piece(status, "bad" if refused(answer.message) else "good"))
        if (round_trip := exchange.round_trip) is not None:
            pieces.append(Piece(f"after {milliseconds(round_trip)}"))
        if len(exchange.answers) > 1:
            pieces.append(Piece(f"answered {len(exchange.answers)} times", "note"))
        return pieces

    def conversation_object(self, conversation: Conversation) -> dict[str, Any]:
        """One conversation for JSON."""
        return {
            "kind": "conversation",
            "node": None if conversation.node is None else self.title(conversation).removeprefix("node "),
            "between": [self._words.address(end) for end in conversation.ends],
            "groups": [
                {
                    "event": group.title or None,
                    "at": None if group.target is None else self._words.address(group.target),
                    "duration_s": None if group.span is None else group.span / SECOND,
                    "exchanges": [_exchange_object(exchange) for exchange in group.exchanges],
                }
                for group in conversation.groups()
            ],
            "unpaired": [signal.label for signal in conversation.singles],
        }


# --- pieces -------------------------------------------------------------------------------------------------------

_TIMESTAMP = 27
_LABELS = {"sequence": "seq", "lifetime": "lifetime", "identifier": "id", "code": "code"}
_UNSPOKEN = frozenset({"revocation_type", "flow_binding_type", "data"})
_FIRST = ("status", "flags", "sequence", "lifetime")
_TELLING = frozenset({22, 6, 65, 67, 68})
"""Options that say what an exchange is about."""


def _rank(row: Row) -> int:
    return _FIRST.index(row.name) if row.name in _FIRST else len(_FIRST)


def _telling(option: Any) -> bool:
    return getattr(type(option), "number", 0) in _TELLING


def refused(message: Any) -> bool:
    """Whether its status refuses."""
    status = getattr(message, "status", 0)
    return isinstance(status, int) and status >= REFUSED


def _row_line(thing: Any, row: Row) -> Line:
    raw = getattr(thing, row.name, None)
    text = row.text or str(row.value).lower()
    number = f" ({raw})" if isinstance(raw, int) and row.name == "status" else ""
    number = number or (f" ({raw:#06x})" if isinstance(raw, int) and row.name == "flags" else "")
    return [Piece(f"{row.name.replace('_', ' ')}:"), Piece(f"{text}{number}")]


def _place(place: Place) -> Line:
    pieces = []
    if place.copy_of is not None:
        pieces.append(Piece(f"copy of {place.copy_of.label}", "dim"))
    if place.repeats is not None:
        pieces.append(Piece(f"repeats {place.repeats.label}", "note"))
    if place.answers is not None:
        after = f" after {milliseconds(place.round_trip)}" if place.round_trip is not None else ""
        pieces.append(Piece(f"answers {place.answers.label}{after}", "dim"))
    return pieces


def _remarks(signal: Signal) -> Line:
    pieces = []
    for finding in signal.findings:
        where = f" ({finding.rfc})" if finding.rfc and finding.rfc not in finding.text else ""
        pieces.append(
            Piece(f"{'!' if finding.grave else '?'} {finding.text}{where}", "bad" if finding.grave else "note")
        )
    if signal.comment:
        pieces.append(Piece(f"# {clean(signal.comment)}", "note"))
    return pieces


def _by_name(signals: Iterable[Signal]) -> dict[str, list[Signal]]:
    found: dict[str, list[Signal]] = {}
    for signal in signals:
        found.setdefault(signal.name, []).append(signal)
    return found


def _outcome(conversation: Conversation) -> str:
    """The sum of a conversation in words."""
    exchanges = conversation.exchanges
    if not exchanges:
        return f"{len(conversation.singles)} messages"
    trips = [trip for exchange in exchanges if (trip := exchange.round_trip) is not None]
    again = sum(max(0, len(exchange.requests) - 1) for exchange in exchanges)
    silent = sum(exchange.expects and not exchange.answers and bool(exchange.requests) for exchange in exchanges)
    refusals = sum(any(refused(answer.message) for answer in exchange.answers) for exchange in exchanges)
    parts = [f"{len(exchanges)} exchange{'s' if len(exchanges) > 1 else ''}"]
    if trips:
        parts.append(f"answers after {milliseconds(round(median(trips)))} (median), at most {milliseconds(max(trips))}")
    parts += [f"{again} sent again"] * bool(again)
    parts += [f"{refusals} refused"] * bool(refusals)
    parts += [f"{silent} without answer"] * bool(silent)
    return "; ".join(parts)


def _exchange_object(exchange: Exchange) -> dict[str, Any]:
    round_trip = exchange.round_trip
    return {
        "name": exchange.requests[0].name if exchange.requests else None,
        "requests": [signal.label for signal in exchange.requests],
        "answers": [signal.label for signal in exchange.answers],
        "returned": [signal.label for signal in exchange.refusals],
        "copies": exchange.copies,
        "answer_expected": exchange.expects,
        "round_trip_s": None if round_trip is None else round_trip / SECOND,
    }


def fault_object(fault: Fault, origin: str = "") -> dict[str, Any]:
    """A damaged place for JSON."""
    return {
        "kind": "fault",
        "packet": fault.number or None,
        "file": origin or None,
        "position": fault.position,
        "text": fault.what,
        "lost": fault.lost,
    }


def summary(tally: Tally) -> list[str]:
    """What the capture held, in a sentence or more."""
    count = sum(tally.messages.values())
    span = f" over {milliseconds(tally.last - tally.first)}" if tally.first is not None and tally.last else ""
    names_ = ", ".join(f"{number} {name}" for name, number in tally.messages.most_common())
    lines = [f"{tally.packets} packets{span}, {count} messages{': ' + names_ if names_ else ''}"]
    if tally.problems:
        lines.append(f"{tally.problems} messages break a rule")
    lines += [f"{number} packets {what}" for what, number in tally.passed.most_common() if number]
    return lines
