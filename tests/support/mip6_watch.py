"""Scenes of Mobile IPv6 to begin a test with, and what happened in them."""

from __future__ import annotations

from sojourn.core.effects import Report, SendMessage
from sojourn.core.events import (
    MessageReceived,
)
from sojourn.core.mobile_effects import SendIcmpv6
from sojourn.engines.authentication import signed
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    MobilityMessage,
    encode,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.icmpv6 import Icmpv6Message
from sojourn.wire.units import SECOND
from support.mip6 import Roaming
from support.mip6_messages import ASSOCIATION, COA, HA, HOA


def away(**settings: object) -> Roaming:
    """A node that is registered from ``f1``."""
    net = Roaming(**settings)  # type: ignore[arg-type]
    net.attach("f1")
    assert net.bound() == COA
    return net


def optimised(**settings: object) -> Roaming:
    """The same, with the direct way to the correspondent node."""
    net = away(**settings)
    net.downlink()
    net.run(1 * SECOND)
    assert net.uplink() == net.downlink() == "direct"
    return net


def updates(net: Roaming, destination: Address = HA) -> list[SendMessage]:
    return [sent for sent in net.sent(BindingUpdate, "mn") if sent.destination == destination]


def update_of(sent: SendMessage) -> BindingUpdate:
    assert isinstance(sent.message, BindingUpdate)
    return sent.message


def states(net: Roaming) -> list[object]:
    return [row["state"] for row in net.mn.show("sessions", net.now)]


def reported(net: Roaming, name: str, who: str = "mn") -> int:
    return sum(isinstance(report, Report) and report.name == name for report in net.asked(Report, who))


def acknowledge(net: Roaming, status: int, **more: object) -> None:
    """The home agent's engine is asleep; this is its answer to the latest update."""
    sent = updates(net)[-1]
    sequence = more.pop("sequence", update_of(sent).sequence)
    answer = BindingAcknowledgement(status, 0, sequence, 400 * SECOND, more.pop("options", ()))  # type: ignore[arg-type]
    signed(answer, ASSOCIATION, sent.source, HOA)
    net.tell("mn", MessageReceived(answer, HA, sent.source, None, HOA, encode(answer)))


def stamp_of(net: Roaming) -> tuple[MobilityMessageReplayProtection, ...]:
    """The timestamp of the latest update."""
    return tuple(update_of(updates(net)[-1]).all(MobilityMessageReplayProtection))


def icmp(net: Roaming, kind: type[Icmpv6Message]) -> list[tuple[int, SendIcmpv6]]:
    """The node's ICMPv6 messages of that class, and when they were sent."""
    sent = [(when, effect) for when, who, effect in net.effects if who == "mn" and isinstance(effect, SendIcmpv6)]
    return [(when, effect) for when, effect in sent if isinstance(effect.message, kind)]


def silent(*kinds: type[MobilityMessage], **settings: object) -> Roaming:
    """A network in which messages of these classes get lost."""
    net = Roaming(**settings)  # type: ignore[arg-type]
    net.lose = lambda source, destination, message: isinstance(message, kinds)
    return net
