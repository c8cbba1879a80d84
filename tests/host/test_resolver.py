"""Names from DNS, with a server of our own on the loopback."""

from __future__ import annotations

import asyncio
from typing import cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sojourn.core.events import NameResolved
from sojourn.host.resolver import Resolver
from sojourn.wire.addresses import address

KNOWN = {
    "ha.example.net.": ("2001:db8:4000::1", "2001:db8:4000::2"),
    "near.example.net.": ("2001:db8:4000::3",),
    "spare.example.net.": ("2001:db8:4000::4",),
}
SERVICE = "_mip6._ipv6.example.net"
OFFERED = {
    f"{SERVICE}.": (
        "20 0 0 spare.example.net.",
        "10 10 0 ha.example.net.",
        "10 90 0 near.example.net.",
        "5 0 0 gone.example.net.",
    ),
    "_mip6._ipv6.nowhere.example.net.": ("0 0 0 .",),
}


class _Server(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.asked = 0

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        self.asked += 1
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        name = query.question[0].name.to_text()
        if name in OFFERED and query.question[0].rdtype == dns.rdatatype.SRV:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *OFFERED[name]))
        elif name in KNOWN:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "AAAA", *KNOWN[name]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), source)


def _asked(*names: str) -> tuple[list[NameResolved], Resolver, int]:
    async def run() -> tuple[list[NameResolved], Resolver, int]:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(_Server, local_addr=("127.0.0.1", 0))
        told: list[NameResolved] = []
        resolver = Resolver(told.append, (["127.0.0.1"], transport.get_extra_info("sockname")[1]))
        for name in names:
            resolver.ask(name)
        while len(told) < len(set(names)):
            await asyncio.sleep(0.01)
        resolver.close()
        transport.close()
        await asyncio.sleep(0)
        return told, resolver, server.asked

    return asyncio.run(run())


def test_all_addresses_of_a_name() -> None:
    told, resolver, _ = _asked("ha.example.net")
    assert [set(answer.addresses) for answer in told] == [set(map(address, KNOWN["ha.example.net."]))]
    assert resolver.counters == {"names-resolved": 1}


def test_a_name_that_is_not_there_or_is_none_has_no_addresses() -> None:
    told, resolver, _ = _asked("nobody.example.net", "not..a.name")
    assert {answer.name: answer.addresses for answer in told} == {"nobody.example.net": (), "not..a.name": ()}
    assert resolver.counters == {"names-unresolved": 2}


def test_the_same_question_is_asked_once() -> None:
    told, _, asked = _asked("ha.example.net", "ha.example.net")
    assert (len(told), asked) == (1, 1)


def test_rfc5026_5_1_2_the_hosts_of_a_service_by_priority_and_weight() -> None:
    """The best priority first, by their weights (RFC 2782); who has no address is left out."""
    first = set()
    for _ in range(10):
        told, resolver, _ = _asked(SERVICE)
        (found,) = [answer.addresses for answer in told]
        assert len(found) == 4
        assert found[-1] == address("2001:db8:4000::4")
        assert resolver.counters == {"names-resolved": 1}
        first.add(found[0])
    assert address("2001:db8:4000::3") in first  # with nine to one, ten times


def test_rfc2782_a_service_that_is_decidedly_not_offered_has_no_addresses() -> None:
    told, resolver, _ = _asked("_mip6._ipv6.nowhere.example.net", "_mip6._ipv6.example.com")
    assert {answer.addresses for answer in told} == {()}
    assert resolver.counters == {"names-unresolved": 2}
