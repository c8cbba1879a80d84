"""Real traffic of stock hosts, and what became of every packet of it.

A lab run has one traffic process (`sojourn.lab.traffic_worker`). It opens ordinary sockets inside the
namespaces of hosts and servers, so that both ends of every flow are on one clock and in one memory, and
it costs one process however many hosts there are. This module is the other side of its pipe: `Traffic`
starts it and tells it what to do, `FlowRecord` is what it leaves for each flow, one line of JSON.

Loss is a matter of sequence numbers here, never of gaps on the wall clock (`shared/dataplane.md` 8).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sojourn.lab.interruption import BrokeOff
from sojourn.wire.units import Duration, Instant

VOICE_RATE = 50
"""Packets a second of a telephone call: one every 20 ms."""
VOICE_SIZE = 172
"""Octets of such a packet above UDP: 20 ms of G.711 and the RTP header."""
PROBE_SIZE = 64
"""Octets of a probe above UDP."""

Happening: TypeAlias = dict[str, Any]
"""What the traffic process says: ``event`` names it, the rest depends on that."""


class TrafficError(BrokeOff):
    """The traffic process could not do what it was told, or ended."""


@dataclass(slots=True)
class Direction:
    """The packets (or lines) of one direction of a flow, by sequence number."""

    sent: list[Instant] = field(default_factory=list)
    """When each was sent."""
    received: list[Instant] = field(default_factory=list)
    """When each arrived; 0 for one that did not."""
    hop_limits: list[int] = field(default_factory=list)
    """The hop limit each arrived with; 0 where that is not known."""
    duplicates: int = 0
    reordered: int = 0
    refused: int = 0
    """How many the sender's own kernel refused; they count as sent and lost."""
    latest: int = -1
    """The highest sequence number that arrived."""
    arrived: int = 0
    """How many arrived."""

    def send(self, now: Instant) -> int:
        """The sequence number of a packet that is sent `now`."""
        self.sent.append(now)
        self.received.append(0)
        self.hop_limits.append(0)
        return len(self.sent) - 1

    def arrive(self, sequence: int, now: Instant, hop_limit: int = 0) -> None:
        """Packet `sequence` arrived; one that was never sent is none of ours."""
        if not 0 <= sequence < len(self.sent):
            return
        if self.received[sequence]:
            self.duplicates += 1
            return
        self.received[sequence] = now
        self.hop_limits[sequence] = hop_limit
        self.arrived += 1
        if sequence < self.latest:
            self.reordered += 1
        else:
            self.latest = sequence

    def to_row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sent": self.sent,
            "received": self.received,
            "hop_limits": self.hop_limits,
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "refused": self.refused,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Direction:
        """The inverse of `to_row`."""
        names = ("sent", "received", "hop_limits", "duplicates", "reordered", "refused")
        direction = cls(*(row[name] for name in names))
        direction.arrived = sum(map(bool, direction.received))
        direction.latest = max((number for number, at in enumerate(direction.received) if at), default=-1)
        return direction


@dataclass(slots=True)
class FlowRecord:
    """One flow from its start to its end."""

    flow: str
    kind: str
    """``stream``, ``exchange`` or ``download``."""
    host: str
    source: str
    """The address of the host that the flow is bound to."""
    started: Instant
    first_sent: Instant = 0
    """When its first packet left the host (for TCP: the SYN)."""
    connected: Instant = 0
    """When the first answer came (for TCP: when the connection was there)."""
    ended: Instant = 0
    outcome: str = "running"
    """``running``, ``complete`` (ended as asked), ``reset``, ``timeout`` or ``refused: ...``."""
    up: Direction = field(default_factory=Direction)
    """Host to server; for an exchange the lines, received when their echo was."""
    down: Direction = field(default_factory=Direction)
    """Server to host."""
    arrivals: list[tuple[Instant, int]] = field(default_factory=list)
    """Of a download: when how many octets were there in all."""
    octets: int = 0
    """Of a download: how many it should have."""
    digest_sent: str = ""
    """SHA-256 of what the server wrote."""
    digest_received: str = ""
    """SHA-256 of what the host read."""
    digest_expected: str = ""
    """SHA-256 of what the content should be, computed by the host's end from the seed alone."""

    @property
    def intact(self) -> bool:
        """A download arrived whole and right."""
        return bool(self.digest_expected) and self.digest_expected == self.digest_sent == self.digest_received

    def to_row(self) -> dict[str, Any]:
        """As one line of JSON."""
        row = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        return {**row, "up": self.up.to_row(), "down": self.down.to_row(), "intact": self.intact}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> FlowRecord:
        """The inverse of `to_row`."""
        record = cls(**{name: row[name] for name in _PLAIN_FIELDS})
        record.arrivals = [(at, octets) for at, octets in row["arrivals"]]
        record.up, record.down = Direction.of_row(row["up"]), Direction.of_row(row["down"])
        return record


_PLAIN_FIELDS = (
    "flow", "kind", "host", "source", "started", "first_sent", "connected", "ended", "outcome", "arrivals",
    "octets", "digest_sent", "digest_received", "digest_expected",
)  # fmt: skip


