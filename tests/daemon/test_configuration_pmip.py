"""The tables [mag] and [lma] of the configuration file: what they become, and every mistake with its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.daemon.configuration import (
    Configuration,
    linux_settings,
    lma_configuration,
    mag_configuration,
    parse,
)
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_mag import Mag
from sojourn.daemon.roles import tolerated
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.configuration import (
    Gateway,
    GatewayProfile,
    HomeProfile,
    LmaConfiguration,
    MagConfiguration,
)
from sojourn.engines.extension_settings import (
    AccessNetwork,
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    QualityRequest,
    RedirectSettings,
    RevocationSettings,
    VendorOption,
)
from sojourn.files.fields import parse_identifier
from sojourn.files.toml import ConfigurationError
from sojourn.wire.addresses import address, link_layer, prefix
from sojourn.wire.units import MINUTE, SECOND

MAG = """\
control = "/run/sojourn/mag1.sock"
[mag]
address = "2001:db8:b1::1"
lma = "2001:db8:f::1"
access = ["acc0", "acc1"]
[[mag.profiles]]
link_layer = "02:00:00:00:00:01"
identifier = "ann@example.net"
lma = "2001:db8:f::2"
prefixes = ["2001:db8:f000::/64"]
"""

LMA = """\
control = "/run/sojourn/lma.sock"
[lma]
address = "2001:db8:f::1"
pools = ["2001:db8:f000::/48", "2001:db8:f100::/48"]
[[lma.gateways]]
name = "mag1"
address = "2001:db8:b1::1"
care_of = ["2001:db8:b1::2"]
[[lma.gateways]]
address = "2001:db8:b2::1"
[[lma.profiles]]
identifier = "ann@example.net"
prefixes = ["2001:db8:aaaa::/64"]
gateways = ["2001:db8:b1::1"]
[[lma.profiles]]
identifier = "02:00:00:00:00:02"
service = false
"""


def read(text: str) -> Configuration:
    return parse(text.encode(), "x.toml")


def mag_of(text: str) -> Mag:
    section = read(text).file.mag
    assert section is not None
    return section


def lma_of(text: str) -> Lma:
    section = read(text).file.lma
    assert section is not None
    return section


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_a_mag_becomes_what_the_engine_is_told() -> None:
    more = 'dedicated = ["acc1"]\ntechnologies = { acc1 = 3 }\nvisitors = "2001:db8:b100::/48"\nlifetime = "2m"\n'
    text = MAG.replace("[[mag", more + "[mag.everybody]\nservice = false\n[[mag")
    told = mag_configuration(mag_of(text))
    assert (told.address, told.lma) == (address("2001:db8:b1::1"), address("2001:db8:f::1"))
    ann = link_layer("02:00:00:00:00:01"), b"\x01ann@example.net", address("2001:db8:f::2"), True
    assert told.profiles == (GatewayProfile(*ann, (prefix("2001:db8:f000::/64"),)),)
    assert told.everybody == GatewayProfile(service=False)
    assert (told.dedicated, told.technologies, told.lifetime) == (("acc1",), (("acc1", 3),), 2 * MINUTE)
    assert told.visitors == prefix("2001:db8:b100::/48")


def test_an_lma_becomes_what_the_engine_is_told() -> None:
    told = lma_configuration(lma_of(LMA.replace("pools", 'min_delay_before_bce_delete = "3s"\npools')))
    assert told.pools == (prefix("2001:db8:f000::/48"), prefix("2001:db8:f100::/48"))
    assert told.gateways == (
        Gateway(address("2001:db8:b1::1"), "mag1", (address("2001:db8:b1::2"),)),
        Gateway(address("2001:db8:b2::1")),
    )
    own = (prefix("2001:db8:aaaa::/64"),)
    assert told.profiles == (
        HomeProfile(b"\x01ann@example.net", prefixes=own, gateways=(address("2001:db8:b1::1"),)),
        HomeProfile(b"\x05\x02\x00\x00\x00\x00\x02", service=False),
    )
    assert (told.everybody, told.min_delay_before_bce_delete) == (HomeProfile(), 3 * SECOND)
    assert lma_configuration(lma_of(LMA.replace("pools", "known_only = true\npools"))).everybody is None
    several = LMA.replace("[[lma.gateways]]", "[lma.everybody]\ncount = 2\n[[lma.gateways]]", 1)
    assert lma_configuration(lma_of(several)).everybody == HomeProfile(count=2)


def test_ipv4_of_gateway_and_anchor() -> None:
    """Both say it to their engine and to the kernel's part; without nf_tables, or with ip6tnl, there is no IPv4."""
    mag = mag_of(MAG.replace("[[mag", 'ipv4 = true\ndhcp_lease = "1m"\n[[mag'))
    told = mag_configuration(mag)
    assert (told.ipv4, told.dhcp_lease, linux_settings(mag).ipv4) == (True, 1 * MINUTE, True)
    lma = lma_of(LMA.replace("pools", 'ipv4_pool = "10.9.0.0/16"\npools'))
    pool = prefix("10.9.0.0/16")
    assert lma_configuration(lma).ipv4_pool == linux_settings(lma).ipv4_pool == pool
    assert linux_settings(lma).ipv4
    for line in ("counters = false", 'backend = "ip6tnl"'):
        assert problems(MAG.replace("[[mag", f"ipv4 = true\n{line}\n[[mag"))
        assert problems(LMA.replace("pools", f'ipv4_pool = "10.9.0.0/16"\n{line}\npools'))


