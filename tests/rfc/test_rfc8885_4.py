"""RFC 8885 section 4 and 6: what messages carry, seen from the engines; the layout of the options is tests/wire."""

from __future__ import annotations

import pytest

from sojourn.engines.configuration import CENTRAL, Mode
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    HomeNetworkPrefix,
    LocalPrefix,
    MobilityMessage,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    UnknownOption,
    decode,
    encode,
)
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import CMD, Domain, node, pool, router
from support.messages import answers, pba, pbu, updates

_DMM_OPTIONS = (
    AnchoredPrefix,
    LocalPrefix,
    PreviousMaar,
    ServingMaar,
    DlifLinkLocalAddress,
    DlifLinkLayerAddress,
)


def _long_walk(mode: Mode = Mode.PROXY) -> Domain:
    """Handovers, a retirement, a de-registration, with local networks behind every router."""
    domain = Domain(mode, 4, idle_hold=4 * SECOND, lifetime=20 * SECOND, cmd={"warm_up": 0})
    for number in range(1, 5):
        domain.reconfigure(f"ar{number}", routes=(prefix(f"fd00:{number}::/32"),))
    domain.clear()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    for old, new in (("ar1", "ar2"), ("ar2", "ar3"), ("ar3", "ar1")):
        domain.roam("mn1", old, new, SECOND)
    domain.run(6 * SECOND)
    domain.detach("mn1", "ar1")
    domain.run(60 * SECOND)
    assert not domain.cmd.entries
    return domain


def _with_option(domain: Domain, kind: type[MobilityOption]) -> list[tuple[str, str, MobilityMessage]]:
    return [sent for sent in domain.sent() if sent[2].first(kind) is not None]


def test_4_1_the_d_flag_is_set_in_every_update_of_a_maar_or_a_cmd() -> None:
    """Text: "The D flag is set to indicate to the receiver of the message that the PBU is from a MAAR or a CMD"."""
    for _, _, message in _long_walk().sent(BindingUpdate):
        assert isinstance(message, BindingUpdate)
        assert message.flags & BindingUpdateFlags.D
        assert message.flags & BindingUpdateFlags.P
        assert message.flags & BindingUpdateFlags.A


def test_4_2_the_d_flag_is_set_in_every_acknowledgement() -> None:
    """Text: "The D flag is set to indicate that the sender of the message supports operating as a MAAR or CMD"."""
    for _, _, message in _long_walk().sent(BindingAcknowledgement):
        assert isinstance(message, BindingAcknowledgement)
        assert message.flags == ACKNOWLEDGED_DMM


def test_4_1_a_cmd_is_no_lma_an_update_without_d_is_refused_and_changes_nothing() -> None:
    """The mirror of 4.1: who is no MAAR cannot be served by a database without a data path."""
    domain = Domain()
    domain.inject(router(1), "cmd", pbu(domain, pool(1).subnet(0, 64), flags=PROXY))
    (answer,) = answers(domain, "ar1")
    assert answer.status >= 128
    assert not answer.flags & BindingAcknowledgementFlags.D
    assert not domain.cmd.entries


def test_4_1_a_maar_refuses_an_update_without_d() -> None:
    domain = Domain()
    domain.inject(CMD, "ar1", pbu(domain, pool(1).subnet(0, 64), flags=PROXY, more=(ServingMaar(router(2)),)))
    assert answers(domain, "cmd")[0].status >= 128
    assert not domain.maar("ar1").sessions


