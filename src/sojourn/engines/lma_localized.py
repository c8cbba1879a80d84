"""An LMA lets packets between its nodes pass it by (RFC 6705).

Which nodes meet, the RFC leaves open (5): here the configuration names pairs, and a command begins and ends one, for
whoever sees the traffic or the call. As long as both nodes of a pair have a session, their gateways are told: one of
them where they share it (A11, 5), or both, each about its direction (A21, 6). A node that moves changes who is told
what, and what ended is ended with a lifetime of zero (4).

A node with several sessions takes part with the first that is active. Left out: two LMAs (A12, 7), for which the
gateway begins; such an initiation is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sojourn.core.engine import Row
from sojourn.core.sequence import following
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.localized import End, options_of
from sojourn.engines.naming import node_in_words
from sojourn.engines.way_settings import LocalizedRoutingOfLma
from sojourn.wire import MobilityMessage, MobilityOption
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6705 import (
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingFlags,
    LocalizedRoutingInitiation,
    LocalizedRoutingStatus,
)
from sojourn.wire.units import SECOND, Duration

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

PairKey: TypeAlias = tuple[bytes, bytes]
"""Two nodes, in the order of their octets."""
_UNSOLICITED = int(LocalizedRoutingFlags.U)


@dataclass(slots=True)
class Order:
    """What one gateway is told about a pair."""

    options: tuple[MobilityOption, ...]
    lifetime: Duration
    """Zero: it shall stop."""
    sequence: int = 0
    attempts: int = 0
    status: int | None = None
    """What it answered; None: nothing yet."""


@dataclass(slots=True)
class Pair:
    """Two nodes that meet."""

    wanted: bool = True
    orders: dict[Address, Order] = field(default_factory=dict)
    """By gateway."""


class LocalizedRouting(LmaExtension):
    """The LMA as the initiator (3.2)."""

    name = "localized"
    messages = frozenset({LocalizedRoutingInitiation, LocalizedRoutingAcknowledgment})
    verbs = frozenset({"localize", "delocalize"})

    def __init__(self, role: LmaRegistration, settings: LocalizedRoutingOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._pairs: dict[PairKey, Pair] = {}
        self._of_node: dict[bytes, set[PairKey]] = {}
        self._asked: dict[int, tuple[PairKey, Address]] = {}
        """Initiations without an answer, by sequence number."""
        self._sequence = 0

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Gateways may still know the numbers of an earlier life; those of this one are newer."""
        self._sequence = (self.time) // SECOND % (1 << 16)
        for one, other in self._settings.pairs:
            self._want(_key(one, other))

    def _want(self, key: PairKey) -> bool:
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= self._settings.most:
                return False
            pair = self._pairs[key] = Pair()
            for node in key:
                self._of_node.setdefault(node, set()).add(key)
        pair.wanted = True
        self._arrange(key)
        return True

    def _forget(self, key: PairKey) -> None:
        del self._pairs[key]
        for node in key:
            self._of_node[node].discard(key)
            if not self._of_node[node]:
                del self._of_node[node]
        self.sleep(("renew", key, b""))

    # --- what happens -----------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``localize`` and ``delocalize``, with ``node`` and ``other``, two nodes as people name them."""
        one, other = (node_in_words(arguments[name]) if arguments.get(name) else b"" for name in ("node", "other"))
        key = _key(one, other)
        if one == other or not one or not other:
            return False
        if verb == "localize":
            return self._want(key)
        pair = self._pairs.get(key)
        if pair is None:
            return False
        pair.wanted = False
        self._arrange(key)
        return True

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """5.1, 6.1: "The LMA MUST then initiate LR at nMAG1 and update the LR state of MAG2"; after the answer."""
        self._look_again(entry)

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """It left, and is nowhere for now."""
        self._look_again(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """It is gone."""
        self._look_again(entry)

    def _look_again(self, entry: BindingCacheEntry) -> None:
        for key in self._of_node.get(entry.node, ()):
            self.wake(0, ("arrange", key, b""))

    def on_timer(self, key: Any) -> None:
        """Something changed, an answer is missing, or a lifetime is half over."""
        what, pair, gateway = key
        if pair not in self._pairs:
            return
        if what == "arrange":
            self._arrange(pair)
        elif what == "wait":
            self._on_answer_missing(pair, gateway)
        else:
            self._renew(pair)

    # --- what gateways are told -------------------------------------------------------------------------------------

    def _arrange(self, key: PairKey) -> None:
        """Tell gateways what holds now, if they were told something else."""
        pair = self._pairs[key]
        due = self._due(key) if pair.wanted else {}
        for gateway, order in list(pair.orders.items()):
            if gateway not in due and order.lifetime:
                self._initiate(key, gateway, Order(order.options, 0))
        for gateway, options in due.items():
            known = pair.orders.get(gateway)
            if known is None or not known.lifetime or known.options != options:
                self._initiate(key, gateway, Order(options, self._settings.lifetime))
        if not pair.wanted and not pair.orders:
            self._forget(key)

    def _due(self, key: PairKey) -> dict[Address, tuple[MobilityOption, ...]]:
        """Who is to be told what: nobody, as long as one of the nodes is nowhere."""
        one, other = map(self._session, key)
        if one is None or other is None:
            return {}
        ends = _end(one), _end(other)
        if one.source == other.source:
            return {one.source: options_of(ends)}
        return {
            one.source: options_of(ends, other.gateway),
            other.source: options_of(ends[::-1], one.gateway),
        }

    def _session(self, node: bytes) -> BindingCacheEntry | None:
        return next((entry for entry in self._role.cache.of(node) if not entry.waiting), None)

    def _initiate(self, key: PairKey, gateway: Address, order: Order) -> None:
        """A new Localized Routing Initiation, in place of what the gateway was told before."""
        pair = self._pairs[key]
        before = pair.orders.get(gateway)
        if before is not None:
            self._asked.pop(before.sequence, None)
        self._sequence = following(self._sequence)
        order.sequence = self._sequence
        pair.orders[gateway] = order
        self._asked[order.sequence] = (key, gateway)
        self._transmit(key, gateway, order)

    def _transmit(self, key: PairKey, gateway: Address, order: Order) -> None:
        order.attempts += 1
        message = LocalizedRoutingInitiation(order.sequence, order.lifetime, order.options)
        self.send(message, gateway)
        self.wake(self._settings.lra_wait_time, ("wait", key, gateway))

    def _on_answer_missing(self, key: PairKey, gateway: Address) -> None:
        """10.1: again after LRA_WAIT_TIME, LRI_RETRIES times; also where the node was not there yet (status 129)."""
        order = self._pairs[key].orders.get(gateway)
        if order is None:
            return
        if order.attempts <= self._settings.lri_retries:
            self._transmit(key, gateway, order)
            return
        self._report("localized-routing-unanswered", gateway=gateway, attempts=order.attempts)
        self._asked.pop(order.sequence, None)
        if order.lifetime:
            self.wake(order.lifetime // 2, ("renew", key, b""))
        else:
            self._ended(key, gateway)

    def _renew(self, key: PairKey) -> None:
        """4: "Localized routing has a defined lifetime"; it goes on as long as both nodes are there."""
        for gateway, order in list(self._pairs[key].orders.items()):
            if order.lifetime:
                self._initiate(key, gateway, Order(order.options, order.lifetime))

    def _ended(self, key: PairKey, gateway: Address) -> None:
        pair = self._pairs[key]
        del pair.orders[gateway]
        if not pair.wanted and not pair.orders:
            self._forget(key)

    # --- answers ----------------------------------------------------------------------------------------------------

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """An acknowledgement. An initiation is one of the case of two LMAs, which is not offered (7)."""
        if source not in self._role._gateways:
            self._report("localized-routing-refused", source=source, reason="not a MAG of this domain")
        elif isinstance(message, LocalizedRoutingAcknowledgment):
            self._on_acknowledgment(message, source)
        elif isinstance(message, LocalizedRoutingInitiation):
            status = int(LocalizedRoutingStatus.LOCALIZED_ROUTING_NOT_ALLOWED)
            answer = LocalizedRoutingAcknowledgment(message.sequence, 0, status, 0)
            self.send(answer, source)

    def _on_acknowledgment(self, answer: LocalizedRoutingAcknowledgment, source: Address) -> None:
        key, gateway = self._asked.get(answer.sequence, (None, b""))
        if answer.flags & _UNSOLICITED or key is None or gateway != source:
            self._report("localized-routing-unexpected", source=source, sequence=answer.sequence)
            return
        order = self._pairs[key].orders[gateway]
        order.status = answer.status
        if answer.status == LocalizedRoutingStatus.MN_NOT_ATTACHED and order.lifetime:
            return  # the node has just come, or has just left: it is asked again
        del self._asked[answer.sequence]
        self.sleep(("wait", key, gateway))
        if not order.lifetime:
            self._ended(key, gateway)
            return
        self.wake(min(answer.lifetime or order.lifetime, order.lifetime) // 2, ("renew", key, b""))
        name = "localized-routing-refused" if answer.status else "localized-routing"
        self._report(name, gateway=gateway, status=answer.status)

    def row(self, entry: BindingCacheEntry) -> Row:
        """With how many nodes this one meets directly."""
        keys = self._of_node.get(entry.node, ())
        orders = [order for key in keys for order in self._pairs[key].orders.values()]
        return {"localized": sum(order.lifetime > 0 and order.status == 0 for order in orders)}


def _key(one: bytes, other: bytes) -> PairKey:
    return (one, other) if one < other else (other, one)


def _end(entry: BindingCacheEntry) -> End:
    return End(entry.node, entry.home_prefixes)
