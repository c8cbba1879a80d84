"""Whatever arrives at a home agent, a correspondent node or a mobile node, from whomever (RFC 6275 15, RFC 4225).

No exception, no binding without proof, bounded tables, and who forges hits nobody harder than himself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sojourn.core.effects import EnsureTunnel, Report, SendMessage
from sojourn.core.events import (
    AddressProbed,
    Commanded,
    CorrespondentSeen,
    Event,
    HomeAddressRefused,
    IcmpErrorReceived,
    Icmpv6Received,
    MessageReceived,
    RouterProbed,
    SessionsCounted,
    TrafficCounted,
)
from sojourn.core.mobile_effects import EnsureCareOfRoute, EnsureFlows, EnsureReverseTunnel
from sojourn.engines.care_of_ways import WAYS_MAX
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingState
from sojourn.engines.ha_flows import FLOWS_MAX
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import (
    MESSAGES,
    BindingError,
    BindingUpdate,
    DecodeError,
    MobilityOption,
    NonceIndices,
    decode,
    encode,
)
from sojourn.wire.addresses import Address, Prefix, address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6089 import BidReference, FlowIdentification, FlowPadN, FlowSummary
from sojourn.wire.extensions.rfc6089 import TrafficSelector as SelectorOption
from sojourn.wire.icmpv6 import decode_icmpv6
from sojourn.wire.units import MILLISECOND, SECOND
from support.mip6 import Roaming
from support.mip6_messages import (
    ASSOCIATION,
    CN,
    COA,
    COA2,
    HA,
    HOA,
    HOA2,
    STRANGER,
    A,
    H,
    ask,
    deliver,
    home_agent,
    update,
)

OTHER = replace(ASSOCIATION, spi=1001, identifier=b"\1bob@example.net")
VICTIM = address("2001:db8:dead::1")
WHO = [CN, COA, COA2, HA, HOA, HOA2, STRANGER, VICTIM, bytes(16), address("ff02::1"), address("fe80::1")]
_TYPES = [*sorted(MESSAGES), 16, 77, 255]
_ICMP = [133, 134, 135, 136, 144, 145, 146, 147, 1, 200]


class Malice:
    """A seeded source of events."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._heard: list[bytes] = []

    def events(self, count: int) -> Iterator[Event]:
        for _ in range(count):
            made = self.dice.choice([self._random, self._random, self._overheard, self._icmp, self._other])()
            if made is not None:
                yield made

    def remember(self, sent: list[SendMessage]) -> None:
        """What an eavesdropper has."""
        self._heard = [encode(message.message) for message in sent]

    def _who(self) -> Address:
        return self.dice.choice(WHO)

    def _maybe(self) -> Address | None:
        return self.dice.choice([None, HOA, HOA2, self._who()])

    def _received(self, octets: bytes) -> Event | None:
        try:
            message = decode(octets)
        except DecodeError:
            return None
        return MessageReceived(message, self._who(), self._who(), self._maybe(), self._maybe(), octets)

    def _random(self) -> Event | None:
        size = self.dice.randrange(0, 8)
        return self._received(bytes((59, size, self.dice.choice(_TYPES), 0, 0, 0)) + self.dice.randbytes(8 * size + 2))

    def _overheard(self) -> Event | None:
        """A message that somebody sent, with some bits flipped."""
        if not self._heard:
            return None
        octets = bytearray(self.dice.choice(self._heard))
        for _ in range(self.dice.randrange(1, 4)):
            octets[self.dice.randrange(6, len(octets))] ^= 1 << self.dice.randrange(8)
        return self._received(bytes(octets))

    def _icmp(self) -> Event | None:
        octets = bytes((self.dice.choice(_ICMP), 0, 0, 0)) + self.dice.randbytes(self.dice.choice([4, 12, 20, 44]))
        try:
            message = decode_icmpv6(octets)
        except DecodeError:
            return None
        interface = self.dice.choice(["lte0", "home0", "eth9"])
        return Icmpv6Received(message, self._who(), self._who(), interface, self._maybe(), self._maybe())

    def _other(self) -> Event:
        dice = self.dice
        return dice.choice(
            [
                AddressProbed("home0", self._who(), dice.random() < 0.5),
                CorrespondentSeen(self._who(), self._who()),
                HomeAddressRefused(self._who(), self._who(), self._who()),
                IcmpErrorReceived(dice.randrange(1, 5), dice.randrange(4), VICTIM, 135),
                RouterProbed("wlan0", VICTIM, False),
                SessionsCounted({self._who(): dice.randrange(3)}),
                TrafficCounted({Prefix(self._who(), 128): dice.randrange(9)}),
                Commanded(
                    dice.choice(["switch", "prefix", "avoid", "x"]),
                    {"interface": dice.choice(["lte0", "z"]), "to": dice.choice(["", "::", "y"])},
                ),
            ]
        )


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_messages(seed: int) -> None:
    net = Roaming()
    net.attach("f1")
    net.downlink()
    net.run(2 * SECOND)
    malice = Malice(seed)
    malice.remember([sent for _, _, _, sent in net.messages])
    net.clear()
    for event in malice.events(1500):
        name = malice.dice.choice(["ha", "cn", "mn"])
        for effect in net.engines[name].handle(event, net.now):
            assert not isinstance(effect, EnsureTunnel | EnsureCareOfRoute) or effect_is_true(effect)
            if isinstance(effect, EnsureReverseTunnel):
                assert effect.care_of_address == COA
                assert effect.home_agent == HA
        if malice.dice.random() < 0.02:
            net.now += malice.dice.randrange(200) * MILLISECOND
    assert len(net.ha.cache) == 1
    assert len(net.mn.correspondents) <= len(WHO)
    assert set(net.mn.homes) == {HOA}
    cache = net.engines["cn"].show("bindings", net.now)
    assert {row["home"] for row in cache} <= {"2001:db8:4000::5"}
    assert net.bound() == COA


