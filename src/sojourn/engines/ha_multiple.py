"""Several care-of addresses of one mobile node at a time (RFC 5648 6): how a Binding Update changes them.

Packets to the node go to the one with the best priority; packets from all of them are taken. One of them may be the
home address itself (flag H, 5.6): the node is on the home link too. There it does no Neighbour Discovery for its home
address, which the home agent goes on to answer for, and packets go to its link-layer address. That is what status 5
says; RFC 5648 6.3 leaves it to the home agent to let the node answer instead. A home binding alone is none: that is
returning home.
"""

from __future__ import annotations

from sojourn.engines.care_of_ways import OVERWRITE, WAYS_MAX, Way, Ways
from sojourn.engines.mip6_request import BindingRequest, routable
from sojourn.engines.registration import Refused
from sojourn.wire import Status
from sojourn.wire.addresses import Address, LinkLayer
from sojourn.wire.extensions.rfc5568 import LinkLayerCode, MobilityHeaderLinkLayerAddress
from sojourn.wire.extensions.rfc5648 import BindingIdentifier


def link_layer_of(request: BindingRequest) -> LinkLayer:
    """Where the node is on the home link (5.6.3); empty: it does not say."""
    option = request.first(MobilityHeaderLinkLayerAddress)
    if option is None or option.code != LinkLayerCode.MN or len(option.link_layer) != 6 or not any(option.link_layer):
        return b""
    return b"" if option.link_layer[0] & 1 else option.link_layer  # a group: the link would flood what is for one node


def changed(request: BindingRequest, known: Ways, plain: bool, home_too: bool) -> tuple[Ways, dict[int, Status]]:
    """The care-of addresses after `request`, and what is wrong with which BID (RFC 5648 6.2).

    `plain`: there is a binding without identifier; `home_too`: one may be that of the home link. Raises `Refused` when
    nothing of it can be done.
    """
    options = request.all(BindingIdentifier)
    if not options:
        return {}, {}
    overwrite = bool(request.update.flags & OVERWRITE)
    if plain and not overwrite:
        raise Refused(Status.MCOA_NON_MCOA_BINDING_EXISTS, "a binding without identifier")
    ways: Ways = {} if overwrite else dict(known)
    if not any(option.home for option in options):  # "stops forwarding the mobile node's packets to the home link"
        ways = {identifier: way for identifier, way in ways.items() if way.care_of != request.home}
    wrong: dict[int, Status] = {}
    for option in options:
        if option.care_of and option.home != (option.care_of == request.home):
            wrong[option.identifier] = Status.MCOA_MALFORMED
            continue
        if option.home and not (home_too and link_layer_of(request)):
            raise Refused(Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, "home and foreign link at once")
        if option.home:  # "only one home binding at a time"
            ways = {identifier: way for identifier, way in ways.items() if way.care_of != request.home}
        care_of = option.care_of or _without_address(request, known, option.identifier)
        if option.home != (care_of == request.home):
            care_of = b""
        if option.identifier == 0 or (option.care_of and not routable(option.care_of.rjust(16, b"\0"))):
            wrong[option.identifier] = Status.MCOA_MALFORMED
        elif not care_of:
            wrong[option.identifier] = Status.MCOA_UNKNOWN_COA
        else:
            ways[option.identifier] = Way(care_of, option.priority)
    if ways and all(way.care_of == request.home for way in ways.values()):
        raise Refused(Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, "a home binding and no other")
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
    left = {identifier: way for identifier, way in known.items() if identifier not in gone}
    return left if any(way.care_of != request.home for way in left.values()) else {}
