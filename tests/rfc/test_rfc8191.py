"""RFC 8191: nodes get other prefixes while they are registered."""

from __future__ import annotations

import pytest

from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import HomeProfile
from sojourn.engines.extension_settings import NotificationSettings, RenumberingSettings, RevocationSettings
from sojourn.engines.registration import identifier_option
from sojourn.wire import BindingUpdate, HomeNetworkPrefix, MobileNodeLinkLayerIdentifier
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support import pmip_checkers
from support.pmip import HOME, HOME2, LMA, ProxyDomain, gateway, prefixes_of, request, status_of
from support.pmip_extensions import STRANGER, command, messages, reply, settled
from support.table import HOSTS, node

MN1 = node("mn1").hex()
NEW = prefix("2001:db8:f100:7::/64")


def renumbering(lma: dict[str, object] | None = None, **overrides: object) -> ProxyDomain:
    told: dict[str, object] = {
        "update_notification": NotificationSettings(),
        "renumbering": RenumberingSettings(30 * SECOND),
        "pools": (HOME, HOME2),
    }
    domain = ProxyDomain(
        lma=told | (lma or {}),
        update_notification=True,
        renumbering=True,
        prefix_retirement=20 * SECOND,
        **overrides,
    )
    return settled(domain, ("mn1", "mag1"))


