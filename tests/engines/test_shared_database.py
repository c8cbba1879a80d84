"""Several CMDs on one store: each answers for any node, none is needed, and nobody hears of what turned out wrong."""

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import EnsureTunnel, ProbeNode
from sojourn.core.events import BindingChanged, Commanded, NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.wire import AnchoredPrefix, BindingAcknowledgement, BindingUpdate, PreviousMaar
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import HOSTS, Domain, node, pool, router
from support.marks import first_is_quick
from support.messages import answers, pbu, stamp, updates

NAMES = ("cmd", "cmd2", "cmd3")


def domain(mode: Mode = Mode.PROXY, maars: int = 3, **settings: object) -> Domain:
    return Domain(mode, maars, cmds=3, **settings)  # type: ignore[arg-type]


def kept(each: Domain, host: str) -> BindingCacheEntry | None:
    """What the store has of `host`."""
    record = each.store.kept.get(node(host))
    return None if record is None else BindingCacheEntry.restored(node(host), record.record, each.now)


def answered_by(each: Domain, receiver: str) -> list[str]:
    return [
        source
        for source, destination, _ in each.sent(BindingAcknowledgement)
        if destination == receiver and source in NAMES
    ]


def only(each: Domain, name: str) -> None:
    """From now on routers ask `name`."""
    where = each.databases[name]
    for machine in each.routers:
        machine.engine.databases._chosen = lambda node, now, new: where


@pytest.mark.parametrize("mode", CENTRAL)
def test_a_handover_at_a_cmd_that_never_heard_of_the_node(mode: Mode) -> None:
    """It takes the node for new, its store knows better, and what leaves is the answer that is right."""
    each = domain(mode)
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    own = each.own("ar1", "mn1")
    only(each, "cmd2")
    each.clear()
    each.roam("mn1", "ar1", "ar2")
    told = [answer for answer in answers(each, "ar2") if answer.all(PreviousMaar) or mode is Mode.LOCATOR]
    assert told, "the anchor of its first prefix is known"
    assert not [answer for answer in answers(each, "ar2") if answer.status], "nobody heard of the first attempt"
    assert each.members["cmd2"].driver.counters["overtaken"] == 1
    assert own in each.maar("ar2").sessions[node("mn1")].anchored
    assert each.maar("ar1").sessions[node("mn1")].serving == router(2)
    entry = kept(each, "mn1")
    assert entry is not None
    assert entry.serving == router(2)
    assert not each.members["cmd"].engine.entries, "who held it lets go"


@pytest.mark.parametrize("first", ["cmd", "cmd2"])
def test_two_cmds_are_asked_at_once_and_the_later_attachment_wins(first: str) -> None:
    each = domain()
    second = "cmd2" if first == "cmd" else "cmd"
    earlier = pbu(each, pool(1).subnet(7, 64), timestamp=stamp(each, -10 * MILLISECOND))
    each.inject(router(2), second, pbu(each, pool(2).subnet(7, 64)))
    each.inject(router(1), first, earlier)
    each.run(3 * MILLISECOND)
    entry = kept(each, "mn1")
    assert entry is not None
    assert entry.serving == router(2)
    assert [answer.status for answer in answers(each, "ar1") if answer.status] == [157]
    assert next(answer.status for answer in answers(each, "ar2")) == 0


def test_who_is_deregistered_at_a_cmd_that_does_not_know_it_is_gone_everywhere() -> None:
    each = domain()
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    each.clear()
    each.inject(router(1), "cmd3", pbu(each, lifetime=0))
    each.run(3 * MILLISECOND)
    (answer,) = answers(each, "ar1")
    assert (answer.status, answer.lifetime) == (0, 0)
    assert kept(each, "mn1") is None
    each.run(50 * MILLISECOND)
    assert not each.members["cmd3"].engine.entries


def test_a_router_that_is_late_is_told_by_any_cmd_where_the_node_is() -> None:
    each = domain()
    only(each, "cmd")
    each.attach("mn1", "ar2")
    each.run(100 * MILLISECOND)
    late = pbu(each, timestamp=stamp(each, -2 * SECOND))
    each.clear()
    each.inject(router(1), "cmd2", late)
    each.run(100 * MILLISECOND)
    (answer,) = answers(each, "ar1")
    assert answer.status == 157
    assert updates(each, "cmd2", "ar1"), "it believes that the node is there"


