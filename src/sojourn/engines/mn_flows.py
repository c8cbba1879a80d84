"""Flow bindings at the mobile node (RFC 6089 5.2): what follows from the configuration, and what the home agent knows.

A flow is bound to one link. It is bound anew when that goes, and when a better one comes, so that a home agent which
heard of it never has to guess. Sharing links is done with ranges of the node's own ports: both ends then agree about
each connection, and any home agent can do it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from sojourn.core.mobile_effects import CareOfWay, Flow
from sojourn.wire import MobilityOption
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6089 import BidReference, FlowIdentification, FlowStatus, FlowSummary, TrafficSelector

if TYPE_CHECKING:
    from sojourn.engines.mip6_configuration import FlowPolicy
    from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector

PARTS_MAX = 8
"""Links that share the packets of one policy; flow identifiers are numbered by it."""
_PER_SUMMARY = 127
_PORTS = 32768, 60999
"""Where Linux takes ports for connections from; those below and above are with the first and the last link."""


class WantedFlow(NamedTuple):
    """A flow binding that is wanted. `number`: of the interface, which is its BID."""

    selector: Ipv6TrafficSelector
    number: int

    def may_come_from(self, peer: Address) -> bool:
        """Whether packets of `peer` can be of it."""
        source = self.selector.source
        return source is None or source[0] <= peer <= (source[0] if source[1] is None else source[1])


Wanted = dict[int, WantedFlow]
"""By flow identifier, which is the priority too (RFC 6089 5.2.2.1: "unique")."""


def wanted(policies: Sequence[FlowPolicy], links: Mapping[str, int], avoided: Collection[str]) -> Wanted:
    """The flow bindings when these interfaces lead somewhere. `links`: their numbers."""
    found: Wanted = {}
    for rank, policy in enumerate(policies):
        alive = [name for name in policy.interfaces if name in links]
        numbers = [links[name] for name in [name for name in alive if name not in avoided] or alive]
        parts = numbers[:PARTS_MAX] if policy.shared else numbers[:1]
        for part, selector in enumerate(divided(policy.selector, len(parts))):
            found[rank * PARTS_MAX + part + 1] = WantedFlow(selector, parts[part])
    return found


def divided(selector: Ipv6TrafficSelector, count: int) -> list[Ipv6TrafficSelector]:
    """The same packets in `count` parts by the ports of the node, in fewer if there are less; one is all of them."""
    ports = selector.destination_port or (0, 65535)
    first, last = ports[0], ports[0] if ports[1] is None else ports[1]
    count = min(count, last - first + 1)
    if count < 2:
        return [selector] * count
    low, high = max(first, _PORTS[0]), min(last, _PORTS[1])
    if high - low < count:
        low, high = first, last
    starts = [first, *(low + (high - low + 1) * part // count for part in range(1, count)), last + 1]
    ranges = [(starts[part], starts[part + 1] - 1) for part in range(count)]
    return [replace(selector, destination_port=ends) for ends in ranges]


@dataclass(slots=True)
class FlowList:
    """The flow bindings of one home address, as the home agent has them."""

    known: Wanted = field(default_factory=dict)
    """Those that it acknowledged."""
    sent: Wanted = field(default_factory=dict)
    """What the latest update said."""
    refused: Wanted = field(default_factory=dict)
    """Those that it does not want; they are not asked for again as they are."""
    unsure: set[int] = field(default_factory=set)
    """Those that an update changed which was not answered: they may be as before, or not."""
    done: tuple[tuple[CareOfWay, ...], tuple[Flow, ...]] = ((), ())
    """What packets from here follow, and where they may come to."""

    def asked(self, flows: Wanted) -> list[MobilityOption]:
        """What an update says of them: those that are known by number, others whole. Who is not named ends."""
        self.sent = flows
        kept = [
            identifier
            for identifier, flow in flows.items()
            if self.known.get(identifier) == flow and identifier not in self.unsure
        ]
        self.unsure |= {*flows, *self.known} - set(kept)
        options: list[MobilityOption] = [
            FlowIdentification(
                identifier,
                identifier,
                sub_options=(BidReference((flow.number,)), TrafficSelector.of(flow.selector)),
            )
            for identifier, flow in flows.items()
            if identifier not in kept and self.refused.get(identifier) != flow
        ]
        summaries = range(0, len(kept), _PER_SUMMARY)
        return [*options, *(FlowSummary(tuple(kept[start : start + _PER_SUMMARY])) for start in summaries)]

    def answered(self, answers: Iterable[FlowIdentification]) -> dict[int, int]:
        """An acknowledgement came; what was refused, and why. No answer to a flow is a refusal (RFC 6089 5.2.6)."""
        status, flows = {option.identifier: option.status for option in answers}, self.sent
        known: Wanted = {}
        wrong: dict[int, int] = {}
        for identifier, flow in flows.items():
            before = self.known.get(identifier) == flow
            found = status.get(identifier, 0 if before else FlowStatus.ADMINISTRATIVELY_PROHIBITED)
            if found < FlowStatus.ADMINISTRATIVELY_PROHIBITED:
                known[identifier] = flow
            elif self.refused.get(identifier) != flow:
                wrong[identifier] = int(found)
                if found not in (FlowStatus.FID_NOT_FOUND, FlowStatus.BID_NOT_FOUND):
                    self.refused[identifier] = flow
        self.known, self.unsure = known, set()
        self.refused = {number: flow for number, flow in self.refused.items() if number in flows}
        return wrong

    def steered(self, flows: Wanted, ways: Mapping[int, Address]) -> tuple[Flow, ...]:
        """Over links that the home agent takes packets from, also before it heard that a flow changed its link."""
        return tuple(
            Flow(flow.selector, ways[flow.number])
            for identifier, flow in flows.items()
            if self.refused.get(identifier) != flow and flow.number in ways
        )

    def forget(self) -> None:
        """The home agent has no binding any more."""
        self.known, self.sent, self.refused, self.done, self.unsure = {}, {}, {}, ((), ()), set()
