"""RFC 6757: MAGs say on which network a node is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.engines.extension_settings import AccessNetwork, AccessNetworkSettings, NotificationSettings
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityOption
from sojourn.wire.extensions.rfc6757 import (
    AccessNetworkIdentifier,
    GeoLocation,
    NetworkIdentifier,
    OperatorIdentifier,
)
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain, request, status_of
from support.pmip_extensions import command, messages, settled
from support.table import node

CAMPUS = AccessNetwork("", "campus", "hall-2", (52.5163, -13.3777), 32473)
OPTION = AccessNetworkIdentifier(
    (
        NetworkIdentifier(True, b"campus", b"hall-2"),
        GeoLocation.of(52.5163, -13.3777),
        OperatorIdentifier(1, b"\x7e\xd9"),
    )
)


def told(settings: AccessNetworkSettings | None = AccessNetworkSettings(), **more: object) -> ProxyDomain:  # noqa: B008
    overrides: dict[str, object] = {"access_networks": (CAMPUS,)}
    domain = ProxyDomain(lma={"access_network": settings}, **(overrides | more))
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


def shown(domain: ProxyDomain) -> object:
    (row,) = domain.lma.show("bindings", domain.now)
    return row.get("access_network")


def test_4_1_every_update_has_it_that_of_the_end_as_well() -> None:
    domain = told()
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    updates = messages(domain, BindingUpdate)
    assert [update.lifetime > 0 for update in updates] == [True, False]
    assert all(OPTION in update.options for update in updates)


def test_4_2_what_is_accepted_is_kept_shown_and_returned_unaltered() -> None:
    domain = told()
    assert OPTION in messages(domain, BindingAcknowledgement)[0].options
    assert shown(domain) == "campus at hall-2, 52.5163 -13.3777, operator 32473"


def test_4_2_only_what_is_switched_on_is_accepted() -> None:
    settings = AccessNetworkSettings(enable_ani_sub_opt_geo_location=False)
    domain = told(settings)
    option = messages(domain, BindingAcknowledgement)[0].first(AccessNetworkIdentifier)
    assert option is not None
    assert option.sub_options == (OPTION.sub_options[0], OPTION.sub_options[2])
    assert shown(domain) == "campus at hall-2, operator 32473"


def test_4_2_an_update_without_it_removes_it() -> None:
    domain = told()
    domain.clear()
    again = request(domain, *domain.entry().prefixes, handoff=5, sequence=99)
    assert status_of(domain.ask(again)) == 0
    assert shown(domain) is None


def test_4_1_an_anchor_that_does_not_return_it_is_reported() -> None:
    domain = told(None)
    assert domain.reported("mag1", "access-network-ignored") == 1
    assert domain.at("mag1").confirmed


def test_4_1_networks_of_interfaces_and_what_is_not_known_is_not_told() -> None:
    """A realm in the place of a number; an interface without anything has no option."""
    networks = (
        AccessNetwork("acc0", "", "", None, 0, "example.net"),
        AccessNetwork("acc1", "elsewhere"),
    )
    domain = told(access_networks=networks)
    (update,) = messages(domain, BindingUpdate)
    found = update.first(AccessNetworkIdentifier)
    assert found == AccessNetworkIdentifier((OperatorIdentifier(2, b"example.net"),))
    assert shown(domain) == "operator example.net"
    silent = told(access_networks=(AccessNetwork("acc1", "elsewhere"),))
    assert messages(silent, BindingUpdate)[0].first(AccessNetworkIdentifier) is None
    assert silent.reported("mag1", "access-network-ignored") == 0


def test_a_session_that_ends_leaves_nothing() -> None:
    domain = told()
    domain.detach("mn1", "mag1")
    domain.run(30 * SECOND)
    (extension,) = domain.lma.extensions
    assert not extension._told  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "sub_options",
    [
        (),
        (NetworkIdentifier(False, b"\xff\xfe", b"\xff"),),
        tuple(NetworkIdentifier(True, b"n") for _ in range(40)),
        (OperatorIdentifier(7, b"\xff"),),
    ],
)
def test_whatever_a_gateway_says_is_shown_or_passed_over(sub_options: tuple[MobilityOption, ...]) -> None:
    domain = ProxyDomain(lma={"access_network": AccessNetworkSettings()})
    asked = request(domain, more=(AccessNetworkIdentifier(sub_options),))
    assert status_of(domain.ask(asked)) == 0
    assert isinstance(shown(domain), str | None)


def test_rfc7077_6_1_a_request_for_it_is_answered_by_an_update_that_has_it() -> None:
    domain = ProxyDomain(
        lma={"access_network": AccessNetworkSettings(), "update_notification": NotificationSettings()},
        access_networks=(replace(CAMPUS, network="annex"),),
        update_notification=True,
    )
    settled(domain, ("mn1", "mag1"))
    assert command(domain, "lma", "notify", node=node("mn1").hex(), reason="access-network")
    domain.run(SECOND)
    (update,) = messages(domain, BindingUpdate)
    assert update.first(AccessNetworkIdentifier) is not None
