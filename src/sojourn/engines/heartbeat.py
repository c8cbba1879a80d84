"""Heartbeats: whether a peer is reachable, and whether it lost its sessions (RFC 5847).

Both sides ask, as long as they have sessions with each other, and answer whoever of their peers asks. What follows is
not the RFC's but ours:

* A MAG whose LMA lost its sessions, or can be reached again after it could not, registers all its nodes again.
* An LMA treats the sessions of a MAG that lost them, or is not reachable, as if that MAG had de-registered them: they
  are dropped after MinDelayBeforeBCEDelete, unless somebody registers the nodes in time. When a MAG can be reached
  again, it is asked to register all of its nodes, as it may not know that it could not be.

The restart counter is kept in the store, with the sessions. A store that is lost takes it along: it begins with the
seconds of the clock, which is more than any counter before, so that a machine without a store counts its restarts too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sojourn.core.engine import Row
from sojourn.engines.extension import Extension, LmaExtension, MagExtension, R
from sojourn.engines.extension_settings import HeartbeatSettings
from sojourn.wire import BindingRefreshRequest, Heartbeat, HeartbeatFlags, MobilityMessage, RestartCounter
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration

_RESPONSE = int(HeartbeatFlags.RESPONSE)
_UNSOLICITED = int(HeartbeatFlags.UNSOLICITED | HeartbeatFlags.RESPONSE)
_COUNTERS = 1 << 32
_SHORTEST = 100 * MILLISECOND
"""Interval; the RFC wants half a minute at least."""
_SEQUENCES = 1 << 32


@dataclass(slots=True)
class _Watched:
    """What is known of a peer."""

    settings: HeartbeatSettings
    sequence: int = 0
    awaited: bool = False
    """The request of this sequence number is not answered yet."""
    missing: int = 0
    """MISSING_HEARTBEATS (3.1)."""
    counter: int | None = None
    """Its restart counter, as it told last (3.2), and when that was."""
    told: Instant = 0
    reachable: bool | None = None
    """None: nobody asked yet."""
    supported: bool = True

    @property
    def interval(self) -> Duration:
        """Between a heartbeat that was answered and the next one."""
        return max(self.settings.heartbeat_interval, _SHORTEST)


class HeartbeatProcedure(Extension[R]):
    """What MAG and LMA do alike."""

    name: ClassVar[str] = "heartbeat"
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset({Heartbeat})
    settings: HeartbeatSettings
    counter: int = 0
    """The own restart counter."""
    _watched: dict[Address, _Watched]

    def begin(self, record: bytes | None, lost: bool) -> None:
        """3.2: the counter is "incremented every time the node reboots and loses PMIPv6 session state", only then."""
        kept = int.from_bytes(record, "big") if record is not None and len(record) == 4 else None
        begun = self.time // SECOND
        self.counter = (begun if kept is None else kept + lost) % _COUNTERS
        self._keep(self.counter.to_bytes(4, "big"))
        self._watched = {peer: _Watched(self.settings) for peer in self._peers()}
        for peer, watched in self._watched.items():
            if kept is None or lost:
                self._answer(peer, _UNSOLICITED, 0)
            self.wake(watched.interval, peer)

    # --- asking (3.1) -------------------------------------------------------------------------------------------------

    def on_timer(self, key: Any) -> None:
        """It is time for the next request, or the last one is not answered."""
        watched = self._watched[key]
        if not watched.supported:
            return
        if watched.awaited:
            self._miss(key, watched)
        if self._has_sessions_with(key):
            watched.sequence = (watched.sequence + 1) % _SEQUENCES
            watched.awaited = True
            self.send(Heartbeat(0, watched.sequence), key)
        hurry = watched.awaited and watched.reachable is not False and watched.settings.retransmission_delay
        self.wake(hurry or watched.interval, key)

    def _miss(self, peer: Address, watched: _Watched) -> None:
        watched.awaited = False
        watched.missing = min(watched.missing + 1, watched.settings.missing_heartbeats_allowed + 1)
        if watched.missing > watched.settings.missing_heartbeats_allowed and watched.reachable is not False:
            watched.reachable = False
            self._report("peer-unreachable", peer=peer)
            self._on_unreachable(peer)

    def control(self, peer: Address, settings: HeartbeatSettings) -> None:
        """From now on the exchange with `peer` follows these (RFC 8127 5.2)."""
        watched = self._watched.get(peer)
        if watched is None or watched.settings == settings:
            return
        watched.settings = settings
        if watched.supported and not watched.awaited:
            self.wake(watched.interval, peer)

    # --- answering, and being answered --------------------------------------------------------------------------------

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """A request is answered, whether there are sessions or not; only to peers."""
        assert isinstance(message, Heartbeat)
        watched = self._watched.get(source)
        if watched is None:
            self._report("heartbeat-refused", source=source)
        elif not message.flags & _RESPONSE:
            self._answer(source, _RESPONSE, message.sequence)
            self._on_sign_of_life(source, watched)
        elif message.flags & HeartbeatFlags.UNSOLICITED:  # its sequence number is ignored (3.2)
            self._learn_counter(source, watched, message)
        elif watched.awaited and message.sequence == watched.sequence:
            watched.awaited = False
            watched.missing = 0
            self.wake(watched.interval, source)
            self._on_sign_of_life(source, watched)
            watched.reachable = True
            self._learn_counter(source, watched, message)
        else:
            self._report("heartbeat-unexpected", source=source, sequence=message.sequence)

    def _answer(self, peer: Address, flags: int, sequence: int) -> None:
        self.send(Heartbeat(flags, sequence, (RestartCounter(self.counter),)), peer)

    def _on_sign_of_life(self, peer: Address, watched: _Watched) -> None:
        """It speaks: if it could not be reached before, it can now."""
        if watched.reachable is False:
            watched.reachable = None
            watched.missing = 0
            self._report("peer-reachable", peer=peer)
            self._on_reachable(peer)

    def _learn_counter(self, peer: Address, watched: _Watched, message: Heartbeat) -> None:
        """3.2: another counter than before says that it lost its sessions."""
        option = message.first(RestartCounter)
        if option is None:
            return
        before, since = watched.counter, watched.told
        watched.counter, watched.told = option.counter, self.now
        if before is not None and before != option.counter:
            self._report("peer-restarted", peer=peer, counter=option.counter)
            self._on_restarted(peer, self.now if message.flags & HeartbeatFlags.UNSOLICITED else since)

    def on_unrecognized(self, peer: Address) -> None:
        """3: "MUST NOT use Heartbeat messages with the other end again"."""
        watched = self._watched.get(peer)
        if watched is not None and watched.awaited:
            watched.supported = watched.awaited = False
            self.sleep(peer)
            self._report("heartbeat-unsupported", peer=peer)

    def peer_row(self, peer: Address) -> Row:
        """Whether it is reachable (None: not asked yet), and its restart counter."""
        watched = self._watched.get(peer)
        return {} if watched is None else {"reachable": watched.reachable, "restarts": watched.counter}

    # --- what the role provides ---------------------------------------------------------------------------------------

    def _peers(self) -> Iterable[Address]:
        """Whom it knows."""
        raise NotImplementedError

    def _has_sessions_with(self, peer: Address) -> bool:
        """Whether there is anything to watch over."""
        raise NotImplementedError

    def _on_restarted(self, peer: Address, since: Instant) -> None:
        """It lost the sessions that it had at `since`; those of later may be of its new life."""
        raise NotImplementedError

    def _on_unreachable(self, peer: Address) -> None:
        """It does not answer."""

    def _on_reachable(self, peer: Address) -> None:
        """It does again."""
        raise NotImplementedError


class LmaHeartbeat(HeartbeatProcedure["LmaRegistration"], LmaExtension):
    """Of an LMA, which watches its MAGs."""

    needs_all = True  # whether any was lost is the first thing that it says

    def __init__(self, lma: LmaRegistration, settings: HeartbeatSettings) -> None:
        super().__init__(lma)
        self.settings = settings

    def _peers(self) -> Iterable[Address]:
        return self._role._gateways

    def _has_sessions_with(self, peer: Address) -> bool:
        return self._role._serves[peer] > 0

    def _on_restarted(self, peer: Address, since: Instant) -> None:
        self._suspend(peer, since)
        self.send(BindingRefreshRequest(), peer)

    def _on_unreachable(self, peer: Address) -> None:
        self._suspend(peer, self.now)

    def _on_reachable(self, peer: Address) -> None:
        self.send(BindingRefreshRequest(), peer)

    def _suspend(self, peer: Address, since: Instant) -> None:
        """Its sessions that were registered until then are invalid (3)."""
        for entry in list(self._role.cache):
            if entry.source == peer and not entry.waiting and entry.expires - entry.lifetime <= since:
                self._role._suspend(entry)


class MagHeartbeat(HeartbeatProcedure["MagRegistration"], MagExtension):
    """Of a MAG, which watches its LMAs."""

    def __init__(self, mag: MagRegistration, settings: HeartbeatSettings) -> None:
        super().__init__(mag)
        self.settings = settings

    def _peers(self) -> Iterable[Address]:
        return self._role._anchors

    def _has_sessions_with(self, peer: Address) -> bool:
        return any(session.lma == peer and session.confirmed for session in self._role.sessions.values())

    def _on_restarted(self, peer: Address, since: Instant) -> None:
        self._role._on_refresh_request()

    def _on_reachable(self, peer: Address) -> None:
        self._role._on_refresh_request()
