"""MAD-PMIPv6, OAI-PMIPv6 and OPMIP at a table: a gateway or an anchor of theirs that speaks in octets.

What they send has the octets that were measured (lengths, flags, alignment, numbers; `shared/peers.md`), in the order
that their sources build them in. What they take is what their sources read: which options an answer or a request must
have, which flags are looked at, and that the identifiers of two of them are the eight octets behind an option's head,
however many there are. Of their timers only one is here: a gateway of oai-pmipv6 sends again after a second, with the
time that the first message had.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sojourn.core.effects import Effect, Report, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import Event, MessageReceived, NodeDetached, NodeSeen
from sojourn.engines.configuration import Gateway, GatewayProfile
from sojourn.wire import MobilityMessage, Tolerance, encode
from sojourn.wire.addresses import Address, text
from sojourn.wire.mobility import decode
from sojourn.wire.tolerance import PROFILES, decode_from
from sojourn.wire.units import SECOND, Instant
from support.pmip import LMA, ProxyDomain, gateway, home
from support.table import EPOCH, HOSTS

_PBU, _PBA = 5, 6
_MN_ID, _HNP, _HI, _ATT, _LLID, _LLA, _TIME = 8, 22, 23, 24, 25, 26, 27


@dataclass(slots=True)
class Octets(MobilityMessage):
    """A message as it is on the wire."""

    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        raise NotImplementedError  # it is not of our codec

    def words(self) -> str:
        kind = {_PBU: "PBU", _PBA: "PBA"}[self.data[2]]
        return f"{kind} of {len(self.data)} octets, {8 * self.data[1] + 8} announced: {self.data.hex()}"


def option(number: int, data: bytes) -> bytes:
    return bytes((number, len(data))) + data


def pad(octets: bytes, unit: int, offset: int = 0) -> bytes:
    """PadN up to the next place of that alignment."""
    missing = (offset - len(octets)) % unit
    return octets + (option(1, bytes(missing - 2)) if missing >= 2 else bytes(missing))


def ended(octets: bytes) -> bytes:
    """Header Len as they compute it: rounded down."""
    return octets[:1] + bytes((len(octets) // 8 - 1,)) + octets[2:]


def eui64(link_layer: bytes) -> bytes:
    return bytes((link_layer[0] ^ 2,)) + link_layer[1:3] + b"\xff\xfe" + link_layer[3:]


def read(octets: bytes) -> dict[int, bytes]:
    """The first option of each number, with all octets behind its head: they copy as many as they like."""
    found: dict[int, bytes] = {}
    place = 12
    while place < len(octets):
        if octets[place] == 0:
            place += 1
            continue
        found.setdefault(octets[place], octets[place + 2 :])
        place += 2 + octets[place + 1]
    return found


class Theirs:
    """A gateway, or an anchor if it has no `anchor` itself; an `Engine`."""

    needed: tuple[int, ...] = (_MN_ID, _HNP)
    """Options without which a message of ours is dropped."""
    repeats = False
    """It sends again what is not answered."""

    def __init__(self, address: Address, anchor: Address | None, sequence: int = 1) -> None:
        self.address = address
        self.anchor = anchor
        self._sequence = sequence
        self._unanswered: tuple[Instant, Octets] | None = None
        """When to send it again."""

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        match event:
            case NodeSeen(link_layer=link_layer) | NodeDetached(link_layer=link_layer) if self.anchor is not None:
                lifetime = 75 if isinstance(event, NodeSeen) else 0
                data = self.update(link_layer, self._sequence, lifetime, self.time(now))
                self._sequence += 1
                if self.repeats:
                    self._unanswered = now + SECOND, Octets(data)
                return [SendMessage(Octets(data), self.address, self.anchor)]
            case MessageReceived(message=message, source=source):
                return self._on_message(encode(message), source)
        return []

    def _on_message(self, octets: bytes, source: Address) -> Sequence[Effect]:
        options = read(octets)
        why = self.refuses(octets, options)
        if why:
            return [Report("dropped", {"reason": why})]
        if octets[2] == _PBU:
            return [SendMessage(Octets(self.answer(octets, options)), self.address, source)]
        self._unanswered = None
        prefix = text(options[_HNP][2:18])
        return [Report("takes", {"status": octets[6], "lifetime": 4 * octets[11] + 1024 * octets[10], "hnp": prefix})]

    def refuses(self, octets: bytes, options: dict[int, bytes]) -> str:
        missing = [number for number in self.needed if number not in options]
        return f"no option {missing[0]}" if missing else ""

    def time(self, now: Instant) -> bytes:
        """RFC 5213's number in two words, each in the order of the processor."""
        ticks = ((EPOCH + now) << 16) // SECOND
        return struct.pack("<II", ticks >> 32, ticks & 0xFFFFFFFF)

    def update(self, link_layer: bytes, sequence: int, lifetime: int, time: bytes) -> bytes:
        raise NotImplementedError

    def answer(self, octets: bytes, options: dict[int, bytes]) -> bytes:
        raise NotImplementedError

    def expire(self, now: Instant) -> Sequence[Effect]:
        if self._unanswered is None or now < self._unanswered[0] or self.anchor is None:
            return []
        message = self._unanswered[1]
        self._unanswered = now + SECOND, message
        return [SendMessage(message, self.address, self.anchor)]

    def deadline(self) -> Instant | None:
        return None if self._unanswered is None else self._unanswered[0]

    @property
    def restoring(self) -> bool:
        return False

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        return []