def renumbered(mode: str = "soft", **overrides: object) -> tuple[ProxyDomain, Prefix, Prefix]:
    """The domain, the old prefix of mn1 and the new one, which both sides agreed on."""
    domain = renumbering(**overrides)
    (old,) = domain.entry().prefixes
    assert command(domain, "lma", "renumber", node=MN1, mode=mode)
    domain.run(SECOND // 10)
    (new,) = domain.entry().prefixes
    assert new != old
    return domain, old, new


def test_5_the_notification_has_the_node_and_the_new_prefix() -> None:
    domain = renumbering()
    command(domain, "lma", "renumber", node=MN1)
    (sent,) = messages(domain, UpdateNotification)
    assert (sent.reason, sent.flags) == (2, 0x8000)
    new = sent.all(HomeNetworkPrefix)
    assert sent.options == (identifier_option(node("mn1")), MobileNodeLinkLayerIdentifier(HOSTS["mn1"]), *new)
    assert len(new) == 1
    assert domain.entry().prefixes != (new[0].prefix,)  # 3: before the MAG agreed, nothing is bound


def test_5_the_advertisement_has_the_old_prefix_deprecated_and_the_new_one() -> None:
    domain, old, new = renumbered()
    told = {one.prefix: (one.preferred > 0, one.valid > 0) for one in domain.advertisement("mag1").prefixes}
    assert told == {old: (False, True), new: (True, True)}


def test_3_routes_are_updated_on_both_sides() -> None:
    domain, _, new = renumbered()
    slot = domain.entry().slot
    assert domain.plane("lma").state.prefixes[new] == slot
    assert new in domain.plane("mag1").state.prefixes
    assert domain.plane("mag1").state.uplinks[new] == LMA
    assert domain.at("mag1").anchored == {new: LMA}


def test_4_soft_the_old_prefix_is_forwarded_for_a_while() -> None:
    domain, old, _ = renumbered("soft")
    domain.run(19 * SECOND)
    assert old in domain.plane("lma").state.prefixes
    assert old in domain.plane("mag1").state.prefixes
    domain.run(2 * SECOND)
    assert old not in domain.plane("mag1").state.prefixes
    last = {one.prefix: (one.preferred, one.valid) for one in domain.advertisement("mag1").prefixes}
    assert last[old] == (0, 0)
    domain.run(10 * SECOND)
    assert old not in domain.plane("lma").state.prefixes
    assert old not in domain.plane("lma").state.counters


def test_4_hard_the_old_prefix_ends_with_the_acknowledgement() -> None:
    domain, old, _ = renumbered("hard")
    assert old not in domain.plane("lma").state.prefixes


def test_4_old_prefixes_are_given_to_nobody_else_meanwhile() -> None:
    domain, old, _ = renumbered("soft")
    assert status_of(domain.ask(request(domain, old, host="mn2"))) != 0


def test_a_refresh_afterwards_is_about_the_new_prefix_alone() -> None:
    domain, _, new = renumbered(lifetime=20 * SECOND)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.clear()
    domain.run(12 * SECOND)
    assert [prefixes_of(update) for update in messages(domain, BindingUpdate)][-1] == [new]
    assert len(domain.lma.cache) == 1


def test_a_move_ends_the_old_prefix_and_takes_the_new_one_along() -> None:
    domain, old, new = renumbered("soft")
    domain.roam("mn1", "mag1", "mag2")
    assert list(domain.at("mag2").anchored) == [new]
    assert old not in domain.plane("lma").state.prefixes
    domain.run(2 * SECOND)
    assert domain.plane("mag1").state.prefixes == {}


def test_a_session_that_ends_takes_everything_along() -> None:
    domain, old, new = renumbered("soft")
    domain.detach("mn1", "mag1")
    domain.run(30 * SECOND)
    for name in ("lma", "mag1"):
        state = domain.plane(name).state
        assert not {old, new} & {*state.prefixes, *state.counters, *state.uplinks}
    (extension,) = [one for one in domain.lma.extensions if one.name == "renumbering"]
    assert not extension._offers  # type: ignore[attr-defined]
    assert not extension._former  # type: ignore[attr-defined]


def test_the_store_has_the_new_prefix() -> None:
    domain, _, new = renumbered("soft")
    for name in ("lma", "mag1"):
        domain.restart(name, store=True)
    domain.run(SECOND)
    assert domain.entry().prefixes == (new,)


# --- what does not go as planned --------------------------------------------------------------------------------------


def test_5_a_gateway_that_refuses_leaves_everything_as_it_was() -> None:
    """128, and the LMA takes the new prefix back."""
    domain = renumbering()
    domain.reconfigure("mag1", renumbering=False)
    settled(domain, ("mn1", "mag1"))
    had = domain.entry().prefixes
    command(domain, "lma", "renumber", node=MN1)
    domain.run(SECOND)
    assert [answer.status for answer in messages(domain, UpdateNotificationAcknowledgement)] == [128]
    assert domain.entry().prefixes == had
    assert set(domain.plane("lma").state.prefixes) == set(had)


def test_a_lost_acknowledgement_is_made_good_by_the_next_registration() -> None:
    domain = renumbering(lifetime=60 * SECOND)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.lose = lambda source, destination, message: isinstance(message, UpdateNotificationAcknowledgement)
    command(domain, "lma", "renumber", node=MN1)
    domain.run(5 * SECOND)
    (new,) = domain.at("mag1").anchored
    assert domain.entry().prefixes != (new,)
    assert new in domain.plane("lma").state.prefixes  # it works all the same
    domain.run(MINUTE)
    assert domain.entry().prefixes == (new,)
    assert len(domain.lma.cache) == 1


def test_an_anchor_that_restarts_meanwhile_learns_from_the_next_registration() -> None:
    domain = renumbering(lifetime=60 * SECOND)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    (old,) = domain.entry().prefixes
    domain.lose = lambda source, destination, message: isinstance(message, UpdateNotificationAcknowledgement)
    command(domain, "lma", "renumber", node=MN1)
    domain.run(SECOND // 10)
    domain.restart("lma", store=True)
    (new,) = domain.at("mag1").anchored
    assert domain.entry().prefixes == (old,) != (new,)
    domain.run(MINUTE)
    assert domain.entry().prefixes == (new,)
    assert set(domain.plane("lma").state.prefixes) == {new}
    assert pmip_checkers.faults(domain) == []


def test_a_notification_that_never_arrived_is_undone_by_the_next_registration() -> None:
    domain = renumbering(lifetime=60 * SECOND)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    had = domain.entry().prefixes
    domain.lose = lambda source, destination, message: isinstance(message, UpdateNotification)
    command(domain, "lma", "renumber", node=MN1)
    domain.run(MINUTE)
    assert domain.entry().prefixes == had
    assert set(domain.plane("lma").state.prefixes) == set(had)


def test_a_registration_under_way_does_not_bring_the_old_prefix_back() -> None:
    domain = renumbering()
    (old,) = domain.entry().prefixes
    domain.delays[("mag1", "lma")] = 20 * MILLISECOND
    command(domain, "lma", "renumber", node=MN1, mode="hard")
    domain.run(15 * MILLISECOND)
    domain.mag("mag1")._on_refresh_request()
    domain.run(SECOND)
    assert len(domain.lma.cache) == 1
    assert domain.entry().prefixes != (old,)
    assert list(domain.at("mag1").anchored) == list(domain.entry().prefixes)
    assert domain.at("mag1").confirmed


def test_a_revocation_that_still_names_the_old_prefix_is_understood() -> None:
    """The MAG took the new prefix, and the LMA does not know that yet when it revokes."""
    domain = renumbering({"revocation": RevocationSettings()}, revocation=RevocationSettings())
    domain.lose = lambda source, destination, message: isinstance(message, UpdateNotificationAcknowledgement)
    command(domain, "lma", "renumber", node=MN1)
    domain.run(SECOND // 10)
    command(domain, "lma", "revoke", node=MN1)
    domain.run(SECOND)
    assert domain.at("mag1").presence is Presence.REFUSED
    assert domain.plane("mag1").state.prefixes == {}
    assert domain.plane("lma").state.prefixes == {}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "nobody@example.net"},
        {"node": MN1, "mode": "medium"},
        {"node": MN1, "pool": str(HOME)},
        {"pool": "2001:db8::/48"},
        {"node": MN1, "colour": "red"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: dict[str, str]) -> None:
    domain = renumbering()
    assert not command(domain, "lma", "renumber", **arguments)
    assert domain.sent() == []


def test_prefixes_that_belong_to_a_node_are_not_changed() -> None:
    own = HomeProfile(node("mn1"), prefixes=(prefix("2001:db8:aaaa::/64"),))
    domain = renumbering({"profiles": (own,)})
    assert not command(domain, "lma", "renumber", node=MN1)
    assert domain.entry().prefixes == own.prefixes


@pytest.mark.parametrize(
    "options",
    [
        (),
        (HomeNetworkPrefix.of(prefix("fe80::/64")),),
        (HomeNetworkPrefix.of(prefix("2001:db8::/32")),),
        (HomeNetworkPrefix.of(NEW), HomeNetworkPrefix.of(prefix("ff02::/64"))),
        tuple(HomeNetworkPrefix.of(HOME2.subnet(number, 64)) for number in range(40)),
    ],
)
def test_a_gateway_takes_all_prefixes_or_none(options: tuple[HomeNetworkPrefix, ...]) -> None:
    domain = renumbering()
    had = dict(domain.at("mag1").anchored)
    message = UpdateNotification(7, 2, 0x8000, (identifier_option(node("mn1")), *options))
    answer = reply(domain, "mag1", LMA, message, UpdateNotificationAcknowledgement)
    assert answer is not None
    assert answer.status == 128
    assert domain.at("mag1").anchored == had


@pytest.mark.parametrize("source", [STRANGER, gateway(2)])
def test_nobody_but_the_anchor_changes_prefixes(source: bytes) -> None:
    domain = renumbering()
    had = dict(domain.at("mag1").anchored)
    message = UpdateNotification(7, 2, 0x8000, (identifier_option(node("mn1")), HomeNetworkPrefix.of(NEW)))
    assert reply(domain, "mag1", source, message, UpdateNotificationAcknowledgement) is None
    assert domain.at("mag1").anchored == had


# --- a whole pool -----------------------------------------------------------------------------------------------------


def test_a_session_that_was_renumbered_just_now_leaves_the_pool_a_little_later() -> None:
    domain, _, new = renumbered("soft")
    assert HOME.contains(new)
    assert command(domain, "lma", "renumber", pool=str(HOME), mode="hard")
    domain.run(MINUTE // 2 + SECOND)
    assert HOME2.contains(domain.entry().prefixes[0])
    (extension,) = [one for one in domain.lma.extensions if one.name == "renumbering"]
    assert not extension._queue  # type: ignore[attr-defined]


def test_a_pool_is_closed_and_its_sessions_move_a_few_at_a_time() -> None:
    domain = renumbering()
    hosts = [f"mn{number}" for number in range(1, 51)]
    settled(domain, *((host, "mag1") for host in hosts))
    domain.run(SECOND)
    domain.clear()
    assert command(domain, "lma", "renumber", pool=str(HOME), mode="hard")
    assert len(messages(domain, UpdateNotification)) == 20
    domain.run(SECOND)
    prefixes = {one for entry in domain.lma.cache for one in entry.prefixes}
    assert len(prefixes) == 50
    assert all(map(HOME2.contains, prefixes))
    settled(domain, ("mn60", "mag2"))
    assert HOME2.contains(domain.entry("mn60").prefixes[0])
    wanted = HOME.subnet(9, 64)
    assert status_of(domain.ask(request(domain, wanted, host="mn61"))) == 155
