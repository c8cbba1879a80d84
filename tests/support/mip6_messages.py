"""Names and messages for tests of Mobile IPv6: one home link, one node with a key, and an engine that is spoken to."""

from __future__ import annotations

from typing import TypeVar

from sojourn.core.effects import AdvertisedPrefix, Effect, Report, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import AddressProbed, Event, Icmpv6Received, MessageReceived
from sojourn.core.mobile_effects import ProbeAddress, SendIcmpv6
from sojourn.engines.authentication import signed
from sojourn.engines.ha import HomeAgent
from sojourn.engines.mip6_configuration import Association, HaConfiguration, HomeNode
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    encode,
)
from sojourn.wire.addresses import Address, address, prefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.icmpv6 import Icmpv6Message
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration, Instant
from support.table import EPOCH

HOME_LINK = prefix("2001:db8:4000::/64")
HA = address("2001:db8:4000::1")
HOA = address("2001:db8:4000::5")
HOA2 = address("2001:db8:4000::6")
COA = address("2001:db8:100::5")
COA2 = address("2001:db8:200::5")
CN = address("2001:db8:300::9")
STRANGER = address("2001:db8:666::1")
NAI = b"\x01ann@example.net"
KEY = b"0123456789abcdef"
ASSOCIATION = Association(spi=1000, key=KEY, identifier=NAI)
SEED = b"entropy of a test"
A, H, L, R = (
    int(flag) for flag in (BindingUpdateFlags.A, BindingUpdateFlags.H, BindingUpdateFlags.L, BindingUpdateFlags.R)
)
DAD = 1 * SECOND
E = TypeVar("E")


class Bench:
    """An engine that a test speaks to. Whatever it probes on its home link is unique, unless `taken` has it."""

    def __init__(self, engine: Engine, start: Instant = 1 * SECOND) -> None:
        self.engine = engine
        self.now = start
        self.effects: list[Effect] = []
        self.taken: set[Address] = set()
        self.answers_probes = True
        self._note(list(engine.restore([], self.now)))
        self.now += MILLISECOND

    def tell(self, event: Event) -> list[Effect]:
        """What it answers; also kept in `effects`."""
        return self._note(list(self.engine.handle(event, self.now)))

    def run(self, duration: Duration) -> list[Effect]:
        """Let time pass, timer by timer."""
        end, found = self.now + duration, []
        while (due := self.engine.deadline()) is not None and due <= end:
            self.now = max(due, self.now)
            found += self._note(list(self.engine.expire(self.now)))
        self.now = end
        return found

    def _note(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        for effect in [effect for effect in effects if isinstance(effect, ProbeAddress) and self.answers_probes]:
            probed = AddressProbed(effect.interface, effect.address, effect.address in self.taken)
            effects = effects + self.tell(probed)
        return effects

    def asked(self, kind: type[E]) -> list[E]:
        """All effects of that class so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent(self, kind: type[MobilityMessage]) -> list[SendMessage]:
        """The messages of that class so far."""
        return [effect for effect in self.asked(SendMessage) if isinstance(effect.message, kind)]

    def icmp(self, kind: type[Icmpv6Message]) -> list[SendIcmpv6]:
        """The ICMPv6 messages of that class so far."""
        return [effect for effect in self.asked(SendIcmpv6) if isinstance(effect.message, kind)]

    def reported(self, name: str) -> int:
        """How many reports of that name."""
        return sum(effect.name == name for effect in self.asked(Report))

    def forget(self) -> None:
        """What was done so far is not of interest."""
        self.effects.clear()


def home_agent(*nodes: HomeNode, start: Instant = 1 * SECOND, **settings: object) -> Bench:
    """A home agent that knows one node with a key, or `nodes`."""
    prefixes = (AdvertisedPrefix(HOME_LINK, 12 * HOUR, 24 * HOUR),)
    known = nodes or (HomeNode(HOA, ASSOCIATION),)
    values: dict[str, object] = {"interface": "home0"} | settings
    configuration = HaConfiguration(HA, prefixes, known, **values)  # type: ignore[arg-type]
    return Bench(HomeAgent(configuration, EPOCH, SEED), start)


def update(
    bench: Bench,
    sequence: int = 1,
    care_of: Address = COA,
    lifetime: Duration = 400 * SECOND,
    flags: int = A | H,
    home: Address = HOA,
    association: Association | None = ASSOCIATION,
    ahead: Duration = 0,
    options: tuple[MobilityOption, ...] = (),
    alternate: Address | None = None,
    timestamp: bool = True,
) -> BindingUpdate:
    """A Binding Update of a node, signed with its key. `ahead`: how far its clock is ahead."""
    found: list[MobilityOption] = [AlternateCareOfAddress(alternate or care_of), *options]
    message = BindingUpdate(sequence, flags, lifetime, tuple(found))
    if association is not None:
        found.append(MobileNodeIdentifier(association.identifier[0], association.identifier[1:]))
        if timestamp:
            bench.now += MILLISECOND  # two updates of one node are never sent at the same time
            found.append(MobilityMessageReplayProtection.at(EPOCH + bench.now + ahead))
        message.options = tuple(found)
        signed(message, association, alternate or care_of, home)
    return message


def deliver(
    bench: Bench, message: MobilityMessage, source: Address = COA, home: Address | None = HOA, to: Address = HA
) -> BindingAcknowledgement | None:
    """`message` arrives, with a Home Address option for `home`; the acknowledgement, if there is one at once."""
    effects = bench.tell(MessageReceived(message, source, to, home, octets=encode(message)))
    answers = [effect.message for effect in effects if isinstance(effect, SendMessage)]
    return next((answer for answer in answers if isinstance(answer, BindingAcknowledgement)), None)


def ask(bench: Bench, sequence: int = 1, care_of: Address = COA, **more: object) -> int | None:
    """The status that an update gets; None: no answer."""
    home = more.get("home", HOA)
    assert isinstance(home, bytes)
    answer = deliver(bench, update(bench, sequence, care_of, **more), care_of, home)  # type: ignore[arg-type]
    return None if answer is None else answer.status


def heard(bench: Bench, message: Icmpv6Message, source: Address, interface: str = "home0", **more: object) -> None:
    """An ICMPv6 message arrives."""
    bench.tell(Icmpv6Received(message, source, HA, interface, **more))  # type: ignore[arg-type]
