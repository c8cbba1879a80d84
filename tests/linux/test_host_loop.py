"""A whole host layer around a small engine, on a real event loop, with real sockets and a real bridge."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sojourn.core.effects import Effect, Report
from sojourn.core.events import Event, MessageReceived, NodeDetached, NodeSeen, Sighting
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.host.loop import Host, LoopTimer
from sojourn.host.recorder import Recorder, load_events
from sojourn.host.sockets import MobilitySocket
from sojourn.stores import MemoryStore
from sojourn.wire import BindingAcknowledgement, BindingUpdate
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import SECOND
from support.access_router import NODE, PATIENCE, PORT, AccessRouter, access_router, reachable, until
from support.toy import Echo, Scripted

pytestmark = pytest.mark.lab

OURS, PEER = address("2001:db8::1"), address("2001:db8::2")
ADVERTISED = prefix("2001:db8:f::/64")


@pytest.fixture
def network() -> Iterator[AccessRouter]:
    with access_router(dad=False) as made:
        made.netlink.add_address(1, OURS, 128)
        made.netlink.add_address(1, PEER, 128)
        until(lambda: reachable(made.router, OURS) and reachable(made.router, PEER))
        yield made


def _host(network: AccessRouter, engine: Scripted | Echo, recorder: Recorder | None = None) -> Host:
    with network.router.entered():
        return Host(
            engine,
            MemoryDataplane(),
            MemoryStore(),
            address=OURS,
            peers={PEER},
            access=["acc0"],
            recorder=recorder,
            loop=asyncio.get_running_loop(),
        )


async def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s"
        await asyncio.sleep(0.005)


def _told(engine: Scripted) -> list[Event | None]:
    return [event for _, event in engine.told]


def test_an_attached_host_is_advertised_to_and_a_message_answered(network: AccessRouter, tmp_path: Path) -> None:
    async def run() -> None:
        recorder = Recorder(tmp_path / "events.jsonl", identifiers="plain")
        host = _host(network, Echo(), recorder)
        assert host.start() == []
        with network.router.entered():
            peer = MobilitySocket(PEER)
        network.host_up()
        await _until(lambda: any(ADVERTISED.covers(found) for found in network.host_addresses()))
        peer.send(BindingUpdate(9, 0x8200, 60 * SECOND), PEER, OURS)
        answers: list[MessageReceived] = []
        await _until(lambda: answers.extend(peer.events()) or answers)
        assert answers == [MessageReceived(BindingAcknowledgement(0, 0, 9, 60 * SECOND), OURS, PEER)]
        counters = host.counters()
        assert counters["socket:received"] == counters["socket:sent"] == 1
        assert counters["access:advertised"] >= 1
        assert counters["recorder:lines-written"] > 3
        host.close(withdraw=True)
        peer.close()

    asyncio.run(run())
    kinds = {type(event).__name__ for _, event in load_events(tmp_path / "events.jsonl")}
    assert kinds >= {"LinkChanged", "NodeSeen", "MessageReceived"}


def test_a_silent_host_that_answers_stays_and_one_that_does_not_leaves(network: AccessRouter) -> None:
    async def run() -> None:
        engine = Scripted()
        host = _host(network, engine)
        host.start()
        network.ageing(1)
        network.host_up()
        await _until(lambda: host.links.counters["stations-aged"] > 0)
        aged = len(engine.told)
        await _until(lambda: any(isinstance(event, NodeSeen) for event in _told(engine)[aged:]))
        assert not any(isinstance(event, NodeDetached) for event in _told(engine)), "it answered"
        network.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)  # there, but it will not answer any more
        await _until(lambda: NodeDetached("acc0", NODE) in _told(engine))
        host.close(withdraw=True)

    asyncio.run(run())


def test_a_deleted_station_is_detached_at_once(network: AccessRouter) -> None:
    async def run() -> None:
        engine = Scripted()
        host = _host(network, engine)
        host.start()
        network.host_up()
        await _until(lambda: NodeSeen("acc0", NODE, Sighting.STATION) in _told(engine))
        network.netlink.forget_station(PORT, NODE)
        await _until(lambda: NodeDetached("acc0", NODE) in _told(engine))
        host.close(withdraw=True)

    asyncio.run(run())


def test_the_timer_wakes_the_engine(network: AccessRouter) -> None:
    async def run() -> None:
        engine = Scripted()
        host = _host(network, engine)
        effects: Sequence[Effect] = [Report("due")]
        engine.due = [(time.monotonic_ns() + SECOND // 20, effects)]
        host.start()
        await _until(lambda: host.driver.counters["reports:due"] == 1)
        host.close(withdraw=True)

    asyncio.run(run())


def test_a_timer_that_is_disarmed_or_moved_does_not_fire() -> None:
    async def run() -> list[int]:
        fired: list[int] = []
        timer = LoopTimer(asyncio.get_running_loop(), lambda: fired.append(time.monotonic_ns()))
        now = time.monotonic_ns()
        timer.arm(now + SECOND // 100)
        timer.arm(now + SECOND // 20)
        timer.arm(now + SECOND // 50)
        await _until(lambda: fired)
        timer.arm(time.monotonic_ns() + SECOND // 100)
        timer.arm(None)
        await asyncio.sleep(0.05)
        assert fired[0] >= now + SECOND // 50 - 1_000_000
        return fired

    assert len(asyncio.run(run())) == 1


def test_an_address_that_is_not_there_leaves_nothing_open(network: AccessRouter) -> None:
    async def run() -> None:
        with network.router.entered(), pytest.raises(OSError, match="assign"):
            Host(Scripted(), MemoryDataplane(), MemoryStore(), address=address("2001:db8:ffff::1"), peers=set())
        with network.router.entered(), pytest.raises(OSError, match="device"):
            Host(Scripted(), MemoryDataplane(), MemoryStore(), address=OURS, peers=set(), access=["acc9"])

    asyncio.run(run())  # an unclosed socket is a ResourceWarning, and that an error


def test_a_flood_of_messages_does_not_starve_the_loop(network: AccessRouter) -> None:
    """Each wake-up takes its share and no more; a timer has its turn between two of them."""

    async def run() -> None:
        engine = Scripted(lambda event, now: [])
        host = _host(network, engine)
        host.start()
        stop = threading.Event()

        def flood() -> None:
            with network.router.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135) as raw:
                raw.bind(("2001:db8::2", 0))
                while not stop.is_set():
                    raw.sendto(bytes((59, 0, 0, 0, 0, 0, 0, 0)), ("2001:db8::1", 0))

        sender = threading.Thread(target=flood)
        sender.start()
        try:
            await _until(lambda: host.socket.counters["received"] > 2_000)
            turns = 0
            before = host.socket.counters["received"]
            while host.socket.counters["received"] < before + 1_000:
                await asyncio.sleep(0)
                turns += 1
            assert turns >= 10
        finally:
            stop.set()
            sender.join()
        host.close(withdraw=True)

    asyncio.run(run())
