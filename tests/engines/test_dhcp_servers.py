"""What the DHCP servers answer and what they must not (RFC 8415 16, 18.3; RFC 2131 4.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import AdvertisedPrefix
from sojourn.engines.dhcp import Discarded, NotYet
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Dhcpv6Server, Dhcpv6Settings, Holdings
from sojourn.wire.addresses import address, from_ipv4, prefix, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREPLY, BOOTREQUEST, BROADCAST_FLAG, Code, DhcpType, Dhcpv4Message
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    DnsServers,
    DomainSearch,
    IaAddress,
    IaNa,
    IaPd,
    IaPrefix,
    IaTa,
    InformationRefreshTime,
    MessageType,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerIdentifier,
    Status,
    StatusCode,
)
from sojourn.wire.units import MINUTE, SECOND

M = MessageType
CLIENT, OURS, THEIRS = ClientIdentifier(b"client"), ServerIdentifier(b"ours"), ServerIdentifier(b"theirs")
HOME, OLD = prefix("2001:db8:a2:1::/64"), prefix("2001:db8:a1:1::/64")
DELEGATED = prefix("2001:db8:a2:8000::/60")
MINE = IaAddress(address("2001:db8:a2:1::5"), 0, 0)
STRANGE = IaAddress(address("2001:db8:dead::5"), 0, 0)
HELD = Holdings(
    (AdvertisedPrefix(HOME, 300 * SECOND, 600 * SECOND), AdvertisedPrefix(OLD, 0, 600 * SECOND)), (DELEGATED,)
)
SETTINGS = Dhcpv6Settings(
    b"ours", True, 30 * SECOND, 10 * MINUTE, (address("2001:db8::53"), address("192.0.2.53")), ("example.net",)
)


def message(kind: MessageType, *options: Dhcpv6Option) -> Dhcpv6Message:
    return Dhcpv6Message(kind, b"abc", options)


def ask(kind: MessageType, *options: Dhcpv6Option, held: Holdings = HELD) -> Dhcpv6Message:
    """The answer of a server that was asked rightly."""
    server = (OURS,) if kind in (M.REQUEST, M.RENEW, M.RELEASE, M.DECLINE) else ()
    asked = message(kind, CLIENT, *server, *options)
    one = Dhcpv6Server(SETTINGS)
    one.check(asked, multicast=True)
    return one.answer(asked, held).message


def status_in(answer: Dhcpv6Message) -> int | None:
    """The code within the first association."""
    ia = next(option for option in answer.options if isinstance(option, IaNa | IaPd | IaTa))
    return next((option.code for option in ia.options if isinstance(option, Status)), None)


@pytest.mark.parametrize(
    ("asked", "multicast"),
    [
        (message(M.SOLICIT), True),  # 16.2
        (message(M.SOLICIT, CLIENT, OURS), True),
        (message(M.SOLICIT, CLIENT), False),  # 16
        (message(M.ADVERTISE, CLIENT, OURS), True),  # 16.3
        (message(M.REQUEST, CLIENT), True),  # 16.4
        (message(M.REQUEST, CLIENT, THEIRS), True),
        (message(M.REQUEST, OURS), True),
        (message(M.CONFIRM, CLIENT, OURS), True),  # 16.5
        (message(M.RENEW, CLIENT), True),  # 16.6
        (message(M.RENEW, CLIENT, THEIRS), True),
        (message(M.REBIND, CLIENT, OURS), True),  # 16.7
        (message(M.REBIND, CLIENT), False),
        (message(M.DECLINE, CLIENT, THEIRS), True),  # 16.8
        (message(M.RELEASE, CLIENT), True),  # 16.9
        (message(M.REPLY, CLIENT, OURS), True),  # 16.10
        (message(M.RECONFIGURE, CLIENT, OURS), True),  # 16.11
        (message(M.INFORMATION_REQUEST, THEIRS), True),  # 16.12
        (message(M.INFORMATION_REQUEST, IaNa(1, 0, 0)), True),
        (message(M.INFORMATION_REQUEST), False),
        (message(M.SOLICIT, ClientIdentifier(bytes(131))), True),  # 11.1
    ],
)
def test_16_a_server_discards(asked: Dhcpv6Message, multicast: bool) -> None:
    with pytest.raises(Discarded):
        Dhcpv6Server(SETTINGS).check(asked, multicast)


@pytest.mark.parametrize("kind", [M.REQUEST, M.RENEW, M.RELEASE, M.DECLINE])
def test_18_4_unicast_is_answered_with_use_multicast(kind: MessageType) -> None:
    asked = message(kind, CLIENT, OURS, IaNa(1, 0, 0, (MINE,)))
    server = Dhcpv6Server(SETTINGS)
    server.check(asked, multicast=False)
    assert server.answer(asked, HELD, multicast=False).message == message(
        M.REPLY, OURS, CLIENT, Status(StatusCode.USE_MULTICAST)
    )


def test_18_3_1_a_solicit_is_answered_with_an_advertise_that_need_not_be_compared() -> None:
    answer = ask(M.SOLICIT, IaNa(1, 0, 0))
    assert (answer.kind, answer.transaction) == (M.ADVERTISE, b"abc")
    assert answer.options[:2] == (OURS, CLIENT)
    assert answer.first(Preference) == Preference(255)


def test_18_3_1_rapid_commit_is_answered_with_a_reply() -> None:
    answer = ask(M.SOLICIT, IaNa(1, 0, 0), RapidCommit())
    assert answer.kind == M.REPLY
    assert answer.first(RapidCommit) == RapidCommit()


def test_18_3_1_hints_that_are_not_the_clients_are_not_repeated() -> None:
    ia = ask(M.SOLICIT, IaNa(1, 0, 0, (STRANGE, MINE))).first(IaNa)
    assert ia is not None
    assert [option.address for option in ia.options if isinstance(option, IaAddress)] == [MINE.address]


def test_18_3_2_a_request_for_what_is_not_on_this_link_says_so() -> None:
    assert status_in(ask(M.REQUEST, IaNa(1, 0, 0, (STRANGE,)))) == StatusCode.NOT_ON_LINK


@pytest.mark.parametrize("kind", [M.RENEW, M.REBIND])
def test_18_3_4_what_is_not_the_clients_gets_lifetimes_of_zero(kind: MessageType) -> None:
    ia = ask(kind, IaNa(1, 0, 0, (MINE, STRANGE))).first(IaNa)
    assert ia is not None
    lives = {option.address: option.valid for option in ia.options if isinstance(option, IaAddress)}
    assert lives == {MINE.address: 600 * SECOND, STRANGE.address: 0}


@pytest.mark.parametrize("kind", [M.RENEW, M.REBIND, M.REQUEST, M.CONFIRM])
def test_nothing_is_denied_that_may_turn_out_to_be_the_clients(kind: MessageType) -> None:
    with pytest.raises(NotYet):
        ask(kind, IaNa(1, 0, 0, (STRANGE,)), held=replace(HELD, settled=False))


def test_18_3_3_a_confirm_without_addresses_is_not_answered() -> None:
    with pytest.raises(Discarded):
        ask(M.CONFIRM, IaNa(1, 0, 0))


def test_18_3_7_release_says_what_is_not_bound() -> None:
    answer = ask(M.RELEASE, IaNa(1, 0, 0, (STRANGE,)), IaPd(2, 0, 0, (IaPrefix.of(DELEGATED, 0, 0),)))
    assert answer.first(Status) == Status(StatusCode.SUCCESS)
    assert status_in(answer) == StatusCode.NO_BINDING
    assert answer.all(IaPd) == ()


def test_18_3_8_a_declined_address_is_not_given_again() -> None:
    server = Dhcpv6Server(SETTINGS)
    solicit = message(M.SOLICIT, CLIENT, IaNa(1, 0, 0))

    def offered() -> IaAddress:
        ia = server.answer(solicit, HELD).message.first(IaNa)
        assert ia is not None
        assert isinstance(ia.options[0], IaAddress)
        return ia.options[0]

    first = offered()
    assert offered() == first
    server.answer(message(M.DECLINE, CLIENT, OURS, IaNa(1, 0, 0, (first,))), HELD)
    assert offered().address != first.address


def test_temporary_addresses_are_not_given() -> None:
    assert status_in(ask(M.SOLICIT, IaTa(1))) == StatusCode.NO_ADDRS_AVAIL


def test_a_client_without_anything_is_told_so() -> None:
    assert status_in(ask(M.SOLICIT, IaNa(1, 0, 0), held=Holdings())) == StatusCode.NO_ADDRS_AVAIL
    assert status_in(ask(M.SOLICIT, IaPd(1, 0, 0), held=Holdings())) == StatusCode.NO_PREFIX_AVAIL


def test_where_dhcp_is_stateless_no_address_is_given() -> None:
    server = Dhcpv6Server(replace(SETTINGS, stateful=False))
    answer = server.answer(message(M.SOLICIT, CLIENT, IaNa(1, 0, 0)), HELD).message
    assert status_in(answer) == StatusCode.NO_ADDRS_AVAIL


def test_18_3_6_an_information_request_is_answered_also_without_an_identifier() -> None:
    asked = message(M.INFORMATION_REQUEST, OptionRequest((23, 24, 32)))
    server = Dhcpv6Server(SETTINGS)
    server.check(asked, multicast=True)
    answer = server.answer(asked, Holdings()).message
    assert answer.first(ClientIdentifier) is None
    assert answer.first(DnsServers) == DnsServers((address("2001:db8::53"),))
    assert answer.first(DomainSearch) is not None
    assert answer.first(InformationRefreshTime) is not None


def test_associations_have_different_addresses_and_one_t1() -> None:
    answer = ask(M.SOLICIT, IaNa(1, 0, 0), IaNa(2, 0, 0), IaPd(3, 0, 0))
    found = {option.address for ia in answer.all(IaNa) for option in ia.options if isinstance(option, IaAddress)}
    assert len(found) == 2
    times = {(ia.t1, ia.t2) for ia in answer.options if isinstance(ia, IaNa | IaPd)}
    assert times == {(30 * SECOND, 48 * SECOND)}


def test_an_answer_stays_small_whatever_is_asked() -> None:
    many = [IaNa(n, 0, 0, tuple(replace(MINE, address=HOME.address[:8] + bytes(7) + bytes((m,))) for m in range(1, 99)))
            for n in range(99)]  # fmt: skip
    answer = ask(M.RENEW, *many)
    assert len(answer.all(IaNa)) == 8
    assert len(answer.encode()) < 8_000


# --- IPv4 -------------------------------------------------------------------------------------------------------------

MAC = bytes.fromhex("020000000001")
OWN = Home(address("10.1.0.5"), 24, address("10.1.0.1"))
IPV4 = Dhcpv4Server(Dhcpv4Settings(address("10.1.0.1"), 60 * SECOND, 1460, (address("192.0.2.53"),), "example.net"))
ROUTER = bytes((10, 1, 0, 1))


def ipv4(kind: DhcpType, client: str = "0.0.0.0", flags: int = 0, **options: bytes) -> Dhcpv4Message:
    values = {Code.MESSAGE_TYPE: bytes((kind,))} | {Code[name.upper()]: value for name, value in options.items()}
    return Dhcpv4Message(BOOTREQUEST, 5, MAC, dict(values), flags, client=to_ipv4(address(client)))


@pytest.mark.parametrize(
    "asked",
    [
        replace(ipv4(DhcpType.DISCOVER), op=BOOTREPLY),
        ipv4(DhcpType.OFFER),
        replace(ipv4(DhcpType.DISCOVER), options={}),  # BOOTP
        replace(ipv4(DhcpType.DISCOVER), relay=b"\x0a\0\0\1"),
        replace(ipv4(DhcpType.DISCOVER), hardware=bytes(6)),
    ],
)
def test_what_is_no_message_of_this_client_is_discarded(asked: Dhcpv4Message) -> None:
    with pytest.raises(Discarded):
        IPV4.check(asked, MAC)


def test_rfc5844_3_4_3_an_offer_has_mask_router_and_mtu_of_the_tunnel() -> None:
    answer = IPV4.answer(ipv4(DhcpType.DISCOVER, client_identifier=b"me"), OWN, True).message
    assert answer is not None
    assert answer.yours == bytes((10, 1, 0, 5))
    assert answer.options[Code.SUBNET_MASK] == bytes((255, 255, 255, 0))
    assert answer.options[Code.ROUTER] == answer.options[Code.SERVER_IDENTIFIER] == ROUTER
    assert answer.options[Code.INTERFACE_MTU] == (1460).to_bytes(2, "big")
    assert answer.options[Code.CLIENT_IDENTIFIER] == b"me"  # RFC 6842
    assert answer.options[Code.DNS_SERVERS] == bytes((192, 0, 2, 53))


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (ipv4(DhcpType.REQUEST, requested_address=b"\x0a\1\0\5", server_identifier=ROUTER), DhcpType.ACK),
        (ipv4(DhcpType.REQUEST, requested_address=b"\x0a\1\0\5"), DhcpType.ACK),
        (ipv4(DhcpType.REQUEST, "10.1.0.5"), DhcpType.ACK),
        (ipv4(DhcpType.REQUEST, requested_address=b"\x0a\1\0\6", server_identifier=ROUTER), DhcpType.NAK),
        (ipv4(DhcpType.REQUEST, requested_address=b"\x0a\1\0\6"), DhcpType.NAK),
        (ipv4(DhcpType.REQUEST, "10.9.9.9"), DhcpType.NAK),
        (ipv4(DhcpType.INFORM, "10.9.9.9"), DhcpType.ACK),
    ],
)
def test_rfc2131_4_3_2_a_request_is_granted_or_refused(asked: Dhcpv4Message, kind: DhcpType) -> None:
    answer = IPV4.answer(asked, OWN, True).message
    assert answer is not None
    assert answer.kind == kind
    assert (Code.LEASE_TIME in answer.options) == (kind == DhcpType.ACK and asked.kind == DhcpType.REQUEST)


def test_rfc2131_4_3_2_a_request_to_another_server_is_not_ours() -> None:
    with pytest.raises(Discarded):
        IPV4.answer(ipv4(DhcpType.REQUEST, requested_address=b"\x0a\1\0\5", server_identifier=b"\x0a\7\0\1"), OWN, True)


@pytest.mark.parametrize("home", [OWN, None])
def test_an_address_that_may_turn_out_to_be_the_clients_is_not_refused(home: Home | None) -> None:
    with pytest.raises(NotYet):
        IPV4.answer(ipv4(DhcpType.REQUEST, "10.9.9.9"), home, False)


def test_a_client_that_believes_to_have_an_address_and_has_none_learns_better() -> None:
    answer = IPV4.answer(ipv4(DhcpType.REQUEST, "10.9.9.9"), None, True)
    assert answer.message is not None
    assert answer.message.kind == DhcpType.NAK
    assert answer.destination == from_ipv4(b"\xff" * 4)


@pytest.mark.parametrize(
    ("asked", "destination"),
    [
        (ipv4(DhcpType.DISCOVER), "10.1.0.5"),
        (ipv4(DhcpType.DISCOVER, flags=BROADCAST_FLAG), "255.255.255.255"),
        (ipv4(DhcpType.REQUEST, "10.1.0.5"), "10.1.0.5"),
    ],
)
def test_rfc2131_4_1_where_an_answer_goes(asked: Dhcpv4Message, destination: str) -> None:
    assert IPV4.answer(asked, OWN, True).destination == address(destination)
