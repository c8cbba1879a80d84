"""How much goes into tunnels and comes out of them, as nf_tables counts it: where somebody wants to know.

A table of its own, so that whoever does not measure pays nothing: two base chains, and in each a look at one octet
(IPv6-in-IPv6 or not) and one in a set. The elements of the sets count. Where the far ends are known beforehand, there
is one element for each of them; else one for all.

Counted are packets as the kernel handles them: of TCP several segments may be one (GRO, GSO), so that the octets are
right and the packets a lower bound.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from sojourn.dataplane import nftables as nft
from sojourn.wire.addresses import Address

TABLE = "sojourn-traffic"
MOST_PEERS = 512
"""Far ends with a count of their own, as in `sojourn.host.signalling`."""
OVERHEAD = 40
"""Octets that IPv6-in-IPv6 adds to a packet: one header, whatever the backend (`tunnels`)."""

_SENT, _RECEIVED = "sent", "received"
_IPV6_IN_IPV6, _IPV4_IN_IPV6 = b"\x29", b"\x04"
_NEXT_HEADER, _SOURCE, _DESTINATION = 6, 8, 24
_BEFORE, _AFTER = -310, 310
"""Priorities: before anything is dropped, and after everything was."""


class Traffic(NamedTuple):
    """What one tunnel carried, in packets and octets, the outer headers included."""

    sent: tuple[int, int]
    received: tuple[int, int]


class TunnelTraffic:
    """Counters in the kernel. Raises OSError where it has no nf_tables.

    `ends` are the tunnel addresses here, `peers` the far ends that are known beforehand; None or too many of them: all
    are counted together.
    """

    def __init__(self, ends: Collection[Address], peers: Collection[Address] | None) -> None:
        """Opens a socket in the network namespace of the calling thread."""
        self._table = nft.Table(nft.NFPROTO_IPV6, TABLE)
        self._ends = tuple(sorted(set(ends)))
        single = peers is not None and 0 < len(peers) <= MOST_PEERS
        self._peers = tuple(sorted(set(peers))) if peers is not None and single else ()

    def start(self) -> None:
        """The counters stand; those of an earlier life go on."""
        text = b"".join((b"1", bytes((len(self._ends),)), *self._ends, *self._peers))
        fingerprint = hashlib.sha256(text).digest()
        if self._table.fingerprint() == fingerprint:
            return
        octets = 16 if self._peers else 1
        keys = self._peers or (_IPV6_IN_IPV6, _IPV4_IN_IPV6)
        sets = [nft.new_counting_set(name, number, octets, TABLE) for number, name in enumerate((_SENT, _RECEIVED), 1)]
        elements = [nft.elements_of(name, keys, table=TABLE) for name in (_SENT, _RECEIVED)]
        chains = (("in", (nft.HOOK_PREROUTING, _BEFORE)), ("out", (nft.HOOK_POSTROUTING, _AFTER)))
        rules = [
            *self._rules("in", _RECEIVED, _SOURCE, _DESTINATION),
            *self._rules("out", _SENT, _DESTINATION, _SOURCE),
        ]
        self._table.write(fingerprint, sets, elements, chains, rules)

    def read(self) -> dict[Address | None, Traffic]:
        """The counts by far end, None for all together."""
        sent, received = self._table.elements(_SENT), self._table.elements(_RECEIVED)
        each = {key: Traffic(nft.counted(sent[key]), nft.counted(received[key])) for key in sent if key in received}
        if self._peers:
            return {key: traffic for key, traffic in each.items()}  # noqa: C416
        return {None: Traffic(_sum(one.sent for one in each.values()), _sum(one.received for one in each.values()))}

    def remove(self) -> None:
        """Nothing is counted any more. Where there is nothing, nothing happens."""
        try:
            self._table.remove()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM):
                raise

    def close(self) -> None:
        """Close the socket; what counts goes on."""
        self._table.close()

    def _rules(self, chain: str, name: str, far: int, near: int) -> list[tuple[str, tuple[bytes, ...]]]:
        """For both kinds of tunnelled packets and each end of ours: look up the far one, which counts it."""
        made: list[tuple[str, tuple[bytes, ...]]] = []
        for protocol in (_IPV6_IN_IPV6, _IPV4_IN_IPV6):
            tunnelled = (nft.load(nft.NETWORK, _NEXT_HEADER, 1), nft.compare(nft.EQUAL, protocol))
            for end in self._ends or (b"",):
                at_us: tuple[bytes, ...] = ()
                if end:
                    at_us = (nft.load(nft.NETWORK, near, 16), nft.compare(nft.EQUAL, end))
                key = nft.load(nft.NETWORK, far, 16) if self._peers else nft.load(nft.NETWORK, _NEXT_HEADER, 1)
                made.append((chain, (*tunnelled, *at_us, key, nft.member(name))))
        return made


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    packets = octets = 0
    for one in pairs:
        packets, octets = packets + one[0], octets + one[1]
    return packets, octets
