"""Signalling as it crossed our sockets: messages and octets by type, direction, status and peer (RFC 7333 REQ6g).

Counted where octets are at hand, so that nothing is encoded for it. A message that is sent again counts again: this is
what signalling costs, not what it means. Octets are those of the IPv6 packet, the header included, as a capture shows
them.

Only routers that are known beforehand, and the home agents that a mobile node registers with, have a line of their own:
all others share one, so that there are not many, and nodes and their correspondents are not named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple, TypeAlias

from sojourn.wire.addresses import UNSPECIFIED, Address

IPV6_HEADER = 40
MOST_PEERS = 512
"""Lines for peers at most; a domain names its routers, a home agent does not know its mobile nodes."""
MOST_AGENTS = 32
"""The same for home agents of a mobile node."""

_UPDATE, _ACKNOWLEDGEMENT = 5, 6
_OF_UPDATES, _OF_ACKNOWLEDGEMENTS = 0x46, 0x60
"""Flags that are told apart: H, R and P of the former (octet 8), R and P of the latter (octet 7)."""
_NO_STATUS = -1

_Key: TypeAlias = tuple[bool, int, int, int, Address]
"""Whether it was sent, type, flags, status, peer."""


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
        self._counts: dict[_Key, list[int]] = {}

    def sent(self, octets: bytes, peer: Address, headers: int = IPV6_HEADER) -> None:
        """A Mobility Header left for `peer`, with so many octets of headers before it."""
        self._count(True, octets, peer, headers)

    def received(self, octets: bytes, peer: Address, headers: int = IPV6_HEADER) -> None:
        """A Mobility Header came from `peer`."""
        self._count(False, octets, peer, headers)

    def flows(self) -> Iterator[tuple[Flow, int, int]]:
        """What was counted so far: messages and octets of each."""
        for (sent, kind, flags, status, peer), (messages, octets) in list(self._counts.items()):
            proxy, router = (0x02, 0x04) if kind == _UPDATE else (0x20, 0x40)
            home = kind == _UPDATE and flags & 0x40 != 0
            home = home or (kind == _ACKNOWLEDGEMENT and not sent and peer in self._agents)
            flow = Flow(sent, kind, flags & proxy != 0, flags & router != 0, home, status, peer)
            yield flow, messages, octets

    def _count(self, sent: bool, octets: bytes, peer: Address, headers: int) -> None:
        """Some million times an hour: what the key means is found out when somebody reads."""
        kind = octets[2]
        flags, status = 0, _NO_STATUS
        if kind == _UPDATE and len(octets) > 8:
            flags = octets[8] & _OF_UPDATES
            if sent and flags & 0x40 and len(self._agents) < MOST_AGENTS:
                self._agents.add(peer)
        elif kind == _ACKNOWLEDGEMENT and len(octets) > 7:
            flags, status = octets[7] & _OF_ACKNOWLEDGEMENTS, octets[6]
        if peer not in self._peers and peer not in self._agents:
            peer = UNSPECIFIED
        key = (sent, kind, flags, status, peer)
        counted = self._counts.get(key)
        if counted is None:
            self._counts[key] = [1, headers + len(octets)]
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
