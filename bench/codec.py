"""How fast messages become objects and octets, against three other ways of doing it, in one run.

    python bench/codec.py [seconds for each figure, default 0.4]

The messages are those of a handover: a Proxy Binding Update and Acknowledgement with six options and a Binding Update
with four. Every variant gives back the same octets; encoding is without the checksum, which has rows of its own.
`hand` is what one would write with `struct` for exactly these options. Each figure is the best of many short rounds
of thread CPU time, the variants taking turns, so that the ratios hold on a busy machine. Exit code 1 when a ratio
misses its target.
"""

from __future__ import annotations

import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import construct as c
import scapy.layers.inet6 as s

from sojourn import wire

SECOND = 1_000_000_000
HOME = bytes.fromhex("20010db8f0000001") + bytes(8)
CARE_OF = bytes.fromhex("20010db800a1000000000000000000aa")
MAC = bytes.fromhex("020000000001")

MESSAGES: dict[str, wire.MobilityMessage] = {
    "PBU": wire.BindingUpdate(
        7,
        wire.BindingUpdateFlags.A | wire.BindingUpdateFlags.P,
        300 * SECOND,
        (
            wire.MobileNodeIdentifier(1, b"mn1@example.com"),
            wire.HomeNetworkPrefix(64, HOME),
            wire.HandoffIndicator(3),
            wire.AccessTechnologyType(4),
            wire.MobileNodeLinkLayerIdentifier(MAC),
            wire.Timestamp(1_700_000_000 << 16),
        ),
    ),
    "PBA": wire.BindingAcknowledgement(
        0,
        wire.BindingAcknowledgementFlags.P,
        7,
        300 * SECOND,
        (
            wire.MobileNodeIdentifier(1, b"mn1@example.com"),
            wire.HomeNetworkPrefix(64, HOME),
            wire.HandoffIndicator(3),
            wire.AccessTechnologyType(4),
            wire.LinkLocalAddress(bytes.fromhex("fe80000000000000020005eff0052130")),
            wire.Timestamp(1_700_000_000 << 16),
        ),
    ),
    "BU": wire.BindingUpdate(
        8,
        wire.BindingUpdateFlags.A | wire.BindingUpdateFlags.H,
        600 * SECOND,
        (
            wire.MobileNodeIdentifier(1, b"mn1@example.com"),
            wire.AlternateCareOfAddress(CARE_OF),
            wire.VendorSpecific(32473, 1, b"vendor"),
            wire.UnknownOption(200, b"unknown option"),
        ),
    ),
}


# --- by hand: precompiled structs, slotted dataclasses, one branch per option --------------------------------------


@dataclass(slots=True)
class HandBu:
    sequence: int
    flags: int
    lifetime: int
    options: list[Any]


@dataclass(slots=True)
class HandBa:
    status: int
    flags: int
    sequence: int
    lifetime: int
    options: list[Any]


@dataclass(slots=True)
class HandIdentifier:
    subtype: int
    identifier: bytes


@dataclass(slots=True)
class HandPrefix:
    prefix_length: int
    address: bytes
    reserved: int


@dataclass(slots=True)
class HandSmall:
    type: int
    value: int
    reserved: int


@dataclass(slots=True)
class HandLinkLayer:
    identifier: bytes
    reserved: int


@dataclass(slots=True)
class HandAddress:
    type: int
    address: bytes


@dataclass(slots=True)
class HandTimestamp:
    ticks: int


@dataclass(slots=True)
class HandVendor:
    vendor: int
    subtype: int
    data: bytes


@dataclass(slots=True)
class HandRaw:
    type: int
    data: bytes


_BU, _BA = struct.Struct("!HHH"), struct.Struct("!BBHH")
_PREFIX, _SMALL, _TIME, _VENDOR = (
    struct.Struct("!BB16s"),
    struct.Struct("!BB"),
    struct.Struct("!Q"),
    struct.Struct("!IB"),
)
_PUT_PREFIX, _PUT_SMALL, _PUT_ADDRESS = struct.Struct("!BBBB16s"), struct.Struct("!BBBB"), struct.Struct("!BB16s")
_PUT_TIME, _PUT_LAYER, _PUT_VENDOR = struct.Struct("!BBQ"), struct.Struct("!BBH"), struct.Struct("!BBIB")
_PADS = [b"", b"\0"] + [bytes((1, n - 2)) + bytes(n - 2) for n in range(2, 9)]


