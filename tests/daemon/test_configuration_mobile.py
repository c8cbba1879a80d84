"""The tables of Mobile IPv6: what they become, keys and where they come from, every mistake with its place."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sojourn.daemon import machine
from sojourn.daemon.configuration import parse
from sojourn.daemon.configuration_mobile import (
    KeyUnusable,
    cn_configuration,
    ha_configuration,
    mn_configuration,
    read_key,
)
from sojourn.daemon.mobile_roles import senses_of
from sojourn.daemon.model_mobile import Association, Cn, Ha, HaNode, Mn, MnHome
from sojourn.engines.mip6_configuration import Association as EngineAssociation
from sojourn.engines.mip6_configuration import CnConfiguration, HaConfiguration, Home, HomeNode, MnConfiguration
from sojourn.files.toml import ConfigurationError
from sojourn.host.senses import MN_TYPES
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import HOUR

KEY = "00112233445566778899aabbccddeeff"
MN = f"""\
control = "/run/sojourn/laptop.sock"
[mn]
interfaces = ["wlan0"]
[[mn.homes]]
address = "2001:db8:1::b0"
prefix = "2001:db8:1::/64"
home_agent = "2001:db8:1::1"
association = {{ spi = 1001, key = "{KEY}", identifier = "ann@example.net" }}
"""
HA = f"""\
control = "/run/sojourn/ha.sock"
[ha]
address = "2001:db8:1::1"
interface = "lan0"
prefixes = ["2001:db8:1::/64"]
[[ha.nodes]]
home_address = "2001:db8:1::b0"
association = {{ spi = 1001, key = "{KEY}" }}
"""
CN = 'control = "/run/sojourn/cn.sock"\n[cn]\n'


_NAMED_OTHERWISE = {"anchor_addresses", "anchor_names", "anchor_check", "agent_name"}
"""In `[mn.anchors]`, and `home_agent_name`."""


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "x.toml")
    return {problem.key: problem.wrong for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("configuration", "model"),
    [
        (MnConfiguration, Mn),
        (HaConfiguration, Ha),
        (CnConfiguration, Cn),
        (Home, MnHome),
        (HomeNode, HaNode),
        (EngineAssociation, Association),
    ],
)
def test_every_field_of_the_engines_can_be_set(configuration: type, model: type[Mn]) -> None:
    made = {"stores", *_NAMED_OTHERWISE} | ({"address"} if configuration is CnConfiguration else set())
    assert {field.name for field in fields(configuration)} - made <= set(model.model_fields)


def test_a_mobile_node_is_told_its_homes_and_the_engines_defaults() -> None:
    section = parse(MN.encode(), "x.toml").file.mn
    assert section is not None
    told = mn_configuration(section)
    association = EngineAssociation(1001, bytes.fromhex(KEY), b"\x01ann@example.net")
    home = Home(address("2001:db8:1::b0"), prefix("2001:db8:1::/64"), address("2001:db8:1::1"), association)
    assert told == MnConfiguration((home,), ("wlan0",))


def test_a_home_agent_is_told_its_nodes_and_whether_it_has_a_store() -> None:
    section = parse(HA.encode(), "x.toml").file.ha
    assert section is not None
    told = ha_configuration(section, stores=False)
    assert (told.address, told.interface, told.stores) == (address("2001:db8:1::1"), "lan0", False)
    assert told.nodes == (HomeNode(address("2001:db8:1::b0"), EngineAssociation(1001, bytes.fromhex(KEY))),)
    assert [(known.prefix, known.valid) for known in told.prefixes] == [(prefix("2001:db8:1::/64"), 720 * HOUR)]


def test_a_correspondent_node_needs_nothing_said() -> None:
    section = parse(CN.encode(), "x.toml").file.cn
    assert section is not None
    assert cn_configuration(section) == CnConfiguration(bytes(16))


def test_beside_a_mobile_node_each_hears_its_own_messages() -> None:
    file = parse((MN + "[cn]\n").encode(), "x.toml").file
    assert file.mn is not None
    assert file.cn is not None
    node, other = senses_of(file.mn, file), senses_of(file.cn, file)
    assert node.handled == MN_TYPES
    assert not node.only
    assert other.handled is not None
    assert not node.handled & other.handled
    assert node.handled | other.handled == frozenset(range(256))


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_comes_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "laptop.key"
    file.write_text(KEY[:16] + "\n" + KEY[16:] + "\n")
    file.chmod(0o600)
    assert read_key(str(file)) == bytes.fromhex(KEY)
    file.chmod(0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        read_key(str(file))


@pytest.mark.parametrize(("contents", "words"), [("zz", "hexadecimal"), ("0011", "2 octets"), ("", "0 octets")])
def test_a_file_without_a_key_is_told(tmp_path: Path, contents: str, words: str) -> None:
    file = tmp_path / "laptop.key"
    file.write_text(contents)
    file.chmod(0o600)
    with pytest.raises(KeyUnusable, match=words):
        read_key(str(file))


def test_a_missing_key_file_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    text = MN.replace(f'key = "{KEY}"', f'key_file = "{tmp_path / "none"}"')
    problems = {problem.key: problem.wrong for problem in machine.look(parse(text.encode(), "x.toml"))}
    assert "cannot be read" in problems["mn.homes[0].association.key_file"]
    assert "there is no interface" in problems["mn.interfaces[0]"]


# --- contradictions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (MN.replace("2001:db8:1::b0", "2001:db8:2::b0"), "mn.homes[0].address", "not in the home prefix"),
        (MN.replace('"2001:db8:1::1"', '"2001:db8:1::b0"'), "mn.homes[0].home_agent", "is the home address"),
        (MN.replace('["wlan0"]', "[]"), "mn.interfaces", "is empty"),
        (MN.replace('["wlan0"]', '["wlan0", "wlan0"]'), "mn.interfaces[1]", "twice"),
        (MN.replace(KEY, "0011"), "mn.homes[0].association.key", "2 octets"),
        (MN.replace("1001", "255"), "mn.homes[0].association.spi", "255"),
        (MN.replace(f', key = "{KEY}"', ""), "mn.homes[0].association", "no key"),
        (MN.replace("identifier", 'key_file = "/k", identifier'), "mn.homes[0].association.key", "beside key_file"),
        (MN + 'networks = ["2001:db8:b::/56"]\n', "mn.homes[0].networks", "mobile routers"),
        (MN + "delegated_length = 56\nimplicit = true\n", "mn.homes[0].delegated_length", "mobile routers"),
        (MN + "router = true\ndelegated_length = 56\n", "mn.homes[0].delegated_length", "knows the prefix"),
        (
            MN + "router = true\nimplicit = true\ndelegated_length = 65\n",
            "mn.homes[0].delegated_length",
            "65 is not possible",
        ),
        (
            MN + 'router = true\nnetworks = ["2001:db8:1::/56"]\n',
            "mn.homes[0].networks[0]",
            "contains the home address",
        ),
        (MN.replace("[mn]", '[mn]\nlifetime = "2s"'), "mn.lifetime", "less than a binding"),
        (HA.replace("::1", "::b0"), "ha.nodes[0].home_address", "home agent itself"),
        (HA.replace('s = ["2001:db8:1::/64"]', "s = []"), "ha.prefixes", "is empty"),
        (HA.replace("8:1::b0", "8:7::b0"), "ha.nodes[0].home_address", "no home prefix"),
        (HA.replace("8:1::1", "8:7::1"), "ha.address", "no home prefix"),
        (HA + '[[ha.nodes]]\nhome_address = "2001:db8:1::b0"\n', "ha.nodes[1].home_address", "already"),
        (HA + "[[ha.nodes]]\n", "ha.nodes[1]", "neither"),
        (
            HA.replace('interface = "lan0"', "optimistic_duplicate_address_detection = true"),
            "ha.optimistic_duplicate_address_detection",
            "nothing is tested",
        ),
        (HA + "[cn]\n", "cn", "[ha] is here too"),
        (HA + '[cmd]\naddress = "2001:db8:c::1"\nmaars = []\n', "ha", "[cmd] is here too"),
        (CN + 'lifetime_max = "8m"\n', "cn.lifetime_max", "too long"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(text: str, key: str, words: str) -> None:
    found = mistakes(text)
    assert words in found.get(key, ""), found


def test_two_nodes_known_by_their_key_alone_need_different_numbers() -> None:
    more = f'[[ha.nodes]]\nassociation = {{ spi = 7000, key = "{KEY}" }}\n'
    assert "that of nodes[1]" in mistakes(HA + more + more)["ha.nodes[2].association.spi"]


def test_without_a_key_there_is_a_note_and_no_mistake() -> None:
    text = "\n".join(line for line in MN.splitlines() if not line.startswith("association"))
    notes = {note.key: note.expected for note in parse(text.encode(), "x.toml").notes}
    assert "IPsec" in notes["mn.homes[0]"]


def test_lifetimes_that_the_wire_cannot_say_are_noted() -> None:
    notes = parse(MN.replace("[mn]", '[mn]\nlifetime = "5s"').encode(), "x.toml").notes
    assert [note.key for note in notes] == ["mn.lifetime"]
