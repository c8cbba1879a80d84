"""Topologies: short forms, defaults, and a pointed message for every mistake."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from pydantic import JsonValue

from sojourn.daemon.configuration import parse as read
from sojourn.lab.daemons import configuration
from sojourn.lab.topology import TopologyError, builtin_topologies, load, parse, star
from sojourn.wire.units import MILLISECOND, SECOND

SMALL = """
name = "small"
[nodes]
core = "router"
ar1 = "access-router"
ar2 = "access-router"
cmd = "cmd"
server = "server"
mn = { kind = "host", at = "ar1" }
[links]
core.ar1 = "5ms"
core.ar2 = { delay = "7.5ms", jitter = "1ms", loss = "1%", rate = "20mbit", mtu = 1460 }
core.cmd = "10ms"
core.server = 0.001
"""
PROXY = """
name = "proxy"
[nodes]
core = "router"
mag1 = "mag"
mag2 = { kind = "mag", settings = { local_routing = true } }
lma = "lma"
mn = { kind = "host", at = "mag1" }
[links]
core.mag1 = 0
core.mag2 = 0
core.lma = 0
[mag]
profiles = [{ link_layer = "02:00:00:00:00:01", identifier = "mn@example.com" }]
[lma]
everybody = { count = 2 }
"""


def test_a_star_is_what_a_file_with_a_link_for_each_node_would_say() -> None:
    nodes = {"ar1": "access-router", "ar2": "access-router", "cmd": "cmd", "mn": {"kind": "host", "at": "ar1"}}
    built = star("small", nodes, "5ms", delays={"cmd": "10ms"}, maar={"buffer": True})
    text = (
        'name = "small"\n[nodes]\ncore = "router"\nar1 = "access-router"\nar2 = "access-router"\ncmd = "cmd"\n'
        'mn = { kind = "host", at = "ar1" }\n[links]\ncore.ar1 = "5ms"\ncore.ar2 = "5ms"\ncore.cmd = "10ms"\n'
        "[maar]\nbuffer = true\n"
    )
    assert built == parse(text)


def problems(text: str) -> list[tuple[str, str]]:
    with pytest.raises(TopologyError) as caught:
        parse(text, "x.toml")
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


def test_every_address_has_a_default() -> None:
    topology = parse(SMALL)
    assert topology.nodes["ar1"].address == IPv6Address("2001:db8:a1::1")
    assert topology.nodes["ar2"].pool == IPv6Network("2001:db8:a200::/48")
    assert topology.address("cmd") == "2001:db8:c::1"
    assert topology.nodes["mn"].address is None
    assert (topology.hosts, topology.access_routers) == (["mn"], ["ar1", "ar2"])


def test_figures_of_a_link() -> None:
    plain, full, _, number = parse(SMALL).links
    assert (plain.delay, plain.jitter, plain.loss, plain.rate, plain.mtu) == (5 * MILLISECOND, 0, 0.0, None, None)
    assert (full.delay, full.jitter, full.loss) == (7_500_000, MILLISECOND, 0.01)
    assert (full.rate, full.mtu) == (20_000_000, 1460)
    assert number.delay == MILLISECOND


def test_array_form_says_the_same() -> None:
    head, tail = SMALL.split("[links]")
    entries = [line.split(" = ", 1) for line in tail.strip().splitlines()]
    array = "".join(
        '[[links]]\nbetween = ["{}", "{}"]\n'.format(*ends.split("."))
        + (figures.strip("{} ").replace(", ", "\n") if "{" in figures else f"delay = {figures}")
        + "\n"
        for ends, figures in entries
    )
    assert parse(head + array) == parse(SMALL)


def test_paths_go_by_delay() -> None:
    topology = parse(SMALL + 'ar1.ar2 = "1ms"\n')
    assert topology.path("ar2", "server") == ["ar2", "ar1", "core", "server"]
    assert topology.delay("ar2", "server") == 7 * MILLISECOND
    assert topology.delay("ar1", "ar1") == 0


def test_hundreds_of_access_routers_get_addresses_of_their_own() -> None:
    routers = "".join(f'a{number} = "access-router"\n' for number in range(300))
    links = "".join(f"core.a{number} = 0\n" for number in range(300))
    text = f'[nodes]\ncore = "router"\ncmd = "cmd"\n{routers}[links]\ncore.cmd = 0\n{links}'
    topology = parse(text)  # its own checks refuse a duplicate or an overlap
    assert len({topology.address(name) for name in topology.access_routers}) == 300


def test_roaming_script_in_short_form_walks_hosts_in_turn() -> None:
    script = '[roam]\nevery = "2s"\noutage = "50ms"\nmn = ["ar2", "ar1"]\nmo = ["-"]\n'
    topology = parse(changed("mn = {", 'mo = "host"\nmn = {') + script)
    assert [(step.host, step.to, step.after) for step in topology.roam] == [
        ("mn", "ar2", 2 * SECOND),
        ("mo", "-", 0),
        ("mn", "ar1", 2 * SECOND),
    ]
    assert all(step.outage == 50 * MILLISECOND for step in topology.roam)


def test_gateways_of_proxy_mobile_ipv6_are_access_routers() -> None:
    topology = parse(PROXY)
    assert topology.access_routers == ["mag1", "mag2"]
    assert topology.daemons == ["lma", "mag1", "mag2"]
    assert [topology.address(name) for name in topology.daemons] == [
        "2001:db8:f::1",
        "2001:db8:b1::1",
        "2001:db8:b2::1",
    ]
    assert topology.nodes["lma"].pool == IPv6Network("2001:db8:f100::/48")
    assert topology.nodes["mag2"].pool == IPv6Network("2001:db8:b200::/48")


def test_daemons_are_configured_with_what_the_topology_says() -> None:
    topology = parse(PROXY)
    top: dict[str, JsonValue] = {"name": "x", "control": "/run/x.sock"}
    files = {name: configuration(topology, name, top).encode() for name in topology.daemons}
    lma, mag = read(files["lma"], "lma.toml").file.lma, read(files["mag2"], "mag2.toml").file.mag
    assert lma is not None
    assert mag is not None
    assert [gateway.name for gateway in lma.gateways] == ["mag1", "mag2"]
    assert lma.everybody.count == 2
    assert (mag.local_routing, mag.profiles[0].identifier) == (True, b"\x01mn@example.com")
    assert mag.lma == lma.address


def test_maars_register_with_an_lma_where_there_is_no_database() -> None:
    topology = parse(changed('cmd = "cmd"', 'lma = "lma"').replace("core.cmd", "core.lma"))
    assert topology.daemons == ["lma", "ar1", "ar2"]


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (changed('"router"', '"rooter"'), "nodes.core.kind", "'access-router'"),
        (changed('at = "ar1"', 'at = "ar9"'), "nodes.mn.at", "expected an access router (ar1, ar2)"),
        (changed('at = "ar1"', 'dad = "maybe"'), "nodes.mn.dad", "'optimistic'"),
        (changed('at = "ar1"', "speed = 3"), "nodes.mn.speed", "unknown key"),
        (changed('at = "ar1"', 'address = "2001:db8::1"'), "nodes.mn.address", "makes its own"),
        (changed('core.ar1 = "5ms"', 'core.ar1 = "5 parsecs"'), "links.core.ar1.delay", '"250ms"'),
        (changed('core.ar1 = "5ms"', 'core.arx = "5ms"'), "links.core.arx", 'found "arx"'),
        (changed('core.ar1 = "5ms"', 'core.mn = "5ms"'), "links.core.mn", "no link but the air"),
        (changed('core.ar1 = "5ms"', ""), "links", 'to "ar1"'),
        (changed('loss = "1%"', 'loss = "101%"'), "links.core.ar2.loss", '"1%"'),
        (changed('jitter = "1ms"', 'jitter = "9ms"'), "links.core.ar2", "jitter of at most the delay"),
        (changed("mtu = 1460", "mtu = 1000"), "links.core.ar2.mtu", "1280"),
        (changed("core.server = 0.001", "core.server = 0\nserver.core = 0"), "links.server.core", "a second one"),
        (
            changed('ar2 = "access-router"', 'ar2 = { kind = "access-router", pool = "2001:db8:a100::/47" }'),
            "nodes.ar2.pool",
            'the pool of "ar1"',
        ),
        (
            changed('ar2 = "access-router"', 'ar2 = { kind = "access-router", pool = "2001:db8:a201::1/48" }'),
            "nodes.ar2.pool",
            "host bits",
        ),
        (
            changed('cmd = "cmd"', 'cmd = { kind = "cmd", address = "2001:db8:a1::1" }'),
            "nodes.cmd.address",
            'the address of "ar1"',
        ),
        (
            changed('cmd = "cmd"', 'cmd = { kind = "cmd", address = "2001:db8:a100::1" }'),
            "nodes.cmd.address",
            "the pool of",
        ),
        (changed('cmd = "cmd"', 'cmd = "server"'), "nodes", 'exactly one node of kind "cmd"'),
        (PROXY.replace('"lma"\n', '"server"\n'), "nodes", 'a node of kind "lma"'),
        (
            PROXY.replace('lma = "lma"', 'lma = { kind = "lma", pool = "2001:db8:b100::/40" }'),
            "nodes.lma.pool",
            'pool of "mag1"',
        ),
        (changed('"server"', '{ kind = "server", pool = "2001:db8::/48" }'), "nodes.server.pool", "LMAs only"),
        (
            changed('"server"', '{ kind = "server", settings = { mtu = 1400 } }'),
            "nodes.server.settings",
            "nodes with a daemon only",
        ),
        (SMALL + '[[roam]]\nhost = "nobody"\nto = "ar1"\nafter = 1\n', "roam.0.host", "expected a host (mn)"),
        (SMALL + '[[roam]]\nhost = "mn"\nto = "core"\nafter = 1\n', "roam.0.to", "expected an access router"),
        (changed("ar1", "AR_1"), "nodes.AR_1", "lower-case"),
        ("nodes = 3", "nodes", "expected a table"),
        (SMALL.replace("[links]", "links = 7\n[spare]"), "nodes.links", "a kind or a table"),
        ("[nodes", "", "not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_was_expected(text: str, key: str, words: str) -> None:
    found = dict(problems(text))
    assert key in found, found
    assert words in found[key]


def test_all_mistakes_are_told_at_once_with_the_file() -> None:
    text = changed('at = "ar1"', 'at = "ar9"').replace("core.ar1", "core.arx")
    with pytest.raises(TopologyError) as caught:
        parse(text, "x.toml")
    lines = str(caught.value).splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("x.toml: ") for line in lines)


def test_builtin_topologies_are_right_and_described() -> None:
    assert "walk" in builtin_topologies()
    for name, description in builtin_topologies().items():
        assert load(name).name == name
        assert description


def test_the_network_of_a_mobile_router_may_be_a_part_of_what_leads_to_its_home_agent() -> None:
    known = load("bus")
    assert known.mobile_routers == ["bus", "van"]
    assert known.cells == ["home", "f1", "f2", "f3", "lte", "bus", "van"]
    assert str(known.link_prefix("bus")) == "2001:db8:1100:b000::/64"
    with pytest.raises(TopologyError, match="overlaps"):
        parse(_BUS.replace("1100:b000::/56", "1100::/56"))  # the home link is in it
    with pytest.raises(TopologyError, match="expected on mobile nodes with a pool only"):
        parse(_BUS.replace('pool = "2001:db8:1100:b000::/56"', "delegated = true"))


def test_two_home_agents_may_be_on_one_home_link() -> None:
    known = load("drain")
    assert known.address("spare") == "2001:db8:1100::2"
    assert known.link_prefix("spare") == known.link_prefix("home")
    assert "spare" not in known.cells
    with pytest.raises(TopologyError, match="another one before"):
        parse(_BUS.replace('home = "ha"', 'home = { kind = "ha", link = "f1" }'))


_BUS = """
[nodes]
home = "ha"
f1 = "plain"
bus = { kind = "mn", pool = "2001:db8:1100:b000::/56" }
[links]
home.f1 = 0
"""


def test_multicast_comes_from_a_server() -> None:
    assert load("multicast").multicast == "server"
    with pytest.raises(TopologyError, match=r'multicast: expected a server \(server\), found "ar1"'):
        parse(
            'multicast = "ar1"\n[nodes]\nar1 = "access-router"\ncmd = "cmd"\nserver = "server"\n'
            "[links]\nar1.cmd = 0\nar1.server = 0\n"
        )


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="walk"):
        load("wlak")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml")
