"""Who may send IPv4 from an access link, and which way it takes: the table ``ip sojourn``.

    prerouting, before anything is routed
      from our own loop                         clear our mark; mark again for the tunnel of its source
      from an access interface                  accept what is for the DHCP server;
                                                go to the chain of its source: `here`, or the one of its anchor;
                                                drop it when there is none
      to our pool                               clamp the TCP segment size
      to an address in `far`                    mark if not TCP and too big
    here                                        clamp the TCP segment size
    to1, to2, ... (one per peer)                likewise; mark if not TCP and too big, else for the peer's tunnel
    input
      from an access interface                  drop what is for the DHCP server: it has heard it already
    output
      to an access interface                    drop ICMP redirects

IPv4 has no routes by source prefix, so the map of sources is the whole of it: who is not in there does not send, and
who is anchored elsewhere gets the mark that leads to the tunnel (`LinuxSettings.ipv4_ways`). A packet too big for the
tunnel goes round the loop, as in IPv6: the kernel answers there that it is (ICMP), or divides it.

The server listens at the access interface itself. Where that is a bridge and the kernel shows bridged packets to this
filter (br_netfilter), `prerouting` comes before; so nothing for the server is dropped there, but in `input`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from sojourn.dataplane import nftables as nft
from sojourn.dataplane.filters import change_mark, interface, protocol
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address, Prefix, to_ipv4

Rule = tuple[str, tuple[bytes, ...]]
HERE = "here"
_ICMP, _TCP, _UDP = b"\x01", b"\x06", b"\x11"
_REDIRECT = b"\x05"
_DHCP_SERVER = struct.pack(">H", 67)
_SOURCE, _DESTINATION = 12, 16
_TCP_AND_IPV4 = 40


class Ipv4Filter(nft.Table):
    """The table of IPv4. The map of sources and the set of addresses that are far follow the effects."""

    def __init__(self, settings: LinuxSettings) -> None:
        super().__init__(nft.NFPROTO_IPV4)
        self._settings = settings
        self._numbers = {peer: number for number, peer in enumerate(settings.ipv4_ways, 1)}
        self._ways: dict[bytes, int] = {}
        self._far: set[bytes] = set()
        self._unclaimed: set[bytes] = set()

    def install(self) -> None:
        """The table stands, with what an earlier life left in it when that had the same rules."""
        rules = list(_rules(self._settings))
        mark = hashlib.sha256(b"".join(chain.encode() + b"".join(rule) for chain, rule in rules)).digest()
        if self.fingerprint() == mark:
            self._ways, self._far = self.ways(), set(self.elements(nft.FAR))
        else:
            chains = [HERE, *map(_to_peer, self._numbers.values())]
            sets = (nft.new_map(nft.WAYS, 1, nft.REGISTER), nft.new_map(nft.CHAINS, 2, nft.VERDICT))
            numbered = [(number.to_bytes(4, "big"), nft.leads_to(chain)) for number, chain in enumerate(chains)]
            constant = [nft.elements_of(nft.CHAINS, [key], way) for key, way in numbered]
            self.write(mark, (*sets, nft.new_set(nft.FAR, 3, 4)), constant, _hooked(chains), rules)
            self._ways, self._far = {}, set()

    def begin(self) -> None:
        """What an earlier life left and nobody asks for until `finish` goes then."""
        self._unclaimed = set(self._ways) | self._far

    def finish(self) -> list[str]:
        """Remove what was not asked for."""
        left, self._unclaimed = self._unclaimed, set()
        for key in left:
            self._forget(key)
        return [f"IPv4 source {'.'.join(map(str, key))}" for key in sorted(left)]

    def lead_source(self, prefix: Prefix, anchor: Address | None) -> None:
        """Packets from there are let through, plainly or through the tunnel to `anchor`."""
        key, way = to_ipv4(prefix.address), 0 if anchor is None else self._numbers[anchor]
        self._unclaimed.discard(key)
        known = self._ways.get(key)
        if known != way:
            self.lead(key, way, replace=known is not None)
            self._ways[key] = way

    def stop_source(self, prefix: Prefix) -> None:
        """Packets from there are dropped again."""
        key = to_ipv4(prefix.address)
        self._unclaimed.discard(key)
        if self._ways.pop(key, None) is not None:
            self.drop(key, nft.WAYS)

    def set_far(self, prefix: Prefix, wanted: bool) -> None:
        """Packets to there go through a tunnel, so that their size matters."""
        key = to_ipv4(prefix.address)
        self._unclaimed.discard(key)
        if wanted and key not in self._far:
            self.put(key, nft.FAR)
            self._far.add(key)
        elif not wanted and key in self._far:
            self.drop(key, nft.FAR)
            self._far.discard(key)

    def _forget(self, key: bytes) -> None:
        if self._ways.pop(key, None) is not None:
            self.drop(key, nft.WAYS)
        if key in self._far:
            self._far.discard(key)
            self.drop(key, nft.FAR)


def _to_peer(number: int) -> str:
    return f"to{number}"


def _hooked(chains: list[str]) -> list[tuple[str, tuple[int, int] | None]]:
    hooks = {"prerouting": (nft.HOOK_PREROUTING, -300), "input": (nft.HOOK_INPUT, 0), "output": (nft.HOOK_OUTPUT, 0)}
    return [*((chain, None) for chain in chains), *hooks.items()]


def _rules(settings: LinuxSettings) -> Iterator[Rule]:
    clamp = (
        protocol(_TCP),
        nft.load(nft.TRANSPORT, 13, 1),
        nft.mask(b"\x02"),
        nft.compare(nft.EQUAL, b"\x02"),
        nft.clamp_segment_size(settings.tunnel_mtu - _TCP_AND_IPV4),
    )
    oversize = (
        protocol(_TCP, nft.NOT_EQUAL),
        nft.load_meta(nft.META_LENGTH),
        nft.network_order(),
        nft.compare(nft.GREATER, struct.pack(">I", settings.tunnel_mtu)),
        *change_mark(settings, settings.mark),
    )
    by_source = (nft.load(nft.NETWORK, _SOURCE, 4), nft.mapped(nft.WAYS), nft.mapped(nft.CHAINS, nft.VERDICT))
    yield HERE, clamp
    for number, (mark, _) in enumerate(settings.ipv4_ways.values(), 1):
        yield _to_peer(number), clamp
        yield _to_peer(number), (*oversize, nft.verdict(nft.ACCEPT))
        yield _to_peer(number), change_mark(settings, mark)
    far_end = interface(nft.META_INPUT, settings.loop[1])
    yield "prerouting", (far_end, *change_mark(settings, 0))
    yield "prerouting", (far_end, *by_source)
    yield "prerouting", (far_end, nft.verdict(nft.ACCEPT))
    for name in settings.access:
        access = interface(nft.META_INPUT, name)
        to_server = (access, protocol(_UDP), nft.load(nft.TRANSPORT, 2, 2), nft.compare(nft.EQUAL, _DHCP_SERVER))
        yield "prerouting", (*to_server, nft.verdict(nft.ACCEPT))
        yield "input", (*to_server, nft.verdict(nft.DROP))
        yield "prerouting", (access, *by_source)
        yield "prerouting", (access, nft.verdict(nft.DROP))
    if settings.ipv4_pool is not None:
        yield "prerouting", (*_to(settings.ipv4_pool), *clamp)
    yield "prerouting", (nft.load(nft.NETWORK, _DESTINATION, 4), nft.member(nft.FAR), *oversize)
    redirect = (protocol(_ICMP), nft.load(nft.TRANSPORT, 0, 1), nft.compare(nft.EQUAL, _REDIRECT))
    for name in settings.access:
        yield "output", (interface(nft.META_OUTPUT, name), *redirect, nft.verdict(nft.DROP))


def _to(pool: Prefix) -> tuple[bytes, ...]:
    mask = ((1 << 32) - (1 << (128 - pool.length))).to_bytes(4, "big")
    destination = nft.load(nft.NETWORK, _DESTINATION, 4)
    return (destination, nft.mask(mask), nft.compare(nft.EQUAL, to_ipv4(pool.address)))
