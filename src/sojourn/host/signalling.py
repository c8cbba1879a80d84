"""Signalling as it crossed our sockets: messages and octets by type, direction, status and peer (RFC 7333 REQ6g).

Counted where octets are at hand, so that nothing is encoded for it. A message that is sent again counts again: this is
what signalling costs, not what it means. Octets are those of the IPv6 packet, the header included, as a capture shows
them.

Only routers that are known beforehand, and the home agents that a mobile node registers with, have a line of their own:
all others share one, so that there are not many, and nodes and their correspondents are not named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sojourn.wire.addresses import UNSPECIFIED, Address

IPV6_HEADER = 40
MOST_PEERS = 512
"""Lines for peers at most; a domain names its routers, a home agent does not know its mobile nodes."""
MOST_AGENTS = 32
"""The same for home agents of a mobile node."""

_UPDATE, _ACKNOWLEDGEMENT = 5, 6
_NO_STATUS = -1


class Flow(NamedTuple):
    """What is counted together."""

    sent: bool
    type: int
    """MH Type."""
    proxy: bool
    """The P flag of a Binding Update or Acknowledgement (RFC 5213 8.1, 8.2)."""
    router: bool
    """The R flag (RFC 3963 4.1, 4.2)."""
    home: bool
    """A registration with a home agent (the H flag), or its answer."""
    status: int
    """Of a Binding Acknowledgement, else -1."""
    peer: Address
    """Unspecified for those who share a line."""


class Tally:
    """Counts. `peers` are those that have a line each."""

    def __init__(self, peers: Collection[Address] | None = None) -> None:
        self._peers = set(sorted(peers or ())[:MOST_PEERS])
        self._agents: set[Address] = set()
        """To whom updates with the H flag went: their answers have none."""
        self._counts: dict[Flow, list[int]] = {}

    def sent(self, octets: bytes, peer: Address, headers: int = IPV6_HEADER) -> None:
        """A Mobility Header left for `peer`, with so many octets of headers before it."""
        self._count(True, octets, peer, headers)

    def received(self, octets: bytes, peer: Address, headers: int = IPV6_HEADER) -> None:
        """A Mobility Header came from `peer`."""
        self._count(False, octets, peer, headers)

    def flows(self) -> Iterator[tuple[Flow, int, int]]:
        """What was counted so far: messages and octets of each."""
        for flow, (messages, octets) in self._counts.items():
            yield flow, messages, octets

    def _count(self, sent: bool, octets: bytes, peer: Address, headers: int) -> None:
        kind = octets[2]
        proxy = router = home = False
        status = _NO_STATUS
        if kind == _UPDATE and len(octets) > 8:
            flags = octets[8]
            proxy, router, home = flags & 0x02 != 0, flags & 0x04 != 0, flags & 0x40 != 0
            if sent and home and len(self._agents) < MOST_AGENTS:
                self._agents.add(peer)
        elif kind == _ACKNOWLEDGEMENT and len(octets) > 7:
            flags, status = octets[7], octets[6]
            proxy, router, home = flags & 0x20 != 0, flags & 0x40 != 0, not sent and peer in self._agents
        if peer not in self._peers and peer not in self._agents:
            peer = UNSPECIFIED
        flow = Flow(sent, kind, proxy, router, home, status, peer)
        counted = self._counts.get(flow)
        if counted is None:
            self._counts[flow] = [1, headers + len(octets)]
        else:
            counted[0] += 1
            counted[1] += headers + len(octets)


def together(*tallies: Tally) -> dict[Flow, tuple[int, int]]:
    """The sum of several."""
    found: dict[Flow, tuple[int, int]] = {}
    for tally in tallies:
        for flow, messages, octets in tally.flows():
            before = found.get(flow, (0, 0))
            found[flow] = before[0] + messages, before[1] + octets
    return found
