"""What a router keeps of one fast handover, and Handover Initiate messages that wait for their answer (RFC 5949).

Both routers have one `Handover` for the node. At the previous router (PMAG, P-MAAR) it goes

    WAITING ──> FORWARDING ──> DRAINING ──> MARKED          the node left, and the next router asks for it (reactive)
    ASKED ──────────^                                       the next router is asked first (predictive)

and at the new one (NMAG, S-MAAR)

    EXPECTING ──> ATTACHED ──> COMPLETING ──> FOLLOWING ──> SETTLING
        └──> RETURNING                                      it does not come
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from sojourn.core.effects import SendMessage
from sojourn.engines.configuration import Neighbour, Peer
from sojourn.wire.addresses import Address, LinkLayer, Prefix
from sojourn.wire.extensions.rfc5568 import HandoverInitiate
from sojourn.wire.units import MILLISECOND, Duration, Instant

HI_RETRIES = 3
"""RFC 5568 9."""
FIRST_TIMEOUT: Duration = 100 * MILLISECOND
"""RFC 5568 6.2.1.1: doubled at each retransmission."""


class Phase(Enum):
    """How far a handover is."""

    WAITING = "waiting"
    """Previous router: the node left, its packets wait, nobody asked for it yet."""
    ASKED = "asked"
    """Previous router: the new one was asked to expect it; packets go to the node still."""
    FORWARDING = "forwarding"
    """Previous router: packets go to the new one."""
    DRAINING = "draining"
    """Previous router: the anchors send elsewhere; what they had sent here before is on its way."""
    MARKED = "marked"
    """Previous router: all was forwarded, and the new router was told so."""
    EXPECTING = "expecting"
    """New router: packets wait for the node."""
    ATTACHED = "attached"
    """New router: what the previous one forwards goes to the node; what comes straight from the anchors waits."""
    COMPLETING = "completing"
    """New router: the same; the node is registered, and the previous router was asked to finish."""
    FOLLOWING = "following"
    """New router: all that was forwarded is here, and leaves its queue."""
    SETTLING = "settling"
    """New router: what came straight from the anchors follows."""
    RETURNING = "returning"
    """New router: the node does not come; what waits goes back."""

    __hash__ = object.__hash__


HANDOVER_TIMERS = frozenset({"handover", "handover-look", "initiation"})
PREVIOUS = frozenset({Phase.WAITING, Phase.ASKED, Phase.FORWARDING, Phase.DRAINING, Phase.MARKED})
"""Phases of the previous router."""
_SENDING_ON = frozenset({Phase.FORWARDING, Phase.DRAINING, Phase.MARKED})


@dataclass(slots=True)
class Handover:
    """One node on its way."""

    node: bytes
    phase: Phase
    peer: Address | None
    """The other router; None as long as it is not known."""
    queued: bool = False
    """Previous router: packets wait here, or leave a queue."""
    forwarded: bool = False
    """New router: the previous one agreed to forward. Previous router: the new one said that the node is there."""
    attached: int = 0
    """Previous router: when the node attached at the new one, in ticks, as far as that is known."""
    extensions: int = 0
    """Previous router: how often the time for forwarding was prolonged."""
    prefixes: dict[Prefix, Address] = field(default_factory=dict)
    """New router: what the previous one says that the node has, with the anchor of each."""
    pending: set[Address] = field(default_factory=set)
    """Whose answer is waited for: routers that may know the node, or anchors."""
    looks: int = 0
    """How often the queue was looked at in this phase."""

    @property
    def previous(self) -> bool:
        """Whether we are the previous router."""
        return self.phase in PREVIOUS

    @property
    def sends_on(self) -> bool:
        """Whether packets go from here to the other router."""
        return self.phase in _SENDING_ON

    def become(self, phase: Phase) -> None:
        """The next phase."""
        self.phase = phase
        self.looks = 0


Key: TypeAlias = tuple[bytes, Address]
"""A node, and whom a message about it went to."""


@dataclass(slots=True)
class Initiation:
    """A Handover Initiate without an answer yet."""

    purpose: str
    message: HandoverInitiate
    attempts: int = 1
    timeout: Duration = FIRST_TIMEOUT


class Initiations:
    """Those that one router sent from `source`; at most one for each node and peer."""

    def __init__(
        self,
        source: Address,
        do: Callable[[SendMessage], None],
        wake: Callable[[tuple[str, Key], Instant], None],
        sleep: Callable[[tuple[str, Key]], None],
    ) -> None:
        self._source = source
        self._do = do
        self._wake = wake
        self._sleep = sleep
        self._sequence = 0
        self._outstanding: dict[Key, Initiation] = {}

    def next_sequence(self) -> int:
        """For the next message."""
        self._sequence = (self._sequence + 1) % 65536
        return self._sequence

    def start(self, key: Key, purpose: str, message: HandoverInitiate, now: Instant) -> None:
        """Send it, again and again; it replaces an earlier one under `key`."""
        self._outstanding[key] = Initiation(purpose, message)
        self._send(key, self._outstanding[key], now)

    def answered(self, key: Key, sequence: int) -> str | None:
        """The purpose of what the answer belongs to, which is done with; None when there is none."""
        initiation = self._outstanding.get(key)
        if initiation is None or initiation.message.sequence != sequence:
            return None
        self.cancel(key)
        return initiation.purpose

    def cancel(self, key: Key) -> None:
        """Nobody waits for an answer any more."""
        if self._outstanding.pop(key, None) is not None:
            self._sleep(("initiation", key))

    def forget(self, node: bytes) -> None:
        """Nothing is asked about this node any more."""
        for key in [key for key in self._outstanding if key[0] == node]:
            self.cancel(key)

    def due(self, key: Key, now: Instant) -> str | None:
        """Its time has come: sent again, as it was (RFC 5568 6.2.1.1). The purpose of one that is given up."""
        initiation = self._outstanding.get(key)
        if initiation is None:
            return None
        if initiation.attempts > HI_RETRIES:
            del self._outstanding[key]
            return initiation.purpose
        initiation.attempts += 1
        initiation.timeout *= 2
        self._send(key, initiation, now)
        return None

    def _send(self, key: Key, initiation: Initiation, now: Instant) -> None:
        self._do(SendMessage(initiation.message, self._source, key[1]))
        self._wake(("initiation", key), now + initiation.timeout)


class Handovers(dict[bytes, Handover]):
    """Those that are under way at one router, by node; and whom it may do them with. Without arguments there are none,
    nor will there be any."""

    def __init__(self, routers: Iterable[Peer | Neighbour] = (), initiations: Initiations | None = None) -> None:
        super().__init__()
        routers = tuple(routers)
        self.neighbours = dict.fromkeys(router.address for router in routers)
        points = [(octets, router.address) for router in routers for octets in router.access_points]
        self.access_points: dict[LinkLayer, Address] = dict(points)
        """Which router each is of ([AP-ID, AR-Info], RFC 5568)."""
        self._initiations = initiations

    @property
    def initiations(self) -> Initiations:
        """What other routers were asked."""
        assert self._initiations is not None
        return self._initiations
