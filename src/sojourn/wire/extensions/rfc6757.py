"""Where the mobile node is attached (RFC 6757); more sub-options are in `rfc7563`."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, TypeAlias

from sojourn.wire.catalogue import PACKAGE
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, Bits, Counted, Flag, Rest, SInt, Tlvs
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.tlv import Family, SubRemainder, Tlv, UnknownSubOption


class OperatorType(IntEnum):
    """How an operator is named (RFC 6757 5)."""

    RESERVED = 0
    PRIVATE_ENTERPRISE_NUMBER = 1
    REALM_OF_THE_OPERATOR = 2
    RESERVED_255 = 255


ANI_SUB_OPTIONS = Family("access network identifier sub-options", UnknownSubOption, SubRemainder)
"""RFC 6757 3.1: no padding."""
ANI_SUB_OPTIONS.classes.elsewhere.update(dict.fromkeys((4, 5, 6), f"{PACKAGE}.rfc7563"))
ani_sub_option = ANI_SUB_OPTIONS.option
AniSubOptions: TypeAlias = Annotated[tuple[Tlv, ...], Tlvs("access network identifier sub-options")]


class AniSubOption(Tlv):
    """A sub-option of `AccessNetworkIdentifier`."""

    __slots__ = ()


@ani_sub_option(1)
@dataclass(slots=True)
class NetworkIdentifier(AniSubOption):
    """The name of the network and of the access point (RFC 6757 3.1.1).

    The RFC allows 5 to 32 octets in all, which is too little for a full SSID and a name beside it: any length that
    parses is taken.
    """

    utf8: Annotated[bool, Flag()]
    """E: the name of the network is UTF-8."""
    reserved: Annotated[int, Bits(7)] = field(default=0, kw_only=True)
    network: Annotated[bytes, Counted()]
    """Such as an SSID."""
    access_point: Annotated[bytes, Counted()] = b""

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> "NetworkIdentifier":
        """The names, each with its length before it. Raises `DecodeError`."""
        middle = start + 2 + octets[start + 1] if stop - start > 2 else stop
        if middle >= stop or middle + 1 + octets[middle] != stop:
            raise DecodeError("NetworkIdentifier (RFC 6757 3.1.1): the names do not fill it", start - 2)
        network, access_point = octets[start + 2 : middle], octets[middle + 1 : stop]
        return NetworkIdentifier(octets[start] >= 128, network, access_point, reserved=octets[start] & 127)

    def put(self, out: bytearray, align: bool) -> None:
        """Append the sub-option. Raises `EncodeError`."""
        for name in ("network", "access_point"):
            if problem := Counted().problem(getattr(self, name)):
                raise EncodeError(f"NetworkIdentifier.{name} (RFC 6757 3.1.1): {problem}")
        for name, kind in (("utf8", Flag()), ("reserved", Bits(7))):
            if problem := kind.problem(getattr(self, name)):
                raise EncodeError(f"NetworkIdentifier.{name} (RFC 6757 3.1.1): {problem}")
        length = 3 + len(self.network) + len(self.access_point)
        if length > 255:
            raise EncodeError("NetworkIdentifier (RFC 6757 3.1.1): too long for its length field")
        out += bytes((1, length, self.utf8 << 7 | self.reserved, len(self.network))) + self.network
        out += bytes((len(self.access_point),)) + self.access_point


@ani_sub_option(2)
@dataclass(slots=True)
class GeoLocation(AniSubOption):
    """Where the access point stands (RFC 6757 3.1.2)."""

    latitude: Annotated[int, SInt(3)]
    """In 1/32768 degrees, north is positive: 9 bits and 15 of fraction, in two's complement."""
    longitude: Annotated[int, SInt(3)]
    """In 1/32768 degrees, east is positive."""

    @classmethod
    def of(cls, latitude: float, longitude: float) -> "GeoLocation":
        """The sub-option for a place in degrees."""
        return cls(round(latitude * 32768), round(longitude * 32768))

    @property
    def degrees(self) -> tuple[float, float]:
        """Latitude and longitude."""
        return self.latitude / 32768, self.longitude / 32768


@ani_sub_option(3)
@dataclass(slots=True)
class OperatorIdentifier(AniSubOption):
    """Who runs the network (RFC 6757 3.1.3)."""

    subtype: Annotated[U8, OperatorType]
    identifier: Annotated[bytes, Rest(minimum=1)]
    """An enterprise number of as many octets as it needs, or a realm."""

    @property
    def enterprise(self) -> int | None:
        """The private enterprise number, if it is one."""
        return int.from_bytes(self.identifier, "big") if self.subtype == 1 else None


@mobility_option(52, align=(4, 0))
@dataclass(slots=True)
class AccessNetworkIdentifier(MobilityOption):
    """What the gateway knows of the access network; at most one, with at least one sub-option (RFC 6757 3)."""

    sub_options: AniSubOptions = ()