@pytest.mark.parametrize("seed", range(4))
def test_a_node_with_a_key_and_whatever_options(seed: int) -> None:
    """Care-of addresses and flow bindings at random (RFC 5648, 6089): never more than it may, and none that leads
    to where it is not registered."""
    dice, bench = random.Random(seed), home_agent(HomeNode(HOA, ASSOCIATION), HomeNode(HOA2, OTHER))
    ask(bench, 1, VICTIM, home=HOA2, association=OTHER)
    engine = bench.engine
    assert isinstance(engine, HomeAgent)
    for sequence in range(1, 250):
        bench.forget()
        options = tuple(_option(dice) for _ in range(dice.randrange(8)))
        flags = A | H | dice.choice([0, 0x40])
        message = update(bench, sequence, flags=flags, lifetime=dice.choice([0, 60, 60, 60]) * SECOND, options=options)
        if deliver(bench, decode(encode(message))) is None:
            continue
        entry = engine.cache.get(HOA)
        assert engine.cache[HOA2].care_of == VICTIM
        assert all(effect.slot != engine.cache[HOA2].slot for effect in bench.asked(EnsureFlows))
        if entry is not None and entry.state is BindingState.ACTIVE:
            ways = {way.care_of for way in entry.ways.values()}
            assert len(entry.ways) <= WAYS_MAX
            assert len(entry.flows) <= FLOWS_MAX
            assert {flow.care_of_address for flow in entry.steered} <= ways
            assert entry.care_of in (ways or {COA})