def test_absent_keys_are_the_engines_own_defaults() -> None:
    mag, lma = mag_configuration(mag_of(MAG)), lma_configuration(lma_of(LMA))
    assert mag == MagConfiguration(mag.address, mag.lma, mag.profiles)
    assert lma == LmaConfiguration(lma.address, lma.gateways, lma.pools, lma.profiles)


def test_what_the_kernel_is_told_of_a_mag() -> None:
    """Tunnels to every LMA; nodes meet at their anchors; what is for nobody is dropped."""
    anchors = (address("2001:db8:f::1"), address("2001:db8:f::2"))
    expected = LinuxSettings(
        address("2001:db8:b1::1"), None, anchors, ("acc0", "acc1"), False, local_routing=False, drop_strays=True
    )
    assert linux_settings(mag_of(MAG)) == expected
    local = MAG.replace("[[mag", "local_routing = true\nlink_local_of_lma = true\n[[mag")
    assert linux_settings(mag_of(local)) == replace(expected, local_routing=True, link_local=None)


def test_what_the_kernel_is_told_of_an_lma() -> None:
    """Tunnels to every gateway; all that it owns goes there or nowhere."""
    ends = tuple(address(f"2001:db8:{end}") for end in ("b1::1", "b1::2", "b2::1"))
    owned = tuple(prefix(each) for each in ("2001:db8:f000::/48", "2001:db8:f100::/48", "2001:db8:aaaa::/64"))
    assert linux_settings(lma_of(LMA)) == LinuxSettings(
        address("2001:db8:f::1"), None, ends, (), False, other_pools=owned, drop_unassigned=True
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ann@example.net", b"\x01ann@example.net"),
        ("02:00:00:00:00:01", b"\x05\x02\x00\x00\x00\x00\x01"),
        ("x" * 253, b"\x01" + b"x" * 253),
        ("m\u00fcller@example.net", "\x01m\u00fcller@example.net".encode()),
    ],
)
def test_identifiers(written: str, meant: bytes) -> None:
    assert parse_identifier(written) == meant


