"""A host of a domain of RFC 5213 that asks by DHCPv6 has addresses in its home prefixes, at every MAG the same."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.events import DhcpReceived, Sighting
from sojourn.engines.configuration import Dhcpv6
from sojourn.engines.way_settings import DelegationOfLma, DelegationOfMag
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import Prefix, address, eui64_link_local, prefix
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    DnsServers,
    IaAddress,
    IaNa,
    IaPd,
    IaPrefix,
    MessageType,
    RapidCommit,
    StatusCode,
    decode_dhcpv6,
)
from sojourn.wire.dhcpv6 import Status as DhcpStatus
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix
from sojourn.wire.units import SECOND
from support.dhcp import ALL_SERVERS, SERVER, address_in, duid
from support.pmip import ProxyDomain, gateway
from support.table import HOSTS

M = MessageType
NO_IA = IaNa(1, 0, 0)


def domain(**settings: object) -> ProxyDomain:
    return ProxyDomain(**{"dhcpv6": Dhcpv6.STATEFUL, **settings})  # type: ignore[arg-type]


def say(made: ProxyDomain, name: str, kind: MessageType, *options: Dhcpv6Option) -> None:
    server = (SERVER,) if kind in (M.REQUEST, M.RENEW, M.RELEASE) else ()
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


# --- IA_PD (RFC 7148 5.1.3.1) -----------------------------------------------------------------------------------------

POOL = prefix("2001:db8:f101::/48")
NETWORK, NEXT = POOL.subnet(0, 56), POOL.subnet(1, 56)
WISH = IaPd(9, 0, 0)


def delegating(mag: DelegationOfMag | None = None, lma: DelegationOfLma | None = None) -> ProxyDomain:
    """Everybody may ask, and mn1 has attached without asking."""
    pools = DelegationOfLma((POOL,))
    made = domain(lma={"delegation": lma or pools}, delegation=mag or DelegationOfMag(everybody=True))
    made.attach("mn1", "mag1")
    made.run(SECOND)
    return made


def given(answer: Dhcpv6Message) -> list[tuple[Prefix, bool]]:
    """The prefixes of its IA_PD, and whether they live."""
    association = answer.first(IaPd)
    assert association is not None
    return [(one.prefix, one.valid > 0) for one in association.options if isinstance(one, IaPrefix)]


def asked(made: ProxyDomain) -> list[list[Prefix | None]]:
    """The delegated prefixes in each registration."""
    return [[one.prefix for one in m.all(DelegatedMobileNetworkPrefix)] for _, _, m in made.sent(BindingUpdate)]


def granted(made: ProxyDomain) -> object:
    return made.lma.show("bindings", made.now)[0]["delegated"]


def test_a_host_that_is_a_router_gets_what_the_lma_delegates() -> None:
    made = delegating()
    made.clear()
    assert given(ask(made, "mag1", M.SOLICIT, WISH)) == [(NETWORK, True)]
    assert asked(made) == [[prefix("::/0")]]
    assert given(ask(made, "mag1", M.REQUEST, WISH)) == [(NETWORK, True)]
    assert given(ask(made, "mag1", M.RENEW, IaPd(9, 0, 0, (IaPrefix.of(NETWORK, 0, 0),)))) == [(NETWORK, True)]
    assert asked(made) == [[prefix("::/0")]], "asked once"
    assert made.plane("mag1").way(NETWORK) == EnsureDelivery(1, "acc0", HOSTS["mn1"])


def test_a_router_that_the_profile_names_is_told_what_it_has() -> None:
    made = delegating(DelegationOfMag(((HOSTS["mn1"], ()),)))
    made.clear()
    assert given(ask(made, "mag1", M.SOLICIT, WISH, RapidCommit())) == [(NETWORK, True)]
    assert asked(made) == []


def test_a_router_keeps_its_network_at_a_gateway_that_hears_of_it_by_dhcp() -> None:
    """RFC 7148 5.1.3.1: "not aware of the DMNPs ... will provide the right prefixes back ... based on ... the content
    of the associated Binding Cache entry". Until then packets for it go to the node."""
    made = delegating()
    ask(made, "mag1", M.SOLICIT, WISH, RapidCommit())
    made.detach("mn1", "mag1")
    made.attach("mn1", "mag2")
    made.run(SECOND)
    assert made.plane("lma").way(NETWORK) == EnsureTunnel(1, gateway(2))
    renewal = IaPd(9, 0, 0, (IaPrefix.of(NETWORK, 0, 0),))
    assert given(ask(made, "mag2", M.RENEW, renewal)) == [(NETWORK, True)]
    assert made.plane("mag2").way(NETWORK) == EnsureDelivery(1, "acc0", HOSTS["mn1"])


