"""The rows of the conformance list that concern an LMA or a MAG; each test bears the id of its row.

Rows that concern everybody are here where an engine has its own part in them; what the codec alone decides is shown
in `test_conformance`. What the kernel does is in tests/linux, under the same ids.
"""

# ruff: noqa: N802  (the names bear the ids of the rows)

from __future__ import annotations

import random

import pytest

from sojourn.core.events import MessageReceived
from sojourn.engines.configuration import Gateway, HomeProfile, LmaConfiguration
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.registration import PROXY, PROXY_DMM
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingError,
    BindingUpdate,
    MobilityMessage,
    Status,
    Timestamp,
    UnknownOption,
    decode,
    encode,
)
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support import pmip_checkers
from support.domain import CMD, Domain, router
from support.hostile import mutated
from support.messages import stamp, updates
from support.pmip import HOME, LMA, ProxyDomain, gateway, home, prefixes_of, request, status_of
from support.table import EPOCH, HOSTS, node


def _attached(**settings: object) -> ProxyDomain:
    """mn1 is at mag1."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


# --- everybody --------------------------------------------------------------------------------------------------------


def test_C007_reserved_fields_are_ignored_by_an_lma() -> None:
    """Every flag without a meaning for a proxy registration is set, and the reserved octets of the options."""
    domain = ProxyDomain()
    octets = bytearray(encode(request(domain)))
    octets[4:6] = b"\0\0"
    octets[9] |= 0x0F
    assert status_of(domain.ask(_update(octets))) == 0


def _update(octets: bytearray) -> BindingUpdate:
    message = decode(bytes(octets))
    assert isinstance(message, BindingUpdate)
    return message


@pytest.mark.parametrize("kind", range(200, 256))
def test_C008_unknown_options_are_skipped_by_lma_and_mag(kind: int) -> None:
    domain = ProxyDomain()
    unknown = UnknownOption(kind, b"\xff" * 9)
    update = request(domain)
    mixed = (update.options[0], unknown, *update.options[1:], unknown)
    assert status_of(domain.ask(BindingUpdate(update.sequence, update.flags, update.lifetime, mixed))) == 0
    domain = ProxyDomain()
    domain.lose = lambda source, destination, message: destination == "mag1"
    domain.attach("mn1", "mag1")
    domain.run(100 * MILLISECOND)
    (answer,) = [message for _, _, message in domain.sent() if isinstance(message, BindingAcknowledgement)]
    mixed = (unknown, *answer.options, unknown)
    domain.inject(
        LMA, "mag1", BindingAcknowledgement(answer.status, answer.flags, answer.sequence, answer.lifetime, mixed)
    )
    assert domain.at("mag1").confirmed


# --- the LMA ----------------------------------------------------------------------------------------------------------


def test_C109_a_mag_that_is_not_listed_154_an_unknown_node_153_a_node_without_service_152() -> None:
    domain = ProxyDomain(
        lma={"everybody": None, "profiles": (HomeProfile(node("mn1")), HomeProfile(node("mn2"), service=False))}
    )
    domain.clear()
    domain.inject(address("2001:db8:ffff::1"), "lma", request(domain))
    assert [message.status for _, _, message in domain.sent() if isinstance(message, BindingAcknowledgement)] == [154]
    assert status_of(domain.ask(request(domain, host="mn3"))) == Status.NOT_LMA_FOR_THIS_MOBILE_NODE == 153
    assert status_of(domain.ask(request(domain, host="mn2"))) == Status.PROXY_REG_NOT_ENABLED == 152
    assert status_of(domain.ask(request(domain))) == 0


def test_C110_a_prefix_of_its_own_for_each_155_for_a_foreign_one_130_when_there_is_none() -> None:
    domain = ProxyDomain(lma={"pools": (prefix("2001:db8:f000::/62"),), "everybody": HomeProfile(count=1)})
    given = []
    for host in ("mn1", "mn2", "mn3", "mn4"):
        answer = domain.ask(request(domain, host=host))
        assert answer is not None
        given += prefixes_of(answer)
    assert len(set(given)) == 4
    for foreign in (prefix("2001:db8:5::/64"), given[0]):
        assert status_of(domain.ask(request(domain, foreign, host="mn5"))) == 155
    assert status_of(domain.ask(request(domain, host="mn5"))) == Status.INSUFFICIENT_RESOURCES == 130


@pytest.mark.parametrize(("later", "kept"), [(1, True), (11, False)])
def test_C112_deregistration_and_another_mag_1_s_or_11_s_later(later: int, kept: bool) -> None:
    """The kernel's part, traffic that is dropped meanwhile, is in tests/linux."""
    domain = _attached()
    (before,) = domain.entry().prefixes
    domain.detach("mn1", "mag1")
    domain.run(500 * MILLISECOND)
    assert domain.entry().waiting
    assert before not in domain.plane("lma").state.prefixes
    domain.run(later * SECOND - 500 * MILLISECOND)
    assert bool(domain.entries()) is kept
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.entry().prefixes == (before,), "a new session has it as well, as nobody else does"
    assert domain.entry().source == gateway(2)


