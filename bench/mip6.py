"""What a home agent and a correspondent node of Mobile IPv6 can answer, without sockets. Run it as

    python bench/mip6.py [NODES]

From octets to octets: a message is decoded, the engine handles it, the answers are encoded. The messages are made and
signed beforehand. Goals, for each second of processor time: 8,000 Binding Updates with authentication option at the
home agent, 5,000 return routability exchanges (Home Test Init and Care-of Test Init) at the correspondent node; and
300 MiB for 100,000 bindings, by what the process grew, the configuration of the nodes and their keys included.

Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.core.effects import AdvertisedPrefix, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import MessageReceived
from sojourn.engines.authentication import signed
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.mip6_configuration import Association, CnConfiguration, HaConfiguration, HomeNode
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingUpdate,
    CareOfTestInit,
    HomeTestInit,
    MobileNodeIdentifier,
    decode,
    encode,
)
from sojourn.wire.addresses import Address, prefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.units import HOUR, SECOND
from support.mip6_messages import CN, HA, A, H
from support.table import EPOCH

_HOME = prefix("2001:db8:4000::/64")
_SEED = b"entropy of a bench"
_LATER = 100 * SECOND

Arrival = tuple[bytes, Address, Address, Address | None]
"""Octets, source, destination, Home Address option."""


def main(nodes: int) -> int:
    """Measure and compare."""
    before = _resident()
    homes = [_HOME.address[:8] + b"\x02" + number.to_bytes(7, "big") for number in range(nodes)]
    keys = [
        Association(1000 + number, number.to_bytes(16, "big"), b"\x01%d@example.net" % number)
        for number in range(nodes)
    ]
    known = tuple(HomeNode(home, key) for home, key in zip(homes, keys, strict=True))
    agent = HomeAgent(HaConfiguration(HA, (AdvertisedPrefix(_HOME, HOUR, HOUR),), known, stores=False), EPOCH, _SEED)
    agent.restore([], 0)
    first = _measure(agent, (_update(home, key, 1) for home, key in zip(homes, keys, strict=True)))
    grown = _resident() - before
    again = _measure(agent, (_update(home, key, 2) for home, key in zip(homes, keys, strict=True)))
    correspondent = CorrespondentNode(CnConfiguration(CN, tests_per_second=1 << 30), EPOCH, _SEED)
    correspondent.restore([], 0)
    tests = _measure(correspondent, (arrival for home in homes for arrival in _tests(home))) / 2
    mebibytes = grown / (1 << 20) * 100_000 / nodes
    print(f"home agent: {first:8,.0f} registrations, {again:8,.0f} handovers a core-second (goal 8,000)")
    print(f"correspondent node: {tests:8,.0f} return routability exchanges a core-second (goal 5,000)")
    print(f"home agent: {mebibytes:.0f} MiB for 100,000 bindings, measured with {nodes:,} (goal 300)")
    return 0 if min(first, again) >= 8_000 and tests >= 5_000 and mebibytes <= 300 else 1


def _update(home: Address, key: Association, sequence: int) -> Arrival:
    care_of = bytes((0x20, 1, 0xD, 0xB8, 1, sequence)) + home[6:]
    now = EPOCH + _LATER + sequence
    options = (
        AlternateCareOfAddress(care_of),
        MobileNodeIdentifier(1, key.identifier[1:]),
        MobilityMessageReplayProtection.at(now),
    )
    message = signed(BindingUpdate(sequence, A | H, 600 * SECOND, options), key, care_of, home)
    return encode(message), care_of, HA, home


def _tests(home: Address) -> tuple[Arrival, Arrival]:
    care_of = bytes((0x20, 1, 0xD, 0xB8, 1, 1)) + home[6:]
    return (encode(HomeTestInit(home[8:])), home, CN, None), (encode(CareOfTestInit(home[8:])), care_of, CN, None)


def _measure(engine: Engine, arrivals: Iterable[Arrival]) -> float:
    """Messages a second of processor time; each of them is answered."""
    handle: Callable[..., object] = engine.handle
    answered = 0
    made = list(arrivals)
    gc.collect()
    began = time.process_time()
    for octets, source, destination, home in made:
        for effect in handle(MessageReceived(decode(octets), source, destination, home, None, octets), _LATER):  # type: ignore[attr-defined]
            if isinstance(effect, SendMessage):
                encode(effect.message)
                answered += 1
    spent = time.process_time() - began
    assert answered == len(made), f"{answered} answers to {len(made)} messages"
    return len(made) / spent


def _resident() -> int:
    """Octets in memory, without what can be given back."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
