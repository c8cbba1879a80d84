"""An LMA gives nodes other prefixes while they are registered (RFC 8191), by an Update Notification to their MAG.

The command ``renumber`` names a ``node``, or a ``pool``: that one is closed, and all of its sessions move to others, so
many a second. ``mode`` is ``soft`` or ``hard``. Packets to the new prefixes are forwarded from the beginning, those to
the old ones in soft mode for a while after the MAG agreed, in hard mode no longer than until then.

When the MAG refuses, the old prefixes stay. When it does not answer, it is not known which ones it uses: the next
registration tells. A move to another MAG ends it: the new MAG knows nothing of old prefixes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sojourn.core.effects import EnsureCounter, EnsurePrefix, WithdrawCounter, WithdrawPrefix
from sojourn.engines.extension import LmaExtension
from sojourn.engines.extension_settings import RenumberingSettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_notification import LmaNotification
from sojourn.engines.lma_request import ALL_ZERO, HomeRequest
from sojourn.engines.naming import node_in_words
from sojourn.engines.registration import Refused
from sojourn.wire import HomeNetworkPrefix, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc7077 import UpdateNotificationAcknowledgement, UpdateNotificationReason
from sojourn.wire.units import MILLISECOND, SECOND, Duration

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_TOGETHER = 20
_EVERY = 100 * MILLISECOND
"""So many sessions of a pool are notified at a time, and so often."""
_STALE = 10 * SECOND
"""A request may be so late, and still ask for prefixes that the session had."""
_REJECTED = 128


@dataclass(slots=True)
class Offer:
    """New prefixes that a MAG was told of."""

    entry: BindingCacheEntry
    gateway: Address
    prefixes: tuple[Prefix, ...]
    soft: Duration
    unanswered: bool = False


@dataclass(slots=True)
class Former:
    """Old prefixes of a session, which are nobody else's yet."""

    gateway: Address
    prefixes: tuple[Prefix, ...]
    forwarded: bool


