"""A stranger who hears everything, may write from any address, and has no key but those of his own node.

RFC 6275 15, RFC 4225: replays, messages that lead elsewhere, forgeries, and a node that claims what is another's.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from sim.mip6_domain import HOME, Mip6Domain, Mobile
from sojourn.core.effects import SendMessage
from sojourn.core.events import HomeAddressRefused, IcmpErrorReceived
from sojourn.engines.authentication import signed
from sojourn.engines.return_routability import binding_key
from sojourn.engines.return_routability import signed as bound_by
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    CareOfTest,
    CareOfTestInit,
    DecodeError,
    HomeTest,
    HomeTestInit,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    NonceIndices,
    decode,
)
from sojourn.wire.addresses import Address, address
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import SECOND

STRANGER = address("2001:db8:666::1")
_FLAGS = int(BindingUpdateFlags.A | BindingUpdateFlags.H)


class Attacker:
    """What he can do, by name."""

    def __init__(self, domain: Mip6Domain) -> None:
        self._domain, self._wires = domain, domain.wires
        self.deeds: dict[str, Callable[[random.Random], None]] = {
            "replay": self._replay,
            "divert": self._divert,
            "damage": self._damage,
            "update": self._update,
            "claim": self._claim,
            "bind": self._bind,
            "answer": self._answer,
            "test": self._test,
            "error": self._error,
        }

    def attack(self, verb: str, luck: int) -> None:
        """One deed."""
        self.deeds[verb](random.Random(luck))

    def _send(
        self,
        message: MobilityMessage,
        source: Address,
        destination: Address,
        home: Address | None = None,
        routed_to: Address | None = None,
    ) -> None:
        self._wires.post("stranger", SendMessage(message, source, destination, home, routed_to), forged=True)

    def _mobile(self, dice: random.Random) -> Mobile:
        return dice.choice(list(self._domain.mobiles.values()))

    def _agent(self, dice: random.Random) -> Address:
        return self._domain.members[dice.choice(self._domain.serving)].address

    # --- what was overheard ---------------------------------------------------------------------------------------

    def _replay(self, dice: random.Random) -> None:
        """As it was; lately, or long ago."""
        heard = self._wires.overheard
        if heard:
            old = dice.choice(list(heard)[-20:] if dice.random() < 0.5 else heard)
            self._wires.inject(old.octets, old.sent)

    def _divert(self, dice: random.Random) -> None:
        """From elsewhere, for somebody else, or to another receiver."""
        if not self._wires.overheard:
            return
        old = dice.choice(self._wires.overheard)
        other = self._mobile(dice)
        changes = dice.choice(
            (
                {"source": STRANGER},
                {"home_address": other.home},
                {"home_address": None, "source": other.home},
                {"destination": self._agent(dice)},
                {"destination": self._domain.correspondents["cn1"]},
                {"routed_to": other.home},
            )
        )
        self._wires.inject(old.octets, replace(old.sent, **changes))

    def _damage(self, dice: random.Random) -> None:
        """With a few bits flipped."""
        if not self._wires.overheard:
            return
        old = dice.choice(self._wires.overheard)
        octets = bytearray(old.octets)
        for _ in range(dice.randint(1, 3)):
            octets[dice.randrange(6, len(octets))] ^= 1 << dice.randrange(8)
        try:
            decode(bytes(octets))
        except DecodeError:
            return
        self._wires.inject(bytes(octets), old.sent)

    # --- forgeries ------------------------------------------------------------------------------------------------

    def _update(self, dice: random.Random) -> None:
        """A home registration without a key, or with one that he guessed."""
        mobile = self._mobile(dice)
        association = replace(mobile.association, key=dice.choice((b"a key of his own", mobile.association.key[:-1])))
        lifetime = dice.choice((0, 400 * SECOND))
        care_of = dice.choice((STRANGER, mobile.home))
        message = BindingUpdate(dice.randrange(1 << 16), _FLAGS, lifetime, (AlternateCareOfAddress(care_of),))
        if dice.random() < 0.7:
            self._sign(message, association, care_of, mobile.home)
        self._send(message, care_of, self._agent(dice), mobile.home)

    def _sign(self, message: BindingUpdate, association, care_of: Address, home: Address) -> None:  # type: ignore[no-untyped-def]
        clock = self._domain.members[HOME].clock
        stamp = MobilityMessageReplayProtection.at(clock.wall(self._domain.world.now))
        identifier = MobileNodeIdentifier(association.identifier[0], association.identifier[1:])
        message.options = (*message.options, identifier, stamp)
        signed(message, association, care_of, home)

    def _claim(self, dice: random.Random) -> None:
        """A node with a key of its own wants the address or the network of another, or leads packets in circles."""
        mine, other = self._mobile(dice), self._mobile(dice)
        home = dice.choice((mine.home, other.home))
        if home == mine.home and mine.association.replay_protection is False:
            return
        options: list[MobilityOption] = [AlternateCareOfAddress(STRANGER)]
        flags = _FLAGS
        if home == mine.home:  # what it may do: but not this
            flags |= int(BindingUpdateFlags.R)
            network = other.network if other is not mine else None
            options.append(MobileNetworkPrefix.of(network or self._domain.links["f1"].prefix))
        elif home == other.home and other is mine:
            return
        message = BindingUpdate(dice.randrange(1 << 16), flags, 400 * SECOND, tuple(options))
        self._sign(message, mine.association, STRANGER, home)
        self._send(message, STRANGER, self._agent(dice), home)

    def _bind(self, dice: random.Random) -> None:
        """A correspondent registration with nonces that he cannot know."""
        mobile = self._mobile(dice)
        correspondent = self._domain.correspondents["cn1"]
        key = binding_key(dice.randbytes(8), dice.randbytes(8))
        lifetime = dice.choice((0, 400 * SECOND))
        indices = NonceIndices(dice.randrange(1 << 16), dice.randrange(1 << 16))
        engine = self._domain.members["cn1"].driver
        if engine is not None and dice.random() < 0.7:  # those of now
            index, _ = self._domain.cn()._nonces.token(STRANGER, True, self._domain.cn()._now)
            indices = NonceIndices(index, index)
        message = BindingUpdate(dice.randrange(1 << 16), int(BindingUpdateFlags.A), lifetime, (indices,))
        bound_by(message, key, STRANGER if lifetime else mobile.home, correspondent)
        self._send(message, STRANGER, correspondent, mobile.home)

    def _answer(self, dice: random.Random) -> None:
        """To a mobile node: as if a home agent or a correspondent node had said so."""
        mobile = self._mobile(dice)
        source = dice.choice((self._agent(dice), self._domain.correspondents["cn1"]))
        held = [where for addresses in mobile.held.values() for where in addresses]
        message = dice.choice(
            (
                BindingAcknowledgement(
                    dice.choice((0, 1, 128, 133, 134, 135, 136, 144)), 0, dice.randrange(1 << 16), 40 * SECOND
                ),
                HomeTest(dice.randrange(99), dice.randbytes(8), dice.randbytes(8)),
                CareOfTest(dice.randrange(99), dice.randbytes(8), dice.randbytes(8)),
                BindingRefreshRequest(),
                BindingError(dice.choice((1, 2)), mobile.home),
                HomeAgentSwitch((STRANGER,)),
            )
        )
        self._send(message, source, dice.choice(held or [mobile.home]), routed_to=mobile.home)

    def _test(self, dice: random.Random) -> None:
        """Tests in the name of a mobile node, so that the answers hit it."""
        mobile = self._mobile(dice)
        made = dice.choice((HomeTestInit, CareOfTestInit))(dice.randbytes(8))
        self._send(made, mobile.home, self._domain.correspondents["cn1"])

    def _error(self, dice: random.Random) -> None:
        """ICMPv6 errors about nothing, and packets with a Home Address option without a binding."""
        mobile, correspondent = self._mobile(dice), self._domain.correspondents["cn1"]
        code = dice.choice((0, 1, 2))
        self._domain.members[mobile.name].tell(
            IcmpErrorReceived(4, code, dice.choice((correspondent, self._agent(dice))), 135)
        )
        self._domain.members["cn1"].tell(HomeAddressRefused(mobile.home, STRANGER, correspondent))
