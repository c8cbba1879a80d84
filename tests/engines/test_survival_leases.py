"""IPv4 addresses and delegated prefixes of an anchor that dies: its partner holds them too, and they stay leased."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.dhcpv4 import DhcpType
from sojourn.wire.dhcpv6 import IaPd, MessageType
from sojourn.wire.units import MILLISECOND, SECOND
from support.dhcp import Client, prefixes_in, single
from support.domain import Domain, ipv4_pool, router

FAST = LivenessSettings()
GONE = FAST.patience + 2 * FAST.interval


class Leased:
    """A domain whose node came from ar1 to ar2 with what ar1 leased to it."""

    def __init__(self, partners: dict[str, str], **settings: object) -> None:
        self.domain = each = Domain(maars=4, dhcp=True, partners=partners, **settings)  # type: ignore[arg-type]
        each.attach("mn1", "ar1")
        each.run(4 * SECOND)
        self.client = client = Client(each, "mn1")
        self.address: Address = client.obtain_ipv4("ar1")
        (offered,) = prefixes_in(client.ask("ar1", MessageType.SOLICIT, IaPd(9, 0, 0)))
        (given,) = prefixes_in(client.ask("ar1", MessageType.REQUEST, IaPd(9, 0, 0, (offered,))))
        self.delegated = given.prefix
        self.own = each.own("ar1", "mn1")
        each.roam("mn1", "ar1", "ar2", settle=4 * SECOND)
        each.clear()

    @property
    def all(self) -> list[Prefix]:
        return [self.own, single(self.address), self.delegated]

    def leads(self, prefix: Prefix) -> list[str]:
        """Whom a packet to it passes, as pools and tunnels lead."""
        at, passed = self.domain.leads(prefix), []
        while at is not None and at.powered:
            assert at.name not in passed, f"{prefix} goes round"
            passed.append(at.name)
            plane = at.plane
            way = plane.way(prefix) or next(
                (plane.way(held) for held in plane.state.pools if held.contains(prefix)), None
            )
            if isinstance(way, EnsureDelivery):
                return passed
            if not isinstance(way, EnsureTunnel):
                break
            at = self.domain.members[self.domain.names[way.remote]]
        return [*passed, "nowhere"]

    def all_lead(self, *way: str) -> bool:
        return all(self.leads(prefix) == list(way) for prefix in self.all)

    def dark(self, name: str) -> None:
        self.domain.members[name].lose_power()
        self.domain.run(GONE)


@pytest.mark.parametrize("mode", CENTRAL)
def test_all_that_was_leased_goes_on_through_the_partner_and_comes_back(mode: Mode) -> None:
    each = Leased({"ar1": "ar3"}, mode=mode)
    each.dark("ar1")
    assert each.all_lead("ar3", "ar2")
    assert ipv4_pool(1) in each.domain.plane("ar3").state.pools
    assert all(each.domain.plane("ar2").state.uplinks[prefix] == router(3) for prefix in each.all)
    each.domain.run(20 * SECOND)
    assert each.client.renew_ipv4("ar2", each.address) == DhcpType.ACK
    each.domain.roam("mn1", "ar2", "ar4", settle=4 * SECOND)
    assert each.all_lead("ar3", "ar4")
    assert each.client.renew_ipv4("ar4", each.address) == DhcpType.ACK
    each.domain.restart("ar1", store=True)
    for _ in range(100):
        each.domain.run(200 * MILLISECOND)
        assert all(each.leads(prefix)[-1] == "ar4" for prefix in each.all)
    assert each.all_lead("ar1", "ar4")
    assert each.client.renew_ipv4("ar4", each.address) == DhcpType.ACK
    state = each.domain.plane("ar3").state
    assert not state.pools
    assert not state.slots


def test_a_host_at_the_partner_renews_there() -> None:
    each = Leased({"ar1": "ar3"})
    each.dark("ar1")
    each.domain.roam("mn1", "ar2", "ar3", settle=4 * SECOND)
    assert each.all_lead("ar3")
    assert each.client.renew_ipv4("ar3", each.address) == DhcpType.ACK
    each.domain.restart("ar1", store=True)
    each.domain.run(20 * SECOND)
    assert each.all_lead("ar1", "ar3")


def test_leases_do_not_end_by_silence_at_a_partner() -> None:
    each = Leased({"ar1": "ar3"}, idle_hold=10 * SECOND, dhcp_lease=120 * SECOND)
    each.dark("ar1")
    each.domain.run(40 * SECOND)
    assert each.leads(each.own)[-1] == "nowhere"
    for prefix in (single(each.address), each.delegated):
        assert each.leads(prefix) == ["ar3", "ar2"]
    assert each.client.renew_ipv4("ar2", each.address) == DhcpType.ACK


@pytest.mark.parametrize("partners", [{}, {"ar1": "ar3"}], ids=["no partner", "partner"])
def test_what_is_released_while_its_anchor_is_dead_is_free_when_that_is_back(partners: dict[str, str]) -> None:
    each = Leased(partners)
    each.dark("ar1")
    each.client.shout("ar2", DhcpType.RELEASE, client=each.address)
    each.domain.run(10 * SECOND)
    address = single(each.address)
    for name in ("ar2", "ar3"):
        assert address not in each.domain.plane(name).state.prefixes
    each.domain.restart("ar1", store=True)
    each.domain.run(20 * SECOND)
    session = each.domain.session("ar1", "mn1")
    assert session is None or address not in session.leased


def test_a_lease_of_an_anchor_without_a_partner_is_over_for_the_host_and_nobody_renews_it() -> None:
    each = Leased({})
    each.dark("ar1")
    each.domain.run(FAST.hold)
    assert single(each.address) not in each.domain.plane("ar2").state.prefixes
    assert each.client.renew_ipv4("ar2", each.address) != DhcpType.ACK
    assert ipv4_pool(2).covers(each.client.obtain_ipv4("ar2")), "it gets another one"
