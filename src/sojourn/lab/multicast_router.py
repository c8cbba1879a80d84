"""A router of the core that passes multicast on: towards whoever joins on its links, from one link.

It is an MLD proxy (RFC 4605) made of the parts that access routers have. A network of such routers is a tree with the
source at its root, which needs no multicast routing protocol; a real core has one. Runs in a thread of the lab.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from sojourn.core.clock import Timers
from sojourn.core.effects import (
    Effect,
    EnsureMembership,
    EnsureMulticastRoute,
    QueryListeners,
    WithdrawMembership,
    WithdrawMulticastRoute,
)
from sojourn.core.events import Event, GroupsReported, NodeSeen
from sojourn.dataplane.multicast import MulticastRouting
from sojourn.engines.configuration import MulticastConfiguration
from sojourn.engines.multicast_proxy import Key, MulticastProxy
from sojourn.host.access import AccessLink
from sojourn.lab.node import Node
from sojourn.lab.topology import Topology
from sojourn.wire.units import SECOND


def multicast_routers(topology: Topology, nodes: Mapping[str, Node]) -> list[MulticastRouter]:
    """The routers of the core of a lab with multicast, running. Raises OSError, and then none runs."""
    if topology.multicast is None:
        return []
    with ExitStack() as opened:
        made = []
        for name in topology.of_kind("router"):
            upstream = f"to-{topology.path(name, topology.multicast)[1]}"
            down = [end for end in nodes[name].ends if end != upstream]
            made.append(opened.enter_context(MulticastRouter(nodes[name], upstream, down)))
        opened.pop_all()
    return made


class MulticastRouter:
    """Passes groups from the interface `upstream` of `node` to its interfaces `down`, until closed. Raises OSError."""

    def __init__(self, node: Node, upstream: str, down: Sequence[str]) -> None:
        with node.namespace.entered():
            self._links = AccessLink(down)
            self._routing = MulticastRouting(upstream, down)
        self._timers: Timers[Key] = Timers()
        configuration = MulticastConfiguration(upstream, tuple(down))
        self._proxy = MulticastProxy(configuration, self._do, self._timers.start, self._timers.stop)
        self._seen: set[bytes] = set()
        self._stop, self._stopped = os.pipe()
        self._routing.start()
        self._proxy.started(time.monotonic_ns())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nothing is passed on any more."""
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self._links.close()
        self._routing.close()

    def __enter__(self) -> MulticastRouter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        ports = {port.fileno(): port for port in self._links.ports.values()}
        while True:
            deadline = self._timers.deadline()
            wait = None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / SECOND)
            ready, _, _ = select.select([self._stop, *ports], [], [], wait)
            if self._stop in ready:
                return
            for descriptor in ready:
                for event in ports[descriptor].receive():
                    self._on_event(event)
            while (key := self._timers.pop_due(time.monotonic_ns())) is not None:
                self._proxy.due(key, time.monotonic_ns())

    def _on_event(self, event: Event) -> None:
        """Whoever shows itself on a link may listen; routers of the core do not roam."""
        match event:
            case NodeSeen(interface, link_layer) if link_layer not in self._seen:
                self._seen.add(link_layer)
                self._proxy.attached(link_layer, interface, link_layer, time.monotonic_ns())
            case GroupsReported(interface, link_layer, records, old):
                self._proxy.reported(link_layer, interface, records, old, time.monotonic_ns())
            case _:
                pass

    def _do(self, effect: Effect) -> None:
        match effect:
            case QueryListeners():
                self._links.apply(effect)
            case EnsureMulticastRoute(group, source, interfaces):
                self._routing.ensure_route(group, source, interfaces)
            case WithdrawMulticastRoute(group, source):
                self._routing.withdraw_route(group, source)
            case EnsureMembership(group, excluding, sources):
                self._routing.ensure_membership(group, excluding, sources)
            case WithdrawMembership(group):
                self._routing.withdraw_membership(group)
            case _:
                pass
