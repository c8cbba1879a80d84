"""The decoders against mutated octets, guided by coverage: nothing but `DecodeError` may come out.

    python fuzz/wire.py [executions, default 200000]

With atheris installed (``pip install atheris``) its libFuzzer mutates octets and keeps those that reach new code;
without it, an own loop does the same with what ``sys.settrace`` sees of `sojourn.wire`, at a tenth of the speed. The
number of executions is fixed and so is the seed. Each input goes through all that octets from the network reach: strict
and lenient decoding, the exact copy, the rules, the profiles of peers, neighbour discovery, destination options,
selectors, UDP.

Afterwards inputs of 64 KiB made to be slow are timed: each must be done in 10 ms of processor time.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests")]

SEED = 8885
LIMIT = 0.010
"""Seconds of processor time for 64 KiB."""


def load() -> Any:
    """The package; imported late, so that atheris can instrument it."""
    from sojourn import wire
    from sojourn.wire import icmpv6, ipv6, rules, tolerance, udp
    from sojourn.wire.extensions import rfc6088, rfc6618

    return wire, icmpv6, ipv6, rules, tolerance, udp, rfc6088, rfc6618


def target() -> Callable[[bytes], None]:
    """What is done with each input."""
    wire, icmpv6, ipv6, rules, tolerance, udp, rfc6088, rfc6618 = load()
    profiles = list(tolerance.PROFILES.values())

    def mobility(octets: bytes) -> None:
        seen: Counter[Any] = Counter()
        message = wire.decode(octets, padding=True, tolerated=seen)
        if wire.encode(message, like=octets) != octets:
            raise AssertionError("the copy differs")
        rules.problems(message, octets)
        for profile in profiles:
            tolerance.decode_from(octets, profile)
        try:
            wire.decode(octets, strict=True)
        except wire.DecodeError as error:
            if not seen:
                raise AssertionError(f"strict refuses what nothing was tolerated of: {error}") from error

    def discovery(octets: bytes) -> None:
        str(icmpv6.decode_icmpv6(octets))

    def rest(octets: bytes) -> None:
        header = ipv6.DestinationOptions.decode(octets)
        str(header.home_address)

    def selectors(octets: bytes) -> None:
        for cls in rfc6088.CLASSES.values():
            value = cls.decode(octets)
            if value.encode() != octets:
                raise AssertionError("the selector differs")

    def tunnels(octets: bytes) -> None:
        udp.read(udp.DSMIPV6, octets)
        rfc6618.TlsPacket.decode(octets)

    def run(octets: bytes) -> None:
        for one in (mobility, discovery, rest, selectors, tunnels):
            try:
                one(octets)
            except wire.DecodeError as error:
                str(error)

    return run


def corpus(rng: Random) -> list[bytes]:
    """One message of each class, and each option in a message."""
    from sojourn import wire
    from sojourn.wire import icmpv6
    from support.wire_messages import ICMPV6_MESSAGE_CLASSES, MESSAGE_CLASSES, OPTION_CLASSES, random_object

    found = [wire.encode(random_object(cls, rng)) for cls in MESSAGE_CLASSES]
    found += [wire.encode(wire.BindingUpdate(1, 0x8210, 0, (random_object(cls, rng),))) for cls in OPTION_CLASSES]
    found += [icmpv6.encode_icmpv6(random_object(cls, rng)) for cls in ICMPV6_MESSAGE_CLASSES]
    return found


# --- with atheris ---------------------------------------------------------------------------------------------------


def with_atheris(executions: int, folder: Path) -> None:
    """libFuzzer's loop; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["sojourn.wire"]):
        run = target()
    for index, octets in enumerate(corpus(Random(SEED))):
        (folder / f"{index:03}").write_bytes(octets)
    arguments = [sys.argv[0], f"-runs={executions}", f"-seed={SEED}", "-max_len=2100", "-print_final_stats=1"]
    atheris.Setup([*arguments, str(folder)], run)
    atheris.Fuzz()


# --- without --------------------------------------------------------------------------------------------------------


