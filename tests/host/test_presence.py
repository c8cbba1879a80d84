"""Silent stations are asked before they count as gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sojourn.core.effects import ProbeNode
from sojourn.core.events import Event, NodeDetached, NodeSeen, Sighting
from sojourn.host.presence import ATTEMPTS, INTERVAL, Presence
from sojourn.wire.addresses import link_layer

MAC = link_layer("02:00:00:00:00:01")


class Later:
    """An event loop of one timer at a time."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, action: Callable[[], None]) -> Later:
        self.waiting.append((delay, action))
        return self

    def cancel(self) -> None:
        self.waiting.clear()

    def fire(self) -> None:
        (delay, action), self.waiting = self.waiting[0], self.waiting[1:]
        assert delay == INTERVAL
        action()


def _presence(refuse: bool = False) -> tuple[Presence, list[ProbeNode], list[Event], Later]:
    probes: list[ProbeNode] = []
    reported: list[Event] = []
    later = Later()

    def probe(effect: ProbeNode) -> None:
        probes.append(effect)
        if refuse:
            raise OSError(19, "no such device")

    def report(events: Sequence[Event]) -> None:
        reported.extend(events)

    return Presence(probe, report, later.call_later), probes, reported, later


def test_who_does_not_answer_is_gone() -> None:
    presence, probes, reported, later = _presence()
    presence.aged("acc0", MAC)
    presence.aged("acc0", MAC)  # told twice, asked once
    for _ in range(ATTEMPTS):
        assert reported == []
        later.fire()
    assert reported == [NodeDetached("acc0", MAC)]
    assert probes == [ProbeNode("acc0", MAC, None)] * ATTEMPTS
    assert len(presence) == 0
    assert later.waiting == []


def test_a_sign_of_life_ends_the_doubt() -> None:
    presence, probes, reported, later = _presence()
    presence.aged("acc0", MAC)
    presence.heard([NodeSeen("acc1", MAC, Sighting.STATION)])
    assert len(presence) == 1, "another link"
    presence.heard([NodeSeen("acc0", MAC, Sighting.MULTICAST_LISTENER)])
    assert (len(presence), later.waiting, len(probes), reported) == (0, [], 1, [])


def test_a_link_that_cannot_be_asked_does_not_answer() -> None:
    presence, _, reported, later = _presence(refuse=True)
    presence.aged("acc0", MAC)
    for _ in range(ATTEMPTS):
        later.fire()
    assert reported == [NodeDetached("acc0", MAC)]


def test_after_the_end_nobody_is_asked() -> None:
    presence, probes, _, later = _presence()
    presence.aged("acc0", MAC)
    presence.close()
    assert later.waiting == []
    assert len(probes) == 1
