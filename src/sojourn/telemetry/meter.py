"""What RFC 7333 REQ6g asks to be measured, from the events and effects of one role: how long things take, how long
sessions last.

* *Protocol reactivity*: from the event that shows a node (or, at a mobile node, its new link) to the end of the session
  update: the answer that accepts the registration. Refusals in between that are answered by asking otherwise are part
  of it: a node that moves faster than its old gateway de-registers it has one (status 157).
* *Handover delay*: from the same event until forwarding is there again: what that answer asked of the kernel is done.
* *Session*: a prefix (of a mobile node: a home address) that is forwarded for somebody. It begins when it is first
  asked for in this life of the daemon and ends when it is withdrawn. A *user* is the slot that its sessions share.

An object of counters and dictionaries: it reads no clock, and what it keeps of a node goes with the node.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from sojourn.core.effects import (
    Effect,
    EnsurePrefix,
    Report,
    SendMessage,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.core.events import AddressChanged, Event, Icmpv6Received, LinkChanged, MessageReceived, NodeSeen
from sojourn.core.mobile_effects import EnsureReverseTunnel, SendIcmpv6, WithdrawReverseTunnel
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobileNodeIdentifier, MobilityMessage, Status
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import SECOND, Duration, Instant

FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Bounds of classes for what should take milliseconds, in seconds."""
LONG = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0, 7 * 24 * 3600.0)
"""The same for sessions."""
PENDING_MAX = 100_000
"""Nodes whose registration may be under way."""
FIRST, HANDOVER, ANY = "first", "handover", "any"
"""Kinds of attachments: without sessions that began elsewhere, with some, and where that cannot be told."""


_REFUSED = 128
_ASKED_AGAIN = frozenset(
    {Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, Status.TIMESTAMP_MISMATCH, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED}
)
"""Refusals that say what was wrong, so that the same is asked for again with another time or number."""
_TAKEN = frozenset(
    {
        *(SendMessage, EnsurePrefix, WithdrawPrefix, WithdrawSlot, EnsureReverseTunnel, WithdrawReverseTunnel),
        *(Report, SendIcmpv6, *get_args(Event)),
    }
)
"""Everything else is passed over at once."""