def test_a_cmd_that_does_not_answer_is_passed_over() -> None:
    each = domain()
    only_first = each.databases["cmd"]
    asked = [host for host in (f"mn{n}" for n in range(1, 60)) if _first(each, host) == only_first][:3]
    assert len(asked) == 3
    each.crash("cmd")
    each.clear()
    each.attach(asked[0], "ar1")
    each.run(SECOND)
    assert answered_by(each, "ar1"), "another one answered"
    each.clear()
    each.attach(asked[1], "ar1")
    each.run(100 * MILLISECOND)
    assert answered_by(each, "ar1"), "one repetition is what it costs"
    each.restart("cmd", store=True)
    each.run(each.maar_configurations["ar1"].lifetime)  # it began without memory, and stays so long with who had it
    each.clear()
    each.attach(asked[2], "ar1")
    each.run(SECOND)
    assert answered_by(each, "ar1")[:1] == ["cmd"], "it is asked again when it is back"


def _first(each: Domain, host: str) -> bytes:
    databases = each.maar("ar1").databases
    assert databases is not None
    return databases._chosen(node(host), each.now, new=False)


def test_a_binding_of_a_cmd_that_died_ends_at_another_one() -> None:
    each = domain(lifetime=20 * SECOND)
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.attach("mn2", "ar2")
    each.run(100 * MILLISECOND)
    each.roam("mn1", "ar1", "ar2")
    each.crash("cmd")
    each.crash("ar2")
    for _ in range(6):
        each.run(10 * SECOND)
        each.store.sweep(5 * SECOND)
    assert not each.store.kept, "nobody refreshed them"


def test_a_store_that_does_not_answer_delays_and_loses_nothing() -> None:
    each = domain()
    for name in NAMES:
        each.members[name].refuses = lambda effect: effect is None
    for number in range(1, 8):
        each.attach(f"mn{number}", "ar1")
    each.run(3 * SECOND)
    assert not answers(each, "ar1"), "what is not safe is not answered"
    assert not each.store.kept
    for name in NAMES:
        each.members[name].refuses = None
    each.run(40 * SECOND)
    assert len(each.store.kept) == 7
    assert all(session.confirmed for session in each.maar("ar1").sessions.values())


def test_a_router_without_memory_is_told_by_one_cmd_what_all_of_them_know() -> None:
    each = domain()
    hosts = [f"mn{number}" for number in range(1, 13)]
    for host in hosts:
        each.attach(host, "ar1")
    each.run(200 * MILLISECOND)
    for host in hosts:
        each.roam(host, "ar1", "ar2")
    each.restart("ar1", store=False)
    each.run(20 * SECOND)
    assert {host for host in hosts if each.session("ar1", host)} == set(hosts)


@pytest.mark.parametrize("seed", first_is_quick(range(12)))
def test_nodes_roam_while_cmds_die_and_everything_is_right_in_the_end(seed: int) -> None:
    dice = random.Random(seed)
    each = domain(dice.choice(CENTRAL), 4, lifetime=60 * SECOND)
    places: dict[str, str] = {}

    def show_up(name: str, probe: ProbeNode) -> None:
        if any(HOSTS[host] == probe.link_layer and where == name for host, where in places.items()):
            each.later(MILLISECOND, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR))

    each.on_probe = show_up
    for _ in range(60):
        host = f"mn{dice.randint(1, 6)}"
        where = f"ar{dice.randint(1, 4)}"
        if host in places and places[host] != where:
            each.detach(host, places[host])
        if places.get(host) != where:
            each.attach(host, where)
            places[host] = where
        if dice.random() < 0.15:
            name = dice.choice(NAMES)
            if each.members[name].driver is None:
                each.members[name].start()
            elif sum(each.members[other].driver is not None for other in NAMES) > 1:
                each.crash(name)
        each.run(dice.choice((0, 1, 5, 200, 2000)) * MILLISECOND)
    for name in NAMES:
        if each.members[name].driver is None:
            each.members[name].start()
    for _ in range(20):
        each.run(5 * SECOND)
        each.store.sweep(5 * SECOND)
    for host, where in places.items():
        entry = kept(each, host)
        assert entry is not None
        assert entry.serving == each.members[where].address, f"{host} is at {where}"
        session = each.session(where, host)
        assert session is not None
        assert session.confirmed
        for prefix, anchor in entry.previous():
            assert prefix in session.anchored
            other = each.maar(each.names[anchor]).sessions[node(host)]
            assert other.serving == entry.serving


