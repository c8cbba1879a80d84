"""What a MAAR in direct mode remembers of those that it speaks to; what it knows of nodes is in its sessions."""

from __future__ import annotations

from sojourn.engines.configuration import ASKED_NEIGHBOURS, NO_CMD, MaarConfiguration
from sojourn.engines.retransmission import Key
from sojourn.wire import PreviousMaar
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.units import HOUR, Instant

FAR = 36_500 * 24 * HOUR
"""Direct mode: nobody follows a clock that is further ahead than a century."""


class Neighbourhood:
    """Everything here is bounded by the nodes that are known, or by the configured peers."""

    def __init__(self, configuration: MaarConfiguration) -> None:
        peers = tuple(peer.address for peer in configuration.peers)
        self.neighbours = (configuration.neighbours or peers)[:ASKED_NEIGHBOURS]
        """Whom to ask about a node that nobody here knows."""
        points = [(octets, peer.address) for peer in configuration.peers for octets in peer.access_points]
        self.access_points: dict[LinkLayer, Address] = dict(points)
        """Whose they are."""
        cmd = configuration.cmd
        self.remembering = peers if cmd == NO_CMD else (cmd, *peers)
        """Who may know what we forgot."""
        self.requests: dict[bytes, set[Key]] = {}
        """What is asked about each node, and not answered yet."""
        self.told: dict[bytes, set[Address]] = {}
        """Who was told or asked about each node since its previous MAARs are looked for, until the first refresh."""
        self.looking: set[bytes] = set()
        """Nodes whose previous MAARs are being looked for."""
        self.came_from: dict[bytes, Address] = {}
        """Of some of these, who is asked alone, as the node comes from there."""
        self.ranks: dict[bytes, dict[Prefix, int]] = {}
        """When each of their prefixes was last that of the router that served them, by Timestamp."""
        self.follows: dict[bytes, dict[Prefix | Address, Prefix]] = {}
        """What was theirs just before, of those prefixes, or anchors, that cannot tell: their anchors are gone."""
        self.handed: dict[bytes, tuple[PreviousMaar, ...]] = {}
        """Nodes that are elsewhere: what we served for others when we heard that, as our answer may get lost."""
        self.named: dict[bytes, dict[Prefix, Address]] = {}
        """What others say that the nodes have from anchors that have a partner, as long as nobody in charge said so."""
        self.returning: dict[bytes, set[Address]] = {}
        """Anchors that were stood in for and are told again where the node is; their partners hear of the answer."""
        self.unsettled: set[bytes] = set()
        """Nodes of an earlier life of ours, which may have ended before all were told."""
        self.announced: dict[bytes, int] = {}
        """The attachment of each node that the CMD was told of, by its Timestamp."""
        self.reminding: dict[Address, int] = {}
        """Who was asked what we forgot, and did not say that the question arrived; with the Timestamp of it."""
        self.reminded: dict[Address, Instant] = {}
        """Peers that were told what they forgot, and when."""
        self.settled: Instant = 0
        """We began without memory, and call no node unknown before."""

    def forget(self, node: bytes) -> None:
        """Nothing is known of it any more."""
        of_sessions = (self.told, self.came_from, self.ranks, self.follows, self.handed, self.announced)
        for table in (*of_sessions, self.named, self.returning):
            table.pop(node, None)
        self.unsettled.discard(node)
        self.looking.discard(node)
