"""Defects that the fault simulation (tests/sim) found; each once, and never again. Those of others: test_regressions.

Most of them sent packets to and fro between two routers, or cut a session until a lifetime was over.
"""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureLogicalInterface, EnsureTunnel, ForwardingEffect
from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL, Mode, logical_link_local
from sojourn.engines.maar_session import Session
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    MobilityMessage,
    ServingMaar,
)
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.dhcpv6 import IaPd, MessageType
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration
from support import checkers
from support.dhcp import Client, prefixes_in
from support.domain import CMD, HOSTS, Domain, node, pool, router
from support.messages import pba, pbu

_MODES = CENTRAL
_FAR = {("ar2", "cmd"): 30 * MILLISECOND, ("ar3", "cmd"): 10 * MILLISECOND}


def _walked(*path: str, mode: Mode = Mode.PROXY, **settings: object) -> Domain:
    """mn1 walked along `path`, a second at each place."""
    domain = Domain(mode, maars=4, **settings)  # type: ignore[arg-type]
    domain.attach("mn1", path[0])
    domain.run(SECOND)
    for old, new in pairwise(path):
        domain.roam("mn1", old, new, SECOND)
    domain.clear()
    return domain


def _session(domain: Domain, name: str) -> Session:
    session = domain.session(name, "mn1")
    assert session is not None
    return session


