"""An LMA keeps the way to the previous gateway for a moment, while it takes packets from both (RFC 6058).

The new gateway asks for it with a Transient Binding option. The states are those of figure 4: TRANSIENT_L and
TRANSIENT_LA, in which packets to the node still go to the previous gateway, and TRANSIENT_A, in which they go to the
new one and those of the previous one are still welcome. As this LMA takes packets out of the tunnels of all its
gateways anyway, TRANSIENT_A differs from no state in what is shown to people only.

Left out: the LMA does not begin a transient binding by itself (4.6.1, a MAY).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.way_settings import TransientBindingsOfLma
from sojourn.wire import Handoff, MobilityOption, Status
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6058 import TransientBinding
from sojourn.wire.units import MILLISECOND, Duration

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_UNIT = 100 * MILLISECOND
"""Of the lifetime in the option (5.1)."""


class State(Enum):
    """Figure 4; a binding without one is Active."""

    TRANSIENT_L = "transient-l"
    TRANSIENT_LA = "transient-la"
    TRANSIENT_A = "transient-a"


@dataclass(slots=True)
class Previous:
    """The forwarding entry of the previous gateway."""

    gateway: Address
    """The far end of its tunnel."""
    source: Address
    state: State
    lifetime: Duration


class TransientBindings(LmaExtension):
    """RFC 6058 4.6."""

    name = "transient"

    def __init__(self, role: LmaRegistration, settings: TransientBindingsOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._previous: dict[int, Previous] = {}
        """By the number of the session."""
        self._granted: HomeRequest | None = None
        """The latest request whose option is heeded."""
        self._beginning: Previous | None = None
        """What it begins, as long as it is being handled."""
        self._ends = False
        """The latest request ends a transient state, if it comes to a registration."""

    # --- requests -----------------------------------------------------------------------------------------------------

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """4.6.1, 4.6.2: what the request does to a transient state, or whether it begins one."""
        option: TransientBinding | None = request.firsts.get(TransientBinding)
        self._granted = self._beginning = None
        self._ends = False
        if entry is None or entry.waiting:
            return False
        previous = self._previous.get(entry.slot)
        if previous is not None:
            return self._in_transient_state(request, entry, previous)
        handover = request.lifetime > 0 and request.gateway != entry.gateway
        if option is not None and option.late and option.lifetime and handover:
            self._granted, self._beginning = request, self._previous_of(request, entry, option)
        return False

    def _previous_of(self, request: HomeRequest, entry: BindingCacheEntry, option: TransientBinding) -> Previous:
        """ "MUST reduce the lifetime of the transient BCE to a value smaller than the registration lifetime"."""
        longest = min(
            self._settings.lifetime_max, request.lifetime - _UNIT, self._role.configuration.lifetime_max - _UNIT
        )
        state = State.TRANSIENT_LA if self._settings.activation_state else State.TRANSIENT_L
        lifetime = min(option.lifetime, longest) // _UNIT * _UNIT
        return Previous(entry.gateway, entry.source, state, lifetime)

    def _in_transient_state(self, request: HomeRequest, entry: BindingCacheEntry, previous: Previous) -> bool:
        if request.source == entry.source and request.gateway == entry.gateway:
            return False  # the new gateway again; `registered` or `deregistered` follows
        if request.source != previous.source:
            # "(n+1)MAG": "the LMA MUST terminate the transient state and perform a handover", if it is one: what is
            # refused, ignored, or about another interface of the node leaves all as it is.
            self._ends = True
            return False
        if request.lifetime == 0:
            self._role._take_note(entry, request)
            self._forget(entry)
            self._role._forward(entry)
            self._report("transient-binding-active", node=entry.node, reason="the previous gateway de-registered it")
            self._role._answer(entry, request, 0)
            return True
        if request.handoff == Handoff.NOT_CHANGED:
            # "the LMA must approve the lifetime extension to pMAG ... and proceed with the transient BCE handover"
            self._role._take_note(entry, request)
            self._role._answer(entry, request, min(request.lifetime, entry.lifetime))
            return True
        self._ends = True
        return False

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """A transient state begins, or the new gateway says that it is over."""
        beginning, self._beginning = self._beginning, None
        if beginning is not None:
            self._previous[entry.slot] = beginning
            self.wake(beginning.lifetime, entry.slot)
            self._report("transient-binding", node=entry.node, state=beginning.state.value, left=beginning.gateway)
        elif self._ends:
            self._forget(entry)
        elif entry.slot in self._previous:
            self._activate(entry, "the new gateway is ready")

    def _activate(self, entry: BindingCacheEntry, reason: str) -> None:
        """4.6.2: packets to the node go to the new gateway."""
        previous = self._previous[entry.slot]
        if previous.state is State.TRANSIENT_LA:
            previous.state = State.TRANSIENT_A
            self.wake(self._settings.activation_delay, entry.slot)
        else:
            self._forget(entry)
        self._role._forward(entry)
        self._report("transient-binding-active", node=entry.node, reason=reason)

    def on_timer(self, key: Any) -> None:
        """TIMEOUT_1 or TIMEOUT_2."""
        entry, previous = self._role.cache.get(key), self._previous.get(key)
        if entry is None or previous is None:
            return
        if previous.state is State.TRANSIENT_A:
            self._forget(entry)
        else:
            self._activate(entry, "its lifetime is over")

    def _forget(self, entry: BindingCacheEntry) -> None:
        if self._previous.pop(entry.slot, None) is not None:
            self.sleep(entry.slot)

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """The new gateway says that the node left."""
        self._forget(entry)

    def removed(self, entry: BindingCacheEntry) -> None:
        """The same."""
        self._forget(entry)

    # --- what follows from it -----------------------------------------------------------------------------------------

    def downlink(self, entry: BindingCacheEntry) -> Address | None:
        """4.4: to the previous gateway, until the state is TRANSIENT_A or active."""
        previous = self._previous.get(entry.slot)
        return None if previous is None or previous.state is State.TRANSIENT_A else previous.gateway

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[MobilityOption, ...]:
        """4.6.1: with the lifetime "finally chosen by the LMA"."""
        previous = self._previous.get(entry.slot)
        return (TransientBinding(True, previous.lifetime),) if previous and request is self._granted else ()

    def status(self, entry: BindingCacheEntry, request: HomeRequest) -> Status:
        """4.6.1: an option that does not fit is ignored, and the gateway is told."""
        ignored = request is not self._granted and TransientBinding in request.firsts
        return Status.PBU_ACCEPTED_TB_IGNORED_SETTINGSMISMATCH if ignored else Status.ACCEPTED

    def row(self, entry: BindingCacheEntry) -> Row:
        """The state of figure 4."""
        previous = self._previous.get(entry.slot)
        return {"transient": "active" if previous is None else previous.state.value}
