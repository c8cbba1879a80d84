"""Whatever arrives at MAARs that tell each other, from whomever: no exception, and bounded tables.

Direct mode, liveness and partners. What runs here is a sample; more is ``PeersStorm(seed).run(20_000)`` with others.
"""

from __future__ import annotations

import pytest

from sojourn.engines.configuration import Mode
from sojourn.engines.maar_direct import DirectAccessRouter
from sojourn.engines.registration import LISTED_PREFIXES, PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingRefreshAdvice,
    BindingRefreshRequest,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    Heartbeat,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    PreviousMaar,
    RestartCounter,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, ticks
from support.domain import EPOCH, HOSTS, Domain, node, pool, router
from support.hostile import Attacker
from support.storm import Storm

_NODES = 40
_PREFIXES = 4
_MAARS = 4
_STAMPS = 1 << 64


class PeersAttacker(Attacker):
    """Knows pools, who may say what of them, and the requests that wait for an answer."""

    def __init__(self, seed: int, domain: Domain) -> None:
        super().__init__(seed, domain)
        dice = self.dice
        self._options += [
            lambda: RestartCounter(dice.choice([0, 1, ticks(EPOCH) >> 16, dice.randrange(1 << 32)])),
            lambda: BindingRefreshAdvice(dice.choice([0, 4, 4 * 0xFFFF]) * SECOND),
            lambda: PreviousMaar.of(pool(dice.randrange(1, _MAARS + 1)), self.address()),
        ]

    def timestamp(self) -> int:
        return self.dice.choice([super().timestamp(), super().timestamp(), _STAMPS - 1, ticks(EPOCH + HOUR)])

    def _plausible(self) -> MobilityMessage:
        dice = self.dice
        options = tuple(dice.choice(self._options)() for _ in range(dice.choice([0, 1, 3, 8])))
        match dice.randrange(8):
            case 0:
                return Heartbeat(dice.choice([0, 1, 2, 3]), dice.randrange(1 << 32), options)
            case 1:
                return BindingRefreshRequest((Timestamp(self.timestamp()), *options))
            case 2:
                return self._of_serving(options)
            case 3:
                return self._answer(options)
            case _:
                return super()._plausible()

    def _of_serving(self, options: tuple[MobilityOption, ...]) -> BindingUpdate:
        flags = self.dice.choice([PROXY_DMM, PROXY_DMM, 0])
        return BindingUpdate(0, flags, 60 * SECOND, (*word(self.prefix(), self.address(), self.timestamp()), *options))

    def _answer(self, options: tuple[MobilityOption, ...]) -> MobilityMessage:
        """To something that waits for it."""
        waiting = [
            one
            for number in self.domain.numbers
            if self.domain.members[f"ar{number}"].alive
            for one in self.domain.maar(f"ar{number}")._requests._outstanding.values()
        ]
        if not waiting:
            return super()._plausible()
        update = self.dice.choice(waiting).update
        status = self.dice.choice([0, 0, 0, 129, 156, 157])
        kept = tuple(one for one in update.options if self.dice.random() < 0.9)
        more = (*kept, Timestamp(self.timestamp()), *options)
        return BindingAcknowledgement(status, 0x22, update.sequence, 60 * SECOND, more)


