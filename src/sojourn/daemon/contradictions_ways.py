"""What the tables of extensions that choose ways say that cannot be true (see `contradictions`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.files.fields import duration_text, parse_address, parse_duration, parse_ipv4_address, parse_pool
from sojourn.files.raw import readable, tables
from sojourn.files.raw import table as table_of
from sojourn.files.toml import Fault
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.units import MILLISECOND, SECOND, Duration

_TRANSIENT_UNIT = 100 * MILLISECOND
_TRANSIENT_MAX = 255 * _TRANSIENT_UNIT
"""RFC 6058 5.1: eight bits, in units of 100 ms."""
_LOCALIZED_MAX = 0xFFFE * SECOND
"""RFC 6705 10.1: seconds in 16 bits; all ones would mean for ever."""


def gateway(mag: Mapping[str, Any]) -> Iterator[Fault]:
    """Other ends of tunnels are others, and our own ones are different."""
    own = readable(parse_address, mag.get("address"))
    yield from _others(mag, None, "localized_routing", "gateways")  # one list for all of a domain may have our own
    yield from _others(mag, own, "user_plane", "addresses")
    yield from _others(mag, own, "multipath", "care_of")
    yield from _one_end("mag", mag, "multipath")
    yield from _transport_of_gateway(mag)
    if "dhcp_relay" in mag and mag.get("ipv4") is not True:
        yield Fault(("mag", "dhcp_relay"), "is for nodes with IPv4, and there is none", "expected ipv4 = true")
    lifetime = table_of(mag.get("transient_bindings")).get("lifetime")
    yield from _within(("mag", "transient_bindings", "lifetime"), lifetime, _TRANSIENT_UNIT, _TRANSIENT_MAX)


def anchor(lma: Mapping[str, Any]) -> Iterator[Fault]:
    """Times fit into messages, and addresses and prefixes are for one thing each."""
    yield from _one_end("lma", lma, "user_plane")
    yield from _transport_of_anchor(lma)
    if lma.get("dhcp_relay") is True and "ipv4_pool" not in lma:
        yield Fault(("lma", "dhcp_relay"), "is for nodes with IPv4, and there is none", "expected an ipv4_pool")
    longest = table_of(lma.get("transient_bindings")).get("lifetime_max")
    yield from _within(("lma", "transient_bindings", "lifetime_max"), longest, _TRANSIENT_UNIT, _TRANSIENT_MAX)
    lifetime = table_of(lma.get("localized_routing")).get("lifetime")
    yield from _within(("lma", "localized_routing", "lifetime"), lifetime, SECOND, _LOCALIZED_MAX)
    own = readable(parse_address, lma.get("address"))
    end = readable(parse_address, table_of(lma.get("user_plane")).get("address"))
    if end is not None and end == own:
        yield Fault(
            ("lma", "user_plane", "address"),
            f"{text(end)} is where gateways register",
            "expected another address, or no table [lma.user_plane]",
        )
    for index, pool in _pools(lma.get("pools")).items():
        if end is not None and pool.covers(end):
            key = ("lma", "pools", index)
            yield Fault(key, f"{pool} contains the address {text(end)}", "expected no addresses of routers")
    yield from _delegated(lma, [router for router in (own, end) if router is not None])


def _one_end(role: str, table: Mapping[str, Any], name: str) -> Iterator[Fault]:
    """Where the kernel tunnels with ip6tnl devices, all tunnels end at one address."""
    if table.get("backend") == "ip6tnl" and name in table:
        wrong = f"'ip6tnl' ends at one address, and [{role}.{name}] has tunnels end at others too"
        yield Fault((role, "backend"), wrong, f'expected "auto" or "seg6", or no table [{role}.{name}]')


def _transport_of_gateway(mag: Mapping[str, Any]) -> Iterator[Fault]:
    """RFC 5844 4 is between a gateway and one LMA; nobody else is reached so."""
    transport = table_of(mag.get("ipv4_transport"))
    own, lma = (readable(parse_ipv4_address, transport.get(key)) for key in ("address", "lma"))
    if own is not None and own == lma:
        key = ("mag", "ipv4_transport", "lma")
        yield Fault(key, "is `address` itself", "expected the IPv4 address of the LMA")
    yield from _long_enough("mag", transport)
    yield from _nothing_else("mag", mag, ("multipath", "user_plane", "redirect_anchors"))
    if transport and isinstance(mag.get("handovers"), int) and mag["handovers"]:
        wrong = "needs the LMA on IPv6: an echo from there is the end of what it had sent before"
        yield Fault(("mag", "handovers"), wrong, "expected handovers = 0, or no table [mag.ipv4_transport]")


def _transport_of_anchor(lma: Mapping[str, Any]) -> Iterator[Fault]:
    """Every gateway over IPv4 is one of the gateways, and can be told from the others."""
    transport = table_of(lma.get("ipv4_transport"))
    own = readable(parse_ipv4_address, transport.get("address"))
    known = [readable(parse_address, one.get("address")) for one in tables(lma.get("gateways"))]
    names: dict[Address, int] = {}
    places: dict[tuple[Address, Address], int] = {}
    for index, gateway in enumerate(tables(transport.get("gateways"))):
        key = ("lma", "ipv4_transport", "gateways", index)
        name = readable(parse_address, gateway.get("address"))
        ipv4, nat = (readable(parse_ipv4_address, gateway.get(which)) for which in ("ipv4", "nat"))
        if name is not None and name not in known:
            yield Fault((*key, "address"), f"{text(name)} is none of lma.gateways", "expected the address of one")
        if name is not None and names.setdefault(name, index) != index:
            yield Fault((*key, "address"), f"is in gateways[{names[name]}] already", "expected each once")
        if ipv4 is None:
            continue
        if own in (ipv4, nat):
            yield Fault((*key, "ipv4"), "is the anchor itself", "expected an address of the gateway's own")
        if nat == ipv4:
            yield Fault((*key, "nat"), "is the address of the gateway", "expected that of its NAT, or no key nat")
        if places.setdefault((nat or ipv4, ipv4), index) != index:
            there = f"is where gateways[{places[nat or ipv4, ipv4]}] is"
            yield Fault((*key, "ipv4"), there, "expected gateways that can be told apart")
    yield from _long_enough("lma", transport)
    yield from _nothing_else("lma", lma, ("multipath", "user_plane"))


def _long_enough(role: str, transport: Mapping[str, Any]) -> Iterator[Fault]:
    keepalive = readable(parse_duration, transport.get("keepalive"))
    if keepalive is not None and (keepalive < SECOND or (role == "lma" and keepalive % SECOND)):
        expected = "expected whole seconds, one at least" if role == "lma" else "expected a second at least"
        yield Fault((role, "ipv4_transport", "keepalive"), f"{duration_text(keepalive)} is not enough", expected)


def _nothing_else(role: str, table: Mapping[str, Any], others: tuple[str, ...]) -> Iterator[Fault]:
    """What would lead packets to other ends of tunnels, which are of IPv6."""
    for name in others if "ipv4_transport" in table else ():
        if table.get(name):
            wrong = f"names other ends of tunnels, and [{role}.ipv4_transport] has none but one"
            yield Fault((role, name), wrong, "expected one of the two")


def _delegated(lma: Mapping[str, Any], routers: list[Address]) -> Iterator[Fault]:
    """What is delegated is nobody's home network, and no router lies in it."""
    known = (readable(parse_address, one.get("address")) for one in tables(lma.get("gateways")))
    routers += [router for router in known if router is not None]
    delegation = table_of(lma.get("delegation"))
    length = delegation.get("length", 56)
    others = list(_pools(lma.get("pools")).values())
    for index, pool in _pools(delegation.get("pools")).items():
        key = ("lma", "delegation", "pools", index)
        for other in others:
            if pool.overlaps(other):
                yield Fault(key, f"{pool} overlaps {other}", "expected pools of which no prefix is in two")
        for router in routers:
            if pool.covers(router):
                yield Fault(key, f"{pool} contains the address {text(router)}", "expected no addresses of routers")
        if isinstance(length, int) and pool.length > length:
            yield Fault(key, f"{pool} has no room for a /{length} (length)", "expected a larger pool")
        others.append(pool)


