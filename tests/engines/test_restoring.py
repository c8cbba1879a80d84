"""A role with many bindings answers before it took up all of them, and as if it had."""

from __future__ import annotations

import msgspec
import pytest

from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines import unread
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.extension import LmaExtension
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import PROXY, PROXY_DMM
from sojourn.stores import MemoryStore
from sojourn.wire import (
    AnchoredPrefix,
    BindingRefreshRequest,
    BindingUpdate,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    Status,
)
from sojourn.wire.addresses import ANY, Prefix
from sojourn.wire.units import HOUR, SECOND
from support.life import NODES, ROUTERS, cmd, lma, own, update


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "SLICE", 3)


def registered_at_cmd() -> MemoryStore:
    store = MemoryStore()
    life = cmd(store, SECOND)
    for number in range(NODES):
        assert life.ask(update(number, own(number, 0), 4, SECOND, PROXY_DMM), ROUTERS[0])[0].status == 0
    return store


def given_by_lma() -> tuple[MemoryStore, list[Prefix]]:
    store, given = MemoryStore(), []
    life = lma(store, SECOND)
    for number in range(NODES):
        home = life.ask(update(number, ANY, 4, SECOND, PROXY), ROUTERS[0])[0].first(HomeNetworkPrefix)
        assert home is not None
        given.append(home.prefix)
    return store, given


def test_a_database_knows_whoever_it_is_asked_about_before_it_took_up_all() -> None:
    store = registered_at_cmd()
    life = cmd(store, 2 * SECOND)
    assert isinstance(life.engine, CentralMobilityDatabase)
    assert life.engine.restoring
    assert len(life.engine.entries) == 3
    answer = life.ask(update(NODES - 1, own(NODES - 1, 1), 3, 2 * SECOND, PROXY_DMM), ROUTERS[1])[0]
    assert answer.status == 0
    told = [one.destination for one in life.sent if isinstance(one.message, BindingUpdate)]
    assert told == [ROUTERS[0]], "who anchors its prefix learns where it is"
    stale = life.ask(update(NODES - 2, own(NODES - 2, 1), 3, 0, PROXY_DMM), ROUTERS[1])[0]
    assert stale.status >= 128, "an older attachment loses, as ever"
    life.complete()
    assert len(life.engine.entries) == NODES
    serving = [entry.serving for entry in life.engine.entries.values()]
    assert serving.count(ROUTERS[1]) == 1


def test_a_database_that_dies_in_the_middle_finds_everything_again() -> None:
    store = registered_at_cmd()
    records = dict(store.records)
    for _ in range(3):
        life = cmd(store, 2 * SECOND)
        life.slice()
        assert life.engine.restoring
    assert store.records == records
    life = cmd(store, 3 * SECOND)
    life.ask(update(0, own(0, 1), 3, 3 * SECOND, PROXY_DMM), ROUTERS[1])
    life = cmd(store, 4 * SECOND)
    life.complete()
    assert isinstance(life.engine, CentralMobilityDatabase)
    assert len(life.engine.entries) == NODES
    assert sum(entry.serving == ROUTERS[1] for entry in life.engine.entries.values()) == 1


def test_a_database_has_room_for_no_more_nodes_than_ever() -> None:
    life = cmd(registered_at_cmd(), 2 * SECOND)
    assert life.ask(update(NODES, own(NODES, 1), 4, 2 * SECOND, PROXY_DMM), ROUTERS[1])[0].status >= 128


def test_a_database_that_took_up_all_gives_nobody_a_prefix_of_another_node() -> None:
    """Its router lost its memory, and gives it again."""
    life = cmd(registered_at_cmd(), 2 * SECOND)
    life.complete()
    newcomer, last = NODES, NODES - 1
    refused = life.ask(update(newcomer, own(last, 0), 4, 2 * SECOND, PROXY_DMM), ROUTERS[0])[0]
    assert refused.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX


