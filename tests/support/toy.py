"""An engine that does what a test tells it, and a world that writes down what reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sojourn.core.clock import Timers
from sojourn.core.effects import (
    AccessEffect,
    Advertise,
    AdvertisedPrefix,
    Effect,
    EnsureDelivery,
    EnsurePrefix,
    Report,
    SendMessage,
    StoreBinding,
)
from sojourn.core.engine import Row
from sojourn.core.events import EffectFailed, Event, MessageReceived, NodeSeen
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.host.driver import Driver
from sojourn.stores import MemoryStore, Store
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityMessage
from sojourn.wire.addresses import Address, address, link_layer, prefix
from sojourn.wire.units import SECOND, Instant

OURS, PEER = address("2001:db8::1"), address("2001:db8::2")
MAC = link_layer("02:00:00:00:00:01")
ROUTER_LINK_LOCAL, ROUTER = address("fe80::200:5eff:fe00:5213"), link_layer("00:00:5e:00:52:13")
PREFIX = prefix("2001:db8:f::/64")

Answer = Callable[[Event, Instant], Sequence[Effect]]


class Scripted:
    """Answers with what `answer` says; remembers what it was told."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer: Answer = answer or (lambda event, now: [])
        self.told: list[tuple[Instant, Event | None]] = []
        self.due: list[tuple[Instant, Sequence[Effect]]] = []
        self.restored: list[tuple[bytes, bytes]] = []
        self.at_restore: Sequence[Effect] = ()

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        self.told.append((now, event))
        return self.answer(event, now)

    def expire(self, now: Instant) -> Sequence[Effect]:
        self.told.append((now, None))
        effects = [effect for due, answer in self.due if due <= now for effect in answer]
        self.due = [entry for entry in self.due if entry[0] > now]
        return effects

    def deadline(self) -> Instant | None:
        return min((due for due, _ in self.due), default=None)

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        self.restored = list(records)
        return self.at_restore

    @property
    def restoring(self) -> bool:
        return False

    def show(self, topic: str, now: Instant) -> list[Row]:
        return []


class Echo:
    """A small role with all that a real one has: bindings, routes, timers, answers."""

    def __init__(self) -> None:
        self._timers: Timers[bytes] = Timers()
        self._slots: dict[bytes, int] = {}

    def handle(self, event: Event, now: Instant) -> Sequence[Effect]:
        match event:
            case MessageReceived(BindingUpdate() as update, source, destination):
                self._timers.start(source, now + update.lifetime)
                acknowledgement = BindingAcknowledgement(0, 0, update.sequence, update.lifetime, update.options)
                return [StoreBinding(source, b"bound"), SendMessage(acknowledgement, destination, source)]
            case NodeSeen():
                slot = self._slots.setdefault(event.link_layer, len(self._slots))
                advertised = (AdvertisedPrefix(PREFIX, 60 * SECOND, 120 * SECOND),)
                return [
                    EnsureDelivery(slot, event.interface, event.link_layer),
                    EnsurePrefix(PREFIX, slot),
                    Advertise(event.interface, event.link_layer, ROUTER_LINK_LOCAL, ROUTER, 60 * SECOND, advertised),
                ]
            case EffectFailed():
                return [Report("refused", {"error": event.error, "reason": event.reason})]
            case _:
                return []

    def expire(self, now: Instant) -> Sequence[Effect]:
        effects: list[Effect] = []
        while (name := self._timers.pop_due(now)) is not None:
            effects.append(Report("expired", {"peer": name.hex()}))
        return effects

    def deadline(self) -> Instant | None:
        return self._timers.deadline()

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> Sequence[Effect]:
        for key, _ in records:
            self._timers.start(key, now + 10 * SECOND)
        return []

    @property
    def restoring(self) -> bool:
        return False

    def show(self, topic: str, now: Instant) -> list[Row]:
        return []


class World:
    """A driver with fakes around it; `log` has, in order, all that reached the outside."""

    def __init__(self, engine: Scripted | Echo, store: Store | None = None, **more: object) -> None:
        self.log: list[object] = []
        self.now: Instant = 1_000 * SECOND
        self.armed: list[Instant | None] = []
        self.dataplane = LoggingDataplane(self.log)
        self.store = LoggingStore(self.log)
        self.driver = Driver(
            engine,
            self.dataplane,
            send=self.send,
            access=self.access,
            store=store or self.store,
            clock=lambda: self.now,
            wake_at=self.armed.append,
            **more,  # type: ignore[arg-type]
        )

    def send(self, message: MobilityMessage, source: Address, destination: Address) -> None:
        self.log.append(("send", message, source, destination))

    def access(self, effect: AccessEffect) -> None:
        self.log.append(effect)


class LoggingDataplane(MemoryDataplane):
    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self._log = log

    def apply(self, effect: object) -> None:
        super().apply(effect)  # type: ignore[arg-type]
        self._log.append(effect)

    def close(self) -> None:
        self._log.append("dataplane closed")


class LoggingStore(MemoryStore):
    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self._log = log

    def apply(self, effects: Sequence[object]) -> None:
        self._log.append(("commit", list(effects)))
        super().apply(effects)  # type: ignore[arg-type]

    def close(self) -> None:
        self._log.append("store closed")
