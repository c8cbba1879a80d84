"""How soon a CMD and an LMA with a journal of a million bindings answer again, and what a journal costs.

    python -m sojourn.lab.sandbox python bench/restart.py [BINDINGS] [REGISTRATIONS]

1. A file with BINDINGS bindings (default 1,000,000) is there; a process starts on it, with real sockets. Its peers ask
   from the beginning about a node that nobody asked about before, again and again: the time until the first answer, the
   longest that one of them waited from then on until all bindings are taken up, and when that is. Goals: the first
   answer within 2 s, complete within 20 s, no answer refused. The data plane forwards nothing: what the kernel needs
   for a route is in bench/routes.py. Processor time is that of the process until then; on a machine that others use,
   it is what to compare, and what the seconds would be if nobody did.
2. REGISTRATIONS (default 20,000) with the journal and without: what it adds to a registration, in processor time and on
   the disk together. The goal is at most 100 us.

Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import os
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from signalling import (
    CMD,
    HOME,
    MAARS,
    POOLS,
    Maars,
    mac,
    make_cmd,
    make_lma,
    measure_cmd,
    measure_lma,
    process,
    processor_time,
    resident,
    update,
)
from sojourn.core.effects import StoreBinding
from sojourn.engines import database_entry, lma_entry
from sojourn.engines.registration import PROXY, PROXY_DMM
from sojourn.host.loop import Host
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.stores import MemoryStore, SqliteStore, Store
from sojourn.wire.units import HOUR, ticks

ANSWERING, COMPLETE, JOURNAL = 2.0, 20.0, 100.0
"""Goals: seconds, seconds, microseconds."""
_EUI_48 = b"\x05"
_PATIENCE = 120.0


@dataclass
class Restart:
    """Seconds, and what else there is to say."""

    first: float
    first_processor: float
    complete: float
    longest: float
    asked: int
    refused: int
    processor: float
    memory: int


def bindings_of_cmd(count: int) -> Iterator[StoreBinding]:
    stamp = ticks(time.time_ns())
    for number in range(count):
        anchor = MAARS[number % 4]
        anchors = [(POOLS[number % 4].subnet(number, 64), anchor)]
        entry = database_entry.BindingCacheEntry(
            _EUI_48 + mac(number), anchor, stamp, number & 0xFFFF, HOUR, 0, anchors
        )
        yield StoreBinding(entry.node, entry.record())


def bindings_of_lma(count: int) -> Iterator[StoreBinding]:
    stamp = ticks(time.time_ns())
    for number in range(count):
        node, mag = mac(number), MAARS[number % 4]
        prefixes = (HOME.subnet(number, 64),)
        entry = lma_entry.BindingCacheEntry(
            number + 1, _EUI_48 + node, node, 4, mag, mag, prefixes, stamp, number & 0xFFFF, HOUR, 0
        )
        yield StoreBinding(entry.key, entry.record())


def fill(path: Path, bindings: Iterator[StoreBinding]) -> None:
    """A journal as an earlier life left it."""
    store = SqliteStore(path)
    while batch := [one for one, _ in zip(bindings, range(20_000), strict=False)]:
        store.apply(batch)
    store.close()


def domain() -> NetworkNamespace:
    namespace = NetworkNamespace("domain")
    netlink = RouteNetlink(namespace)
    for local in (CMD, *MAARS):
        netlink.add_address(1, local, 128)
    netlink.close()
    return namespace


def restarted(make: Callable[[], Host], question: Callable[[int], bytes], count: int) -> Restart:
    """A process starts while its peer asks about node after node, from the last on."""
    namespace = domain()
    maars = Maars(namespace)
    readable, told = os.pipe()

    def observed() -> Host:
        host = make()

        def look() -> None:
            if host.driver.engine.restoring:
                host.loop.call_later(0.01, look)
            else:
                os.write(told, b"!")

        host.loop.call_soon(look)
        return host

    began = time.monotonic()
    first = first_processor = complete = longest = 0.0
    asked = refused = 0
    with process(namespace, observed, wait=False) as child:
        while not complete:
            if time.monotonic() - began > _PATIENCE:
                raise SystemExit("it never came back")
            number = count - 1 - asked
            since = time.monotonic()
            answer = _answer(maars, number % 4, question(number))
            if answer is not None:
                now = time.monotonic()
                if first:
                    longest = max(longest, now - since)
                else:
                    first, first_processor = now - began, processor_time(child)
                asked += 1
                refused += answer >= 128
            if select.select([readable], [], [], 0.01)[0]:
                complete = time.monotonic() - began
        processor = processor_time(child)
        found = Restart(first, first_processor, complete, longest, asked, refused, processor, resident(child))
    os.close(readable)
    os.close(told)
    maars.close()
    namespace.close()
    return found


def _answer(maars: Maars, peer: int, question: bytes) -> int | None:
    """The status of the acknowledgement, if it comes within a moment; as long as nobody listens, the kernel refuses."""
    end = time.monotonic() + 0.1
    with suppress(OSError):
        maars.sockets[peer].send(question)
    while (left := end - time.monotonic()) > 0:
        for raw in select.select(maars.sockets, [], [], left)[0]:
            with suppress(OSError):
                octets = raw.recv(2048)
                if octets[2] == 6 and octets[8:10] == question[6:8]:
                    return octets[6]
    return None


def asked_of_cmd(number: int) -> bytes:
    """Another MAAR has the node now, and its own prefix of it."""
    maar = number % 4
    return update(number, POOLS[maar].subnet(1 << 24 | number, 64), 4, ticks(time.time_ns()), PROXY_DMM)


def asked_of_lma(number: int) -> bytes:
    """A refresh."""
    return update(number, HOME.subnet(number, 64), 5, ticks(time.time_ns()), PROXY)


def journal(directory: Path, name: str, make: Callable[[Callable[[], Store]], Host], count: int) -> float:
    """Microseconds that it adds to a registration."""
    took = []
    stores: Sequence[Callable[[], Store]] = (MemoryStore, lambda: SqliteStore(directory / f"{name}.new"))
    for store in stores:
        namespace = domain()
        maars = Maars(namespace)
        with process(namespace, lambda store=store: make(store)) as child:  # type: ignore[misc]
            phases = measure_cmd(child, maars, count) if name == "cmd" else measure_lma(child, maars, count)
        took.append(1e6 * phases["registration"].processor / count)
        maars.close()
        namespace.close()
    return took[1] - took[0]


def main() -> int:
    bindings = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    registrations = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    good = True
    print(f"a restart with {bindings} bindings, goals: answering in {ANSWERING:g} s, complete in {COMPLETE:g} s;")
    print(f"a journal adds at most {JOURNAL:g} us to a registration")
    print(
        f"{'role':<6}{'answers after s':>16}{'s CPU':>8}{'complete after s':>18}{'s CPU':>8}{'longest answer ms':>19}"
        f"{'asked':>7}{'refused':>9}{'MiB':>7}{'journal us':>12}"
    )
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for role, make, kept, question in (
            ("cmd", make_cmd, bindings_of_cmd, asked_of_cmd),
            ("lma", make_lma, bindings_of_lma, asked_of_lma),
        ):
            path = directory / f"{role}.sqlite"
            fill(path, kept(bindings))
            found = restarted(lambda: make(lambda: SqliteStore(path)), question, bindings)  # type: ignore[operator]  # noqa: B023
            added = journal(directory, role, make, registrations)
            print(
                f"{role:<6}{found.first:>16.2f}{found.first_processor:>8.2f}{found.complete:>18.2f}"
                f"{found.processor:>8.2f}{1e3 * found.longest:>19.0f}{found.asked:>7}{found.refused:>9}"
                f"{found.memory >> 20:>7}{added:>12.1f}"
            )
            good &= found.first <= ANSWERING and found.complete <= COMPLETE and not found.refused and added <= JOURNAL
    return int(not good)


if __name__ == "__main__":
    raise SystemExit(main())
