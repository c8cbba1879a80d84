"""The air: where hosts are, and how they move.

One namespace without IPv6 holds a bridge, the *cell*, for each access router, and one end of each host's
link. A roam makes that end a port of another cell. As with real access points, the old router's bridge
forgets the station when it disassociates, and on association a Layer 2 Update frame (an 802.2 XID broadcast
with the station's source address, as cfg80211 sends it for IEEE 802.11F) makes the new router's bridge learn
it. These two are the only signs that routers get; nothing of ours runs in the host.
"""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass

from sojourn.lab.network import Network
from sojourn.lab.rtnetlink import End
from sojourn.wire.units import Instant

_BROADCAST = b"\xff" * 6
_XID = b"\x00\x01\xaf\x81\x01\x00"
"""Null DSAP, null SSAP with the response bit, XID with poll/final, format and class: IEEE 802.11F 6.6, as in
cfg80211."""


@dataclass(frozen=True, slots=True)
class RoamTimes:
    """When each step of a roam was done, in ns of CLOCK_MONOTONIC (``time.monotonic_ns``)."""

    host: str
    source: str | None
    """Access router that was left; None: the host was in no cell."""
    target: str | None
    """Access router that was joined; None: the host is in no cell now."""
    start: Instant
    disassociated: Instant
    """From here on no frame passes between host and old cell."""
    noticed: Instant | None
    """The old router's bridge was told, which may be before; None without notice."""
    associated: Instant | None
    """From here on frames pass between host and new cell."""
    announced: Instant | None
    """The Layer 2 Update frame is in the new router's bridge: its attach event."""


class Air:
    """Moves hosts between the cells of access routers. Made by `Lab`; not for use from several threads at
    once."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._where: dict[str, str | None] = dict.fromkeys(network.host_ports)
        self._netlink = network.netlink(network.air)
        self._frames = network.air.call(_frame_socket)

    def close(self) -> None:
        """Let go of the socket."""
        self._frames.close()

    def where(self, host: str) -> str | None:
        """The access router in whose cell `host` is. Raises KeyError for an unknown name."""
        return self._where[host]

    def roam(
        self,
        host: str,
        router: str,
        *,
        outage: float = 0.0,
        notice: bool = True,
        lead: float = 0.0,
        carrier: bool = False,
        make_before_break: float = 0.0,
    ) -> RoamTimes:
        """`host` leaves its cell and joins that of `router`. Blocks for `outage`, `lead` and
        `make_before_break` seconds.

        `outage`: time between disassociation and association. `notice`: the old router sees the host leave (its
        FDB entry goes). `lead`: it sees that so many seconds before frames stop passing, as with stations that
        say where they are going (IEEE 802.11r over the DS, 802.11v). `carrier`: the host's link goes down at
        disassociation and up at association. `make_before_break`: the new router hears of the host that many
        seconds before its frames move there.
        Raises KeyError for unknown names.
        """
        port, cell = self._network.host_ports[host], self._network.cells[router]
        source = self._where[host]
        start = time.monotonic_ns()
        announced = None
        if make_before_break:
            announced = self.announce(host, router)
            time.sleep(make_before_break)
        gap = bool(outage or carrier)
        early = self._notice_early(host, source, lead) if notice and lead and source != router else None
        if early is not None:
            notice = False
        if gap or source is None:
            disassociated, noticed = self._leave(host, source, notice, carrier or source is None)
            time.sleep(outage)
            self._netlink.set_link(port.index, master=cell.index, up=True)
            associated = time.monotonic_ns()
        else:
            self._netlink.set_link(port.index, master=cell.index)
            associated = disassociated = time.monotonic_ns()
            noticed = self._notice(host, source, notice and source != router)
        self._where[host] = router
        if announced is None or source is None:
            announced = self.announce(host, router)
        if early is not None:
            self._learn(source, True)
        return RoamTimes(host, source, router, start, disassociated, early or noticed, associated, announced)

    def detach(self, host: str, *, notice: bool = True, carrier: bool = False) -> RoamTimes:
        """`host` leaves its cell and joins none. Raises KeyError for an unknown name."""
        source = self._where[host]
        start = time.monotonic_ns()
        disassociated, noticed = self._leave(host, source, notice, carrier)
        return RoamTimes(host, source, None, start, disassociated, noticed, None, None)

    def announce(self, host: str, router: str) -> Instant:
        """A Layer 2 Update frame of `host` in the bridge of `router`; when it was there. Also a means to test
        with."""
        link_layer = self.link_layer(host)
        frame = _BROADCAST + link_layer + len(_XID).to_bytes(2, "big") + _XID
        frame = frame.ljust(60, b"\0")
        try:
            self._frames.sendto(frame, (self._network.cell_ports[router].name, 0))
        except OSError as error:
            if error.errno not in (errno.ENETDOWN, errno.ENOBUFS):
                raise
        return time.monotonic_ns()

    def link_layer(self, host: str) -> bytes:
        """The MAC address of the host's link; of its second one, if `host` is ``HOST/2``."""
        return self._network.radios[host].link_layer

    def port(self, host: str) -> End:
        """The end of the host's link that is in the air."""
        return self._network.host_ports[host]

    def _leave(self, host: str, source: str | None, notice: bool, carrier: bool) -> tuple[Instant, Instant | None]:
        port = self._network.host_ports[host]
        self._netlink.set_link(port.index, master=0, up=False if carrier else None)
        self._where[host] = None
        return time.monotonic_ns(), self._notice(host, source, notice)

    def _notice_early(self, host: str, source: str | None, lead: float) -> Instant | None:
        """The station is forgotten, and what it still sends does not bring it back."""
        if source is None:
            return None
        self._learn(source, False)
        noticed = self._notice(host, source, True)
        time.sleep(lead)
        return noticed

    def _learn(self, router: str | None, learns: bool) -> None:
        if router is not None:
            node = self._network.nodes[router]
            self._network.netlink(node.namespace).set_learning(node.ends["air"].index, learns)

    def _notice(self, host: str, source: str | None, notice: bool) -> Instant | None:
        if source is None or not notice:
            return None
        router = self._network.nodes[source]
        port: End = router.ends["air"]
        self._network.netlink(router.namespace).forget_station(port.index, self.link_layer(host))
        return time.monotonic_ns()


def _frame_socket() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
