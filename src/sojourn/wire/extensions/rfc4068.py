"""What is left of the first version of fast handovers (RFC 4068)."""

from dataclasses import dataclass, field

from sojourn.wire.fields import U16
from sojourn.wire.mobility import MobilityMessage, Options, mobility_message


@mobility_message(10)
@dataclass(slots=True)
class FastNeighborAdvertisement(MobilityMessage):
    """A mobile node announces itself to its new router (RFC 4068 6.3.3); RFC 5568 replaced it by an unsolicited NA.

    It may carry a packet behind it (Payload Proto 41), which no other message may: such a one is refused like all.
    """

    reserved: U16 = field(default=0, kw_only=True)
    options: Options = ()