WRONG_MAG = [
    ('lma = "2001:db8:f::1"', 'lma = "2001:db8:b1::1"', ":4: mag.lma: ", "is this gateway's own address"),
    ('lma = "2001:db8:f::2"', 'lma = "2001:db8:b1::1"', ":9: mag.profiles[0].lma: ", "own address; expected the addr"),
    ('["acc0", "acc1"]', "[]", ":5: mag.access: ", "is empty; expected at least one interface"),
    ("[[mag", 'dedicated = ["acc7"]\n[[mag', ":6: mag.dedicated: ", "'acc7' is not among the interfaces of access"),
    ("[[mag", "technologies = { acc7 = 3 }\n[[mag", ":6: mag.technologies: ", "'acc7' is not among"),
    ("[[mag", 'visitors = "2001:db8:b1::/48"\n[[mag', ":3: mag.address: ", "lies inside the pool 2001:db8:b1::/48"),
    ('identifier = "ann@example.net"', 'identifier = " "', ":8: mag.profiles[0].identifier: ", "not an identifier"),
    ('identifier = "ann@example.net"', "identifier = 7", ":8: mag.profiles[0].identifier: ", "7 is not a text"),
    ('link_layer = "02:00:00:00:00:01"', "", ":6: mag.profiles[0].link_layer: ", "is missing; expected an Ethernet"),
    ("[[mag", 'lifetime = "1s"\n[[mag', ":6: mag.lifetime: ", "is less than a binding can last"),
    ("[[mag", 'preferred_lifetime = "1h"\nvalid_lifetime = "5m"\n[[mag', ":6: mag.preferred_lifetime: ", "more than"),
    ("[[mag", "[mag.kernel]\nmark = 1\n[[mag", ":7: mag.kernel.mark: ", "0x1 has bits outside of"),
    ("[[mag", "[mag.kernel]\nmark = 4\nmark_mask = 4\n[[mag", ":8: mag.kernel.mark_mask: ", "has one bit; expected"),
    ("[[mag", "pool = 1\n[[mag", ":6: mag.pool: ", "there is no such key"),
    ("[mag]", '[maar]\naddress = "2001:db8::1"\n[mag]', ":4: mag: ", "[maar] forwards on this machine already"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG_MAG)
def test_a_wrong_mag(old: str, new: str, place: str, said: str) -> None:
    assert old in MAG
    found = problems(MAG.replace(old, new, 1))
    assert [line for line in found if place in line and said in line], found


def test_one_node_with_two_profiles() -> None:
    twice = MAG + '[[mag.profiles]]\nlink_layer = "02-00-00-00-00-01"\n'
    assert problems(twice) == ["x.toml:12: mag.profiles[1].link_layer: is in profiles[0] already; expected each once"]


WRONG_LMA = [
    ('"2001:db8:f100::/48"', '"2001:db8:f000::/52"', ":4: lma.pools[1]: ", "overlaps 2001:db8:f000::/48"),
    ('"2001:db8:f100::/48"', '"2001:db8:b2::/48"', ":4: lma.pools[1]: ", "contains the address 2001:db8:b2::1"),
    ('"2001:db8:f100::/48"', '"2001:db8:f::/48"', ":4: lma.pools[1]: ", "contains the address 2001:db8:f::1"),
    ('address = "2001:db8:b2::1"', 'address = "2001:db8:b1::1"', ":10: lma.gateways[1].address: ", "gateways[0] alrea"),
    ('address = "2001:db8:b2::1"', 'address = "2001:db8:f::1"', ":10: lma.gateways[1].address: ", "the anchor itself"),
    ('"02:00:00:00:00:02"', '"ann@example.net"', ":16: lma.profiles[1].identifier: ", "is in profiles[0] already"),
    ('gateways = ["2001', 'gateways = ["2002', ":14: lma.profiles[0].gateways[0]: ", "is none of lma.gateways"),
    ("service = false", 'prefixes = ["2001:db8:aaaa::/64"]', ":17: lma.profiles[1].prefixes[0]: ", "of profiles[0]"),
    ("service = false", "count = 0", ":17: lma.profiles[1].count: ", "expected a whole number from 1 to 64"),
    ("pools", 'lifetime_max = "80h"\npools', ":4: lma.lifetime_max: ", "more than a binding can last"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG_LMA)
def test_a_wrong_lma(old: str, new: str, place: str, said: str) -> None:
    assert old in LMA
    found = problems(LMA.replace(old, new, 1))
    assert [line for line in found if place in line and said in line], found


def test_an_lma_with_nothing_to_give_and_nobody_to_give_it_to() -> None:
    bare = 'control = "/x"\n[lma]\naddress = "2001:db8:f::1"\n'
    found = problems(bare + "gateways = []\n")
    assert any("lma.gateways: is empty; expected the gateways" in line for line in found)
    assert any("lma.pools: is empty, and no node has prefixes of its own" in line for line in found)
    assert any("lma.gateways: is missing" in line for line in problems(bare))


def test_a_pool_that_is_smaller_than_a_prefix() -> None:
    narrow = LMA.replace("2001:db8:f100::/48", "2001:db8:f100::/60").replace("pools", "prefix_length = 56\npools")
    assert any("lma.pools[1]: 2001:db8:f100::/60 has no room for a /56" in line for line in problems(narrow))


def test_one_gateway_is_understood_as_another_implementation() -> None:
    """The table of a router says it of that router; `tolerate` above it is for all others."""
    text = LMA.replace('name = "mag1"', 'name = "mag1"\ntolerate = "oai-pmipv6"')
    section = parse(text.encode(), "lma.toml").file.lma
    assert section is not None
    assert (tolerated(section), section.tolerate) == ({address("2001:db8:b1::1"): "oai-pmipv6"}, None)
    with pytest.raises(ConfigurationError, match=r"lma\.gateways\[0\]\.tolerate"):
        parse(text.replace("oai-", "oia-").encode(), "lma.toml")


# --- extensions -------------------------------------------------------------------------------------------------------


def test_a_role_has_no_extension_that_is_not_switched_on() -> None:
    told = lma_configuration(lma_of(LMA))
    assert (told.heartbeat, told.revocation, told.update_notification, told.mag_timers) == (None, None, None, None)
    asked = mag_configuration(mag_of(MAG))
    assert (asked.heartbeat, asked.revocation) == (None, None)
    assert (asked.update_notification, asked.lma_timers) == (False, False)


def test_an_empty_table_switches_an_extension_on_with_the_defaults_of_its_rfc() -> None:
    more = "[lma.heartbeat]\n[lma.revocation]\n[lma.update_notification]\n[lma.mag_timers]\n"
    told = lma_configuration(lma_of(LMA + more))
    assert told.heartbeat == HeartbeatSettings()
    assert told.revocation == RevocationSettings()
    assert told.update_notification == NotificationSettings()
    assert told.mag_timers == ControlSettings()
    asked = mag_configuration(mag_of(MAG + "[mag.heartbeat]\nheartbeat_interval = 30\n[mag.revocation]\n"))
    assert (asked.heartbeat, asked.revocation) == (HeartbeatSettings(30 * SECOND), RevocationSettings())


def test_who_may_revoke_everything_is_listed_by_identity_and_address() -> None:
    rights = '[[lma.revocation.authorized]]\nidentity = "mag1@example.net"\naddress = "2001:db8:b1::1"\n'
    told = lma_configuration(lma_of(LMA + rights)).revocation
    assert told is not None
    assert told.authorized == ((b"\1mag1@example.net", address("2001:db8:b1::1")),)
    asked = mag_configuration(mag_of(MAG + '[mag.revocation]\nidentity = "mag1@example.net"\n')).revocation
    assert asked is not None
    assert asked.identity == b"\1mag1@example.net"


def test_rfc8127_5_1_timers_of_zero_are_a_mistake() -> None:
    more = "[lma.mag_timers]\nlcmp_heartbeat_interval = 0\nlcmp_heartbeat_max_retransmissions = 0\n"
    found = problems(LMA + more)
    assert len(found) == 2
    assert all("is 0" in problem for problem in found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[mag.heartbeat]\nheartbeat_interval = "10ms"\n', "is too short"),
        ('[mag.revocation]\ninit_min_delay_bris = "100ms"\n', "RFC 5846 11"),
        ("[mag.heartbeat]\nmissing_heartbeats_allowed = -1\n", "a whole number from 0 to 100"),
        ("[[mag.access_networks]]\nplace = [91.0, 0.0]\n", "latitude and longitude"),
        ('[[mag.access_networks]]\nnetwork = "123456789012345678901234567890123"\n', "32 characters"),
        ('[[mag.vendor_options]]\nvendor = 9\ndata = "xyz"\n', "in hexadecimal"),
        (9 * "[[mag.vendor_options]]\nvendor = 9\n", "expected at most 8"),
        ("[mag.everybody.quality]\ndscp = 64\n", "from 0 to 63"),
        ("[mag.hartbeat]\n", "did you mean heartbeat?"),
    ],
)
def test_a_mistake_in_an_extension_of_a_gateway_is_a_sentence(more: str, said: str) -> None:
    (problem,) = problems(MAG + more)
    assert said in problem


@pytest.mark.parametrize(
    ("before", "more", "said"),
    [
        ("", "[lma.heartbeat]\nheartbeat_interval = 0\n", "is too short"),
        ("", "[lma.renumbering]\n", "needs lma.update_notification"),
        ("", '[lma.redirect]\nanchors = ["2001:db8:f::1"]\n', "is the own address"),
        ("", "[lma.redirect]\n", "anchors"),
        ("", '[[lma.revocation.authorized]]\nidentity = "x@y"\n', "address"),
        ("vendors = [-1]\n", "", "a list of numbers"),
    ],
)
def test_a_mistake_in_an_extension_of_an_anchor_is_a_sentence(before: str, more: str, said: str) -> None:
    (problem,) = problems(LMA.replace("pools = ", before + "pools = ") + more)
    assert said in problem


def test_what_gateways_carry_is_in_their_file() -> None:
    more = """\
[[mag.access_networks]]
interface = "acc0"
network = "campus"
place = [52.5, 13.4]
operator = 32473
[[mag.vendor_options]]
vendor = 9
subtype = 2
data = "c0ffee"
[mag.everybody.quality]
dscp = 46
downlink = 1000
"""
    told = mag_configuration(mag_of(MAG + more))
    assert told.access_networks == (AccessNetwork("acc0", "campus", "", (52.5, 13.4), 32473),)
    assert told.vendor_options == (VendorOption(9, 2, b"\xc0\xff\xee"),)
    assert told.everybody.quality == QualityRequest(46, 1000)


def test_rfc6463_everybody_who_speaks_with_us_is_known() -> None:
    """A gateway takes messages and packets of the LMAs that may be assigned; who assigns takes their answers."""
    text = MAG.replace('access = ["acc0", "acc1"]', 'access = ["acc0"]\nredirect_anchors = ["2001:db8:f::9"]')
    assert address("2001:db8:f::9") in linux_settings(mag_of(text)).peers
    told = lma_configuration(lma_of(LMA + '[lma.redirect]\nanchors = ["2001:db8:f::9"]\n'))
    assert told.redirect == RedirectSettings((address("2001:db8:f::9"),))
