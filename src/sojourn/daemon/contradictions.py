"""What a configuration file says that cannot be true together.

The checks read the file as it was parsed from TOML and pass over what is missing or unreadable (the model complains
about that), so that one run tells of wrong values and of contradictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from sojourn.daemon import contradictions_mobile as mobile
from sojourn.daemon import contradictions_proxy as proxy
from sojourn.daemon import contradictions_survival as survival
from sojourn.daemon import contradictions_ways as ways
from sojourn.dataplane.multicast import INTERFACES
from sojourn.dataplane.settings import LinuxSettings, forwarded_mark, marks
from sojourn.engines.configuration import MulticastConfiguration
from sojourn.files.fields import (
    duration_text,
    parse_address,
    parse_duration,
    parse_ipv4_pool,
    parse_name_server,
    parse_pool,
)
from sojourn.files.raw import readable, tables
from sojourn.files.raw import table as table_of
from sojourn.files.toml import Fault
from sojourn.wire.addresses import Address, Prefix, is_ipv4, text
from sojourn.wire.units import MILLISECOND, SECOND

_ROLES = ("maar", "cmd", "mag", "lma", "mn", "ha", "cn")
LIFETIME_UNIT = 4 * SECOND
LIFETIME_MAX = 0xFFFF * LIFETIME_UNIT
"""The Lifetime field counts 4 s in 16 bits (RFC 6275 6.1.7); all ones would mean for ever, so it is not offered."""
_RESERVED_TABLES = (253, 254, 255)
LEASE_MIN = 10 * SECOND
"""Half of it is the time in which a node renews."""
ROUTER_LIFETIME_MAX = 9000 * SECOND
RESPONSE_MAX = 32 * SECOND
"""The Maximum Response Code counts milliseconds up to 32767; beyond it is less exact (RFC 3810 5.1.3)."""


def find(data: Mapping[str, Any]) -> list[Fault]:
    """All contradictions and notes of a parsed file."""
    maar, cmd, mag, lma = (table_of(data.get(role)) for role in ("maar", "cmd", "mag", "lma"))
    faults: list[Fault] = []
    if not {*_ROLES} & data.keys():
        named = ", ".join(f"[{role}]" for role in _ROLES)
        faults.append(Fault((), f"has none of the tables {named}", "name at least one role"))
    if data.get("store_required") is True and not data.get("store"):
        faults.append(Fault(("store_required",), "needs a store", "name a file for store, or leave this out"))
    faults += _forwarding(data)
    faults += _own_address(maar, cmd)
    faults += _database(maar, cmd, data)
    faults += [*_peers(maar), *_neighbours(maar)]
    faults += [*survival.partners(maar), *survival.pair(lma)]
    faults += proxy.gateway(mag)
    faults += proxy.anchor(lma)
    faults += [*ways.gateway(mag), *ways.anchor(lma)]
    for role, table in (("maar", maar), ("mag", mag)):
        faults += _access(role, table)
        faults += _access_points(role, table)
        faults += proxy.handovers(role, table)
        faults += _lifetime((role, "lifetime"), table.get("lifetime"))
        faults += _advertised(role, table)
        faults += _multicast(role, table)
        faults += _dhcp(role, table)
    for role, table in (("cmd", cmd), ("lma", lma)):
        faults += _lifetime((role, "lifetime_max"), table.get("lifetime_max"))
    for role, table in (("maar", maar), ("mag", mag), ("lma", lma)):
        faults += _kernel(role, table_of(table.get("kernel")))
    faults += [*_lease("maar", maar), *_lease("mag", mag)]
    faults += _delegation(maar)
    faults += _ipv4(maar)
    faults += _domain(cmd)
    mn, ha, cn = (table_of(data.get(role)) for role in ("mn", "ha", "cn"))
    faults += [*mobile.beside(data), *mobile.node(mn), *mobile.agent(ha), *mobile.correspondent(cn)]
    faults += [
        *_lifetime(("mn", "lifetime"), mn.get("lifetime")),
        *_lifetime(("ha", "lifetime_max"), ha.get("lifetime_max")),
    ]
    return faults


def _forwarding(data: Mapping[str, Any]) -> Iterator[Fault]:
    """The forwarding of a machine is one role's."""
    roles = [role for role in ("maar", "mag", "lma") if role in data]
    for role in roles[1:]:
        yield Fault((role,), f"[{roles[0]}] forwards on this machine already", "expected one of [maar], [mag], [lma]")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _own_address(maar: Mapping[str, Any], cmd: Mapping[str, Any]) -> Iterator[Fault]:
    own, pool = readable(parse_address, maar.get("address")), readable(parse_pool, maar.get("pool"))
    if own and pool and pool.covers(own):
        yield Fault(
            ("maar", "address"),
            f"{text(own)} lies inside the router's own pool {pool}, so that a node could be given its /64",
            "expected an address outside of every pool",
        )
    database = readable(parse_address, cmd.get("address"))
    if database and pool and pool.covers(database):
        yield Fault(
            ("cmd", "address"),
            f"{text(database)} lies inside the pool {pool}",
            "expected an address outside of it",
        )
    if own and own == database:
        yield Fault(
            ("cmd", "address"),
            f"{text(own)} is the address of [maar] too",
            "give each role an address of its own: both roles speak the same protocol",
        )


