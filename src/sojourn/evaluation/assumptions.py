"""What has to be supposed where topology and workload say nothing; all of it stands in the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from sojourn.evaluation.models.octets import Sizes
from sojourn.sim.protocol import ProtocolSettings


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Of one evaluation."""

    settings: ProtocolSettings
    """Of sojourn's engines, and the lifetime of bindings in all other ways."""
    central: int
    """The place of the central anchor, of the database and of the route reflector."""
    edge: float | None = None
    """Share of session time whose correspondent is at the place where the session began (a cache at the edge); None: as
    the workload has it."""
    wireless: float = 1.0
    """ms, one way."""
    session_rate: float = 1.0
    """Mbit/s of an open session."""
    message_cost: float = 25.0
    """Microseconds of one processor for a message at the central database."""
    worthwhile: float = 1.0
    """ms: a saving of less delay than this is not worth a new architecture."""
    sizes: Sizes = field(default_factory=Sizes)
