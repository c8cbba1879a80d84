"""What a node got by DHCP stays with it: at the MAAR that gave it, through the database, wherever it is."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureLogicalInterface, EnsureQueue, EnsureTunnel
from sojourn.core.events import DhcpReceived, HandoverExpected
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.wire import Handoff
from sojourn.wire.addresses import address, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREQUEST, Code, DhcpType, Dhcpv4Message
from sojourn.wire.dhcpv6 import IaAddress, IaNa, IaPd, IaPrefix, MessageType, Status, StatusCode
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.dhcp import Client, address_in, prefixes_in, single
from support.domain import HOSTS, Domain, ipv4_pool, node, pool, router
from support.messages import pbu, stamp

M = MessageType
NO_IA = IaNa(1, 0, 0)


def domain(mode: Mode = Mode.PROXY, **settings: object) -> Domain:
    made = Domain(mode, dhcp=True, **settings)
    made.attach("mn1", "ar1")
    settle(made)
    return made


def settle(made: Domain) -> None:
    """Longer than previous MAARs take in any mode."""
    made.run(4 * SECOND)


# --- IA_NA ------------------------------------------------------------------------------------------------------------


def test_an_address_is_of_the_hosts_own_prefix_and_the_same_when_asked_again() -> None:
    made = domain()
    client = Client(made, "mn1")
    offered = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    given = address_in(client.ask("ar1", M.REQUEST, IaNa(1, 0, 0, tuple(offered))))
    assert [one.address for one in offered] == [one.address for one in given]
    assert made.own("ar1", "mn1").covers(given[0].address)
    assert 0 < given[0].preferred <= given[0].valid


@pytest.mark.parametrize("mode", CENTRAL)
def test_after_a_roam_the_address_stays_deprecated_and_a_new_one_comes_with_the_renewal(mode: Mode) -> None:
    made = domain(mode)
    client = Client(made, "mn1")
    (first,) = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    made.roam("mn1", "ar1", "ar2")
    settle(made)
    answer = address_in(client.ask("ar2", M.RENEW, IaNa(1, 0, 0, (first,))))
    kept = {one.address: one for one in answer}
    assert kept[first.address].preferred == 0 < kept[first.address].valid
    (new,) = [one for one in answer if one.address != first.address]
    assert made.own("ar2", "mn1").covers(new.address)
    assert new.preferred > 0


def test_a_renewal_before_the_database_answered_waits_and_loses_nothing() -> None:
    made = domain()
    client = Client(made, "mn1")
    (first,) = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    made.detach("mn1", "ar1")
    made.attach("mn1", "ar2")
    client.say("ar2", M.RENEW, IaNa(1, 0, 0, (first,)))
    assert made.members["ar2"].dhcp == []
    made.run(100 * SECOND // 1000)
    (answer,) = made.members["ar2"].dhcp
    assert first.address in answer.payload


def test_a_renewal_is_never_refused_while_the_database_is_dead() -> None:
    made = domain()
    client = Client(made, "mn1")
    (first,) = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    made.crash("cmd")
    made.roam("mn1", "ar1", "ar2")
    for kind in (M.RENEW, M.REBIND, M.CONFIRM):
        client.say("ar2", kind, IaNa(1, 0, 0, (first,)))
        made.run(5 * SECOND)
    assert made.members["ar2"].dhcp == []


def test_a_new_host_waits_for_no_dead_database() -> None:
    made = Domain(dhcp=True)
    made.crash("cmd")
    made.attach("mn1", "ar1")
    client = Client(made, "mn1")
    assert address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    client.shout("ar1", DhcpType.DISCOVER)
    assert client.answers("ar1") == []
    made.run(3 * SECOND)
    assert [answer.kind for answer in client.answers("ar1")] == [DhcpType.OFFER]


def test_the_node_renews_in_time_to_hear_of_its_new_address_before_the_old_prefix_retires() -> None:
    made = domain(idle_hold=20 * SECOND)
    client = Client(made, "mn1")
    answer = client.ask("ar1", M.SOLICIT, NO_IA)
    ia = answer.first(IaNa)
    assert ia is not None
    assert ia.t1 <= 10 * SECOND
    assert ia.t1 < ia.t2


def test_an_address_of_a_prefix_that_retired_ends_with_the_next_renewal() -> None:
    made = domain(idle_hold=4 * SECOND)
    client = Client(made, "mn1")
    (first,) = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    made.roam("mn1", "ar1", "ar2")
    made.run(20 * SECOND)  # nothing came from it
    lives = {one.address: one.valid for one in address_in(client.ask("ar2", M.RENEW, IaNa(1, 0, 0, (first,))))}
    assert lives.pop(first.address) == 0
    assert all(lives.values())


def test_two_hosts_with_one_identifier_get_addresses_of_their_own_prefixes() -> None:
    made = domain()
    made.attach("mn2", "ar1")
    made.run(SECOND)
    one, two = Client(made, "mn1"), Client(made, "mn2")
    two.duid = one.duid
    (first,) = address_in(one.ask("ar1", M.SOLICIT, NO_IA))
    (second,) = address_in(two.ask("ar1", M.SOLICIT, NO_IA))
    assert made.own("ar1", "mn1").covers(first.address)
    assert made.own("ar1", "mn2").covers(second.address)
    claimed = address_in(two.ask("ar1", M.RENEW, IaNa(1, 0, 0, (first,))))
    assert {one.valid for one in claimed if one.address == first.address} == {0}


# --- IPv4 -------------------------------------------------------------------------------------------------------------


def test_an_ipv4_address_is_forwarded_here_and_its_default_router_shown() -> None:
    made = domain()
    own = Client(made, "mn1").obtain_ipv4("ar1")
    plane = made.plane("ar1").state
    assert ipv4_pool(1).covers(own)
    assert plane.uplinks[single(own)] is None
    assert single(own) in plane.prefixes
    assert ("acc0", address("10.1.0.1")) in plane.logical_interfaces


@pytest.mark.parametrize("mode", CENTRAL)
def test_an_ipv4_address_stays_with_the_node_and_is_renewed_where_it_is(mode: Mode) -> None:
    made = domain(mode)
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.run(SECOND)
    for old, new in (("ar1", "ar2"), ("ar2", "ar3"), ("ar3", "ar1"), ("ar1", "ar3")):
        made.roam("mn1", old, new)
        settle(made)
        assert client.renew_ipv4(new, own) == DhcpType.ACK
    plane = made.plane("ar3").state
    assert plane.uplinks[single(own)] == router(1)
    assert ("acc0", address("10.1.0.1")) in plane.logical_interfaces
    anchor = made.plane("ar1").state
    assert anchor.slots[anchor.prefixes[single(own)]] == EnsureTunnel(anchor.prefixes[single(own)], router(3))
    assert single(own) not in anchor.uplinks
    assert ("acc0", address("10.1.0.1")) not in anchor.logical_interfaces
    assert single(own) not in made.plane("ar2").state.prefixes


def test_an_ipv4_address_outlives_the_idle_prefix_beside_it() -> None:
    made = domain(idle_hold=4 * SECOND)
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    prefix = made.own("ar1", "mn1")
    made.roam("mn1", "ar1", "ar2")
    made.run(MINUTE)
    anchor = made.plane("ar1").state
    assert prefix not in anchor.prefixes
    assert single(own) in anchor.prefixes
    assert client.renew_ipv4("ar2", own) == DhcpType.ACK


def test_a_lease_that_nobody_renews_ends_at_the_anchor_too() -> None:
    made = domain(dhcp_lease=30 * SECOND)
    own = Client(made, "mn1").obtain_ipv4("ar1")
    made.roam("mn1", "ar1", "ar2")
    made.run(20 * SECOND)
    assert single(own) in made.plane("ar1").state.prefixes
    made.run(20 * SECOND)
    assert single(own) not in made.plane("ar1").state.prefixes
    assert single(own) not in made.plane("ar2").state.prefixes
    assert single(own) not in [prefix for prefix, _ in made.cmd.entries[node("mn1")].anchors]


@pytest.mark.parametrize("place", ["ar1", "ar2"])
def test_a_released_address_ends_everywhere_and_the_prefixes_stay(place: str) -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.run(SECOND)
    if place == "ar2":
        made.roam("mn1", "ar1", "ar2")
    client.shout(place, DhcpType.RELEASE, client=own)
    made.run(SECOND)
    for name in ("ar1", "ar2"):
        assert single(own) not in made.plane(name).state.prefixes
    anchors = [prefix for prefix, _ in made.cmd.entries[node("mn1")].anchors]
    assert single(own) not in anchors
    assert anchors
    assert client.obtain_ipv4(place) != own  # it rests
    assert not made.reported("cmd", "update-refused")


def test_another_hosts_address_is_refused() -> None:
    made = domain()
    own = Client(made, "mn1").obtain_ipv4("ar1")
    made.attach("mn2", "ar1")
    made.run(SECOND)
    thief = Client(made, "mn2")
    assert thief.renew_ipv4("ar1", own) == DhcpType.NAK
    mine = thief.obtain_ipv4("ar1")
    assert mine != own
    thief.shout("ar1", DhcpType.REQUEST, requested_address=to_ipv4(own))
    assert thief.answers("ar1")[-1].kind == DhcpType.NAK
    thief.shout("ar1", DhcpType.RELEASE, client=own)
    assert single(own) in made.plane("ar1").state.prefixes


def test_in_the_name_of_another_host_nothing_is_done() -> None:
    made = domain()
    client = Client(made, "mn1")
    client.shout("ar1", DhcpType.DISCOVER, hardware=HOSTS["mn9"])
    assert client.answers("ar1") == []
    assert made.reported("ar1", "dhcp-discarded") == 1


def test_after_a_reboot_the_host_is_told_the_address_that_it_has() -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.roam("mn1", "ar1", "ar2")
    client.shout("ar2", DhcpType.REQUEST, requested_address=to_ipv4(own))
    assert client.answers("ar2")[-1].kind == DhcpType.ACK
    assert client.obtain_ipv4("ar2") == own


def test_a_declined_address_goes_to_nobody_for_a_while() -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    client.shout("ar1", DhcpType.DECLINE, requested_address=to_ipv4(own))
    assert made.reported("ar1", "ipv4-address-declined") == 1
    assert client.obtain_ipv4("ar1") != own


def test_a_restarted_router_goes_on_with_what_it_leased() -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.roam("mn1", "ar1", "ar2")
    made.restart("ar1", store=True)
    made.restart("ar2", store=True)
    made.run(SECOND)
    assert client.renew_ipv4("ar2", own) == DhcpType.ACK
    assert single(own) in made.plane("ar1").state.prefixes
    other = Client(made, "mn2")
    made.attach("mn2", "ar1")
    made.run(SECOND)
    assert other.obtain_ipv4("ar1") != own


def test_a_router_that_forgot_learns_from_the_database_what_it_leased() -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.roam("mn1", "ar1", "ar2")
    made.restart("ar1", store=False)
    made.run(10 * SECOND)
    assert single(own) in made.plane("ar1").state.prefixes
    assert client.renew_ipv4("ar2", own) == DhcpType.ACK


def test_a_database_that_forgot_learns_from_the_routers_what_is_leased() -> None:
    made = domain()
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    made.roam("mn1", "ar1", "ar2")
    made.restart("cmd", store=False)
    made.run(10 * SECOND)
    assert (single(own), router(1)) in made.cmd.entries[node("mn1")].anchors


def test_a_node_that_was_never_heard_but_for_dhcp_is_asked_at_its_ipv4_address() -> None:
    made = domain(lifetime=20 * SECOND)
    own = Client(made, "mn1").obtain_ipv4("ar1")
    made.run(15 * SECOND)
    assert made.members["ar1"].probes[0].address == own


# --- prefixes to delegate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CENTRAL)
def test_a_delegated_prefix_stays_with_the_node(mode: Mode) -> None:
    made = domain(mode)
    client = Client(made, "mn1")
    (offered,) = prefixes_in(client.ask("ar1", M.SOLICIT, IaPd(9, 0, 0)))
    (given,) = prefixes_in(client.ask("ar1", M.REQUEST, IaPd(9, 0, 0, (offered,))))
    assert given.prefix.length == 60
    assert made.maar_configurations["ar1"].delegated_pool.contains(given.prefix)  # type: ignore[union-attr]
    made.run(SECOND)
    made.roam("mn1", "ar1", "ar2")
    settle(made)
    (renewed,) = prefixes_in(client.ask("ar2", M.RENEW, IaPd(9, 0, 0, (given,))))
    assert (renewed.prefix, renewed.valid) == (given.prefix, given.valid)
    assert made.plane("ar2").state.uplinks[given.prefix] == router(1)
    assert all(given.prefix not in [one.prefix for one in told.prefixes] for _, told in made.members["ar2"].advertised)
    client.ask("ar2", M.RELEASE, IaPd(9, 0, 0, (given,)))
    made.run(SECOND)
    assert given.prefix not in made.plane("ar1").state.prefixes


def test_a_fast_handover_takes_along_what_was_leased() -> None:
    """Packets to it have a way at the new router before anybody registered the node there; its lease goes on there."""
    made = domain(handovers=4)
    client = Client(made, "mn1")
    own = client.obtain_ipv4("ar1")
    (offered,) = prefixes_in(client.ask("ar1", M.SOLICIT, IaPd(9, 0, 0)))
    (given,) = prefixes_in(client.ask("ar1", M.REQUEST, IaPd(9, 0, 0, (offered,))))
    made.run(SECOND)
    made.event("ar1", HandoverExpected(HOSTS["mn1"], router(2)))
    made.run(20 * MILLISECOND)
    plane = made.plane("ar2").state
    slot = plane.prefixes[made.own("ar1", "mn1")]
    assert plane.slots[slot] == EnsureQueue(slot, False)
    assert plane.prefixes[single(own)] == plane.prefixes[given.prefix] == slot
    assert plane.logical_interfaces == set()
    made.roam("mn1", "ar1", "ar2")
    assert ("acc0", address("10.1.0.1")) in plane.logical_interfaces
    settle(made)
    assert plane.uplinks[single(own)] == plane.uplinks[given.prefix] == router(1)
    assert client.renew_ipv4("ar2", own) == DhcpType.ACK


def test_nodes_get_no_prefix_out_of_the_part_to_delegate() -> None:
    made = Domain(dhcp=True)
    delegated = made.maar_configurations["ar1"].delegated_pool
    assert delegated is not None
    for number in range(1, 60):
        made.attach(f"mn{number}", "ar1")
        assert not delegated.contains(made.own("ar1", f"mn{number}"))


def test_a_prefix_that_is_not_the_nodes_is_taken_from_it() -> None:
    made = domain()
    client = Client(made, "mn1")
    strange = IaPrefix.of(made.maar_configurations["ar2"].delegated_pool.subnet(3, 60), SECOND, SECOND)  # type: ignore[union-attr]
    found = prefixes_in(client.ask("ar1", M.REBIND, IaPd(9, 0, 0, (strange,))))
    assert [one.valid for one in found if one.prefix == strange.prefix] == [0]


# --- exhaustion -------------------------------------------------------------------------------------------------------


def test_a_flood_of_discovers_keeps_no_host_from_an_address() -> None:
    made = domain(nodes=100_000)
    for number in range(600):  # more than the pool has; nobody takes what is offered
        mac = b"\x02\0\0\1" + number.to_bytes(2, "big")
        client = Client(made, "mn1")
        message = _discover(mac)
        made.event("ar1", DhcpReceived("acc0", mac, address("0.0.0.0"), address("255.255.255.255"), message))
        made.run(10 * SECOND // 1000)
    pool = made.maar("ar1").leases.ipv4_pool
    assert pool is not None
    assert len(pool) <= 253
    assert ipv4_pool(1).covers(client.obtain_ipv4("ar1"))


def test_a_full_pool_is_counted_and_those_who_have_an_address_keep_it() -> None:
    made = Domain(dhcp=True, new_nodes_per_second=10_000, nodes=100_000)
    first: list[tuple[Client, object]] = []
    pool = made.maar("ar1").leases.ipv4_pool
    assert pool is not None
    for number in range(1, 99):
        made.attach(f"mn{number}", "ar1")
    made.run(SECOND)
    for number in range(1, 90):
        client = Client(made, f"mn{number}")
        first.append((client, client.obtain_ipv4("ar1")))
    while pool.allocate(made.now) is not None:
        pass
    late = Client(made, "mn95")
    late.shout("ar1", DhcpType.DISCOVER)
    assert made.reported("ar1", "dhcp-pool-exhausted") == 1
    client, own = first[0]
    assert isinstance(own, bytes)
    assert client.renew_ipv4("ar1", own) == DhcpType.ACK


def test_what_was_offered_and_not_taken_goes_back() -> None:
    made = domain()
    client = Client(made, "mn1")
    client.shout("ar1", DhcpType.DISCOVER)
    pool = made.maar("ar1").leases.ipv4_pool
    assert pool is not None
    assert len(pool) == 1
    assert not any(isinstance(effect, EnsureLogicalInterface) for _, name, effect in made.effects if name != "ar1")
    made.run(2 * MINUTE)
    assert len(pool) == 0
    assert not made.plane("ar1").state.logical_interfaces
    assert made.session("ar1", "mn1") is not None


@pytest.mark.parametrize(
    "payload", [b"", b"\1", b"\1abc\0\1", b"\1abc\0\1\xff\xff", b"\xff" * 300, bytes(240), b"\1" * 1400]
)
def test_malformed_messages_are_counted_and_answered_by_nobody(payload: bytes) -> None:
    made = domain()
    for source in ("fe80::1", "0.0.0.0"):
        made.event("ar1", DhcpReceived("acc0", HOSTS["mn1"], address(source), address("ff02::1:2"), payload))
    assert made.members["ar1"].dhcp == []
    assert made.reported("ar1", "dhcp-malformed") + made.reported("ar1", "dhcp-discarded") == 2


def test_confirm_says_whether_all_addresses_are_the_hosts() -> None:
    made = domain()
    client = Client(made, "mn1")
    (mine,) = address_in(client.ask("ar1", M.SOLICIT, NO_IA))
    strange = IaAddress(address("2001:db8:dead::1"), 0, 0)
    right = client.ask("ar1", M.CONFIRM, IaNa(1, 0, 0, (mine,)))
    wrong = client.ask("ar1", M.CONFIRM, IaNa(1, 0, 0, (mine, strange)))
    status = [answer.first(Status) for answer in (right, wrong)]
    assert [one.code for one in status if one] == [StatusCode.SUCCESS, StatusCode.NOT_ON_LINK]


def test_the_order_in_which_anchors_served_is_stored_when_a_refresh_changes_it() -> None:
    made = Domain(dhcp=True)
    own, leased = pool(1).subnet(7, 64), ipv4_pool(1).subnet(9, 128)
    at = stamp(made)
    for sequence, listed in enumerate([(leased, own), (own, leased)]):
        update = pbu(made, *listed, sequence=sequence, timestamp=at, handoff=int(Handoff.NOT_CHANGED))
        made.inject(router(1), "cmd", update)
    anchors = [(own, router(1)), (leased, router(1))]
    assert made.cmd.entries[node("mn1")].anchors == anchors
    stored = made.members["cmd"].store[node("mn1")]
    assert BindingCacheEntry.restored(node("mn1"), stored, 0).anchors == anchors


def _discover(mac: bytes) -> bytes:
    return Dhcpv4Message(BOOTREQUEST, 1, mac, {Code.MESSAGE_TYPE: bytes((DhcpType.DISCOVER,))}).encode()