def test_a_network_that_no_gateway_asks_for_is_led_nowhere_and_kept() -> None:
    made = delegating()
    ask(made, "mag1", M.SOLICIT, WISH, RapidCommit())
    made.detach("mn1", "mag1")
    made.attach("mn1", "mag2")
    made.run(20 * SECOND)
    assert made.plane("lma").way(NETWORK) is None
    assert granted(made) == [str(NETWORK)]
    assert given(ask(made, "mag2", M.SOLICIT, WISH)) == [(NETWORK, True)]
    assert made.plane("lma").way(NETWORK) == EnsureTunnel(1, gateway(2))


def test_what_a_router_releases_goes_back_to_the_lma() -> None:
    made = delegating()
    ask(made, "mag1", M.SOLICIT, WISH, RapidCommit())
    ask(made, "mag1", M.RELEASE, IaPd(9, 0, 0, (IaPrefix.of(NETWORK, 0, 0),)))
    assert granted(made) == []
    assert made.plane("mag1").way(NETWORK) is None
    assert given(ask(made, "mag1", M.SOLICIT, WISH)) == [(NEXT, True)], "the first one rests"


def test_what_a_router_does_not_renew_ends_with_its_lease() -> None:
    made = delegating()
    made.on_probe = lambda name, probe: made.attach("mn1", name, Sighting.NEIGHBOUR)
    ask(made, "mag1", M.SOLICIT, WISH, RapidCommit())
    lease = made.mag("mag1").configuration.preferred_lifetime
    made.run(lease - 5 * SECOND)
    assert granted(made) == [str(NETWORK)]
    made.run(10 * SECOND)
    assert granted(made) == []
    assert made.reported("mag1", "delegation-over") == 1


def test_a_router_that_is_refused_is_told_so_and_asked_for_again_after_a_minute_only() -> None:
    made = delegating(lma=DelegationOfLma((), dynamic=False))
    made.on_probe = lambda name, probe: made.attach("mn1", name, Sighting.NEIGHBOUR)
    for _ in range(3):
        answer = ask(made, "mag1", M.SOLICIT, WISH)
        association = answer.first(IaPd)
        assert association is not None
        assert [one.code for one in association.options if isinstance(one, DhcpStatus)] == [StatusCode.NO_PREFIX_AVAIL]
    assert made.reported("mag1", "delegation-refused") == 1
    made.run(60 * SECOND)
    ask(made, "mag1", M.SOLICIT, WISH)
    assert made.reported("mag1", "delegation-refused") == 2


def test_who_may_not_have_a_prefix_is_not_asked_for() -> None:
    made = delegating(DelegationOfMag())
    made.clear()
    assert given(ask(made, "mag1", M.SOLICIT, WISH)) == []
    assert asked(made) == []


def test_a_router_waits_for_an_lma_that_is_silent_but_not_for_ever() -> None:
    made = delegating()
    made.crash("lma")
    say(made, "mag1", M.SOLICIT, WISH)
    made.run(SECOND)
    assert made.members["mag1"].dhcp == []
    made.run(2 * SECOND)
    (answer,) = made.members["mag1"].dhcp
    assert given(decode_dhcpv6(answer.payload)) == []


# --- the rest ---------------------------------------------------------------------------------------------------------


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
