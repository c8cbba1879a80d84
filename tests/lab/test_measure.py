"""Loss against the bound, and the formulas of shared/standards.md 7.5 and 7.6."""

from __future__ import annotations

import pytest

from sojourn.lab.measure import (
    IN_FLIGHT,
    SETTLED,
    Bound,
    Loss,
    Window,
    bound,
    control_loss,
    expected_messages,
    handover_window,
    longest_gap,
    loss,
    lost_time,
    percentile,
    routers_passed,
    stretch_formula,
)
from sojourn.lab.traffic import Direction
from sojourn.wire.units import MILLISECOND, SECOND

MS = MILLISECOND


class Star:
    """Nodes around a core, each with its own distance; as `sojourn.lab.topology.Topology` answers."""

    def __init__(self, **distances: int) -> None:
        self.distances = distances

    def delay(self, source: str, destination: str) -> int:
        return 0 if source == destination else (self.distances[source] + self.distances[destination]) * MS

    def path(self, source: str, destination: str) -> list[str]:
        return [source] if source == destination else [source, "core", destination]


def stream(lost: set[int], count: int = 100, spacing: int = 20 * MS) -> Direction:
    direction = Direction()
    for number in range(count):
        direction.send(number * spacing)
        if number not in lost:
            direction.arrive(number, number * spacing + 10 * MS, 62)
    return direction


def test_loss_counts_what_was_sent_in_the_window() -> None:
    direction = stream({10, 11, 50})
    assert loss(direction, Window(200 * MS, 240 * MS)) == Loss(sent=2, lost=2)
    assert loss(direction, Window(0, 2 * SECOND)) == Loss(sent=100, lost=3)
    assert control_loss(direction, [Window(0, 200 * MS), Window(1 * SECOND, 2 * SECOND)]) == Loss(60, 1)


def test_the_share_of_the_control_phase_is_taken_off() -> None:
    assert Loss(sent=100, lost=12).less(Loss(sent=1000, lost=20)) == pytest.approx(10)
    assert Loss(sent=100, lost=1).less(Loss(sent=100, lost=50)) == 0
    assert Loss(sent=100, lost=3).less(Loss(0, 0)) == 3


def test_windows_of_neighbouring_handovers_do_not_overlap() -> None:
    first, second = 10 * SECOND, 10 * SECOND + 400 * MS
    window = handover_window(first, second)
    assert window == Window(first - IN_FLIGHT, second - IN_FLIGHT)
    assert handover_window(first, 60 * SECOND).end == first + SETTLED


def test_lost_packets_as_time_of_the_flow() -> None:
    assert lost_time(2, 50) == 40
    assert lost_time(2, 0) == 0


def test_longest_gap_includes_the_edges() -> None:
    assert longest_gap(stream({0, 1, 2}), Window(0, 200 * MS)) == 70 * MS


# shared/standards.md 7.5 gives for (a, c, p) = (10, 10, 4): relay 40, proxy = locator 24; (2, 2, 2): 8, 6 (both), 6
@pytest.mark.parametrize(
    ("mode", "a", "c", "p", "milliseconds"),
    [
        ("relay", 10, 10, 4, 40),
        ("proxy", 10, 10, 4, 24),
        ("locator", 10, 10, 4, 24),
        ("relay", 2, 2, 2, 8),
        ("proxy", 2, 2, 2, 6),
        ("relay", 25, 25, 5, 100),
        ("locator", 25, 25, 5, 55),
        ("proxy", 30, 2, 2, 60),
    ],
)
def test_bound_of_the_examples(mode: str, a: int, c: int, p: int, milliseconds: int) -> None:
    class Triangle(Star):
        def delay(self, source: str, destination: str) -> int:
            return {("s", "cmd"): a, ("cmd", "p"): c, ("p", "s"): p}[source, destination] * MS

    found = bound(Triangle(), mode, cmd="cmd", serving="s", anchor="p", previous="p", others=["p"])
    assert found == Bound(0, milliseconds * MS)


def test_relay_waits_for_the_slowest_anchor_and_the_others_do_not() -> None:
    star = Star(s=1, cmd=1, p=1, far=50)
    others = ["p", "far"]
    arguments = {"cmd": "cmd", "serving": "s", "anchor": "p", "previous": "p", "others": others}
    assert bound(star, "relay", **arguments).old_prefix == (2 * 2 + 2 * 51) * MS  # type: ignore[arg-type]
    assert bound(star, "proxy", **arguments).old_prefix == 6 * MS  # type: ignore[arg-type]


def test_a_host_back_at_its_anchor_loses_what_was_in_the_tunnel() -> None:
    star = Star(s=5, cmd=10, before=5)
    found = bound(star, "proxy", cmd="cmd", serving="s", anchor="s", previous="before", others=["before"])
    assert found.old_prefix == 10 * MS


@pytest.mark.parametrize(
    ("mode", "old", "messages"),
    [("proxy", 0, 2), ("proxy", 3, 8), ("relay", 2, 6), ("locator", 0, 2), ("locator", 1, 4), ("locator", 3, 10)],
)
def test_messages_of_a_handover(mode: str, old: int, messages: int) -> None:
    assert expected_messages(mode, old) == messages


@pytest.mark.parametrize(("old", "asked", "cmd", "messages"), [(2, 0, False, 4), (1, 3, False, 6), (3, 2, True, 8)])
def test_messages_of_a_handover_in_direct_mode(old: int, asked: int, cmd: bool, messages: int) -> None:
    """2p, or two for each neighbour that is asked; a CMD is told afterwards."""
    assert expected_messages("direct", old, asked, told_afterwards=cmd) == messages


def test_stretch_is_the_way_around_over_the_direct_way() -> None:
    star = Star(server=5, p=5, s=5)
    assert stretch_formula(star, server="server", anchor="p", serving="s") == 2.0
    assert stretch_formula(star, server="server", anchor="s", serving="s") == 1.0


def test_routers_passed_reads_the_latest_arrival() -> None:
    direction = stream({99})
    assert routers_passed(direction, Window(0, 2 * SECOND)) == 2
    assert routers_passed(direction, Window(99 * 20 * MS, 3 * SECOND)) is None


def test_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([7.0], 0.95) == 7
    assert percentile([], 0.95) == 0
