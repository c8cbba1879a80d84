"""Over IPv4 (RFC 5844 4): where a peer is, for the extensions of LMA and MAG that speak with peers there.

Signalling is a Mobility Header in UDP, from and to port 5436; packets are tunnelled in IPv4, or in UDP to port 5437
(flag F). The RFC "assumed that there is no NAT between the local mobility anchor and the mobile access gateway". Where
there is one, it is found as RFC 5555 does it: the gateway names its own address in an IPv4 Care-of Address option, and
the answer, from another address than that, has a NAT Detection option. From then on the gateway speaks on port 5437 in
both senses, packets and signalling, as RFC 5555 has one port for both: what a NAT makes of that port is then shown by
every registration, and by nothing else.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from sojourn.wire.addresses import Address
from sojourn.wire.udp import PMIPV6_DATA

NO_NAT: Final = 0xFFFFFFFF
"""A refresh time that says so (RFC 5555 3.2.2)."""
_RECORD = struct.Struct("!16sHHB")


class Path(NamedTuple):
    """Where a peer is, and how it is spoken with."""

    address: Address
    port: int
    own_port: int
    udp: bool = False
    """Packets travel in UDP."""
    nat: bool = False

    @property
    def data_port(self) -> int | None:
        """Where packets go to; 0: without UDP, None: nobody knows yet."""
        if not self.udp:
            return 0
        if not self.nat:
            return PMIPV6_DATA
        return self.port if self.own_port == PMIPV6_DATA else None

    def record(self) -> bytes:
        """For the store."""
        return _RECORD.pack(self.address, self.port, self.own_port, self.udp | self.nat << 1)

    @classmethod
    def restored(cls, record: bytes) -> Path:
        """What `record` wrote. Raises ValueError."""
        if len(record) != _RECORD.size:
            raise ValueError(f"{len(record)} octets")
        address, port, own_port, flags = _RECORD.unpack(record)
        return cls(address, port, own_port, bool(flags & 1), bool(flags & 2))

    @property
    def words(self) -> str:
        """For people: how packets travel."""
        return f"udp {self.port}, nat" if self.nat else "udp" if self.udp else "ip"


PATH_OCTETS: Final = _RECORD.size
