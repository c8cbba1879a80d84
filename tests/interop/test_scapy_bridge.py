"""The Scapy layers made from our declarations dissect what we encode and build what we decode.

They are installed in a process of their own: other tests want Scapy as it comes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

PRELUDE = """
import sys
from random import Random
sys.path.insert(0, {tests!r})
from scapy.layers.inet6 import IPv6
from sojourn import wire
from sojourn.bridge import scapy as bridge
from support.capture import ipv6
from support.wire_messages import MESSAGE_CLASSES, OPTION_CLASSES, random_message, random_object
SOURCE, DESTINATION = bytes([32, 1]) + bytes(14), bytes([32, 2]) + bytes(14)

def dissected(message):
    octets = wire.seal(wire.encode(message), SOURCE, DESTINATION)
    return octets, IPv6(ipv6(135, octets, SOURCE, DESTINATION)).payload

def forget(packet):
    packet.raw_packet_cache = None
    for field in packet.fields_desc:
        value = packet.getfieldval(field.name)
        for one in value if isinstance(value, list) else ():
            if hasattr(one, "fields_desc"):
                forget(one)

def rebuilt(packet):
    forget(packet)
    packet.cksum = None
    packet.len = None
    return bytes(packet)
"""


def run(text: str) -> str:
    """What a program prints; it must end well."""
    program = PRELUDE.format(tests=str(Path(__file__).parent.parent)) + text
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_message_and_option_is_dissected_and_rebuilt() -> None:
    text = """
layers = bridge.install(replace=True)
rng = Random(17)
seen = set()
messages = [random_object(cls, rng) for cls in MESSAGE_CLASSES for _ in range(10)]
messages += [wire.BindingUpdate(1, 0x8210, 0, (random_object(cls, rng),)) for cls in OPTION_CLASSES for _ in range(10)]
for message in messages:
    octets, packet = dissected(message)
    assert packet.declared is type(message), (packet, message)
    assert rebuilt(packet) == octets, (message, packet.show2(dump=True))
    seen.add(packet.declared)
    seen |= {option.declared for option in getattr(packet, "options", None) or () if hasattr(option, "declared")}
assert seen >= {*MESSAGE_CLASSES, *OPTION_CLASSES}, {*MESSAGE_CLASSES, *OPTION_CLASSES} - seen
print(len(seen))
"""
    assert int(run(text)) >= 95


def test_crafted_messages_are_understood() -> None:
    text = """
layers = bridge.install()
packet = IPv6(src="2001:db8::1", dst="2001:db8::2") / layers.UpdateNotification(
    sequence=7, reason="FORCE_REREGISTRATION", flags="A",
    options=[layers.MobileNodeIdentifier(subtype=1, identifier=b"mn"),
             layers.HomeNetworkPrefix(prefix_length=64, address="2001:db8:1::"),
             layers.LmaControlledMagParameters(sub_options=[layers.HeartbeatControl(interval=60)])])
octets = bytes(packet)[40:]
message = wire.decode(octets, strict=True)
assert wire.verify(octets, bytes(packet)[8:24], bytes(packet)[24:40])
from sojourn.wire.extensions import rfc7077, rfc8127
from sojourn.wire.addresses import prefix
assert message == rfc7077.UpdateNotification(7, 1, 0x8000, (
    wire.MobileNodeIdentifier(1, b"mn"), wire.HomeNetworkPrefix.of(prefix("2001:db8:1::/64")),
    rfc8127.LmaControlledMagParameters((rfc8127.HeartbeatControl(60_000_000_000, 0, 0),)))), message
assert wire.encode(message) == octets[:4] + bytes(2) + octets[6:]
"""
    run(text)


def test_what_scapy_has_stays_unless_it_shall_be_replaced() -> None:
    text = """
from scapy.layers import inet6
bridge.install()
bridge.install()
assert inet6._mip6_mhtype2cls[5] is inet6.MIP6MH_BU
assert inet6.moboptcls[8] is inet6.MIP6OptMNID
bridge.install(replace=True)
assert inet6._mip6_mhtype2cls[5] is not inet6.MIP6MH_BU
"""
    run(text)
