"""Several care-of addresses of one mobile node at a time (RFC 5648 6): how a Binding Update changes them.

Packets to the node go to the one with the best priority; packets from all of them are taken. Left out: home and foreign
link at once (flag H).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sojourn.engines.mip6_request import BindingRequest, routable
from sojourn.engines.registration import Refused
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


def changed(request: BindingRequest, known: Ways, plain: bool) -> tuple[Ways, dict[int, Status]]:
    """The care-of addresses after `request`, and what is wrong with which BID (RFC 5648 6.2).

    `plain`: there is a binding without identifier. Raises `Refused` when nothing of it can be done.
    """
    options = request.all(BindingIdentifier)
    if not options:
        return {}, {}
    overwrite = bool(request.update.flags & OVERWRITE)
    if plain and not overwrite:
        raise Refused(Status.MCOA_NON_MCOA_BINDING_EXISTS, "a binding without identifier")
    ways: Ways = {} if overwrite else dict(known)
    wrong: dict[int, Status] = {}
    for option in options:
        if option.home:
            raise Refused(Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, "home and foreign link at once")
        care_of = option.care_of or _without_address(request, known, option.identifier)
        if option.identifier == 0 or (option.care_of and not routable(option.care_of.rjust(16, b"\0"))):
            wrong[option.identifier] = Status.MCOA_MALFORMED
        elif not care_of:
            wrong[option.identifier] = Status.MCOA_UNKNOWN_COA
        else:
            ways[option.identifier] = Way(care_of, option.priority)
    if len(ways) > WAYS_MAX:
        raise Refused(Status.INSUFFICIENT_RESOURCES, "too many care-of addresses")
    if len(wrong) == len({option.identifier for option in options}):
        raise Refused(next(iter(wrong.values())), "no binding identifier that can be used")
    return ways, wrong


def _without_address(request: BindingRequest, known: Ways, identifier: int) -> Address:
    """The one that it has; for the only one in a message, that of the message (RFC 5648 5.2)."""
    if len(request.all(BindingIdentifier)) == 1:
        return request.care_of
    way = known.get(identifier)
    return way.care_of if way is not None else b""


def ended(request: BindingRequest, known: Ways) -> Ways:
    """The care-of addresses after a de-registration: without identifiers in it, none. Raises `Refused` with 133."""
    options = request.all(BindingIdentifier)
    if not options:
        return {}
    if any(option.identifier not in known for option in options):
        raise Refused(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "no binding of that identifier")
    gone = {option.identifier for option in options}
    return {identifier: way for identifier, way in known.items() if identifier not in gone}


def copies(request: BindingRequest, wrong: Mapping[int, Status]) -> list[BindingIdentifier]:
    """The options as an acknowledgement returns them, each with its status."""
    return [
        BindingIdentifier(option.identifier, int(wrong.get(option.identifier, 0)), priority=option.priority)
        for option in request.all(BindingIdentifier)
    ]
