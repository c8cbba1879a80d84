"""The configuration file: every mistake names its line, its key, what is wrong and what was expected."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from sojourn.daemon import reference
from sojourn.daemon.configuration import (
    Configuration,
    cmd_configuration,
    linux_settings,
    load,
    maar_configuration,
    parse,
)
from sojourn.daemon.kinds import parse_listen
from sojourn.daemon.model import LAYOUT, File
from sojourn.daemon.model_cmd import Cmd
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_maar import Maar
from sojourn.daemon.model_mag import Mag
from sojourn.daemon.model_parts import Multicast, Retransmission
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.configuration import (
    CmdConfiguration,
    Dhcpv6,
    LmaConfiguration,
    MaarConfiguration,
    MagConfiguration,
    Mode,
    MulticastConfiguration,
    RetransmissionConstants,
)
from sojourn.files.fields import duration_text, parse_duration
from sojourn.files.toml import ConfigurationError, Document, key_lines
from sojourn.wire.addresses import address, prefix
from sojourn.wire.tolerance import PROFILES
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND

MAAR = """\
control = "/run/sojourn/ar1.sock"
[maar]
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
access = ["acc0"]
cmd = "2001:db8:c::1"
mode = "proxy"
[[maar.peers]]
address = "2001:db8:a2::1"
"""

CMD = """\
control = "/run/sojourn/cmd.sock"
[cmd]
address = "2001:db8:c::1"
mode = "proxy"
[[cmd.maars]]
name = "ar1"
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
[[cmd.maars]]
name = "ar2"
address = "2001:db8:a2::1"
pool = "2001:db8:a200::/48"
"""


def read(text: str) -> Configuration:
    return parse(text.encode(), "x.toml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_a_store_that_is_required_has_to_be_there() -> None:
    required = "store_required = true\n" + MAAR
    (problem,) = problems(required)
    assert "store_required: needs a store; name a file for store, or leave this out" in problem
    assert read('store = "/x.sqlite"\n' + required).file.store_required


def test_a_maar_becomes_what_the_engine_is_told() -> None:
    section = read(MAAR.replace(MODE, 'mode = "relay"\nlifetime = "5m"\nidle_hold = 90\nbuffer = true')).file
    assert section.maar is not None
    told = maar_configuration(section.maar)
    assert told.address == address("2001:db8:a1::1")
    assert told.pool == prefix("2001:db8:a100::/48")
    assert told.cmd == address("2001:db8:c::1")
    assert [peer.address for peer in told.peers] == [address("2001:db8:a2::1")]
    assert (told.mode, told.lifetime, told.idle_hold, told.buffer) == (Mode.RELAY, 5 * MINUTE, 90 * SECOND, True)


def test_a_cmd_becomes_what_the_engine_is_told() -> None:
    section = read(CMD.replace(MODE, 'mode = "locator"\nlifetime_max = "1h"')).file
    assert section.cmd is not None
    told = cmd_configuration(section.cmd)
    assert [(maar.name, maar.pool) for maar in told.maars] == [
        ("ar1", prefix("2001:db8:a100::/48")),
        ("ar2", prefix("2001:db8:a200::/48")),
    ]
    assert (told.mode, told.lifetime_max) == (Mode.LOCATOR, 1 * HOUR)


def test_absent_keys_are_the_engines_own_defaults() -> None:
    maar, cmd = read(MAAR).file.maar, read(CMD).file.cmd
    assert maar is not None
    assert cmd is not None
    told = maar_configuration(maar)
    assert told == MaarConfiguration(told.address, told.pool, told.cmd, told.peers)
    asked = cmd_configuration(cmd)
    assert asked == CmdConfiguration(asked.address, asked.maars)


_NOT_FOR_PEOPLE = {"repeats", "shared"}
"""A network always loses something; who names databases shares them."""


@pytest.mark.parametrize(
    ("configuration", "model"),
    [
        (MaarConfiguration, Maar),
        (CmdConfiguration, Cmd),
        (MagConfiguration, Mag),
        (LmaConfiguration, Lma),
        (RetransmissionConstants, Retransmission),
        (MulticastConfiguration, Multicast),
    ],
)
def test_every_field_of_the_engines_can_be_set(configuration: type, model: type[Maar]) -> None:
    names = {field.name for field in fields(configuration)} - ({"access"} if model is Multicast else set())
    assert names - _NOT_FOR_PEOPLE <= set(model.model_fields)


def test_the_data_plane_is_told_its_own_defaults() -> None:
    section = read(MAAR).file.maar
    assert section is not None
    told = linux_settings(section)
    asked = maar_configuration(section)
    peers = (*(peer.address for peer in asked.peers), asked.cmd)
    assert told == LinuxSettings(asked.address, asked.pool, peers, ("acc0",), buffer=False)


def test_numbers_of_the_kernel_can_be_moved() -> None:
    kernel = "[maar.kernel]\nfirst_table = 1000\nfirst_priority = 209\nmark = 2\nmark_mask = 0xff\n"
    section = read(MAAR + kernel).file.maar
    assert section is not None
    told = linux_settings(section)
    assert told.tables.all() == (1006, 1004, 1003, 1002, 1005, 1000, 1001)
    assert (told.priorities.decapsulation, told.priorities.local, told.priorities.uplinks) == (210, 300, 311)
    assert (told.mark, told.mark_mask) == (2, 255)


def test_how_the_kernel_tunnels_can_be_chosen() -> None:
    kernel = '[maar.kernel]\ntunnels = ["in0", "out0"]\n'
    section = read(MAAR.replace(MODE, 'backend = "ip6tnl"') + kernel).file.maar
    assert section is not None
    told = linux_settings(section)
    assert (told.backend, told.tunnels) == ("ip6tnl", ("in0", "out0"))


def test_dhcp_becomes_what_the_engine_and_the_data_plane_are_told() -> None:
    keys = """dhcpv6 = "stateful"\nslaac = false\ndns = ["2001:db8:53::1", "192.0.2.53"]\ndomains = ["example.net"]
