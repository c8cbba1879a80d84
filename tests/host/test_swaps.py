"""Batches on their way to a shared store: several at a time, as if it were one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sojourn.core.effects import Effect, EnsureHold, Report, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged, Commanded, Event
from sojourn.host.swaps import MOST, WORTH
from sojourn.wire.units import MILLISECOND, SECOND
from support.toy import Scripted, World

KEYS = [b"%d" % number for number in range(10 * WORTH)]


class Elsewhere:
    """A shared store that answers when it is told to."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.asked: list[tuple[list[bytes], Callable[[Sequence[BindingChanged]], None]]] = []
        """Swaps that wait: their keys, and whom to answer."""
        self.taken: list[bytes] = []
        """Keys about which it was asked whether what it told is news."""
        self.news = True

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        return []

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        keys = [effect.key for effect in effects]
        assert not any(key in others for others, _ in self.asked for key in keys), "a key is there once at a time"
        self.asked.append((keys, done))

    def answer(self, number: int, *overtaken: bytes) -> None:
        """To the swap of that number among those that wait."""
        self.asked.pop(number)[1]([BindingChanged(key, b"true", SECOND) for key in overtaken])

    def find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None: ...

    def watch(self, changed: Callable[[Sequence[BindingChanged]], None]) -> None: ...

    def take(self, changed: BindingChanged) -> bool:
        assert not any(changed.key in keys for keys, _ in self.asked), "nobody knows yet"
        self.taken.append(changed.key)
        return self.news

    def close(self) -> None: ...


def update(*keys: bytes) -> list[Event]:
    return [Commanded("update", (key.decode(),)) for key in keys]


def keep(event: Event, now: int) -> Sequence[Effect]:
    """Each update is stored, and answered with its number."""
    if isinstance(event, Commanded) and event.arguments:
        key = event.arguments[0].encode()
        return [StoreBinding(key, b"record"), EnsureHold(int(key))]
    return [] if isinstance(event, BindingChanged) else [EnsureHold(0)]


def world() -> tuple[World, Elsewhere]:
    store = Elsewhere()
    made = World(Scripted(keep), store)  # type: ignore[arg-type]
    made.driver.start()
    return made, store


def holds(made: World) -> list[int]:
    return [effect.slot for effect in made.log if isinstance(effect, EnsureHold)]


def test_many_updates_do_not_wait_for_those_that_are_at_the_store() -> None:
    made, store = world()
    made.driver.dispatch(update(KEYS[0]))
    for batch in range(1, 2 * MOST):
        made.driver.dispatch(update(*KEYS[batch * WORTH : (batch + 1) * WORTH]))
    assert [len(keys) for keys, _ in store.asked] == [1, *[WORTH] * (MOST - 1)]
    store.answer(0)
    assert len(store.asked[-1][0]) == MOST * WORTH, "whoever waited is one batch"


def test_few_updates_wait_for_each_other() -> None:
    """A batch costs two databases some work, however small it is."""
    made, store = world()
    for key in KEYS[:WORTH]:
        made.driver.dispatch(update(key))
    assert [len(keys) for keys, _ in store.asked] == [1]
    store.answer(0)
    assert [len(keys) for keys, _ in store.asked] == [WORTH - 1]


def test_answers_come_in_the_order_of_what_happened_whoever_was_answered_first() -> None:
    made, store = world()
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch(update(*KEYS[2 : 2 + WORTH]))
    store.answer(1)
    assert holds(made) == []
    store.answer(0)
    assert holds(made) == list(range(1, 2 + WORTH))


def test_a_change_waits_for_the_one_before_of_the_same_key() -> None:
    made, store = world()
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch(update(*KEYS[1 : 1 + WORTH]))
    assert [keys for keys, _ in store.asked] == [[KEYS[1]]]
    store.answer(0)
    assert [keys for keys, _ in store.asked] == [KEYS[1 : 1 + WORTH]]


def test_everything_that_was_made_of_what_is_not_true_is_void() -> None:
    """Also what another batch made of it meanwhile, and nothing else; then it is handled again, in order."""
    made, store = world()
    engine = made.driver.engine
    assert isinstance(engine, Scripted)
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch(update(*KEYS[1 : 1 + WORTH]))
    engine.told.clear()
    store.answer(0, KEYS[1])
    assert holds(made) == []
    again = [KEYS[1]] * 2
    assert [keys for keys, _ in store.asked] == [KEYS[2 : 1 + WORTH], again], "what is void is not asked for"
    assert [event for _, event in engine.told] == [BindingChanged(KEYS[1], b"true", SECOND), *2 * update(KEYS[1])]
    store.answer(0)
    store.answer(0)
    assert holds(made) == [*range(2, 1 + WORTH), 1, 1]
    assert made.driver.counters["overtaken"] == 2