def hand_decode(octets: bytes) -> HandBu | HandBa:
    """A decoder for the messages of this benchmark, with the checks that a careful author would make."""
    size = len(octets)
    if size < 8 or 8 * octets[1] + 8 > size:
        raise ValueError("truncated")
    end = 8 * octets[1] + 8
    options: list[Any] = []
    message: HandBu | HandBa
    if octets[2] == 5:
        sequence, flags, lifetime = _BU.unpack_from(octets, 6)
        message = HandBu(sequence, flags, lifetime * 4 * SECOND, options)
    else:
        status, flags, sequence, lifetime = _BA.unpack_from(octets, 6)
        message = HandBa(status, flags, sequence, lifetime * 4 * SECOND, options)
    add, o = options.append, 12
    while o < end:
        kind = octets[o]
        if kind == 0:
            o += 1
            continue
        if o + 1 >= end or (n := o + 2 + octets[o + 1]) > end:
            raise ValueError("truncated")
        o += 2
        if kind == 1:
            pass
        elif kind == 22:
            if n - o != 18:
                raise ValueError("length")
            reserved, length, address = _PREFIX.unpack_from(octets, o)
            add(HandPrefix(length, address, reserved))
        elif kind in (23, 24):
            if n - o != 2:
                raise ValueError("length")
            reserved, value = _SMALL.unpack_from(octets, o)
            add(HandSmall(kind, value, reserved))
        elif kind == 8:
            add(HandIdentifier(octets[o], octets[o + 1 : n]))
        elif kind == 27:
            if n - o != 8:
                raise ValueError("length")
            add(HandTimestamp(_TIME.unpack_from(octets, o)[0]))
        elif kind == 25:
            add(HandLinkLayer(octets[o + 2 : n], octets[o] << 8 | octets[o + 1]))
        elif kind in (3, 26):
            if n - o != 16:
                raise ValueError("length")
            add(HandAddress(kind, octets[o:n]))
        elif kind == 19:
            vendor, subtype = _VENDOR.unpack_from(octets, o)
            add(HandVendor(vendor, subtype, octets[o + 5 : n]))
        else:
            add(HandRaw(kind, octets[o:n]))
        o = n
    return message