def _database(maar: Mapping[str, Any], cmd: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Fault]:
    own, used = readable(parse_address, maar.get("address")), readable(parse_address, maar.get("cmd"))
    pool = readable(parse_pool, maar.get("pool"))
    if own and own == used and not isinstance(data.get("cmd"), dict):
        yield Fault(
            ("maar", "cmd"),
            f"{text(own)} is this router's own address, and the file has no table [cmd]",
            "expected the address of the database, or a table [cmd] with an address of its own",
        )
    if used and pool and pool.covers(used):
        yield Fault(("maar", "cmd"), f"{text(used)} lies inside the pool {pool}", "expected an address outside of it")
    if "maar" in data and "cmd" not in maar and maar.get("mode") != "direct":
        yield Fault(
            ("maar", "cmd"),
            "missing: in this mode a router asks the database of the domain",
            'expected its address, or mode = "direct", in which there need not be one',
        )
    if "cmd" not in maar and maar.get("more_cmds"):
        yield Fault(
            ("maar", "more_cmds"), "has databases, and maar.cmd is missing", "expected the first of them as cmd"
        )
    if "maar" in data and "cmd" in data:
        modes = maar.get("mode", "proxy"), cmd.get("mode", "proxy")
        if modes[0] != modes[1] and {*modes} <= {"proxy", "relay", "locator", "direct"}:
            yield Fault(
                ("cmd", "mode"),
                f"{modes[1]!r}, while maar.mode is {modes[0]!r}",
                "expected one mode in the domain",
            )


def _peers(maar: Mapping[str, Any]) -> Iterator[Fault]:
    own, used = readable(parse_address, maar.get("address")), readable(parse_address, maar.get("cmd"))
    pool = readable(parse_pool, maar.get("pool"))
    seen: dict[Address, int] = {}
    for index, peer in enumerate(tables(maar.get("peers"))):
        key = ("maar", "peers", index, "address")
        address = readable(parse_address, peer.get("address"))
        if address is None:
            continue
        if address == own:
            yield Fault(key, f"{text(address)} is this router itself", "expected the other routers only")
        elif address == used:
            yield Fault(
                key,
                f"{text(address)} is the database (maar.cmd)",
                "expected routers only; it sends no tunnels",
            )
        elif pool and pool.covers(address):
            yield Fault(key, f"{text(address)} lies inside the pool {pool}", "expected an address outside of it")
        if address in seen:
            yield Fault(key, f"{text(address)} is peers[{seen[address]}] already", "expected every router once")
        seen.setdefault(address, index)


def _neighbours(maar: Mapping[str, Any]) -> Iterator[Fault]:
    """Direct mode: who is asked is a peer, and what a peer anchors is told by its pool."""
    peers = {readable(parse_address, peer.get("address")) for peer in tables(maar.get("peers"))}
    named = maar.get("neighbours")
    for index, name in enumerate(named if isinstance(named, list) else ()):
        address = readable(parse_address, name)
        if address is not None and address not in peers:
            yield Fault(("maar", "neighbours", index), f"{text(address)} is not among maar.peers", "expected a peer")
    if maar.get("mode") == "direct" and not peers:
        yield Fault(
            ("maar", "peers"),
            "is empty, so that nobody is told of a node that moves",
            "expected the other routers of the domain",
        )


