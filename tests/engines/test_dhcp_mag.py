"""A host of a domain of RFC 5213 that asks by DHCPv6 has addresses in its home prefixes, at every MAG the same."""

from __future__ import annotations

import pytest

from sojourn.core.events import DhcpReceived
from sojourn.engines.configuration import Dhcpv6
from sojourn.wire.addresses import address, eui64_link_local
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    DnsServers,
    IaAddress,
    IaNa,
    IaPd,
    MessageType,
    RapidCommit,
    StatusCode,
    decode_dhcpv6,
)
from sojourn.wire.dhcpv6 import Status as DhcpStatus
from sojourn.wire.units import SECOND
from support.dhcp import ALL_SERVERS, SERVER, address_in, duid
from support.pmip import ProxyDomain
from support.table import HOSTS

M = MessageType
NO_IA = IaNa(1, 0, 0)


def domain(**settings: object) -> ProxyDomain:
    return ProxyDomain(**{"dhcpv6": Dhcpv6.STATEFUL, **settings})  # type: ignore[arg-type]


def say(made: ProxyDomain, name: str, kind: MessageType, *options: Dhcpv6Option) -> None:
    server = (SERVER,) if kind in (M.REQUEST, M.RENEW) else ()
    message = Dhcpv6Message(kind, b"abc", (ClientIdentifier(duid("mn1")), *server, *options))
    source = eui64_link_local(HOSTS["mn1"])
    made.event(name, DhcpReceived("acc0", HOSTS["mn1"], source, ALL_SERVERS, message.encode()))


def ask(made: ProxyDomain, name: str, kind: MessageType, *options: Dhcpv6Option) -> Dhcpv6Message:
    """What the MAG answers within a second."""
    sent = made.members[name].dhcp
    before = len(sent)
    say(made, name, kind, *options)
    made.run(SECOND)
    (answer,) = sent[before:]
    return decode_dhcpv6(answer.payload)


def test_a_question_is_an_attachment_and_waits_for_the_lma() -> None:
    made = domain()
    say(made, "mag1", M.SOLICIT, NO_IA)
    assert made.members["mag1"].dhcp == []
    made.run(SECOND)
    (answer,) = made.members["mag1"].dhcp
    (offered,) = address_in(decode_dhcpv6(answer.payload))
    (home,) = made.at("mag1").anchored
    assert home.covers(offered.address)
    assert made.advertisement("mag1").managed


def test_the_address_stays_preferred_at_every_mag() -> None:
    made = domain()
    (first,) = address_in(ask(made, "mag1", M.SOLICIT, NO_IA, RapidCommit()))
    made.detach("mn1", "mag1")
    made.attach("mn1", "mag2")
    (kept,) = address_in(ask(made, "mag2", M.RENEW, IaNa(1, 0, 0, (first,))))
    assert kept.address == first.address
    assert kept.preferred > 0


def test_a_strange_address_is_given_up_only_when_the_lma_answered() -> None:
    made = domain()
    made.crash("lma")
    strange = IaAddress(address("2001:db8:dead::1"), 0, 0)
    say(made, "mag1", M.RENEW, IaNa(1, 0, 0, (strange,)))
    made.run(5 * SECOND)
    assert made.members["mag1"].dhcp == []
    made.restart("lma", store=True)
    made.run(40 * SECOND)
    (answer,) = made.members["mag1"].dhcp
    held = {one.address: one.valid for one in address_in(decode_dhcpv6(answer.payload))}
    assert held.pop(strange.address) == 0
    assert len(held) == 1


def test_no_prefix_is_delegated() -> None:
    answer = ask(domain(), "mag1", M.SOLICIT, IaPd(9, 0, 0), RapidCommit())
    association = answer.first(IaPd)
    assert association is not None
    (status,) = [option for option in association.options if isinstance(option, DhcpStatus)]
    assert status.code == StatusCode.NO_PREFIX_AVAIL


def test_stateless_tells_name_servers_and_gives_no_address() -> None:
    made = domain(dhcpv6=Dhcpv6.STATELESS, dns=(address("2001:db8::53"),))
    answer = ask(made, "mag1", M.INFORMATION_REQUEST)
    assert answer.first(DnsServers) == DnsServers((address("2001:db8::53"),))
    made.run(SECOND)
    told = made.advertisement("mag1")
    assert (told.managed, told.other) == (False, True)


@pytest.mark.parametrize("how", ["refused", "gone"])
def test_whoever_goes_leaves_no_question(how: str) -> None:
    made = domain(lma={"everybody": None} if how == "refused" else None)
    if how == "gone":
        made.crash("lma")
    say(made, "mag1", M.SOLICIT, NO_IA)
    made.run(SECOND)
    made.detach("mn1", "mag1")
    made.run(60 * SECOND)
    dhcp = made.mag("mag1").dhcp
    assert dhcp is not None
    assert dhcp.questions == {}
    assert made.members["mag1"].dhcp == []


def test_without_dhcp_nobody_is_answered() -> None:
    made = domain(dhcpv6=Dhcpv6.OFF)
    say(made, "mag1", M.SOLICIT, NO_IA)
    made.run(SECOND)
    assert made.members["mag1"].dhcp == []
    assert not made.advertisement("mag1").managed