def hand_encode(message: HandBu | HandBa) -> bytes:
    """The encoder to it."""
    if type(message) is HandBu:
        out = bytearray((59, 0, 5, 0, 0, 0))
        out += _BU.pack(message.sequence, message.flags, message.lifetime // (4 * SECOND))
    else:
        out = bytearray((59, 0, 6, 0, 0, 0))
        out += _BA.pack(message.status, message.flags, message.sequence, message.lifetime // (4 * SECOND))  # type: ignore[union-attr]
    for option in message.options:
        kind = type(option)
        if kind is HandPrefix:
            out += _PADS[(4 - len(out)) % 8]
            out += _PUT_PREFIX.pack(22, 18, option.reserved, option.prefix_length, option.address)
        elif kind is HandSmall:
            out += _PUT_SMALL.pack(option.type, 2, option.reserved, option.value)
        elif kind is HandIdentifier:
            out += bytes((8, 1 + len(option.identifier), option.subtype)) + option.identifier
        elif kind is HandTimestamp:
            out += _PADS[(2 - len(out)) % 8]
            out += _PUT_TIME.pack(27, 8, option.ticks)
        elif kind is HandLinkLayer:
            out += _PADS[-len(out) % 2]
            out += _PUT_LAYER.pack(25, 2 + len(option.identifier), option.reserved) + option.identifier
        elif kind is HandAddress:
            out += _PADS[(6 - len(out)) % 8]
            out += _PUT_ADDRESS.pack(option.type, 16, option.address)
        elif kind is HandVendor:
            out += _PADS[(2 - len(out)) % 4]
            out += _PUT_VENDOR.pack(19, 5 + len(option.data), option.vendor, option.subtype) + option.data
        else:
            out += bytes((option.type, len(option.data))) + option.data
    out += _PADS[-len(out) % 8]
    out[1] = (len(out) >> 3) - 1
    return bytes(out)


# --- construct, declared the usual way ----------------------------------------------------------------------------

_OPTION_BODIES = {
    3: c.Struct("address" / c.Bytes(16)),
    8: c.Struct("subtype" / c.Int8ub, "identifier" / c.GreedyBytes),
    19: c.Struct("vendor" / c.Int32ub, "subtype" / c.Int8ub, "data" / c.GreedyBytes),
    22: c.Struct("reserved" / c.Int8ub, "prefix_length" / c.Int8ub, "address" / c.Bytes(16)),
    23: c.Struct("reserved" / c.Int8ub, "indicator" / c.Int8ub),
    24: c.Struct("reserved" / c.Int8ub, "technology" / c.Int8ub),
    25: c.Struct("reserved" / c.Int16ub, "identifier" / c.GreedyBytes),
    26: c.Struct("address" / c.Bytes(16)),
    27: c.Struct("ticks" / c.Int64ub),
}
_OPTION = c.Struct(
    "type" / c.Int8ub,
    "body"
    / c.IfThenElse(
        c.this.type == 0,
        c.Pass,
        c.Prefixed(c.Int8ub, c.Switch(c.this.type, _OPTION_BODIES, default=c.GreedyBytes)),
    ),
)
_MESSAGE_BODIES = {
    5: c.Struct("sequence" / c.Int16ub, "flags" / c.Int16ub, "lifetime" / c.Int16ub),
    6: c.Struct("status" / c.Int8ub, "flags" / c.Int8ub, "sequence" / c.Int16ub, "lifetime" / c.Int16ub),
}
CONSTRUCT = c.Struct(
    "payload" / c.Const(59, c.Int8ub),
    "length" / c.Int8ub,
    "type" / c.Int8ub,
    "reserved" / c.Int8ub,
    "checksum" / c.Int16ub,
    "body" / c.Switch(c.this.type, _MESSAGE_BODIES),
    "options" / c.GreedyRange(_OPTION),
)


# --- measuring ----------------------------------------------------------------------------------------------------

Job = Callable[[], object]


def jobs(message: wire.MobilityMessage) -> tuple[dict[str, Job], dict[str, Job]]:
    """(decoders, encoders) of one message by variant, each proven to give the same octets."""
    octets = wire.encode(message)
    layer = {5: s.MIP6MH_BU, 6: s.MIP6MH_BA}[message.number]
    by_hand, by_construct, by_scapy = hand_decode(octets), CONSTRUCT.parse(octets), layer(octets)
    assert wire.decode(octets, strict=True) == message
    assert hand_encode(by_hand) == octets
    assert CONSTRUCT.build(by_construct) == octets
    by_scapy.cksum = 0
    for layer_of in (by_scapy, *by_scapy.options):
        layer_of.explicit = 1  # as fast as Scapy goes: no copy before building

    def scapy_encode() -> bytes:
        by_scapy.raw_packet_cache = None  # else it would give back what it was made from
        for option in by_scapy.options:
            option.raw_packet_cache = None
        return bytes(by_scapy)

    assert scapy_encode() == octets
    decoders: dict[str, Job] = {
        "sojourn": lambda: wire.decode(octets),
        "hand": lambda: hand_decode(octets),
        "construct": lambda: CONSTRUCT.parse(octets),
        "scapy": lambda: layer(octets),
    }
    encoders: dict[str, Job] = {
        "sojourn": lambda: wire.encode(message),
        "hand": lambda: hand_encode(by_hand),
        "construct": lambda: CONSTRUCT.build(by_construct),
        "scapy": scapy_encode,
    }
    return decoders, encoders


def rates(variants: dict[str, Job], seconds: float) -> dict[str, float]:
    """Calls per second of each variant: best round of about 10 ms, the variants taking turns."""
    batch, best = {}, dict.fromkeys(variants, 0.0)
    for name, job in variants.items():
        begin = time.thread_time()
        for _ in range(20):
            job()
        batch[name] = max(1, int(20 * 0.010 / max(time.thread_time() - begin, 1e-6)))
    for _ in range(max(3, int(seconds / 0.010))):
        for name, job in variants.items():
            repeat = range(batch[name])
            begin = time.thread_time()
            for _ in repeat:
                job()
            best[name] = max(best[name], batch[name] / (time.thread_time() - begin))
    return best


def row(title: str, figures: dict[str, float]) -> str:
    """One line: thousands a second, then how many times as fast as the others we are."""
    ours = figures["sojourn"]
    cells = [f"{figure / 1000:11.1f}" for figure in figures.values()]
    ratios = [f"{ours / figure:13.2f}" for name, figure in figures.items() if name != "sojourn"]
    return f"{title:12}" + "".join(cells) + "   " + "".join(ratios)


TARGETS = {"decode": {"scapy": 60.0, "hand": 0.7}, "encode": {"scapy": 18.0}}
"""What `sojourn` has to reach, as a multiple of the other."""


def main() -> int:
    """Print the tables; 1 if a target is missed."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.4
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}"
    print(f"{machine}; thousands of messages a second, one core")
    names = ["sojourn", "hand", "construct", "scapy"]
    print(
        " " * 12
        + "".join(f"{name:>11}" for name in names)
        + "   "
        + "".join(f"{'x ' + name:>13}" for name in names[1:])
    )
    missed = []
    for name, message in MESSAGES.items():
        for verb, variants in zip(("decode", "encode"), jobs(message), strict=True):
            figures = rates(variants, seconds)
            print(row(f"{name} {verb}", figures))
            for other, target in TARGETS[verb].items():
                if figures["sojourn"] < target * figures[other]:
                    missed.append(
                        f"{name} {verb}: {figures['sojourn'] / figures[other]:.2f} x {other}, target {target:g}"
                    )
    print_pieces(seconds)
    missed += whole_figures()
    print("\n".join(missed) if missed else "all targets met")
    return bool(missed)


IMPORT = """
import time
begin = time.process_time()
import sojourn.wire
print(time.process_time() - begin)
"""


def import_time() -> float:
    """Seconds of processor time to import the package in a fresh process, with byte code; the best of seven."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", IMPORT]
        return min(float(subprocess.check_output(command, env=environment)) for _ in range(8))


def whole_figures() -> list[str]:
    """Import, and 10,000 messages of all kinds; what misses its target."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from support.wire_messages import random_message

    imported = import_time()
    rng = Random(8885)
    octets = [wire.seal(wire.encode(random_message(rng)), HOME, CARE_OF) for _ in range(10_000)]
    begin = time.thread_time()
    for one in octets:
        wire.verify(one, HOME, CARE_OF)
        wire.problems(wire.decode(one), one)
    decoded = time.thread_time() - begin
    print(f"import of sojourn.wire, standard library and all: {1000 * imported:.0f} ms of processor time (target 100)")
    print(f"10,000 random messages of all kinds verified, decoded and checked for rules: {decoded:.2f} s (target 3)")
    return [
        *([f"import: {1000 * imported:.0f} ms, target 100"] if imported > 0.1 else []),
        *([f"10,000 messages: {decoded:.2f} s, target 3"] if decoded > 3 else []),
    ]


def print_pieces(seconds: float) -> None:
    """What belongs to a message besides: in microseconds."""
    octets = wire.seal(wire.encode(MESSAGES["PBU"]), HOME, CARE_OF)
    pieces: dict[str, Job] = {
        "decode strict": lambda: wire.decode(octets, strict=True),
        "decode with padding": lambda: wire.decode(octets, padding=True),
        "verify": lambda: wire.verify(octets, HOME, CARE_OF),
        "seal": lambda: wire.seal(octets, HOME, CARE_OF),
        "exact copy": lambda: wire.encode(wire.decode(octets, padding=True), like=octets),
    }
    print(
        f"PBU of {len(octets)} octets, us: "
        + ", ".join(f"{name} {1e6 / rate:.2f}" for name, rate in rates(pieces, seconds).items())
    )


if __name__ == "__main__":
    sys.exit(main())
