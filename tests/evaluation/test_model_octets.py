"""Lengths of messages: those printed in the collected standards, and those that the engines really send."""

from __future__ import annotations

import pytest

from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.configuration import Mode
from sojourn.evaluation.models.octets import DLIF, Sizes, host_exchange, host_return, route_update, route_withdrawal
from sojourn.wire import MobileNodeIdentifier, encode
from sojourn.wire.units import MINUTE, SECOND
from support import simulations
from support.domain import HOSTS, Domain, router

NAI = MobileNodeIdentifier(1, b"a" * 17)


def test_4_4_printed_sizes() -> None:
    """With an NAI of 18 octets, subtype included, and without a link-layer identifier."""
    sizes = Sizes(NAI, link_layer=())
    assert (sizes.registration(), sizes.acceptance(), sizes.notice()) == (120, 120, 136)
    assert [sizes.acceptance(count) for count in (1, 2, 3, 5)] == [152, 192, 232, 312]
    with_dlif = Sizes(NAI, link_layer=(), dlif=DLIF)
    assert [with_dlif.acceptance(count) for count in (1, 2, 3, 5)] == [192, 264, 336, 480]


def _walk(mode: Mode, moves: int) -> list[list[int]]:
    """A node that visits one router after the other and keeps all its prefixes; the octets of each handover."""
    domain = Domain(mode, moves + 1, cmds=0 if mode is Mode.DIRECT else 1, idle_hold=60 * MINUTE)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    lengths = []
    for number in range(1, moves + 1):
        domain.clear()
        domain.detach("mn1", f"ar{number}")
        previous = router(number) if mode is Mode.DIRECT else None
        domain.event(f"ar{number + 1}", NodeSeen("acc0", HOSTS["mn1"], Sighting.STATION, previous=previous))
        domain.run(SECOND)
        lengths.append([40 + len(encode(message)) for _, _, message in domain.sent()])
        domain.run(5 * SECOND)
    return lengths


@pytest.mark.parametrize("mode", [Mode.PROXY, Mode.RELAY, Mode.LOCATOR])
def test_handovers_are_as_long_as_those_of_the_engines(mode: Mode) -> None:
    sizes = Sizes()
    formula = sizes.locator if mode is Mode.LOCATOR else sizes.relay_or_proxy
    for previous, lengths in enumerate(_walk(mode, 5), 1):
        assert len(lengths) == (1 + 3 * previous if mode is Mode.LOCATOR else 2 + 2 * previous)
        assert sum(lengths) == formula(previous)


def test_handovers_in_direct_mode_are_as_long_as_those_of_the_engines() -> None:
    """An anchor says again, until the next refresh, what it had served for others: 40 octets for each of these."""
    for previous, lengths in enumerate(_walk(Mode.DIRECT, 5), 1):
        assert len(lengths) == 2 * previous
        said_again = (previous - 1) * (previous - 2) // 2
        assert sum(lengths) == Sizes().direct(previous) + 40 * said_again


def test_the_end_of_a_prefix_in_direct_mode_is_as_long_as_that_of_the_engines() -> None:
    domain = Domain(Mode.DIRECT, 2, cmds=0, idle_hold=4 * SECOND, lifetime=60 * MINUTE)
    domain.attach("mn1", "ar1")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.clear()
    domain.run(10 * SECOND)
    retired = [40 + len(encode(message)) for _, _, message in domain.sent()]
    assert len(retired) == 2
    assert sum(retired) == Sizes().retiring_directly()


def test_retirement_and_refresh_are_as_long_as_those_of_the_engines() -> None:
    domain = Domain(Mode.PROXY, 2, idle_hold=4 * SECOND, lifetime=60 * MINUTE)
    domain.attach("mn1", "ar1")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.clear()
    domain.run(10 * SECOND)
    retired = [40 + len(encode(message)) for _, _, message in domain.sent()]
    assert len(retired) == 4
    assert sum(retired) == Sizes().retiring()


def test_without_an_old_anchor_the_database_answers_in_locator_mode() -> None:
    sizes = Sizes()
    assert (
        sizes.locator(0) == sizes.registration() + sizes.acceptance() == sizes.relay_or_proxy(0) == sizes.refreshing()
    )
    assert sizes.direct(0) == 0


def test_a_handover_of_pmipv6_is_as_long_as_that_of_the_engines() -> None:
    topology = simulations.star(5.0, 5.0)
    made = simulations.world(topology, simulations.walk(1, 2), 20.0, mode="pmipv6", wire="full")
    assert made.ledger.octets_of_turn.tolist()[1:] == [Sizes().central()]


def test_what_a_host_says_is_as_long_as_its_engine_says() -> None:
    """A walk from 0 to 1 with a session of 0, and back: an exchange there, one for each prefix in use at the return."""
    topology = simulations.star(5.0, 5.0)
    made = simulations.world(topology, simulations.walk(1, 2, 1), 29.0, mode="mipv6", wire="full")
    assert made.ledger.octets_of_turn.tolist() == [0, host_exchange(), host_return() + host_exchange()]


def test_what_has_no_engine_here_is_as_long_as_its_rfc_says() -> None:
    assert route_update(2) - route_update(1) == 9
    assert route_update() == 60 + 19 + 4 + 4 + 3 + 7 + 4 + 5 + 16 + 9
    assert route_withdrawal() == 60 + 19 + 4 + 4 + 3 + 9