def _stays(domain: Domain, name: str, duration: Duration) -> None:
    """Time passes; mn1 is at `name` and shows itself."""
    for _ in range(duration // SECOND):
        domain.event(name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
        domain.run(SECOND)


def _told(domain: Domain, name: str) -> list[tuple[int, bool]]:
    """Updates of the CMD to `name`: (lifetime, whether they say that `name` itself serves)."""
    sent = [message for _, to, message in domain.sent(BindingUpdate) if to == name]
    return [
        (update.lifetime, update.first(ServingMaar) == ServingMaar(router(int(name[2:]))))
        for update in sent
        if isinstance(update, BindingUpdate)
    ]


# --- packets that went to and fro -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_what_is_sent_to_a_router_that_the_node_left_at_once_ends_there(mode: Mode) -> None:
    """The answer came when the node had left, and was ignored: packets of its anchor went back to the anchor."""
    domain = _walked("ar1", mode=mode)
    own = domain.own("ar1", "mn1")
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.detach("mn1", "ar2")
    domain.run(SECOND)
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)
    assert isinstance(domain.plane("ar2").way(own), EnsureDelivery)


@pytest.mark.parametrize("mode", _MODES)
def test_a_router_that_would_not_let_go_of_a_prefix_is_told_when_it_would(mode: Mode) -> None:
    """It refused as long as it thought that the node is there; then it anchored for nobody until its time was over."""
    domain = _walked("ar1", mode=mode, delays=_FAR, cmd={"prefixes_per_node": 2, "warm_up": 0})
    domain.attach("mn1", "ar2")  # registered after ar3, and over the limit
    domain.run(100)
    own = domain.own("ar2", "mn1")
    domain.attach("mn1", "ar3")
    domain.run(2)
    domain.attach("mn1", "ar4")
    domain.run(3 * SECOND)
    anchored = {prefix for prefix, _ in domain.cmd.entries[node("mn1")].anchors}
    assert own in anchored or domain.plane("ar2").way(own) is None
    assert checkers.routes_equal_bindings(domain) == []


def test_a_notice_that_comes_after_all_is_over_brings_nothing_back_for_long() -> None:
    """A repetition of an old notice made the anchor take up a prefix that had retired."""
    domain = _walked("ar1", "ar2", idle_hold=4 * SECOND, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    late = pbu(domain, own, timestamp=_session(domain, "ar1").attached, more=(ServingMaar(router(2)),))
    domain.run(10 * SECOND)
    assert domain.session("ar1", "mn1") is None
    domain.inject(CMD, "ar1", late)
    domain.run(SECOND)
    assert domain.session("ar1", "mn1") is None
    assert domain.plane("ar1").way(own) is None


@pytest.mark.parametrize(("mode", "stay"), [(Mode.PROXY, 10), (Mode.RELAY, 10), (Mode.LOCATOR, 13)])
def test_when_a_binding_ends_its_anchors_are_told_at_once(mode: Mode, stay: int) -> None:
    """The CMD forgot it just before the router could end it, so that the anchor sent on for up to a lifetime."""
    domain = _walked("ar1", "ar2", mode=mode, lifetime=20 * SECOND, idle_hold=HOUR, cmd={"warm_up": 0})
    _stays(domain, "ar2", stay * SECOND)
    domain.detach("mn1", "ar2")
    domain.run(21 * SECOND)
    assert domain.session("ar2", "mn1") is None
    assert domain.session("ar1", "mn1") is None


def test_a_router_that_died_before_it_stored_an_attachment_ends_it_when_it_knows() -> None:
    """To the CMD the node was there, to the router elsewhere: each left it to the other, for a lifetime."""
    domain = _walked("ar1", "ar2", cmd={"warm_up": 0})
    before = dict(domain.members["ar1"].store)
    domain.roam("mn1", "ar2", "ar1", SECOND)
    domain.crash("ar1")
    domain.members["ar1"].store.update(before)
    domain.restart("ar1", store=True)
    domain.run(3 * SECOND)
    assert node("mn1") not in domain.cmd.entries


# --- sessions that were cut -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_an_anchor_that_knew_of_a_later_attachment_is_told_of_the_latest(mode: Mode) -> None:
    """It refused the notice of the last attachment but one; the next came with the next refresh."""
    domain = _walked("ar2", mode=mode, delays=_FAR)
    domain.roam("mn1", "ar2", "ar1", 5 * MILLISECOND)
    domain.roam("mn1", "ar1", "ar2", 0)
    domain.roam("mn1", "ar2", "ar1", 2 * SECOND)
    assert checkers.latest_wins(domain, {"mn1": "ar1"}) == []
    assert checkers.routes_equal_bindings(domain) == []


def test_of_two_attachments_that_raced_the_earlier_is_not_taken_for_the_oldest() -> None:
    """A late registration counted as the least recent one, and its prefix went first when there were too many."""
    domain = _walked("ar4", "ar1", delays=_FAR, cmd={"prefixes_per_node": 2})
    domain.roam("mn1", "ar1", "ar2", MILLISECOND)
    own = domain.own("ar2", "mn1")
    domain.roam("mn1", "ar2", "ar3", SECOND)
    assert domain.cmd.entries[node("mn1")].anchor_of(own) == router(2)
    assert own in _session(domain, "ar3").anchored


def _with_a_cmd_that_lost_an_hour(domain: Domain) -> None:
    """The machine of the CMD starts with a wrong clock, and with its store."""
    domain.crash("cmd")
    clock = domain.members["cmd"].clock
    clock.step(-HOUR)


@pytest.mark.parametrize("mode", _MODES)
def test_a_departed_node_that_came_in_the_future_of_a_cmd_is_found_again(mode: Mode) -> None:
    """Its registration was refused, and as it had left, nobody corrected the time: no notice was accepted any more."""
    domain = _walked("ar1", mode=mode)
    _with_a_cmd_that_lost_an_hour(domain)
    domain.run(30 * SECOND)
    domain.roam("mn1", "ar1", "ar1", SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.restart("cmd", store=True)
    _stays(domain, "ar2", 40 * SECOND)
    way = domain.plane("ar1").way(domain.own("ar1", "mn1"))
    assert way == EnsureTunnel(_session(domain, "ar1").slot, router(2))


def test_an_anchor_from_the_future_asks_where_the_node_is_when_it_refuses() -> None:
    """A node that is away is told of with an earlier time than before: late news, or a clock that went back?"""
    domain = _walked("ar1", "ar2", idle_hold=HOUR)
    session = _session(domain, "ar1")
    session.attached += 60 << 16  # what a CMD with another clock had told
    domain.roam("mn1", "ar2", "ar3", 2 * SECOND)
    assert domain.plane("ar1").way(domain.own("ar1", "mn1")) == EnsureTunnel(session.slot, router(3))


def test_a_router_whose_wish_to_retire_is_too_old_is_told_where_the_node_is() -> None:
    """It had been given up when it was told, and showed with every wish that it did not know."""
    domain = _walked("ar1", "ar2", idle_hold=4 * SECOND, lifetime=HOUR)
    domain.lose = lambda source, destination, message: (source, destination) == ("cmd", "ar1")
    domain.roam("mn1", "ar2", "ar3", 200 * SECOND)
    domain.lose = lambda source, destination, message: False
    domain.run(40 * SECOND)
    assert domain.session("ar1", "mn1") is None or _session(domain, "ar1").serving == router(3)
    assert checkers.routes_equal_bindings(domain) == []


# --- what never ended, or was too much --------------------------------------------------------------------------------


def test_a_node_that_left_while_the_cmd_had_no_room_is_noticed() -> None:
    """The postponed registration counted as a sign of life, every half minute."""
    domain = Domain(lifetime=60 * SECOND, cmd={"nodes": 1, "warm_up": 0})
    domain.attach("mn2", "ar1")
    domain.run(SECOND)
    domain.attach("mn1", "ar1")
    for _ in range(300):  # mn2 is there, mn1 answers no probe
        domain.event("ar1", NodeSeen("acc0", HOSTS["mn2"], Sighting.NEIGHBOUR))
        domain.run(SECOND)
    assert domain.session("ar1", "mn1") is None


def test_being_told_again_where_the_node_is_is_no_use_of_its_prefix() -> None:
    """An anchor that asked at the end of every lifetime never got as far as the end of `idle_hold`."""
    domain = _walked("ar1", "ar2", lifetime=20 * SECOND, idle_hold=30 * SECOND)
    _session(domain, "ar1").attached += 1  # so that every question is answered with a notice
    _stays(domain, "ar2", 60 * SECOND)
    assert domain.session("ar1", "mn1") is None


def test_a_router_that_serves_again_is_not_told_that_another_one_does() -> None:
    """What the CMD had not got through to it before was repeated, and refused, with every refresh."""
    domain = _walked("ar1", lifetime=20 * SECOND)
    domain.lose = lambda source, destination, message: (
        (source, destination) == ("cmd", "ar1") and isinstance(message, BindingUpdate)
    )
    domain.roam("mn1", "ar1", "ar2", 500 * MILLISECOND)
    domain.roam("mn1", "ar2", "ar1", 0)
    domain.lose = lambda source, destination, message: False
    domain.run(3 * SECOND)
    domain.clear()
    _stays(domain, "ar1", 30 * SECOND)
    assert domain.cmd.entries[node("mn1")].untold == ()
    assert not any(itself for _, itself in _told(domain, "ar1"))


def test_a_cmd_without_memory_learns_no_more_prefixes_than_a_node_may_have() -> None:
    """It took the listed ones up to the limit, and then the router's own."""
    domain = _walked("ar1", "ar2", "ar3", cmd={"prefixes_per_node": 2})
    domain.restart("cmd", store=False)
    told = _session(domain, "ar3").attached
    listed = tuple(AnchoredPrefix.of(pool(number).subnet(0, 64)) for number in (1, 2))
    domain.inject(router(3), "cmd", pbu(domain, domain.own("ar3", "mn1"), timestamp=told, more=listed))
    assert len(domain.cmd.entries[node("mn1")].anchors) == 2


def test_a_prefix_that_retired_is_not_learnt_again_while_a_cmd_warms_up() -> None:
    """Only one whose end was still being told was known to be over."""
    domain = _walked("ar1", "ar2", idle_hold=4 * SECOND)
    own = domain.own("ar1", "mn1")
    domain.run(10 * SECOND)
    assert domain.cmd.entries[node("mn1")].anchor_of(own) is None
    told = _session(domain, "ar2").attached
    update = pbu(domain, domain.own("ar2", "mn1"), timestamp=told, more=(AnchoredPrefix.of(own),))
    domain.inject(router(2), "cmd", update)
    assert domain.cmd.entries[node("mn1")].anchor_of(own) is None


def test_a_node_that_was_away_for_long_is_not_promised_what_may_be_somebody_elses() -> None:
    """Prefixes of others that a departed node had once were shown to it before anybody had confirmed them."""
    domain = _walked("ar1", "ar2", quarantine=5 * SECOND)
    own = domain.own("ar1", "mn1")
    domain.detach("mn1", "ar2")
    domain.run(6 * SECOND)
    domain.crash("cmd")
    domain.attach("mn1", "ar2")
    assert own not in _session(domain, "ar2").anchored
    assert own not in _promised(domain, "ar2")


@pytest.mark.parametrize("mode", [Mode.PROXY, Mode.LOCATOR])
def test_what_the_answer_to_a_return_does_not_list_is_over(mode: Mode) -> None:
    """A prefix that went while the node was away for a moment was shown until the next refresh, and given to others."""
    domain = _walked("ar1", "ar2", mode=mode, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    domain.detach("mn1", "ar2")
    domain.lose = lambda source, destination, message: destination == "ar2"
    domain.event("ar1", Commanded("retire", {"prefix": str(own)}))
    domain.run(200 * MILLISECOND)
    domain.lose = lambda source, destination, message: False
    domain.attach("mn1", "ar2")
    assert own in _session(domain, "ar2").anchored
    domain.run(100 * MILLISECOND)
    assert own not in _session(domain, "ar2").anchored
    assert own not in _promised(domain, "ar2")


@pytest.mark.parametrize("mode", _MODES)
def test_a_departed_node_with_a_prefix_of_somebody_else_is_forgotten(mode: Mode) -> None:
    """Its router had lost its memory; the refusal came when the node had left, and what it had had before was cut."""
    domain = Domain(mode, delays=_FAR)
    for host in ("mn1", "mn2"):  # ar2#0 and ar2#1
        domain.attach(host, "ar2")
        domain.run(SECOND)
        domain.roam(host, "ar2", "ar1", SECOND)
    domain.lose = lambda source, destination, message: not isinstance(message, BindingUpdate | BindingAcknowledgement)
    domain.restart("ar2", store=False)
    domain.run(SECOND)
    domain.attach("mn3", "ar2")  # takes ar2#0, until it is refused
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")  # takes ar2#1, which is mn2's
    domain.detach("mn1", "ar2")
    domain.run(SECOND)
    assert domain.session("ar2", "mn1") is None


@pytest.mark.parametrize("restarted", [False, True])
def test_a_node_that_goes_to_another_link_of_its_router_keeps_what_it_has(restarted: bool) -> None:
    """When it had left last, long ago or in another life, was taken for how long it had been away."""
    domain = _walked("ar1", "ar2", quarantine=5 * SECOND)
    own = domain.own("ar1", "mn1")
    _stays(domain, "ar2", 10 * SECOND)
    if restarted:
        domain.restart("ar2", store=True)
    domain.crash("cmd")
    domain.event("ar2", NodeSeen("acc1", HOSTS["mn1"], Sighting.STATION))
    assert own in _session(domain, "ar2").anchored
    assert own in _promised(domain, "ar2")


def _promised(domain: Domain, name: str) -> set[Prefix]:
    return {each.prefix for each in domain.members[name].advertised[-1][1].prefixes if each.valid}


# --- memory ---------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_corrected_is_stored_with_the_attachment() -> None:
    """After a restart the router went on with the time that the CMD had refused."""
    domain = Domain()
    domain.skew("ar1", HOUR)
    domain.lose = lambda source, destination, message: (
        isinstance(message, BindingAcknowledgement) and message.status == 0
    )
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    session = _session(domain, "ar1")
    stored = Session.restored(node("mn1"), domain.members["ar1"].store[node("mn1")], 0)
    assert stored.attached == session.attached


def test_who_was_not_told_is_known_after_a_restart_of_the_cmd() -> None:
    """A router that registered late was told only by the life of the CMD that had heard it."""
    domain = _walked("ar1", "ar2", "ar3")
    silent: list[MobilityMessage] = []

    def lose(source: str, destination: str, message: MobilityMessage) -> bool:
        lost = (source, destination) == ("cmd", "ar2") and isinstance(message, BindingUpdate)
        silent.extend([message] if lost else [])
        return lost

    domain.lose = lose
    domain.inject(router(2), "cmd", pbu(domain, domain.own("ar2", "mn1"), timestamp=1))
    domain.run(SECOND)
    assert silent
    domain.restart("cmd", store=True)
    assert router(2) in domain.cmd.entries[node("mn1")].untold


def test_the_second_copy_of_an_answer_about_a_prefix_answers_no_registration() -> None:
    """A repetition of the one takes the number that the other was sent with; then nothing happened to the node ever."""
    domain = Domain()
    domain.lose = lambda source, destination, message: source == "cmd"
    domain.attach("mn1", "ar1")
    domain.run(10 * MILLISECOND)
    session = _session(domain, "ar1")
    copy = pba(domain, AnchoredPrefix.of(pool(2).subnet(0, 64)), sequence=session.sequence, lifetime=0)
    domain.inject(CMD, "ar1", copy)
    assert not session.confirmed
    domain.lose = lambda source, destination, message: False
    domain.run(2 * SECOND)
    assert session.confirmed
    assert session.lifetime > 0


def test_an_anchor_that_comes_back_with_a_lease_that_is_over_is_told_before_packets_go_round() -> None:
    """It was dead when the lease ended. The notice waited for its last repetition, while packets went to and fro."""
    domain = Domain(dhcp=True, lifetime=HOUR, idle_hold=HOUR)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    client = Client(domain, "mn1")
    (lent,) = prefixes_in(client.ask("ar1", MessageType.REQUEST, IaPd(9, 0, 0)))
    domain.run(SECOND)
    domain.crash("ar1")
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    client.ask("ar2", MessageType.RELEASE, IaPd(9, 0, 0, (lent,)))
    domain.run(13 * SECOND)
    domain.restart("ar1", store=True)
    domain.run(2 * SECOND)
    assert isinstance(domain.plane("ar1").way(domain.own("ar1", "mn1")), EnsureTunnel)
    assert domain.plane("ar1").way(lent.prefix) is None


def test_a_prefix_that_lives_again_is_not_over_for_who_serves_the_node_a_moment_later() -> None:
    """The notice that it is over waited for its turn, and came after the news that it is not."""
    domain = _walked("ar1", "ar2", idle_hold=HOUR, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    entry = domain.cmd.entries[node("mn1")]
    domain.lose = lambda source, destination, message: destination == "ar2" and isinstance(message, BindingUpdate)
    domain.cmd._drop(entry, own)
    domain.cmd._tell_retired(entry, own, router(2))
    late = pbu(domain, own, timestamp=entry.timestamp - 1)
    domain.inject(router(1), "cmd", late)
    domain.run(10 * MILLISECOND)
    domain.lose = lambda source, destination, message: False
    domain.run(30 * SECOND)
    assert own in _session(domain, "ar2").anchored
    assert domain.cmd._requests.get(("retire", node("mn1"), router(2), own)) is None


def test_an_identity_that_was_refused_after_its_node_left_is_asked_for_again() -> None:
    """Only those who were there were looked after (`cluster` 317)."""

    def trouble(effect: ForwardingEffect) -> OSError | None:
        return OSError(errno.ENOMEM, "no room") if isinstance(effect, EnsureLogicalInterface) else None

    domain = Domain()
    domain.reconfigure("ar1", routes=(prefix("fd00:1::/32"),))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.plane("ar2").trouble = trouble
    domain.detach("mn1", "ar1")
    domain.attach("mn1", "ar2")
    domain.detach("mn1", "ar2")
    domain.run(100 * MILLISECOND)
    assert domain.reported("ar2", "effect-failed") == 1
    domain.plane("ar2").trouble = None
    domain.run(3 * SECOND)
    assert domain.plane("ar2").state.logical_interfaces == {("acc0", logical_link_local(router(1)))}
