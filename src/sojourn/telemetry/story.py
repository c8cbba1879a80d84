"""The story of one node, in words with times, from the recordings of a daemon (`sojourn.host.recorder`).

A recording names a node in several ways: by its key (in reports and stored records), by its link-layer address (on
links), by its identifier inside messages, and through what it has: prefixes, and the slot that leads to them. The first
three are what the operator gives, or its pseudonym; what the node has is learnt as the story goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sojourn.host.pseudonyms import Plain, Pseudonyms
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    DecodeError,
    MobileNodeIdentifier,
    ServingMaar,
    Status,
    decode,
)
from sojourn.wire.addresses import Address, address, link_layer_text, text
from sojourn.wire.units import SECOND

MOST = 2_000
"""Sentences of a story; of more, the first ones are left out."""
_NAI, _EUI_48 = 1, 5

Names = Mapping[Address, str]
"""Routers by name."""


class Sentence(NamedTuple):
    """One thing that happened."""

    time: str
    """UTC, with milliseconds."""
    role: str
    event: str
    """A word with hyphens, as in reports and ``show events``."""
    words: str


@dataclass(frozen=True)
class Subject:
    """Whom the story is about, as the operator writes it: EUI-48, NAI, hexadecimal key, prefix or address."""

    link_layer: bytes = b""
    identifiers: frozenset[bytes] = frozenset()
    """What Mobile Node Identifier options may hold."""
    keys: frozenset[str] = frozenset()
    """Hexadecimal: the subtype, and the identifier."""
    prefix: str = ""

    @classmethod
    def of(cls, written: str) -> Subject:
        """What `written` means; anything that is no address, prefix or number is a name."""
        plain = written.strip()
        compact = plain.replace(":", "").replace("-", "").lower()
        if len(compact) == 12 and all(digit in "0123456789abcdef" for digit in compact):
            octets = bytes.fromhex(compact)
            return cls(octets, frozenset({octets}), frozenset({f"{_EUI_48:02x}{compact}"}))
        try:
            return cls(prefix=str(ip_network(plain if "/" in plain else f"{plain}/128", strict=False)))
        except ValueError:
            pass
        try:
            octets = bytes.fromhex(compact)
        except ValueError:
            octets = b""
        if len(octets) > 2:
            station = octets[1:] if len(octets) == 7 else b""
            return cls(station, frozenset({octets[1:]}), frozenset({octets.hex()}))
        name = plain.encode()
        return cls(identifiers=frozenset({name}), keys=frozenset({bytes((_NAI,)).hex() + name.hex()}))

    def under(self, names: Plain) -> Subject:
        """The same in a recording with pseudonyms."""
        return Subject(
            names.link_layer(self.link_layer) if self.link_layer else b"",
            frozenset(names.node(b"\0" + one)[1:] for one in self.identifiers),
            frozenset(names.node(bytes.fromhex(one)).hex() for one in self.keys),
            self.prefix,
        )


def tell(path: str | Path, role: str, subject: Subject, names: Names) -> list[Sentence]:
    """What the recording at `path`, and the one before it, tell of `subject`. Raises OSError when there is none."""
    try:
        key = Path(f"{path}.key").read_bytes()
    except FileNotFoundError:
        key = b""
    sentences: deque[Sentence] = deque(maxlen=MOST)
    teller = _Teller(role, subject, key, names, sentences)
    before = Path(f"{path}.1")
    for file in (before, Path(path)) if before.exists() else (Path(path),):
        teller.read(file)
    return list(sentences)


def tell_rows(rows: Iterable[Mapping[str, Any]], subject: Subject) -> list[Sentence]:
    """The same from rows of ``show events --plain``, which is what a daemon without a recording still knows."""
    needles = {*subject.keys, subject.prefix, link_layer_text(subject.link_layer) if subject.link_layer else ""} - {""}
    found = []
    for row in rows:
        values = {str(value) for value in row.values()}
        if needles & values or any(_in_prefix(value, subject.prefix) for value in values):
            detail = {key: value for key, value in row.items() if key not in ("time", "role", "event")}
            words = _REPORTS.get(row["event"], _any)(detail, {})
            found.append(Sentence(str(row["time"]), str(row.get("role", "")), row["event"], words))
    return found


class _Teller:
    """Reads lines and remembers what the node has."""

    def __init__(self, role: str, subject: Subject, key: bytes, names: Names, sentences: deque[Sentence]) -> None:
        self._role = role
        self._asked = subject
        self._key = key
        self._names = names
        self._sentences = sentences
        self._subject = subject
        self._prefixes: set[str] = {subject.prefix} - {""}
        self._slots: set[int] = set()
        self._learnt: set[str] = set()
        """Where a prefix was asked for: how reports name its node."""
        self._epoch = 0
        self._way = ""
        self._way_of: dict[int, str] = {}
        """Where each slot leads."""
        self._line: Mapping[str, Any] = {}

    def read(self, file: Path) -> None:
        """One file; a line that cannot be read is passed over."""
        decoder = msgspec.json.Decoder(dict[str, Any])
        with open(file, "rb") as lines:
            for number, octets in enumerate(lines):
                try:
                    line = decoder.decode(octets)
                except msgspec.MsgspecError:
                    continue
                if "sojourn" in line:
                    self._begin(line, restarted=number > 0)
                    continue
                self._line = line
                if "passed" in line:
                    continue
                if "event" in line:
                    self._on_event(line)
                elif "effect" in line:
                    self._on_effect(line)

    def _begin(self, header: Mapping[str, Any], restarted: bool) -> None:
        """A life of the daemon, or a file, begins."""
        if restarted and self._sentences:
            self._say("restart", "after this the daemon was started anew")
        self._epoch = header.get("epoch", 0)
        pseudonyms = header.get("identifiers") == "hashed" and self._key
        self._subject = self._asked.under(Pseudonyms(self._key)) if pseudonyms else self._asked
        self._slots.clear()
        self._way_of.clear()
        self._way = ""

    def _say(self, event: str, words: str) -> None:
        wall = (self._line.get("t", 0) + self._epoch) / SECOND
        stamp = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._sentences.append(Sentence(stamp, self._role, event, words))

    # --- whose it is --------------------------------------------------------------------------------------------------

    def _is_its(self, value: object) -> bool:
        """Whether a value of a line names the node, or something that it has."""
        if not isinstance(value, str):
            return False
        subject = self._subject
        if value in subject.keys or value in self._prefixes or value in self._learnt:
            return True
        if subject.link_layer and value == link_layer_text(subject.link_layer):
            return True
        return any(_in_prefix(value, prefix) for prefix in self._prefixes if ":" in value)

    def _contains(self, prefix: str) -> bool:
        """Whether it is within what was asked for, or the other way round."""
        asked = self._asked.prefix
        if not asked or ":" not in prefix:
            return False
        one, other = IPv6Network(asked), IPv6Network(prefix)
        if one.overlaps(other):
            self._prefixes.add(prefix)
            return True
        return False

    def _about(self, hexadecimal: str) -> Any:
        """The message, if it is about the node."""
        if not any(one.hex() in hexadecimal for one in self._subject.identifiers) and not self._prefixes:
            return None
        try:
            message = decode(bytes.fromhex(hexadecimal))
        except (DecodeError, ValueError):
            return None
        options = getattr(message, "options", ())
        if any(getattr(option, "identifier", None) in self._subject.identifiers for option in options):
            return message
        if any(str(getattr(option, "prefix", "")) in self._prefixes for option in options):
            if self._asked.prefix:
                self._learn(options)
            return message
        return None

    def _learn(self, options: Iterable[object]) -> None:
        """Whose the prefix is."""
        for option in options:
            if isinstance(option, MobileNodeIdentifier):
                self._learnt.add(option.key().hex())
                if len(option.identifier) == 6:
                    self._learnt.add(link_layer_text(option.identifier))

    # --- lines --------------------------------------------------------------------------------------------------------

    def _on_event(self, line: Mapping[str, Any]) -> None:
        match line["event"]:
            case "ClockStepped":
                self._epoch = line.get("epoch", self._epoch)
            case "MessageReceived":
                message = self._about(line["message"])
                sender = self._name(line["source"])
                if isinstance(message, BindingAcknowledgement):
                    self._say("answer", f"{sender} answers: {_status(message.status)}")
                elif isinstance(message, BindingUpdate):
                    self._say("update", f"{sender} writes: {_update(message, self._names)}")
                elif message is not None:
                    self._say("message", f"{sender} sends {_spaced(type(message).__name__)}")
            case "NodeDetached" if self._is_its(line.get("link_layer")):
                self._say("link", f"the link {line['interface']} says that it is gone")
            case "EffectFailed":
                effect = line.get("effect") or {}
                if any(map(self._is_its, effect.values())) or effect.get("slot") in self._slots:
                    self._say("failed", f"{_spaced(str(effect.get('effect')))} failed: {line.get('reason')}")

    def _on_effect(self, line: Mapping[str, Any]) -> None:
        match line["effect"]:
            case "Report":
                detail = line.get("detail") or {}
                if any(map(self._is_its, detail.values())):
                    name = line["name"]
                    self._say(name, _REPORTS.get(name, _any)(detail, self._names))
            case "SendMessage":
                message = self._about(line["message"])
                receiver = self._name(line["destination"])
                if isinstance(message, BindingUpdate):
                    self._say("update", f"we write to {receiver}: {_update(message, self._names)}")
                elif isinstance(message, BindingAcknowledgement):
                    self._say("answer", f"we answer {receiver}: {_status(message.status)}")
            case "EnsureDelivery":
                slot = line["slot"]
                if self._is_its(line.get("link_layer")):
                    self._slots.add(slot)
                elif slot in self._slots and self._subject.link_layer:
                    self._slots.discard(slot)  # the number was given to somebody else
                self._lead(slot, f"packets to it are delivered on {line['interface']}")
            case "EnsureTunnel":
                self._lead(line["slot"], f"packets to it go through a tunnel to {self._name(line['remote'])}")
            case "EnsureHold":
                self._lead(line["slot"], "packets to it wait in the kernel")
            case "EnsurePrefix":
                self._on_prefix(line["prefix"], line["slot"])
            case "WithdrawPrefix" if line["prefix"] in self._prefixes:
                self._say("prefix-over", f"{line['prefix']} is forwarded no more")
                self._prefixes -= {line["prefix"]} - {self._asked.prefix}
            case "WithdrawSlot":
                self._slots.discard(line["slot"])
                self._way_of.pop(line["slot"], None)
            case "EnsureUplink" if line["prefix"] in self._prefixes and line.get("anchor"):
                self._say("uplink", f"what it sends from {line['prefix']} goes to {self._name(line['anchor'])}")

    def _on_prefix(self, prefix: str, slot: int) -> None:
        if prefix in self._prefixes or self._contains(prefix):
            self._slots.add(slot)
            if slot in self._way_of:
                self._lead(slot, self._way_of[slot])
        elif slot in self._slots and self._subject.prefix == "":
            self._prefixes.add(prefix)
            self._say("prefix", f"it has {prefix}")

    def _lead(self, slot: int, words: str) -> None:
        """The slot leads there; told if it is the node's, and was not told before."""
        self._way_of[slot] = words
        if slot in self._slots and words != self._way:
            self._way = words
            self._say("way", words)

    def _name(self, written: str) -> str:
        try:
            return self._names.get(address(written)) or written
        except ValueError:
            return written