@pytest.mark.parametrize(
    ("host", "ahead", "status"),
    [
        ("mn1", -100 * MILLISECOND, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED),
        ("mn1", 400 * MILLISECOND, Status.TIMESTAMP_MISMATCH),
        ("mn2", 400 * MILLISECOND, Status.TIMESTAMP_MISMATCH),
        ("mn2", -400 * MILLISECOND, Status.TIMESTAMP_MISMATCH),
    ],
)
def test_C113_157_and_156_carry_the_time_of_the_lma_and_the_sequence_number_of_the_request(
    host: str, ahead: int, status: int
) -> None:
    domain = ProxyDomain()
    assert status_of(domain.ask(request(domain))) == 0
    answer = domain.ask(request(domain, host=host, sequence=4711, ahead=ahead), "mag2")
    assert answer is not None
    assert (answer.status, answer.sequence) == (status, 4711)
    assert answer.all(Timestamp) == (Timestamp(stamp(domain)),)
    assert status_of(domain.ask(request(domain, sequence=4711, ahead=10 * MILLISECOND), "mag2")) == 0


# --- the MAG ----------------------------------------------------------------------------------------------------------


def test_C115_accepted_the_node_hears_of_its_prefix_from_the_fixed_address() -> None:
    domain = _attached()
    said = domain.advertisement("mag1")
    configuration = domain.mag("mag1").configuration
    assert (said.link_layer, said.router) == (HOSTS["mn1"], configuration.link_local)
    assert said.router_link_layer == configuration.link_layer
    assert [(each.prefix, each.preferred > 0) for each in said.prefixes] == [(domain.entry().prefixes[0], True)]


def test_C115_refused_the_node_hears_of_no_prefix() -> None:
    domain = _attached(lma={"everybody": HomeProfile(service=False)})
    assert domain.members["mag1"].advertised == []


def test_C115_lost_it_is_repeated_after_1_s_and_twice_as_long_each_time_with_a_new_timestamp() -> None:
    domain = ProxyDomain()
    domain.crash("lma")
    start = domain.now
    domain.attach("mn1", "mag1")
    domain.run(20 * SECOND)
    sent = [update for update in updates(domain, "mag1", "lma") if update.lifetime]
    times = [when for when, source, _, message in domain.messages if source == "mag1" and message in sent]
    assert [round((when - start) / SECOND) for when in times] == [0, 1, 3, 7, 15]
    stamps = [option.ticks for update in sent for option in update.all(Timestamp)]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == len(sent)


# --- the D flag of RFC 8885 -------------------------------------------------------------------------------------------


def test_C122_an_lma_that_refuses_the_d_flag_returns_an_error() -> None:
    domain = ProxyDomain(lma={"refuse_distributed": True})
    assert status_of(domain.ask(request(domain, flags=PROXY_DMM))) >= 128
    assert len(domain.lma.cache) == 0


def test_C122_by_default_an_lma_answers_as_if_there_were_no_d_flag() -> None:
    """`shared/design.md` 5, decision 3: so does every LMA that was there before RFC 8885."""
    domain = ProxyDomain()
    answer = domain.ask(request(domain, flags=PROXY_DMM))
    assert answer is not None
    assert answer.status == 0
    assert not answer.flags & BindingAcknowledgementFlags.D
    assert status_of(domain.ask(request(domain, host="mn2", flags=PROXY))) == 0