class LmaRenumbering(LmaExtension):
    """The LMA's part."""

    name: ClassVar[str] = "renumbering"
    verbs: ClassVar[frozenset[str]] = frozenset({"renumber"})

    def __init__(self, lma: LmaRegistration, settings: RenumberingSettings) -> None:
        super().__init__(lma)
        self._soft_time = settings.soft_time
        self._offers: dict[int, Offer] = {}
        self._former: dict[int, Former] = {}
        """Both by the number of the session."""
        self._queue: deque[BindingCacheEntry] = deque()
        """Sessions of closed pools, each once."""
        self._queue_soft: Duration = 0

    # --- on command (3, 4) --------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``renumber`` with ``node`` or ``pool``, and ``mode``."""
        modes = {"soft": self._soft_time, "hard": 0}
        soft = modes.get(arguments.get("mode", "soft"))
        what = arguments.keys() - {"mode"}
        if soft is None or what not in ({"node"}, {"pool"}):
            return False
        if "node" in arguments:
            entries = self._role.cache.of(node_in_words(arguments["node"]))
            begun = [self._begin(entry, soft) for entry in entries]
            return any(begun)
        pool = self._role.prefixes.close(arguments["pool"])
        if pool is None or self._queue:
            return False
        self._queue.extend(entry for entry in self._role.cache if any(map(pool.contains, entry.prefixes)))
        self._queue_soft = soft
        self._report("pool-closed", pool=pool, sessions=len(self._queue))
        self._proceed()
        return True

    def _proceed(self) -> None:
        """Those that are being renumbered, or were just now, wait for the end of that."""
        for _ in range(min(_TOGETHER, len(self._queue))):
            entry = self._queue.popleft()
            if self._role.cache.get(entry.slot) is not entry:
                continue
            if entry.slot in self._offers or entry.slot in self._former:
                self._queue.append(entry)
            else:
                self._begin(entry, self._queue_soft)
        if self._queue:
            self.wake(_EVERY)

    def _begin(self, entry: BindingCacheEntry, soft: Duration) -> bool:
        """Whether the MAG of this session was told of new prefixes."""
        notification = self._beside(LmaNotification)
        if notification is None or entry.waiting or entry.slot in self._offers or entry.slot in self._former:
            return False
        prefixes = self._role.prefixes.other(entry.home_prefixes, self.now)
        if not prefixes:
            self._report("renumbering-refused", node=entry.node, reason="no prefix is free, or these are its own")
            return False
        offer = self._offers[entry.slot] = Offer(entry, entry.source, prefixes, soft)
        options = [HomeNetworkPrefix.of(prefix) for prefix in prefixes]
        reason = UpdateNotificationReason.UPDATE_SESSION_PARAMETERS
        self._forward(entry.slot, prefixes)
        if notification.notify(entry, reason, options, lambda answer: self._on_answer(offer, answer)):
            return True
        self._withdraw(offer)
        return False

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def _on_answer(self, offer: Offer, answer: UpdateNotificationAcknowledgement | None) -> None:
        if self._offers.get(offer.entry.slot) is not offer:
            return  # a registration was faster
        if answer is None:
            offer.unanswered = True
        elif answer.status >= _REJECTED:
            self._report("renumbering-refused", node=offer.entry.node, reason=f"by the gateway: {answer.status}")
            self._withdraw(offer)
        else:
            self._agree(offer)

    def _agree(self, offer: Offer) -> None:
        """The session has the new prefixes; the old ones are forwarded for a while, or not."""
        entry = offer.entry
        del self._offers[entry.slot]
        former = self._former[entry.slot] = Former(entry.source, entry.home_prefixes, True)
        self._role.cache.change(entry, (*offer.prefixes, *entry.prefixes[len(entry.home_prefixes) :]))
        self._forward(entry.slot, offer.prefixes)  # once more: a refusal while they were nobody's was not made up for
        self._role._keep(entry)
        self._report("renumbered", node=entry.node, prefix=offer.prefixes[0])
        if not offer.soft:
            self._drop(former)
        self.wake(offer.soft or _STALE, entry.slot)

    def _withdraw(self, offer: Offer) -> None:
        """Nothing comes of it."""
        del self._offers[offer.entry.slot]
        self._forget(offer.prefixes)
        self._role.prefixes.release(offer.prefixes, self.now)

    def on_timer(self, key: Any) -> None:
        """None: the queue. A number: the old prefixes of that session end."""
        if key is None:
            self._proceed()
        else:
            self._end(key)

    def _end(self, slot: int) -> None:
        former = self._former.pop(slot, None)
        if former is not None:
            self._drop(former)
            self._role.prefixes.release(former.prefixes, self.now)
            self.sleep(slot)

    def _drop(self, former: Former) -> None:
        """Packets to these are dropped."""
        if former.forwarded:
            self._forget(former.prefixes)
        former.forwarded = False

    # --- forwarding ---------------------------------------------------------------------------------------------------

    def _forward(self, slot: int, prefixes: Sequence[Prefix]) -> None:
        for prefix in prefixes:
            self._do(EnsurePrefix(prefix, slot))
            self._do(EnsureCounter(prefix))

    def _forget(self, prefixes: Sequence[Prefix]) -> None:
        for prefix in prefixes:
            self._do(WithdrawPrefix(prefix))
            self._do(WithdrawCounter(prefix))

    # --- beside registrations -----------------------------------------------------------------------------------------

    def asked(self, request: HomeRequest) -> None:
        """A request says which prefixes its MAG uses. Raises `Refused` for one that was sent before it agreed."""
        for entry in self._role.cache.of(request.node):
            offer, former = self._offers.get(entry.slot), self._former.get(entry.slot)
            if offer is not None and set(offer.prefixes) == set(request.prefixes):
                self._agree(offer)
            elif offer is not None and (offer.unanswered or request.source != offer.gateway):
                self._withdraw(offer)
            elif offer is None and former is None and self._is_of_another_life(request, entry):
                self._adopt(entry, request)
            if former is not None and not set(former.prefixes).isdisjoint(request.prefixes):
                raise Refused(Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH, "prefixes of before a renumbering")

    def _is_of_another_life(self, request: HomeRequest, entry: BindingCacheEntry) -> bool:
        """The same interface, still there, has prefixes that nobody here has: its MAG took them before we restarted."""
        return (
            bool(request.prefixes)
            and not any(map(self._role.cache.with_prefix, request.prefixes))
            and request.link_layer == entry.link_layer != ALL_ZERO
            and (request.technology, request.gateway) == (entry.technology, entry.gateway)
        )

    def _adopt(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """They are the session's, if it may have them."""
        role = self._role
        profile = role._profile(entry.node)
        if entry.waiting or profile is None or not role.prefixes.claim(profile, request.prefixes, self.now):
            return
        offer = self._offers[entry.slot] = Offer(entry, entry.source, request.prefixes, 0)
        self._forward(entry.slot, offer.prefixes)
        self._agree(offer)

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """It moved: the other MAG does not know the old prefixes."""
        former = self._former.get(entry.slot)
        if former is not None and former.gateway != entry.source:
            self._end(entry.slot)

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """It left: whoever registers it next knows nothing of old prefixes, nor of new ones."""
        self.removed(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing of it is kept."""
        offer = self._offers.get(entry.slot)
        if offer is not None:
            self._withdraw(offer)
        self._end(entry.slot)