class Mad(Theirs):
    """MAD-PMIPv6: its MAR and its CMD, as gateway and anchor. The prefix is the one of the MAR in both."""

    needed = (_MN_ID, _HNP, _HI, _ATT)

    def update(self, link_layer: bytes, sequence: int, lifetime: int, time: bytes) -> bytes:
        head = struct.pack("!BBBBHHHH", 59, 0, _PBU, 0, 0, sequence, 0xC200, lifetime)
        handoff, technology = option(_HI, b"\0\x05"), option(_ATT, b"\0\x04")
        return self._message(head, home(0).address, eui64(link_layer), time, handoff + technology)

    def answer(self, octets: bytes, options: dict[int, bytes]) -> bytes:
        head = struct.pack("!BBBBHBB4s", 59, 0, _PBA, 0, 0, 0, 0x42, octets[6:8] + octets[10:12])
        more = option(_HI, options[_HI][:2]) + option(_ATT, options[_ATT][:2])
        return self._message(head, options[_HNP][2:18], options[_MN_ID][1:9], options[_TIME][:8], more)

    @staticmethod
    def _message(head: bytes, prefix: bytes, node: bytes, time: bytes, more: bytes) -> bytes:
        """87 octets: padding of fixed size, wherever the options come to lie."""
        options = option(_HNP, b"\0\x40" + prefix) + option(_MN_ID, b"\x02" + node) + option(1, b"")
        options += option(_TIME, time) + more + option(1, b"")
        link_local = bytes.fromhex("fe80000000000000") + node
        return ended(head + options + option(_LLA, link_local) + option(1, b"\0\0"))


class Oai(Theirs):
    """OAI-PMIPv6."""

    needed = (_MN_ID, _HNP, _LLID)
    repeats = True

    def update(self, link_layer: bytes, sequence: int, lifetime: int, time: bytes) -> bytes:
        head = struct.pack("!BBBBHHHH", 59, 0, _PBU, 0, 0, sequence, 0x8200, lifetime)
        octets = self._begin(head, eui64(link_layer), home(0).address)
        octets += option(_HI, b"\0\x03") + option(_ATT, b"\0\x04")
        return self._end(octets, eui64(link_layer), time)

    def answer(self, octets: bytes, options: dict[int, bytes]) -> bytes:
        head = struct.pack("!BBBBHBB4s", 59, 0, _PBA, 0, 0, 0, 0, octets[6:8] + octets[10:12])
        begin = self._begin(head, options[_MN_ID][1:9], home(0).address)
        return self._end(begin, options[_LLID][2:10], options[_TIME][:8])

    @staticmethod
    def _begin(head: bytes, node: bytes, prefix: bytes) -> bytes:
        return pad(head + option(_MN_ID, b"\x01" + node), 8, 4) + option(_HNP, b"\0\x80" + prefix)

    @staticmethod
    def _end(octets: bytes, link_layer: bytes, time: bytes) -> bytes:
        octets = pad(pad(octets, 8) + option(_LLID, b"\0\0" + link_layer), 8, 2)
        return ended(octets + option(_TIME, time))


