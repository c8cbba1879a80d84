"""The kernel keeps silent about Home Address options and type 2 routing headers that it does not know.

A kernel without Mobile IPv6 answers them with ICMPv6 Parameter Problem (RFC 8200 4.2), and the sender would conclude
that nobody here speaks Mobile IPv6. One chain in nf_tables drops what is for this machine and still has such a header;
`mobile_sockets` has heard it before. A kernel with Mobile IPv6 takes what has a binding and drops the rest in silence:
there is nothing to keep it from, and no chain.
"""

from __future__ import annotations

from contextlib import suppress

from sojourn.dataplane.nftables import (
    DROP,
    EQUAL,
    HOOK_INPUT,
    NETWORK,
    NFPROTO_IPV6,
    Table,
    compare,
    has_extension,
    load,
    load_extension,
    matches,
    verdict,
)
from sojourn.host.mobile_packets import HEADER, HOME_ADDRESS, HOME_ADDRESS_AT, ROUTING_TYPE_AT
from sojourn.wire.ipv6 import DESTINATION_OPTIONS, ROUTING

NAME = "sojourn-signalling"
_RAW = -300
_HOME_ADDRESS = (
    has_extension(DESTINATION_OPTIONS),
    load(NETWORK, HOME_ADDRESS_AT, 1),
    compare(EQUAL, bytes((HOME_ADDRESS,))),
)
_TYPE_2 = (load_extension(ROUTING, ROUTING_TYPE_AT - HEADER, 1), compare(EQUAL, b"\x02"))


class SignallingFilter:
    """Opens a socket; `install` and `remove` are idempotent. Where the kernel has no nf_tables, `install` raises
    OSError, but with Mobile IPv6 in the kernel, which needs none."""

    def __init__(self, kernel_has_mobile_ipv6: bool = False) -> None:
        self._table = Table(NFPROTO_IPV6, NAME)
        self._mobile = kernel_has_mobile_ipv6

    def install(self) -> None:
        """The chain stands where it is needed, and nowhere else."""
        if self._mobile:
            self.remove()
            return
        mark = b"\0\3"
        if self._table.fingerprint() == mark:
            return
        rules = [
            ("input", matches(*_HOME_ADDRESS, verdict(DROP))),
            ("input", matches(*_TYPE_2, verdict(DROP))),
        ]
        self._table.write(mark, (), (), [("input", (HOOK_INPUT, _RAW))], rules)

    def remove(self) -> None:
        """Nothing of it is left."""
        with suppress(*((OSError,) if self._mobile else ())):
            self._table.remove()

    def close(self) -> None:
        """Let go of the socket; the chain stays."""
        self._table.close()
