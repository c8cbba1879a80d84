"""What the packet filter of a home agent asks of the kernel: nothing that makes it wait for all processors in vain.

To take an element out of a set of nf_tables that is not in it ends the transaction with an error, and the kernel waits
until no processor looks at the old generation: 10 to 20 ms, in which a node that moved is not reached.
"""

from __future__ import annotations

import pytest

from sojourn.dataplane import tunnel_filter
from sojourn.dataplane.settings import LinuxSettings
from sojourn.dataplane.tunnel_filter import LINGER, TunnelFilter
from sojourn.wire.addresses import Prefix, address

HOME = Prefix(address("2001:db8:1::b0"), 128)
HERE, THERE = address("2001:db8:f1::2"), address("2001:db8:f2::2")
TIMEOUT = 4


class Kernel:
    """The table, and what was done to it."""

    def __init__(self, family: int) -> None:
        self.held: dict[str, dict[bytes, int]] = {"ends": {}, "away": {}}
        """With the time to live."""
        self.refused = 0

    def put(self, key: bytes, name: str) -> None:
        self.held[name].setdefault(key, 0)

    def drop(self, key: bytes, name: str) -> None:
        self.refused += key not in self.held[name]
        self.held[name].pop(key, None)

    def let_expire(self, key: bytes, name: str, milliseconds: int) -> None:
        self.refused += key not in self.held[name]
        self.held[name][key] = milliseconds

    def elements(self, name: str) -> dict[bytes, dict[int, bytes]]:
        return {key: {TIMEOUT: b"x"} if life else {} for key, life in self.held[name].items()}

    def tick(self) -> None:
        """All times to live are over."""
        self.held = {name: {key: life for key, life in held.items() if not life} for name, held in self.held.items()}


class Bench:
    """A filter with a kernel and a clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        patch.setattr(tunnel_filter, "Table", Kernel)
        patch.setattr(tunnel_filter.time, "monotonic", lambda: self.now)
        self.filter = self.life()
        self.kernel: Kernel = self.filter._table  # type: ignore[assignment]

    def life(self) -> TunnelFilter:
        settings = LinuxSettings(address=HERE, pool=None, peers=(), access=())  # type: ignore[arg-type]
        return TunnelFilter(settings, (128,), True)

    def register(self, care_of: bytes) -> None:
        self.filter.lead(HOME)
        self.filter.take(care_of, HOME)

    def move(self, old: bytes, new: bytes) -> None:
        self.filter.take(new, HOME)
        self.filter.take_no_more(old, HOME, lingers=True)

    def restart(self) -> None:
        """A new life with the same kernel."""
        self.filter = self.life()
        self.filter._table = self.kernel  # type: ignore[assignment]
        self.filter.begin()

    def pass_time(self) -> None:
        self.now += LINGER / 1000
        self.kernel.tick()

    @property
    def ends(self) -> set[bytes]:
        return {key[:16] for key in self.kernel.held["ends"]}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_bindings_moves_and_ends_take_away_only_what_is_there(bench: Bench) -> None:
    bench.register(HERE)
    for _ in range(3):
        bench.move(HERE, THERE)
        bench.pass_time()
        bench.move(THERE, HERE)
    bench.filter.take_no_more(HERE, HOME, lingers=False)
    bench.filter.lead_no_more(HOME)
    assert bench.kernel.held == {"ends": {}, "away": {}}
    assert bench.kernel.refused == 0


def test_who_comes_back_while_the_old_place_lingers_stays(bench: Bench) -> None:
    bench.register(HERE)
    bench.move(HERE, THERE)
    bench.move(THERE, HERE)
    assert bench.ends == {HERE, THERE}
    bench.pass_time()
    assert bench.ends == {HERE}
    assert bench.kernel.refused == 0


def test_the_same_over_a_restart(bench: Bench) -> None:
    bench.register(HERE)
    bench.move(HERE, THERE)
    bench.restart()
    bench.register(HERE)  # it is back, and what lingered ends by itself
    assert len(bench.filter.finish()) == 1
    bench.pass_time()
    assert bench.ends == {HERE}
    assert bench.kernel.refused == 0
