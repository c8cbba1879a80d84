"""Time, machines, and the network between them. Nothing in here knows what a role is.

A `World` has one queue of what is going to happen and a clock that stands still until `run`. A `Machine` has one engine
in a `sojourn.host.driver.Driver`, as the daemon has, with a kernel in dictionaries, a disk and two clocks; each of
them can fail. The `Network` carries octets: a message is encoded by its sender and decoded where it arrives.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sim.clock import Clock
from sojourn.core.effects import (
    AccessEffect,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsurePaths,
    EnsurePool,
    EnsureQueue,
    EnsureTunnel,
    ForgetStation,
    ForwardingEffect,
    SendMessage,
    StoreEffect,
    WithdrawQueue,
    WithdrawSlot,
)
from sojourn.core.engine import Engine
from sojourn.core.events import Event, MessageReceived, PathProbed
from sojourn.core.mobile_effects import MobileEffect
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.dataplane.state import Queued, Way
from sojourn.host.driver import Driver
from sojourn.host.notes import Record
from sojourn.stores import MemoryStore
from sojourn.stores.leased_memory import LeasedMemory, LeasedRecords
from sojourn.stores.shared_memory import SharedMemory, SharedMemoryView
from sojourn.wire import decode, encode
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant, WallClock

Build: TypeAlias = Callable[[WallClock], Engine]
"""Makes the engine of a new life; it is told what its clocks differ by."""
Fate: TypeAlias = Callable[[str, str, MobilityMessage], Sequence[Duration]]
"""What becomes of a message from one machine to another: a copy arrives that much later than the link needs."""
_REPAIRED = 4 * SECOND
"""An engine tries again what was refused after a second."""
Heard: TypeAlias = Callable[[str, str, MobilityMessage], None]
"""Told of (from, to, message)."""


class World:
    """Everything there is."""

    def __init__(self) -> None:
        self.now: Instant = 0
        self.machines: dict[str, Machine] = {}
        self.network = Network(self)
        self._order = 0
        self._queue: list[tuple[Instant, int, int, Callable[[Any], None], Any]] = []

    def later(self, delay: Duration, action: Callable[[Any], None], argument: Any) -> None:
        """`action(argument)` after a while."""
        self._push(self.now + delay, 0, action, argument)

    def run(self, duration: Duration) -> None:
        """Let time pass."""
        queue, end = self._queue, self.now + duration
        while queue and queue[0][0] <= end:
            self.now, _, _, action, argument = heapq.heappop(queue)
            action(argument)
        self.now = end

    def arm(self, machine: Machine, moment: Instant) -> None:
        """The timer of `machine` fires at `moment`, unless it is armed anew before."""
        self._push(max(moment, self.now), machine.number, machine.ring, moment)

    def _push(self, moment: Instant, rank: int, action: Callable[[Any], None], argument: Any) -> None:
        """Of what is due at the same instant, messages come before timers, and these in the order of the machines."""
        self._order += 1
        heapq.heappush(self._queue, (moment, rank, self._order, action, argument))


class Network:
    """Delays from machine to machine, and what befalls messages on their way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.delays: dict[tuple[str, str], Duration] = {}
        """One way, by (from, to); a link that only has the other direction has the same delay both ways."""
        self.names: dict[Address, str] = {}
        self.cut: set[tuple[str, str]] = set()
        """Directions in which nothing passes, neither messages nor packets."""
        self.fate: Fate = lambda source, destination, message: (0,)
        self.on_sent: list[Heard] = []
        """Told of every message before its fate is decided."""
        self.on_arrived: list[Heard] = []
        """Told of every message that arrives, whether or not anybody is there."""
        self.sent = 0
        self.flying = 0
        """Messages that are on their way."""

    def delay(self, source: str, destination: str) -> Duration:
        """How long a message takes."""
        delays = self.delays
        return delays.get((source, destination), delays.get((destination, source), 1 * MILLISECOND))

    def passes(self, source: str, destination: str) -> bool:
        """Whether packets get from one machine to the other, which has power."""
        return (source, destination) not in self.cut and self._world.machines[destination].powered

    def transmit(self, sender: str, message: MobilityMessage, source: Address, destination: Address) -> None:
        """Send `message`; it is lost when nobody has that address."""
        receiver = self.names.get(destination)
        octets = bytes(encode(message))
        self.sent += 1
        for heard in self.on_sent:
            heard(sender, receiver or destination.hex(), message)
        if receiver is None or (sender, receiver) in self.cut:
            return
        delay = self.delay(sender, receiver)
        for more in self.fate(sender, receiver, message):
            self.flying += 1
            self._world.later(delay + more, self._arrive, (sender, receiver, octets, source, destination))

    def _arrive(self, flight: tuple[str, str, bytes, Address, Address]) -> None:
        sender, receiver, octets, source, destination = flight
        self.flying -= 1
        machine = self._world.machines[receiver]
        message = decode(octets)
        for heard in self.on_arrived:
            heard(sender, receiver, message)
        machine.tell(MessageReceived(message, source, destination))