delegated_pool = "2001:db8:a100:8000::/49"\ndelegated_length = 56\nipv4_pool = "10.1.0.0/24"\n"""
    text = MAAR.replace(MODE, keys) + 'ipv4_pool = "10.2.0.0/24"\n'
    section = read(text).file.maar
    assert section is not None
    told, plane = maar_configuration(section), linux_settings(section)
    assert (told.dhcpv6, told.slaac, told.delegated_length) == (Dhcpv6.STATEFUL, False, 56)
    assert told.dns == (address("2001:db8:53::1"), address("192.0.2.53"))
    assert (told.ipv4_pool, told.peers[0].ipv4_pool) == (prefix("10.1.0.0/24"), prefix("10.2.0.0/24"))
    assert (plane.ipv4, plane.ipv4_pool, plane.delegated_length) == (True, prefix("10.1.0.0/24"), 56)
    other = read(text.replace('ipv4_pool = "10.1.0.0/24"\n', "")).file.maar
    assert other is not None
    assert linux_settings(other).ipv4  # nodes of the other router bring their addresses


def test_name_servers_that_nobody_hears_of_are_told() -> None:
    notes = read(MAAR.replace(MODE, 'dns = ["2001:db8:53::1", "192.0.2.53"]')).notes
    assert [note.wrong for note in notes] == [
        "no node is told of the IPv4 ones",
        "no node is told of the IPv6 ones",
    ]


def test_retransmission_is_a_table_of_each_role() -> None:
    section = read(MAAR + "[maar.retransmission]\nmax_bindack_timeout = 8\n").file.maar
    assert section is not None
    assert maar_configuration(section).retransmission == RetransmissionConstants(max_bindack_timeout=8 * SECOND)


def test_multicast_is_a_table_that_says_which_way_is_up() -> None:
    section = read(MAAR + '[maar.multicast]\nupstream = "core0"\nrobustness = 3\n').file.maar
    assert section is not None
    assert maar_configuration(section).multicast == MulticastConfiguration("core0", ("acc0",), robustness=3)
    assert linux_settings(section).upstream == "core0"


ADDRESS, POOL = 'address = "2001:db8:a1::1"', 'pool = "2001:db8:a100::/48"'
ACCESS, DATABASE, MODE = 'access = ["acc0"]', 'cmd = "2001:db8:c::1"', 'mode = "proxy"'
PEERS = "[[maar.peers]]"
MULTICAST = '[maar.multicast]\nupstream = "core0"\n'
_STATEFUL = 'dhcpv6 = "stateful"\n'

WRONG = [
    # what to replace, by what, where it is reported, what is said
    (ADDRESS, 'address = "2001:db8::z"', ":3: maar.address: ", "is not an IPv6 address; expected"),
    (ADDRESS, "address = 7", ":3: maar.address: ", "7 is not a text; expected an IPv6 address"),
    (ADDRESS, 'address = "ff02::1"', ":3: maar.address: ", "not an address that other routers can"),
    (ADDRESS, 'address = "fe80::1"', ":3: maar.address: ", "link-local address, which other routers"),
    (ADDRESS, 'adress = "2001:db8:a1::1"', ":2: maar.address: ", "is missing; expected an IPv6"),
    (ADDRESS, 'adress = "2001:db8:a1::1"', ":3: maar.adress: ", "no such key; did you mean address?"),
    (ADDRESS, 'address = "2001:db8:a100::1"', ":3: maar.address: ", "inside the router's own pool"),
    (ADDRESS, 'address = "2001:db8:c::1"', ":6: maar.cmd: ", "own address, and the file has no"),
    (ADDRESS, 'address = "2001:db8:a2::1"', ":9: maar.peers[0].address: ", "is this router itself"),
    (POOL, 'pool = "2001:db8:a100::/80"', ":4: maar.pool: ", "has no room for a /64; expected"),
    (POOL, 'pool = "2001::/8"', ":4: maar.pool: ", "has bits set beyond its length"),
    (POOL, 'pool = "::/0"', ":4: maar.pool: ", "is more than anybody's network"),
    (POOL, 'pool = "2001:db8:a100::"', ":4: maar.pool: ", "has no length"),
    (POOL, 'pool = "2001:db8:a100::1/48"', ":4: maar.pool: ", "the prefix is 2001:db8:a100::/48"),
    (ACCESS, "access = []", ":5: maar.access: ", 'is empty; expected at least one interface (for example ["acc0"])'),
    (ACCESS, 'access = ["acc0", "acc0"]', ":5: maar.access[1]: ", "'acc0' is there twice"),
    (ACCESS, 'access = ["a name that is too long"]', ":5: maar.access[0]: ", "is not the name of an interface"),
    (ACCESS, 'access = "acc0"', ":5: maar.access: ", '"acc0" is not a list; write ["acc0"]; expected a list of'),
    (DATABASE, 'cmd = "2001:db8:a100::7"', ":6: maar.cmd: ", "lies inside the pool"),
    (DATABASE, 'cmd = "2001:db8:a2::1"', ":9: maar.peers[0].address: ", "is the database (maar.cmd)"),
    (MODE, 'mode = "prxy"', ":7: maar.mode: ", 'expected "proxy", "relay" or "locator"'),
    (MODE, 'lifetime = "3d"', ":7: maar.lifetime: ", "unknown unit 'd' (there are us, ms, s, m, min, h)"),
    (MODE, "lifetime = 262144", ":7: maar.lifetime: ", 'more than a binding can last; expected at most "262136s"'),
    (MODE, 'lifetime = "2s"', ":7: maar.lifetime: ", 'less than a binding can last; expected at least "4s"'),
    (MODE, "lifetime = -4", ":7: maar.lifetime: ", "-4 is not a length of time; expected a length of time"),
    (MODE, "idle_hold = 1.8e299", ":7: maar.idle_hold: ", "1.8e+299 is longer than anything lasts"),
    (MODE, "lifetime = true", ":7: maar.lifetime: ", "True is not a length of time"),
    (MODE, "idle_hold = nan", ":7: maar.idle_hold: ", "nan is not a length of time"),
    (MODE, 'buffer = "yes"', ":7: maar.buffer: ", 'expected true or false (for example true)'),
    (MODE, "mtu = 1280", ":7: maar.mtu: ", "expected a number of octets from 1320"),
    (MODE, "prefixes_per_node = 0", ":7: maar.prefixes_per_node: ", "expected a whole number from 1 to 64"),
    (MODE, "prefix_length = 40", ":7: maar.prefix_length: ", "expected a whole number from 48 to 64"),
    (MODE, 'preferred_lifetime = "1h"\nvalid_lifetime = "30m"', ":7: maar.preferred_lifetime: ", "is more than"),
    (MODE, 'router_lifetime = "3h"', ":7: maar.router_lifetime: ", 'expected at most "9000s"'),
    (MODE, 'link_layer = "01:00:5e:00:00:01"', ":7: maar.link_layer: ", "is not the address of one station"),
    (MODE, 'link_local = "2001:db8::1"', ":7: maar.link_local: ", "is not a link-local address"),
    (MODE, 'store = "/x"', ":7: maar.store: ", "there is no such key; it belongs into the top"),
    (MODE, "wings = 2", ":7: maar.wings: ", "there is no such key; expected one of address, pool"),
    (MODE, "slaac = false", ":7: maar.slaac: ", "so that no node gets an address; expected dhcpv6 = "),
    (MODE, 'slaac = false\ndhcpv6 = "stateless"', ":7: maar.slaac: ", "while dhcpv6 is 'stateless'"),
    (MODE, 'dhcpv6 = "yes"', ":7: maar.dhcpv6: ", 'expected "off", "stateless" or "stateful"'),
    (MODE, 'dns = ["fe80::1"]', ":7: maar.dns[0]: ", "link-local address"),
    (MODE, 'dns = ["127.0.0.1"]', ":7: maar.dns[0]: ", "is not an address that hosts can reach"),
    (MODE, 'dns = ["1.2.3"]', ":7: maar.dns[0]: ", "is not an address"),
    (MODE, 'domains = ["a..b"]', ":7: maar.domains[0]: ", "is not a domain name"),
    (MODE, 'dhcp_lease = "2s"', ":7: maar.dhcp_lease: ", 'is too short; expected at least "10s"'),
    (MODE, 'delegated_pool = "2001:db8:a100:8000::/49"', ":7: maar.delegated_pool: ", 'expected dhcpv6 = "stateful"'),
    (MODE, _STATEFUL + 'delegated_pool = "2001:db8:a200::/49"', ":8: maar.delegated_pool: ", "is not a part of"),
    (MODE, _STATEFUL + 'delegated_pool = "2001:db8:a100::/48"', ":8: maar.delegated_pool: ", "is not a part of"),
    (MODE, _STATEFUL + 'delegated_pool = "2001:db8:a100:8000::/62"', ":8: maar.delegated_pool", "no room for a /60"),
    (MODE, _STATEFUL + 'delegated_length = 62\nprefix_length = 62\ndelegated_pool = "2001:db8:a100:8000::/49"',
     ":8: maar.delegated_length: ", "62 is not less than the prefix_length 62"),
    (MODE, 'ipv4_pool = "10.1.0.0/31"', ":7: maar.ipv4_pool: ", "has no room for hosts"),
    (MODE, 'ipv4_pool = "10.1.0.1/24"', ":7: maar.ipv4_pool: ", "the prefix is 10.1.0.0/24"),
    (MODE, 'ipv4_pool = "10.1.0.0"', ":7: maar.ipv4_pool: ", "has no length; expected an IPv4 prefix of 8 to 29 bits"),
    (MODE, 'ipv4_pool = "2001:db8::/64"', ":7: maar.ipv4_pool: ", "is not an IPv4 prefix"),
    (MODE, 'ipv4_pool = "10.1.0.0/24"\ncounters = false', ":7: maar.ipv4_pool: ", "expected counters = true"),
    (MODE, 'ipv4_pool = "10.1.0.0/24"\nbackend = "ip6tnl"', ":8: maar.backend: ", "'ip6tnl' leads no IPv4"),
    (PEERS, PEERS + '\naddress = "2001:db8:a3::1"\nipv4_pool = "10.1.0.0/24"\n' + PEERS + '\nipv4_pool = "10.1.0.0/25"',
     ":12: maar.peers[1].ipv4_pool: ", "overlaps another one"),
    (PEERS, "[maar.kernel]\nmark = 1\nmark_mask = 1\n" + PEERS + '\nipv4_pool = "10.1.0.0/24"',
     ":10: maar.kernel.mark_mask: ", "has room for 0 other routers, and there are 2 with the database"),
    (PEERS, '[[maar.peers]]\naddress = "2001:db8:a2::1"\n' + PEERS, ":11: ", "already"),
    (PEERS, "[maar.kernel]\nfirst_table = 250\n" + PEERS, ":9: maar.kernel.first_table", "tables of the"),
    (PEERS, "[maar.kernel]\nmark = 1\n" + PEERS, ":9: maar.kernel.mark: ", "0x1 has bits outside of"),
    (PEERS, '[maar.kernel]\nloop = ["a", "a"]\n' + PEERS, ":9: maar.kernel.loop: ", "'a' is there twice"),
    (PEERS, '[maar.kernel]\ntunnels = ["sojourn1", "b"]\n' + PEERS, ":9: maar.kernel.tunnels: ", "is there twice"),
    (
        PEERS,
        '[[maar.hostapd]]\ncontrol = "/run/hostapd/wlan0"\ninterface = "wlan0"\n' + PEERS,
        ":10: maar.hostapd[0].interface: ",
        "'wlan0' is not in maar.access",
    ),
    (MODE, 'backend = "seg9"', ":7: maar.backend: ", '"auto", "seg6", "ip6tnl" or "memory"'),
    (PEERS, '[maar.kernel]\nloop = ["a"]\n' + PEERS, ":9: maar.kernel.loop", "two names of interfaces"),
    (PEERS, '[maar.multicast]\n' + PEERS, ":8: maar.multicast.upstream: ", "is missing; expected the name of an"),
    (PEERS, MULTICAST.replace("core0", "acc0") + PEERS, ":9: maar.multicast.upstream: ", "is one of maar.access"),
    (PEERS, MULTICAST + "robustness = 0\n" + PEERS, ":10: maar.multicast.robustness: ", "from 1 to 7"),
    (PEERS, MULTICAST + "query_response_interval = 200\n" + PEERS, ":10: ", 'expected "1ms" to "32s"'),
    (PEERS, MULTICAST + "query_interval = 20\nquery_response_interval = 20\n" + PEERS, ":11: ", "is not less than the"),
    (ACCESS, f"access = {[f'a{n}' for n in range(32)]}\nmulticast.upstream = 'b'", ":5: ", "expected at most 31"),
    ('control = "/run/sojourn/ar1.sock"', "", "x.toml: control: ", "is missing; expected the path of a Unix socket, "),
    ("/run/sojourn/ar1.sock", "ar1.sock", ":1: control: ", "'ar1.sock' depends on where the daemon is started; exp"),
    ("/run/sojourn/ar1.sock", "/" + "x" * 107, ":1: control: ", "longer than the 107 octets"),
    ("/run/sojourn/ar1.sock", "", ":1: control: ", "an empty path; expected the path of a Unix socket"),
    ('control = "', 'log = "loud"\ncontrol = "', ":1: log: ", 'expected "debug", "info", "warning" or "error"'),
    ('control = "', 'name = "ar 1"\ncontrol = "', ":1: name: ", "'ar 1' is not a name; expected a name of letters"),
    ('control = "', 'contrl = "', ":1: contrl: ", "there is no such key; did you mean control?"),
    ("[maar]", "[maar", ":2: is not TOML: ", "expected"),
    ("[maar]", "[mar]", ":2: mar: ", "there is no such key; did you mean maar?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG, ids=[f"{case[2]}{case[3]}"[:60] for case in WRONG])
def test_a_wrong_maar(old: str, new: str, place: str, said: str) -> None:
    assert old in MAAR
    found = problems(MAAR.replace(old, new, 1))
    assert [line for line in found if line.startswith("x.toml") and place in line and said in line], found


def test_a_router_that_is_its_own_database_is_told_beside_other_mistakes() -> None:
    wrong = MAAR.replace('cmd = "2001:db8:c::1"', 'cmd = "2001:db8:a1::1"').replace("access", "acess")
    for text in (wrong, 'cmd = "2001:db8:a1::1"\n' + wrong):
        found = problems(text)
        assert len(found) >= 2
        assert [line for line in found if "maar.cmd: 2001:db8:a1::1 is this router's own address" in line], found


def test_what_is_no_configuration_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    for name, said in ((tmp_path, "is a directory"), (tmp_path / "absent", "no such file or directory")):
        with pytest.raises(ConfigurationError) as caught:
            load(name)
        assert str(caught.value) == f"{name}: cannot be read: {said}; name a file that can"
    assert problems('name = "walk"\n[nodes]\nar1 = "access-router"\n[maar]\nmtu = 1500\n') == [
        "x.toml: describes a lab (it has a table [nodes]), not a daemon; this is for: sojourn lab up x.toml"
    ]


WRONG_CMD = [
    ("2001:db8:a200::/48", "2001:db8:a100:8000::/49", ":12: cmd.maars[1].pool: ", "overlaps 2001:db8:a100::/48 of"),
    ("2001:db8:a200::/48", "2001:db8::/32", ":12: cmd.maars[1].pool: ", "overlaps"),
    ("2001:db8:a200::/48", "2001:db8:a1::/48", ":12: cmd.maars[1].pool: ", "contains the address 2001:db8:a1::1"),
    (MODE, MODE + '\n[[cmd.maars]]\naddress = "2001:db8:a3::1"\npool = "2001:db8:a300::/48"\n'
     + 'ipv4_pool = "10.1.0.0/24"\n[[cmd.maars]]\naddress = "2001:db8:a4::1"\npool = "2001:db8:a400::/48"\n'
     + 'ipv4_pool = "10.1.0.0/25"', ":12: cmd.maars[1].ipv4_pool: ", "overlaps 10.1.0.0/24 of maars[0]"),
    ("2001:db8:a2::1", "2001:db8:a1::1", ":11: cmd.maars[1].address: ", "is maars[0] already; expected every"),
    ("2001:db8:a2::1", "2001:db8:c::1", ":11: cmd.maars[1].address: ", "is the database itself"),
    (MODE, 'lifetime_max = "80h"', ":4: cmd.lifetime_max: ", "more than a binding can last"),
    ('[cmd]\naddress = "2001:db8:c::1"', "[cmd]", ":2: cmd.address: ", "is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG_CMD)
def test_a_wrong_cmd(old: str, new: str, place: str, said: str) -> None:
    assert old in CMD
    found = problems(CMD.replace(old, new, 1))
    assert [line for line in found if place in line and said in line], found


BOTH = MAAR + CMD.replace('control = "/run/sojourn/cmd.sock"\n', "")


def test_two_roles_need_two_addresses_and_one_mode() -> None:
    assert read(BOTH).file.cmd is not None
    found = problems(BOTH.replace('address = "2001:db8:c::1"', 'address = "2001:db8:a1::1"'))
    assert any("is the address of [maar] too; give each role an address of its own" in line for line in found)
    found = problems(BOTH.replace('c::1"\nmode = "proxy"\n[[cmd', 'c::1"\nmode = "relay"\n[[cmd'))
    assert any("cmd.mode: 'relay', while maar.mode is 'proxy'" in line for line in found)


def test_a_file_without_a_role() -> None:
    assert problems('control = "/x"') == [
        "x.toml: has none of the tables [maar], [cmd], [mag], [lma], [mn], [ha], [cn]; name at least one role"
    ]


def test_a_database_without_routers() -> None:
    found = problems('control = "/x"\n[cmd]\naddress = "2001:db8:c::1"\nmaars = []\n')
    assert found == ["x.toml:4: cmd.maars: is empty; expected the routers that may register nodes"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = MAAR.replace("2001:db8:a1::1", "2001:db8:a100::1").replace('["acc0"]', "[]").replace("proxy", "prxy")
    found = problems(text + 'colour = "red"\n')
    assert [line.split(": ")[1] for line in found] == [
        "maar.address",
        "maar.access",
        "maar.mode",
        "maar.peers[0].colour",
    ]


def test_a_lifetime_that_the_wire_cannot_say_is_told_with_what_it_becomes() -> None:
    [note] = read(MAAR.replace(MODE, 'lifetime = "30s"')).notes
    assert note.text("x.toml") == (
        "x.toml:7: maar.lifetime: '30s' is not a multiple of 4 s; it becomes \"28s\" (RFC 6275 6.1.7)"
    )


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: no such file or directory"):
        load(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match="cannot be read: is a directory"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="is not text"):
        parse(b"\xff\xfe", "x.toml")
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        parse(b"a = " + b"[" * 10_000, "x.toml")


@given(st.binary(max_size=200))
def test_any_octets_end_in_a_configuration_error(octets: bytes) -> None:
    with pytest.raises(ConfigurationError):
        parse(octets, "x.toml")


_scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "2001:db8::1", "::/0", "5s", "proxy"]),
    st.text(max_size=8),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(Maar.model_fields)), _values)
def test_any_value_of_any_key_is_taken_or_refused_in_words(key: str, value: object) -> None:
    from sojourn.daemon import contradictions

    data = {
        "control": "/x",
        "maar": {"address": "2001:db8:a1::1", "pool": "2001:db8:a100::/48", "access": ["a"], "cmd": "::2"},
    }
    data["maar"][key] = value  # type: ignore[index]
    contradictions.find(data)
    found = []
    try:
        Document("x.toml", data, {}).validate(File, LAYOUT, ())
    except ConfigurationError as error:
        found = error.problems
    assert all(problem.key and problem.wrong and problem.expected for problem in found)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("250ms", 250 * MILLISECOND),
        ("60s", MINUTE),
        ("5m", 5 * MINUTE),
        ("1h", HOUR),
        (1.5, 1500 * MILLISECOND),
        (0, 0),
    ],
)
def test_lengths_of_time(written: object, meant: int) -> None:
    assert parse_duration(written) == meant


@given(st.integers(0, 10**6).map(lambda number: number * MILLISECOND))
def test_a_length_of_time_is_written_as_it_is_read(duration: int) -> None:
    assert parse_duration(duration_text(duration)) == duration


def test_lines_of_keys() -> None:
    lines = key_lines('a = 1\n[b]\n# no\n  c.d = 2\n[[b.e]]\nf = 3\n[[b.e]]\nf = 4\n"g h" = 5\n')
    assert lines[("a",)] == 1
    assert lines[("b", "c", "d")] == 4
    assert lines[("b", "e", 0, "f")] == 6
    assert lines[("b", "e", 1, "f")] == 8


def test_the_documentation_is_that_of_the_model() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == reference.markdown(), "python -m sojourn.daemon.reference > docs/configuration.md"


@pytest.mark.parametrize(
    "example", [reference.MAAR_EXAMPLE, reference.CMD_EXAMPLE, reference.MAG_EXAMPLE, reference.LMA_EXAMPLE]
)
def test_the_documented_examples_are_right(example: str) -> None:
    assert read(example).notes == ()


def test_the_schema_is_json_and_knows_every_table() -> None:
    schema = json.loads(json.dumps(reference.json_schema()))
    assert set(schema["$defs"]) == {model.__name__ for _, model in LAYOUT.tables if model is not File}
    assert schema["additionalProperties"] is False


def test_the_peers_that_can_be_tolerated_are_those_of_the_codec() -> None:
    for name in PROFILES:
        section = read(MAAR.replace("[maar]", f'[maar]\ntolerate = "{name}"')).file.maar
        assert section is not None
        assert section.tolerate == name
    unknown = problems(MAAR.replace("[maar]", '[maar]\ntolerate = "everybody"'))
    assert any("maar.tolerate" in problem for problem in unknown)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("[::1]:9478", ("::1", 9478)),
        ("[2001:DB8::1]:80", ("2001:db8::1", 80)),
        ("192.0.2.1:9478", ("192.0.2.1", 9478)),
    ],
)
def test_where_readers_of_figures_connect(written: str, meant: tuple[str, int]) -> None:
    assert parse_listen(written) == meant


@pytest.mark.parametrize(
    "written", ["9478", ":9478", "::1:9478", "[::1]", "[::1]:0", "[::1]:65536", "[x]:1", "host:1", 9478]
)
def test_what_is_no_address_with_a_port(written: object) -> None:
    with pytest.raises(PydanticCustomError, match=r"is not|has"):
        parse_listen(written)


def test_the_files_of_the_page_about_operations_are_right() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    blocks = [
        block for block in re.findall(r"```toml\n(.*?)```", text, re.S) if "metrics" in block or "log_levels" in block
    ]
    assert len(blocks) == 2
    for block in blocks:
        rest = (
            '[cmd]\naddress = "2001:db8:c::1"\nmaars = [{ address = "2001:db8:a1::1", pool = "2001:db8:a100::/48" }]\n'
        )
        parse(f'control = "/run/sojourn/x.sock"\n{block}\n{rest}'.encode(), "x.toml")
