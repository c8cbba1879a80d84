"""Several care-of addresses of one mobile node at a time (RFC 5648), as those keep them who send packets to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sojourn.engines.mip6_request import BindingRequest
from sojourn.wire import BindingUpdateFlags, Status
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier

OVERWRITE = int(BindingUpdateFlags.B)
"""Flag O: without P the same bit means that all bindings that are not named go (RFC 5648 4.2)."""
WAYS_MAX = 8
"""Care-of addresses of one home address."""
_WORST = 128


class Way(NamedTuple):
    """One of the care-of addresses."""

    care_of: Address
    priority: int
    """Lower is better; 0: not told (RFC 6089 4.1)."""


Ways = dict[int, Way]
"""By binding identifier (BID); empty: there is one care-of address, without an identifier."""


def best(ways: Mapping[int, Way]) -> Address:
    """Where packets to the node go."""
    return min(ways.items(), key=lambda known: (known[1].priority or _WORST, known[0]))[1].care_of


def copies(request: BindingRequest, wrong: Mapping[int, Status]) -> list[BindingIdentifier]:
    """The options as an acknowledgement returns them, each with its status."""
    return [
        BindingIdentifier(option.identifier, int(wrong.get(option.identifier, 0)), priority=option.priority)
        for option in request.all(BindingIdentifier)
    ]
