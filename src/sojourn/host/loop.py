"""One engine on this machine, on an asyncio event loop.

Everything readable is registered with `add_reader` and drained a share at a time; what arrived in one wake-up
is one batch for the driver, so that one commit of the store serves many messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from sojourn.core.effects import AccessEffect, Report, SendDhcp
from sojourn.core.engine import Engine
from sojourn.core.events import Event, LinkChanged
from sojourn.dataplane.base import Dataplane
from sojourn.host.access import AccessLink, AccessPort
from sojourn.host.dhcp_relay import DhcpRelay
from sojourn.host.driver import Driver
from sojourn.host.echo import Echoes
from sojourn.host.hostapd import AccessPoint, AccessPoints
from sojourn.host.links import LinkMonitor
from sojourn.host.notes import Metering
from sojourn.host.presence import Presence
from sojourn.host.readers import Readers, counted
from sojourn.host.recorder import Recorder
from sojourn.host.signalling import Flow, together
from sojourn.host.sockets import BURST, RATE, MobilitySocket
from sojourn.host.tunnel_errors import TunnelErrors, Tunneller
from sojourn.host.udp import UdpSockets
from sojourn.stores.base import LeasedStore, SharedStore, Store
from sojourn.wire.addresses import Address, LinkLayer
from sojourn.wire.units import SECOND, Instant


class LoopTimer:
    """One timer on `loop`, which must read CLOCK_MONOTONIC as asyncio's own loops do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, deadline: Instant | None) -> None:
        """Call back at `deadline` and at no other time; None: not at all."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None if deadline is None else self._loop.call_at(deadline / SECOND, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._callback()


class Host:
    """Runs `engine` at `address`, with the access interfaces `access`, once `start` is called.

    `peers`, `rate`, `burst`, `strangers`, `profile` and `profiles` are those of `MobilitySocket`. No message is taken
    from the interfaces `access`, nor from `untrusted`, those of another role on this machine. `access_points` are
    triples: an access interface, the control socket of its hostapd, a monitor interface of its radio or "". With `ipv4`
    hosts are heard in IPv4 too. `transport` is our IPv4 address, and those of peers that are spoken with over IPv4 (RFC
    5844 4); `dhcp_relay` our IPv4 address and the DHCP server that questions of nodes are passed on to (3.4.2). The
    data plane and the store belong to the driver from now on. `arriving`: the data plane brings `address` to this
    machine. Raises OSError when a socket cannot be had; then nothing is left open.
    """

    def __init__(
        self,
        engine: Engine,
        dataplane: Dataplane,
        store: Store | SharedStore | LeasedStore,
        *,
        address: Address,
        peers: Collection[Address] | None,
        access: Sequence[str] = (),
        access_points: Sequence[tuple[str, str, str]] = (),
        untrusted: Sequence[str] = (),
        ipv4: bool = False,
        recorder: Recorder | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        rate: int | None = RATE,
        burst: int = BURST,
        strangers: int = 0,
        profile: str | None = None,
        profiles: Mapping[Address, str] | None = None,
        transport: tuple[Address, Collection[Address]] | None = None,
        dhcp_relay: tuple[Address, Address] | None = None,
        told: Callable[[Report], None] | None = None,
        meter: Metering | None = None,
        arriving: bool = False,
        store_required: bool = False,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.recorder = recorder
        self.timer = LoopTimer(self.loop, self._wake)
        self._readers = Readers(self.loop)
        with ExitStack() as opened:
            self.socket = MobilitySocket(
                address,
                peers=peers,
                rate=rate,
                burst=burst,
                strangers=strangers,
                access={*access, *untrusted},
                profile=profile,
                profiles=profiles,
                arriving=arriving,
            )
            opened.callback(self.socket.close)
            self.udp: UdpSockets | None = None
            if transport is not None:
                own, others = transport
                self.udp = UdpSockets(own, peers=others, strangers=strangers, access={*access, *untrusted})
                opened.callback(self.udp.close)
            self.relay: DhcpRelay | None = None
            if dhcp_relay is not None:
                self.relay = DhcpRelay(*dhcp_relay)
                opened.callback(self.relay.close)
            self.access = AccessLink(access, ipv4=ipv4)
            opened.callback(self.access.close)
            self.links = LinkMonitor(access, aged=self._aged)
            opened.callback(self.links.close)
            self.access_points = AccessPoints(access_points)
            opened.callback(self.access_points.close)
            self.echoes = Echoes(address, arriving=arriving)
            opened.callback(self.echoes.close)
            tunneller = dataplane if isinstance(dataplane, Tunneller) else None
            self.errors = None if tunneller is None else TunnelErrors(tunneller, lambda own: own == address)
            if self.errors is not None:
                opened.callback(self.errors.close)
            self._opened = opened.pop_all()
        self.driver = Driver(
            engine,
            dataplane,
            send=self.socket.send,
            access=self._apply_to_access,
            store=store,
            clock=time.monotonic_ns,
            wake_at=self.timer.arm,
            record=recorder.write if recorder else None,
            wall=time.time_ns,
            probe=self.echoes.ask,
            send_udp=None if self.udp is None else self.udp.send,
            told=told,
            meter=meter,
            store_required=store_required,
        )
        self._store = store
        self._reread = LoopTimer(self.loop, self._on_links)
        self._looks = [
            (point, LoopTimer(self.loop, partial(self._look_at, number)))
            for number, point in enumerate(self.access_points.points)
        ]
        self._presence = Presence(self.access.apply, self.driver.dispatch, self.loop.call_later)

    def start(self) -> list[str]:
        """Restore, reconcile and begin to listen; answers with what the reconciliation removed from the
        kernel.
        """
        removed = self.driver.start()
        self._dispatch(self.links.start())
        self._reread.arm(self.links.due())
        listen = self._readers.listen
        listen(self.socket, self._on_messages)
        if self.relay is not None:
            listen(self.relay, partial(self._on_relayed, self.relay))
        if self.udp is not None:
            listen(self.udp, partial(self._on_datagrams, self.udp))
        listen(self.links, self._on_links)
        listen(self.echoes, self._on_echoes)
        if self.errors is not None:
            listen(self.errors, self.errors.receive)
        for port in self.access.all_ports():
            listen(port, partial(self._on_frames, port))
        for number, (point, _) in enumerate(self._looks):
            listen(point, partial(self._on_stations, point))
            self._look_at(number)
        return removed

    def close(self, withdraw: bool) -> None:
        """Stop listening and stop the driver (`Driver.close`)."""
        self._readers.close()
        for _, timer in self._looks:
            timer.arm(None)
        self._presence.close()
        self._reread.arm(None)
        try:
            self.driver.close(withdraw)
        finally:
            self._opened.close()
            if self.recorder is not None:
                self.recorder.close()

    def counters(self) -> dict[str, int]:
        """Everything that is counted, with the part that counts it in front."""
        found = counted(
            {
                "driver": self.driver,
                "socket": self.socket,
                "access": self.access,
                "links": self.links,
                "hostapd": self.access_points,
                "echoes": self.echoes,
                "relay": self.relay,
                "udp": self.udp,
                "tunnel-errors": self.errors,
                "store": self._store if isinstance(self._store, SharedStore | LeasedStore) else None,
                "recorder": self.recorder,
            }
        )
        found["socket:overflowed"] = self.socket.overflowed()
        found["socket:overflowed-strange"] = self.socket.overflowed_strange()
        return found

    def signalling(self) -> dict[Flow, tuple[int, int]]:
        """Messages and octets that crossed our sockets."""
        tallies = [self.socket.tally] if self.udp is None else [self.socket.tally, self.udp.tally]
        return together(*tallies)

    def _wake(self) -> None:
        self.driver.wake()

    def _aged(self, interface: str, link_layer: LinkLayer) -> None:
        self._presence.aged(interface, link_layer)

    def _on_messages(self) -> None:
        events = self.socket.events()
        if events:
            self.driver.dispatch(events)

    def _apply_to_access(self, effect: AccessEffect) -> None:
        """On a link with nodes, or towards the DHCP server of a relay."""
        if isinstance(effect, SendDhcp) and not effect.interface and self.relay is not None:
            self.relay.send(effect)
        else:
            self.access.apply(effect)

    def _on_relayed(self, relay: DhcpRelay) -> None:
        self._dispatch(relay.receive())

    def _on_datagrams(self, udp: UdpSockets) -> None:
        events = udp.events()
        if events:
            self.driver.dispatch(events)

    def _on_echoes(self) -> None:
        self.driver.dispatch(self.echoes.receive())

    def _on_frames(self, port: AccessPort) -> None:
        self._dispatch(port.receive())

    def _on_stations(self, point: AccessPoint) -> None:
        self._dispatch(point.receive())

    def _look_at(self, number: int) -> None:
        point, timer = self._looks[number]
        point.tick()
        timer.arm(point.due())

    def _on_links(self) -> None:
        self._dispatch(self.links.receive())
        self._reread.arm(self.links.due())

    def _dispatch(self, events: Sequence[Event]) -> None:
        if not events:
            return
        for event in events:
            if isinstance(event, LinkChanged):
                self.access.refresh(event.interface)
                self.socket.refresh()
                if self.udp is not None:
                    self.udp.refresh()
        self._presence.heard(events)
        self.driver.dispatch(events)
