"""What a Binding Update of Mobile IPv6 asks for, and the tests that home agents and correspondent nodes share.

RFC 6275 9.5.1. A request that fails is refused with a status (`Refused`), or, where the RFC wants silence, `Discarded`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.core.sequence import newer
from sojourn.engines.registration import Refused
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingError,
    BindingErrorStatus,
    BindingUpdate,
    BindingUpdateFlags,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import UNSPECIFIED, Address
from sojourn.wire.units import Duration

Kind = TypeVar("Kind", bound=MobilityOption)
HOME_REGISTRATION = int(BindingUpdateFlags.H)
ACKNOWLEDGE = int(BindingUpdateFlags.A)
LINK_LOCAL = int(BindingUpdateFlags.L)
ROUTER = int(BindingUpdateFlags.R)
PROXIED = int(BindingUpdateFlags.P)
_LOOPBACK = bytes(15) + b"\x01"


class Discarded(Exception):
    """Nobody is told, and nothing changes."""


class BindingRequest(Struct, gc=False):
    """A Binding Update, taken apart."""

    update: BindingUpdate
    octets: bytes
    """As it arrived, if that is known."""
    source: Address
    destination: Address
    """Our address that was meant: the home address, if we are a mobile node ourselves (RFC 6275 6.2.7)."""
    home: Address
    care_of: Address
    named: bool
    """The home address came in a Home Address option."""
    lifetime: Duration
    firsts: dict[type, Any]
    """The first of its options of each class."""

    @classmethod
    def of(cls, event: MessageReceived, update: BindingUpdate) -> BindingRequest:
        """Raises `Discarded` for addresses that nobody can have (RFC 6275 9.5.1)."""
        home = event.source if event.home_address is None else event.home_address
        firsts = update.firsts()
        alternate: AlternateCareOfAddress | None = firsts.get(AlternateCareOfAddress)
        care_of = event.source if alternate is None else alternate.address
        if not unicast(event.source) or not routable(home):
            raise Discarded("an address that cannot be one")
        lifetime = 0 if care_of == home else update.lifetime  # "equal to the home address": RFC 6275 6.1.7
        named = event.home_address is not None
        destination = event.routed_to or event.destination
        return cls(update, event.octets, event.source, destination, home, care_of, named, lifetime, firsts)

    def first(self, kind: type[Kind]) -> Kind | None:
        """The first option of this class."""
        return self.firsts.get(kind)

    def all(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """All options of this class, in order."""
        return self.update.all(kind) if kind in self.firsts else ()

    @property
    def sequence(self) -> int:
        """The Sequence Number."""
        return self.update.sequence

    @property
    def wants_answer(self) -> bool:
        """Flag A."""
        return bool(self.update.flags & ACKNOWLEDGE)

    @property
    def signed_address(self) -> Address:
        """What authenticators cover as the care-of address: the home address when a binding is to be deleted."""
        return self.care_of if self.lifetime else self.home

    @staticmethod
    def check_care_of(care_of: Address, taken: bool) -> None:
        """`taken`: it is an address that leads elsewhere, so packets would go in circles. Raises `Refused` with 174."""
        if taken or not routable(care_of):
            raise Refused(Status.INVALID_CARE_OF_ADDRESS, "care-of address is none")

    def check_sequence(self, last: int) -> None:
        """Raises `Refused` with status 135 and the number accepted last."""
        if not newer(self.sequence, last):
            raise Refused(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, "sequence number used already", last)

    def acknowledgement(
        self, status: Status | int, flags: int = 0, lifetime: Duration = 0, sequence: int | None = None
    ) -> BindingAcknowledgement:
        """The answer, without options."""
        return BindingAcknowledgement(int(status), flags, self.sequence if sequence is None else sequence, lifetime)

    def answer(self, acknowledgement: BindingAcknowledgement) -> SendMessage:
        """To the source of the update, with a routing header if it named the home address (RFC 6275 9.5.4)."""
        routed_to = self.home if self.named else None
        return SendMessage(acknowledgement, self.destination, self.source, routed_to=routed_to)


def defended(home: Address, flags: int) -> tuple[Address, ...]:
    """The home address, and with flag L the link-local address with the same interface identifier (RFC 6275 10.3.1)."""
    return (home, b"\xfe\x80" + bytes(6) + home[8:]) if flags & LINK_LOCAL else (home,)


def unicast(address: Address) -> bool:
    """Whether packets can be sent to `address`, perhaps on one link only."""
    return address not in (UNSPECIFIED, _LOOPBACK) and address[0] != 0xFF


def routable(address: Address) -> bool:
    """Whether `address` is a unicast address that has a meaning beyond one link; an IPv4-mapped one has none."""
    link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return unicast(address) and not link_local and address[:10] != bytes(10)


def binding_error(
    status: BindingErrorStatus, source: Address, destination: Address, home: Address | None = None
) -> SendMessage:
    """RFC 6275 9.3.3; `home` is the Home Address option that caused it."""
    return SendMessage(BindingError(int(status), home or UNSPECIFIED), source, destination)


def with_options(acknowledgement: BindingAcknowledgement, *options: MobilityOption | None) -> BindingAcknowledgement:
    """The same with those of `options` that are there behind its own."""
    acknowledgement.options = (*acknowledgement.options, *(option for option in options if option is not None))
    return acknowledgement