# --- words ------------------------------------------------------------------------------------------------------------

Phrase = Callable[[Mapping[str, Any], Names], str]


def _router(detail: Mapping[str, Any], names: Names, *keys: str) -> str:
    for key in keys:
        value = detail.get(key)
        if isinstance(value, str) and value:
            try:
                return names.get(address(value)) or value
            except ValueError:
                return value
    return "another router"


def _any(detail: Mapping[str, Any], names: Names) -> str:
    return ", ".join(f"{key} {value}" for key, value in detail.items() if key not in ("node", "link_layer"))


_REPORTS: dict[str, Phrase] = {
    "attached": lambda d, n: (
        f"attached on {d.get('interface')} ({d.get('sighting')}"
        + (", it was here before)" if d.get("returned") else ")")
    ),
    "registered": lambda d, n: (
        "registered"
        + (f"; {d['previous']} prefixes of other routers live on" if d.get("previous") else "")
        + (f" at {_router(d, n, 'gateway', 'serving', 'agent')}" if d.keys() & {"gateway", "serving", "agent"} else "")
        + (f", from {d['care_of']}" if d.get("care_of") else "")
    ),
    "detached": lambda d, n: f"left {d.get('interface')}",
    "node-silent": lambda d, n: "did not answer for too long, and counts as gone",
    "anchoring": lambda d, n: f"moved to {_router(d, n, 'serving')}; its prefix stays anchored here",
    "prefix-retired": lambda d, n: f"{d.get('prefix', 'its prefix')} retired: {_why(d)}",
    "prefix-ended": lambda d, n: f"{d.get('prefix', 'its prefix')} ended: {_why(d)}",
    "prefix-lost": lambda d, n: f"{d.get('prefix', 'its prefix')} is lost: {_why(d)}",
    "handover": lambda d, n: (
        f"moved to {_router(d, n, 'gateway', 'serving', 'care_of')}"
        + (f", from {_router(d, n, 'left')}" if d.get("left") else "")
    ),
    "deregistered": lambda d, n: "de-registered" + (f" by {_router(d, n, 'gateway')}" if d.get("gateway") else ""),
    "registration-refused": lambda d, n: f"registration refused: {_why(d)}",
    "update-refused": lambda d, n: f"an update of {_router(d, n, 'source')} was refused: {_why(d)}",
    "update-too-early": lambda d, n: (
        f"an update of {_router(d, n, 'source')} was left unanswered, as what was stored is still being read"
    ),
    "retransmitted": lambda d, n: f"no answer yet: {d.get('purpose')}, attempt {d.get('attempt')}",
    "hold-expired": lambda d, n: "packets waited too long and are dropped",
    "pool-exhausted": lambda d, n: "there is no free prefix for it",
    "binding-expired": lambda d, n: "its lifetime is over",
    "binding-deleted": lambda d, n: "its binding is deleted",
    "home": lambda d, n: "at home",
    "leased": lambda d, n: f"leased {_any(d, n)}",
    "lease-ended": lambda d, n: f"a lease ended: {_any(d, n)}",
    "revoked": lambda d, n: f"revoked: {_any(d, n)}",
    "effect-failed": lambda d, n: f"{_spaced(str(d.get('effect')))} failed: {d.get('reason')}",
}
"""What reports mean; others are told with their details as they are."""


