"""RFC 6276: a mobile router asks a DHCPv6 server at its home agent for the prefix of what is behind it."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureUplink, StoreBinding, WithdrawUplink
from sojourn.core.events import DhcpReceived
from sojourn.core.mobile_effects import SendDhcpv6
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.engines.mn_delegation import SILENT_PAUSE, SOLICITATIONS
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import Address, Prefix, address, prefix
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    IaPd,
    IaPrefix,
    MessageType,
    RelayedMessage,
    ServerIdentifier,
    Status,
    StatusCode,
    decode_dhcpv6,
    decode_relay_reply,
    uuid_duid,
)
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.units import HOUR, MINUTE, SECOND, Duration
from support.mip6 import ASSOCIATION, Roaming
from support.mip6_messages import HA, HOA

NETWORK, OTHER = prefix("2001:db8:4000:b000::/56"), prefix("2001:db8:4000:c000::/56")
SERVER = b"\0\2\0\0\x7e\xd9server"


def bus() -> Roaming:
    """A mobile router at f1, registered."""
    router = {"router": True, "implicit": True, "delegated_length": 56}
    net = Roaming(keeps=True, home=router, profile=HomeNode(HOA, ASSOCIATION, prefixes=(NETWORK,)))
    net.attach("f1")
    net.run(3 * SECOND)
    assert net.bound() is not None
    return net


def said(net: Roaming) -> list[Dhcpv6Message]:
    """What the server was asked."""
    found = []
    for effect in net.asked(SendDhcpv6, "mn"):
        assert isinstance(effect, SendDhcpv6)
        assert (effect.source, effect.destination) == (HOA, HA)
        assert effect.payload[:34] == b"\x0c\1" + HOA + HOA  # RELAY-FORW, hop count 1, home address twice (3.1.2)
        found.append(decode_dhcpv6(decode_relay_reply(b"\x0d" + effect.payload[1:])))
    return found


def reply(
    net: Roaming,
    kind: MessageType,
    *options: Dhcpv6Option,
    transaction: bytes | None = None,
    duid: bytes = uuid_duid(HOA),
    source: Address = HA,
) -> None:
    answer = Dhcpv6Message(
        kind,
        said(net)[-1].transaction if transaction is None else transaction,
        (ClientIdentifier(duid), ServerIdentifier(SERVER), *options),
    )
    octets = bytearray(b"\x0d\1" + HOA + HOA)
    RelayedMessage(answer.encode()).put(octets, False)
    net.tell("mn", DhcpReceived("", b"", source, HOA, bytes(octets)))


def given(network: Prefix, valid: Duration = 2 * HOUR) -> IaPd:
    return IaPd(1, 0, 0, (IaPrefix.of(network, valid // 2, valid),))


def delegated() -> Roaming:
    net = bus()
    reply(net, MessageType.ADVERTISE, given(NETWORK))
    reply(net, MessageType.REPLY, given(NETWORK))
    return net


def behind(net: Roaming) -> tuple[Prefix, ...]:
    return net.entry.home.networks


def test_3_1_it_registers_first_without_prefixes_and_solicits_as_its_own_relay() -> None:
    net = bus()
    assert not any(sent.message.all(MobileNetworkPrefix) for sent in net.sent(BindingUpdate, "mn"))
    first = said(net)[0]
    assert first.kind == MessageType.SOLICIT
    client, asked = first.first(ClientIdentifier), first.first(IaPd)
    assert client is not None
    assert asked is not None
    assert client.duid == uuid_duid(HOA)
    assert [one.prefix_length for one in asked.options if isinstance(one, IaPrefix)] == [56]


def test_3_1_what_the_server_gives_is_led_through_the_tunnel() -> None:
    net = delegated()
    assert [message.kind for message in said(net)][-1] == MessageType.REQUEST
    assert behind(net) == (NETWORK,)
    assert net.asked(EnsureUplink, "mn") == [EnsureUplink(NETWORK, HA)]
    assert net.mn.show("bindings", net.now)[0]["networks"] == [str(NETWORK)]


def test_the_prefix_moves_with_the_router_and_is_not_asked_for_again() -> None:
    net = delegated()
    net.clear()
    net.attach("f2")
    net.run(3 * SECOND)
    assert EnsureUplink(NETWORK, HA) in net.asked(EnsureUplink, "mn")
    assert said(net) == []


def test_it_is_renewed_at_half_of_its_preferred_lifetime() -> None:
    net = delegated()
    net.clear()
    net.run(HOUR // 2 + SECOND)
    assert {message.kind for message in said(net)} == {MessageType.RENEW}
    reply(net, MessageType.REPLY, given(NETWORK))
    net.clear()
    net.run(HOUR // 4)
    assert said(net) == []


def test_another_server_is_asked_before_the_end_and_then_the_network_has_none() -> None:
    net = delegated()
    net.clear()
    for _ in range(13):
        net.advertise("f1")
        net.configure("f1")
        net.run(10 * MINUTE)
    kinds = [message.kind for message in said(net)]
    assert list(dict.fromkeys(kinds)) == [MessageType.RENEW, MessageType.REBIND, MessageType.SOLICIT]
    assert behind(net) == ()
    assert net.asked(WithdrawUplink, "mn") == [WithdrawUplink(NETWORK)]


def test_3_3_six_solicitations_without_an_answer_are_enough_for_a_while() -> None:
    net = bus()
    net.run(2 * 63 * SECOND)
    assert len(said(net)) == SOLICITATIONS
    net.run(SILENT_PAUSE)
    assert len(said(net)) > SOLICITATIONS


@pytest.mark.parametrize(
    "wrong",
    [
        {"transaction": b"abc"},
        {"duid": uuid_duid(bytes(16))},
        {"source": address("2001:db8:666::1")},
    ],
    ids=["another transaction", "another client", "not the home agent"],
)
def test_nobody_else_delegates(wrong: dict[str, object]) -> None:
    net = bus()
    count = len(said(net))
    reply(net, MessageType.ADVERTISE, given(OTHER), **wrong)  # type: ignore[arg-type]
    assert len(said(net)) == count
    reply(net, MessageType.REPLY, given(OTHER))  # nothing was requested
    assert behind(net) == ()


@pytest.mark.parametrize("network", ["2001:db8:4000::/64", "2001:db8:4000::/56"], ids=["length", "the home address"])
def test_what_was_not_asked_for_is_not_taken(network: str) -> None:
    net = bus()
    reply(net, MessageType.ADVERTISE, given(prefix(network)))
    assert {message.kind for message in said(net)} == {MessageType.SOLICIT}


@pytest.mark.parametrize("octets", [b"", b"\x0d", b"\x0c\1" + bytes(32), b"\x0d\1" + bytes(32) + b"\0\x09\0\2\7\0"])
def test_what_is_no_answer_is_passed_over(octets: bytes) -> None:
    net = bus()
    net.tell("mn", DhcpReceived("", b"", HA, HOA, octets))
    assert behind(net) == ()


def test_3_1_after_a_restart_the_network_goes_on_and_its_lease_is_rebound() -> None:
    net = delegated()
    stored = [effect for effect in net.asked(StoreBinding, "mn") if isinstance(effect, StoreBinding)][-1]
    net.clear()
    net.start("mn", [(stored.key, stored.record)])
    assert net.asked(EnsureUplink, "mn") == [EnsureUplink(NETWORK, HA)]
    net.attach("f2")
    net.run(3 * SECOND)
    assert [message.kind for message in said(net)] == [MessageType.REBIND]
    reply(net, MessageType.REPLY, given(NETWORK))
    assert behind(net) == (NETWORK,)
    assert net.asked(WithdrawUplink, "mn") == []


def test_a_server_that_forgot_is_asked_anew_while_the_network_goes_on() -> None:
    net = delegated()
    net.run(HOUR // 2 + SECOND)
    reply(net, MessageType.REPLY, IaPd(1, 0, 0, (Status(StatusCode.NO_BINDING),)))
    assert said(net)[-1].kind == MessageType.SOLICIT
    assert behind(net) == (NETWORK,)