def _option(dice: random.Random) -> MobilityOption:
    """Numbers are few, so that they meet."""
    few = dice.randrange(5)
    care_of = dice.choice([b"", COA, COA2, STRANGER, HA, address("ff02::1"), b"\x0a\0\0\1"])
    parts = [
        BidReference(tuple(dice.choices(range(5), k=dice.randrange(1, 3)))),
        SelectorOption(
            dice.randrange(4), octets=dice.choice([bytes(4), bytes(3) + b"\1", dice.randbytes(12), b"\0\0\4\0\6"])
        ),
        SelectorOption(2, octets=b"\0\0\2\0" + bytes(1)),
        FlowPadN(bytes(3)),
    ]
    return dice.choice(
        [
            BindingIdentifier(few, home=dice.random() < 0.05, priority=dice.randrange(4), care_of=care_of),
            FlowIdentification(few, dice.randrange(4), sub_options=tuple(dice.sample(parts, dice.randrange(4)))),
            FlowSummary(tuple(dice.choices(range(6), k=dice.randrange(1, 4)))),
        ]
    )


def effect_is_true(effect: EnsureTunnel | EnsureCareOfRoute) -> bool:
    """Whether packets go to where the node is."""
    return (effect.remote if isinstance(effect, EnsureTunnel) else effect.care_of_address) == COA


def test_an_unauthenticated_flood_makes_no_binding_and_few_answers() -> None:
    bench = home_agent()
    for number in range(2000):
        home = HOA.replace(HOA[-2:], number.to_bytes(2, "big"))
        bench.engine.handle(MessageReceived(BindingUpdate(1, A | H, 60 * SECOND), VICTIM, HA, home), bench.now)
    assert not bench.engine.show("bindings", bench.now)
    answers = 0
    for number in range(2000):
        home = STRANGER[:14] + number.to_bytes(2, "big")
        event = MessageReceived(BindingUpdate(1, A | H, 60 * SECOND), VICTIM, HA, home)
        answers += sum(isinstance(effect, SendMessage) for effect in bench.engine.handle(event, bench.now))
    assert answers <= 50


def test_a_forged_update_does_not_disturb_the_one_that_waits_for_duplicate_address_detection() -> None:
    bench = home_agent()
    bench.answers_probes = False
    ask(bench)
    bench.tell(MessageReceived(BindingUpdate(9, A | H, 0), VICTIM, HA, HOA))
    bench.tell(AddressProbed("home0", HOA, False))
    assert bench.engine.show("bindings", bench.now)[0]["care_of"] == "2001:db8:100::5"


def test_a_binding_error_of_an_outsider_does_not_end_route_optimisation_of_others() -> None:
    net = Roaming()
    net.attach("f1")
    net.downlink()
    net.run(2 * SECOND)
    for who in (STRANGER, VICTIM):
        net.tell("mn", IcmpErrorReceived(4, 1, who, 135))
    assert net.uplink() == "direct"


def test_a_forged_binding_error_in_the_name_of_the_home_agent_interrupts_nothing() -> None:
    net = Roaming()
    net.attach("f1")
    net.tell("mn", MessageReceived(BindingError(1, HOA), HA, COA))
    assert net.from_home() == net.to_home() == "tunnel"


def test_a_mobile_node_asks_no_more_correspondents_than_it_may() -> None:
    net = Roaming(correspondents=10)
    net.attach("f1")
    for number in range(1, 100):
        net.tell("mn", CorrespondentSeen(HOA, STRANGER[:14] + number.to_bytes(2, "big")))
    assert len(net.mn.correspondents) == 10


def test_a_link_full_of_routers_fills_no_table() -> None:
    net = Roaming()
    net.attach("f1")
    for number in range(200):
        message = net.networks["f2"].advertisement()
        router = address("fe80::ff")[:14] + number.to_bytes(2, "big")
        net.tell("mn", Icmpv6Received(message, router, address("ff02::1"), "wlan0"))
    assert len(net.mn.links["wlan0"].routers) <= 16
    assert net.bound() == COA


def test_every_refusal_is_counted() -> None:
    bench = home_agent()
    bench.tell(MessageReceived(BindingUpdate(1, A | H, SECOND, (NonceIndices(1, 1),)), VICTIM, HA, HOA))
    bench.tell(MessageReceived(BindingUpdate(1, A | H, SECOND), VICTIM, HA, STRANGER))
    assert {report.name for report in bench.asked(Report)} == {"update-discarded", "update-refused"}
