"""What a mobile node keeps of a correspondent node: the part of its Binding Update List for it (RFC 6275 11.1).

With several care-of addresses (RFC 5648) each has a `DirectWay` with its own care-of test and lifetime. The home test
is about all of them, and so are the sequence numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from sojourn.engines.mn_flows import FlowList, Wanted
from sojourn.wire.addresses import Address
from sojourn.wire.units import Duration, Instant

Pair = tuple[Address, Address]
"""Home address and correspondent node."""


class Progress(Enum):
    """Where a correspondent registration is."""

    WAITING = "waiting"
    """For the home agent."""
    TESTING = "testing"
    UPDATING = "updating"
    BOUND = "bound"
    REFUSED = "refused"
    """It cannot, or does not want: everything goes through the tunnel for a while."""

    __hash__ = object.__hash__


UNDER_WAY = frozenset({Progress.WAITING, Progress.TESTING, Progress.UPDATING})


@dataclass(slots=True)
class Token:
    """What a test brought."""

    index: int
    octets: bytes
    until: Instant


@dataclass(slots=True)
class CorrespondentEntry:
    """A correspondent node of one home address."""

    home: Address
    correspondent: Address
    sequence: int
    """Of the latest update."""
    home_cookie: bytes = b""
    """Of the test that is under way; empty: there is none."""
    home_token: Token | None = None
    single: bool = False
    """It takes one care-of address only."""
    unwilling: bool = False
    """It said that it cannot, or does not want."""
    bound_until: Instant = 0
    """Until then it may have a binding, also one of a care-of address that nothing is known of here any more."""
    using: Address | None = None
    """The care-of address that packets go directly from; None: they go through the tunnel."""
    also: tuple[Address, ...] = ()
    """Others that flows may go directly from."""
    flows: FlowList = field(default_factory=FlowList)
    """What it was asked to do with which packets (RFC 6089)."""
    ways: dict[int, DirectWay] = field(default_factory=dict)
    """By BID; 0: one care-of address, without identifier."""

    @property
    def pair(self) -> Pair:
        """By what it is known."""
        return self.home, self.correspondent

    @property
    def optimised(self) -> bool:
        """Whether it has a care-of address that is still ours."""
        return any(way.optimised for way in self.ways.values())


@dataclass(slots=True)
class DirectWay:
    """One care-of address at a correspondent node."""

    peer: CorrespondentEntry
    identifier: int
    care_of: Address | None
    """What is tested or registered; None: the binding is to be deleted."""
    rank: int = 1
    """Its place in the order of preference."""
    progress: Progress = Progress.WAITING
    asked: Duration = 0
    expires: Instant = 0
    """Of the binding; 0: there is none."""
    optimised: bool = False
    """The correspondent node has it, and it is where this node is."""
    care_of_cookie: bytes = b""
    """Of the test that is under way; empty: there is none."""
    care_of_token: Token | None = None
    tested: Address | None = None
    """What the care-of token is for."""
    timeout: Duration = 0
    failures: int = 0
    """Tests in a row that nobody answered."""
    stale: int = 0
    """Updates in a row whose nonces were not known any more."""
    key: bytes = b""
    """Kbm of the update that is under way."""
    indices: tuple[int, int] = (0, 0)
    """Of the nonces that it was made with; there may be other tokens when the update is repeated."""
    said: Wanted = field(default_factory=dict)
    """The flow bindings in it."""

    @property
    def name(self) -> tuple[Address, Address, int]:
        """In the names of timers."""
        return (*self.peer.pair, self.identifier)
