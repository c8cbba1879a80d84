"""One life of a CMD or an LMA on a store, with the messages of its routers."""

from __future__ import annotations

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import CmdConfiguration, Gateway, LmaConfiguration, Maar
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.host.driver import Driver
from sojourn.stores import MemoryStore
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix, address, prefix
from sojourn.wire.units import HOUR, SECOND, ticks

ANCHOR = address("2001:db8:c::1")
ROUTERS = [address(f"2001:db8:a{number}::1") for number in range(4)]
POOLS = [prefix(f"2001:db8:{number + 1:x}000::/36") for number in range(4)]
HOME = prefix("2001:db8:8000::/33")
EPOCH = 1_790_000_000 * SECOND
NODES = 40


def update(number: int, wanted: Prefix, handoff: int, when: int, flags: int) -> BindingUpdate:
    node = b"\x02\x00" + number.to_bytes(4, "big")
    options = (
        MobileNodeIdentifier(5, node),
        HomeNetworkPrefix.of(wanted),
        HandoffIndicator(handoff),
        AccessTechnologyType(4),
        MobileNodeLinkLayerIdentifier(node),
        Timestamp(ticks(EPOCH + when)),
    )
    return BindingUpdate(number, flags, HOUR, options)


class Life:
    """One life of a CMD or LMA on a store."""

    def __init__(
        self,
        engine: CentralMobilityDatabase | LocalMobilityAnchor,
        store: MemoryStore,
        now: int,
        *,
        store_required: bool = False,
    ) -> None:
        self.engine, self.now = engine, now
        self.sent: list[SendMessage] = []
        self.plane = MemoryDataplane()
        self.driver = Driver(
            engine,
            self.plane,
            send=lambda message, source, destination: self.sent.append(SendMessage(message, source, destination)),
            access=lambda effect: None,
            store=store,
            clock=lambda: self.now,
            wake_at=lambda deadline: None,
            store_required=store_required,
        )
        self.driver.start()
        self.sent.clear()

    def ask(self, message: BindingUpdate | BindingRefreshRequest, source: Address) -> list[BindingAcknowledgement]:
        """The answers to whoever asked."""
        before = len(self.sent)
        self.driver.dispatch([MessageReceived(message, source, ANCHOR)])
        told = [one.message for one in self.sent[before:] if one.destination == source]
        return [message for message in told if isinstance(message, BindingAcknowledgement)]

    def slice(self) -> None:
        """The timer fires once."""
        self.now += 1
        self.driver.wake()

    def index(self) -> Life:
        """Until it knows whose each prefix is."""
        while self.engine._unread.nameless:
            self.slice()
        return self

    def complete(self) -> None:
        for _ in range(NODES):
            self.slice()
        assert not self.engine.restoring


def cmd(store: MemoryStore, now: int, *, store_required: bool = False) -> Life:
    maars = tuple(Maar(router, pool) for router, pool in zip(ROUTERS, POOLS, strict=True))
    return Life(
        CentralMobilityDatabase(CmdConfiguration(ANCHOR, maars, nodes=NODES), EPOCH),
        store,
        now,
        store_required=store_required,
    )


def lma(store: MemoryStore, now: int, *, store_required: bool = False) -> Life:
    gateways = tuple(map(Gateway, ROUTERS))
    return Life(
        LocalMobilityAnchor(LmaConfiguration(ANCHOR, gateways, (HOME,), nodes=NODES + 1), EPOCH),
        store,
        now,
        store_required=store_required,
    )


def own(number: int, router: int) -> Prefix:
    return POOLS[router].subnet(number, 64)
