"""One engine of Mobile IPv6 on this machine: a mobile node, a home agent, a correspondent node.

As `loop.Host` for routers of a domain, with other senses: links and addresses of the host itself instead of stations,
Router Advertisements, packets with home addresses in their headers, what comes through the tunnel. What `Ensure...`
asks of the kernel's forwarding is carried out by the data plane that it is given; the rest is here.

What belongs to one order of the kernel is told in that order: when a link comes up, the routes that it taught on its
last place are forgotten before anything else is, and addresses that the kernel kept are told again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

from sojourn.core.effects import AccessEffect, SendMessage
from sojourn.core.engine import Engine
from sojourn.core.events import Event, Icmpv6Received, LinkChanged, RouterProbed, SessionsCounted
from sojourn.core.mobile_effects import (
    AnnounceAddress,
    CountSessions,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseTunnel,
    MobileEffect,
    ProbeAddress,
    ProbeRouter,
    ResolveName,
    SendDhcpv6,
    SendIcmpv6,
    WithdrawHomeAddress,
    WithdrawReverseTunnel,
)
from sojourn.dataplane import kernel_ways
from sojourn.dataplane.base import Dataplane
from sojourn.dataplane.netlink import Netlink
from sojourn.host import sessions, stale_links
from sojourn.host.address_monitor import AddressMonitor
from sojourn.host.dhcpv6_relay import Dhcpv6Relay
from sojourn.host.driver import Driver
from sojourn.host.echo import Echoes
from sojourn.host.hostapd import AccessPoints
from sojourn.host.links import LinkMonitor
from sojourn.host.loop import LoopTimer
from sojourn.host.mobile_sockets import MobileSockets
from sojourn.host.neighbours import Neighbours
from sojourn.host.notes import Metering
from sojourn.host.readers import Readers, counted
from sojourn.host.recorder import Recorder
from sojourn.host.resolver import Resolver
from sojourn.host.route_watch import RouteWatch
from sojourn.host.senses import Senses
from sojourn.host.signalling import Flow, together
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.host.tunnel_ends import TunnelEnds
from sojourn.host.tunnel_errors import TunnelErrors, Tunneller
from sojourn.host.tunnel_watch import TunnelWatch
from sojourn.stores.base import Store
from sojourn.wire.addresses import Address
from sojourn.wire.icmpv6 import RouterAdvertisement, RouterSolicitation
from sojourn.wire.mobility import MobilityMessage

_TICK = 5.0


class MobileDataplane(Dataplane, Protocol):
    """Forwarding for a host of Mobile IPv6."""

    @property
    def optimised(self) -> str:
        """How it does route optimisation; empty: not at all."""
        ...

    @property
    def refusal(self) -> str:
        """Why it does not."""
        ...

    def apply_mobile(self, effect: MobileEffect) -> None:
        """As `Dataplane.apply`."""
        ...

    def tick(self) -> None:
        """Seconds passed: what was to stay for a while only goes. Raises OSError."""
        ...


class MobileHost:
    """Runs `engine` once `start` is called. The data plane and the store belong to the driver from now on.

    Raises OSError when a socket cannot be had; then nothing is left open.
    """

    def __init__(
        self,
        engine: Engine,
        dataplane: MobileDataplane,
        store: Store,
        senses: Senses,
        *,
        recorder: Recorder | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        ends: TunnelEnds | None = None,
        meter: Metering | None = None,
        store_required: bool = False,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.recorder = recorder
        self.access_points = AccessPoints(())
        self.timer = LoopTimer(self.loop, self._wake)
        self._readers = Readers(self.loop)
        self._dataplane = dataplane
        self._senses = senses
        self.ends = ends or TunnelEnds()
        self._tick: asyncio.TimerHandle | None = None
        with ExitStack() as opened:
            mobile_kernel = kernel_ways.usable()
            self._filter = SignallingFilter(mobile_kernel)
            opened.callback(self._filter.close)
            self.addresses = AddressMonitor(senses.interfaces)
            opened.callback(self.addresses.close)
            self.sockets = MobileSockets(
                senses.icmpv6,
                is_ours=self.addresses.is_ours,
                interface_of=self.addresses.interface_of,
                tunnelled=lambda source, end: end == senses.tunnel_end or self.ends.take(source, end),
                handled=senses.handled,
                only=senses.only,
                source_rate=senses.source_rate,
                kernel_has_mobile_ipv6=mobile_kernel,
                home_link=senses.home_link,
                home_prefixes=senses.home_prefixes,
            )
            opened.callback(self.sockets.close)
            self.neighbours = Neighbours(self._told, self.loop.call_later, self.addresses.link_local)
            opened.callback(self.neighbours.close)
            self.links = LinkMonitor(senses.interfaces)
            opened.callback(self.links.close)
            self.routes = RouteWatch() if senses.direct else None
            if self.routes is not None:
                opened.callback(self.routes.close)
            self.watch = TunnelWatch() if senses.correspondents else None
            if self.watch is not None:
                opened.callback(self.watch.close)
            tunneller = dataplane if isinstance(dataplane, Tunneller) else None
            self.errors = None if tunneller is None else TunnelErrors(tunneller, self.addresses.is_ours)
            if self.errors is not None:
                opened.callback(self.errors.close)
            self.resolver = Resolver(self._told)
            opened.callback(self.resolver.close)
            self.relay = Dhcpv6Relay() if senses.delegation else None
            if self.relay is not None:
                opened.callback(self.relay.close)
            self.echoes = Echoes()
            opened.callback(self.echoes.close)
            self._netlink = Netlink()
            opened.callback(self._netlink.close)
            self._opened = opened.pop_all()
        self.driver = Driver(
            engine,
            dataplane,
            send=self._send_plainly,
            access=_refuse_access,
            store=store,
            clock=time.monotonic_ns,
            wake_at=self.timer.arm,
            record=recorder.write if recorder else None,
            wall=time.time_ns,
            mobile=self.apply,
            probe=self.echoes.ask,
            meter=meter,
            store_required=store_required,
        )

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> list[str]:
        """Restore, reconcile and begin to listen; answers with what was removed from the kernel. Raises OSError."""
        self._filter.install()
        known = self.addresses.start()
        removed = self.driver.start()
        for address, interface in self._senses.anycast:
            self.sockets.listen_at_anycast(address, interface)
        self._dispatch([event for event in self.links.start() if isinstance(event, LinkChanged)])
        self._dispatch(known)
        self._listen()
        if self._senses.moves:
            self._doubt_routers()
        self._tick = self.loop.call_later(_TICK, self._on_tick)
        return removed

    def close(self, withdraw: bool) -> None:
        """Stop listening and stop the driver (`Driver.close`)."""
        self._readers.close()
        if self._tick is not None:
            self._tick.cancel()
        try:
            self.driver.close(withdraw)
            if withdraw:
                self._filter.remove()
        finally:
            self._opened.close()
            if self.recorder is not None:
                self.recorder.close()

    def counters(self) -> dict[str, int]:
        """Everything that is counted, with the part that counts it in front."""
        return counted(
            {
                "driver": self.driver,
                "sockets": self.sockets,
                "neighbours": self.neighbours,
                "addresses": self.addresses,
                "links": self.links,
                "echoes": self.echoes,
                "resolver": self.resolver,
                "watch": self.watch,
                "tunnel-errors": self.errors,
                "relay": self.relay,
                "recorder": self.recorder,
            }
        )

    def signalling(self) -> dict[Flow, tuple[int, int]]:
        """Messages and octets that crossed our sockets."""
        return together(self.sockets.tally)

    def _listen(self) -> None:
        listen = self._readers.listen
        listen(self.sockets, self._on_packets)
        listen(self.neighbours, self.neighbours.receive)
        listen(self.addresses, self._on_addresses)
        listen(self.links, self._on_links)
        listen(self.echoes, self._on_echoes)
        listen(self.routes, self._on_routes)
        listen(self.watch, self._on_tunnelled)
        listen(self.relay, self._on_relayed)
        if self.errors is not None:
            listen(self.errors, self.errors.receive)

    # --- effects ------------------------------------------------------------------------------------------------------

    def apply(self, effect: MobileEffect | SendMessage) -> None:
        """Carry out `effect`. Raises OSError."""
        match effect:
            case SendMessage():
                self.sockets.send(effect)
            case SendIcmpv6(message=RouterSolicitation()):
                self.neighbours.solicit_routers(effect.interface)
            case SendIcmpv6():
                self.sockets.send_icmpv6(effect)
            case ProbeAddress(interface, address):
                self.neighbours.probe_address(interface, address)
            case ProbeRouter(interface, router):
                self.neighbours.probe_router(interface, router)
            case AnnounceAddress(interface, address):
                self.neighbours.announce(interface, address, self._senses.router)
            case EnsureProxyNeighbour(interface, address):
                self._dataplane.apply_mobile(effect)
                self.neighbours.announce(interface, address, proxied=True)  # RFC 6275 10.4.1: not as a router
            case ResolveName(name):
                self.resolver.ask(name)
            case SendDhcpv6():
                if self.relay is None:
                    raise OSError(errno.EOPNOTSUPP, "no prefixes are asked for here")
                self.relay.send(effect)
            case CountSessions():
                self._told(SessionsCounted(sessions.count()))
            case _:
                self._dataplane.apply_mobile(effect)
                self.sockets.follow(effect)
                self._follow_tunnel(effect)

    def _follow_tunnel(self, effect: MobileEffect) -> None:
        """Whoever writes through a tunnel that there is may be asked for the direct way."""
        self.ends.follow(effect)
        if self.watch is None:
            return
        match effect:
            case EnsureReverseTunnel(home_address=home, home_agent=agent):
                self.watch.watch(home, agent)
            case EnsureHomeBlock(home) | WithdrawReverseTunnel(home) | WithdrawHomeAddress(home):
                self.watch.forget(home)
            case _:
                pass

    def _send_plainly(self, message: MobilityMessage, source: Address, destination: Address) -> None:
        self.sockets.send(SendMessage(message, source, destination))

    # --- events -------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self.driver.wake()

    def _told(self, event: Event) -> None:
        if isinstance(event, RouterProbed) and not event.reachable:
            self._forget(event.interface, event.router)
        self.driver.dispatch([event])

    def _on_packets(self) -> None:
        events = self.sockets.events()
        for event in events:
            if isinstance(event, Icmpv6Received) and isinstance(event.message, RouterAdvertisement):
                self.neighbours.router_heard(event.interface)
        self._dispatch(events)

    def _on_addresses(self) -> None:
        self._dispatch(self.addresses.receive())

    def _on_echoes(self) -> None:
        self._dispatch(self.echoes.receive())

    def _on_relayed(self) -> None:
        assert self.relay is not None
        self._dispatch(self.relay.receive())

    def _on_routes(self) -> None:
        """Direct ways lead through the routers that there are now."""
        assert self.routes is not None
        if not self.routes.changed():
            return
        try:
            self._dataplane.reassert()
        except OSError:
            self.driver.counters["not-reasserted"] += 1

    def _on_tunnelled(self) -> None:
        assert self.watch is not None
        self._dispatch(self.watch.receive())

    def _on_links(self) -> None:
        for event in self.links.receive():
            self._on_link_event(event)

    def _on_link_event(self, event: Event) -> None:
        if not isinstance(event, LinkChanged):
            return
        self.sockets.refresh()
        self.addresses.refresh()
        if event.interface not in self._senses.interfaces:
            return
        if self._senses.moves:
            self._forget(event.interface)
        self._dispatch([event])
        if event.up:
            self._dispatch(self.addresses.again(event.interface))
        else:
            self.neighbours.router_heard(event.interface)

    def _doubt_routers(self) -> None:
        """Nobody saw what the links did before: are the routers there that the kernel still knows? (`stale_links`)"""
        for interface in self._senses.interfaces:
            try:
                for router in stale_links.routers(self._netlink, socket.if_nametoindex(interface)):
                    self.neighbours.probe_router(interface, router)
            except OSError:
                self.driver.counters["not-doubted"] += 1

    def _forget(self, interface: str, router: Address | None = None) -> None:
        """What the link, or a router of it, taught the kernel; other routers there are asked to say it again."""
        try:
            stale_links.forget(self._netlink, socket.if_nametoindex(interface), router)
            if router is not None:
                self.neighbours.solicit_routers(interface)
        except OSError as error:
            if error.errno != errno.ENODEV:
                self.driver.counters["not-forgotten"] += 1

    def _on_tick(self) -> None:
        self._tick = self.loop.call_later(_TICK, self._on_tick)
        if self.watch is not None:
            self.watch.tick()
        if self.links.due() is not None:
            self._on_links()
        try:
            self._dataplane.tick()
        except OSError:
            self.driver.counters["not-forgotten"] += 1

    def _dispatch(self, events: Sequence[Event]) -> None:
        if events:
            self.driver.dispatch(events)


def _refuse_access(effect: AccessEffect) -> None:
    raise OSError(errno.ENOSYS, "a host of Mobile IPv6 serves no access link")
