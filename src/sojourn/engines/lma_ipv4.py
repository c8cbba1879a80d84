"""An LMA that gateways reach over IPv4, also from behind NATs (RFC 5844 4.1).

A gateway keeps its name, an IPv6 address, in all that the LMA keeps and asks of the data plane; here alone is known
where it is. That is learned from registrations that were accepted, which a later Timestamp or sequence number shows to
be no copies: a NAT that forgot is followed by the next registration, and by no packet, no other message, no stranger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.core.effects import Effect, EnsureTransport, SendMessage
from sojourn.core.engine import Row
from sojourn.core.events import MessageReceived
from sojourn.engines.extension import LmaExtension
from sojourn.engines.ipv4_path import NO_NAT, PATH_OCTETS, Path
from sojourn.engines.registration import Refused
from sojourn.engines.way_settings import Ipv4TransportOfLma
from sojourn.wire import BindingUpdate, BindingUpdateFlags, MobilityOption, Status
from sojourn.wire.addresses import Address, from_ipv4, is_ipv4, text
from sojourn.wire.extensions.rfc5555 import Ipv4CareOfAddress, NatDetection
from sojourn.wire.udp import PMIPV6_CONTROL
from sojourn.wire.units import SECOND

if TYPE_CHECKING:
    from sojourn.engines.lma_entry import BindingCacheEntry
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.lma_request import HomeRequest

_FORCED = int(BindingUpdateFlags.F)
_NAME = 16


class LmaIpv4Transport(LmaExtension):
    """The IPv4-LMAA, and where gateways are."""

    name = "ipv4-transport"

    def __init__(self, lma: LmaRegistration, settings: Ipv4TransportOfLma) -> None:
        super().__init__(lma)
        self._settings = settings
        self._gateways = {one.address: one for one in settings.gateways}
        self._names = {(one.nat or one.ipv4, one.ipv4): one.address for one in settings.gateways}
        """By where registrations come from, and the address that they name."""
        self._paths: dict[Address, Path] = {}
        self._asking: tuple[Address, Path] | None = None
        """Whose message is being handled, and where it came from."""
        lma.incoming, lma.outgoing = self._incoming, self._outgoing

    def begin(self, record: bytes | None, lost: bool) -> None:
        """Where gateways were, if they still may be there."""
        step = _NAME + PATH_OCTETS
        for start in range(0, len(record or b""), step):
            part = (record or b"")[start : start + step]
            gateway = self._gateways.get(part[:_NAME])
            try:
                path = Path.restored(part[_NAME:])
            except ValueError:
                self._report("record-unreadable", node=part)
                continue
            if gateway is not None and path.address == (gateway.nat or gateway.ipv4):
                self._paths[gateway.address] = path
                self._tell(gateway.address, path)

    # --- in -----------------------------------------------------------------------------------------------------------

    def _incoming(self, event: MessageReceived) -> Address:
        """The name of who sent it; of somebody unknown, the address."""
        if not event.port:
            return event.source
        message, source = event.message, event.source
        path = Path(source, event.port, event.own_port)
        if isinstance(message, BindingUpdate):
            care_of = message.first(Ipv4CareOfAddress)
            own = source if care_of is None else from_ipv4(care_of.address)
            forced = bool(message.flags & _FORCED)
            path = path._replace(udp=forced or own != source, nat=own != source)
            name = self._names.get((source, own), source)
        else:
            name = self._names.get((source, source)) or self._behind(path) or source
        self._asking = name, path
        return name

    def _behind(self, path: Path) -> Address | None:
        """Who was there when it last registered."""
        return next((name for name, known in self._paths.items() if known[:2] == path[:2]), None)

    def asked(self, request: HomeRequest) -> None:
        """4.1.3.1: UDP is not for everybody who asks."""
        path = self._path_of(request)
        if path is None or not request.update.flags & _FORCED:
            return
        if not self._settings.accept_forced_ipv4_udp_encapsulation_request:
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "UDP where there need be none (flag F)")

    def _path_of(self, request: HomeRequest) -> Path | None:
        """Where this request came from; None: over IPv6, or it is one that had to wait."""
        name, path = self._asking or (None, None)
        return path if name == request.source else None

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """The gateway is where it says; packets to all of its nodes go there."""
        path, name = self._path_of(request), request.source
        known = self._paths.get(name)
        if path is None or path == known or name not in self._gateways:
            return
        if known is not None and path.nat and known.nat and path.data_port is None and path[:1] == known[:1]:
            return  # it begins anew, on the port of signalling: what its NAT makes of the other one comes next
        self._paths[name] = path
        self._tell(name, path)
        self._report("gateway-at", gateway=name, address=path.address, port=path.port, packets=path.words)
        self._keep(b"".join(gateway + where.record() for gateway, where in self._paths.items()))

    def on_timer(self, key: Address) -> None:
        """The data plane refused: once more, a while later."""
        path = self._paths.get(key)
        if path is not None:
            self._tell(key, path)

    def _tell(self, name: Address, path: Path) -> None:
        if path.data_port is not None:
            self._do(EnsureTransport(name, path.address, path.data_port))

    # --- out ----------------------------------------------------------------------------------------------------------

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[MobilityOption, ...]:
        """4.2.2: with flag F in this option, packets travel in UDP."""
        path = self._path_of(request)
        if path is None or not path.udp:
            return ()
        return (NatDetection(force=True, refresh=self._settings.keepalive // SECOND if path.nat else NO_NAT),)

    def _outgoing(self, effects: list[Effect]) -> list[Effect]:
        """Messages to gateways on IPv4 go to where they are; who asked is answered where that came from."""
        asking, self._asking = self._asking, None
        placed: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, SendMessage):
                placed.append(effect)
                continue
            to = effect.destination
            path = asking[1] if asking is not None and asking[0] == to else self._path_to(to)
            if path is not None:
                effect = SendMessage(
                    effect.message, self._settings.address, path.address, port=path.port, own_port=path.own_port
                )
            elif to in self._gateways or is_ipv4(to):
                continue  # behind a NAT, and nobody heard of it yet
            placed.append(effect)
        return placed

    def _path_to(self, name: Address) -> Path | None:
        path, gateway = self._paths.get(name), self._gateways.get(name)
        if path is None and gateway is not None and gateway.nat is None:
            return Path(gateway.ipv4, PMIPV6_CONTROL, PMIPV6_CONTROL)
        return path

    def peer_row(self, peer: Address) -> Row:
        """Where it is, and how packets travel."""
        path = self._paths.get(peer)
        return {} if path is None else {"ipv4": text(path.address).removeprefix("::ffff:"), "packets": path.words}
