"""How the CMD tells MAARs what happened: the fan-out to previous MAARs and the answers to the serving one.

RFC 8885 3.2 to 3.4. Every update goes through `Retransmission`, which repeats and paces it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.core.sequence import MODULUS
from sojourn.engines.answering import Answering
from sojourn.engines.base import TokenBucket
from sojourn.engines.configuration import LOCATOR, PROXY, RELAY, CmdConfiguration, Maar
from sojourn.engines.database_entry import BindingCacheEntry, Handover, leased
from sojourn.engines.registration import (
    ACKNOWLEDGED_DMM,
    ECHOED_PREFIXES,
    HANDOFFS,
    LISTED_PREFIXES,
    LOCAL_PREFIXES,
    PROXY_DMM,
    REFUSING,
    TECHNOLOGIES,
    echo,
    identifier_option,
    prefixes_in,
)
from sojourn.engines.retransmission import Key, Retransmission
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    Handoff,
    HomeNetworkPrefix,
    LocalPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.units import Duration, WallClock

_ACCEPTED = int(Status.ACCEPTED)
IDENTITIES = (LocalPrefix, DlifLinkLocalAddress, DlifLinkLayerAddress)
"""What a MAAR with local networks says of itself (RFC 8885 3.7)."""
_SILENT = 6
"""Relay mode: after so many more times of a flush an anchor is named that did not answer."""
_MESSAGE_OCTETS = 1900
"""Room for options in a message (RFC 6275 6.1.1 allows 2048 octets), less what an identifier may need."""


class Notices(Answering):
    """The half of the CMD that speaks."""

    def __init__(self, configuration: CmdConfiguration, epoch: WallClock) -> None:
        self._maars: dict[Address, Maar] = {maar.address: maar for maar in configuration.maars}
        super().__init__(configuration.address, self._maars, configuration.lifetime_max, epoch)
        self.configuration = configuration
        self.entries: dict[bytes, BindingCacheEntry] = {}
        self._identities: dict[Address, tuple[MobilityOption, ...]] = {}
        """Per MAAR what the serving MAAR needs for its DLIF: options 69 and 70, and 66 for its local networks."""
        self._sequence = 0
        rate = configuration.pace_rate
        self._requests = Retransmission(
            configuration.retransmission,
            configuration.address,
            self._do,
            self._timers.start,
            self._timers.stop,
            attempts=configuration.attempts,
            pacer=TokenBucket(rate, configuration.pace_burst) if rate else None,
            bulk_pacer=TokenBucket(max(rate // 4, 1), configuration.pace_burst) if rate else None,
        )

    # --- to previous MAARs ----------------------------------------------------------------------------------------

    def _notify(self, entry: BindingCacheEntry, update: BindingUpdate, targets: dict[Address, list[Prefix]]) -> None:
        """Tell `targets` where the node is, and the serving MAAR who they are, in the order of the mode."""
        unconfirmed = entry.unconfirmed()
        for maar in sorted(unconfirmed):  # whom an earlier handover did not reach
            targets.setdefault(maar, [])
        if unconfirmed or entry.handover is not None:
            self._stop_telling(entry)
        mode = self.configuration.mode
        entry.handover = Handover(update, set(targets)) if targets else None
        entry.untold = ()
        self._keep(entry)
        if mode is PROXY or not targets or (mode is LOCATOR and not entry.previous()):
            self._accept(entry, update)
        for maar, prefixes in targets.items():
            self._tell_moved(entry, maar, prefixes)
        if mode is RELAY and targets:
            self._after(self.configuration.relay_flush, "flush", entry.node)

    def _announce(self, entry: BindingCacheEntry, maars: Iterable[Address]) -> None:
        """Anchors that were learnt late are told, and the serving MAAR learns of them, outside any handover."""
        for maar in maars:
            self._tell_again(entry, maar)
        self._inform(entry, entry.previous())

    def _remind(self, entry: BindingCacheEntry) -> None:
        """The serving MAAR forgot the node, and is not answered about it yet: as it was before, or will be."""
        handover = entry.handover
        if handover is None or handover.flushed or self.configuration.mode is not RELAY:
            self._inform(entry, entry.previous())

    def _inform(self, entry: BindingCacheEntry, previous: Iterable[tuple[Prefix, Address]]) -> None:
        """An answer to the serving MAAR that it did not ask for; with its own prefixes, which it may have forgotten."""
        own = [prefix for prefix, maar in entry.anchors if maar == entry.serving]
        options: list[MobilityOption] = [
            identifier_option(entry.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in own[:ECHOED_PREFIXES] or [ANY]],
            Timestamp(entry.timestamp),
        ]
        self._send_accepted(entry, entry.sequence, options, previous)

    def _tell_moved(
        self,
        entry: BindingCacheEntry,
        maar: Address,
        prefixes: list[Prefix],
        stamp: int = 0,
        *,
        bulk: bool = False,
    ) -> None:
        """The Proxy Binding Update with the Serving MAAR option (RFC 8885 3.2, step 2).

        `stamp` is for a MAAR that believes in a later attachment which it knows to be over.
        """
        networks = prefixes[-LISTED_PREFIXES:] or [ANY]
        options = (
            identifier_option(entry.node),
            *[HomeNetworkPrefix.of(prefix) for prefix in networks],
            HANDOFFS[Handoff.BETWEEN_GATEWAYS],
            TECHNOLOGIES[entry.technology],
            Timestamp(max(entry.timestamp, stamp)),
            ServingMaar(entry.serving),
        )
        update = BindingUpdate(self._next_sequence(), PROXY_DMM, entry.lifetime, options)
        self._requests.start(("notify", entry.node, maar, None), update, self._now, bulk=bulk)

    def _doubt(self, entry: BindingCacheEntry, maar: Address) -> None:
        """`maar` may not know where the node is; the one that serves it does."""
        if maar not in entry.untold and maar != entry.serving:
            entry.untold = (*entry.untold, maar)
            self._keep(entry)

    def _tell_again(self, entry: BindingCacheEntry, maar: Address) -> None:
        """`maar` does not know where the node is: tell it, outside any handover."""
        self._doubt(entry, maar)
        key: Key = ("notify", entry.node, maar, None)
        if self._requests.get(key) is None:
            self._tell_moved(entry, maar, entry.by_maar().get(maar, []), bulk=True)
        else:
            self._requests.hasten(key, self._now)

    def _tell_retired(self, entry: BindingCacheEntry, prefix: Prefix, maar: Address, stamp: int = 0) -> None:
        """A Proxy Binding Update of lifetime 0 with the Anchored Prefix option: let go of this prefix.

        `stamp` as in `_tell_moved`.
        """
        options = (
            identifier_option(entry.node),
            HomeNetworkPrefix.of(prefix),
            HANDOFFS[Handoff.NOT_CHANGED],
            TECHNOLOGIES[entry.technology],
            Timestamp(max(entry.timestamp, stamp)),
            AnchoredPrefix.of(prefix),
        )
        update = BindingUpdate(self._next_sequence(), PROXY_DMM, 0, options)
        self._requests.start(("retire", entry.node, maar, prefix), update, self._now, bulk=True)

    def _stop_telling(self, entry: BindingCacheEntry) -> None:
        """An earlier handover of this node is overtaken: nobody is told of it any more."""
        for maar in entry.unconfirmed():
            self._requests.cancel(("notify", entry.node, maar, None))
        entry.handover = None
        self._timers.stop(("flush", entry.node))

    def _next_sequence(self) -> int:
        self._sequence = sequence = (self._sequence + 1) % MODULUS
        return sequence

    def _on_request_due(self, key: Key) -> None:
        given_up = self._requests.due(key, self._now)
        if given_up is None:
            return
        purpose, node, maar, _ = given_up.key
        self._report("maar-silent", maar=maar, node=node, purpose=purpose)
        entry = self.entries.get(node)
        if entry is not None and purpose == "notify":
            self._doubt(entry, maar)
            self._confirmed(entry, maar, answered=False)

    # --- answers of previous MAARs ----------------------------------------------------------------------------------

    def _on_acknowledgement(self, acknowledgement: BindingAcknowledgement, source: Address) -> None:
        """RFC 8885 3.2 step 4, 3.3, 3.4: a previous MAAR is done, or refuses."""
        firsts = acknowledgement.firsts()
        identifier: MobileNodeIdentifier | None = firsts.get(MobileNodeIdentifier)
        if source not in self._maars or identifier is None:
            self._report("acknowledgement-unexpected", source=source)
            return
        self.heard[source] = self._now
        node = identifier.key()
        anchored: AnchoredPrefix | None = firsts.get(AnchoredPrefix)
        purpose = "notify" if anchored is None else "retire"
        key: Key = (purpose, node, source, None if anchored is None else anchored.prefix)
        request = self._requests.answered(key, acknowledgement.sequence, self._now)
        entry = self.entries.get(node)
        refused = acknowledgement.status >= REFUSING
        if request is None:
            self._report("acknowledgement-unexpected", source=source, sequence=acknowledgement.sequence)
        if anchored is not None and self.configuration.shared and not refused:
            self._on_let_go(node, anchored.prefix, source)
        if purpose == "retire":
            return
        anchored_there = [] if refused else prefixes_in(HomeNetworkPrefix, acknowledgement, firsts)
        option: Timestamp | None = firsts.get(Timestamp)
        stamp = 0 if option is None else option.ticks
        if entry is None:
            self._anchored_for_nobody(node, anchored_there, source, stamp)
            return
        surplus = [prefix for prefix in anchored_there if entry.anchor_of(prefix) is None]
        more = [prefix for prefix in surplus if leased(prefix)] if surplus else []
        if len(more) < len(surplus) and source != entry.serving:
            # Also in an answer that nobody waits for: it may be the answer to a notice that came after all was over.
            over = [prefix for prefix in surplus if prefix not in more]
            self._anchored_beyond(entry, over, source, stamp)
        if request is None:
            return
        if not firsts.keys().isdisjoint(IDENTITIES):
            self._learn_identity(firsts, acknowledgement, source)
        if refused:
            self._refused_by_anchor(entry, source, acknowledgement.status)
        else:
            lost = [prefix for prefix, maar in entry.anchors if maar == source and prefix not in anchored_there]
            if lost and source != entry.serving:
                self._not_anchored(entry, lost, source)
            if more:  # what is leased does not end by silence
                self._anchored_too(entry, sorted(set(more)), source)
        if acknowledgement.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED:
            self._doubt(entry, source)
            told = request.first(Timestamp)
            if source != entry.serving and told is not None and told.ticks < entry.timestamp:
                self._tell_again(entry, source)  # meanwhile we know of a later attachment, too
        elif source in entry.untold:
            entry.untold = tuple(maar for maar in entry.untold if maar != source)
            self._keep(entry)
        late = entry.handover is None or source not in entry.handover.waiting
        self._confirmed(entry, source, answered=not refused)
        if late and not refused and self.configuration.mode is RELAY:
            # It was given up when the answers were gathered, so that the serving MAAR does not know of it; or another
            # CMD gathered them, and did not come to say what it had.
            self._inform(entry, [pair for pair in entry.previous() if pair[1] not in entry.untold])

    def _on_let_go(self, node: bytes, prefix: Prefix, maar: Address) -> None:
        """A prefix is over there because we said so; another CMD may have taken it up again meanwhile."""
        self._check(node)
        entry = self.entries.get(node)
        if entry is not None and maar != entry.serving and entry.anchor_of(prefix) == maar:
            self._not_anchored(entry, [prefix], maar)
            self._tell_retired(entry, prefix, maar)  # the word of that other CMD may have come after this answer left

    def _refused_by_anchor(self, entry: BindingCacheEntry, maar: Address, status: int) -> None:
        """The MAAR does not anchor for this node (any more); one that saw it come back since speaks for itself."""
        self._report("anchor-refused", maar=maar, node=entry.node, status=status)
        if status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED:
            return
        self._not_anchored(entry, entry.by_maar().get(maar, []), maar)

    def _not_anchored(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address) -> None:
        """`maar` does not anchor these, so nobody does; the serving MAAR may believe so and is told."""
        lost = [prefix for prefix in prefixes if entry.anchor_of(prefix) == maar]
        for prefix in lost:
            self._drop(entry, prefix)
            self._tell_retired(entry, prefix, entry.serving)
            self._report("prefix-lost", node=entry.node, prefix=prefix, maar=maar)
        if lost:
            self._keep(entry)

    def _confirmed(self, entry: BindingCacheEntry, maar: Address, *, answered: bool) -> None:
        handover = entry.handover
        if handover is None or maar not in handover.waiting:
            return
        handover.waiting.discard(maar)
        if answered:
            handover.answered.append(maar)
        if self.configuration.mode is RELAY:
            self._relay(entry, handover)
        if handover.waiting:
            return
        self._timers.stop(("flush", entry.node))
        entry.handover = None
        self._keep(entry)
        if self.configuration.mode is LOCATOR and not handover.answered and not handover.flushed:
            self._accept(entry, handover.update)  # no previous MAAR answered the serving one

    def _relay(self, entry: BindingCacheEntry, handover: Handover) -> None:
        """RFC 8885 3.2: one answer for all; or, after the timeout, another one for each that comes late."""
        if not handover.waiting or handover.flushed:
            told = [pair for pair in entry.previous() if pair[1] in handover.answered]
            if told or not handover.flushed:
                self._accept(entry, handover.update, told)
            if handover.flushed:
                handover.answered.clear()

    def _flush_relay(self, node: bytes) -> None:
        """The slowest anchors are not waited for any longer; later those are named too that are still silent.

        One that is dead may have somebody in its place, whom the serving MAAR knows and we do not.
        """
        entry = self.entries.get(node)
        if entry is None or entry.handover is None:
            return
        handover = entry.handover
        if handover.flushed:
            self._inform(entry, [pair for pair in entry.previous() if pair[1] in handover.waiting])
            return
        handover.flushed = True
        self._report("relay-flushed", node=node, waiting=len(handover.waiting))
        self._after(_SILENT * self.configuration.relay_flush, "flush", node)
        told = [pair for pair in entry.previous() if pair[1] in handover.answered]
        handover.answered.clear()
        self._accept(entry, handover.update, told)

    def _learn_identity(
        self, firsts: dict[type, Any], message: BindingUpdate | BindingAcknowledgement, source: Address
    ) -> None:
        """A MAAR tells its local networks or the identity of its DLIFs (RFC 8885 4.4, 4.7, 4.8)."""
        networks = message.all(LocalPrefix)[:LOCAL_PREFIXES]
        link_local, link_layer = firsts.get(DlifLinkLocalAddress), firsts.get(DlifLinkLayerAddress)
        if link_local is None and link_layer is None:
            known = self._identities.get(source, ())  # an update tells networks only, an answer all
            identity = tuple(option for option in known if not isinstance(option, LocalPrefix))
        else:
            identity = tuple(option for option in (link_local, link_layer) if option is not None)
        self._identities[source] = (*identity, *networks)

    # --- to the serving MAAR ----------------------------------------------------------------------------------------

    def _accept(
        self,
        entry: BindingCacheEntry,
        update: BindingUpdate,
        previous: Iterable[tuple[Prefix, Address]] | None = None,
    ) -> None:
        """The Proxy Binding Acknowledgement with a Previous MAAR option per old prefix (RFC 8885 4.5)."""
        if self.configuration.mode is LOCATOR and self._locator_answers(entry):
            return
        self._send_accepted(entry, update.sequence, echo(update), entry.previous() if previous is None else previous)

    def _locator_answers(self, entry: BindingCacheEntry) -> bool:
        """Locator mode: previous MAARs answer the first update; a repetition or a refresh is answered here.

        So is a first update when nobody else would answer, as no MAAR on the list anchors anything.
        """
        handover = entry.handover
        if handover is None or handover.flushed:
            return False
        return any(maar in handover.waiting for _, maar in entry.previous())

    def _send_accepted(
        self,
        entry: BindingCacheEntry,
        sequence: int,
        options: list[MobilityOption],
        previous: Iterable[tuple[Prefix, Address]],
    ) -> None:
        self._check(entry.node)  # also when an anchor's answer makes us say this, and nothing is changed
        listed = list(previous)[-LISTED_PREFIXES:]
        for prefix, _ in listed:  # it was over, and lives again
            self._requests.cancel(("retire", entry.node, entry.serving, prefix))
        if self._identities:
            self._list_identified(options, listed)
        else:
            for prefix, maar in listed:
                options.append(PreviousMaar.of(prefix, maar))
        remaining: Duration = max(entry.expires - self._now, 0)
        answer = BindingAcknowledgement(_ACCEPTED, ACKNOWLEDGED_DMM, sequence, remaining, tuple(options))
        self._send(answer, entry.serving)

    def _list_identified(self, options: list[MobilityOption], listed: list[tuple[Prefix, Address]]) -> None:
        """Previous MAARs, each followed by its identity as long as there is room in the message."""
        room = (_MESSAGE_OCTETS - 40 * len(listed) - 24 * len(options)) // 24
        told: set[Address] = set()
        for prefix, maar in listed:
            options.append(PreviousMaar.of(prefix, maar))
            identity = self._identities.get(maar, ())
            if maar not in told and len(identity) <= room:
                told.add(maar)
                room -= len(identity)
                options.extend(identity)

    def _acknowledgement(self, update: BindingUpdate, lifetime: Duration) -> BindingAcknowledgement:
        options = tuple(echo(update))
        return BindingAcknowledgement(_ACCEPTED, ACKNOWLEDGED_DMM, update.sequence, lifetime, options)

    # What the other half provides.

    def _drop(self, entry: BindingCacheEntry, prefix: Prefix) -> None:
        raise NotImplementedError

    def _keep(self, entry: BindingCacheEntry) -> None:
        raise NotImplementedError

    def _check(self, node: bytes) -> None:
        raise NotImplementedError

    def _anchored_too(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address) -> None:
        raise NotImplementedError

    def _anchored_beyond(self, entry: BindingCacheEntry, prefixes: list[Prefix], maar: Address, stamp: int) -> None:
        raise NotImplementedError

    def _anchored_for_nobody(self, node: bytes, prefixes: list[Prefix], maar: Address, stamp: int) -> None:
        raise NotImplementedError