class Died(Exception):
    """The process ends here, in the middle of what it was doing."""


class Kernel(MemoryDataplane):
    """Forwarding that outlives the process, that may refuse, and that forgets what leads to a link that goes down."""

    def __init__(
        self, trouble: Callable[[ForwardingEffect], OSError | None], forget: Callable[[ForgetStation], None]
    ) -> None:
        super().__init__(trouble)
        self._forget = forget
        self.wide: set[Prefix] = set()
        """Pools of other routers that were led here once: what there is a way for without one of its own."""
        self.dark: set[int] = set()
        """Slots that the kernel lost."""
        self.held: dict[tuple[int, bool], int] = {}
        """Packets that wait, by slot and by whether another router forwarded them."""

    def apply(self, effect: ForwardingEffect) -> None:
        """See `MemoryDataplane.apply`."""
        super().apply(effect)
        match effect:
            case ForgetStation():
                self._forget(effect)
            case EnsureDelivery(slot) | EnsureTunnel(slot) | EnsurePaths(slot) | EnsureHold(slot) | WithdrawSlot(slot):
                self.dark.discard(slot)
                if self.held:
                    self._lose(slot, False)
                    if isinstance(effect, WithdrawSlot):
                        self._lose(slot, True)
            case EnsureQueue(slot) | EnsureFlowToNode(slot) | EnsureFlowToRouter(slot):
                self.dark.discard(slot)
            case EnsurePool(pool):
                self.wide.add(pool)
            case WithdrawQueue(slot):
                self._lose(slot, True)
            case _:
                pass

    # --- queues -----------------------------------------------------------------------------------------------------

    def queue(self, way: Queued) -> None:
        """One more packet waits there."""
        lane = way.slot, way.forwarded
        self.held[lane] = self.held.get(lane, 0) + 1

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """See `Dataplane.waiting`. Out of a queue that is open goes a packet between two looks."""
        for forwarded, way in ((False, self.state.slots.get(slot)), (True, self.state.forwarded.get(slot))):
            held = self.held.get((slot, forwarded), 0)
            if held and isinstance(way, EnsureFlowToNode | EnsureFlowToRouter):
                self.held[slot, forwarded] = held - 1
                if held == 1:
                    del self.held[slot, forwarded]
        return self.held.get((slot, False), 0), self.held.get((slot, True), 0), 0

    def _lose(self, slot: int, forwarded: bool) -> None:
        self.held.pop((slot, forwarded), None)

    # --- links ------------------------------------------------------------------------------------------------------

    def lose_link(self, interface: str) -> None:
        """What leads to that link is gone, until it is asked for again."""
        ways = [*self.state.slots.items(), *self.state.forwarded.items()]
        to_nodes = (EnsureDelivery, EnsureFlowToNode)
        self.dark.update(slot for slot, way in ways if isinstance(way, to_nodes) and way.interface == interface)

    def reassert(self) -> None:
        """See `Dataplane.reassert`."""
        self.dark.clear()

    def way(self, prefix: Prefix, forwarded: bool = False) -> Way | None:
        """See `MemoryDataplane.way`. `forwarded`: by another router with access links."""
        slot = self.state.prefixes.get(prefix)
        if slot is None and self.wide:
            slot = next((self.state.prefixes.get(pool) for pool in self.wide if pool.contains(prefix)), None)
        if slot is None or slot in self.dark:
            return None
        apart = self.state.forwarded.get(slot) if forwarded else None
        return apart or self.state.slots[slot]