class Histogram:
    """How many values fell into each class, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        """The last one: beyond all bounds."""
        self.sum = 0.0

    def observe(self, duration: Duration) -> None:
        """One more."""
        seconds = duration / SECOND
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """All values."""
        return sum(self.counts)

    def copy(self) -> Histogram:
        """As it is now."""
        made = Histogram(self.bounds)
        made.counts, made.sum = list(self.counts), self.sum
        return made


class Meter:
    """Of one role. `take` and `settled` are what a `Driver` calls."""

    def __init__(self) -> None:
        self.reactivity = {kind: Histogram(FAST) for kind in (FIRST, HANDOVER, ANY)}
        self.delays = {kind: Histogram(FAST) for kind in (FIRST, HANDOVER, ANY)}
        self.durations = Histogram(LONG)
        """Of sessions that are over."""
        self.icmpv6: Counter[tuple[bool, int]] = Counter()
        """Messages of Mobile IPv6 discovery: whether sent, and the type (RFC 6275 6.5 to 6.8)."""
        self._seen: Instant | None = None
        """When the node showed itself that is being handled; None: something else is."""
        self._moved: Instant = 0
        """When a link or an address of this host last changed."""
        self._moving = False
        """Nothing was registered since."""
        self._pending: dict[bytes, Instant] = {}
        """When nodes whose registration is under way showed themselves."""
        self._answering: bytes | None = None
        """Whose answer is being handled."""
        self._refused = False
        """It is a refusal."""
        self._settling: list[tuple[str, Instant]] = []
        """What was accepted, and since when forwarding is waited for."""
        self._sessions: dict[Prefix, Instant] = {}
        self._slots: dict[int, set[Prefix]] = {}
        self._slot_of: dict[Prefix, int] = {}

    # --- what there is ------------------------------------------------------------------------------------------------

    def running(self, now: Instant) -> tuple[int, float]:
        """Sessions that there are, and the seconds that they have lasted, all together."""
        return len(self._sessions), sum(now - since for since in self._sessions.values()) / SECOND

    def per_user(self) -> Counter[int]:
        """How many users have so many sessions."""
        return Counter(len(prefixes) for prefixes in self._slots.values() if prefixes)

    # --- what happens -------------------------------------------------------------------------------------------------

    def take(self, now: Instant, item: Event | Effect) -> None:
        """See `sojourn.host.driver.Metering`."""
        kind = type(item)
        if kind not in _TAKEN:
            return
        match item:
            case NodeSeen():
                self._begin(now)
            case MessageReceived(message):
                self._begin(None)
                if type(message) is BindingAcknowledgement and message.status not in _ASKED_AGAIN:
                    option = message.first(MobileNodeIdentifier)
                    self._answering = None if option is None else option.key()
                    self._refused = message.status >= _REFUSED
            case SendMessage(message):
                self._on_sent(message)
            case EnsurePrefix(prefix, slot):
                self._open(prefix, slot, now)
            case WithdrawPrefix(prefix):
                self._end(prefix, now)
            case WithdrawSlot(slot):
                for prefix in tuple(self._slots.get(slot, ())):
                    self._end(prefix, now)
                self._slots.pop(slot, None)
            case EnsureReverseTunnel(home):
                self._open(Prefix(home, 128), _slot_of_home(home), now)
            case WithdrawReverseTunnel(home):
                self._end(Prefix(home, 128), now)
            case Report(name, detail):
                self._on_report(name, detail, now)
            case LinkChanged(_, True) | AddressChanged(_, _, _, True):
                self._begin(None)
                if not self._moving:
                    self._moved, self._moving = now, True
            case SendIcmpv6(sent):
                self.icmpv6[True, sent.number] += 1
            case Icmpv6Received(received):
                self._begin(None)
                self.icmpv6[False, received.number] += 1
            case _:
                self._begin(None)

    def settled(self, now: Instant) -> None:
        """See `sojourn.host.driver.Metering`."""
        for kind, since in self._settling:
            self.delays[kind].observe(now - since)
        self._settling.clear()
        self._begin(None)

    def _begin(self, seen: Instant | None) -> None:
        """Something else is being handled."""
        if self._answering is not None:  # an answer ends what was under way, unless it is asked for otherwise at once
            self._pending.pop(self._answering, None)
            self._answering = None
        self._seen = seen

    def _on_sent(self, message: MobilityMessage) -> None:
        if type(message) is not BindingUpdate:
            return
        option = message.first(MobileNodeIdentifier)
        if option is None:
            return
        if not message.lifetime:
            self._pending.pop(option.key(), None)
        elif self._refused and option.key() == self._answering:
            self._answering = None
        elif self._seen is not None and len(self._pending) < PENDING_MAX:
            self._pending.setdefault(option.key(), self._seen)

    def _on_report(self, name: str, detail: Mapping[str, str | int], now: Instant) -> None:
        if name == "home":
            self._moving = False
        if name != "registered":
            return
        node = detail.get("node")
        if isinstance(node, str):
            since = self._pending.pop(bytes.fromhex(node), None)
            if since is not None:
                previous = detail.get("previous")
                self._accepted(ANY if previous is None else HANDOVER if previous else FIRST, since, now)
        elif "agent" in detail and self._moving:
            self._moving = False
            self._accepted(HANDOVER, self._moved, now)

    def _accepted(self, kind: str, since: Instant, now: Instant) -> None:
        self.reactivity[kind].observe(now - since)
        self._settling.append((kind, since))

    def _open(self, prefix: Prefix, slot: int, now: Instant) -> None:
        self._sessions.setdefault(prefix, now)
        before = self._slot_of.get(prefix)
        if before is not None and before != slot:
            self._slots[before].discard(prefix)
        self._slot_of[prefix] = slot
        self._slots.setdefault(slot, set()).add(prefix)

    def _end(self, prefix: Prefix, now: Instant) -> None:
        since = self._sessions.pop(prefix, None)
        if since is None:
            return
        self.durations.observe(now - since)
        slot = self._slot_of.pop(prefix)
        prefixes = self._slots[slot]
        prefixes.discard(prefix)
        if not prefixes:
            del self._slots[slot]


def _slot_of_home(home: Address) -> int:
    """A mobile node has home addresses of one user each."""
    return int.from_bytes(home, "big")
