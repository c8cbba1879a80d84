"""An LMA moves flows of a node between its access links (RFC 7864 3.2.2).

A node with several links has a session, and prefixes, for each. A flow is here what goes to one of these prefixes: it
is moved when the LMA leads packets for the prefix to another session of the node. The gateway there is told before
(Flow Mobility Initiate), and packets change their way when it has agreed. Who decides is the network, by the commands
``move-flow`` and ``return-flow``.

Left out: one prefix shared by several links (3.2.1), for which nothing has to be said, and flows that are smaller than
a prefix (3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sojourn.core.effects import EnsurePrefix, WithdrawPrefix
from sojourn.core.engine import Row
from sojourn.core.sequence import following
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.registration import identifier_option
from sojourn.engines.way_settings import FlowMobilityOfLma
from sojourn.wire import (
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    MobilityOption,
)
from sojourn.wire.addresses import ANY, Address, Prefix, link_layer, prefix
from sojourn.wire.extensions.rfc7077 import (
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationFlags,
    UpdateNotificationReason,
)

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_ACKNOWLEDGE = int(UpdateNotificationFlags.A)
_AGAIN = int(UpdateNotificationFlags.D)
_FLOW_MOBILITY = int(UpdateNotificationReason.FLOW_MOBILITY)


@dataclass(slots=True)
class Initiate:
    """A Flow Mobility Initiate on its way."""

    slot: int
    """The session whose gateway is told."""
    node: bytes
    gateway: Address
    options: tuple[MobilityOption, ...]
    attempts: int = 0


class FlowMobility(LmaExtension):
    """RFC 7864 at the LMA."""

    name = "flow-mobility"
    messages = frozenset({UpdateNotificationAcknowledgement})
    verbs = frozenset({"move-flow", "return-flow"})

    def __init__(self, role: LmaRegistration, settings: FlowMobilityOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._moved: dict[Prefix, int] = {}
        """The Flow Mobility Cache (5.2): prefixes that are led to another session than the one that they belong to."""
        self._wanted: dict[Prefix, int] = {}
        """The same as it will be when gateways have agreed."""
        self._asked: dict[int, Initiate] = {}
        """By sequence number."""
        self._sequence = 0

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Gateways learn of what is moved by new requests only, so a new life begins with nothing moved."""
        self._sequence = self.time // 1_000_000_000 % (1 << 16)

    # --- commands -----------------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``move-flow`` with ``prefix`` and ``link_layer``, that of the link to move to; ``return-flow``."""
        try:
            moved = prefix(arguments["prefix"])
            target = link_layer(arguments["link_layer"]) if verb == "move-flow" else b""
        except (KeyError, ValueError):
            return False
        owner = self._role.cache.with_prefix(moved)
        if owner is None or moved.is_ipv4:  # the RFC moves home network prefixes
            return False
        if verb == "return-flow" or target == owner.link_layer:
            return self._return(moved, owner)
        other = next((one for one in self._role.cache.of(owner.node) if one.link_layer == target), None)
        full = moved not in self._wanted and len(self._wanted) >= self._settings.most
        if other is None or other.waiting or full:
            return False
        self._wanted[moved] = other.slot
        self._initiate(other)
        return True

    def _return(self, moved: Prefix, owner: BindingCacheEntry) -> bool:
        """Its own gateway knows it anyway: packets change their way at once."""
        if moved not in self._wanted and moved not in self._moved:
            return False
        if self._moved.pop(moved, None) is not None and not owner.waiting:
            self._do(EnsurePrefix(moved, owner.slot))
        self._withdraw(moved)
        self._report("flow-returned", node=owner.node, prefix=moved)
        return True

    def _withdraw(self, moved: Prefix) -> None:
        """The gateway that it was moved to hears of what is left."""
        slot = self._wanted.pop(moved, None)
        entry = None if slot is None else self._role.cache.get(slot)
        if entry is not None and not entry.waiting:
            self._initiate(entry)

    # --- Flow Mobility Initiate (4.2) ---------------------------------------------------------------------------------

    def _initiate(self, entry: BindingCacheEntry) -> None:
        """ "MUST contain the MN-ID, followed by one or more Home Network Prefix Options": all that are moved there.

        To say that there are none, the RFC has no words; one option of zeros says so. The link-layer identifier is
        ours to add: a gateway may have two links of the node.
        """
        for sequence in [number for number, other in self._asked.items() if other.slot == entry.slot]:
            self._forget(sequence)
        networks = self._networks(entry) or [ANY]
        options = (
            identifier_option(entry.node),
            *[HomeNetworkPrefix(one.length, one.address, off_link=True) for one in networks],
            MobileNodeLinkLayerIdentifier(entry.link_layer),
        )
        self._sequence = following(self._sequence)
        self._asked[self._sequence] = Initiate(entry.slot, entry.node, entry.source, options)
        self._transmit(self._sequence)

    def _networks(self, entry: BindingCacheEntry) -> list[Prefix]:
        return [moved for moved, slot in self._wanted.items() if slot == entry.slot]

    def _transmit(self, sequence: int) -> None:
        asked = self._asked[sequence]
        asked.attempts += 1
        flags = _ACKNOWLEDGE | (_AGAIN if asked.attempts > 1 else 0)
        self.send(UpdateNotification(sequence, _FLOW_MOBILITY, flags, asked.options), asked.gateway)
        self.wake(self._settings.retransmission_delay, sequence)

    def on_timer(self, key: Any) -> None:
        """No answer in time."""
        asked = self._asked.get(key)
        if asked is None:
            return
        if asked.attempts <= self._settings.max_retries:
            self._transmit(key)
            return
        self._report("flow-mobility-unanswered", node=asked.node, gateway=asked.gateway)
        self._give_up(key)

    def _give_up(self, sequence: int) -> None:
        """What the gateway did not agree to stays where it is."""
        asked = self._asked[sequence]
        self._forget(sequence)
        for moved in [one for one, slot in self._wanted.items() if slot == asked.slot]:
            if moved in self._moved:
                self._wanted[moved] = self._moved[moved]
            else:
                del self._wanted[moved]

    def _forget(self, sequence: int) -> None:
        del self._asked[sequence]
        self.sleep(sequence)

    # --- Flow Mobility Acknowledgement (4.3) --------------------------------------------------------------------------

    def takes(self, message: MobilityMessage, source: Address) -> bool:
        """An acknowledgement of ours; others are about other notifications."""
        assert isinstance(message, UpdateNotificationAcknowledgement)
        asked = self._asked.get(message.sequence)
        identifier = message.first(MobileNodeIdentifier)
        named = asked is not None and (identifier is None or identifier.key() == asked.node)
        return asked is not None and asked.gateway == source and named

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """The gateway agrees, or does not."""
        assert isinstance(message, UpdateNotificationAcknowledgement)
        asked = self._asked[message.sequence]
        if message.status:
            self._report("flow-mobility-refused", node=asked.node, gateway=source, status=message.status)
            self._give_up(message.sequence)
            return
        self._forget(message.sequence)
        entry = self._role.cache.get(asked.slot)
        if entry is None or entry.waiting:
            return
        for moved in self._networks(entry):
            before = self._moved.get(moved, 0)
            if before != entry.slot:
                self._moved[moved] = entry.slot
                self._do(EnsurePrefix(moved, entry.slot))
                self._report("flow-moved", node=entry.node, prefix=moved, gateway=source)
                former = self._role.cache.get(before)
                if former is not None and not former.waiting:
                    self._initiate(former)

    # --- sessions -----------------------------------------------------------------------------------------------------

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> list[MobilityOption]:
        """3.3: "the PBA ... can convey the same signaling that the FMI does"."""
        networks = [moved for moved, slot in self._moved.items() if slot == entry.slot] if request.lifetime else []
        return [HomeNetworkPrefix(one.length, one.address, off_link=True) for one in networks]

    def forwarded(self, entry: BindingCacheEntry) -> None:
        """The prefixes of a session were just led to it; those that are moved are not to be there."""
        for moved in entry.prefixes:
            if moved in self._moved:
                self._do(EnsurePrefix(moved, self._moved[moved]))

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """What is moved to it goes back; what it lent to others goes on there."""
        self._leave(entry)
        self.forwarded(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """Its prefixes are no more."""
        self._leave(entry)
        for moved in entry.prefixes:
            if self._moved.pop(moved, None) is not None:
                self._do(WithdrawPrefix(moved))
            self._withdraw(moved)

    def _leave(self, entry: BindingCacheEntry) -> None:
        for sequence in [number for number, asked in self._asked.items() if asked.slot == entry.slot]:
            self._forget(sequence)
        for moved in [one for one, slot in self._wanted.items() if slot == entry.slot]:
            del self._wanted[moved]
        for moved in [one for one, slot in self._moved.items() if slot == entry.slot]:
            del self._moved[moved]
            owner = self._role.cache.with_prefix(moved)
            if owner is not None and not owner.waiting:
                self._do(EnsurePrefix(moved, owner.slot))
                self._report("flow-returned", node=owner.node, prefix=moved)
            else:
                self._do(WithdrawPrefix(moved))  # nobody has it now: what was lent was all that was left of a session

    def row(self, entry: BindingCacheEntry) -> Row:
        """What is led here besides its own prefixes."""
        return {"flows": [str(moved) for moved, slot in self._moved.items() if slot == entry.slot]}
