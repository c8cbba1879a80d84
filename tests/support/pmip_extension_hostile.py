"""Messages of extensions of LMA and MAG that nobody sends who means well."""

from __future__ import annotations

from sojourn.wire import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    Heartbeat,
    MobileNodeIdentifier,
    MobilityMessage,
    RestartCounter,
)
from sojourn.wire.extensions.rfc6463 import Redirect, RedirectCapability
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.extensions.rfc6757 import AccessNetworkIdentifier, GeoLocation, NetworkIdentifier, OperatorIdentifier
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.extensions.rfc7222 import PerSessionAggMaxDlBitRate, QosVendorSpecificAttribute, QualityOfService
from sojourn.wire.extensions.rfc8127 import BindingReregistrationControl, HeartbeatControl, LmaControlledMagParameters
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain
from support.pmip_hostile import ProxyAttacker


class ExtensionAttacker(ProxyAttacker):
    """Knows which sequence numbers are likely, too."""

    def __init__(self, seed: int, domain: ProxyDomain) -> None:
        super().__init__(seed, domain)
        dice = self.dice
        self._options += [
            lambda: MobileNodeIdentifier(1, dice.choice([b"mag1@example.net", b"@example.net", b"@", b"mn@x", b""])),
            lambda: RestartCounter(dice.randrange(1 << 32)),
            lambda: MobileNodeGroupIdentifier(1, dice.choice([0, 1, 2])),
            lambda: RedirectCapability(),
            lambda: Redirect.of(self.address()),
            lambda: AccessNetworkIdentifier(
                (
                    NetworkIdentifier(True, self.octets(40), self.octets(40)),
                    GeoLocation(dice.randrange(-(1 << 23), 1 << 23), 0),
                    OperatorIdentifier(dice.randrange(256), b"x" + self.octets(5)),
                )
            ),
            lambda: QualityOfService(
                dice.randrange(256),
                dice.randrange(64),
                dice.randrange(7),
                (
                    PerSessionAggMaxDlBitRate(False, False, dice.randrange(1 << 32)),
                    QosVendorSpecificAttribute(9, 1, self.octets(200)),
                ),
            ),
            lambda: LmaControlledMagParameters(
                (
                    BindingReregistrationControl(self._time(4), self._time(1), self._time(1)),
                    HeartbeatControl(self._time(1), self._time(1), dice.randrange(4)),
                )
            ),
        ]

    def _time(self, unit: int) -> int:
        return self.dice.choice([0, 1, 1, 5, 0xFFFF]) * unit * SECOND

    def _plausible(self) -> MobilityMessage:
        dice = self.dice
        if dice.random() < 0.4:
            return super()._plausible()
        options = tuple(dice.choice(self._options)() for _ in range(dice.choice([0, 1, 2, 4])))
        if dice.random() < 0.6:
            options = (self._options[0](), *options)
        sequence = self._sequence()
        match dice.randrange(5):
            case 0:
                return Heartbeat(dice.choice([0, 1, 2, 3]), dice.choice([1, 2, sequence]), options)
            case 1:
                trigger = dice.choice([0, 1, 2, 4, 8, 128, 129, dice.randrange(256)])
                flags = dice.choice([0x8000, 0xA000, 0xC000, dice.randrange(1 << 16)])
                return BindingRevocationIndication(trigger, sequence, flags, options)
            case 2:
                return BindingRevocationAcknowledgement(dice.choice([0, 1, 128, 130, 132]), sequence, 0x8000, options)
            case 3:
                flags = dice.choice([0, 0x4000, 0x8000, 0xC000])
                return UpdateNotification(sequence, dice.randrange(9), flags, options)
            case _:
                return UpdateNotificationAcknowledgement(dice.choice([0, 128, 132]), sequence % 256, options=options)

    def _sequence(self) -> int:
        """Of a question that waits for its answer, if there is one."""
        waiting = [
            question.sequence
            for extension in self.domain.lma.extensions
            for question in getattr(extension, "_questions", ())
        ]
        return self.dice.choice([*waiting, self.dice.randrange(1 << 16)])
