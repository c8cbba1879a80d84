"""The one world of an engine: where each of its effects is carried out, and what comes back at once.

An effect that the world refuses (OSError) comes back as `EffectFailed`; one that asks for something is answered with an
event. Both wait in `Outlets.answers` until the batch is over.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, get_args

from sojourn.core.effects import (
    AccessEffect,
    Advertise,
    CheckBinding,
    CountQueue,
    CountTraffic,
    DeleteBinding,
    Effect,
    FindBindings,
    ForwardingEffect,
    ProbeNode,
    ProbePath,
    QueryListeners,
    Report,
    SendDhcp,
    SendMessage,
    StoreBinding,
)
from sojourn.core.events import BindingsFound, EffectFailed, Event, PathProbed, QueueCounted, TrafficCounted
from sojourn.core.mobile_effects import MobileEffect
from sojourn.dataplane.base import Dataplane
from sojourn.wire.addresses import Address

if TYPE_CHECKING:
    from sojourn.wire.mobility import MobilityMessage

_FORWARDING = frozenset(get_args(ForwardingEffect))
"""Kinds as a set: a million effects an hour are told apart by their class at once, not by a row of questions."""


class Send(Protocol):
    """Send a message; what cannot be sent is lost, as on any network."""

    def __call__(self, message: MobilityMessage, source: Address, destination: Address, /) -> None: ...


class Outlets:
    """See `Driver` for what each of them is. `find` looks in a shared store, where there is one."""

    def __init__(
        self,
        dataplane: Dataplane,
        *,
        send: Send,
        access: Callable[[AccessEffect], None],
        probe: Callable[[Address, Address | None], None] | None,
        send_udp: Callable[[SendMessage], None] | None,
        mobile: Callable[[MobileEffect | SendMessage], None] | None,
        find: Callable[[bytes], None] | None,
        counters: Counter[str],
    ) -> None:
        self.answers: list[Event] = []
        """For the engine, when the batch is over."""
        self._dataplane = dataplane
        self._send = send
        self._access = access
        self._probe = probe
        self._send_udp = send_udp
        self._mobile = mobile or _refuse_mobile
        self._find = find
        self._counters = counters

    def carry_out(self, effect: Effect) -> None:
        """What can be asked for but storing, which is the business of a batch."""
        try:
            if type(effect) in _FORWARDING:
                self._dataplane.apply(effect)  # type: ignore[arg-type]
            else:
                self._carry_out_one(effect)
        except OSError as error:
            self.failed(effect, error)

    def _carry_out_one(self, effect: Effect) -> None:
        match effect:
            case SendMessage(port=port) if port:
                if self._send_udp is not None:
                    self._send_udp(effect)
            case SendMessage(home_address=None, routed_to=None):
                self._send(effect.message, effect.source, effect.destination)
            case SendMessage():
                self._mobile(effect)
            case StoreBinding() | DeleteBinding() | CheckBinding() | Report():
                pass  # stored with the batch, and noted
            case Advertise() | ProbeNode() | QueryListeners() | SendDhcp():
                self._access(effect)
            case CountTraffic():
                self.answers.append(TrafficCounted(self._dataplane.count()))
            case CountQueue(slot):
                self.answers.append(QueueCounted(slot, *self._dataplane.waiting(slot)))
            case FindBindings(about):
                if self._find is None:
                    self.answers.append(BindingsFound(about))
                else:
                    self._find(about)
            case ProbePath(remote, source):
                if self._probe is None:
                    self.answers.append(PathProbed(remote))
                else:
                    self._probe(remote, source)
            case _ if isinstance(effect, MobileEffect):
                self._mobile(effect)
            case _:
                self._dataplane.apply(effect)

    def failed(self, effect: Effect, error: OSError) -> None:
        """The world refuses it."""
        self._counters["effects-failed"] += 1
        self.answers.append(EffectFailed(effect, error.errno or errno.EIO, error.strerror or str(error)))


def _refuse_mobile(effect: MobileEffect | SendMessage) -> None:
    raise OSError(errno.ENOSYS, "this host does not do Mobile IPv6")
