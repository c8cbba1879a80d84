"""A gateway with several paths to its LMA (RFC 8278)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsurePaths, EnsureTunnel
from sojourn.core.events import Commanded, LinkChanged, NodeSeen, Sighting
from sojourn.dataplane.state import Way
from sojourn.engines.configuration import Gateway
from sojourn.engines.registration import PROXY
from sojourn.engines.way_settings import MultipathOfLma, MultipathOfMag
from sojourn.wire import AlternateCareOfAddress, BindingAcknowledgement, BindingUpdate, Handoff, MobilityOption, Status
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.extensions.rfc8278 import MagIdentifier, MagMultipathBinding
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, ProxyDomain, gateway, home, request, status_of

SECOND_PATH, THIRD_PATH = address("2001:db8:b1::2"), address("2001:db8:b1::3")
CANNOT = int(Status.CANNOT_SUPPORT_MULTIPATH_BINDING)
NAME = MagIdentifier(1, b"mag1@lab")
BOTH = MultipathOfMag(identifier=b"\x01mag1@lab", care_of=(SECOND_PATH,), labels=(9, 11))
ALL = MultipathOfMag(identifier=b"\x01mag1@lab", care_of=(SECOND_PATH, THIRD_PATH))


def multipath(lma: MultipathOfLma | None = MultipathOfLma(), mag: MultipathOfMag | None = BOTH) -> ProxyDomain:  # noqa: B008
    """mn1 is at mag1, which has paths; mag2 has one."""
    domain = ProxyDomain(2)
    known = (Gateway(gateway(1), "mag1", (SECOND_PATH, THIRD_PATH)), Gateway(gateway(2), "mag2"))
    domain.lma_configurations["lma"] = replace(domain.lma_configurations["lma"], gateways=known, multipath=lma)
    domain.restart("lma", store=False)
    domain.reconfigure("mag1", multipath=mag)
    domain.run(SECOND)

    def answer(name: str, probe: object) -> None:
        seen = NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)  # type: ignore[attr-defined]
        domain.later(MILLISECOND, name, seen)

    domain.on_probe = answer
    domain.clear()
    domain.attach("mn1", "mag1")
    domain.run(2 * SECOND)
    return domain


def bindings(domain: ProxyDomain, kind: type[BindingUpdate | BindingAcknowledgement]) -> list[list[int]]:
    """The BIDs in each message of a kind."""
    return [[one.identifier for one in m.all(MagMultipathBinding)] for _, _, m in domain.sent(kind)]


def way(domain: ProxyDomain) -> Way | None:
    return domain.plane("lma").way(home(0))


def spread(domain: ProxyDomain) -> list[tuple[Address, ...]]:
    return [*domain.plane("mag1").state.spreads.values()]


def binding(identifier: int = 2, *, bulk: bool = False, overwrite: bool = False) -> MagMultipathBinding:
    return MagMultipathBinding(4, 11, identifier, bulk, overwrite)


def ask(domain: ProxyDomain, *more: MobilityOption, care_of: Address | None = SECOND_PATH, lifetime: int = 300) -> int:
    """What the LMA answers to a registration of mn1 by another path."""
    domain.run(10 * MILLISECOND)
    other = () if care_of is None else (AlternateCareOfAddress(care_of),)
    update = request(domain, home(0), handoff=Handoff.NOT_CHANGED, lifetime=lifetime * SECOND, more=(*other, *more))
    return status_of(domain.ask(update))


# --- signalling (4.4) -------------------------------------------------------------------------------------------------


def test_4_4_the_first_registration_finds_out_and_the_others_follow() -> None:
    domain = multipath()
    updates = [message for _, _, message in domain.sent(BindingUpdate)]
    assert bindings(domain, BindingUpdate) == bindings(domain, BindingAcknowledgement) == [[1], [2]]
    assert [[one.address for one in update.all(AlternateCareOfAddress)] for update in updates] == [[], [SECOND_PATH]]
    assert all(update.all(MagIdentifier) == (NAME,) for update in updates)
    assert [one.label for update in updates for one in update.all(MagMultipathBinding)] == [9, 11]


def test_4_4_the_answer_has_no_identifier_of_the_gateway() -> None:
    domain = multipath()
    assert all(message.all(MagIdentifier) == () for _, _, message in domain.sent(BindingAcknowledgement))


def test_3_2_flows_are_spread_over_both_paths_in_both_directions() -> None:
    domain = multipath()
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))
    assert spread(domain) == [(gateway(1), SECOND_PATH)]
    assert domain.plane("mag1").state.uplinks == {home(0): LMA}


def test_both_sides_show_the_paths() -> None:
    domain = multipath()
    assert domain.lma.show("bindings", domain.now)[0]["paths"] == [f"1 {text(gateway(1))}", f"2 {text(SECOND_PATH)}"]
    assert domain.mag("mag1").show("sessions", domain.now)[0]["paths"] == [text(gateway(1)), text(SECOND_PATH)]


def test_4_4_three_paths_are_registered_one_after_the_other() -> None:
    domain = multipath(mag=ALL)
    assert bindings(domain, BindingUpdate) == [[1], [2], [3]]
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH, THIRD_PATH))


def test_4_1_refreshes_are_for_all_paths() -> None:
    """Flag B: "a request to update the binding lifetime of all the mobile node's bindings"."""
    domain = multipath()
    domain.run(100 * SECOND)
    domain.clear()
    domain.run(60 * SECOND)
    (update,) = [message for _, _, message in domain.sent(BindingUpdate)]
    assert [one.bulk for one in update.all(MagMultipathBinding)] == [True]
    domain.run(600 * SECOND)
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))


def test_4_4_a_legacy_lma_skips_the_options_and_there_is_one_path() -> None:
    """Text: "The MAG ... SHOULD disable multipath support for the mobile node"."""
    domain = multipath(lma=None)
    assert bindings(domain, BindingUpdate) == [[1]]
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert spread(domain) == []


def test_4_4_an_lma_that_refuses_is_asked_without() -> None:
    domain = multipath(MultipathOfLma(most=0))
    statuses = [m.status for _, _, m in domain.sent(BindingAcknowledgement) if isinstance(m, BindingAcknowledgement)]
    assert statuses == [CANNOT, 0]
    assert bindings(domain, BindingUpdate) == bindings(domain, BindingAcknowledgement) == [[1], []]
    assert domain.at("mag1").confirmed
    assert way(domain) == EnsureTunnel(1, gateway(1))


def test_a_handover_leaves_the_paths_of_the_gateway_behind() -> None:
    domain = multipath()
    domain.roam("mn1", "mag1", "mag2", settle=SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(2))
    assert spread(domain) == []
    domain.roam("mn1", "mag2", "mag1", settle=SECOND)
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))


def test_a_handover_that_nobody_noticed_leaves_them_too() -> None:
    domain = multipath()
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(2))


def test_a_path_goes_down_and_comes_up() -> None:
    domain = multipath()
    words = {"address": text(SECOND_PATH)}
    domain.event("mag1", Commanded("path", words | {"state": "down"}))
    assert spread(domain) == []
    domain.run(SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert domain.at("mag1").confirmed
    domain.event("mag1", Commanded("path", words | {"state": "up"}))
    domain.run(SECOND)
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))


def test_ways_are_asserted_again_when_the_link_comes_back() -> None:
    domain = multipath()
    domain.plane("mag1").state.spreads.clear()
    domain.event("mag1", LinkChanged("acc0", False))
    domain.event("mag1", LinkChanged("acc0", True))
    assert spread(domain) == [(gateway(1), SECOND_PATH)]


@pytest.mark.parametrize("store", [True, False])
def test_an_lma_that_restarts_learns_of_the_paths_again(store: bool) -> None:
    domain = multipath()
    domain.restart("lma", store=store)
    domain.run(900 * SECOND)
    slot = domain.entry().slot
    assert domain.plane("lma").state.slots[slot] == EnsurePaths(slot, (gateway(1), SECOND_PATH))


# --- the LMA (4.1) ----------------------------------------------------------------------------------------------------


def test_4_1_a_path_that_is_not_extended_ends_and_the_session_goes_on() -> None:
    domain = multipath(mag=None)
    assert status_of(domain.ask(request(domain, home(0), more=(binding(1), NAME)))) == 0
    assert ask(domain, binding(), NAME, lifetime=20) == 0
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))
    domain.run(10 * SECOND)
    update = request(domain, home(0), handoff=Handoff.NOT_CHANGED, more=(binding(1), NAME))
    assert status_of(domain.ask(update)) == 0
    domain.run(11 * SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(1))


def test_4_1_overwrite_replaces_all_others() -> None:
    """Flag O: "it should replace all of the mobile node's existing bindings with this binding"."""
    domain = multipath()
    assert ask(domain, binding(7, overwrite=True), NAME, care_of=THIRD_PATH) == 0
    assert way(domain) == EnsureTunnel(1, THIRD_PATH)


def test_4_1_a_path_ends_by_its_own_deregistration_and_the_last_one_ends_the_session() -> None:
    domain = multipath()
    assert ask(domain, binding(), NAME, lifetime=0) == 0
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert ask(domain, binding(1), NAME, care_of=None, lifetime=0) == 0
    assert domain.entry().waiting


def test_4_1_when_the_first_path_ends_another_one_is_the_care_of_address() -> None:
    domain = multipath()
    assert ask(domain, binding(1), NAME, care_of=None, lifetime=0) == 0
    assert way(domain) == EnsureTunnel(1, SECOND_PATH)
    assert domain.entry().gateway == SECOND_PATH


@pytest.mark.parametrize(
    "more",
    [
        (binding(),),
        (binding(0), NAME),
        (binding(255), NAME),
        (binding(2, bulk=True, overwrite=True), NAME),
    ],
)
def test_4_1_what_makes_no_sense_is_refused_with_the_option(more: tuple[MobilityOption, ...]) -> None:
    domain = multipath(mag=None)
    answer = domain.ask(request(domain, home(0), more=more))
    assert status_of(answer) == CANNOT
    assert answer is not None
    assert answer.all(MagMultipathBinding) == (more[0],)
    assert answer.all(MagIdentifier) == ()
    assert way(domain) == EnsureTunnel(1, gateway(1))


def test_4_1_paths_are_bounded() -> None:
    domain = multipath(MultipathOfLma(most=2))
    assert ask(domain, binding(3), NAME, care_of=THIRD_PATH) == CANNOT
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))


def test_6_a_path_is_an_address_of_the_gateway_itself() -> None:
    """A care-of address of nobody, or of another gateway, is refused as RFC 5213 has it, and changes nothing."""
    domain = multipath()
    for stolen in (gateway(2), address("2001:db8:bad::1")):
        assert ask(domain, binding(3), NAME, care_of=stolen) == int(Status.INVALID_CARE_OF_ADDRESS)
    update = request(domain, home(0), flags=PROXY, more=(AlternateCareOfAddress(SECOND_PATH), binding(), NAME))
    assert status_of(domain.ask(update, "mag2")) == int(Status.INVALID_CARE_OF_ADDRESS)
    domain.inject(address("2001:db8:bad::1"), "lma", request(domain, home(0), more=(binding(9), NAME)))
    assert way(domain) == EnsurePaths(1, (gateway(1), SECOND_PATH))


def test_6_an_answer_of_somebody_else_makes_no_path() -> None:
    domain = multipath(lma=None)
    domain.lose = lambda source, destination, message: source == "lma"
    for source in (address("2001:db8:bad::1"), gateway(2), LMA):
        domain.inject(source, "mag1", BindingAcknowledgement(0, 0x20, 2, 300 * SECOND, (binding(),)))
    assert spread(domain) == []


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"address": "x", "state": "up"},
        {"address": text(gateway(1)), "state": "down"},
        {"address": text(SECOND_PATH)},
    ],
    ids=str,
)
def test_commands_that_make_no_sense_are_refused(words: dict[str, str]) -> None:
    domain = multipath()
    domain.event("mag1", Commanded("path", words))
    assert domain.reported("mag1", "command-refused") == 1


def test_nothing_is_left_of_sessions_that_ended() -> None:
    domain = multipath()
    domain.detach("mn1", "mag1")
    domain.run(60 * SECOND)
    (there,), (here,) = domain.lma.extensions, domain.mag("mag1").extensions
    assert not there._paths  # type: ignore[attr-defined]
    assert not here._active  # type: ignore[attr-defined]
    assert not here._denied  # type: ignore[attr-defined]
    assert not here._unsure  # type: ignore[attr-defined]
    assert not here._rounds  # type: ignore[attr-defined]