class Opmip(Theirs):
    """OPMIP, which looks at P and at the type of the identifier, and knows nodes by name."""

    def refuses(self, octets: bytes, options: dict[int, bytes]) -> str:
        flags = octets[8] & 2 if octets[2] == _PBU else octets[7] & 0x20
        if not flags:
            return "no flag P"
        if _MN_ID in options and options[_MN_ID][0] != 1:
            return "an identifier that is no name"
        return super().refuses(octets, options)

    def update(self, link_layer: bytes, sequence: int, lifetime: int, time: bytes) -> bytes:
        head = struct.pack("!BBBBHHHH", 59, 0, _PBU, 0, 0, sequence, 0x8200, lifetime)
        return self._message(head, b"mn" + str(link_layer[5]).encode(), b"\0\0" + bytes(16), b"\0\x04", b"\0\0")

    def answer(self, octets: bytes, options: dict[int, bytes]) -> bytes:
        head = struct.pack("!BBBBHBB4s", 59, 0, _PBA, 0, 0, 0, 0x20, octets[6:8] + octets[10:12])
        return self._message(
            head, options[_MN_ID][1:4], b"\0\x40" + home(0).address, options[_HI][:2], options[_ATT][:2]
        )

    @staticmethod
    def _message(head: bytes, name: bytes, prefix: bytes, handoff: bytes, technology: bytes) -> bytes:
        octets = head + option(_MN_ID, b"\x01" + name) + option(_HNP, prefix)
        octets += option(_HI, handoff) + option(_ATT, technology)
        return ended(octets + bytes(-len(octets) % 8))


KINDS: dict[str, type[Theirs]] = {"mad-pmipv6": Mad, "oai-pmipv6": Oai, "opmip": Opmip}


class MixedDomain(ProxyDomain):
    """A domain of ours with `place` of theirs: ``mag1`` or ``lma``. Not `told`, our daemons do not know whom they meet.

    The nodes have the identifiers that the peer can read.
    """

    def __init__(self, kind: str, place: str, *, told: bool = True, **settings: object) -> None:
        self._kind, self._place, self._told = kind, place, told
        if place == "lma":
            settings["profiles"] = tuple(GatewayProfile(HOSTS[name], self._identity(name)) for name in ("mn1", "mn2"))
            if kind == "opmip":
                settings["timestamp_based_approach_in_use"] = False
            if kind == "mad-pmipv6":
                settings["profiles"] = tuple(
                    GatewayProfile(HOSTS[name], self._identity(name), prefixes=(home(0),)) for name in ("mn1",)
                )
        elif self._told and KINDS[kind].repeats:
            lma = {"gateways": (Gateway(gateway(1), "mag1", repeats=True), Gateway(gateway(2), "mag2"))}
            settings["lma"] = lma | settings.get("lma", {})  # type: ignore[operator]
        super().__init__(2, **settings)  # type: ignore[arg-type]

    def _identity(self, name: str) -> bytes:
        return b"\x01" + name.encode() if self._kind == "opmip" else b"\x06" + eui64(HOSTS[name])

    def _engine(self, name: str) -> Engine:
        if name != self._place:
            return super()._engine(name)
        gateways = {f"mag{number}": gateway(number) for number in self.numbers}
        theirs: Engine = KINDS[self._kind](gateways.get(name, LMA), None if name == "lma" else LMA, 0x2F01)
        return theirs

    def _send(self, name: str, source: Address, destination: Address, message: MobilityMessage) -> None:
        if not isinstance(message, Octets):
            super()._send(name, source, destination, message)
            return
        receiver, seen = self.names[destination], Counter[Tolerance]()
        meant = decode_from(message.data, PROFILES[self._kind], seen) if self._told else decode(message.data)
        self.messages.append((self.now, name, receiver, meant))
        if seen:
            counted = {one.name.lower().replace("_", "-"): number for one, number in seen.items()}
            self.effects.append((self.now, receiver, Report("tolerated", counted)))
        self.later(SECOND // 1000, receiver, MessageReceived(meant, source, destination))
