"""Messages of people who mean no good, for a domain of RFC 5213."""

from __future__ import annotations

from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import ticks
from support.hostile import Malice
from support.pmip import HOME, LMA, ProxyDomain, gateway, home
from support.table import EPOCH


class ProxyAttacker(Malice):
    """Knows the addresses of LMA and MAGs, the pool, and the time."""

    def __init__(self, seed: int, domain: ProxyDomain) -> None:
        super().__init__(seed)
        self.domain = domain

    def source(self) -> Address:
        """The LMA, a MAG, or anybody."""
        known = [LMA, *(gateway(number) for number in self.domain.numbers)]
        return self.dice.choice([*known, self.dice.randbytes(16)])

    def prefix(self) -> Prefix:
        """Of the pool, the whole pool, everything, or nonsense."""
        dice = self.dice
        nonsense = Prefix.of(dice.randbytes(16), dice.randrange(129))
        return dice.choice([home(dice.randrange(6)), HOME.subnet(dice.randrange(1 << 16), 64), HOME, ANY, nonsense])

    def address(self) -> Address:
        """A MAG's, the LMA's, or nonsense."""
        dice = self.dice
        known = [gateway(number) for number in self.domain.numbers]
        return dice.choice([*known, LMA, bytes(16), b"\xff" * 16, b"\xfe\x80" + dice.randbytes(14), dice.randbytes(16)])

    def timestamp(self) -> int:
        """Now, about now, of a session that exists, or nonsense."""
        dice = self.dice
        now = ticks(EPOCH + self.domain.now)
        known = [entry.timestamp for entry in self.domain.lma.cache]
        return dice.choice([now, now + dice.randrange(-70_000, 70_000), *known[:4], dice.randrange(1 << 64), 0])
