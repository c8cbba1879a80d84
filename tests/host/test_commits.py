"""A store elsewhere that is ours alone: forwarding follows at once, messages wait, and nobody else waits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from sojourn.core.effects import Effect, EnsureHold, SendMessage, StoreBinding, StoreEffect
from sojourn.core.events import Commanded, Event
from sojourn.host import commits, swaps
from sojourn.wire import BindingRefreshRequest
from sojourn.wire.addresses import address
from support.toy import Scripted, World

ONE, OTHER = address("2001:db8::1"), address("2001:db8::2")


class Elsewhere:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.asked: list[list[bytes]] = []
        self._done: deque[Callable[[], None]] = deque()

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        return []

    def commit(self, effects: Sequence[StoreEffect], done: Callable[[], None]) -> None:
        self.asked.append([effect.key for effect in effects])
        self._done.append(done)

    def answer(self) -> None:
        """The oldest question."""
        self._done.popleft()()

    @property
    def waits(self) -> int:
        return len(self._done)

    def close(self) -> None: ...


def react(event: Event, now: int) -> Sequence[Effect]:
    """``keep N``: stored, forwarded, answered. ``say N``: answered."""
    assert isinstance(event, Commanded)
    number = int(event.arguments["number"])
    said = SendMessage(BindingRefreshRequest(reserved=number), ONE, OTHER)
    if event.verb == "say":
        return [said]
    return [StoreBinding(b"%d" % number, b"record"), said, EnsureHold(number)]


def world() -> tuple[World, Elsewhere]:
    store = Elsewhere()
    made = World(Scripted(react), store)  # type: ignore[arg-type]
    made.driver.start()
    return made, store


def order(verb: str, *numbers: int) -> list[Event]:
    return [Commanded(verb, {"number": str(number)}) for number in numbers]


def said(made: World) -> list[int]:
    return [entry[1].reserved for entry in made.log if isinstance(entry, tuple) and entry[0] == "send"]


def held(made: World) -> list[int]:
    return [effect.slot for effect in made.log if isinstance(effect, EnsureHold)]


def test_forwarding_does_not_wait_and_messages_do() -> None:
    made, store = world()
    made.driver.dispatch(order("keep", 1))
    assert (held(made), said(made), store.asked) == ([1], [], [[b"1"]])
    assert made.driver.awaits_store
    store.answer()
    assert said(made) == [1]
    assert not made.driver.awaits_store


def test_what_comes_meanwhile_is_handled_at_once_and_is_one_batch() -> None:
    made, store = world()
    for number in range(1, 6):
        made.driver.dispatch(order("keep", number))
    assert held(made) == [1, 2, 3, 4, 5]
    assert store.asked == [[b"1"]]
    store.answer()
    assert said(made) == [1]
    assert store.asked == [[b"1"], [b"2", b"3", b"4", b"5"]]
    store.answer()
    assert said(made) == [1, 2, 3, 4, 5]


def test_the_last_word_on_a_key_goes_to_the_store() -> None:
    made, store = world()
    made.driver.dispatch(order("keep", 1))
    made.driver.dispatch(order("keep", 2, 2, 2))
    store.answer()
    assert store.asked == [[b"1"], [b"2"]]


def test_an_answer_of_which_nothing_is_stored_asks_whether_we_may_answer_at_all() -> None:
    made, store = world()
    made.driver.dispatch(order("say", 7))
    assert (said(made), store.asked) == ([], [[]])
    store.answer()
    assert said(made) == [7]


def test_several_batches_are_under_way_and_answers_are_in_the_order_of_what_happened() -> None:
    made, store = world()
    made.driver.dispatch(order("keep", 0))
    many = commits.WORTH
    for start in range(1, 1 + 5 * many, many):
        made.driver.dispatch(order("keep", *range(start, start + many)))
    assert store.waits == swaps.MOST
    assert said(made) == []
    for count in (1, 1 + many, 1 + 2 * many):
        store.answer()
        assert said(made) == list(range(count))
    assert len(store.asked) == swaps.MOST + 1, "what waited while all were under way is one batch"
    while store.waits:
        store.answer()
    assert said(made) == list(range(1 + 5 * many))


def test_a_key_is_in_several_batches_in_the_order_of_its_changes() -> None:
    made, store = world()
    for _ in range(3):
        made.driver.dispatch(order("keep", *range(commits.WORTH)))
    assert store.waits == 3
    store.answer()
    assert said(made) == list(range(commits.WORTH))


def test_a_store_that_never_answers_lets_nothing_out_and_costs_bounded_memory() -> None:
    made, store = world()
    made.driver.dispatch(order("keep", 0))
    under_way = 100 * (swaps.MOST - 1)
    for start in range(0, under_way + commits.MOST + 100, 100):
        made.driver.dispatch(order("say", *range(start, start + 100)))
    assert said(made) == []
    assert store.waits == swaps.MOST
    assert made.driver.counters["messages-dropped"] == 100
    while store.waits:
        store.answer()
    assert len(said(made)) == 1 + under_way + commits.MOST
    assert said(made)[1 + under_way] == under_way + 100, "the oldest are dropped"
