"""The threats of RFC 6275 section 15 and RFC 4225 against the daemons themselves, with real packets.

A laptop is away and has a direct way to a correspondent node; a second mobile node has a key at the same home agent.
`mallory` is somewhere in the network and may write any source address on a packet; `rogue` is on the laptop's link.
After every attack the bindings are those of before, and the laptop and its correspondent still talk.
"""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from sojourn.engines import authentication, return_routability
from sojourn.engines.mip6_configuration import Association
from sojourn.host.mobile_packets import Packet, built, parsed
from sojourn.lab.lab import Lab
from sojourn.lab.mobile_scene import Mobile
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.scene import Scene
from sojourn.lab.topology import star
from sojourn.lab.traffic import Traffic
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingError,
    BindingUpdate,
    BindingUpdateFlags,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    MobilityMessage,
    NonceIndices,
    Status,
    decode,
    encode,
    seal,
)
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageAuthentication, MobilityMessageReplayProtection
from sojourn.wire.icmpv6 import seal_icmpv6
from sojourn.wire.units import SECOND
from support.dataplane_bed import captured, ipv6, udp_packet
from support.stars import TRUSTING, mobile

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables, pytest.mark.timeout(120)]

TOPOLOGY = star(
    "siege",
    {
        "home": "ha",
        "f1": "plain",
        "f2": "plain",
        "cn": "cn",
        "mallory": "server",
        "laptop": mobile("f1"),
        "insider": mobile("f2"),
        "rogue": {"kind": "host", "at": "f1", "dad": "optimistic"},
    },
    ha={**TRUSTING, "mobile_routers": True},
)
A, H, R = (int(flag) for flag in (BindingUpdateFlags.A, BindingUpdateFlags.H, BindingUpdateFlags.R))
FLOOD = 2_000
REFUSALS = {Status.REGISTRATION_TYPE_CHANGE_DISALLOWED}
MEGABYTE = 1 << 20


