"""What a reviewer with an attacker's eye found in the engines, each as the test that would have found it."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.core.events import Commanded, EffectFailed, LinkChanged, NodeSeen, Sighting
from sojourn.engines.configuration import FIXED_LINK_LOCAL, Peer
from sojourn.engines.maar_session import Presence
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLocalAddress,
    HandoffIndicator,
    HomeNetworkPrefix,
    LocalPrefix,
    MobileNodeIdentifier,
    PreviousMaar,
    Status,
    Timestamp,
    encode,
)
from sojourn.wire.addresses import ANY, Prefix, address, prefix
from sojourn.wire.mobility import MobilityOption
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import CMD, HOSTS, Domain, node, pool, router

STRANGER = address("2001:db8:bad::1")


def invented(number: int) -> bytes:
    """The link-layer address of a node that is not there."""
    return b"\x02\xff\xff" + number.to_bytes(3, "big")


def told(domain: Domain, *options: MobilityOption) -> BindingAcknowledgement:
    """An answer of the CMD that tells ar1 of previous MAARs of mn1."""
    session = domain.session("ar1", "mn1")
    assert session is not None
    identity = node("mn1")
    usual = (
        MobileNodeIdentifier(identity[0], identity[1:]),
        HomeNetworkPrefix.of(ANY),
        Timestamp(session.attached),
    )
    return BindingAcknowledgement(0, 0x22, session.sequence, 60 * SECOND, (*usual, *options))


@pytest.mark.parametrize("wide", ["2600::/16", "2a00::/12", "2001:db8:a200::/48", "2001:db8:a200::1/128", "fe80::/64"])
def test_no_answer_puts_anything_but_a_node_prefix_into_the_table(wide: str) -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.inject(CMD, "ar1", told(domain, PreviousMaar.of(prefix(wide), router(2))))
    assert set(domain.plane("ar1").state.prefixes) == {domain.own("ar1", "mn1")}
    assert domain.reported("ar1", "anchor-refused") == 1


def test_a_peer_anchors_from_its_own_pool_only_where_the_pool_is_known() -> None:
    domain = Domain()
    domain.reconfigure("ar1", peers=(Peer(router(2), "ar2", pool(2)), Peer(router(3), "ar3", pool(3))))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.inject(CMD, "ar1", told(domain, PreviousMaar.of(pool(3).subnet(7, 64), router(2))))
    assert domain.reported("ar1", "anchor-refused") == 1
    domain.inject(CMD, "ar1", told(domain, PreviousMaar.of(pool(2).subnet(7, 64), router(2))))
    assert pool(2).subnet(7, 64) in domain.plane("ar1").state.prefixes


def test_a_flood_on_one_access_link_keeps_nobody_out_of_another() -> None:
    domain = Domain(nodes=100, new_nodes_per_second=50)
    for number in range(1000):
        domain.event("ar1", NodeSeen("acc1", invented(number), Sighting.STATION))
    domain.attach("mn1", "ar1")
    domain.run(100 * MILLISECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.confirmed


def test_a_full_table_makes_room_for_a_newcomer_and_spares_nodes_that_proved_themselves() -> None:
    domain = Domain(nodes=10, new_nodes_per_second=1000)
    domain.attach("mn1", "ar1")
    domain.event("ar1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    for number in range(500):
        domain.event("ar1", NodeSeen("acc0", invented(number), Sighting.STATION))
    domain.attach("mn2", "ar1")
    domain.run(100 * MILLISECOND)
    assert domain.session("ar1", "mn1") is not None
    assert domain.session("ar1", "mn2") is not None
    assert len(domain.maar("ar1").sessions) == 10
    assert len(domain.plane("ar1").state.slots) == 10


def test_one_maar_cannot_take_all_the_room_of_the_cmd() -> None:
    domain = Domain(cmd={"nodes": 20, "nodes_per_maar": 10}, new_nodes_per_second=1000)
    for number in range(30):
        domain.event("ar1", NodeSeen("acc0", invented(number), Sighting.STATION))
    domain.run(SECOND)
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    session = domain.session("ar2", "mn1")
    assert session is not None
    assert session.confirmed


def test_a_node_for_which_the_cmd_has_no_room_keeps_its_prefix_and_is_registered_later() -> None:
    domain = Domain(cmd={"nodes": 1})
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.attach("mn2", "ar2")
    domain.run(SECOND)
    session = domain.session("ar2", "mn2")
    assert session is not None
    assert session.presence is Presence.SERVED
    assert domain.own("ar2", "mn2") in domain.plane("ar2").state.prefixes
    domain.replace_cmd(type(domain.cmd)(replace(domain.cmd_configuration, nodes=2), 0))
    domain.cmd.restore([], domain.now)
    domain.skew("ar2", 0)
    domain.cmd._epoch = domain.maar("ar2")._epoch
    domain.run(60 * SECOND)
    assert session.confirmed


def test_a_maar_that_restarts_without_memory_delays_no_handover() -> None:
    domain = Domain(maars=3, cmd={"pace_rate": 100, "pace_burst": 4}, new_nodes_per_second=1000, nodes=1000)
    for number in range(200):
        domain.event("ar1", NodeSeen("acc0", invented(number), Sighting.STATION))
    domain.attach("mn1", "ar2")
    domain.run(2 * SECOND)
    for number in range(200):
        domain.event("ar3", NodeSeen("acc0", invented(number), Sighting.STATION))
        domain.run(20 * MILLISECOND)
    domain.run(5 * SECOND)
    domain.restart("ar1", store=False)  # 200 notices are due to it now
    domain.run(10 * MILLISECOND)
    domain.clear()
    began = domain.now
    domain.roam("mn1", "ar2", "ar3", SECOND)
    when = [
        moment
        for moment, source, destination, message in domain.messages
        if (source, destination) == ("cmd", "ar2") and isinstance(message, BindingUpdate)
    ]
    assert when
    assert when[0] - began < 50 * MILLISECOND


@pytest.mark.parametrize("name", ["ar1", "cmd"])
def test_a_binding_that_the_disk_refused_is_stored_when_there_is_room(name: str) -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    kept = domain.members[name].store.pop(node("mn1"))
    refused = StoreBinding(node("mn1"), kept)
    domain.event(name, EffectFailed(refused, errno.ENOSPC, "No space left on device"))
    domain.run(2 * SECOND)
    assert node("mn1") in domain.members[name].store


def test_a_binding_whose_removal_the_disk_refused_is_removed_later() -> None:
    domain = Domain()
    domain.members["ar1"].store[b"\x05gone"] = b"record"
    domain.event("ar1", EffectFailed(DeleteBinding(b"\x05gone"), errno.ENOSPC, "No space left on device"))
    domain.run(2 * SECOND)
    assert b"\x05gone" not in domain.members["ar1"].store


def test_a_node_that_came_when_the_pool_was_exhausted_gets_a_prefix_when_there_is_one() -> None:
    only = Prefix(pool(1).address, 64)
    domain = Domain(maars=1, quarantine=SECOND, lifetime=8 * SECOND, pool=only, cmd={"warm_up": SECOND})
    domain.attach("mn1", "ar1")
    domain.attach("mn2", "ar1")
    domain.run(SECOND)
    late = domain.session("ar1", "mn2")
    assert late is not None
    assert late.own is None
    domain.detach("mn1", "ar1")
    for _ in range(20):
        domain.run(SECOND)
        domain.attach("mn2", "ar1", Sighting.NEIGHBOUR)
    assert domain.session("ar1", "mn1") is None
    assert late.own is not None
    assert late.own in domain.plane("ar1").state.prefixes
    domain.run(SECOND)
    assert late.confirmed


@pytest.mark.parametrize("name", ["ar1", "cmd"])
def test_a_damaged_record_is_reported_and_the_rest_goes_on(name: str) -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.attach("mn2", "ar1")
    domain.run(SECOND)
    record = domain.members[name].store[node("mn1")]
    own = domain.own("ar1", "mn1").address
    assert own in record
    position = record.index(own)
    domain.members[name].store[node("mn1")] = (
        record[: position - 1] + b"\x0f" + own[:15] + record[position + 16 :]
    )  # one octet shorter, well formed otherwise
    domain.restart(name, store=True)
    assert domain.reported(name, "record-unreadable") == 1
    domain.run(SECOND)
    assert node("mn2") in domain.maar("ar1").sessions


def test_the_shared_identity_of_all_routers_is_nobodys_dlif() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    answer = told(
        domain,
        PreviousMaar.of(pool(2).subnet(1, 64), router(2)),
        DlifLinkLocalAddress(FIXED_LINK_LOCAL),
        LocalPrefix.of(prefix("2001:db8:cafe::/48")),
    )
    domain.inject(CMD, "ar1", answer)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert FIXED_LINK_LOCAL not in session.logical.values()
    assert session.logical


def test_a_stranger_never_gets_more_octets_than_it_sent() -> None:
    domain = Domain()
    identity = MobileNodeIdentifier(1, b"somebody")
    complete = (identity, HomeNetworkPrefix.of(ANY), HandoffIndicator(4), AccessTechnologyType(4), Timestamp(1))
    for options in ((), (Timestamp(1),), (identity, HomeNetworkPrefix.of(ANY)), complete):
        update = BindingUpdate(1, int(BindingUpdateFlags.A | BindingUpdateFlags.P), 60 * SECOND, options)
        domain.clear()
        domain.inject(STRANGER, "cmd", update)
        answers = [message for _, _, message in domain.sent()]
        assert all(len(encode(answer)) <= len(encode(update)) for answer in answers)
        assert domain.reported("cmd", "update-refused") == 1
    assert [answer.status for answer in answers if isinstance(answer, BindingAcknowledgement)] == [
        Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    ]


def test_the_operator_may_name_no_prefix_at_all() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.event("ar1", Commanded("retire", {"prefix": "None"}))
    domain.event("ar1", Commanded("retire", {}))
    assert domain.reported("ar1", "command-refused") == 2


def test_a_link_that_serves_nobody_asserts_nothing() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    before = len(domain.effects)
    domain.event("ar1", LinkChanged("docker0", True))
    assert [type(effect).__name__ for _, _, effect in domain.effects[before:]] == ["Report"]
    domain.event("ar1", LinkChanged("acc0", True))
    assert "EnsureDelivery" in [type(effect).__name__ for _, _, effect in domain.effects[before:]]
