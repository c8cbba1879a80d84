"""The latency of a handover and its messages, exactly as the model says (standards.md 7.5 and 7.4).

One-way delays: `a` between the serving MAAR and the CMD, ``c[i]`` between the CMD and previous MAAR i, ``p[i]`` between
that and the serving MAAR. Processing takes no time here, so that every figure must be met to the nanosecond.

    mode      new prefix confirmed     downlink of old prefix i restored
    proxy     2a                       max(2a, a + c[i] + p[i])
    relay     2a + 2 max c             max(2a + 2 max c, a + c[i] + p[i])
    locator   min(a + c[i] + p[i])     a + c[i] + p[i]

The new prefix itself is usable from the attachment on in all modes (design decision 5). A downlink is restored when a
packet that passes the anchor's tunnel finds its way at the serving MAAR: `p[i]` after the tunnel stands at the anchor
at the earliest.
"""

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import Advertise, EnsurePrefix, EnsureTunnel, Report
from sojourn.engines.configuration import CENTRAL, Mode, RetransmissionConstants
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MICROSECOND, MILLISECOND, SECOND, Duration, Instant
from support.domain import Domain, pool

_MODES = CENTRAL
_PATIENT = RetransmissionConstants(min_bindack_timeout=1 * SECOND)
"""Nothing is repeated, however long the delays are."""


class _Walk:
    """A node that walked over k previous MAARs, and its last handover."""

    def __init__(self, mode: Mode, a: Duration, c: list[Duration], p: list[Duration]) -> None:
        self.k = len(c)
        self.serving = f"ar{self.k + 1}"
        delays: dict[tuple[str, str], Duration] = {(self.serving, "cmd"): a}
        for index in range(self.k):
            delays[f"ar{index + 1}", "cmd"] = c[index]
            delays[f"ar{index + 1}", self.serving] = p[index]
        cmd = {"relay_flush": 10 * SECOND, "pace_burst": 100, "retransmission": _PATIENT}
        self.domain = domain = Domain(mode, self.k + 1, delays, cmd, retransmission=_PATIENT)
        domain.run(10 * SECOND)
        for index in range(self.k):
            if index:
                domain.detach("mn1", f"ar{index}")
            domain.attach("mn1", f"ar{index + 1}")
            domain.run(10 * SECOND)
        domain.clear()
        self.begin = domain.now
        if self.k:
            domain.detach("mn1", f"ar{self.k}")
        domain.attach("mn1", self.serving)
        domain.run(2 * SECOND)

    def confirmed(self) -> Duration:
        """When the serving MAAR knew that it is registered."""
        return self._first(self.serving, lambda effect: isinstance(effect, Report) and effect.name == "registered")

    def usable(self) -> Duration:
        """When the new prefix was advertised, with its route standing."""
        return self._first(self.serving, lambda effect: isinstance(effect, Advertise))

    def restored(self, index: int, p: Duration) -> Duration:
        """When the first packet through the anchor's new tunnel is delivered."""
        old: Prefix = pool(index + 1).subnet(0, 64)
        tunnel = self._first(f"ar{index + 1}", lambda effect: isinstance(effect, EnsureTunnel))
        delivery = self._first(self.serving, lambda effect: isinstance(effect, EnsurePrefix) and effect.prefix == old)
        return max(tunnel + p, delivery)

    def _first(self, name: str, wanted) -> Instant:  # type: ignore[no-untyped-def]
        return next(when for when, who, effect in self.domain.effects if who == name and wanted(effect)) - self.begin


def _delays(seed: int, k: int) -> tuple[Duration, list[Duration], list[Duration]]:
    dice = random.Random(seed)

    def delay() -> Duration:
        return dice.randrange(100 * MICROSECOND, 120 * MILLISECOND)

    return delay(), [delay() for _ in range(k)], [delay() for _ in range(k)]


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize("seed", range(4))
def test_latency_is_what_the_model_says(mode: Mode, k: int, seed: int) -> None:
    a, c, p = _delays(100 * seed + k, k)
    walk = _Walk(mode, a, c, p)
    direct = [a + c[index] + p[index] for index in range(k)]
    answered = {Mode.PROXY: 2 * a, Mode.RELAY: 2 * a + 2 * max(c), Mode.LOCATOR: min(direct)}[mode]
    assert walk.usable() == 0
    assert walk.confirmed() == answered
    for index in range(k):
        told = direct[index] if mode is Mode.LOCATOR else answered
        assert walk.restored(index, p[index]) == max(told, direct[index])


@pytest.mark.parametrize(
    ("delays", "proxy", "relay", "locator"),
    [((10, 10, 4), 24, 40, 24), ((2, 2, 2), 6, 8, 6), ((25, 25, 5), 55, 100, 55)],
)
def test_the_examples_of_the_model(delays: tuple[int, int, int], proxy: int, relay: int, locator: int) -> None:
    """Milliseconds until everything is restored."""
    a, c, p = (delay * MILLISECOND for delay in delays)
    for mode, expected in ((Mode.PROXY, proxy), (Mode.RELAY, relay), (Mode.LOCATOR, locator)):
        assert _Walk(mode, a, [c], [p]).restored(0, p) == expected * MILLISECOND


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("k", range(6))
def test_messages_per_handover(mode: Mode, k: int) -> None:
    """2 + 2k, 2 + 2k and 1 + 3k; 2 for a first attachment in all modes (standards.md 4.3)."""
    a, c, p = _delays(k, k)
    walk = _Walk(mode, a, c, p)
    expected = 1 + 3 * k if mode is Mode.LOCATOR and k else 2 + 2 * k
    assert len(walk.domain.messages) == expected


@pytest.mark.parametrize("mode", _MODES)
def test_messages_of_a_return_to_an_earlier_anchor(mode: Mode) -> None:
    """The MAAR that serves is not told by the CMD: k is one less."""
    walk = _Walk(mode, MILLISECOND, [MILLISECOND] * 3, [MILLISECOND] * 3)
    domain = walk.domain
    domain.run(10 * SECOND)
    domain.clear()
    domain.detach("mn1", walk.serving)
    domain.attach("mn1", "ar2")
    domain.run(2 * SECOND)
    assert len(domain.messages) == (10 if mode is Mode.LOCATOR else 8)