def test_4_1_an_lma_that_returns_an_error_is_asked_again_without_d() -> None:
    """Text: "the PBU in that case MUST NOT be processed by the LMA, and an error MUST be returned" (design decision 3:
    the MAAR then goes on as a gateway of RFC 5213)."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    domain.clear()
    refused = pba(domain, status=129, sequence=update.sequence, flags=int(BindingAcknowledgementFlags.P))
    domain.inject(CMD, "ar1", refused)
    (again,) = updates(domain, "ar1", "cmd")
    assert again.flags == PROXY
    assert again.first(AnchoredPrefix) is None


@pytest.mark.parametrize("types", [[200], [255, 201, 230], [200, 199, 64]])
def test_4_1_and_4_2_options_that_are_not_understood_are_skipped(types: list[int]) -> None:
    """Text: "The receiving node MUST ignore and skip any options that it does not understand"."""
    domain = Domain()
    unknown = tuple(UnknownOption(number, bytes(number % 20)) for number in types)
    update = pbu(domain, pool(1).subnet(0, 64))
    update = BindingUpdate(update.sequence, update.flags, update.lifetime, (*unknown, *update.options, *unknown))
    domain.inject(router(1), "cmd", update)
    assert answers(domain, "ar1")[0].status == 0
    assert node("mn1") in domain.cmd.entries
    domain.attach("mn2", "ar2")
    (sent,) = updates(domain, "ar2", "cmd")
    domain.inject(CMD, "ar2", pba(domain, *unknown, host="mn2", sequence=sent.sequence))
    session = domain.session("ar2", "mn2")
    assert session is not None
    assert session.confirmed


@pytest.mark.parametrize("mode", CENTRAL)
def test_4_every_message_is_a_multiple_of_8_octets_and_survives_the_wire(mode: Mode) -> None:
    """Text: "Variable-length field of such length that the complete Mobility Header is ... a multiple of 8 octets"."""
    for _, _, message in _long_walk(mode).sent():
        octets = bytes(encode(message))
        assert len(octets) % 8 == 0
        assert decode(octets) == message


@pytest.mark.parametrize("kind", _DMM_OPTIONS)
@pytest.mark.parametrize("mode", CENTRAL)
def test_4_3_to_4_8_options_appear_only_with_the_d_flag(mode: Mode, kind: type[MobilityOption]) -> None:
    """Text: "this option can only appear if the D bit is set in a PBU/PBA"."""
    for _, _, message in _with_option(_long_walk(mode), kind):
        if isinstance(message, BindingUpdate):
            assert message.flags & BindingUpdateFlags.D
        else:
            assert isinstance(message, BindingAcknowledgement)
            assert message.flags & BindingAcknowledgementFlags.D


def test_4_3_anchored_prefixes_list_what_the_serving_maar_serves_for_others() -> None:
    """Text: "used for exchanging the MN's prefix anchored at the anchoring MAAR. There can be multiple"."""
    domain = Domain(maars=4, lifetime=20 * SECOND)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.roam("mn1", "ar2", "ar3", SECOND)
    domain.clear()
    domain.restart("cmd", store=False)
    domain.run(SECOND)
    (refresh, *_) = updates(domain, "ar3", "cmd")
    assert [option.prefix for option in refresh.all(AnchoredPrefix)] == [
        domain.own("ar1", "mn1"),
        domain.own("ar2", "mn1"),
    ]


def test_4_3_from_the_lists_a_cmd_that_forgot_everything_rebuilds_its_cache() -> None:
    """The RFC gives the option no procedure (design decision 2)."""
    domain = Domain(maars=4)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.roam("mn1", "ar2", "ar3", SECOND)
    before = sorted(domain.cmd.entries[node("mn1")].anchors)
    domain.restart("cmd", store=False)
    domain.run(SECOND)
    entry = domain.cmd.entries[node("mn1")]
    assert (sorted(entry.anchors), entry.serving) == (before, router(3))


def test_4_4_local_prefixes_go_from_maar_to_cmd_and_on_to_the_serving_maar() -> None:
    """Text: "exchanging a prefix of a local network that is only reachable via the anchoring MAAR", "between MAARs or
    between a MAAR and a CMD"."""
    pairs = {(source, to) for source, to, _ in _with_option(_long_walk(), LocalPrefix)}
    assert ("ar1", "cmd") in pairs
    assert ("cmd", "ar2") in pairs


@pytest.mark.parametrize("mode", CENTRAL)
def test_4_5_previous_maar_is_for_acknowledgements_of_the_cmd(mode: Mode) -> None:
    """Text: "defined for use with the PBA messages exchanged by the CMD to a MAAR"."""
    for source, _, message in _with_option(_long_walk(mode), PreviousMaar):
        assert source == "cmd"
        assert isinstance(message, BindingAcknowledgement)


def test_4_5_several_previous_maars_one_option_each() -> None:
    """Text: "There can be multiple Previous MAAR options present in the message"."""
    domain = Domain(maars=4)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    for number in (1, 2, 3):
        domain.clear()
        domain.roam("mn1", f"ar{number}", f"ar{number + 1}", SECOND)
    (answer,) = answers(domain, "ar4")
    assert [(option.maar, option.prefix) for option in answer.all(PreviousMaar)] == [
        (router(number), domain.own(f"ar{number}", "mn1")) for number in (1, 2, 3)
    ]


