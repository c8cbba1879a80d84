"""A home agent sends its mobile nodes elsewhere (RFC 5142)."""

from dataclasses import dataclass, field
from typing import Annotated

from sojourn.wire.addresses import Address
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, Repeated
from sojourn.wire.mobility import MOBILITY_OPTIONS, MobilityMessage, Options, mobility_message


@mobility_message(12)
@dataclass(slots=True)
class HomeAgentSwitch(MobilityMessage):
    """Use one of these home agents from now on (RFC 5142 4).

    The count of addresses comes before them and the options after them, so that the class reads and writes itself.
    """

    reserved: U8 = field(default=0, kw_only=True)
    addresses: Annotated[tuple[Address, ...], Repeated(16, number=False)]
    """In the order of preference; none: find one by home agent address discovery."""
    options: Options = ()

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> "HomeAgentSwitch":
        """The message whose data are ``octets[start:stop]``. Raises `DecodeError`."""
        begin = start + 2 + 16 * octets[start]
        if begin > stop:
            raise DecodeError("HomeAgentSwitch (RFC 5142 4): fewer addresses than it says", start)
        addresses = tuple([octets[at : at + 16] for at in range(start + 2, begin, 16)])
        options = MOBILITY_OPTIONS.walk(octets, begin, stop, mode)
        return HomeAgentSwitch(addresses, options, reserved=octets[start + 1])

    def put(self, out: bytearray, align: bool) -> None:
        """Append count, addresses and options. Raises `EncodeError`."""
        problem = Repeated(16, number=False).problem(self.addresses)
        if problem or len(self.addresses) > 255:
            raise EncodeError(f"HomeAgentSwitch.addresses (RFC 5142 4): {problem or 'more than 255'}")
        if not isinstance(self.reserved, int) or not 0 <= self.reserved <= 255:
            raise EncodeError(f"HomeAgentSwitch.reserved (RFC 5142 4): {self.reserved!r} is not an octet")
        out += bytes((len(self.addresses), self.reserved)) + b"".join(self.addresses)
        for option in self.options:
            option.put(out, align)
