"""Every happening, message, event and effect of an episode as lines of text, for people who look for the cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass

from sim.happenings import Happening
from sim.stage import Stage
from sim.world import Machine
from sojourn.core.effects import Effect, SendMessage
from sojourn.core.events import Event, MessageReceived
from sojourn.wire.addresses import Prefix, text
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import SECOND, Duration, Instant
from support.transcript_words import describe, message_words


def readable(item: object) -> str:
    """Events and effects without words of their own, with addresses as people write them."""
    if not is_dataclass(item) or isinstance(item, Prefix):
        return text(item) if isinstance(item, bytes) and len(item) == 16 else str(item)
    values = (f"{field.name}={readable(value)}" for field in fields(item) if (value := getattr(item, field.name)))
    return f"{type(item).__name__}({', '.join(values)})"


class Trace:
    """Writes lines with `write` while `stage` plays."""

    def __init__(self, stage: Stage, write: Callable[[str], None]) -> None:
        self._stage, self._write = stage, write
        stage.before = self._on_happening
        network = stage.world.network
        network.on_arrived.append(self._on_arrived)
        self._fate, network.fate = network.fate, self._on_fate
        for machine in stage.world.machines.values():
            machine.record = self._recorder

    def _line(self, who: str, words: str) -> None:
        self._write(f"{self._stage.world.now / SECOND:11.6f} {who:<5} {words}")

    def _on_happening(self, number: int, happening: Happening) -> None:
        self._line("", f"--- {number}: {happening}")

    def _on_fate(self, sender: str, receiver: str, message: MobilityMessage | None) -> Sequence[Duration]:
        fate = self._fate(sender, receiver, message)
        words = "a packet" if message is None else message_words(message)
        if not fate:
            self._line(sender, f"  LOST on its way to {receiver}: {words}")
        elif len(fate) > 1:
            self._line(sender, f"  {len(fate)} TIMES to {receiver}: {words}")
        return fate

    def _on_arrived(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        machine = self._stage.world.machines[receiver]
        note = "" if machine.driver is not None else " (nobody is there)"
        self._line(receiver, f"<- {sender}: {message_words(message)}{note}")

    def _recorder(self, machine: Machine) -> Callable[[Instant, Event | Effect | None], None]:
        def record(now: Instant, item: Event | Effect | None) -> None:
            if isinstance(item, MessageReceived):
                return  # told when it arrived
            if item is None:
                self._line(machine.name, "time passed")
            elif isinstance(item, SendMessage):
                to = self._stage.world.network.names.get(item.destination, item.destination.hex())
                self._line(machine.name, f"  -> {to}: {message_words(item.message)}")
            elif isinstance(item, Event):
                self._line(machine.name, readable(item))
            else:
                self._line(machine.name, f"  {describe(item) or readable(item)}")

        return record