def test_4_5_bits_beyond_the_prefix_length_are_ignored() -> None:
    """Text: "Only the first Prefix Length bits are valid ... The rest of the bits MUST be ignored"."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    wanted = pool(2).subnet(7, 64)
    option = PreviousMaar(64, router(2), wanted.address[:8] + b"\xff" * 8)
    domain.inject(CMD, "ar1", pba(domain, option, sequence=update.sequence))
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.anchored == {wanted: router(2)}


@pytest.mark.parametrize("mode", CENTRAL)
def test_4_6_serving_maar_is_for_updates_of_the_cmd_and_returned_to_it(mode: Mode) -> None:
    """Text: "for use with the PBU message exchanged between the CMD and a P-MAAR"; 3.2 step 3 returns it in the PBA."""
    for source, to, message in _with_option(_long_walk(mode), ServingMaar):
        assert (source if isinstance(message, BindingUpdate) else to) == "cmd"


def test_4_6_an_update_of_the_cmd_without_serving_maar_moves_nothing() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.clear()
    domain.inject(CMD, "ar1", pbu(domain, domain.own("ar1", "mn1")))
    assert answers(domain, "cmd")[0].status == 128
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.serving is None


@pytest.mark.parametrize("kind", [DlifLinkLocalAddress, DlifLinkLayerAddress])
def test_4_7_and_4_8_identities_travel_in_acknowledgements(kind: type[MobilityOption]) -> None:
    """Text: "for use with the PBA message exchanged between MAARs and between a MAAR and a CMD"."""
    sent = _with_option(_long_walk(Mode.LOCATOR), kind) + _with_option(_long_walk(), kind)
    assert sent
    assert all(isinstance(message, BindingAcknowledgement) for _, _, message in sent)


# --- 6, security ----------------------------------------------------------------------------------------------------


def test_6_the_amplification_of_the_cmd_is_capped() -> None:
    """Text: "The CMD MUST use a pacing approach in the outgoing queue to cap the output traffic (i.e., the rate of PBUs
    sent)"."""
    domain = Domain(maars=4, cmd={"pace_rate": 50, "pace_burst": 4}, new_nodes_per_second=1000)
    hosts = [f"mn{number}" for number in range(1, 41)]
    for host in hosts:
        domain.attach(host, "ar1")
    domain.run(2 * SECOND)
    for old, new in (("ar1", "ar2"), ("ar2", "ar3"), ("ar3", "ar4")):
        domain.clear()
        for host in hosts:
            domain.roam(host, old, new, 0)
        domain.run(4 * SECOND)
        sent = [
            when for when, source, _, each in domain.messages if source == "cmd" and isinstance(each, BindingUpdate)
        ]
        assert len(sent) >= 40
        busiest = max(sum(1 for other in sent if when <= other < when + SECOND) for when in sent)
        assert busiest <= 54


def test_6_the_number_of_previous_maars_is_limited() -> None:
    """Text: "imposing a limit on the number of P-MAARs associated with a given MN"."""
    domain = Domain(maars=6, cmd={"prefixes_per_node": 3})
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    for number in range(1, 6):
        domain.roam("mn1", f"ar{number}", f"ar{number + 1}", SECOND)
    anchors = domain.cmd.entries[node("mn1")].anchors
    assert [maar for _, maar in anchors] == [router(4), router(5), router(6)]
    assert [name for name in ("ar1", "ar2", "ar3") if domain.session(name, "mn1") is not None] == []


@pytest.mark.parametrize("mode", CENTRAL)
def test_6_maars_talk_to_maars_in_locator_mode_only(mode: Mode) -> None:
    """Text: "When the CMD acts as a MAAR locator, mobility signaling (PBAs) is exchanged between P-MAARs and the
    current S-MAAR. Hence, security associations are REQUIRED"; the other modes need none and accept nothing."""
    between = [
        message for source, to, message in _long_walk(mode).sent() if source.startswith("ar") and to.startswith("ar")
    ]
    assert bool(between) is (mode is Mode.LOCATOR)
    if mode is not Mode.LOCATOR:
        domain = Domain(mode)
        domain.attach("mn1", "ar1")
        domain.run(SECOND)
        domain.clear()
        session = domain.session("ar1", "mn1")
        assert session is not None
        claim = HomeNetworkPrefix.of(pool(2).subnet(0, 64))
        domain.inject(router(2), "ar1", pba(domain, claim, timestamp=session.attached))
        assert session.anchored == {}


def test_6_only_authorised_parties_are_heard() -> None:
    """Text: "The CMD and the participating MAARs MUST be trusted parties authorized perform all operations"."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    own = domain.own("ar1", "mn1")
    domain.clear()
    stranger = bytes.fromhex("20010db8ffff00000000000000000001")
    domain.inject(stranger, "cmd", pbu(domain, own))
    domain.inject(stranger, "ar1", pbu(domain, own, more=(ServingMaar(router(2)),)))
    domain.inject(stranger, "ar1", pba(domain, PreviousMaar.of(pool(2).subnet(0, 64), router(2))))
    assert domain.cmd.entries[node("mn1")].serving == router(1)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert (session.serving, session.anchored) == (None, {})
    assert answers(domain, "ar1") == []


def test_6_an_anchor_is_only_accepted_if_it_is_a_configured_peer() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    stranger = bytes.fromhex("20010db8ffff00000000000000000001")
    option = PreviousMaar.of(prefix("2001:db8:ffff::/64"), stranger)
    domain.inject(CMD, "ar1", pba(domain, option, sequence=update.sequence))
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.anchored == {}
    assert domain.reported("ar1", "anchor-refused") == 1


def test_6_a_tunnel_to_a_stranger_is_refused() -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(200 * MILLISECOND)
    domain.clear()
    stranger = bytes.fromhex("20010db8ffff00000000000000000001")
    domain.inject(CMD, "ar1", pbu(domain, domain.own("ar1", "mn1"), more=(ServingMaar(stranger),)))
    assert answers(domain, "cmd")[0].status == 129
    domain.inject(CMD, "ar1", pbu(domain, domain.own("ar1", "mn1"), more=(ServingMaar(router(1)),)))
    assert answers(domain, "cmd")[1].status == 128
