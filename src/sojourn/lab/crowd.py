"""Many mobile nodes in one process: their engines and a raw socket, and nothing that forwards.

They register, refresh, and do what their home agents tell them, as daemons do; nobody could send packets to them. It is
for home agents that need company. ``python -m sojourn.lab.crowd`` reads one line of JSON (`Crowd`) and runs until its
standard input ends. Each node has a care-of address of its own on the one interface.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sojourn.core.effects import Effect, SendMessage
from sojourn.core.events import AddressChanged, Event, Icmpv6Received, LinkChanged, MessageReceived
from sojourn.engines.mip6_configuration import Association, Home, MnConfiguration
from sojourn.engines.mn import MobileNode
from sojourn.host.mobile_sockets import MobileSockets
from sojourn.host.senses import MN_TYPES
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.lab.advertisers import advertisement
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.wire.addresses import ALL_NODES, Address, address, eui64_link_local, prefix
from sojourn.wire.icmpv6 import decode_icmpv6
from sojourn.wire.units import HOUR, SECOND

INTERFACE = "wlan0"
_LINK_LAYER = b"\x02\0\0\0\0\xfe"
"""Of the router, as the nodes are told; nothing is sent to it."""
_TURN = 0.2


@dataclass(frozen=True, slots=True)
class Member:
    """One node."""

    home: str
    care_of: str
    spi: int
    key: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """Where they are, and who keeps their addresses."""

    agent: str
    home_prefix: str
    link_prefix: str
    members: tuple[Member, ...]

    def line(self) -> bytes:
        """For the process."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: str) -> Crowd:
        """The inverse."""
        row = json.loads(line)
        return cls(**{**row, "members": tuple(Member(**one) for one in row["members"])})

    def place(self, namespace: NetworkNamespace, index: int) -> None:
        """Their care-of addresses are put on the interface. Raises OSError."""
        netlink = RouteNetlink(namespace)
        try:
            for member in self.members:
                netlink.add_address(index, address(member.care_of), 64)
        finally:
            netlink.close()


class _Process:
    """The engines, by home address."""

    def __init__(self, crowd: Crowd) -> None:
        self.care_of = {address(member.care_of): address(member.home) for member in crowd.members}
        self.engines = {address(member.home): _engine(crowd, member) for member in crowd.members}
        self.filter = SignallingFilter()
        self.filter.install()
        self.sockets = MobileSockets((), is_ours=self.care_of.__contains__, handled=MN_TYPES)
        link = prefix(crowd.link_prefix)
        said = decode_icmpv6(advertisement(link, link.address[:15] + b"\1", _LINK_LAYER, agent=False))
        for care_of, home in self.care_of.items():
            self.tell(home, LinkChanged(INTERFACE, True))
            self.tell(home, Icmpv6Received(said, eui64_link_local(_LINK_LAYER), ALL_NODES, INTERFACE))
            self.tell(home, AddressChanged(INTERFACE, care_of, 64, True, HOUR, 2 * HOUR))

    def tell(self, home: Address, event: Event) -> None:
        self._carry_out(self.engines[home].handle(event, time.monotonic_ns()))

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendMessage):
                self.sockets.send(effect)

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            readable, _, _ = select.select([sys.stdin, self.sockets], [], [], self._until_due())
            if sys.stdin in readable:
                return
            for event in self.sockets.events():
                if isinstance(event, MessageReceived) and (home := event.routed_to) in self.engines:
                    assert home is not None
                    self.tell(home, event)
            now = time.monotonic_ns()
            for engine in self.engines.values():
                due = engine.deadline()
                if due is not None and due <= now:
                    self._carry_out(engine.expire(now))

    def _until_due(self) -> float:
        dues = [due for engine in self.engines.values() if (due := engine.deadline()) is not None]
        left = (min(dues) - time.monotonic_ns()) / SECOND if dues else _TURN
        return min(max(left, 0.0), _TURN)


def _engine(crowd: Crowd, member: Member) -> MobileNode:
    association = Association(member.spi, bytes.fromhex(member.key))
    home = Home(address(member.home), prefix(crowd.home_prefix), address(crowd.agent), association)
    configuration = MnConfiguration((home,), (INTERFACE,), route_optimisation=False, lost_advertisements=10_000)
    engine = MobileNode(configuration, time.time_ns() - time.monotonic_ns(), os.urandom(32))
    engine.restore((), time.monotonic_ns())
    return engine


def main() -> None:
    """The process."""
    _Process(Crowd.of_line(sys.stdin.readline())).run()


if __name__ == "__main__":
    main()