class PeersStorm(Storm):
    """Random messages to MAARs: of direct mode on even seeds, with partners always."""

    def __init__(self, seed: int) -> None:
        cmds = seed // 2 % 2 if seed % 2 == 0 else 1
        self.domain = Domain(
            Mode.PROXY if seed % 2 else Mode.DIRECT,
            _MAARS,
            cmds=cmds,
            partners={"ar1": "ar3", "ar2": "ar1", "ar3": "ar2"},
            nodes=_NODES,
            prefixes_per_node=_PREFIXES,
            lifetime=60 * SECOND,
            new_nodes_per_second=5,
        )
        routers = tuple(f"ar{number}" for number in range(1, _MAARS + 1))
        super().__init__(self.domain, PeersAttacker(seed, self.domain), "cmd" if cmds else "ar1", routers)

    def check(self) -> None:
        """The limits hold."""
        for number in range(1, _MAARS + 1):
            maar = self.domain.maar(f"ar{number}")
            assert len(maar.sessions) <= _NODES
            assert len(maar.heard) <= _MAARS
            assert len(maar._requests) <= _NODES * (_MAARS + LISTED_PREFIXES)
            for session in maar.sessions.values():
                assert len(session.anchored) <= _PREFIXES + LISTED_PREFIXES
            survival = maar.survival
            assert len(survival.liveness.neighbours) <= _MAARS
            for stand in survival.standing.values():
                assert len(stand.entries) <= _NODES * _PREFIXES
                assert len(stand.given.prefixes) <= _NODES * _PREFIXES
                assert len(stand.slots) <= _MAARS
                assert all(prefix.length == 64 for prefix in stand.entries)
            assert len(survival.words) <= _MAARS
            if isinstance(maar, DirectAccessRouter):
                direct = maar.direct
                assert all(len(ranks) <= _PREFIXES + 2 * LISTED_PREFIXES for ranks in direct.ranks.values())
                assert all(len(follows) <= LISTED_PREFIXES + _MAARS for follows in direct.follows.values())
                for table in (
                    direct.told,
                    direct.ranks,
                    direct.follows,
                    direct.handed,
                    direct.requests,
                    direct.announced,
                ):
                    assert len(table) <= _NODES
                assert len(direct.named) + len(direct.returning) <= 2 * _NODES
                assert all(len(named) <= LISTED_PREFIXES for named in direct.named.values())


