"""Every event and effect as one line of JSON: a field report is a file that replays in a test.

What a line holds follows from the annotations of the event and effect classes, so a new class is recorded
without a word here, and an annotation that nobody taught to `_CODECS` fails at import. Addresses, prefixes
and link-layer addresses are text, messages are the octets that travelled, in hexadecimal.

Identifiers of nodes are replaced by pseudonyms (`sojourn.host.pseudonyms`) unless the operator asks for them.
Such a file can be read but not replayed. Their key is beside it, in ``PATH.key``: who has both files finds a node that
he knows (``sojourn show why``); who has the recording alone does not.

Writing goes straight to the file, without buffering, so that a process that is killed leaves a complete file.
A disk that refuses costs lines, which are counted, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from sojourn.core.effects import AdvertisedPrefix, Effect
from sojourn.core.engine import Engine
from sojourn.core.events import Event, Sighting
from sojourn.core.mobile_effects import CareOfWay, Flow
from sojourn.host.pseudonyms import Plain, Pseudonyms
from sojourn.wire import decode, encode
from sojourn.wire.addresses import address, link_layer, link_layer_text, prefix, text
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.icmpv6 import decode_icmpv6, encode_icmpv6
from sojourn.wire.listeners import MulticastAddressRecord
from sojourn.wire.units import Instant

FORMAT = 1
KEY_OCTETS = 32
LIMIT = 64 << 20
"""Octets of one file; the one before it is kept as ``PATH.1``."""
RETRY = 1000
"""Lines that are lost before a rotation that failed is tried again."""


class Recorder:
    """Writes what happens to the file at `path`; its `write` is what a `Driver` takes as `record`.

    `identifiers` is ``hashed`` or ``plain``; `key` is that of the pseudonyms, None: one that is kept nowhere. Raises
    OSError only here, when the file cannot be opened at all.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        identifiers: Literal["hashed", "plain"] = "hashed",
        limit: int = LIMIT,
        key: bytes | None = None,
    ) -> None:
        self.path = str(path)
        self.counters: Counter[str] = Counter()
        self._identifiers = identifiers
        self._names = Plain() if identifiers == "plain" else Pseudonyms(key or secrets.token_bytes(KEY_OCTETS))
        self._limit = limit
        self._patience = 0
        self._encoder = msgspec.json.Encoder()
        self._descriptor = self._open()

    def write(self, now: Instant, item: Event | Effect | None) -> None:
        """One line: an event, an effect, or None for time that passed."""
        if item is None:
            self._put({"t": now, "passed": True})
            return
        shape = _SHAPES[type(item)]
        self._put({"t": now, shape.side: shape.name, **shape.pack(item, self._names)})

    def reopen(self) -> bool:
        """Go on in a file at the same path, whatever became of the one that is open: for log rotation.

        False when that cannot be opened; writing goes on in the old one then.
        """
        old = self._descriptor
        try:
            self._open()
        except OSError:
            self.counters["reopens-failed"] += 1
            return False
        os.close(old)
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        # O_NONBLOCK: a named pipe that nobody reads must not stop us.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        epoch = time.time_ns() - time.monotonic_ns()
        self._put({"sojourn": FORMAT, "identifiers": self._identifiers, "epoch": epoch})
        return self._descriptor

    def _put(self, line: dict[str, object]) -> None:
        octets = self._encoder.encode(line) + b"\n"
        if self._size + len(octets) > self._limit and "sojourn" not in line and not self._rotate():
            self.counters["lines-lost"] += 1
            return
        try:
            written = os.write(self._descriptor, octets)
            if written < len(octets):
                os.ftruncate(self._descriptor, self._size)  # half a line is worse than none
                raise OSError
        except OSError:
            self.counters["lines-lost"] += 1
        else:
            self._size += written
            self.counters["lines-written"] += 1

    def _rotate(self) -> bool:
        """The file becomes ``PATH.1``. While that fails nothing is written: a file without bound fills the disk."""
        if self._patience > 0:
            self._patience -= 1
            return False
        old = self._descriptor
        try:
            with suppress(FileNotFoundError):  # moved by the attempt before, or by somebody else
                os.replace(self.path, f"{self.path}.1")
            self._open()
        except OSError:
            self.counters["rotations-failed"] += 1
            self._patience = RETRY
            return False
        os.close(old)
        return True