def load_records(path: Path) -> list[FlowRecord]:
    """The flows that a traffic process left in `path`."""
    with path.open() as lines:
        return [FlowRecord.of_row(json.loads(line)) for line in lines]


class Traffic:
    """The traffic process of a run. What it says comes to `on_event`, in its own thread, and into `wait`."""

    def __init__(
        self,
        places: Mapping[str, int],
        *,
        patience: Duration = 5_000_000_000,
        status_every: Duration = 250_000_000,
        on_event: Callable[[Happening], None] | None = None,
    ) -> None:
        """`places` are the namespaces (descriptors) that it may open sockets in, by name.

        A TCP session that hears nothing for `patience` is given up, as an application and its user would.
        """
        self._on_event = on_event
        self._happened: list[Happening] = []
        self._news = threading.Condition()
        self._closed = False
        command = [sys.executable, "-m", "sojourn.lab.traffic_worker", "--patience", str(patience)]
        command += ["--status-every", str(status_every)]
        command += [f"{name}={descriptor}" for name, descriptor in places.items()]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=tuple(places.values()),
            start_new_session=True,  # Ctrl-C is for us; it ends when its orders do
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The traffic process."""
        return self._process.pid

    def serve(self, place: str, address: str) -> None:
        """Be a server at `address`: echo over TCP, HTTP, and the other end of streams."""
        self._tell(do="serve", place=place, address=address)
        self.wait("serving", place=place)

    def watch(self, host: str) -> None:
        """Say ``address`` whenever an address of `host` changes; the present ones at once."""
        self._tell(do="watch", host=host)

    def stream(
        self,
        flow: str,
        host: str,
        source: str,
        server: str,
        *,
        up: float,
        down: float,
        size: int = VOICE_SIZE,
    ) -> None:
        """UDP between `source` and `server`, `up` and `down` packets a second."""
        self._tell(do="stream", flow=flow, host=host, source=source, server=server, up=up, down=down, size=size)

    def pace(self, flow: str, *, up: float, down: float) -> None:
        """A stream changes its packets a second; 0 pauses a direction."""
        self._tell(do="pace", flow=flow, up=up, down=down)

    def exchange(self, flow: str, host: str, source: str, server: str, *, interval: Duration) -> None:
        """A TCP connection from `source`; a line every `interval`, which comes back."""
        self._tell(do="exchange", flow=flow, host=host, source=source, server=server, interval=interval)

    def download(self, flow: str, host: str, source: str, server: str, *, octets: int, rate: int) -> None:
        """GET `octets` octets over HTTP from `source`, served at `rate` octets a second."""
        self._tell(do="download", flow=flow, host=host, source=source, server=server, octets=octets, rate=rate)

    def greet(self, flow: str, host: str, server: str, *, within: str, interval: Duration, rate: float) -> None:
        """As soon as `host` has a preferred address in the prefix `within`: an exchange `flow` from it.

        Beside it goes a stream `flow`/hops of `rate` packets a second both ways: it shows the number of hops.
        """
        common = {"host": host, "server": server, "within": within, "interval": interval, "rate": rate}
        self._tell(do="greet", flow=flow, at=time.monotonic_ns(), **common)

    def stop(self, *flows: str) -> None:
        """The flows end in order; one that ended already stays as it is."""
        for flow in flows:
            self._tell(do="stop", flow=flow)

    def count(self, flow: str) -> Happening:
        """How many packets of a flow were ``sent`` towards its host and how many ``arrived``, up to now.

        Of an exchange it is lines, and how many of them came back.
        """
        self._tell(do="count", flow=flow)
        return self.wait("count", flow=flow)

    def wait(self, event: str, timeout: float = 10.0, **fields: Any) -> Happening:
        """The first happening `event` with these fields since the last call that returned it.

        Raises TrafficError when there is none for `timeout` seconds, or when the process ended.
        """
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                for index, happening in enumerate(self._happened):
                    if happening["event"] == event and fields.items() <= happening.items():
                        return self._happened.pop(index)
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    what = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
                    raise TrafficError(f"the traffic process {'ended' if self._closed else 'is silent'}: no {what}")
                self._news.wait(left)

    def finish(self, path: Path, timeout: float = 30.0) -> list[FlowRecord]:
        """Stop all flows, let packets on the way arrive, keep the records in `path`, end the process."""
        self._tell(do="finish", path=str(path))
        self.wait("finished", timeout)
        self.close()
        return load_records(path)

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(2)
        if self._process.stdout:
            self._process.stdout.close()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, **order: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise TrafficError("the traffic process ended") from error

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            happening = json.loads(line)
            if happening["event"] != "status":
                with self._news:
                    self._happened.append(happening)
                    self._news.notify_all()
            if self._on_event is not None:
                self._on_event(happening)
        with self._news:
            self._closed = True
            self._news.notify_all()


def resets(records: Iterable[FlowRecord]) -> int:
    """How many TCP sessions ended in a reset."""
    return sum(record.outcome == "reset" for record in records)