def test_a_notice_that_waited_while_its_cmd_changed_the_same_node_makes_it_forget_nothing() -> None:
    """Found by the simulation: the CMD took the node for new then, and its anchors were lost."""
    each = domain()
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    view = each.members["cmd"]._view
    assert view is not None
    stale = BindingChanged(node("mn1"), b"", 0, seen=view._seen[node("mn1")] - 1)
    each.event("cmd", stale)
    own = each.own("ar1", "mn1")
    each.roam("mn1", "ar1", "ar2")
    entry = kept(each, "mn1")
    assert entry is not None
    assert {maar for _, maar in entry.anchors} == {router(1), router(2)}
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


def test_a_router_without_memory_gives_nobody_what_a_node_of_another_cmd_has() -> None:
    """It registered a new node before it was told what it anchors, with a CMD that had never heard of the other one."""
    each = domain(lifetime=60 * SECOND)
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    own = each.own("ar1", "mn1")
    each.roam("mn1", "ar1", "ar2", SECOND)
    other = next(host for host in (f"mn{n}" for n in range(2, 60)) if _first(each, host) != _first(each, "mn1"))
    each.crash("ar1")
    each.restart("ar1", store=False)
    each.lose = lambda source, destination, message: destination == "ar1" and isinstance(message, BindingUpdate)
    each.attach(other, "ar1")
    each.run(SECOND)
    each.lose = lambda source, destination, message: False
    each.run(2 * SECOND)
    assert each.own("ar1", other) != own
    assert own in each.maar("ar2").sessions[node("mn1")].anchored


def test_of_two_nodes_with_one_prefix_the_anchor_says_which_has_it() -> None:
    """Its disk had lost a node, so that it did not know that it forgot; each CMD knew one of them."""
    each = domain(lifetime=60 * SECOND)
    each.attach("mn3", "ar1")
    each.run(100 * MILLISECOND)
    before = dict(each.members["ar1"].store)
    each.attach("mn1", "ar1")
    only(each, "cmd2")
    each.run(100 * MILLISECOND)
    own = each.own("ar1", "mn1")
    each.roam("mn1", "ar1", "ar2", SECOND)
    each.crash("ar1")
    each.members["ar1"].store.clear()
    each.members["ar1"].store.update(before)
    each.restart("ar1", store=True)
    only(each, "cmd")
    each.attach("mn2", "ar1")
    each.run(SECOND)
    assert each.own("ar1", "mn2") == own
    each.event("ar2", Commanded("refresh"))  # with the CMD that has the other one
    each.run(3 * SECOND)
    assert each.own("ar1", "mn2") == own
    assert own not in each.maar("ar2").sessions[node("mn1")].anchored
    entry = kept(each, "mn1")
    assert entry is not None
    assert entry.anchor_of(own) is None
    assert not each.cmd._twice


def test_a_prefix_that_another_cmd_learnt_late_is_told_to_who_serves_the_node() -> None:
    """The first CMD had stored it and did not come to say so; the second one found nothing that it did not know."""
    each = domain()
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    late = pbu(each, pool(2).subnet(7, 64), timestamp=each.maar("ar1").sessions[node("mn1")].attached - 1)
    each.inject(router(2), "cmd", late)
    each.run(100 * MILLISECOND)
    each.clear()
    each.inject(router(2), "cmd2", late)
    each.run(100 * MILLISECOND)
    told = [one.prefix for answer in answers(each, "ar1") for one in answer.all(PreviousMaar)]
    assert told == [pool(2).subnet(7, 64)]


