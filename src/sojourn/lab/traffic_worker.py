"""The traffic process: sockets in the namespaces of many hosts, one event loop, orders as lines of JSON.

Started by `sojourn.lab.traffic.Traffic` with the namespaces as inherited descriptors. Streams and
exchanges live in the event loop; downloads use the blocking HTTP of the standard library and have a
thread each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sojourn.lab.promptness import make_prompt
from sojourn.lab.traffic import PROBE_SIZE, Direction, FlowRecord, Happening
from sojourn.lab.traffic_addresses import AddressWatch, HostAddress
from sojourn.lab.traffic_flows import Exchange, Stream, StreamServer, inside, serve_echo
from sojourn.lab.traffic_http import Download, DownloadServer
from sojourn.wire.addresses import Address, prefix, text
from sojourn.wire.units import MILLISECOND, SECOND

_LATE_PACKETS = 0.5
"""Seconds to wait for packets on the way when all flows have stopped."""


@dataclass(slots=True)
class _Greeting:
    """What to do when a host has an address in a prefix."""

    order: dict[str, Any]
    host: str
    within: str
    at: int
    """When it was asked for: an address that is older does not count."""


class Worker:
    """Carries out orders; says what happens."""

    def __init__(self, places: dict[str, int], patience: int, status_every: int) -> None:
        self._places, self._patience = places, patience
        self._status_every = status_every / SECOND
        self._records: dict[str, FlowRecord] = {}
        self._flows: dict[str, Stream | Exchange | Download] = {}
        self._servers: dict[str, tuple[StreamServer, asyncio.Server, DownloadServer]] = {}
        self._greetings: list[_Greeting] = []
        self._watches: list[AddressWatch] = []
        self._latest: dict[str, dict[Address, HostAddress]] = {}
        """What was heard last of each address of each host."""
        self._finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Until ``finish``, or until nobody is left to give orders."""
        reader = asyncio.StreamReader()
        await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        status = asyncio.create_task(self._status())
        while line := await reader.readline():
            order = json.loads(line)
            try:
                await getattr(self, "_do_" + order.pop("do"))(**order)
            except OSError as error:
                self._say("failed", flow=order.get("flow", ""), reason=str(error))
            if self._finished.is_set():
                break
        status.cancel()

    def _say(self, event: str, **fields: Any) -> None:
        happening: Happening = {"event": event, "at": time.monotonic_ns(), **fields}
        try:
            os.write(1, (json.dumps(happening) + "\n").encode())
        except BrokenPipeError:
            self._finished.set()

    # --- orders ---------------------------------------------------------------------------------------------

    async def _do_serve(self, place: str, address: str) -> None:
        namespace = self._places[place]
        with inside(namespace):
            streams, http = StreamServer(address), DownloadServer(address)
        self._servers[address] = (streams, await serve_echo(address, namespace), http)
        self._say("serving", place=place)

    async def _do_watch(self, host: str) -> None:
        with inside(self._places[host]):
            watch = AddressWatch()
        self._watches.append(watch)
        self._loop.add_reader(watch, self._addresses_changed, host, watch)

    async def _do_stream(
        self, flow: str, host: str, source: str, server: str, up: float, down: float, size: int
    ) -> None:
        record = self._record(flow, "stream", host, source)
        streams = self._servers[server][0]
        self._start(record, partial(Stream, record, len(self._records), self._places[host], streams, up, down, size))

    async def _do_exchange(self, flow: str, host: str, source: str, server: str, interval: int) -> None:
        record = self._record(flow, "exchange", host, source)
        done = partial(self._ended, record)
        self._start(record, partial(Exchange, record, self._places[host], server, interval, self._patience, done))

    async def _do_download(self, flow: str, host: str, source: str, server: str, octets: int, rate: int) -> None:
        record = self._record(flow, "download", host, source)
        record.octets = octets
        digests = self._servers[server][2].digests
        done = partial(self._loop.call_soon_threadsafe, self._downloaded, record, digests)
        patience = self._patience / SECOND
        self._start(record, partial(Download, record, self._places[host], server, rate, patience, done))

    async def _do_greet(self, **order: Any) -> None:
        self._greetings.append(_Greeting(order, order["host"], order["within"], order["at"]))
        for change in self._latest.get(order["host"], {}).values():  # a busy process hears of it before it reads this
            if change.seen >= order["at"]:
                self._greet(order["host"], change)

    async def _do_pace(self, flow: str, up: float, down: float) -> None:
        stream = self._flows.get(flow)
        if isinstance(stream, Stream) and stream.record.outcome == "running":
            stream.pace(up, down)

    async def _do_count(self, flow: str) -> None:
        record = self._records.get(flow)
        way = Direction() if record is None else record.up if record.kind == "exchange" else record.down
        self._say("count", flow=flow, sent=len(way.sent), arrived=way.arrived)

    async def _do_stop(self, flow: str) -> None:
        self._greetings = [greeting for greeting in self._greetings if greeting.order["flow"] != flow]
        if flow in self._flows:
            self._flows[flow].stop()
            if isinstance(self._flows[flow], Stream):
                self._loop.call_later(_LATE_PACKETS, self._ended, self._records[flow])

    async def _do_finish(self, path: str) -> None:
        for flow in list(self._flows):
            if self._records[flow].outcome == "running":
                self._flows[flow].stop()
        deadline = self._loop.time() + self._patience / SECOND
        await asyncio.sleep(_LATE_PACKETS)
        while self._loop.time() < deadline and self._busy():
            await asyncio.sleep(0.05)
        with Path(path).open("w") as lines:
            for record in self._records.values():
                lines.write(json.dumps(record.to_row(), separators=(",", ":")) + "\n")
        self._say("finished", path=path)
        self._finished.set()

    # --- what happens ---------------------------------------------------------------------------------------

    def _record(self, flow: str, kind: str, host: str, source: str) -> FlowRecord:
        record = FlowRecord(flow, kind, host, source, time.monotonic_ns())
        self._records[flow] = record
        return record

    def _start(self, record: FlowRecord, make: Any) -> None:
        try:
            self._flows[record.flow] = make()
        except OSError as error:
            record.outcome, record.ended = f"refused: {error.strerror}", time.monotonic_ns()
            self._ended(record)
            return
        self._say("started", flow=record.flow, host=record.host, source=record.source)

    def _busy(self) -> bool:
        return any(record.outcome == "running" for record in self._records.values())

    def _downloaded(self, record: FlowRecord, digests: dict[str, str]) -> None:
        record.digest_sent = digests.pop(record.flow, "")
        self._ended(record)

    def _ended(self, record: FlowRecord) -> None:
        flow = self._flows.get(record.flow)
        if isinstance(flow, Stream):
            flow.close()
        self._say("ended", flow=record.flow, outcome=record.outcome, intact=record.intact, kind=record.kind)
        self._flows.pop(record.flow, None)

    def _addresses_changed(self, host: str, watch: AddressWatch) -> None:
        for change in watch.read():
            self._say(
                "address", host=host, address=text(change.address), length=change.length,
                present=change.present, usable=change.usable, preferred=change.preferred, seen=change.seen,
            )  # fmt: skip
            self._latest.setdefault(host, {})[change.address] = change
            self._greet(host, change)

    def _greet(self, host: str, change: HostAddress) -> None:
        if not (change.present and change.usable and change.preferred):
            return
        due = [g for g in self._greetings if g.host == host and prefix(g.within).covers(change.address)]
        for greeting in due:
            self._greetings.remove(greeting)
            order, source = greeting.order, text(change.address)
            common = {"host": host, "source": source, "server": order["server"]}
            exchange = self._do_exchange(order["flow"], **common, interval=order["interval"])
            rate = order["rate"]
            stream = self._do_stream(order["flow"] + "/hops", **common, up=rate, down=rate, size=PROBE_SIZE)
            self._loop.create_task(_both(exchange, stream))

    async def _status(self) -> None:
        while self._status_every > 0:
            await asyncio.sleep(self._status_every)
            now = time.monotonic_ns()
            flows = {name: _progress(self._records[name], now) for name in self._flows}
            self._say("status", flows=flows)


