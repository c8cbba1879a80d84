"""The rows of the conformance list that concern MAAR, CMD, or everybody, and that an engine (or the codec in front of
it)
can answer; each test bears the id of its row. Rows about the kernel are in tests/linux.
"""

# ruff: noqa: N802  (the names bear the ids of the rows)

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.events import MessageReceived
from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.maar_session import Presence
from sojourn.wire import (
    BindingAcknowledgement,
    DecodeError,
    HomeNetworkPrefix,
    MobilityMessage,
    Status,
    Timestamp,
    decode,
    encode,
    seal,
    verify,
)
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support import checkers
from support.domain import CMD, HOSTS, Domain, node, pool, router
from support.hostile import mutated
from support.legacy import LegacyAnchor
from support.marks import first_is_quick
from support.messages import answers, pbu, stamp, updates

_MODES = CENTRAL


def _octets(domain: Domain) -> bytes:
    return bytes(encode(pbu(domain, pool(1).subnet(0, 64))))


def _arrive(domain: Domain, octets: bytes) -> None:
    """`octets` reach the CMD from ar1, decoded as the host does it."""
    domain.clear()
    domain.event("cmd", MessageReceived(decode(octets), router(1), CMD))


def test_C001_a_wrong_checksum_is_noticed() -> None:
    octets = seal(_octets(Domain()), router(1), CMD)
    assert verify(octets, router(1), CMD)
    assert not verify(octets, router(2), CMD)
    for position in range(len(octets)):
        damaged = bytearray(octets)
        damaged[position] ^= 0x10
        assert not verify(bytes(damaged), router(1), CMD)


def test_C002_another_payload_protocol_is_no_message() -> None:
    octets = _octets(Domain())
    with pytest.raises(DecodeError):
        decode(b"\x06" + octets[1:])


def test_C004_a_header_that_runs_past_the_end_is_no_message() -> None:
    octets = _octets(Domain())
    for length in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(octets[:length])
    with pytest.raises(DecodeError):
        decode(octets[:1] + b"\xff" + octets[2:])


def test_C007_reserved_fields_are_ignored() -> None:
    """Every bit of the update that has no meaning is set: the four flags, and the reserved octets of the options."""
    domain = Domain()
    octets = bytearray(_octets(domain))
    octets[4:6] = b"\0\0"
    octets[9] |= 0x0F  # reserved flags (RFC 8885 4.1)
    for option, offset in ((22, 2), (23, 2), (24, 2)):  # reserved octets of RFC 5213 8.3 (7 bits), 8.4 and 8.5
        octets[_find(bytes(octets), option) + offset] |= 0x7F
    _arrive(domain, bytes(octets))
    assert [answer.status for answer in answers(domain, "ar1")] == [0]