class Siege:
    """The lab, and what an attacker does in it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.laptop, self.insider = Mobile(scene, "laptop"), Mobile(scene, "insider")
        self.home, self.inside = address(self.laptop.home), address(self.insider.home)
        self.agent = address(scene.topology.address("home"))
        self.cn, self.mallory = address(scene.topology.address("cn")), address(scene.topology.address("mallory"))
        self.raw = self.open("mallory", socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.heard = self.open("mallory", socket.SOCK_RAW, 135)
        for one in (self.laptop, self.insider):
            one.wait("away")
        self.server = self.open("cn", socket.SOCK_DGRAM)
        self.server.bind((text(self.cn), 7007))
        self.client = self.open("laptop", socket.SOCK_DGRAM)
        self.client.bind((text(self.home), 7008))
        scene.until("the laptop and cn talk directly", self.direct)

    def open(self, node: str, kind: int, protocol: int = 0) -> socket.socket:
        """A socket at a node."""
        made = self.scene.lab.nodes[node].namespace.call(lambda: socket.socket(socket.AF_INET6, kind, protocol))
        made.settimeout(0.3)
        return made

    def wire(self, node: str) -> socket.socket:
        """What passes a node, from the IPv6 header on."""
        call = self.scene.lab.nodes[node].namespace.call
        made = call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)))
        made.settimeout(0.2)
        return made

    def close(self) -> None:
        for one in (self.raw, self.heard, self.server, self.client):
            one.close()

    # --- what holds ---------------------------------------------------------------------------------------------------

    def bound(self, node: str, home: Address) -> str | None:
        """The care-of address of `home`, as a daemon has it."""
        rows = self.scene.rows(node, "bindings")
        found = [row["care_of"] for row in rows if row["home"] == text(home) and row["state"] == "active"]
        return str(found[0]) if found else None

    @property
    def care_of(self) -> Address:
        return address(str(self.laptop.row()["care_of"]))

    def bindings(self) -> tuple[object, ...]:
        return (
            self.bound("home", self.home),
            self.bound("home", self.inside),
            self.bound("cn", self.home),
            len(self.scene.rows("home", "bindings")),
            len(self.scene.rows("cn", "bindings")),
        )

    def talks(self) -> bool:
        """A question of the laptop to its correspondent is answered."""
        token = random.randbytes(8)
        self.client.sendto(token, (text(self.cn), 7007))
        with suppress(TimeoutError):
            while True:
                question, who = self.server.recvfrom(100)
                self.server.sendto(question, who)
                if question == token:
                    break
            while True:
                if self.client.recv(100) == token:
                    return True
        return False

    def direct(self) -> bool:
        return self.talks() and self.laptop.optimised("cn") and self.bound("cn", self.home) is not None

    def memory(self, node: str) -> int:
        """Octets resident of a daemon."""
        status = Path(f"/proc/{self.pid(node)}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def processor(self, node: str) -> float:
        """Seconds of processor time that a daemon has used."""
        fields = Path(f"/proc/{self.pid(node)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def pid(self, node: str) -> int:
        process = self.scene.lab.daemon(node).process
        assert process is not None
        return process.pid

    # --- what an attacker does ----------------------------------------------------------------------------------------

    def send(self, packet: bytes) -> None:
        with suppress(OSError):
            self.raw.sendto(packet, (text(packet[24:40]), 0))

    def say(
        self,
        message: MobilityMessage,
        to: Address,
        source: Address | None = None,
        home: Address | None = None,
        routed: Address | None = None,
    ) -> None:
        """A Mobility Header with a right checksum, from `source`."""
        packet = Packet(source or self.mallory, to, 64, 135, b"", home, routed)
        packet.payload = seal(encode(message), *packet.checksum_addresses)
        self.send(built(packet))

    def answers(self) -> list[MobilityMessage]:
        """Mobility Headers that came to mallory."""
        found = []
        with suppress(TimeoutError):
            while True:
                found.append(decode(self.heard.recv(2048)))
        return found

    def signed(self, message: BindingUpdate, node: str, care_of: Address, home: Address) -> BindingUpdate:
        """With the key of `node`, and the time."""
        number = self.scene.topology.of_kind("mn").index(node)
        key = bytes.fromhex(hashlib.sha256(f"lab {node}".encode()).hexdigest()[:32])
        message.options += (MobilityMessageReplayProtection.at(time.time_ns()),)
        return authentication.signed(message, Association(1000 + number, key), care_of, home)


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    output = tmp_path_factory.mktemp("siege")
    with Lab(TOPOLOGY, output) as lab:
        siege = Siege(Scene(lab, cast(Traffic, None), ScenarioOptions(output, json=True)))
        yield siege
        siege.close()
        lab.check()


@pytest.fixture
def siege(everybody: Siege) -> Iterator[Siege]:
    """Nothing of an attack lasts."""
    everybody.scene.until("all is well before", everybody.direct)
    before = everybody.bindings()
    yield everybody
    everybody.scene.lab.check()
    everybody.scene.until("all is well afterwards", everybody.direct)
    assert everybody.bindings() == before


def calm(siege: Siege, attack: Callable[[], None]) -> None:
    """Not even for a moment does `attack` change a binding."""
    before = siege.bindings()
    attack()
    for _ in range(5):
        assert siege.bindings() == before
        time.sleep(0.02)


def statuses(wire: socket.socket) -> list[int]:
    """Of the acknowledgements that passed."""
    packets = [parsed(one) for one in captured(wire)]
    messages = [decode(one.payload) for one in packets if one is not None and one.protocol == 135]
    return [one.status for one in messages if isinstance(one, BindingAcknowledgement)]


# --- bindings (RFC 6275 15.1, 15.4) ---------------------------------------------------------------------------------


def test_15_1_an_update_without_the_key_binds_nothing_at_the_home_agent(siege: Siege) -> None:
    update = BindingUpdate(9, A | H, 400 * SECOND, (AlternateCareOfAddress(siege.mallory),))
    forged = siege.signed(BindingUpdate(9, A | H, 400 * SECOND, update.options), "insider", siege.mallory, siege.inside)
    forged.options = (*forged.options[:-1], MobilityMessageAuthentication(1, 1000, bytes(12)))

    def attack() -> None:
        siege.say(update, siege.agent, home=siege.home)
        siege.say(forged, siege.agent, home=siege.home)
        siege.say(BindingUpdate(10, A | H, 0, ()), siege.agent, source=siege.home)

    with siege.wire("mallory") as wire:
        calm(siege, attack)
        assert statuses(wire) == [Status.MIPV6_AUTH_FAIL]


def test_15_1_a_node_with_a_key_does_not_take_the_home_address_of_another(siege: Siege) -> None:
    options = (AlternateCareOfAddress(siege.mallory),)

    def attack() -> None:
        for lifetime in (400 * SECOND, 0):
            update = BindingUpdate(11, A | H, lifetime, options)
            siege.say(siege.signed(update, "insider", siege.mallory, siege.home), siege.agent, home=siege.home)

    calm(siege, attack)


def test_15_1_what_the_laptop_said_before_is_worth_nothing_afterwards(siege: Siege) -> None:
    """Its updates to both are heard at the core, and sent once more when it is elsewhere."""
    with siege.wire("core") as wire:
        siege.laptop.go("f2")
        siege.scene.until("direct at f2", siege.direct)
        old = [one for one in captured(wire) if one[6] == 60 and (packet := parsed(one)) and packet.protocol == 135]
        assert {packet[24:40] for packet in old} == {siege.agent, siege.cn}
    siege.laptop.go("f1")
    siege.scene.until("direct at f1", siege.direct)

    def attack() -> None:
        for packet in old:
            siege.send(packet)

    calm(siege, attack)


def test_15_4_a_care_of_token_alone_binds_nothing_at_a_correspondent_node(siege: Siege) -> None:
    """Mallory is not on the way between the home agent and the correspondent node."""
    siege.answers()
    siege.say(CareOfTestInit(b"cookie!!"), siege.cn)
    (test,) = [one for one in siege.answers() if isinstance(one, CareOfTest)]
    nonces = NonceIndices(test.nonce_index, test.nonce_index)

    def attack() -> None:
        for home_token in (bytes(8), test.keygen_token, random.randbytes(8)):
            key = return_routability.binding_key(home_token, test.keygen_token)
            update = BindingUpdate(30_000, A, 400 * SECOND, (nonces,))
            forged = return_routability.signed(update, key, siege.mallory, siege.cn)
            siege.say(forged, siege.cn, home=siege.home)
        key = return_routability.binding_key(test.keygen_token, b"")
        update = BindingUpdate(30_001, A, 0, (nonces,))
        siege.say(return_routability.signed(update, key, siege.home, siege.cn), siege.cn, source=siege.home)

    calm(siege, attack)
    assert not [one for one in siege.answers() if isinstance(one, BindingAcknowledgement) and one.status == 0]


def test_15_4_tests_that_nobody_asked_for_are_worth_nothing_to_the_laptop(siege: Siege) -> None:
    def attack() -> None:
        for _ in range(20):
            siege.say(CareOfTest(1, random.randbytes(8), random.randbytes(8)), siege.care_of, source=siege.cn)
            inner = Packet(siege.cn, siege.home, 64, 135, b"")
            message = HomeTest(1, random.randbytes(8), random.randbytes(8))
            inner.payload = seal(encode(message), siege.cn, siege.home)
            siege.send(built(inner))

    calm(siege, attack)


def test_15_1_forged_acknowledgements_and_errors_interrupt_nothing(siege: Siege) -> None:
    def attack() -> None:
        for status in (0, 128, 129, 132, 133, 134, 135):
            for sequence in range(20):
                answer = BindingAcknowledgement(status, 0, sequence, 0)
                siege.say(answer, siege.care_of, source=siege.agent, routed=siege.home)
                siege.say(answer, siege.care_of, source=siege.cn, routed=siege.home)
        for source in (siege.agent, siege.mallory):
            siege.say(BindingError(1, siege.home), siege.care_of, source=source)

    calm(siege, attack)
    assert siege.talks()


def test_3963_9_a_mobile_router_gets_no_prefix_of_somebody_else(siege: Siege) -> None:
    """With a key of its own: the prefixes of the home link, of another link, and of everybody."""
    foreign = [(64, siege.home), (128, siege.home), (128, siege.cn), (64, siege.care_of), (0, bytes(16))]

    def attack() -> None:
        for number, (length, claimed) in enumerate(foreign):
            options = (AlternateCareOfAddress(siege.mallory), MobileNetworkPrefix(length, claimed))
            update = BindingUpdate(50 + number, A | H | flags, 400 * SECOND, options)
            siege.say(siege.signed(update, "insider", siege.mallory, siege.inside), siege.agent, home=siege.inside)

    flags = R
    with siege.wire("mallory") as wire:
        calm(siege, attack)
        assert set(statuses(wire)) == REFUSALS
    rows = siege.scene.rows("home", "bindings")
    assert {one for row in rows for one in row["prefixes"]} <= {f"{text(siege.home)}/128", f"{text(siege.inside)}/128"}


# --- data (RFC 6275 15.6 to 15.8) -------------------------------------------------------------------------------------


def test_15_6_a_home_address_option_of_mallory_reaches_nobody(siege: Siege) -> None:
    option = bytes((17, 2, 1, 2, 0, 0, 0xC9, 16))
    for home in (siege.home, siege.inside, siege.agent):
        inner = udp_packet(home, siege.cn, 7007, b"forged")
        siege.send(ipv6(siege.mallory, siege.cn, 60, option + home + inner[40:]))
    siege.server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        siege.server.recv(100)


def test_15_7_a_type_2_routing_header_leads_mallory_to_no_third_party(siege: Siege) -> None:
    with siege.wire("f1") as wire:
        for target in (siege.cn, siege.mallory, siege.agent, siege.inside, address("ff02::1")):
            inner = udp_packet(siege.mallory, target, 7007, b"routed")
            header = bytes((17, 2, 2, 1, 0, 0, 0, 0)) + target
            siege.send(ipv6(siege.mallory, siege.care_of, 43, header + inner[40:]))
        onwards = [one for one in captured(wire) if one.endswith(b"routed") and one[24:40] != siege.care_of]
    assert onwards == []
    with pytest.raises(TimeoutError):
        siege.server.recv(100)


def test_15_8_tunnels_take_nothing_from_mallory(siege: Siege) -> None:
    """Neither the home agent from who is not bound, nor the laptop from who is not its home agent."""
    for inner_source in (siege.home, siege.inside, siege.mallory):
        inner = udp_packet(inner_source, siege.cn, 7007, b"forged")
        siege.send(ipv6(siege.mallory, siege.agent, 41, inner))
    insiders = address(str(siege.insider.row()["care_of"]))
    siege.send(ipv6(insiders, siege.agent, 41, udp_packet(siege.home, siege.cn, 7007, b"forged")))
    siege.send(ipv6(siege.mallory, siege.care_of, 41, udp_packet(siege.cn, siege.home, 7008, b"forged")))
    for victim in (siege.server, siege.client):
        victim.settimeout(0.3)
        with pytest.raises(TimeoutError):
            victim.recv(100)


def test_15_4_the_laptop_asks_nobody_because_of_mallorys_tunnels(siege: Siege) -> None:
    """Otherwise each of these packets would make it write to two places (RFC 4225 3.3)."""
    with siege.wire("f1") as wire:
        for number in range(50):
            victim = siege.mallory[:14] + (0x7000 + number).to_bytes(2, "big")
            siege.send(ipv6(siege.mallory, siege.care_of, 41, udp_packet(victim, siege.home, 7008, b"x")))
        time.sleep(0.5)
        asked = [one for one in captured(wire) if one[6] == 135 and one[24:38] == siege.mallory[:14]]
    assert asked == []


# --- routers, errors ------------------------------------------------------------------------------------------------


def advertisement(source: Address, lifetime: int, announced: bytes, hop_limit: int = 255) -> bytes:
    body = bytes((134, 0, 0, 0, 64, 0)) + lifetime.to_bytes(2, "big") + bytes(8)
    body += bytes((3, 4, 64, 0xC0)) + (1800).to_bytes(4, "big") + (1800).to_bytes(4, "big") + bytes(4) + announced
    everybody = address("ff02::1")
    return ipv6(source, everybody, 58, seal_icmpv6(body, source, everybody), hop_limit)


def test_rfc4861_6_1_2_advertisements_from_afar_move_nobody(siege: Siege) -> None:
    """Of the home prefix, too: the laptop would give up its tunnel."""
    link = siege.home[:8] + bytes(8)

    def attack() -> None:
        for source in (siege.mallory, address("fe80::666")):
            octets = bytearray(advertisement(source, 1800, link))
            octets[24:40] = siege.care_of
            octets[40:] = seal_icmpv6(bytes(octets[40:42]) + bytes(2) + bytes(octets[44:]), source, siege.care_of)
            siege.send(bytes(octets))

    calm(siege, attack)
    assert siege.laptop.row()["place"] == "away"


def test_a_link_full_of_forged_routers_is_survived(siege: Siege) -> None:
    """From the link itself, where nothing proves who is a router (RFC 4861): tables stay small, sessions go on."""
    call = siege.scene.lab.nodes["rogue"].namespace.call
    with call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as wire:
        before = siege.memory("laptop")
        for number in range(400):
            source = address("fe80::666:0:0")[:14] + number.to_bytes(2, "big")
            announced = address("2001:db8:6660::")[:6] + number.to_bytes(2, "big") + bytes(8)
            packet = advertisement(source, 1800, announced)
            wire.sendto(packet, ("wlan0", 0x86DD, 0, 0, bytes.fromhex("333300000001")))
        time.sleep(0.5)
    assert siege.memory("laptop") - before < 8 * MEGABYTE
    assert siege.talks()


def test_11_5_5_a_home_router_that_is_not_there_does_not_keep_the_laptop(siege: Siege) -> None:
    """One forged advertisement of the home prefix, with a lifetime of half an hour, on the visited link."""
    call = siege.scene.lab.nodes["rogue"].namespace.call
    packet = advertisement(address("fe80::666:1"), 1800, siege.home[:8] + bytes(8))

    def believed() -> bool:
        """It does not stay so for long: a busy machine may look too late."""
        with call(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as wire:
            wire.sendto(packet, ("wlan0", 0x86DD, 0, 0, bytes.fromhex("333300000001")))
        return bool(siege.laptop.row()["place"] == "returning")

    siege.scene.until("it was believed", believed)
    siege.laptop.wait("away")


def test_9_3_4_forged_errors_cost_a_detour_at_most(siege: Siege) -> None:
    """Who knows the addresses of all three can say that the laptop is unreachable: then packets go by the home agent
    until the laptop has shown again where it is."""
    for kind, code in ((1, 0), (1, 3), (1, 4), (2, 0), (4, 1), (4, 2)):
        for source, target in ((siege.cn, siege.care_of), (siege.care_of, siege.cn), (siege.home, siege.cn)):
            for following in (135, 43, 60, 41):
                about = ipv6(source, target, following, bytes((17, 2, 2, 1, 0, 0, 0, 0)) + siege.home + bytes(16))
                report = bytes((kind, code, 0, 0, 0, 0, 0, 0)) + about
                siege.send(ipv6(siege.mallory, source, 58, seal_icmpv6(report, siege.mallory, source)))
        siege.scene.until("they talk", siege.talks)


# --- floods (RFC 6275 15.4.5, RFC 4225 3.2) ---------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["cn", "home"])
def test_15_4_5_a_flood_leaves_nothing(siege: Siege, node: str) -> None:
    """From invented sources and from one: tests of a correspondent node, updates of a home agent."""

    def flood(first: int) -> None:
        for number in range(first, first + FLOOD):
            source = siege.mallory[:8] + number.to_bytes(8, "big") if number % 4 else siege.mallory
            if node == "cn":
                kind = HomeTestInit if number % 2 else CareOfTestInit
                siege.say(kind(number.to_bytes(8, "big")), siege.cn, source)
            else:
                update = BindingUpdate(number, A | H, 400 * SECOND, (AlternateCareOfAddress(siege.mallory),))
                siege.say(update, siege.agent, source, home=siege.home[:8] + number.to_bytes(8, "big"))
        siege.scene.until("they talk", siege.talks)

    memory, used = siege.memory(node), siege.processor(node)
    for number in range(4):
        calm(siege, lambda first=number * FLOOD: flood(first))  # type: ignore[misc]
    assert siege.memory(node) - memory < 5 * MEGABYTE  # some tables are bounded, and not full before
    assert siege.processor(node) - used < 4 * FLOOD * 0.001
    siege.answers()