async def _both(first: Any, second: Any) -> None:
    await first
    await second


def _progress(record: FlowRecord, now: int) -> dict[str, Any]:
    """A line of the live view."""
    row: dict[str, Any] = {
        "kind": record.kind,
        "host": record.host,
        "source": record.source,
        "octets": record.octets,
    }
    if record.kind == "download":
        at, octets = record.arrivals[-1] if record.arrivals else (record.started, 0)
        return {**row, "received": octets, "silent": now - at}
    row["silent"] = min(_silence(record.up, record.started, now), now)
    for name, direction in (("up", record.up), ("down", record.down)):
        row[name] = {"sent": len(direction.sent), "arrived": direction.arrived}
    if record.kind == "exchange" and record.up.latest >= 0:
        latest = record.up.latest
        row["round_trip"] = record.up.received[latest] - record.up.sent[latest]
    if record.kind == "stream" and record.down.sent:
        row["silent"] = _silence(record.down, record.started, now)
    return row


def _silence(direction: Direction, started: int, now: int) -> int:
    return now - (direction.received[direction.latest] if direction.latest >= 0 else started)


def main() -> int:
    """Entry of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patience", type=int, default=5 * SECOND)
    parser.add_argument("--status-every", type=int, default=250 * MILLISECOND)
    parser.add_argument("places", nargs="+")
    options = parser.parse_args()
    places = {name: int(descriptor) for name, _, descriptor in (place.rpartition("=") for place in options.places)}
    socket.setdefaulttimeout(None)
    make_prompt()

    async def work() -> None:
        await Worker(places, options.patience, options.status_every).run()

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # downloads that nobody waits for must not hold the process
