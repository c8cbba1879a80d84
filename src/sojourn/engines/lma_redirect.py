"""An LMA that assigns others to the nodes of MAGs that can be redirected (RFC 6463 5.3.2).

To the MAG it is an LMA (rfLMA), to the LMA that it assigns (r2LMA) a MAG: it passes the request on, and the answer back
with the address of the other. From then on the two speak with each other alone. A node gets the same LMA every time.

When the other LMA is full, the next one is asked. When it does not answer it is avoided for a while, and the next one
is asked when the MAG repeats its request, as only the MAG can say that the request is of now. Left out: LMAs that are
one machine with this one (5.3.1), and the Load Information option.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from sojourn.core.sequence import following, newer
from sojourn.engines.answering import fits
from sojourn.engines.extension import LmaExtension
from sojourn.engines.extension_settings import RedirectSettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.registration import REFUSING, Refused
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingAuthorizationData,
    BindingUpdate,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6463 import Redirect, RedirectCapability
from sojourn.wire.units import Instant

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_MOST = 4096
"""Requests passed on at a time."""
_TIME = (Status.TIMESTAMP_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)
"""These the MAG must hear of; another LMA would say the same."""
_OURS = (RedirectCapability, BindingAuthorizationData, AlternateCareOfAddress)
"""Options that are not passed on as they are."""


@dataclass(slots=True)
class Passed:
    """The proxy state of one request (5.3.2)."""

    request: HomeRequest
    anchor: Address
    tried: tuple[Address, ...]
    again: bool = False
    """It was passed on with another sequence number before."""


class LmaRedirect(LmaExtension):
    """The rfLMA."""

    name: ClassVar[str] = "redirect"
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset({BindingAcknowledgement})

    def __init__(self, lma: LmaRegistration, settings: RedirectSettings) -> None:
        super().__init__(lma)
        self._settings = settings
        self._passed: dict[int, Passed] = {}
        """By the sequence number of PBU'."""
        self._latest: dict[bytes, int] = {}
        """That of the latest request of each node; an earlier one needs no answer any more."""
        self._assigned: OrderedDict[bytes, Address] = OrderedDict()
        """Where nodes are, the one that was assigned longest ago first."""
        self._silent: dict[Address, Instant] = {}
        """LMAs that did not answer, and until when they are avoided."""
        self._sequence = self.time & 0xFFFF

    # --- a request comes ----------------------------------------------------------------------------------------------

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """5.3: it is assigned to another LMA, unless the session is here. Raises `Refused`."""
        if entry is not None or not request.lifetime:
            return False
        if RedirectCapability not in request.firsts:
            if self._settings.serve:
                return False
            raise Refused(Status.INSUFFICIENT_RESOURCES, "this LMA only assigns others")
        self._drop(self._latest.get(request.node, -1))
        if len(self._passed) >= _MOST or not self._pass_on(request, ()):
            raise Refused(Status.INSUFFICIENT_RESOURCES, "no other LMA can be assigned")
        return True

    def _pass_on(self, request: HomeRequest, tried: tuple[Address, ...], again: bool = False) -> bool:
        """5.3.2: PBU' to the LMA of this node; False when there is none left to try."""
        anchor = self._choose(request.node, tried)
        self._sequence = following(self._sequence)
        while self._sequence in self._passed:
            self._sequence = following(self._sequence)
        update = request.update
        options = tuple(option for option in update.options if not isinstance(option, _OURS))
        options = (*options, AlternateCareOfAddress(request.gateway))
        passed = BindingUpdate(self._sequence, update.flags, update.lifetime, options)
        if anchor is None or not fits(passed):
            return False
        self._passed[self._sequence] = Passed(request, anchor, (*tried, anchor), again)
        self._latest[request.node] = self._sequence
        self.send(passed, anchor)
        self.wake(self._settings.answer_within, self._sequence)
        return True

    def _drop(self, sequence: int) -> Passed | None:
        """It is over."""
        passed = self._passed.pop(sequence, None)
        if passed is not None:
            self._latest.pop(passed.request.node, None)
            self.sleep(sequence)
        return passed

    def _choose(self, node: bytes, tried: tuple[Address, ...]) -> Address | None:
        """The one that the node has, else the first in an order of its own, so that nodes are spread evenly."""
        able = [
            anchor
            for anchor in self._settings.anchors
            if anchor not in tried and self._silent.get(anchor, self.now) <= self.now
        ]
        had = self._assigned.get(node)
        return had if had in able else max(able, key=lambda anchor: sha256(anchor + node).digest(), default=None)

    # --- what becomes of it -------------------------------------------------------------------------------------------

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """PBA': passed back to the MAG, with the Redirect option if it accepts."""
        assert isinstance(message, BindingAcknowledgement)
        if message.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW:
            self._on_out_of_window(message, source)
            return
        passed = self._passed.get(message.sequence)
        if passed is None or passed.anchor != source:
            self._report("acknowledgement-unexpected", source=source, sequence=message.sequence)
            return
        self._drop(message.sequence)
        if message.status >= REFUSING and message.status not in _TIME and self._pass_on(passed.request, passed.tried):
            self._report("redirect-refused", anchor=source, status=message.status)
            return
        if message.status < REFUSING:
            self._assign(passed.request.node, source)
        options: list[MobilityOption] = [
            option for option in message.options if not isinstance(option, BindingAuthorizationData | Redirect)
        ]
        if message.status < REFUSING:
            options.insert(0, Redirect.of(source))
        answer = BindingAcknowledgement(
            message.status, message.flags, passed.request.sequence, message.lifetime, tuple(options)
        )
        if fits(answer):
            self.send(answer, passed.request.source)

    def _on_out_of_window(self, answer: BindingAcknowledgement, source: Address) -> None:
        """Without timestamps: our numbers are not those of the session there, whose last one the answer names
        (RFC 6275 9.5.1). Once more with the next one; that of a copy of what was accepted is ours.
        """
        identifier = answer.first(MobileNodeIdentifier)
        sequence = -1 if identifier is None else self._latest.get(identifier.key(), -1)
        passed = self._passed.get(sequence)
        if passed is None or passed.anchor != source or passed.again or not newer(answer.sequence, sequence):
            self._report("acknowledgement-unexpected", source=source, sequence=answer.sequence)
            return
        self._drop(sequence)
        self._sequence = answer.sequence
        self._pass_on(passed.request, passed.tried[:-1], again=True)

    def _assign(self, node: bytes, anchor: Address) -> None:
        self._assigned[node] = anchor
        self._assigned.move_to_end(node)
        while len(self._assigned) > self._role.configuration.nodes:
            self._assigned.popitem(last=False)
        self._report("redirected", node=node, anchor=anchor)

    def on_timer(self, key: Any) -> None:
        """No answer: that LMA is avoided; the MAG will ask again."""
        passed = self._drop(key)
        if passed is not None:
            self._silent[passed.anchor] = self.now + self._settings.avoided
            self._report("anchor-silent", anchor=passed.anchor)