class Disk(MemoryStore):
    """A store that asks before it writes."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before = before

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """All of `effects`, or OSError and none of them."""
        self._before()
        super().apply(effects)


class Machine:
    """One role on one machine, with everything that can go wrong there."""

    overtaking = False
    """Calls to a store elsewhere take half a millisecond to five, and not half a millisecond each."""
    far: Duration = 0
    """And so much longer."""

    def __init__(self, world: World, name: str, address: Address, build: Build) -> None:
        self.world, self.name, self.address = world, name, address
        self.build = build
        self.clock = Clock()
        self.watches_clock = True
        """Whether the driver notices that the wall clock was set."""
        self.plane = self._kernel()
        self.disk = Disk(self._before_writing)
        self.shared: SharedMemory | None = None
        """The store that it has instead of a disk, with others."""
        self.leased: LeasedRecords | None = None
        """The same, for one life at a time: each takes the lease from the one before."""
        self.driver: Driver | None = None
        """None while the process is dead; `plane` goes on forwarding then, as long as there is power."""
        self.powered = True
        self.paused = False
        self.lives = 0
        self.cold = True
        """Nothing was begun here since power came."""
        self._view: SharedMemoryView | LeasedMemory | None = None
        self._calls = 0
        """To the store elsewhere, and back."""
        self.fuse: int | None = None
        """So many more things are done, and in the middle of the next the process dies."""
        self.refuses: Callable[[object], bool] | None = None
        """Whether kernel, disk (asked with None) or access link refuse something."""
        self.on_access: Callable[[Machine, AccessEffect], None] = lambda machine, effect: None
        self.on_forget: Callable[[Machine, ForgetStation], None] = lambda machine, effect: None
        self.record: Callable[[Machine], Record | None] = lambda machine: None
        self.mobile: Callable[[MobileEffect | SendMessage], None] | None = None
        """Carries out what Mobile IPv6 needs of a host; None: this one does none."""
        self._kernel_refused: Instant = -_REPAIRED
        self._disk_refused: Instant = -_REPAIRED
        self._waiting: list[Event] = []
        self._armed: Instant | None = None
        world.machines[name] = self
        self.number = len(world.machines)
        world.network.names[address] = name

    @property
    def engine(self) -> Any:
        """The engine of this life; only a living machine has one."""
        assert self.driver is not None, f"{self.name} is dead"
        return self.driver.engine

    @property
    def kernel_is_behind(self) -> bool:
        """Whether the kernel, or a link, refused something that may not have been tried again yet."""
        return self.world.now - self._kernel_refused < _REPAIRED

    @property
    def kernel_refused_now(self) -> bool:
        """Whether it did so at this moment."""
        return self.world.now == self._kernel_refused

    @property
    def disk_is_behind(self) -> bool:
        """Whether the disk refused something that may not have been written since, or something is on its way there."""
        waits = self.leased is not None and self.driver is not None and self.driver.awaits_store
        return waits or self.world.now - self._disk_refused < _REPAIRED

    @property
    def store(self) -> dict[bytes, bytes]:
        """The records on the disk, or elsewhere under a lease."""
        return self.disk.records if self.leased is None else self.leased.records

    # --- life and death -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The process begins, with what disk and kernel still have."""
        self.lives += 1
        self.powered = True
        self.run_engine(self.build(self.clock.epoch))
        self._guarded(lambda driver: driver.start())

    def run_engine(self, engine: Engine) -> None:
        """`engine` is in charge from now on, as it is."""
        self._view = self._elsewhere()
        self.driver = Driver(
            engine,
            self.plane,
            send=self._send,
            access=self._access,
            store=self.disk if self._view is None else self._view,
            clock=lambda: self.clock.monotonic(self.world.now),
            wake_at=self._wake_at,
            record=self.record(self),
            wall=(lambda: self.clock.wall(self.world.now)) if self.watches_clock else None,
            probe=self._probe,
            mobile=self.mobile,
        )
        self._wake_at(engine.deadline())

    def _elsewhere(self) -> SharedMemoryView | LeasedMemory | None:
        if self.shared is not None:
            return self.shared.view(self._at_store)
        if self.leased is None:
            return None
        life = f"{self.name} {self.lives}"
        self.leased.claim(life, self.leased.epoch, 1 << 62)
        return LeasedMemory(self.leased, life, self.leased.epoch, self._lost_lease, self._at_store)

    def _lost_lease(self) -> None:
        raise AssertionError(f"{self.name} goes on under a lease that its next life took")

    def die(self) -> None:
        """Killed. Disk and kernel keep what they have."""
        if self._view is not None:
            self._view.close()
        self.driver = None
        self.paused = False
        self.fuse = None
        self._armed = None
        self._waiting.clear()

    def lose_power(self) -> None:
        """Only the disk survives."""
        self.die()
        self.powered = False
        self.cold = True
        self.plane = self._kernel()

    def boot(self) -> None:
        """Power is back, if it was gone, and the process begins."""
        if not self.powered:
            self.clock.boot(self.world.now)
        self.start()

    def pause(self) -> None:
        """The process is stopped; what arrives waits for it."""
        self.paused = self.driver is not None

    def resume(self) -> None:
        """It goes on, and finds everything that arrived in one batch."""
        if not self.paused:
            return
        self.paused = False
        waiting, self._waiting = self._waiting, []
        self._guarded(lambda driver: driver.dispatch(waiting))
        self._guarded(lambda driver: driver.wake())

    # --- what happens to it ---------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """`event` happens; nobody notices on a dead machine."""
        if self.driver is None:
            return
        if self.paused:
            self._waiting.append(event)
            return
        self._guarded(lambda driver: driver.dispatch((event,)))

    def ring(self, moment: Instant) -> None:
        """The timer fires."""
        if self._armed == moment and not self.paused:
            self._guarded(lambda driver: driver.wake())

    def run_clock_at(self, rate: int) -> None:
        """The clock runs at another rate."""
        self.clock.run_at(rate, self.world.now)
        if self.driver is not None:
            self._wake_at(self.driver.engine.deadline())

    def _guarded(self, act: Callable[[Driver], object]) -> None:
        if self.driver is None:
            return
        try:
            act(self.driver)
        except Died:
            self.die()

    # --- what it does ---------------------------------------------------------------------------------------------

    def _wake_at(self, deadline: Instant | None) -> None:
        self._armed = None if deadline is None else self.clock.when(deadline)
        if self._armed is not None:
            self.world.arm(self, self._armed)

    def _send(self, message: MobilityMessage, source: Address, destination: Address) -> None:
        self._burn()
        assert source == self.address, f"{self.name} sends from an address that is not its own"
        self.world.network.transmit(self.name, message, source, destination)

    def _probe(self, remote: Address, source: Address | None) -> None:
        """An echo of another router, if the network lets it pass."""
        network = self.world.network
        name = network.names.get(remote)
        if name is not None and network.passes(self.name, name) and network.passes(name, self.name):
            there_and_back = network.delay(self.name, name) + network.delay(name, self.name)
            self.world.later(there_and_back, self.tell, PathProbed(remote))

    def _access(self, effect: AccessEffect) -> None:
        self._burn()
        if self.refuses is not None and self.refuses(effect):
            self._kernel_refused = self.world.now
            raise OSError(errno.ENETDOWN, "the link is down")
        self.on_access(self, effect)

    def _kernel(self) -> Kernel:
        return Kernel(self._kernel_trouble, lambda effect: self.on_forget(self, effect))

    def _kernel_trouble(self, effect: ForwardingEffect) -> OSError | None:
        self._burn()
        if self.refuses is not None and self.refuses(effect):
            self._kernel_refused = self.world.now
            return OSError(errno.ENOMEM, "no room")
        return None

    def _at_store(self, call: Callable[[], None]) -> None:
        """The way to a store elsewhere, or back; what it refuses is tried again."""
        if self.refuses is not None and self.refuses(None):
            self.world.later(50 * MILLISECOND, self._at_store, call)
        else:
            self._calls += 1
            late = self._calls * 7 % 10 if self.overtaking else 0
            self.world.later(MILLISECOND // 2 * (1 + late) + self.far, self._guarded_call, call)

    def _guarded_call(self, call: Callable[[], None]) -> None:
        self._guarded(lambda driver: call())

    def _before_writing(self) -> None:
        self._burn()
        if self.refuses is not None and self.refuses(None):
            self._disk_refused = self.world.now
            raise OSError(errno.ENOSPC, "the disk is full")

    def _burn(self) -> None:
        if self.fuse is None:
            return
        self.fuse -= 1
        if self.fuse < 0:
            raise Died