@pytest.mark.parametrize("asks", [False, True])
def test_a_prefix_that_was_given_again_before_that_was_known_is_taken_back(asks: bool) -> None:
    """In the moment in which nobody can wait; `asks`: its node is heard in that moment too."""
    store = registered_at_cmd()
    life = cmd(store, 2 * SECOND)
    newcomer, last = NODES - 2, NODES - 1
    both = own(last, 0)
    assert life.ask(update(newcomer, both, 4, 2 * SECOND, PROXY_DMM), ROUTERS[0])[0].status == 0
    life.sent.clear()
    if asks:
        assert life.ask(update(last, both, 5, SECOND, PROXY_DMM), ROUTERS[0])[0].status == 0
    life.complete()
    (told,) = [one.message for one in life.sent if isinstance(one.message, BindingUpdate)]
    assert told.lifetime == 0
    option, anchored = told.first(MobileNodeIdentifier), told.first(AnchoredPrefix)
    assert option is not None
    assert option.key().endswith(newcomer.to_bytes(4, "big"))
    assert anchored == AnchoredPrefix.of(both)
    assert isinstance(life.engine, CentralMobilityDatabase)
    having = [entry.node[-4:] for entry in life.engine.entries.values() if entry.anchor_of(both)]
    assert having == [last.to_bytes(4, "big")]
    assert len(life.engine.entries) == NODES


def test_of_two_nodes_that_the_store_gives_one_prefix_one_has_it() -> None:
    """It changed hands, and the disk refused one half of that before the end of the earlier life."""
    store = registered_at_cmd()
    key = next(key for key in store.records if key.endswith((7).to_bytes(4, "big")))
    other = BindingCacheEntry.restored(key, store.records[key], 0)
    other.add(own(5, 0), ROUTERS[0])
    store.records[key] = other.record()
    life = cmd(store, 2 * SECOND)
    life.complete()
    assert isinstance(life.engine, CentralMobilityDatabase)
    assert len([entry for entry in life.engine.entries.values() if entry.anchor_of(own(5, 0))]) == 1


def test_a_router_without_memory_is_told_of_all_that_it_anchors_in_the_end() -> None:
    store = registered_at_cmd()
    life = cmd(store, 2 * SECOND)
    for number in range(NODES):
        life.ask(update(number, own(number, 1), 3, 2 * SECOND, PROXY_DMM), ROUTERS[1])
    life = cmd(store, 3 * SECOND)
    life.ask(BindingRefreshRequest(), ROUTERS[0])
    life.complete()
    life.sent.clear()
    for _ in range(10):
        life.now += SECOND
        life.driver.wake()
    told = {one.message.options[0].key() for one in life.sent if isinstance(one.message, BindingUpdate)}
    assert len(told) == NODES


def test_an_anchor_answers_for_a_session_that_it_did_not_take_up() -> None:
    store, given = given_by_lma()
    life = lma(store, 2 * SECOND)
    assert life.engine.restoring
    last = NODES - 1
    answer = life.ask(update(last, given[last], 5, 2 * SECOND, PROXY), ROUTERS[0])[0]
    assert answer.status == 0
    assert answer.first(HomeNetworkPrefix) == HomeNetworkPrefix.of(given[last])
    moved = life.ask(update(last - 1, ANY, 3, 2 * SECOND, PROXY), ROUTERS[1])[0]
    assert moved.first(HomeNetworkPrefix) == HomeNetworkPrefix.of(given[last - 1])
    refused = life.ask(update(0, given[last - 2], 5, 2 * SECOND, PROXY), ROUTERS[0])
    assert not [answer for answer in refused if answer.status == 0], "the prefix of another node"


@pytest.mark.parametrize("needs_all", [False, True])
def test_an_extension_says_whether_it_is_to_know_all_sessions_first(
    needs_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[int, bool]] = []

    class Told(LmaExtension):
        name = "told"

        def begin(self, record: bytes | None, lost: bool) -> None:
            begun.append((len(self._role.cache), lost))

    monkeypatch.setattr(Told, "needs_all", needs_all)
    store, given = given_by_lma()
    monkeypatch.setattr("sojourn.engines.lma.lma_extensions", lambda role: [Told(role)])
    life = lma(store, 2 * SECOND)
    assert begun == [(NODES if needs_all else 3, False)]
    assert life.engine.restoring is not needs_all
    last = NODES - 1
    assert life.ask(update(last, given[last], 5, 2 * SECOND, PROXY), ROUTERS[0])[0].status == 0
    life.complete()
    assert len(life.engine.show("sessions", life.now)) == NODES