@pytest.mark.parametrize("seed", range(5))
def test_C008_unknown_options_between_known_ones_are_skipped(seed: int) -> None:
    domain = Domain()
    dice = random.Random(seed)
    octets = _octets(domain)
    start = 12
    while start < len(octets):
        noise = bytes((dice.randrange(200, 256), length := dice.randrange(0, 9))) + dice.randbytes(length)
        octets = octets[:start] + noise + octets[start:]
        start += len(noise)
        start += 1 if octets[start] == 0 else 2 + octets[start + 1]
    octets += bytes(-len(octets) % 8)
    _arrive(domain, octets[:1] + bytes((len(octets) // 8 - 1,)) + octets[2:])
    assert [answer.status for answer in answers(domain, "ar1")] == [0]
    assert node("mn1") in domain.cmd.entries


def test_C010_options_at_wrong_alignment_are_accepted_and_ours_are_aligned() -> None:
    domain = Domain()
    aligned = _octets(domain)
    packed = aligned[:12]
    start = 12
    while start < len(aligned):
        length = 1 if aligned[start] == 0 else 2 + aligned[start + 1]
        packed += b"" if aligned[start] in (0, 1) else aligned[start : start + length]
        start += length
    packed += bytes(-len(packed) % 8)
    _arrive(domain, packed[:1] + bytes((len(packed) // 8 - 1,)) + packed[2:])
    (answer,) = answers(domain, "ar1")
    assert answer.status == 0
    octets = bytes(encode(answer))
    assert _find(octets, 22) % 8 == 4  # 8n+4
    assert _find(octets, 27) % 8 == 2  # 8n+2


def _find(octets: bytes, option: int) -> int:
    """Where the first option of this number begins."""
    start = 12
    while octets[start] != option:
        start += 1 if octets[start] == 0 else 2 + octets[start + 1]
    return start


# --- registration as a gateway of RFC 5213 knows it ----------------------------------------------------------------


def test_C109_who_is_not_on_the_list_gets_154_and_who_is_no_maar_152() -> None:
    domain = Domain()
    domain.clear()
    domain.inject(bytes.fromhex("20010db8ffff00000000000000000001"), "cmd", pbu(domain, pool(1).subnet(0, 64)))
    assert _statuses(domain) == [Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG]
    domain.clear()
    domain.inject(router(1), "cmd", pbu(domain, pool(1).subnet(0, 64), flags=0x8200))
    assert _statuses(domain) == [Status.PROXY_REG_NOT_ENABLED]


def test_C110_a_foreign_prefix_gets_155_and_a_full_database_130() -> None:
    domain = Domain(cmd={"nodes": 0})
    domain.clear()
    domain.inject(router(1), "cmd", pbu(domain, pool(2).subnet(0, 64)))
    domain.inject(router(1), "cmd", pbu(domain, pool(1).subnet(0, 64)))
    assert _statuses(domain) == [Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX, Status.INSUFFICIENT_RESOURCES]


def _statuses(domain: Domain) -> list[int]:
    return [message.status for _, _, message in domain.sent() if isinstance(message, BindingAcknowledgement)]


@pytest.mark.parametrize("mode", _MODES)
def test_C112_the_prefix_waits_for_the_node_until_the_lifetime_is_over(mode: Mode) -> None:
    """Of an LMA the wait is MinDelayBeforeBCEDelete after a de-registration; here nothing is de-registered before."""
    for absence, kept in ((1, True), (19, True), (60, False)):
        domain = Domain(mode, lifetime=20 * SECOND, cmd={"warm_up": 0})
        domain.attach("mn1", "ar1")
        domain.run(SECOND)
        own = domain.own("ar1", "mn1")
        domain.detach("mn1", "ar1")
        domain.run(absence * SECOND)
        domain.attach("mn1", "ar2")
        domain.run(SECOND // 2)
        session = domain.session("ar2", "mn1")
        assert session is not None
        assert (own in session.anchored) is kept


def test_C113_157_and_156_carry_the_time_of_the_cmd_and_the_sequence_number_of_the_request() -> None:
    domain = Domain()
    domain.inject(router(1), "cmd", pbu(domain, pool(1).subnet(0, 64)))
    domain.run(SECOND)
    for ahead, status in ((-SECOND, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED), (SECOND, Status.TIMESTAMP_MISMATCH)):
        domain.clear()
        request = pbu(domain, pool(2).subnet(0, 64), sequence=4711, timestamp=stamp(domain, ahead))
        domain.inject(router(2), "cmd", request)
        (answer,) = answers(domain, "ar2")
        assert (answer.status, answer.sequence) == (status, 4711)
        assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)


def test_C115_attach_accepted_refused_lost() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    advertisement = domain.members["ar1"].advertised[-1][1]
    assert (advertisement.link_layer, advertisement.router) == (
        HOSTS["mn1"],
        domain.maar("ar1").configuration.link_local,
    )
    domain = Domain(cmd={"maars": ()})  # the CMD knows no MAAR: 154
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    assert [each.valid for each in domain.members["ar1"].advertised[-1][1].prefixes] == [0]
    domain = Domain()
    domain.crash("cmd")
    domain.attach("mn1", "ar1")
    domain.run(10 * SECOND)
    assert [update.sequence for update in updates(domain, "ar1", "cmd")][:4] == [1, 2, 3, 4]


# --- RFC 8885 ------------------------------------------------------------------------------------------------------


def test_C118_first_attachment() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    own = domain.own("ar1", "mn1")
    (update,) = updates(domain, "ar1", "cmd")
    assert update.flags & 0x0010
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [own]
    assert domain.cmd.entries[node("mn1")].anchors == [(own, router(1))]
    assert [each.preferred > 0 for each in domain.members["ar1"].advertised[-1][1].prefixes] == [True]
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)
    assert domain.plane("ar1").state.uplinks == {own: None}


_ORDER = {
    Mode.RELAY: [("ar2", "cmd"), ("cmd", "ar1"), ("ar1", "cmd"), ("cmd", "ar2")],
    Mode.LOCATOR: [("ar2", "cmd"), ("cmd", "ar1"), ("ar1", "cmd"), ("ar1", "ar2")],
    Mode.PROXY: [("ar2", "cmd"), ("cmd", "ar2"), ("cmd", "ar1"), ("ar1", "cmd")],
}


@pytest.mark.parametrize("mode", _MODES)
def test_C119_a_move_in_each_mode_with_the_messages_of_figures_2_to_4(mode: Mode) -> None:
    domain = Domain(mode)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.clear()
    domain.roam("mn1", "ar1", "ar2")
    assert [pair[:2] for pair in domain.sent()] == _ORDER[mode]
    old, new = domain.own("ar1", "mn1"), domain.own("ar2", "mn1")
    assert isinstance(domain.plane("ar1").way(old), EnsureTunnel)
    advertised = {each.prefix: each for each in domain.members["ar2"].advertised[-1][1].prefixes}
    assert advertised[old].preferred == 0
    assert advertised[old].valid > 0
    assert advertised[new].preferred > 0


def test_C121_the_timer_of_a_previous_maar_ends_nothing_while_the_node_is_elsewhere() -> None:
    domain = Domain(lifetime=20 * SECOND, idle_hold=3600 * SECOND)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2")
    own = domain.own("ar1", "mn1")
    for _ in range(100):
        domain.run(SECOND)
        domain.attach("mn1", "ar2")
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.presence is Presence.AWAY
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)
    assert domain.cmd.entries[node("mn1")].anchor_of(own) == router(1)


def test_C122_an_lma_without_d_returns_an_error_and_the_maar_goes_on_without_d() -> None:
    domain = Domain()
    domain.replace_cmd(LegacyAnchor(CMD, prefix("2001:db8:f000::/48"), strict=True))
    domain.clear()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.legacy
    assert session.confirmed
    assert [update.flags & 0x0010 for update in updates(domain, "ar1", "cmd")] == [0x0010, 0]


@pytest.mark.parametrize("mode", _MODES)
def test_C124_return_to_the_first_maar(mode: Mode) -> None:
    domain = Domain(mode)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    own = domain.own("ar1", "mn1")
    first = domain.members["ar1"].advertised[-1][1]
    domain.roam("mn1", "ar1", "ar2", 2 * SECOND)
    domain.roam("mn1", "ar2", "ar1", 5 * SECOND)
    assert domain.own("ar1", "mn1") == own
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)
    last = domain.members["ar1"].advertised[-1][1]
    assert (last.router, last.router_link_layer) == (first.router, first.router_link_layer)
    assert {each.prefix: each.preferred > 0 for each in last.prefixes}[own]
    assert len(domain.plane("ar1").state.slots) == 1
    assert own not in domain.plane("ar2").state.prefixes
    assert checkers.routes_equal_bindings(domain) == []


@pytest.mark.parametrize("store", first_is_quick([True, False]))
def test_C127_the_cmd_restarts_with_1000_nodes_while_100_move(store: bool) -> None:
    domain = Domain(maars=4, new_nodes_per_second=5000, cmd={"pace_rate": 20_000})
    hosts = [f"mn{number}" for number in range(1, 1001)]
    for index, host in enumerate(hosts):
        HOSTS.setdefault(host, b"\x02\x00\x00\x01" + index.to_bytes(2, "big"))
        domain.attach(host, f"ar{1 + index % 4}")
    domain.run(3 * SECOND)
    before = {name: {key: session.own for key, session in domain.maar(name).sessions.items()} for name in _names(4)}
    domain.crash("cmd")
    movers = hosts[:100]
    for index, host in enumerate(movers):
        domain.roam(host, f"ar{1 + index % 4}", f"ar{1 + (index + 1) % 4}", 5 * MILLISECOND)
    domain.restart("cmd", store=store)
    domain.run(3 * SECOND)
    assert len(domain.cmd.entries) == 1000
    for index, host in enumerate(movers):
        old, new = f"ar{1 + index % 4}", f"ar{1 + (index + 1) % 4}"
        own = before[old][node(host)]
        assert own is not None
        way = domain.plane(old).way(own)
        assert isinstance(way, EnsureTunnel)
        assert domain.names[way.remote] == new
        assert isinstance(domain.plane(new).way(own), EnsureDelivery)
    assert checkers.owners(domain) == []


def _names(count: int) -> list[str]:
    return [f"ar{number}" for number in range(1, count + 1)]


def test_C128_mutated_messages_reach_no_exception_and_leave_memory_bounded() -> None:
    """A slice of the million; more of it in tests/engines/test_hostile.py."""
    domain = Domain(nodes=50, cmd={"nodes": 50})
    dice = random.Random(128)
    samples = [bytes(encode(message)) for _, _, message in _conversation()]
    for message in mutated(dice, samples, 4_000):
        receiver = dice.choice(["cmd", "ar1"])
        source = dice.choice([CMD, router(1), router(2), dice.randbytes(16)])
        domain.event(receiver, MessageReceived(message, source, CMD if receiver == "cmd" else router(1)))
        if dice.random() < 0.05:
            domain.run(dice.randrange(SECOND))
    assert len(domain.cmd.entries) <= 50
    assert len(domain.maar("ar1").sessions) <= 50


def _conversation() -> list[tuple[str, str, MobilityMessage]]:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.roam("mn1", "ar2", "ar3", 90 * SECOND)
    return domain.sent()


@pytest.mark.parametrize("victim", ["ar1", "ar2", "cmd"])
@pytest.mark.parametrize("mode", _MODES)
def test_C130_killed_after_each_message_of_a_handover_and_restarted(mode: Mode, victim: str) -> None:
    """The engine part: state from the store, then everything is as the bindings say."""
    for deadline in _instants(mode):
        domain = Domain(mode)
        domain.attach("mn1", "ar1")
        domain.run(SECOND)
        domain.detach("mn1", "ar1")
        domain.attach("mn1", "ar2")
        domain.run(deadline)
        domain.crash(victim)
        domain.run(500 * MILLISECOND)
        domain.restart(victim, store=True)
        domain.run(5 * SECOND)
        assert checkers.routes_equal_bindings(domain) == [], deadline
        assert checkers.latest_wins(domain, {"mn1": "ar2"}) == [], deadline
        assert isinstance(domain.plane("ar1").way(domain.own("ar1", "mn1")), EnsureTunnel)


def _instants(mode: Mode) -> list[int]:
    """Moments between the messages of a handover: half a millisecond after each."""
    return [step * MILLISECOND + MILLISECOND // 2 for step in range(5 if mode is Mode.RELAY else 4)]
