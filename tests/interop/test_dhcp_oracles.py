"""Scapy and tshark read our DHCP, in frames as the access link sends them, and we read Scapy's."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_Reply,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptIA_NA,
    DHCP6OptIAAddress,
)
from scapy.layers.l2 import Ether

from sojourn.core.effects import SendDhcp
from sojourn.host import frames, ipv4_frames
from sojourn.wire.addresses import address, is_ipv4
from sojourn.wire.dhcpv4 import Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    IaAddress,
    IaNa,
    IaPd,
    MessageType,
    OptionRequest,
    RapidCommit,
    decode_dhcpv6,
    link_layer_duid,
)
from sojourn.wire.units import SECOND
from support.capture import ETHERNET, complaints, dissect, write_pcap
from support.dhcp import Client
from support.dhcp_messages import random_dhcpv6
from support.domain import Domain

pytestmark = pytest.mark.interop
MAC, ROUTER = bytes.fromhex("020000000001"), bytes.fromhex("00005e005213")


def dhcpv6_frame(payload: bytes) -> bytes:
    return frames.dhcp(SendDhcp("acc0", MAC, address("fe80::1"), address("fe80::2"), payload), ROUTER)


def dhcpv4_frame(payload: bytes) -> bytes:
    return ipv4_frames.dhcp(SendDhcp("acc0", MAC, address("10.0.0.1"), address("10.0.0.5"), payload), ROUTER)


def test_we_read_what_scapy_writes() -> None:
    lease = DHCP6OptIAAddress(addr="2001:db8::5", preflft=300, validlft=600)
    packet = DHCP6_Solicit(trid=0x616263)
    packet /= DHCP6OptClientId(duid=DUID_LL(lladdr="02:00:00:00:00:01")) / DHCP6OptIA_NA(iaid=7, ianaopts=[lease])
    message = decode_dhcpv6(bytes(packet))
    assert (message.kind, message.transaction) == (MessageType.SOLICIT, b"abc")
    assert message.first(ClientIdentifier) == ClientIdentifier(link_layer_duid(MAC))
    found = message.first(IaNa)
    assert found is not None
    assert found.options == (IaAddress(address("2001:db8::5"), 300 * SECOND, 600 * SECOND),)
    discover = BOOTP(op=1, xid=5, chaddr=MAC, flags="B") / DHCP(options=[("message-type", "discover"), "end"])
    assert decode_dhcpv4(bytes(discover)) == Dhcpv4Message(1, 5, MAC, {Code.MESSAGE_TYPE: b"\1"}, flags=0x8000)


def test_scapy_reads_what_we_write() -> None:
    payload = Dhcpv4Message(2, 5, MAC, {53: b"\5", 51: b"\0\0\0\x3c", 3: bytes((10, 0, 0, 1))}, yours=b"\x0a\0\0\5")
    seen = Ether(dhcpv4_frame(payload.encode()))
    assert seen[BOOTP].yiaddr == "10.0.0.5"
    assert seen[DHCP].options[:3] == [("message-type", 5), ("lease_time", 60), ("router", "10.0.0.1")]
    message = random_dhcpv6(Random(1))
    message.kind = MessageType.REPLY
    assert Ether(dhcpv6_frame(message.encode()))[DHCP6_Reply].trid == int.from_bytes(message.transaction, "big")


def conversations() -> list[bytes]:
    """Frames of all that a router answers to a host."""
    servers = (address("2001:db8::53"), address("192.0.2.53"))
    domain = Domain(dhcp=True, dns=servers, domains=("example.net",))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    client = Client(domain, "mn1")
    asked = (IaNa(1, 0, 0), IaPd(2, 0, 0), OptionRequest((23, 24)))
    offered = client.ask("ar1", MessageType.SOLICIT, *asked)
    associations = [option for option in offered.options if isinstance(option, IaNa | IaPd)]
    client.ask("ar1", MessageType.REQUEST, *associations)
    client.ask("ar1", MessageType.REQUEST, IaNa(1, 0, 0, (IaAddress(address("2001:db8:dead::1"), 0, 0),)))
    client.ask("ar1", MessageType.CONFIRM, *associations)
    client.ask("ar1", MessageType.RELEASE, *associations)
    client.ask("ar1", MessageType.SOLICIT, IaNa(1, 0, 0), RapidCommit())
    own = client.obtain_ipv4("ar1")
    client.renew_ipv4("ar1", own)
    client.renew_ipv4("ar1", address("10.9.9.9"))
    client.shout("ar1", DhcpType.INFORM, client=own)
    sent = domain.members["ar1"].dhcp
    return [(ipv4_frames.dhcp if is_ipv4(one.source) else frames.dhcp)(one, ROUTER) for one in sent]


def test_tshark_finds_nothing_wrong_with_our_answers(tmp_path: Path) -> None:
    written = conversations()
    path = tmp_path / "dhcp.pcap"
    write_pcap(path, written, ETHERNET)
    packets = dissect(path)
    assert [complaints(packet) for packet in packets] == [[]] * len(written)
    assert len(written) == 11
    shown = [{field.get("name"): field.get("show") for field in packet.iter("field")} for packet in packets]
    assert [one["dhcpv6.msgtype"] for one in shown if "dhcpv6.msgtype" in one] == ["2", "7", "7", "7", "7", "7"]
    assert shown[0]["dhcpv6.dns_server"] == "2001:db8::53"
    assert shown[0]["dhcpv6.iaprefix.pref_len"] == "60"
    kinds = [one["dhcp.option.dhcp"] for one in shown if "dhcp.option.dhcp" in one]
    assert [int(kind) for kind in kinds] == [DhcpType.OFFER, DhcpType.ACK, DhcpType.ACK, DhcpType.NAK, DhcpType.ACK]
    assert shown[7]["dhcp.option.interface_mtu"] == "1460"