def _dead_after(each: Domain, delay: int, host: str, old: str, new: str, lost: tuple[str, ...]) -> None:
    """`host` moves, what the first CMD says to `lost` is lost, and it dies after `delay`; the next one is up."""
    each.lose = lambda source, destination, message: source == "cmd" and destination in lost
    each.roam(host, old, new, delay)
    each.crash("cmd")
    only(each, "cmd2")
    each.clear()


def test_who_takes_over_a_node_that_came_back_tells_the_anchors_that_were_not_told() -> None:
    """It found the node where it was, and took it for granted that the anchors know that (`cluster` 392)."""
    each = domain()
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    own = each.own("ar1", "mn1")
    _dead_after(each, 20 * MILLISECOND, "mn1", "ar1", "ar2", ("ar1", "ar2"))
    each.detach("mn1", "ar2")
    each.attach("mn1", "ar2")
    each.run(20 * MILLISECOND)
    assert each.plane("ar1").way(own) == EnsureTunnel(each.maar("ar1").sessions[node("mn1")].slot, router(2))
    entry = kept(each, "mn1")
    assert entry is not None
    assert not entry.untold


@pytest.mark.parametrize(("mode", "lifetime"), [(Mode.PROXY, 300 * SECOND), (Mode.RELAY, 0)])
def test_what_a_cmd_did_not_come_to_say_is_said_with_what_another_one_says(mode: Mode, lifetime: int) -> None:
    """Of two anchors the serving MAAR heard of one, and took that for the answer to its update (`cluster` 365).

    The router before, which is late, registers the node, or asks whether it is still there.
    """
    each = domain(mode, cmd={"warm_up": 0})
    only(each, "cmd")
    each.attach("mn1", "ar1")
    each.run(100 * MILLISECOND)
    each.roam("mn1", "ar1", "ar2", SECOND)
    theirs = {each.own("ar1", "mn1"), each.own("ar2", "mn1")}
    _dead_after(each, 20 * MILLISECOND, "mn1", "ar2", "ar3", ("ar3",))
    earlier = each.maar("ar3").sessions[node("mn1")].attached - 1
    each.inject(router(2), "cmd2", pbu(each, each.own("ar2", "mn1"), lifetime=lifetime, timestamp=earlier))
    each.run(20 * MILLISECOND)
    assert set(each.maar("ar3").sessions[node("mn1")].anchored) == theirs


def test_of_two_nodes_that_were_known_wrongly_neither_is_stored_as_it_was() -> None:
    """The news about the first had the old story of the second told and stored: the store took the second for known,
    and its news came next (`cluster` 131474).
    """
    each = domain()
    each.store.notify = lambda key, by: None  # type: ignore[method-assign]
    first = pool(1).subnet(7, 64)

    def said(router_number: int, name: str, update: BindingUpdate) -> None:
        each.inject(router(router_number), name, update)
        each.run(20 * MILLISECOND)

    said(1, "cmd", pbu(each, first))
    said(2, "cmd", pbu(each, pool(2).subnet(7, 64)))
    said(3, "cmd2", pbu(each, pool(3).subnet(7, 64)))
    said(1, "cmd2", pbu(each, first, lifetime=0, more=(AnchoredPrefix.of(first),)))
    said(1, "cmd2", pbu(each, first, host="mn2"))
    before = kept(each, "mn1")
    assert before is not None
    assert before.anchor_of(first) is None
    assert each.cmd.entries[node("mn1")].anchor_of(first) == router(1), "nobody told the other one"
    each.inject(router(2), "cmd", pbu(each, host="mn3"))  # what comes while this is at the store goes there together
    each.inject(router(2), "cmd", pbu(each, host="mn2", lifetime=0))
    each.inject(router(3), "cmd", pbu(each, host="mn1", lifetime=0, timestamp=before.timestamp - 1))
    each.run(100 * MILLISECOND)
    after = kept(each, "mn1")
    assert after is not None
    assert (after.serving, after.anchors) == (before.serving, before.anchors)
