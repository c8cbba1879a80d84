"""Control and user plane of an LMA at different addresses (RFC 7389)."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureUplink
from sojourn.core.events import Commanded
from sojourn.engines.way_settings import UserPlaneOfLma, UserPlaneOfMag
from sojourn.wire import BindingAcknowledgement, BindingUpdate
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.extensions.rfc7389 import LmaUserPlaneAddress
from sojourn.wire.units import SECOND
from support.pmip import LMA, ProxyDomain, gateway, home, request

UPA = address("2001:db8:f:1::1")
OTHER = address("2001:db8:f:2::1")
SPLIT_LMA, SPLIT_MAG = UserPlaneOfLma(address=UPA), UserPlaneOfMag(addresses=(UPA,))


def split(lma: UserPlaneOfLma | None = SPLIT_LMA, mag: UserPlaneOfMag | None = SPLIT_MAG) -> ProxyDomain:
    """mn1 is at mag1."""
    domain = ProxyDomain(2, lma={"user_plane": lma}, user_plane=mag)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


def named(domain: ProxyDomain, kind: type[BindingUpdate | BindingAcknowledgement]) -> list[list[Address]]:
    """The user-plane addresses in each message of a kind."""
    return [[option.address for option in m.all(LmaUserPlaneAddress)] for _, _, m in domain.sent(kind)]


def uplinks(domain: ProxyDomain, name: str = "mag1") -> list[Address | None]:
    return [*domain.plane(name).state.uplinks.values()]


def test_4_the_gateway_asks_with_an_empty_option_and_is_told() -> None:
    domain = split()
    assert named(domain, BindingUpdate) == [[b""]]
    assert named(domain, BindingAcknowledgement) == [[UPA]]
    assert uplinks(domain) == [UPA]


def test_4_no_packet_is_ever_tunnelled_elsewhere() -> None:
    domain = ProxyDomain(2, lma={"user_plane": SPLIT_LMA}, user_plane=SPLIT_MAG)
    domain.clear()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert {effect.anchor for _, _, effect in domain.effects if isinstance(effect, EnsureUplink)} == {UPA}


def test_1_signalling_stays_where_it_was() -> None:
    domain = split()
    domain.event("mag1", Commanded("refresh"))
    domain.run(SECOND)
    assert {destination for _, destination, _ in domain.sent(BindingUpdate)} == {"lma"}
    assert domain.at("mag1").lma == LMA


def test_3_both_sides_show_where_the_user_plane_is() -> None:
    domain = split()
    assert domain.lma.show("bindings", domain.now)[0]["user_plane"] == text(UPA)
    assert domain.mag("mag1").show("sessions", domain.now)[0]["user_plane"] == text(UPA)


def test_4_the_user_plane_is_the_same_after_a_handover() -> None:
    domain = split()
    domain.roam("mn1", "mag1", "mag2", settle=SECOND)
    assert (uplinks(domain), uplinks(domain, "mag2")) == ([], [UPA])


def test_5_a_gateway_that_does_not_ask_is_not_told() -> None:
    """Text: "the LMA SHALL disable this feature for the mobility session corresponding to the PBU"."""
    domain = split(mag=None)
    assert named(domain, BindingAcknowledgement) == [[]]
    assert uplinks(domain) == [LMA]
    assert domain.lma.show("bindings", domain.now)[0]["user_plane"] == text(LMA)


def test_5_in_a_domain_where_all_know_it_nobody_has_to_ask() -> None:
    domain = split(UserPlaneOfLma(address=UPA, domain_wide=True), UserPlaneOfMag(addresses=(UPA,), domain_wide=True))
    assert named(domain, BindingUpdate) == [[]]
    assert named(domain, BindingAcknowledgement) == [[UPA]]
    assert uplinks(domain) == [UPA]


def test_5_an_lma_without_one_is_both_planes() -> None:
    domain = split(lma=None)
    assert named(domain, BindingAcknowledgement) == [[]]
    assert uplinks(domain) == [LMA]


@pytest.mark.parametrize("offered", [OTHER, gateway(2), address("fe80::1"), b"\xc0\0\2\1", b""])
def test_7_an_address_that_is_not_the_lmas_is_not_believed(offered: Address) -> None:
    """Text: "MUST be a valid address under the administrative control associated with the LMA"."""
    domain = ProxyDomain(2, lma={"user_plane": SPLIT_LMA}, user_plane=SPLIT_MAG)
    domain.lose = lambda source, destination, message: source == "mag1"
    domain.attach("mn1", "mag1")
    ((_, _, update),) = domain.sent(BindingUpdate)
    answer = domain.ask(request(domain), "mag2")
    assert isinstance(update, BindingUpdate)
    assert answer is not None
    kept = [option for option in answer.options if not isinstance(option, LmaUserPlaneAddress)]
    stamps = [option for option in update.options if type(option).__name__ == "Timestamp"]
    kept = [option for option in kept if type(option).__name__ != "Timestamp"] + stamps
    forged = BindingAcknowledgement(0, 0x20, update.sequence, 300 * SECOND, (*kept, LmaUserPlaneAddress(offered)))
    domain.inject(LMA, "mag1", forged)
    assert uplinks(domain) == [LMA]
    assert domain.reported("mag1", "user-plane-refused") == 1
    assert home(0) in domain.plane("mag1").state.prefixes


def test_nothing_is_left_of_sessions_that_ended() -> None:
    domain = split()
    domain.detach("mn1", "mag1")
    domain.run(30 * SECOND)
    (here,), (there,) = domain.mag("mag1").extensions, domain.lma.extensions
    assert not here._ends  # type: ignore[attr-defined]
    assert not there._told  # type: ignore[attr-defined]