def _others(mag: Mapping[str, Any], own: Address | None, name: str, key: str) -> Iterator[Fault]:
    listed = table_of(mag.get(name)).get(key)
    seen: dict[Address, int] = {}
    for index, value in enumerate(listed if isinstance(listed, list) else []):
        address = readable(parse_address, value)
        if address is None:
            continue
        if address == own:
            yield Fault(("mag", name, key, index), f"{text(address)} is `address` itself", "expected another address")
        if seen.setdefault(address, index) != index:
            yield Fault(("mag", name, key, index), f"is {key}[{seen[address]}] already", "expected each once")


def _pools(listed: object) -> dict[int, Prefix]:
    found = enumerate(listed if isinstance(listed, list) else [])
    pools = ((index, readable(parse_pool, value)) for index, value in found)
    return {index: pool for index, pool in pools if pool is not None}


def _within(key: tuple[str | int, ...], value: object, unit: Duration, most: Duration) -> Iterator[Fault]:
    """A time that fits into its field of a message."""
    duration = readable(parse_duration, value)
    if duration is not None and (duration % unit or not unit <= duration <= most):
        yield Fault(
            key,
            f"{duration_text(duration)} does not fit into the message",
            f"expected a multiple of {duration_text(unit)}, at most {duration_text(most)}",
        )
