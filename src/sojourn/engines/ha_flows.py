"""Flow bindings of a mobile node at its home agent (RFC 6089 5.3): which packets go to which care-of address.

A flow binding lives as long as every Binding Update names it: whole, or by its number in a Flow Summary option. It does
nothing while the binding that it refers to is not there. Left out: copies of packets to several care-of addresses
(status 128), selectors of IPv4 packets (133). A correspondent node (`cn`) keeps them in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sojourn.core.mobile_effects import Flow
from sojourn.engines.care_of_ways import Ways
from sojourn.engines.mip6_request import BindingRequest
from sojourn.wire import DecodeError
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector, TrafficSelectorFormat
from sojourn.wire.extensions.rfc6089 import BidReference, FlowIdentification, FlowStatus, FlowSummary, TrafficSelector

FLOWS_MAX = 64
"""Flow bindings of one node."""


class FlowBinding(NamedTuple):
    """An entry of the Flow Binding Entries List (RFC 6089 4.3)."""

    priority: int
    """FID-PRI: lower is looked at earlier."""
    selector: bytes
    """RFC 6088, in octets."""
    identifier: int
    """BID."""


Flows = dict[int, FlowBinding]
"""By flow identifier (FID)."""


class _Wrong(Exception):
    def __init__(self, status: FlowStatus) -> None:
        super().__init__(status)
        self.status = status


def flows_after(request: BindingRequest, known: Flows, ways: Ways) -> tuple[Flows, list[FlowIdentification]]:
    """The flow bindings after `request`, whose care-of addresses are `ways`, and what is answered (5.3.2 to 5.3.5)."""
    asked = request.all(FlowIdentification)
    often = Counter(option.identifier for option in asked)
    named = dict.fromkeys(one for option in request.all(FlowSummary) for one in option.identifiers)
    flows: Flows = {identifier: known[identifier] for identifier in named if identifier in known}
    answers: list[FlowIdentification] = []
    for option in asked:
        kept = known.get(option.identifier)
        try:
            if often[option.identifier] > 1:
                raise _Wrong(FlowStatus.FLOW_IDENTIFICATION_MOBILITY_OPTION_MALFORMED)
            if kept is None and len(flows) >= FLOWS_MAX:
                raise _Wrong(FlowStatus.ADMINISTRATIVELY_PROHIBITED)
            flows[option.identifier] = _binding(option, kept, ways)
            status = FlowStatus.FLOW_BINDING_SUCCESSFUL
        except _Wrong as wrong:
            status = wrong.status
            if kept is not None:
                flows[option.identifier] = kept  # it is named, and stays what it was
        answers.append(FlowIdentification(option.identifier, option.priority, int(status), option.sub_options))
    missing = [identifier for identifier in named if identifier not in known and identifier not in often]
    answers += [FlowIdentification(identifier, 0, int(FlowStatus.FID_NOT_FOUND)) for identifier in missing]
    return flows, answers[:FLOWS_MAX]


def refused(request: BindingRequest) -> list[FlowIdentification]:
    """What is answered where no flow bindings are wanted (RFC 6089 5.3.5)."""
    status = int(FlowStatus.ADMINISTRATIVELY_PROHIBITED)
    options = request.all(FlowIdentification)[:FLOWS_MAX]
    return [FlowIdentification(option.identifier, option.priority, status, option.sub_options) for option in options]


def steered(flows: Mapping[int, FlowBinding], ways: Ways) -> tuple[Flow, ...]:
    """The active ones, in the order in which packets are compared with them."""
    ordered = sorted((binding.priority, identifier) for identifier, binding in flows.items())
    return tuple(
        Flow(Ipv6TrafficSelector.decode(flows[identifier].selector), ways[flows[identifier].identifier].care_of)
        for _, identifier in ordered
        if flows[identifier].identifier in ways
    )


def restored(kept: Iterable[tuple[int, int, bytes, int]]) -> Flows:
    """From the store. Raises ValueError."""
    flows: Flows = {}
    for identifier, priority, octets, reference in kept:
        try:
            Ipv6TrafficSelector.decode(octets)
        except DecodeError as error:
            raise ValueError("not a traffic selector") from error
        flows[identifier] = FlowBinding(priority, octets, reference)
    return flows


def _binding(option: FlowIdentification, kept: FlowBinding | None, ways: Ways) -> FlowBinding:
    """Raises `_Wrong`. What an update of a known one does not say stays (5.3.2.2)."""
    selectors = [known for known in option.sub_options if isinstance(known, TrafficSelector)]
    references = [known for known in option.sub_options if isinstance(known, BidReference)]
    if len(selectors) > 1 or len(references) > 1 or (kept is None and not (selectors and references)):
        raise _Wrong(FlowStatus.FLOW_IDENTIFICATION_MOBILITY_OPTION_MALFORMED)
    selector = _selector(selectors[0]) if selectors else b"" if kept is None else kept.selector
    identifiers = references[0].identifiers if references else () if kept is None else (kept.identifier,)
    if references and any(identifier not in ways for identifier in identifiers):
        raise _Wrong(FlowStatus.BID_NOT_FOUND)
    if len(set(identifiers)) > 1:
        raise _Wrong(FlowStatus.ADMINISTRATIVELY_PROHIBITED)
    return FlowBinding(option.priority, selector, identifiers[0])


def _selector(option: TrafficSelector) -> bytes:
    if option.format != TrafficSelectorFormat.IPV6_BINARY_TRAFFIC_SELECTOR:
        raise _Wrong(FlowStatus.TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED)
    try:
        selector = Ipv6TrafficSelector.decode(option.octets)
    except DecodeError:
        raise _Wrong(FlowStatus.FLOW_IDENTIFICATION_MOBILITY_OPTION_MALFORMED) from None
    if not _sensible(selector):
        raise _Wrong(FlowStatus.FLOW_IDENTIFICATION_MOBILITY_OPTION_MALFORMED)
    return option.octets


def _sensible(selector: Ipv6TrafficSelector) -> bool:
    """Ranges end behind their beginning; what nothing can be in is a mistake of its maker."""
    ranges = (
        selector.source,
        selector.destination,
        selector.spi,
        selector.flow_label,
        selector.source_port,
        selector.destination_port,
        selector.traffic_class,
        selector.next_header,
    )
    ordered = all(known is None or known[1] is None or known[0] <= known[1] for known in ranges)  # type: ignore[operator]
    label = selector.flow_label
    return ordered and (label is None or max(label[0], label[1] or 0) < 1 << 20)
