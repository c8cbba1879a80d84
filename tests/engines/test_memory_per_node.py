"""What one node costs, by structure; bench/memory.py measures it for 100,000 of them."""

from __future__ import annotations

import tracemalloc

import pytest

from sojourn.core.clock import Timers
from sojourn.core.events import MessageReceived
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.database_entry import BindingCacheEntry, Handover
from sojourn.engines.lma_entry import BindingCacheEntry as MobilitySession
from sojourn.engines.maar_session import Session
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import BindingUpdate
from sojourn.wire.units import SECOND
from support.domain import CMD, Domain, router
from support.messages import pbu
from support.pmip import LMA, ProxyDomain, gateway, request


@pytest.mark.parametrize("kept", [BindingCacheEntry, Handover, Session, MobilitySession, BindingUpdateListEntry])
def test_what_is_kept_per_node_has_slots(kept: type) -> None:
    assert not hasattr(kept, "__dict__") or "__dict__" not in kept.__dict__
    assert "__slots__" in kept.__dict__


@pytest.mark.parametrize("mode", CENTRAL)
def test_a_quiet_node_costs_one_entry_one_timer_and_its_prefixes(mode: Mode) -> None:
    domain = Domain(mode, 4)
    for host in ("mn1", "mn2"):
        domain.attach(host, "ar1")
        domain.run(SECOND)
        for number in (1, 2, 3):
            domain.roam(host, f"ar{number}", f"ar{number + 1}", SECOND)
    domain.run(2 * SECOND)
    cmd = domain.cmd
    assert len(cmd.entries) == 2
    assert len(cmd._owners) == 8
    assert len(cmd._timers) == 2
    assert len(cmd._requests) == 0
    assert all(entry.handover is None and entry.untold == () for entry in cmd.entries.values())


def test_of_timers_that_were_moved_or_stopped_few_remain() -> None:
    timers: Timers[int] = Timers()
    for name in range(1000):
        timers.start(name, 10_000)
    for round_ in range(20):
        for name in range(1000):
            timers.start(name, 10_000 + round_)
    assert timers.queued <= 2 * len(timers) + 1


def test_a_binding_takes_less_than_two_kibibytes() -> None:
    domain = Domain(new_nodes_per_second=10_000)
    updates = [
        pbu(domain, domain.maar_configurations["ar1"].pool.subnet(index, 64), host=f"mn{index + 1}")
        for index in range(60)
    ]
    domain.event("cmd", _from_ar1(updates.pop()))
    domain.effects.clear()
    tracemalloc.start()
    for update in updates:
        domain.cmd.handle(_from_ar1(update), domain.now)
    octets = tracemalloc.get_traced_memory()[0] / len(updates)
    tracemalloc.stop()
    assert octets < 2048


def _from_ar1(update: BindingUpdate) -> MessageReceived:
    return MessageReceived(update, router(1), CMD)


def test_a_quiet_session_of_an_lma_costs_one_entry_and_one_timer() -> None:
    domain = ProxyDomain(3)
    for host in ("mn1", "mn2"):
        domain.attach(host, "mag1")
        domain.run(SECOND)
        domain.roam(host, "mag1", "mag2", SECOND)
        domain.roam(host, "mag2", "mag3", SECOND)
    domain.run(20 * SECOND)
    assert (len(domain.lma.cache), len(domain.lma._timers), len(domain.lma._pending)) == (2, 2, 0)
    for name, sessions in (("mag1", 0), ("mag2", 0), ("mag3", 2)):
        assert len(domain.mag(name).sessions) == sessions
        assert len(domain.mag(name)._requests) == 0


def test_a_session_of_an_lma_takes_less_than_two_kibibytes() -> None:
    domain = ProxyDomain()
    updates = [MessageReceived(request(domain, host=f"mn{index + 1}"), gateway(1), LMA) for index in range(60)]
    domain.event("lma", updates.pop())
    domain.effects.clear()
    tracemalloc.start()
    for update in updates:
        domain.lma.handle(update, domain.now)
    octets = tracemalloc.get_traced_memory()[0] / len(updates)
    tracemalloc.stop()
    assert len(domain.lma.cache) == 60
    assert octets < 2048


@pytest.mark.parametrize(
    ("make", "name"), [(Domain, "ar1"), (Domain, "cmd"), (ProxyDomain, "mag1"), (ProxyDomain, "lma")]
)
def test_an_engine_has_few_enough_attributes_for_a_fast_look_at_each(make: type[Domain], name: str) -> None:
    """Up to 29 CPython 3.11 keeps the values in the object; from 30 on a look takes half as long again."""
    assert len(vars(make().members[name].engine)) < 30