def by_ourselves(executions: int) -> tuple[int, int]:
    """Mutation guided by the lines of `sojourn.wire` that run; (inputs kept, lines seen)."""
    from support.wire_messages import damage

    rng, run = Random(SEED), target()
    kept = corpus(rng)
    lines: set[tuple[str, int]] = set()
    new = False

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal new
        name = frame.f_code.co_filename
        if "sojourn/wire" not in name and "codec of" not in name:
            return None
        if event == "line" and (name, frame.f_lineno) not in lines:
            lines.add((name, frame.f_lineno))
            new = True
        return trace

    for _ in range(executions):
        octets = damage(rng.choice(kept), rng)[:2100]
        new = False
        sys.settrace(trace)
        try:
            run(octets)
        except BaseException:
            sys.settrace(None)
            print("input:", octets.hex())
            raise
        sys.settrace(None)
        if new:
            kept.append(octets)
    return len(kept), len(lines)


# --- time -----------------------------------------------------------------------------------------------------------


def slow_inputs() -> dict[str, tuple[Callable[[bytes], object], bytes]]:
    """Octets that give the decoders the most work for their size."""
    wire, icmpv6, *_ = load()
    size = 65536

    def discovery(option: bytes) -> bytes:
        return (bytes((133, 0)) + bytes(6) + option * (size // len(option)))[:size]

    def mobility(option: bytes) -> bytes:
        area = (option * 2048)[:2036]
        return bytes((59, 255, 5, 0, 0, 0)) + bytes(6) + area

    def lenient(octets: bytes) -> object:
        return wire.decode(octets)

    qos = bytes((58, 254)) + bytes(6) + bytes((1, 1, 0)) * 82 + bytes(2)
    return {
        "discovery, known options": (icmpv6.decode_icmpv6, discovery(bytes((1, 1)) + bytes(6))),
        "discovery, malformed options": (icmpv6.decode_icmpv6, discovery(bytes((3, 1)) + bytes(6))),
        "discovery, unknown options": (icmpv6.decode_icmpv6, discovery(bytes((99, 1)) + bytes(6))),
        "listener report": (icmpv6.decode_icmpv6, bytes((143, 0, 0, 0, 0, 0, 255, 255)) + bytes(size - 8)),
        "mobility, empty options": (lenient, mobility(bytes((200, 0)))),
        "mobility, malformed options": (lenient, mobility(bytes((23, 0)))),
        "mobility, padding": (lenient, mobility(b"\0")),
        "mobility, malformed attributes": (lenient, mobility(qos)),
        "mobility, 64 KiB behind it": (lenient, mobility(b"\0") + bytes(size - 2048)),
    }


def time_them() -> bool:
    """Print the processor time of each slow input; whether all are done in time."""
    fine = True
    for name, (decode, octets) in slow_inputs().items():
        best = min(_seconds(decode, octets) for _ in range(15))
        fine &= best < LIMIT
        print(f"{name:32} {len(octets):6} octets  {1000 * best:6.2f} ms{'' if best < LIMIT else '  too slow'}")
    return fine


def _seconds(decode: Callable[[bytes], object], octets: bytes) -> float:
    begin = time.thread_time()
    decode(octets)
    return time.thread_time() - begin


def main() -> int:
    """Fuzz, then time."""
    import subprocess
    from tempfile import TemporaryDirectory

    executions = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    if len(sys.argv) > 2:  # the child: atheris ends its process
        with_atheris(executions, Path(sys.argv[2]))
    try:
        import atheris  # noqa: F401
    except ImportError:
        count = executions // 10
        kept, lines = by_ourselves(count)
        print(f"{count} executions without atheris: {kept} inputs kept, {lines} lines seen, nothing but DecodeError")
    else:
        with TemporaryDirectory() as folder:
            child = subprocess.run([sys.executable, __file__, str(executions), folder], check=False)
        if child.returncode:
            return child.returncode
        print(f"{executions} executions with atheris: nothing but DecodeError")
    return 0 if time_them() else 1


if __name__ == "__main__":
    sys.exit(main())
