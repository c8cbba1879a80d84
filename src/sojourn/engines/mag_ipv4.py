"""A MAG that reaches its LMA over IPv4, also from behind a NAT (RFC 5844 4.2).

Whether there is a NAT, and whether packets travel in UDP, the LMA says in every answer. Behind a NAT something goes out
often enough that it does not forget us: if nothing else did, the registration of a node once more. That repairs as well
what a NAT did forget.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sojourn.core.effects import Effect, EnsureTransport, SendMessage
from sojourn.core.engine import Row
from sojourn.core.events import MessageReceived
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.ipv4_path import NO_NAT, Path
from sojourn.engines.way_settings import Ipv4TransportOfMag
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    Handoff,
    MobilityMessage,
    MobilityOption,
)
from sojourn.wire.addresses import Address, to_ipv4
from sojourn.wire.extensions.rfc5555 import Ipv4CareOfAddress, NatDetection
from sojourn.wire.udp import PMIPV6_CONTROL, PMIPV6_DATA
from sojourn.wire.units import SECOND, Duration, Instant

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration
    from sojourn.engines.mag_session import BindingUpdateListEntry


class MagIpv4Transport(MagExtension):
    """The IPv4-LMAA, and what is between us."""

    name = "ipv4-transport"

    def __init__(self, mag: MagRegistration, settings: Ipv4TransportOfMag) -> None:
        super().__init__(mag)
        self._settings = settings
        self._lma = mag.configuration.lma
        self._own = Ipv4CareOfAddress(to_ipv4(settings.address))
        self._path: Path | None = None
        """None: not known yet."""
        self._interval: Duration = settings.keepalive
        self._sent: Instant = 0
        """When the NAT last saw something of us that the LMA learns from."""
        mag.incoming, mag.outgoing = self._incoming, self._outgoing

    def begin(self, record: bytes | None, lost: bool) -> None:
        """How it was."""
        try:
            path = Path.restored(record or b"")
        except ValueError:
            return
        if path.address == self._settings.lma:
            self._learn(path)

    # --- in -----------------------------------------------------------------------------------------------------------

    def _incoming(self, event: MessageReceived) -> Address:
        """The name of our LMA, if it is from there."""
        return self._lma if event.port and event.source == self._settings.lma else event.source

    def accepting(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        """4.2.2: "If there is a NAT Detection option ... and the (F) flag is set", UDP; otherwise not."""
        if session.lma != self._lma:
            return
        option = answer.first(NatDetection)
        udp = option is not None and option.force
        nat = option is not None and option.refresh != NO_NAT and udp
        port = PMIPV6_DATA if nat else PMIPV6_CONTROL
        told = option.refresh * SECOND if option is not None and nat else 0
        self._interval = min(told or self._settings.keepalive, self._settings.keepalive)
        path = Path(self._settings.lma, port, port, udp, nat)
        if path != self._path:
            self._learn(path)
            self._report("lma-over-ipv4", lma=self._lma, packets=path.words)
            self._keep(path.record())

    def _learn(self, path: Path) -> None:
        self._path = path
        self._do(EnsureTransport(self._lma, path.address, path.data_port or 0))
        if path.nat:
            self.wake(0)  # the LMA is shown what the NAT makes of the other port
        else:
            self.sleep()

    def expired(self, session: BindingUpdateListEntry) -> None:
        """It does not answer: perhaps there is another NAT, or none."""
        if session.lma == self._lma and self._path is not None:
            self._path = self._path._replace(port=PMIPV6_CONTROL, own_port=PMIPV6_CONTROL, nat=False)

    def on_timer(self, key: Any) -> None:
        """Nothing went out for so long; or, with the LMA as `key`, the data plane refused a while ago."""
        path = self._path
        if path is not None and key is not None:
            self._do(EnsureTransport(self._lma, path.address, path.data_port or 0))
            return
        if path is None or not path.nat:
            return
        since = self.now - self._sent
        if self._sent and since < self._interval:
            self.wake(self._interval - since)
            return
        session = next((one for one in self._role.sessions.values() if self._may_speak_for(one)), None)
        if session is not None:
            self._role._register_home(session, Handoff.NOT_CHANGED)
        self.wake(self._interval)

    def _may_speak_for(self, session: BindingUpdateListEntry) -> bool:
        return session.lma == self._lma and session.presence is SERVED and session.confirmed

    # --- out ----------------------------------------------------------------------------------------------------------

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """By this the LMA sees a NAT (RFC 5555 3.1.2)."""
        return (self._own,) if session.lma == self._lma else ()

    def flags(self, session: BindingUpdateListEntry) -> int:
        """4.2.2.1."""
        forced = self._settings.force_ipv4_udp_encapsulation_support and session.lma == self._lma
        return int(BindingUpdateFlags.F) if forced else 0

    def _outgoing(self, effects: list[Effect]) -> list[Effect]:
        """4.2.2: messages to our LMA go over IPv4."""
        return [self._placed(one) if isinstance(one, SendMessage) else one for one in effects]

    def _placed(self, effect: SendMessage) -> SendMessage:
        if effect.destination != self._lma:
            return effect
        port = PMIPV6_CONTROL if self._path is None else self._path.port
        if port == PMIPV6_DATA and _teaches(effect.message):
            self._sent = self.now
        return SendMessage(effect.message, self._settings.address, self._settings.lma, port=port, own_port=port)

    def peer_row(self, peer: Address) -> Row:
        """How packets travel."""
        return {} if peer != self._lma or self._path is None else {"packets": self._path.words}


def _teaches(message: MobilityMessage) -> bool:
    """Whether the LMA learns from it where we are: one session is registered."""
    return isinstance(message, BindingUpdate) and message.lifetime > 0 and not message.flags & BindingUpdateFlags.B