def kept_key(path: str | Path, secret: str = "") -> bytes:
    """The key of the pseudonyms in the recording at `path`, made at the first time: of `secret`, where there is one, so
    that recordings of several routers have the same pseudonyms. Raises OSError."""
    place = f"{path}.key"
    wanted = hashlib.blake2b(secret.encode(), digest_size=KEY_OCTETS).digest() if secret else None
    with suppress(FileNotFoundError):
        key = Path(place).read_bytes()
        if len(key) == KEY_OCTETS and wanted in (None, key):
            return key
    key = wanted or secrets.token_bytes(KEY_OCTETS)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, key)
    finally:
        os.close(descriptor)
    return key


def load_steps(path: str | Path) -> Iterator[tuple[Instant, Event | Effect | None]]:
    """All that `Recorder.write` was given, in order. Raises ValueError for a file that is not a plain
    recording.

    A last line that was cut short, as a full disk or a killed machine leaves it, ends the recording.
    """
    decoder = msgspec.json.Decoder(dict[str, Any])
    with open(path, "rb") as lines:
        for number, octets in enumerate(lines, 1):
            if not octets.endswith(b"\n"):
                return
            try:
                line = decoder.decode(octets)
                if "sojourn" in line:
                    _check_header(line)
                    continue
                yield _unpack(line)
            except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: {error}") from error


def load_events(path: str | Path) -> Iterator[tuple[Instant, Event]]:
    """The events of a recording, in order; `load_steps` tells also when time passed, and what was asked
    for.
    """
    for now, item in load_steps(path):
        if item is not None and _SHAPES[type(item)].side == "event":
            yield now, item  # type: ignore[misc]


def replay(engine: Engine, path: str | Path) -> Iterator[tuple[Instant, Effect]]:
    """What `engine`, which began without stored bindings, asks for when all that happened happens to it
    again.
    """
    for now, item in load_steps(path):
        if item is None:
            effects = engine.expire(now)
        elif _SHAPES[type(item)].side == "event":
            effects = engine.handle(item, now)  # type: ignore[arg-type]
        else:
            continue
        for effect in effects:
            yield now, effect


def _check_header(line: dict[str, Any]) -> None:
    if line["sojourn"] != FORMAT:
        raise ValueError(f"format {line['sojourn']}, this program reads {FORMAT}")
    if line.get("identifiers") != "plain":
        raise ValueError("recorded with pseudonyms, which cannot be replayed; record with plain identifiers")


# --- values and JSON ----------------------------------------------------------------------------------------


class _Codec(NamedTuple):
    pack: Callable[[Any, Plain], Any]
    unpack: Callable[[Any], Any]


class _Shape(NamedTuple):
    """How one class travels."""

    cls: type
    name: str
    side: str
    """``event`` or ``effect``."""
    fields: tuple[tuple[str, _Codec], ...]

    def pack(self, item: object, names: Plain) -> dict[str, Any]:
        return {name: codec.pack(getattr(item, name), names) for name, codec in self.fields}

    def unpack(self, line: dict[str, Any]) -> Any:
        return self.cls(**{name: codec.unpack(line[name]) for name, codec in self.fields if name in line})


def _same(value: Any, names: Plain) -> Any:
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _detail(value: dict[str, Any], names: Plain) -> dict[str, Any]:
    return {key: names.detail(key, item) if isinstance(item, str) else item for key, item in value.items()}


def _nested(value: Effect, names: Plain) -> dict[str, Any]:
    shape = _SHAPES[type(value)]
    return {shape.side: shape.name, **shape.pack(value, names)}


def _unpack(line: dict[str, Any]) -> tuple[Instant, Event | Effect | None]:
    if line.get("passed"):
        return line["t"], None
    return line["t"], _item(line)


def _item(line: dict[str, Any]) -> Any:
    return _BY_NAME[line.get("event") or line["effect"]].unpack(line)


def _flow(value: Flow, names: Plain) -> list[str]:
    """A selector names correspondents and the node."""
    selector = value.selector
    ends = [
        None if known is None else (names.address(known[0]), None if known[1] is None else names.address(known[1]))
        for known in (selector.source, selector.destination)
    ]
    octets = replace(selector, source=ends[0], destination=ends[1]).encode()
    return [octets.hex(), _ADDRESS.pack(value.care_of_address, names)]


_PLAIN_VALUE = _Codec(_same, _as_it_is)
_ADDRESS = _Codec(lambda value, names: text(names.address(value)), address)
_PREFIX = _Codec(lambda value, names: str(value), prefix)


def _is_link_layer(words: str) -> bool:
    """Or an IPv6 address, which has seven colons, or two together."""
    return words.count(":") == 5 and "::" not in words


