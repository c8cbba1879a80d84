"""The figures of a daemon in a lab, as Prometheus reads them; and what they are compared with."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network

from prometheus_client.parser import text_string_to_metric_families

from sojourn.lab.daemons import METRICS
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab

PATIENCE = 60.0
WITHIN = 0.05
"""REQ6g: values equal to what the lab counts within 5 %."""
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def becomes(question: Callable[[], bool]) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def get(lab: Lab, node: str, path: str = "/metrics") -> str:
    """A page; a daemon that is late on a busy machine is asked again."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{METRICS}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return lab.nodes[node].namespace.call(read)
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def samples(lab: Lab, node: str) -> Samples:
    """All lines of the page of a node's daemon."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(get(lab, node))
        for sample in family.samples
    }


def summed(found: Samples, name: str, **labels: str) -> float:
    """Over all lines of a metric that have these labels."""
    return sum(value for (own, has), value in found.items() if own == name and set(labels.items()) <= has)


def grown(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """By how much."""
    return summed(after, name, **labels) - summed(before, name, **labels)


def near(figure: float, truth: float, resolution: float = 0.0) -> bool:
    """Within 5 %, or what can be measured."""
    return truth > 0 and abs(figure - truth) <= max(WITHIN * truth, resolution)


def served(lab: Lab, router: str, address: str = "") -> bool:
    """Whether a node is registered there; one that has this address."""
    with lab.client(router) as client:
        rows = [row for row in client.show("sessions") if row["presence"] == "served" and row["confirmed"]]
    networks = [IPv6Network(str(one).split()[0]) for row in rows for one in row["prefixes"]]
    return bool(rows) and (not address or any(IPv6Address(address) in network for network in networks))


def echoes(lab: Lab, address: str, number: int, source: str = "cn") -> int:
    """Answers to echo requests of a node."""
    namespace = lab.nodes[source].namespace
    raw = namespace.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
    heard = 0
    with raw:
        raw.settimeout(2)
        for count in range(number):
            raw.sendto(bytes((128, 0, 0, 0, 1, 1, 0, count)) + bytes(400), (address, 0))
            with suppress(TimeoutError):
                while raw.recv(2048)[0] != 129:
                    pass
                heard += 1
    return heard


def address_from(lab: Lab, pool: IPv6Network | None) -> str:
    """The host's address in a pool, once it has one."""
    assert pool is not None
    found: list[str] = []

    def there() -> bool:
        addresses = [one.address for one in host_addresses(lab.nodes["mn"].namespace)]
        found[:] = [one for one in addresses if IPv6Address(one) in pool]
        return bool(found)

    assert becomes(there)
    return found[0]


def prefix_of(address: str) -> str:
    """Of 64 bits."""
    return str(IPv6Network((address, 64), strict=False))
