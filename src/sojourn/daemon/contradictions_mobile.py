"""What the tables of Mobile IPv6 say that cannot be true (see `contradictions`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.engines.mip6_configuration import MAX_RR_BINDING_LIFETIME
from sojourn.engines.mn_flows import PARTS_MAX
from sojourn.files.fields import duration_text, parse_address, parse_duration, parse_prefix
from sojourn.files.raw import readable, tables
from sojourn.files.raw import table as table_of
from sojourn.files.toml import Fault
from sojourn.wire.addresses import Address, Prefix, text

_FLOWS_MAX = 8
"""Each may be shared by eight links, and a home agent keeps 64."""
_VENDOR_OPTIONS_MAX = 4
_ROUTERS = ("maar", "mag", "lma", "cmd")


def beside(data: Mapping[str, Any]) -> Iterator[Fault]:
    """A host is no router of a domain, and who is asked by everybody is one."""
    others = [role for role in _ROUTERS if role in data]
    for role in ("mn", "cn", "ha"):
        if role in data and others:
            yield Fault((role,), f"[{others[0]}] is here too", "expected a machine of its own for Mobile IPv6")
    for role in ("mn", "cn"):
        if role in data and "ha" in data:
            yield Fault((role,), "[ha] is here too", "expected a home agent that is nothing else")


def node(mn: Mapping[str, Any]) -> Iterator[Fault]:
    """Links and homes of a mobile node."""
    interfaces = mn.get("interfaces")
    if isinstance(interfaces, list):
        if not interfaces:
            yield Fault(("mn", "interfaces"), "is empty", 'expected at least one (for example ["wlan0"])')
        for index, name in enumerate(interfaces):
            if name in interfaces[:index]:
                yield Fault(("mn", "interfaces", index), f"{name!r} is there twice", "expected every one once")
    homes = tables(mn.get("homes"))
    if isinstance(mn.get("homes"), list) and not homes:
        yield Fault(("mn", "homes"), "is empty", "expected at least one home address")
    seen: dict[Address, int] = {}
    for index, home in enumerate(homes):
        yield from _home(index, home, seen)
    yield from _flows(mn, interfaces if isinstance(interfaces, list) else [])
    if "anchors" in mn:
        yield from _key(("mn", "anchors"), table_of(mn.get("anchors")))


def _flows(mn: Mapping[str, Any], interfaces: list[Any]) -> Iterator[Fault]:
    """They are about links that there are, and need several of them."""
    flows = tables(mn.get("flows"))
    if flows and mn.get("several") is not True:
        yield Fault(("mn", "flows"), "needs several links at once", "expected several = true beside it")
    if mn.get("home_too") is True and mn.get("several") is not True:
        yield Fault(("mn", "home_too"), "needs several links at once", "expected several = true beside it")
    if len(flows) > _FLOWS_MAX:
        yield Fault(("mn", "flows"), f"has {len(flows)} tables", f"expected {_FLOWS_MAX} at most")
    for index, flow in enumerate(flows):
        links = flow.get("links")
        for number, name in enumerate(links if isinstance(links, list) else ()):
            if name not in interfaces:
                wrong = f"{name!r} is not one of mn.interfaces"
                yield Fault(("mn", "flows", index, "links", number), wrong, "expected one of these")
        if isinstance(links, list) and len(links) > PARTS_MAX:
            yield Fault(("mn", "flows", index, "links"), f"has {len(links)}", f"expected {PARTS_MAX} at most")
    if len(tables(mn.get("vendor_options"))) > _VENDOR_OPTIONS_MAX:
        yield Fault(("mn", "vendor_options"), "has too many tables", f"expected {_VENDOR_OPTIONS_MAX} at most")


def _home(index: int, home: Mapping[str, Any], seen: dict[Address, int]) -> Iterator[Fault]:
    key = ("mn", "homes", index)
    address, prefix = readable(parse_address, home.get("address")), readable(parse_prefix, home.get("prefix"))
    agent = readable(parse_address, home.get("home_agent"))
    if address is not None:
        if address in seen:
            yield Fault((*key, "address"), f"{text(address)} is homes[{seen[address]}] already", "expected it once")
        seen.setdefault(address, index)
        if prefix is not None and not prefix.covers(address):
            yield Fault((*key, "address"), f"{text(address)} is not in the home prefix {prefix}", "expected one of it")
        if address == agent:
            yield Fault((*key, "home_agent"), f"{text(address)} is the home address", "expected that of the agent")
    networks = home.get("networks")
    for number, written in enumerate(networks if isinstance(networks, list) else ()):
        network = readable(parse_prefix, written)
        if network is not None and address is not None and network.covers(address):
            yield Fault((*key, "networks", number), f"{network} contains the home address", "expected one behind it")
    for name in ("networks", "implicit", "delegated_length"):
        if home.get(name) and home.get("router") is not True:
            yield Fault((*key, name), "is for mobile routers", "expected router = true beside it")
    if home.get("delegated_length") and home.get("implicit") is not True:
        wrong = "needs a home agent that knows the prefix"
        yield Fault((*key, "delegated_length"), wrong, "expected implicit = true beside it")
    if "association" in home:
        yield from _key((*key, "association"), table_of(home.get("association")))
    else:
        yield Fault(key, "has no association", "its messages must be protected by IPsec then", note=True)


def agent(ha: Mapping[str, Any]) -> Iterator[Fault]:
    """The home link, and whose homes are there."""
    own = readable(parse_address, ha.get("address"))
    listed = ha.get("prefixes")
    prefixes = [readable(parse_prefix, one) for one in listed] if isinstance(listed, list) else []
    known = [prefix for prefix in prefixes if prefix is not None]
    if isinstance(listed, list) and not listed:
        yield Fault(("ha", "prefixes"), "is empty", "expected the prefixes of the home link")
    if own is not None and known and len(known) == len(prefixes) and not _covered(own, known):
        yield Fault(("ha", "address"), f"{text(own)} is in no home prefix", "expected an address on the home link")
    preferred, valid = (readable(parse_duration, ha.get(f"{kind}_lifetime")) for kind in ("preferred", "valid"))
    if preferred is not None and valid is not None and preferred > valid:
        yield Fault(("ha", "preferred_lifetime"), "is more than valid_lifetime", "expected at most that")
    optimistic = "optimistic_duplicate_address_detection"
    if ha.get(optimistic) is True and (ha.get("duplicate_address_detection") is False or not ha.get("interface")):
        yield Fault(("ha", optimistic), "is set where nothing is tested", "expected an interface, and that it is")
    nodes = tables(ha.get("nodes"))
    if isinstance(ha.get("nodes"), list) and not nodes:
        yield Fault(("ha", "nodes"), "is empty", "expected the mobile nodes that may register")
    seen: dict[Address, int] = {}
    spis: dict[object, int] = {}
    for index, entry in enumerate(nodes):
        key = ("ha", "nodes", index)
        home = readable(parse_address, entry.get("home_address"))
        if home is not None:
            if home in seen:
                wrong = f"{text(home)} is nodes[{seen[home]}] already"
                yield Fault((*key, "home_address"), wrong, "expected every home address once")
            seen.setdefault(home, index)
            if home == own:
                yield Fault((*key, "home_address"), f"{text(home)} is the home agent itself", "expected another one")
            elif known and len(known) == len(prefixes) and not _covered(home, known):
                yield Fault((*key, "home_address"), f"{text(home)} is in no home prefix", "expected one of ha.prefixes")
        if "association" in entry:
            association = table_of(entry.get("association"))
            yield from _key((*key, "association"), association)
            if home is None and association.get("spi") in spis:
                wrong = f"{association.get('spi')} is that of nodes[{spis[association.get('spi')]}] too"
                yield Fault((*key, "association", "spi"), wrong, "expected one of its own: it alone says who asks")
            if home is None:
                spis.setdefault(association.get("spi"), index)
        elif "home_address" not in entry:
            yield Fault(key, "has neither a home address nor an association", "expected one of them, to know it by")
        else:
            yield Fault(key, "has no association", "its messages must be protected by IPsec then", note=True)


def correspondent(cn: Mapping[str, Any]) -> Iterator[Fault]:
    """The RFC's limit of what a test may be worth."""
    longest = readable(parse_duration, cn.get("lifetime_max")) if "lifetime_max" in cn else None
    if longest is not None and longest > MAX_RR_BINDING_LIFETIME:
        most = duration_text(MAX_RR_BINDING_LIFETIME)
        yield Fault(("cn", "lifetime_max"), f"{cn['lifetime_max']!r} is too long", f'expected at most "{most}"')


def _key(key: tuple[str | int, ...], association: Mapping[str, Any]) -> Iterator[Fault]:
    """One key, from one place."""
    given = [name for name in ("key", "key_file") if association.get(name)]
    if not given:
        yield Fault(key, "has no key", "expected key_file (or key)")
    elif len(given) > 1:
        yield Fault((*key, "key"), "is given beside key_file", "expected one of them")


def _covered(address: Address, prefixes: list[Prefix]) -> bool:
    return any(prefix.covers(address) for prefix in prefixes)