def test_time_passes_when_nothing_is_under_way() -> None:
    """What an engine repeats by itself must not be made of what the store may refuse."""
    made, store = world()
    engine = made.driver.engine
    assert isinstance(engine, Scripted)
    made.driver.dispatch(update(KEYS[1]))
    engine.due = [(made.now + MILLISECOND, [Report("due", {})])]
    made.now += MILLISECOND
    made.driver.wake()
    made.driver.dispatch(update(*KEYS[2 : 2 + WORTH]))
    assert [event for _, event in engine.told] == update(KEYS[1])
    store.answer(0)
    assert [event for _, event in engine.told] == [*update(KEYS[1]), None, *update(*KEYS[2 : 2 + WORTH])]
    assert made.driver.counters["Report"] == 1


def test_an_answer_that_changes_nothing_keeps_its_place() -> None:
    made, store = world()
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch([Commanded("ask", ())] * WORTH)
    assert holds(made) == []
    store.answer(0)
    assert holds(made) == [1, *[0] * WORTH]


def test_all_that_is_true_is_told_before_anything_is_handled_again() -> None:
    """What a first batch left to be handled again was made without the news of a second one, which the store took for
    known: so it replaced what another process had written.
    """
    handled: list[Event] = []

    def noted(event: Event, now: int) -> Sequence[Effect]:
        handled.append(event)
        return keep(event, now)

    store = Elsewhere()
    made = World(Scripted(noted), store)  # type: ignore[arg-type]
    made.driver.start()
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch(update(*KEYS[2 : 2 + WORTH]))
    store.answer(1, KEYS[2])
    handled.clear()
    store.answer(0, KEYS[1])
    kinds = [type(event) for event in handled]
    assert kinds == [BindingChanged, BindingChanged, BindingChanged, Commanded, Commanded]
    forgotten, *told = (event for event in handled if isinstance(event, BindingChanged))
    assert (forgotten.key, forgotten.record) == (KEYS[2], b""), "nothing is made of it when the first is told"
    assert [(event.key, event.record) for event in told] == [(KEYS[1], b"true"), (KEYS[2], b"true")]


def test_what_is_told_of_a_key_that_is_under_way_waits_until_it_is_not() -> None:
    """Whether it is news is known then; and if it is, nobody tells it again."""
    made, store = world()
    engine = made.driver.engine
    assert isinstance(engine, Scripted)
    told = BindingChanged(KEYS[1], b"", 0, 7)
    made.driver.dispatch(update(KEYS[1]))
    made.driver.dispatch([told, *update(*KEYS[2 : 2 + WORTH], KEYS[1]), told])
    assert store.taken == []
    store.answer(0)
    assert store.taken == [], "the second update of it is under way now"
    store.answer(0)
    assert store.taken == [KEYS[1]]
    assert [event for _, event in engine.told] == [*update(*KEYS[1 : 2 + WORTH], KEYS[1]), told]
    store.news = False
    made.driver.dispatch([*update(KEYS[3]), BindingChanged(KEYS[3], b"", 0, 7)])
    store.answer(0)
    assert store.taken == [KEYS[1], KEYS[3]]
    assert engine.told[-1][1] == update(KEYS[3])[0]
    assert not made.driver.awaits_store


def test_what_the_store_told_is_not_told_again_when_the_answer_to_it_is_void() -> None:
    """Meanwhile the engine may have changed that key itself: it took the old record for the latest, and stored it."""
    handled: list[Event] = []

    def noted(event: Event, now: int) -> Sequence[Effect]:
        handled.append(event)
        return [StoreBinding(KEYS[2], b"record")] if event == told else keep(event, now)

    store = Elsewhere()
    made = World(Scripted(noted), store)  # type: ignore[arg-type]
    made.driver.start()
    told = BindingChanged(KEYS[1], b"true", SECOND)
    made.driver.dispatch(update(KEYS[1]))
    store.answer(0, KEYS[1])
    handled.clear()
    store.answer(0, KEYS[2])
    assert [event.key for event in handled if isinstance(event, BindingChanged)] == [KEYS[2]]
