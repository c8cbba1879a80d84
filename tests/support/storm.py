"""A storm of random messages to engines that also have work to do; limits are for those who inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sojourn.core.events import MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.wire import MobilityMessage, encode
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND
from support.hostile import Malice
from support.table import HOSTS, Table

_HOSTS = ("mn1", "mn2", "mn3")


class Storm(ABC):
    """One seed: `anchor` is the one who answers strangers, `routers` have access links."""

    def __init__(self, domain: Table, attacker: Malice, anchor: str, routers: tuple[str, ...]) -> None:
        self._table, self._malice, self._anchor, self._routers = domain, attacker, anchor, routers
        self._addresses = {name: address for address, name in domain.names.items()}
        self.answered: list[tuple[int, int]] = []
        """When a stranger was answered, and by how many octets more than it sent."""

    @abstractmethod
    def check(self) -> None:
        """The limits hold."""

    def run(self, count: int) -> None:
        """`count` messages, some time, some nodes."""
        dice, domain = self._malice.dice, self._table
        for _ in range(count):
            self.send(dice.choice([self._anchor, *self._routers]), self._malice.source(), self._malice.message())
            self.check()
            if dice.random() < 0.1:
                domain.event(dice.choice(self._routers), self._event(dice.choice(_HOSTS)))
            if dice.random() < 0.2:
                domain.run(dice.choice([MILLISECOND, 300 * MILLISECOND, 5 * SECOND]))
                domain.effects.clear()

    def _event(self, host: str) -> NodeSeen | NodeDetached:
        dice = self._malice.dice
        if dice.random() < 0.4:
            return NodeDetached("acc0", HOSTS[host])
        return NodeSeen("acc0", HOSTS[host], dice.choice(list(Sighting)))

    def send(self, name: str, source: Address, message: MobilityMessage) -> None:
        """A message, and what is answered to somebody unknown."""
        domain, own = self._table, self._addresses[name]
        domain.messages.clear()
        if source == own:
            return  # the host drops what claims to come from ourselves
        domain.event(name, MessageReceived(message, source, own))
        for _, sender, destination, answer in domain.messages:
            if destination == source.hex():
                assert sender == self._anchor, "a router answers no stranger"
                self.answered.append((domain.now, len(encode(answer)) - len(encode(message))))

    def settle(self) -> None:
        """The storm is over, the nodes are gone, and time passes."""
        for name in self._routers:
            for host in _HOSTS:
                self._table.event(name, NodeDetached("acc0", HOSTS[host]))
        for _ in range(40):
            self._table.run(30 * SECOND)