def test_an_anchor_gives_no_prefix_before_it_knows_all_that_are_in_use() -> None:
    store, given = given_by_lma()
    life = lma(store, 2 * SECOND)
    assert life.ask(update(NODES, ANY, 4, 2 * SECOND, PROXY), ROUTERS[0]) == [], "its router will ask again"
    life.complete()
    life.now = 3 * SECOND
    home = life.ask(update(NODES, ANY, 4, 3 * SECOND, PROXY), ROUTERS[0])[0].first(HomeNetworkPrefix)
    assert home is not None
    assert home.prefix not in (*given, ANY)


def test_whoever_asks_for_all_sessions_gets_all() -> None:
    store, _ = given_by_lma()
    assert len(lma(store, 2 * SECOND).engine.show("sessions", 2 * SECOND)) == NODES
    assert len(cmd(registered_at_cmd(), 2 * SECOND).engine.show("sessions", 2 * SECOND)) == NODES


def test_what_the_kernel_has_beyond_is_removed_when_all_sessions_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = given_by_lma()
    finished: list[int] = []
    monkeypatch.setattr(MemoryDataplane, "finish", lambda plane: finished.append(len(plane.state.slots)) or [])
    life = lma(store, 2 * SECOND)
    life.slice()
    assert finished == []
    life.complete()
    assert finished == [NODES]


def test_a_record_that_is_not_ours_is_passed_over() -> None:
    store, given = given_by_lma()
    store.records[(NODES // 2).to_bytes(4, "big")] = b"?"
    life = lma(store, 2 * SECOND)
    life.complete()
    life.now = 3 * SECOND
    home = life.ask(update(NODES, ANY, 4, 3 * SECOND, PROXY), ROUTERS[0])[0].first(HomeNetworkPrefix)
    assert home is not None
    assert home.prefix not in given or home.prefix == given[NODES // 2 - 1]


@pytest.mark.parametrize(
    ("field", "torn"),
    [(0, b"\x20" * 15), (4, [[b"\x20" * 15, 64, ROUTERS[0]]]), (4, [[own(7, 0).address, 129, ROUTERS[0]]])],
)
def test_a_record_of_a_database_with_what_is_no_address_is_passed_over_and_reported(field: int, torn: object) -> None:
    store = registered_at_cmd()
    key = next(key for key in store.records if key.endswith((7).to_bytes(4, "big")))
    fields = msgspec.msgpack.decode(store.records[key])
    store.records[key] = msgspec.msgpack.encode([*fields[:field], torn, *fields[field + 1 :]])
    life = cmd(store, 2 * SECOND)
    life.complete()
    assert isinstance(life.engine, CentralMobilityDatabase)
    assert key not in life.engine.entries
    assert len(life.engine.entries) == NODES - 1
    assert life.driver.counters["reports:record-unreadable"] == 1


@pytest.mark.parametrize(
    ("field", "torn"),
    [(0, b""), (3, b"\x20" * 17), (5, []), (5, [[b"\x20" * 15, 64]]), (5, [[own(7, 0).address, 0]]), (9, b"\xfe\x80")],
)
def test_a_record_of_an_anchor_with_what_is_no_address_is_passed_over_and_reported(field: int, torn: object) -> None:
    store, _ = given_by_lma()
    key = (7).to_bytes(4, "big")
    fields = msgspec.msgpack.decode(store.records[key])
    store.records[key] = msgspec.msgpack.encode([*fields[:field], torn, *fields[field + 1 :]])
    life = lma(store, 2 * SECOND)
    life.complete()
    assert len(life.engine.show("sessions", life.now)) == NODES - 1
    assert life.driver.counters["reports:record-unreadable"] == 1


@pytest.mark.parametrize("role", ["cmd", "lma"])
def test_a_binding_that_nobody_refreshed_since_the_restart_ends(role: str) -> None:
    life = cmd(registered_at_cmd(), 2 * SECOND) if role == "cmd" else lma(given_by_lma()[0], 2 * SECOND)
    life.complete()
    life.now += 3 * HOUR
    life.driver.wake()
    assert life.engine.show("sessions", life.now) == []
