"""What the tables [mag] and [lma] say that cannot be true together (see `contradictions`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.files.fields import (
    duration_text,
    parse_address,
    parse_duration,
    parse_identifier,
    parse_link_layer,
    parse_pool,
    parse_prefix,
)
from sojourn.files.raw import readable, table, tables
from sojourn.files.toml import Fault
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.units import MILLISECOND

_HEARTBEATS = 100 * MILLISECOND
_REVOCATIONS = 500 * MILLISECOND
_VENDOR_OPTIONS = 8
"""With more of them registrations would not fit into a message."""


def gateway(mag: Mapping[str, Any]) -> Iterator[Fault]:
    """A gateway is not its own anchor, and knows every node once."""
    own, visitors = readable(parse_address, mag.get("address")), readable(parse_pool, mag.get("visitors"))
    for key in ("address", "lma"):
        address = readable(parse_address, mag.get(key))
        if address and visitors and visitors.covers(address):
            yield Fault(
                ("mag", key), f"{text(address)} lies inside the pool {visitors}", "expected an address outside of it"
            )
    places: list[tuple[tuple[str | int, ...], object]] = [(("mag", "lma"), mag.get("lma"))]
    places.append((("mag", "everybody", "lma"), table(mag.get("everybody")).get("lma")))
    seen: dict[bytes, int] = {}
    for index, known in enumerate(tables(mag.get("profiles"))):
        places.append((("mag", "profiles", index, "lma"), known.get("lma")))
        link_layer = readable(parse_link_layer, known.get("link_layer"))
        if link_layer is not None and seen.setdefault(link_layer, index) != index:
            yield _twice(("mag", "profiles", index, "link_layer"), f"profiles[{seen[link_layer]}]")
    for place, value in places:
        if own and readable(parse_address, value) == own:
            yield Fault(place, f"{text(own)} is this gateway's own address", "expected the address of an LMA")
    yield from _interfaces(mag)
    yield from _renumbering("mag", mag)
    yield from _heartbeat("mag", table(mag.get("heartbeat")))
    yield from _revocation("mag", table(mag.get("revocation")))
    yield from _others("mag", own, ("redirect_anchors",), mag.get("redirect_anchors"))
    options = mag.get("vendor_options")
    if isinstance(options, list) and len(options) > _VENDOR_OPTIONS:
        yield Fault(("mag", "vendor_options"), f"are {len(options)}", f"expected at most {_VENDOR_OPTIONS}")
    if mag.get("ipv4") is True:
        yield from _forwards_ipv4("mag", "ipv4", mag)
    mask = table(mag.get("kernel")).get("mark_mask")
    if isinstance(mask, int) and mask > 0 and mask & (mask - 1) == 0:
        yield Fault(
            ("mag", "kernel", "mark_mask"),
            f"{mask:#x} has one bit",
            "expected two at least: a gateway marks packets in two ways",
        )


def _forwards_ipv4(role: str, key: str, section: Mapping[str, Any]) -> Iterator[Fault]:
    """The means to forward IPv4 packets of nodes."""
    if section.get("counters") is False and section.get("backend") != "memory":
        yield Fault((role, key), "needs nf_tables, which counters = false forbids", "expected counters = true")
    if section.get("backend") == "ip6tnl":
        yield Fault((role, "backend"), f"'ip6tnl' leads no IPv4, and there is {key}", 'expected "auto" or "seg6"')


def _interfaces(mag: Mapping[str, Any]) -> Iterator[Fault]:
    """What is said of an interface is said of one on which nodes attach."""
    access = mag.get("access")
    for key in ("dedicated", "technologies"):
        named = mag.get(key)
        if not isinstance(access, list) or not isinstance(named, list | dict):
            continue
        for name in named:
            if name not in access:
                yield Fault(("mag", key), f"{name!r} is not among the interfaces of access", "expected one of these")


def anchor(lma: Mapping[str, Any]) -> Iterator[Fault]:
    """Every gateway and every node is there once, every prefix has one owner, and no router lies in a pool."""
    own = readable(parse_address, lma.get("address"))
    known: dict[Address, int] = {}
    gateways = tables(lma.get("gateways"))
    if isinstance(lma.get("gateways"), list) and not gateways:
        yield Fault(("lma", "gateways"), "is empty", "expected the gateways that may register nodes")
    for index, entry in enumerate(gateways):
        address = readable(parse_address, entry.get("address"))
        if address is None:
            continue
        if address == own:
            key = ("lma", "gateways", index, "address")
            yield Fault(key, f"{text(address)} is the anchor itself", "expected an address of the gateway's own")
        if known.setdefault(address, index) != index:
            yield _twice(("lma", "gateways", index, "address"), f"gateways[{known[address]}]")
    if "ipv4_pool" in lma:
        yield from _forwards_ipv4("lma", "ipv4_pool", lma)
    yield from _pools(lma, [*known, *([own] if own else [])])
    yield from _profiles(lma, known)
    yield from _renumbering("lma", lma)
    yield from _heartbeat("lma", table(lma.get("heartbeat")))
    yield from _revocation("lma", table(lma.get("revocation")))
    yield from _others("lma", own, ("redirect", "anchors"), table(lma.get("redirect")).get("anchors"))
    yield from _timers(table(lma.get("mag_timers")))


def _pools(lma: Mapping[str, Any], addresses: list[Address]) -> Iterator[Fault]:
    pools: list[Prefix] = []
    listed = lma.get("pools")
    length = lma.get("prefix_length", 64)
    for index, value in enumerate(listed if isinstance(listed, list) else []):
        pool, key = readable(parse_pool, value), ("lma", "pools", index)
        if pool is None:
            continue
        for other in pools:
            if pool.contains(other) or other.contains(pool):
                yield Fault(key, f"{pool} overlaps {other}", "expected pools of which no prefix is in two")
        for address in addresses:
            if pool.covers(address):
                yield Fault(key, f"{pool} contains the address {text(address)}", "expected no addresses of routers")
        if isinstance(length, int) and pool.length > length:
            yield Fault(key, f"{pool} has no room for a /{length} (prefix_length)", "expected a larger pool")
        pools.append(pool)
    if not pools and not tables(lma.get("profiles")) and "address" in lma:
        yield Fault(("lma", "pools"), "is empty, and no node has prefixes of its own", "expected at least one pool")


def _profiles(lma: Mapping[str, Any], gateways: Mapping[Address, int]) -> Iterator[Fault]:
    nodes: dict[bytes, int] = {}
    owners: dict[Prefix, int] = {}
    for index, profile in enumerate(tables(lma.get("profiles"))):
        node = readable(parse_identifier, profile.get("identifier"))
        if node is not None and nodes.setdefault(node, index) != index:
            yield _twice(("lma", "profiles", index, "identifier"), f"profiles[{nodes[node]}]")
        prefixes, allowed = profile.get("prefixes"), profile.get("gateways")
        for place, value in enumerate(prefixes if isinstance(prefixes, list) else []):
            prefix = readable(parse_prefix, value)
            if prefix is not None and owners.setdefault(prefix, index) != index:
                key = ("lma", "profiles", index, "prefixes", place)
                yield Fault(key, f"{prefix} is of profiles[{owners[prefix]}]", "expected one owner of every prefix")
        for place, value in enumerate(allowed if isinstance(allowed, list) else []):
            address = readable(parse_address, value)
            if address is not None and address not in gateways:
                key = ("lma", "profiles", index, "gateways", place)
                yield Fault(key, f"{text(address)} is none of lma.gateways", "expected the address of one of these")


def _heartbeat(role: str, section: Mapping[str, Any]) -> Iterator[Fault]:
    """RFC 5847 5 wants half a minute; a lab may want less."""
    interval = readable(parse_duration, section.get("heartbeat_interval"))
    if interval is not None and interval < _HEARTBEATS:
        key = (role, "heartbeat", "heartbeat_interval")
        yield Fault(key, f"{duration_text(interval)} is too short", f"expected {duration_text(_HEARTBEATS)} at least")


def _revocation(role: str, section: Mapping[str, Any]) -> Iterator[Fault]:
    """RFC 5846 11."""
    delay = readable(parse_duration, section.get("init_min_delay_bris"))
    if delay is not None and delay < _REVOCATIONS:
        key = (role, "revocation", "init_min_delay_bris")
        expected = f"expected {duration_text(_REVOCATIONS)} at least (RFC 5846 11)"
        yield Fault(key, f"{duration_text(delay)} is too short", expected)


def _others(role: str, own: Address | None, key: tuple[str, ...], listed: object) -> Iterator[Fault]:
    """RFC 6463: nobody is sent to where he is."""
    for index, value in enumerate(listed if isinstance(listed, list) else []):
        if own and readable(parse_address, value) == own:
            yield Fault((role, *key, index), f"{text(own)} is the own address", "expected other LMAs only")


def _renumbering(role: str, section: Mapping[str, Any]) -> Iterator[Fault]:
    """RFC 8191 3: it is told by an Update Notification."""
    if section.get("renumbering") not in (None, False) and section.get("update_notification") in (None, False):
        wrong = f"needs {role}.update_notification, by which it is told"
        yield Fault((role, "renumbering"), wrong, "switch that on as well")


def _timers(timers: Mapping[str, Any]) -> Iterator[Fault]:
    """RFC 8127 5.1: an LMA whose timers for gateways are 0 registers nobody."""
    for key, value in timers.items():
        zero = value == 0 if key == "lcmp_heartbeat_max_retransmissions" else readable(parse_duration, value) == 0
        if key.startswith("lcmp_") and zero and not isinstance(value, bool):
            yield Fault(("lma", "mag_timers", key), "is 0", "expected more (RFC 8127 5.1)")


def _twice(key: tuple[str | int, ...], where: str) -> Fault:
    return Fault(key, f"is in {where} already", "expected each once")
