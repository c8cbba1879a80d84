"""The tables `[[mn.flows]]` and their neighbours: what they become, and every mistake with its place."""

from __future__ import annotations

import pytest

from sojourn.daemon.configuration import parse
from sojourn.daemon.configuration_mobile import ha_configuration, mn_configuration
from sojourn.engines.mip6_configuration import FlowPolicy, MnConfiguration
from sojourn.files.toml import ConfigurationError
from sojourn.wire import VendorSpecific
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector

MN = """\
control = "/run/sojourn/mn.sock"
[mn]
interfaces = ["wlan0", "lte0"]
several = true
[[mn.homes]]
address = "2001:db8:4000::5"
prefix = "2001:db8:4000::/64"
home_agent = "2001:db8:4000::1"
association = { spi = 1000, key = "0x00112233445566778899aabbccddeeff" }
"""


def mn_of(more: str, base: str = MN) -> MnConfiguration:
    section = parse((base + more).encode(), "x.toml").file.mn
    assert section is not None
    return mn_configuration(section)


def fault_of(more: str, base: str = MN) -> str:
    with pytest.raises(ConfigurationError) as caught:
        mn_of(more, base)
    return str(caught.value)


def test_every_key_is_a_part_of_the_selector() -> None:
    text = (
        '[[mn.flows]]\nlinks = ["lte0"]\nprotocol = "udp"\npeer = "2001:db8:300::/48"\npeer_ports = "5004-5005"\n'
        "ports = 7000\ndscp = 46\n"
        '[[mn.flows]]\nlinks = ["wlan0", "lte0"]\nshared = true\nprotocol = 6\npeer = "2001:db8:300::9/128"\n'
    )
    voice = Ipv6TrafficSelector(
        source=(address("2001:db8:300::"), address("2001:db8:300:ffff:ffff:ffff:ffff:ffff")),
        source_port=(5004, 5005),
        destination_port=(7000, None),
        traffic_class=(0xB8, 0xBB),
        next_header=(17, None),
    )
    web = Ipv6TrafficSelector(source=(address("2001:db8:300::9"), None), next_header=(6, None))
    assert mn_of(text).flows == (
        FlowPolicy(voice, ("lte0",)),
        FlowPolicy(web, ("wlan0", "lte0"), shared=True),
    )


def test_options_of_vendors_and_experiments() -> None:
    text = 'care_of_peers = ["2001:db8:53::/48"]\n'
    text += 'vendor_options = [{ vendor = 32473, subtype = 1, data = "c0ffee" }]\nexperiments = true\n'
    made = mn_of("", MN.replace("several = true\n", "several = true\n" + text))
    assert made.vendor_options == (VendorSpecific(32473, 1, b"\xc0\xff\xee"),)
    assert made.experiments
    assert made.care_of_peers == (Prefix(address("2001:db8:53::"), 48),)
    agent = (
        'control = "/run/sojourn/ha.sock"\n[ha]\naddress = "2001:db8:4000::1"\nprefixes = ["2001:db8:4000::/64"]\n'
        'vendors = [32473]\nflows = false\n[[ha.nodes]]\nhome_address = "2001:db8:4000::5"\n'
    )
    section = parse(agent.encode(), "x.toml").file.ha
    assert section is not None
    made_ha = ha_configuration(section, stores=False)
    assert (made_ha.vendors, made_ha.flows, made_ha.experiments) == ((32473,), False, False)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[[mn.flows]]\nlinks = ["eth7"]\n', "'eth7' is not one of mn.interfaces"),
        ('[[mn.flows]]\nlinks = ["lte0"]\nprotocol = "tpc"\n', "tcp, udp"),
        ('[[mn.flows]]\nlinks = ["lte0"]\nprotocol = 256\n', "from 0 to 255"),
        ('[[mn.flows]]\nlinks = ["lte0"]\nports = "9-8"\n', "the lower one first"),
        ('[[mn.flows]]\nlinks = ["lte0"]\npeer_ports = "http"\n', "a dash between"),
        ('[[mn.flows]]\nlinks = ["lte0"]\nports = 65536\n', "65535"),
        ('[[mn.flows]]\nlinks = ["lte0"]\ndscp = 64\n', "0 to 63"),
        ('[[mn.flows]]\nlinks = ["lte0"]\n' * 9, "expected 8 at most"),
        ("[[mn.vendor_options]]\nvendor = 1\n" * 5, "expected 4 at most"),
        ("[[mn.flows]]\nports = 7\n", "links"),
    ],
)
def test_mistakes(more: str, said: str) -> None:
    assert said in fault_of(more)


def test_flows_need_several_links_at_once() -> None:
    said = fault_of('[[mn.flows]]\nlinks = ["lte0"]\n', MN.replace("several = true", "several = false"))
    assert "several = true" in said


def test_home_and_abroad_at_once_needs_several_links_too() -> None:
    said = fault_of("", MN.replace("several = true", "several = false\nhome_too = true"))
    assert "several = true" in said