def _why(detail: Mapping[str, Any]) -> str:
    reason = detail.get("reason") or detail.get("cause")
    status = detail.get("status")
    if isinstance(status, int):
        return f"{_status(status)}" + (f" ({reason})" if reason else "")
    if reason:
        return str(reason)
    rest = {key: value for key, value in detail.items() if key not in ("node", "prefix")}
    return _any(rest, {}) or "nobody uses it any more"


def _status(number: int) -> str:
    try:
        name = Status(number).name.lower().replace("_", " ")
    except ValueError:
        name = "unknown status"
    return name if number == Status.ACCEPTED else f"{'refused, ' if number >= 128 else ''}{name} (status {number})"


def _update(message: BindingUpdate, names: Names) -> str:
    serving = message.first(ServingMaar)
    if serving is not None and serving.address:
        return f"it is at {names.get(serving.address) or text(serving.address)} now (sequence {message.sequence})"
    if not message.lifetime:
        return "it is not here any more (lifetime 0)"
    return f"it is here, for {message.lifetime // SECOND} s (sequence {message.sequence})"


def _spaced(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _in_prefix(value: str, prefix: str) -> bool:
    """Whether the text is an address in the prefix."""
    if not prefix or "/" in value or ":" not in value:
        return False
    try:
        return IPv6Address(value) in ip_network(prefix)
    except ValueError:
        return False


def in_order(stories: Iterable[list[Sentence]]) -> Iterator[Sentence]:
    """The stories of several roles as one."""
    yield from sorted((sentence for story in stories for sentence in story), key=lambda sentence: sentence.time)