_CODECS: dict[str, _Codec] = {
    "int": _PLAIN_VALUE,
    "bool": _PLAIN_VALUE,
    "Duration": _PLAIN_VALUE,
    "WallClock": _PLAIN_VALUE,
    "str": _Codec(lambda value, names: names.text(value), _as_it_is),
    "str | None": _Codec(lambda value, names: None if value is None else names.detail("identifier", value), _as_it_is),
    "Address": _ADDRESS,
    "Address | None": _Codec(
        lambda value, names: None if value is None else _ADDRESS.pack(value, names),
        lambda value: None if value is None else address(value),
    ),
    "Address | LinkLayer | None": _Codec(  # an access point is no node
        lambda value, names: (
            None if value is None else link_layer_text(value) if len(value) == 6 else _ADDRESS.pack(value, names)
        ),
        lambda value: None if value is None else (link_layer if _is_link_layer(value) else address)(value),
    ),
    "tuple[Address, ...]": _Codec(
        lambda value, names: [_ADDRESS.pack(item, names) for item in value], lambda value: tuple(map(address, value))
    ),
    "tuple[str, ...]": _Codec(lambda value, names: list(value), tuple),
    "LinkLayer | None": _Codec(
        lambda value, names: None if value is None else link_layer_text(names.link_layer(value)),
        lambda value: None if value is None else link_layer(value),
    ),
    "tuple[MulticastAddressRecord, ...]": _Codec(
        lambda value, names: [[item.kind, text(item.group), [text(a) for a in item.sources]] for item in value],
        lambda value: tuple(
            MulticastAddressRecord(item[0], address(item[1]), tuple(map(address, item[2]))) for item in value
        ),
    ),
    "LinkLayer": _Codec(lambda value, names: link_layer_text(names.link_layer(value)), link_layer),
    "Prefix": _PREFIX,
    "tuple[Prefix, ...]": _Codec(
        lambda value, names: [str(item) for item in value], lambda value: tuple(map(prefix, value))
    ),
    "tuple[AdvertisedPrefix, ...]": _Codec(
        lambda value, names: [[str(item.prefix), item.preferred, item.valid] for item in value],
        lambda value: tuple(AdvertisedPrefix(prefix(item[0]), item[1], item[2]) for item in value),
    ),
    "tuple[CareOfWay, ...]": _Codec(
        lambda value, names: [
            [_ADDRESS.pack(way.care_of_address, names), way.interface, _ADDRESS.pack(way.router, names)]
            for way in value
        ],
        lambda value: tuple(CareOfWay(address(care_of), name, address(router)) for care_of, name, router in value),
    ),
    "tuple[Flow, ...]": _Codec(
        lambda value, names: [_flow(item, names) for item in value],
        lambda value: tuple(
            Flow(Ipv6TrafficSelector.decode(bytes.fromhex(item[0])), address(item[1])) for item in value
        ),
    ),
    "dict[Prefix, int]": _Codec(
        lambda value, names: {str(key): count for key, count in value.items()},
        lambda value: {prefix(key): count for key, count in value.items()},
    ),
    "dict[Address, int]": _Codec(
        lambda value, names: {text(names.address(key)): count for key, count in value.items()},
        lambda value: {address(key): count for key, count in value.items()},
    ),
    "Icmpv6Message": _Codec(
        lambda value, names: encode_icmpv6(value).hex(), lambda value: decode_icmpv6(bytes.fromhex(value))
    ),
    "octets": _Codec(lambda value, names: value.hex() if type(names) is Plain else "", bytes.fromhex),
    "dict[str, str]": _Codec(_detail, _as_it_is),
    "Mapping[str, str | int]": _Codec(_detail, _as_it_is),
    "Sighting": _Codec(lambda value, names: value.value, Sighting),
    "MobilityMessage": _Codec(
        lambda value, names: encode(names.message(value)).hex(), lambda value: decode(bytes.fromhex(value))
    ),
    "target": _Codec(lambda value, names: value.hex(), bytes.fromhex),
    "Effect": _Codec(_nested, _item),
    "key": _Codec(lambda value, names: names.node(value).hex(), bytes.fromhex),
    "payload": _Codec(lambda value, names: names.payload(value).hex(), bytes.fromhex),
    "record": _Codec(lambda value, names: names.record(value).hex(), bytes.fromhex),
}


def _codec(name: str, annotation: str) -> _Codec:
    """By annotation; plain octets, which say nothing by themselves, by the name of the field."""
    return _CODECS[name if annotation == "bytes" else annotation]


def _shapes() -> dict[type, _Shape]:
    return {
        cls: _Shape(cls, cls.__name__, side, tuple((f.name, _codec(f.name, str(f.type))) for f in fields(cls)))
        for side, union in (("event", Event), ("effect", Effect))
        for cls in get_args(union)
    }


_SHAPES = _shapes()
_BY_NAME = {shape.name: shape for shape in _SHAPES.values()}
