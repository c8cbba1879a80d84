"""Messages that nobody sends who means well: every type, with random and with half-plausible fields and options."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from sojourn.wire import (
    MESSAGES,
    AccessTechnologyType,
    AlternateCareOfAddress,
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    DecodeError,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    EncodeError,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    LocalPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Timestamp,
    UnknownOption,
    VendorSpecific,
    decode,
    encode,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import SECOND, ticks
from support.domain import CMD, EPOCH, HOSTS, Domain, pool, router


class Malice(ABC):
    """A seeded source of messages; whose addresses and prefixes are plausible is for those who inherit."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._options: list[Callable[[], MobilityOption]] = [
            lambda: MobileNodeIdentifier(5, self.host()),
            lambda: MobileNodeIdentifier(self.dice.randrange(256), self.octets(40)),
            lambda: HomeNetworkPrefix.of(self.prefix()),
            lambda: HandoffIndicator(self.dice.choice([0, 1, 2, 3, 4, 5, 255])),
            lambda: AccessTechnologyType(self.dice.randrange(256)),
            lambda: MobileNodeLinkLayerIdentifier(self.dice.choice([self.host(), self.octets(9)])),
            lambda: LinkLocalAddress(self.address()),
            lambda: Timestamp(self.timestamp()),
            lambda: VendorSpecific(self.dice.randrange(1 << 32), 1, self.octets(30)),
            lambda: AnchoredPrefix.of(self.prefix()),
            lambda: LocalPrefix.of(self.prefix()),
            lambda: PreviousMaar.of(self.prefix(), self.address()),
            lambda: ServingMaar(self.address()),
            lambda: DlifLinkLocalAddress(self.address()),
            lambda: DlifLinkLayerAddress(self.octets(9)),
            lambda: AlternateCareOfAddress(self.address()),
            lambda: UnknownOption(self.dice.randrange(71, 256), self.octets(40)),
        ]

    def message(self) -> MobilityMessage:
        """One that decodes."""
        while True:
            try:
                octets = bytes(encode(self._plausible())) if self.dice.random() < 0.8 else self._noise()
                return decode(octets)
            except (DecodeError, EncodeError):
                continue

    @abstractmethod
    def source(self) -> Address:
        """Somebody known, or anybody."""

    @abstractmethod
    def prefix(self) -> Prefix:
        """Of a pool, a whole pool, everything, or nonsense."""

    @abstractmethod
    def address(self) -> Address:
        """Of somebody known, or nonsense."""

    @abstractmethod
    def timestamp(self) -> int:
        """Now, of a session that exists, or nonsense."""

    def _plausible(self) -> MobilityMessage:
        dice = self.dice
        options = tuple(dice.choice(self._options)() for _ in range(dice.choice([0, 3, 8, 30])))
        if dice.random() < 0.7:
            options = (*(self._options[index]() for index in (0, 2, 3, 4, 7)), *options)
        sequence = dice.choice([0, 1, 2, 3, 1024, 1025, 0xFFFF, dice.randrange(1 << 16)])
        lifetime = dice.choice([0, 4, 300, 4 * 0xFFFF]) * SECOND
        kind = dice.randrange(10)
        if kind < 5:
            flags = dice.choice([0x8210, 0x8210, 0x8200, dice.randrange(1 << 16)])
            return BindingUpdate(sequence, flags, lifetime, options)
        if kind < 8:
            status = dice.choice([0, 0, 1, 128, 129, 130, 135, 152, 154, 155, 156, 157, dice.randrange(256)])
            return BindingAcknowledgement(
                status, dice.choice([0x22, 0x20, dice.randrange(256)]), sequence, lifetime, options
            )
        if kind == 8:
            return BindingRefreshRequest(options)
        return BindingError(dice.randrange(256), self.address(), options)

    def _noise(self) -> bytes:
        """A header of any type over random octets."""
        length = self.dice.randrange(0, 12)
        number = self.dice.choice([*MESSAGES, self.dice.randrange(256)])
        return bytes((59, length, number, 0, 0, 0)) + self.dice.randbytes(8 * length + 2)

    def host(self) -> bytes:
        """One of a few, or an invented one."""
        hosts = list(HOSTS.values())[:6]
        return self.dice.choice([*hosts, b"\x02" + self.dice.randbytes(5)])

    def octets(self, most: int) -> bytes:
        """Up to `most` random octets."""
        return self.dice.randbytes(self.dice.randrange(most + 1))


class Attacker(Malice):
    """Against a domain of RFC 8885."""

    def __init__(self, seed: int, domain: Domain) -> None:
        super().__init__(seed)
        self.domain = domain

    def source(self) -> Address:
        """Somebody known, or anybody."""
        known = [CMD, *(router(number) for number in self.domain.numbers)]
        return self.dice.choice([*known, self.dice.randbytes(16)])

    def prefix(self) -> Prefix:
        """Of a pool, a whole pool, everything, or nonsense."""
        dice = self.dice
        number = dice.choice(list(self.domain.numbers))
        return dice.choice(
            [
                pool(number).subnet(dice.randrange(6), 64),
                pool(number).subnet(dice.randrange(1 << 16), 64),
                pool(number),
                ANY,
                Prefix.of(dice.randbytes(16), dice.randrange(129)),
            ]
        )

    def address(self) -> Address:
        """A router's, the CMD's, or nonsense."""
        dice = self.dice
        known = [router(number) for number in self.domain.numbers]
        return dice.choice([*known, CMD, bytes(16), b"\xff" * 16, b"\xfe\x80" + dice.randbytes(14), dice.randbytes(16)])

    def timestamp(self) -> int:
        """Now, of a session that exists, or nonsense."""
        dice = self.dice
        now = ticks(EPOCH + self.domain.now)
        known = [
            session.attached
            for name in self.domain.names.values()
            if name != "cmd"
            for session in self.domain.maar(name).sessions.values()
        ]
        return dice.choice([now, now + dice.randrange(-70_000, 70_000), *known[:4], dice.randrange(1 << 64), 0])


def mutated(dice: random.Random, samples: Sequence[bytes], count: int) -> Iterator[MobilityMessage]:
    """`count` of the samples with some octets changed, of which those that still decode."""
    for _ in range(count):
        octets = bytearray(dice.choice(samples))
        for _ in range(dice.randrange(1, 6)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        try:
            yield decode(bytes(octets))
        except DecodeError:
            continue