def word(prefix: Prefix, serving: Address, stamp: int, host: bytes = HOSTS["mn1"]) -> tuple[MobilityOption, ...]:
    """What a router says that serves a node."""
    return (
        MobileNodeIdentifier(5, host),
        HomeNetworkPrefix.of(prefix),
        HandoffIndicator(Handoff.NOT_CHANGED),
        AccessTechnologyType(4),
        Timestamp(stamp),
        ServingMaar(serving),
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_messages_among_peers(seed: int) -> None:
    PeersStorm(seed).run(300)


# --- times that no clock shows ----------------------------------------------------------------------------------------


def spoken(each: Domain, name: str, source: Address, update: BindingUpdate) -> list[BindingAcknowledgement]:
    """What `name` answers to `source`, at once."""
    each.clear()
    each.inject(source, name, update)
    return [one for who, to, one in each.sent(BindingAcknowledgement) if who == name and to == each.names[source]]


@pytest.mark.parametrize("mode", [Mode.PROXY, Mode.DIRECT])
@pytest.mark.parametrize("stamp", [_STAMPS - 1, 1 << 62])
def test_a_time_that_no_clock_shows_is_refused_and_the_next_attachment_goes_on(mode: Mode, stamp: int) -> None:
    """One message of a peer with the greatest Timestamp ended the daemon when the node came back: 2**64 has no room."""
    each = Domain(mode, 3, cmds=int(mode is Mode.PROXY), partners={})
    each.attach("mn1", "ar1")
    each.run(SECOND)
    each.detach("mn1", "ar1")
    update = BindingUpdate(1, PROXY_DMM, 60 * SECOND, word(each.own("ar1", "mn1"), router(2), stamp))
    (answer,) = spoken(each, "ar1", router(2), update)
    assert answer.status == Status.TIMESTAMP_MISMATCH
    each.attach("mn1", "ar1")
    each.run(SECOND)
    assert each.session("ar1", "mn1").attached < 1 << 62


def test_clocks_that_follow_each_other_never_run_further_ahead_than_a_century() -> None:
    """Each message may be a century ahead of the last one; together they made times that fit into no Timestamp."""
    each = Domain(Mode.DIRECT, 3, cmds=0)
    each.attach("mn1", "ar1")
    each.run(SECOND)
    century = ticks(36_000 * 24 * HOUR)
    for ages in range(1, 40):
        stamp = ticks(EPOCH) + ages * century
        each.inject(router(2), "ar1", BindingUpdate(ages, PROXY_DMM, 60 * SECOND, word(pool(9), router(2), stamp)))
    assert each.maar("ar1")._clock() < ticks(EPOCH) + 2 * century


@pytest.mark.parametrize("status", [Status.TIMESTAMP_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED])
@pytest.mark.parametrize("stamp", [0, _STAMPS - 1, (1 << 62) - 1])
def test_a_refusal_with_an_absurd_time_is_no_reason_to_set_the_clock(status: Status, stamp: int) -> None:
    each = Domain(Mode.DIRECT, 3, cmds=0)
    each.lose = lambda source, destination, message: isinstance(message, BindingAcknowledgement)
    each.attach("mn1", "ar1")
    each.run(SECOND)
    outstanding = each.maar("ar1")._requests.get(("register", node("mn1"), router(2), None))
    options = (*outstanding.update.options[:4], Timestamp(stamp))
    each.inject(router(2), "ar1", BindingAcknowledgement(status, 0x22, outstanding.update.sequence, 0, options))
    each.run(SECOND)
    off = abs(each.maar("ar1")._clock() - ticks(EPOCH + each.now))
    assert off <= ticks(36_500 * 24 * HOUR)


# --- what a peer may claim --------------------------------------------------------------------------------------------


def held() -> Domain:
    """ar1 is gone, its partner ar3 holds its pool, and mn1 is at ar2."""
    each = Domain(maars=4, partners={"ar1": "ar3"})
    each.attach("mn1", "ar1")
    each.run(SECOND)
    each.roam("mn1", "ar1", "ar2")
    each.run(2 * SECOND)
    each.members["ar1"].lose_power()
    each.run(5 * SECOND)
    return each


@pytest.mark.parametrize("claimed", [pool(1), pool(1).subnet(7, 56), pool(1).subnet(7, 128)])
def test_a_partner_tunnels_no_whole_pools_and_no_single_addresses_to_who_claims_them(claimed: Prefix) -> None:
    """One message led the whole pool to whoever sent it; and addresses of one prefix filled the memory."""
    each = held()
    stand = each.maar("ar3").survival.standing[router(1)]
    before = dict(stand.entries)
    way = each.plane("ar3").way(pool(1))
    update = BindingUpdate(9, PROXY_DMM, 60 * SECOND, word(claimed, router(4), ticks(EPOCH + HOUR), HOSTS["mn2"]))
    (answer,) = spoken(each, "ar3", router(4), update)
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert stand.entries == before
    assert each.plane("ar3").way(pool(1)) == way


def test_a_partner_leads_the_prefix_of_a_node_nowhere_for_another_one() -> None:
    each = held()
    stand = each.maar("ar3").survival.standing[router(1)]
    (prefix,) = stand.entries
    update = BindingUpdate(9, PROXY_DMM, 60 * SECOND, word(prefix, router(4), ticks(EPOCH + HOUR), HOSTS["mn2"]))
    (answer,) = spoken(each, "ar3", router(4), update)
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert stand.entries[prefix].node == node("mn1")


def test_a_partner_keeps_no_more_prefixes_than_nodes_may_have() -> None:
    each = Domain(maars=4, partners={"ar1": "ar3"}, nodes=10, prefixes_per_node=2)
    each.members["ar1"].lose_power()
    each.run(5 * SECOND)
    stand = each.maar("ar3").survival.standing[router(1)]
    for number in range(60):
        host = b"\x02" + number.to_bytes(5, "big")
        options = word(pool(1).subnet(number, 64), router(4), ticks(EPOCH + each.now), host)
        each.inject(router(4), "ar3", BindingUpdate(number, PROXY_DMM, 60 * SECOND, options))
    assert 0 < len(stand.entries) <= 20
    assert each.reported("ar3", "update-refused") >= 40


def test_a_partner_does_not_give_up_a_node_that_has_nothing_of_the_pool() -> None:
    """Whoever claimed some prefix of the pool took any node away that is here."""
    each = held()
    each.attach("mn2", "ar3")
    each.run(SECOND)
    options = word(pool(1).subnet(999, 64), router(4), ticks(EPOCH + HOUR), HOSTS["mn2"])
    each.inject(router(4), "ar3", BindingUpdate(9, PROXY_DMM, 60 * SECOND, options))
    assert each.session("ar3", "mn2").presence.value == "served"


def test_what_is_no_distributed_proxy_registration_is_refused_by_a_partner_too() -> None:
    each = held()
    options = word(pool(1).subnet(9, 64), router(4), ticks(EPOCH + each.now), HOSTS["mn2"])
    (answer,) = spoken(each, "ar3", router(4), BindingUpdate(9, 0x8000, 60 * SECOND, options))
    assert answer.status == Status.PROXY_REG_NOT_ENABLED


def words_of(each: Domain, stamp: int, holder: Address) -> BindingRefreshRequest:
    """The partner of ar1 says who holds its pool."""
    return BindingRefreshRequest((Timestamp(stamp), PreviousMaar.of(pool(1), holder)))


def test_a_word_from_the_end_of_time_does_not_silence_all_later_ones() -> None:
    each = Domain(maars=4, partners={"ar1": "ar3"})
    each.inject(router(3), "ar2", words_of(each, _STAMPS - 1, router(3)))
    assert each.reported("ar2", "word-refused") == 1
    each.inject(router(3), "ar2", words_of(each, ticks(EPOCH), router(3)))
    assert each.maar("ar2").survival.holder(router(1)) == router(3)


@pytest.mark.parametrize("name", ["ar1", "ar2"])
def test_an_old_word_that_is_said_again_counts_for_nothing(name: str) -> None:
    """An anchor took a replayed word about its own pool; idle prefixes did not retire as long as it came again."""
    each = Domain(maars=4, partners={"ar1": "ar3"})
    old = words_of(each, ticks(EPOCH), router(3))
    each.inject(router(3), name, old)
    each.inject(router(3), name, words_of(each, ticks(EPOCH) + 9, router(1)))
    each.inject(router(3), name, old)
    survival = each.maar(name).survival
    assert not survival.held
    assert survival.holder(router(1)) == router(1)


@pytest.mark.parametrize("source", [2, 4])
def test_who_is_nobodys_partner_moves_no_pool(source: int) -> None:
    each = Domain(maars=4, partners={"ar1": "ar3"})
    for name in ("ar1", "ar3"):
        each.inject(router(source), name, words_of(each, ticks(EPOCH + HOUR), router(source)))
        survival = each.maar(name).survival
        assert not survival.held
        assert survival.holder(router(1)) == router(1)


# --- what one message may cause ---------------------------------------------------------------------------------------


def served_at_ar1() -> Domain:
    each = Domain(Mode.DIRECT, 8, cmds=0)
    each.attach("mn1", "ar1")
    each.run(65 * SECOND)
    each.clear()
    return each


def session_room(each: Domain) -> int:
    """Most prefixes that a node keeps for a moment."""
    return each.maar("ar1").configuration.prefixes_per_node + LISTED_PREFIXES


def listing(each: Domain, prefixes: list[Prefix], *more: MobilityOption, lifetime: int = 0) -> BindingUpdate:
    """An anchor asks after a node, or is too late, and names these prefixes."""
    plain = word(prefixes[0], router(2), ticks(EPOCH) + 1)[:-1]
    named = tuple(HomeNetworkPrefix.of(prefix) for prefix in prefixes[1:])
    return BindingUpdate(1, PROXY_DMM, lifetime, (*plain, *named, *more))


def test_prefixes_that_nobody_could_anchor_cause_no_message_each() -> None:
    """An anchor that listed eighty of them got eighty questions for one, each repeated until it answered."""
    each = served_at_ar1()
    for turn in range(5):
        wrong = [Prefix.of(bytes((0x20, 1, turn, number)) + bytes(12), 64) for number in range(80)]
        each.inject(router(2), "ar1", listing(each, wrong))
    each.run(20 * MILLISECOND)
    assert len(each.maar("ar1")._requests) <= LISTED_PREFIXES + 8
    caused = [one for who, to, one in each.sent() if (who, to) == ("ar1", "ar2")]
    assert len(caused) <= 5 + LISTED_PREFIXES


def test_ranks_are_kept_of_what_is_served_only() -> None:
    each = Domain(Mode.DIRECT, 3, cmds=0)
    each.lose = lambda source, destination, message: isinstance(message, BindingAcknowledgement)
    each.attach("mn1", "ar1")
    each.run(50 * MILLISECOND)
    waiting = each.maar("ar1")._requests.get(("register", node("mn1"), router(2), None)).update
    wrong = [HomeNetworkPrefix.of(Prefix.of(bytes((0x20, 1, 7, number)) + bytes(12), 64)) for number in range(80)]
    stamps = Timestamp(ticks(EPOCH)), Timestamp(ticks(EPOCH))
    options = (MobileNodeIdentifier(5, HOSTS["mn1"]), *wrong, *stamps)
    each.inject(router(2), "ar1", BindingAcknowledgement(0, 0x22, waiting.sequence, 60 * SECOND, options))
    session = each.session("ar1", "mn1")
    assert each.maar("ar1").direct.ranks[node("mn1")].keys() <= session.anchored.keys()
    assert len(session.anchored) <= session_room(each)
