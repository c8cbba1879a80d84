"""Requests and answers of proxy mobility, as packets."""

from __future__ import annotations

from collections.abc import Iterator

from sojourn import wire
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.units import SECOND, ticks
from support.frames import A1, CMD, START, packet

PBU_FLAGS = int(wire.BindingUpdateFlags.A | wire.BindingUpdateFlags.P | wire.BindingUpdateFlags.D)
PBA_FLAGS = int(wire.BindingAcknowledgementFlags.P | wire.BindingAcknowledgementFlags.D)


def node(number: int) -> wire.MobileNodeIdentifier:
    """Node `number`, by a link-layer address."""
    return wire.MobileNodeIdentifier(int(wire.IdentifierType.EUI_48), b"\x02" + number.to_bytes(5, "big"))


def prefix(number: int) -> Prefix:
    """A /64 for node `number`."""
    return Prefix(address(f"2001:db8:a100:{number:x}::"), 64)


def options(number: int, stamp: int, *more: wire.MobilityOption) -> tuple[wire.MobilityOption, ...]:
    """What a Proxy Binding Update carries, for an attachment at `stamp` (ns)."""
    return (
        node(number),
        wire.HomeNetworkPrefix.of(prefix(number)),
        wire.HandoffIndicator(int(wire.Handoff.BETWEEN_GATEWAYS)),
        wire.AccessTechnologyType(int(wire.AccessTechnology.WIFI)),
        wire.MobileNodeLinkLayerIdentifier(b"\x02" + number.to_bytes(5, "big")),
        wire.Timestamp(ticks(stamp)),
        *more,
    )


def update(
    number: int, sequence: int, *more: wire.MobilityOption, lifetime: int = 300, stamp: int = START
) -> wire.BindingUpdate:
    """A Proxy Binding Update with D."""
    return wire.BindingUpdate(sequence, PBU_FLAGS, lifetime * SECOND, options(number, stamp, *more))


def answer(
    number: int, sequence: int, *more: wire.MobilityOption, status: int = 0, lifetime: int = 300, stamp: int = START
) -> wire.BindingAcknowledgement:
    """The Proxy Binding Acknowledgement to it."""
    return wire.BindingAcknowledgement(status, PBA_FLAGS, sequence, lifetime * SECOND, options(number, stamp, *more))


def conversation(count: int, nodes: int = 1000) -> Iterator[bytes]:
    """`count` packets: updates and their answers in turn."""
    for index in range(count // 2):
        number, sequence = index % nodes, index // nodes + 1
        yield packet(update(number, sequence), A1, CMD)
        yield packet(answer(number, sequence), CMD, A1)