def _access(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    names = table.get("access")
    if not isinstance(names, list):
        return
    if not names:
        yield Fault((role, "access"), "is empty", 'expected at least one interface (for example ["acc0"])')
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Fault((role, "access", index), f"{name!r} is there twice", "expected every interface once")


def _access_points(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    access, seen = table.get("access"), set[str]()
    for index, point in enumerate(tables(table.get("hostapd"))):
        interface, control = point.get("interface"), point.get("control")
        if isinstance(access, list) and isinstance(interface, str) and interface not in access:
            yield Fault((role, "hostapd", index, "interface"), f"{interface!r} is not in {role}.access", "expected one")
        if isinstance(control, str) and control in seen:
            yield Fault((role, "hostapd", index, "control"), f"{control!r} is there twice", "expected each once")
        seen.add(str(control))


def _lifetime(key: tuple[str, str], value: object) -> Iterator[Fault]:
    """The wire counts 4 s; a number that it cannot say becomes another one."""
    duration = None if value is None else readable(parse_duration, value)
    if duration is None:
        return
    longest = duration_text(LIFETIME_MAX - LIFETIME_UNIT)
    if duration > LIFETIME_MAX - LIFETIME_UNIT:
        yield Fault(key, f"{value!r} is more than a binding can last", f'expected at most "{longest}"')
    elif duration < LIFETIME_UNIT:
        yield Fault(key, f"{value!r} is less than a binding can last", 'expected at least "4s"')
    elif duration % LIFETIME_UNIT:
        becomes = duration_text(duration // LIFETIME_UNIT * LIFETIME_UNIT)
        yield Fault(key, f"{value!r} is not a multiple of 4 s", f'it becomes "{becomes}" (RFC 6275 6.1.7)', note=True)


def _advertised(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """Times and lengths that a node is told."""
    preferred, valid = (readable(parse_duration, table.get(f"{kind}_lifetime")) for kind in ("preferred", "valid"))
    if preferred is not None and valid is not None and preferred > valid:
        yield Fault(
            (role, "preferred_lifetime"),
            f"{table['preferred_lifetime']!r} is more than the valid_lifetime {table['valid_lifetime']!r}",
            "expected at most that (RFC 4861 4.6.2)",
        )
    router = readable(parse_duration, table.get("router_lifetime"))
    if router is not None and router > ROUTER_LIFETIME_MAX:
        yield Fault(
            (role, "router_lifetime"),
            f"{table['router_lifetime']!r} is too long",
            'expected at most "9000s" (RFC 4861)',
        )
    length, pool = table.get("prefix_length", 64), readable(parse_pool, table.get("pool"))
    if isinstance(length, int) and pool and pool.length > length:
        yield Fault((role, "pool"), f"{pool} has no room for a /{length} (prefix_length)", "expected a larger pool")
    if isinstance(length, int) and 48 <= length < 64:
        yield Fault(
            (role, "prefix_length"),
            f"hosts make no addresses from a /{length}",
            "they do from a /64 only",
            note=True,
        )


def _multicast(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """Which way is up, and times that MLD can say."""
    multicast, access = table_of(table.get("multicast")), table.get("access")
    upstream = multicast.get("upstream")
    if isinstance(access, list) and upstream in access:
        yield Fault(
            (role, "multicast", "upstream"),
            f"{upstream!r} is one of {role}.access",
            "expected an interface towards the core: groups come from there and go to the nodes",
        )
    if "multicast" in table and isinstance(access, list) and len(access) >= INTERFACES:
        yield Fault(
            (role, "access"),
            f"names {len(access)} interfaces",
            f"expected at most {INTERFACES - 1}, between which the kernel routes multicast",
        )
    written = {key: value for key, value in multicast.items() if str(key).endswith("_interval")}
    times = {key: readable(parse_duration, value) for key, value in written.items()}
    interval = times.pop("query_interval", None) or MulticastConfiguration("", ()).query_interval
    for key, duration in times.items():
        if duration is not None and not MILLISECOND <= duration <= RESPONSE_MAX:
            yield Fault((role, "multicast", key), f"{written[key]!r} is not possible here", 'expected "1ms" to "32s"')
        elif duration is not None and duration >= interval:
            yield Fault(
                (role, "multicast", key),
                f"{written[key]!r} is not less than the query_interval of {duration_text(interval)}",
                "expected less, so that nodes have answered before they are asked again (RFC 3810 9.3)",
            )


def _dhcp(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """What nodes are told, and how they are to have addresses."""
    dhcpv6 = table.get("dhcpv6", "off")
    if table.get("slaac", True) is False and dhcpv6 in ("off", "stateless"):
        yield Fault(
            (role, "slaac"),
            f"false, while dhcpv6 is {dhcpv6!r}, so that no node gets an address",
            'expected dhcpv6 = "stateful", or slaac = true',
        )
    servers = [readable(parse_name_server, item) for item in _list(table.get("dns"))]
    for wanted, unheard, how in (
        (
            True,
            "ipv4_pool" not in table and table.get("ipv4") is not True,
            "an ipv4_pool" if role == "maar" else "ipv4",
        ),
        (False, dhcpv6 == "off", 'dhcpv6 = "stateless" or "stateful"'),
    ):
        if unheard and any(server is not None and is_ipv4(server) is wanted for server in servers):
            family = "IPv4" if wanted else "IPv6"
            yield Fault((role, "dns"), f"no node is told of the {family} ones", f"it takes {how}", note=True)


def _lease(role: str, table: Mapping[str, Any]) -> Iterator[Fault]:
    """A lease that ends before it is renewed."""
    lease = readable(parse_duration, table["dhcp_lease"]) if "dhcp_lease" in table else None
    if lease is not None and lease < LEASE_MIN:
        shortest = duration_text(LEASE_MIN)
        yield Fault((role, "dhcp_lease"), f"{table['dhcp_lease']!r} is too short", f'expected at least "{shortest}"')


def _delegation(maar: Mapping[str, Any]) -> Iterator[Fault]:
    """The part of the pool that is for nodes which are routers."""
    delegated, pool = readable(parse_pool, maar.get("delegated_pool")), readable(parse_pool, maar.get("pool"))
    if delegated is None:
        return
    key = ("maar", "delegated_pool")
    if maar.get("dhcpv6", "off") in ("off", "stateless"):
        yield Fault(key, "needs dhcpv6 to be asked for", 'expected dhcpv6 = "stateful"')
    if pool and (not pool.contains(delegated) or pool == delegated):
        yield Fault(key, f"{delegated} is not a part of the pool {pool}", "expected a part of it, with room beside it")
    length, own = maar.get("delegated_length", 60), maar.get("prefix_length", 64)
    if isinstance(length, int) and isinstance(own, int) and length >= own:
        yield Fault(
            ("maar", "delegated_length"),
            f"{length} is not less than the prefix_length {own}",
            "expected prefixes with room for several of those that nodes have themselves",
        )
    if isinstance(length, int) and delegated.length > length:
        yield Fault(key, f"{delegated} has no room for a /{length} (delegated_length)", "expected a larger part")


def _ipv4(maar: Mapping[str, Any]) -> Iterator[Fault]:
    """IPv4 addresses of nodes: pools that do not overlap, and the means to forward them."""
    pools: list[tuple[tuple[str | int, ...], Prefix]] = []
    peers = tables(maar.get("peers"))
    entries: list[tuple[tuple[str | int, ...], object]] = [(("maar", "ipv4_pool"), maar.get("ipv4_pool"))]
    entries.append((("maar", "lma_ipv4_pool"), maar.get("lma_ipv4_pool")))
    entries += [(("maar", "peers", index, "ipv4_pool"), peer.get("ipv4_pool")) for index, peer in enumerate(peers)]
    for key, value in entries:
        pool = readable(parse_ipv4_pool, value)
        if pool is None:
            continue
        if any(pool.contains(other) or other.contains(pool) for _, other in pools):
            yield Fault(key, f"{pool} overlaps another one", "expected pools of which no address has two owners")
        pools.append((key, pool))
    if not pools:
        return
    if maar.get("counters") is False and maar.get("backend") != "memory":
        yield Fault(pools[0][0], "needs nf_tables, which counters = false forbids", "expected counters = true")
    if maar.get("backend") == "ip6tnl":
        yield Fault(
            ("maar", "backend"), "'ip6tnl' leads no IPv4, and there is an ipv4_pool", 'expected "auto" or "seg6"'
        )
    kernel = table_of(maar.get("kernel"))
    mask, mark = kernel.get("mark_mask", LinuxSettings.mark_mask), kernel.get("mark", LinuxSettings.mark)
    if isinstance(mask, int) and isinstance(mark, int) and 0 < mask < 1 << 32:
        room = len(list(islice(marks((mark, forwarded_mark(mark, mask)), mask), len(peers) + 1)))
        if room < len(peers) + 1:
            yield Fault(
                ("maar", "kernel", "mark_mask"),
                f"{mask:#x} has room for {room} other routers, and there are {len(peers) + 1} with the database",
                "expected a mask of more bits",
            )


def _kernel(role: str, kernel: Mapping[str, Any]) -> Iterator[Fault]:
    """Numbers of the kernel that are taken, or that do not go together."""
    first, mark, mask = (kernel.get(key) for key in ("first_table", "mark", "mark_mask"))
    if isinstance(first, int) and any(table in range(first, first + 7) for table in _RESERVED_TABLES):
        yield Fault(
            (role, "kernel", "first_table"), f"{first} to {first + 6} holds tables of the kernel", "not 247 to 255"
        )
    mark, mask = (LinuxSettings.mark if mark is None else mark), (LinuxSettings.mark_mask if mask is None else mask)
    if isinstance(mark, int) and isinstance(mask, int) and mark & ~mask:
        yield Fault(
            (role, "kernel", "mark"), f"{mark:#x} has bits outside of mark_mask {mask:#x}", "expected bits of it"
        )
    seen: set[str] = set()
    for key, standard in (("loop", LinuxSettings.loop), ("tunnels", LinuxSettings.tunnels)):
        names = kernel.get(key, list(standard))
        for name in names if isinstance(names, list) else ():
            if name in seen:
                yield Fault((role, "kernel", key), f"{name!r} is there twice", "expected four names")
            seen.add(str(name))


def _domain(cmd: Mapping[str, Any]) -> Iterator[Fault]:
    """Every prefix has one owner, every router is there once."""
    own = readable(parse_address, cmd.get("address"))
    pools: list[tuple[int, Prefix]] = []
    ipv4_pools: list[tuple[int, Prefix]] = []
    addresses: dict[Address, int] = {}
    entries = tables(cmd.get("maars"))
    if isinstance(cmd.get("maars"), list) and not entries:
        yield Fault(("cmd", "maars"), "is empty", "expected the routers that may register nodes")
    for index, entry in enumerate(entries):
        address, pool = readable(parse_address, entry.get("address")), readable(parse_pool, entry.get("pool"))
        if address:
            yield from _domain_address(index, address, own, addresses)
        if pool:
            yield from _domain_pool(("cmd", "maars", index, "pool"), pool, pools)
            pools.append((index, pool))
        ipv4_pool = readable(parse_ipv4_pool, entry.get("ipv4_pool"))
        if ipv4_pool:
            yield from _domain_pool(("cmd", "maars", index, "ipv4_pool"), ipv4_pool, ipv4_pools)
            ipv4_pools.append((index, ipv4_pool))
    for index, pool in pools:
        for address, other in addresses.items():
            if pool.covers(address):
                yield Fault(
                    ("cmd", "maars", index, "pool"),
                    f"{pool} contains the address {text(address)} of maars[{other}]",
                    "expected pools without addresses of routers",
                )


def _domain_pool(key: tuple[str | int, ...], pool: Prefix, seen: list[tuple[int, Prefix]]) -> Iterator[Fault]:
    for other, theirs in seen:
        if pool.contains(theirs) or theirs.contains(pool):
            wrong = f"{pool} overlaps {theirs} of maars[{other}]"
            yield Fault(key, wrong, "expected pools of which no prefix has two owners")


def _domain_address(index: int, address: Address, own: Address | None, seen: dict[Address, int]) -> Iterator[Fault]:
    key = ("cmd", "maars", index, "address")
    if address in seen:
        yield Fault(key, f"{text(address)} is maars[{seen[address]}] already", "expected every router once")
    if address == own:
        yield Fault(key, f"{text(address)} is the database itself", "expected an address of the router's own")
    seen.setdefault(address, index)
