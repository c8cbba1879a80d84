"""The story of one node, in words with times, from the recordings of a daemon (`sojourn.host.recorder`).

A recording names a node in several ways: by its key (in reports and stored records), by its link-layer address (on
links), by its identifier inside messages, and through what it has: prefixes, and the slot that leads to them. The first
three are what the operator gives, or its pseudonym; what the node has is learnt as the story goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sojourn.host.pseudonyms import Plain, Pseudonyms
from sojourn.telemetry.story_words import ROUTERS, Names, in_prefix, of_report, of_router, spaced, status_text, update
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    DecodeError,
    HomeNetworkPrefix,
    HomeTest,
    HomeTestInit,
    MobileNodeIdentifier,
    decode,
)
from sojourn.wire.addresses import UNSPECIFIED, Address, address, link_layer_text, text
from sojourn.wire.units import SECOND

MOST = 2_000
"""Sentences of a story; of more, the first ones are left out."""
_NAI, _EUI_48 = 1, 5
_REFUSED = 128
_TESTS = (HomeTest, HomeTestInit, CareOfTest, CareOfTestInit)
"""Of return routability, every few minutes: passed over."""

Pools = Sequence[tuple[IPv6Network, Address]]
"""Which router anchors what."""


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


def tell(path: str | Path, role: str, subject: Subject, names: Names, pools: Pools = ()) -> list[Sentence]:
    """What the recording at `path`, and the one before it, tell of `subject`. Raises OSError when there is none."""
    try:
        key = Path(f"{path}.key").read_bytes()
    except FileNotFoundError:
        key = b""
    teller = _Teller(role, subject, key, names, pools)
    before = Path(f"{path}.1")
    for file in (before, Path(path)) if before.exists() else (Path(path),):
        teller.read(file)
    return teller.story()


def tell_rows(rows: Iterable[Mapping[str, Any]], subject: Subject) -> list[Sentence]:
    """The same from rows of ``show events --plain``, which is what a daemon without a recording still knows."""
    needles = {*subject.keys, subject.prefix, link_layer_text(subject.link_layer) if subject.link_layer else ""} - {""}
    found = []
    for row in rows:
        values = {str(value) for value in row.values()}
        if needles & values or any(in_prefix(value, subject.prefix) for value in values):
            detail = {key: value for key, value in row.items() if key not in ("time", "role", "event")}
            words = of_report(row["event"], detail, {})
            found.append(Sentence(str(row["time"]), str(row.get("role", "")), row["event"], words))
    return found


class _Teller:
    """Reads lines and remembers what the node has."""

    def __init__(self, role: str, subject: Subject, key: bytes, names: Names, pools: Pools) -> None:
        self._role = role
        self._asked = subject
        self._key = key
        self._names = names
        self._pools = pools
        self._moment = 0
        """Grows with each instant that something is recorded of; clocks may be set back."""
        self._sentences: deque[tuple[int, Sentence]] = deque(maxlen=MOST)
        self._subject = subject
        self._prefixes: set[str] = {subject.prefix} - {""}
        self._slots: set[int] = set()
        self._learnt: set[str] = set()
        """Where a prefix was asked for: how reports name its node."""
        self._epoch = 0
        self._way = ""
        self._way_of: dict[int, str] = {}
        """Where each slot leads."""
        self._slot_of: dict[str, int] = {}
        """Which slot each prefix has."""
        self._involved: set[str] = set()
        """Routers that it has to do with."""
        self._of_routers: deque[tuple[str, int, Sentence]] = deque(maxlen=MOST)
        """What befell routers, with their addresses."""
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
                self._moment += line.get("t") != self._line.get("t")
                self._line = line
                if "passed" in line:
                    continue
                if "event" in line:
                    self._on_event(line)
                elif "effect" in line:
                    self._on_effect(line)

    def _begin(self, header: Mapping[str, Any], restarted: bool) -> None:
        """A life of the daemon, or a file, begins."""
        self._moment += 1
        if restarted and self._sentences:
            self._say("restart", "after this the daemon was started anew")
        self._epoch = header.get("epoch", 0)
        pseudonyms = header.get("identifiers") == "hashed" and self._key
        self._subject = self._asked.under(Pseudonyms(self._key)) if pseudonyms else self._asked
        self._slots.clear()
        self._way_of.clear()
        self._slot_of.clear()
        self._way = ""

    def story(self) -> list[Sentence]:
        """All of it, with what befell the routers meanwhile that it has to do with."""
        told = list(self._sentences)
        if told:
            first, near = told[0][0], self._involved
            told += [(when, one) for who, when, one in self._of_routers if who in near and when >= first]
        # What came of an attachment is in the recording before its report.
        told.sort(key=lambda entry: (entry[0], entry[1].event != "attached"))
        return [sentence for _, sentence in told]

    def _say(self, event: str, words: str) -> None:
        self._sentences.append((self._moment, self._sentence(event, words)))

    def _sentence(self, event: str, words: str) -> Sentence:
        wall = (self._line.get("t", 0) + self._epoch) / SECOND
        stamp = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return Sentence(stamp, self._role, event, words)

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
        return any(in_prefix(value, prefix) for prefix in self._prefixes if ":" in value)

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

    def _about(self, line: Mapping[str, Any]) -> Any:
        """The message, if it is about the node."""
        hexadecimal = line["message"]
        if any(map(self._is_its, map(line.get, ("home_address", "routed_to", "source", "destination")))):
            with suppress(DecodeError, ValueError):
                return decode(bytes.fromhex(hexadecimal))
        if not any(one.hex() in hexadecimal for one in self._subject.identifiers) and not self._prefixes:
            return None
        try:
            message = decode(bytes.fromhex(hexadecimal))
        except (DecodeError, ValueError):
            return None
        options = getattr(message, "options", ())
        if any(getattr(option, "identifier", None) in self._subject.identifiers for option in options):
            if not self._asked.prefix:
                self._learn_prefixes(message)
            return message
        if any(str(getattr(option, "prefix", "")) in self._prefixes for option in options):
            if self._asked.prefix:
                self._learn(options)
            return message
        return None

    def _learn_prefixes(self, message: Any) -> None:
        """What it has, where a message says so."""
        if isinstance(message, BindingUpdate) and not message.lifetime:
            return
        if isinstance(message, BindingAcknowledgement) and (message.status >= _REFUSED or not message.lifetime):
            return
        for option in message.options:
            if isinstance(option, HomeNetworkPrefix | AnchoredPrefix) and option.prefix.address != UNSPECIFIED:
                self._has(str(option.prefix))

    def _has(self, prefix: str) -> None:
        """Told once; and where it leads, if that is known."""
        if prefix in self._prefixes:
            return
        self._prefixes.add(prefix)
        anchor = self._anchor_of(prefix)
        if anchor is not None:
            self._involved.add(text(anchor))
        self._say("prefix", f"it has {prefix}{self._anchored(anchor)}")
        slot = self._slot_of.get(prefix)
        if slot is not None:
            self._slots.add(slot)
            if slot in self._way_of:
                self._lead(slot, self._way_of[slot])

    def _anchored(self, anchor: Address | None) -> str:
        return "" if anchor is None else f", anchored at {self._names.get(anchor) or text(anchor)}"

    def _anchor_of(self, prefix: str) -> Address | None:
        if ":" not in prefix:
            return None
        network = IPv6Network(prefix)
        return next((anchor for pool, anchor in self._pools if network.subnet_of(pool)), None)

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
                message = self._about(line)
                sender = self._name(line["source"])
                if message is not None:
                    self._involved.add(line["source"])
                if isinstance(message, BindingAcknowledgement):
                    self._say("answer", f"{sender} answers: {status_text(message.status)}")
                elif isinstance(message, BindingUpdate):
                    words = update(message, self._names, address(line["source"]), False)
                    self._say("update", f"{sender} writes: {words}")
                elif message is not None and not isinstance(message, _TESTS):
                    self._say("message", f"{sender} sends {spaced(type(message).__name__)}")
            case "NodeDetached" if self._is_its(line.get("link_layer")):
                self._say("link", f"the link {line['interface']} says that it is gone")
            case "EffectFailed":
                effect = line.get("effect") or {}
                if any(map(self._is_its, effect.values())) or effect.get("slot") in self._slots:
                    self._say("failed", f"{spaced(str(effect.get('effect')))} failed: {line.get('reason')}")

    def _on_effect(self, line: Mapping[str, Any]) -> None:
        match line["effect"]:
            case "Report":
                detail, name = line.get("detail") or {}, line["name"]
                if name in ROUTERS:
                    told = self._sentence(name, of_router(name, detail, self._names))
                    self._of_routers += [(one, self._moment, told) for one in detail.values() if isinstance(one, str)]
                elif any(map(self._is_its, detail.values())):
                    self._say(name, of_report(name, detail, self._names))
            case "SendMessage":
                message = self._about(line)
                receiver = self._name(line["destination"])
                if message is not None:
                    self._involved.add(line["destination"])
                if isinstance(message, BindingUpdate):
                    words = update(message, self._names, address(line["source"]), True)
                    self._say("update", f"we write to {receiver}: {words}")
                elif isinstance(message, BindingAcknowledgement):
                    self._say("answer", f"we answer {receiver}: {status_text(message.status)}")
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
            case "WithdrawPrefix":
                self._slot_of.pop(line["prefix"], None)
                if line["prefix"] in self._prefixes:
                    self._say("prefix-over", f"{line['prefix']} is forwarded no more")
                    self._prefixes -= {line["prefix"]} - {self._asked.prefix}
            case "WithdrawSlot":
                self._slots.discard(line["slot"])
                self._way_of.pop(line["slot"], None)
            case "EnsureUplink" if line["prefix"] in self._prefixes and line.get("anchor"):
                self._say("uplink", f"what it sends from {line['prefix']} goes to {self._name(line['anchor'])}")

    def _on_prefix(self, prefix: str, slot: int) -> None:
        self._slot_of[prefix] = slot
        if prefix in self._prefixes or self._contains(prefix):
            self._slots.add(slot)
            if slot in self._way_of:
                self._lead(slot, self._way_of[slot])
        elif slot in self._slots and self._subject.prefix == "":
            self._has(prefix)

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


def in_order(stories: Iterable[list[Sentence]]) -> Iterator[Sentence]:
    """The stories of several roles as one."""
    yield from sorted((sentence for story in stories for sentence in story), key=lambda sentence: sentence.time)