def test_C122_a_mag_ignores_an_answer_with_the_d_flag_and_returns_an_error() -> None:
    domain = ProxyDomain()
    domain.lose = lambda source, destination, message: destination == "mag1"
    domain.attach("mn1", "mag1")
    domain.run(100 * MILLISECOND)
    (answer,) = [message for _, _, message in domain.sent() if isinstance(message, BindingAcknowledgement)]
    flags = answer.flags | BindingAcknowledgementFlags.D
    domain.clear()
    domain.inject(LMA, "mag1", BindingAcknowledgement(0, flags, answer.sequence, answer.lifetime, answer.options))
    assert not domain.at("mag1").confirmed
    assert [type(message) for _, _, message in domain.sent()] == [BindingError]


def test_C122_maars_go_on_as_mags_with_a_real_lma() -> None:
    """RFC 8885 4.2: what the LMA of this package answers without D is enough for a MAAR, and the host keeps its
    address."""
    domain, lma = _maars_with_an_lma()
    domain.attach("mn1", "ar1")
    domain.run(2 * SECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert (session.legacy, session.confirmed) == (True, True)
    (before,) = session.anchored
    assert HOME.contains(before)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.run(2 * SECOND)
    session = domain.session("ar2", "mn1")
    assert session is not None
    assert list(session.anchored) == [before]
    (entry,) = lma.cache.of(node("mn1"))
    assert entry.source == router(2)
    assert domain.plane("ar2").state.uplinks[before] == CMD


def test_C122_a_maar_that_restarted_tells_an_lma_of_nobody_whom_it_has_not_seen_since() -> None:
    """To an LMA the last word counts: the node, which had gone on to ar1, would be sent back by it."""
    domain, lma = _maars_with_an_lma()
    domain.attach("mn1", "ar2")
    domain.run(2 * SECOND)
    domain.crash("ar2")
    domain.attach("mn1", "ar1")
    domain.run(2 * SECOND)
    domain.restart("ar2", store=True)
    for _ in range(50):
        domain.run(100 * MILLISECOND)
        (entry,) = lma.cache.of(node("mn1"))
        assert entry.source == router(1)


def _maars_with_an_lma() -> tuple[Domain, LocalMobilityAnchor]:
    domain = Domain(maars=2)
    lma = LocalMobilityAnchor(LmaConfiguration(CMD, (Gateway(router(1)), Gateway(router(2))), (HOME,)), EPOCH)
    domain.replace_cmd(lma)
    domain.clear()
    return domain, lma


# --- robustness -------------------------------------------------------------------------------------------------------


def test_C128_mutated_messages_reach_no_exception_and_leave_memory_bounded() -> None:
    """A slice of the million; more of it in tests/engines/test_hostile_pmip.py."""
    domain = ProxyDomain(nodes=50, lma={"nodes": 50})
    dice = random.Random(128)
    samples = [bytes(encode(message)) for _, _, message in _conversation()]
    for message in mutated(dice, samples, 4_000):
        receiver = dice.choice(["lma", "mag1"])
        source = dice.choice([LMA, gateway(1), gateway(2), dice.randbytes(16)])
        domain.event(receiver, MessageReceived(message, source, LMA if receiver == "lma" else gateway(1)))
        if dice.random() < 0.05:
            domain.run(dice.randrange(SECOND))
    assert len(domain.lma.cache) <= 50
    assert len(domain.mag("mag1").sessions) <= 50


def _conversation() -> list[tuple[str, str, MobilityMessage]]:
    domain = _attached()
    domain.roam("mn1", "mag1", "mag2", SECOND)
    domain.roam("mn1", "mag2", "mag1", 200 * SECOND)
    return domain.sent()


@pytest.mark.parametrize("victim", ["mag1", "mag2", "lma"])
def test_C130_killed_after_each_message_of_a_handover_and_restarted(victim: str) -> None:
    """The engine part: state from the store, then everything is as the bindings say."""
    for step in range(5):
        domain = _attached()
        domain.detach("mn1", "mag1")
        domain.attach("mn1", "mag2")
        domain.run(step * MILLISECOND + MILLISECOND // 2)
        domain.crash(victim)
        domain.run(500 * MILLISECOND)
        domain.restart(victim, store=True)
        if victim == "mag2":
            domain.attach("mn1", "mag2")  # a router that begins reads which stations are there
        domain.run(15 * SECOND)
        assert pmip_checkers.faults(domain) == [], step
        assert domain.entry().source == gateway(2), step
        assert domain.entry().prefixes == (home(0),), step
