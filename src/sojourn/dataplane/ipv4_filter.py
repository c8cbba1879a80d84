"""Who may send IPv4 from an access link, and which way it takes: the table ``ip sojourn``.

    prerouting, before anything is routed
      from our own loop                         clear our mark, mark by source again, accept
      from an access interface                  accept what is for the DHCP server;
                                                go to `sends` if the source is in `known`, else drop
      to our pool                               clamp the TCP segment size
      to an address in `far`                    mark if not TCP and too big
    sends                                       clamp the TCP segment size; mark by source;
                                                mark otherwise if not TCP, too big, and anchored elsewhere
    source                                      for each bit of our mark: set it if the source is in that bit's set
    input
      from an access interface                  drop what is for the DHCP server: it has heard it already
    output
      to an access interface                    drop ICMP redirects

IPv4 has no routes by source prefix, so the sets of sources are the whole of it: who is not in `known` does not send,
and who is anchored elsewhere gets the mark that leads to the tunnel (`LinuxSettings.ipv4_ways`). One set for each bit:
a map from sources to marks would take all bits of a mark, others' too, and the kernel walks over all of a map to
chains whenever one element changes. A packet too big for the tunnel goes round the loop, as in IPv6: the kernel
answers there that it is (ICMP), or divides it.

The server listens at the access interface itself. Where that is a bridge and the kernel shows bridged packets to this
filter (br_netfilter), `prerouting` comes before; so nothing for the server is dropped there, but in `input`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator, Mapping

from sojourn.dataplane import nftables as nft
from sojourn.dataplane.audit import CHANGED, FILTER, LEFT, MISSING, Finding
from sojourn.dataplane.filters import change_mark, interface, protocol
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address, Prefix, from_ipv4, to_ipv4

Rule = tuple[str, tuple[bytes, ...]]
KNOWN = "known"
_ICMP, _TCP, _UDP = b"\x01", b"\x06", b"\x11"
_REDIRECT = b"\x05"
_DHCP_SERVER = struct.pack(">H", 67)
_SOURCE, _DESTINATION = 12, 16
_TCP_AND_IPV4 = 40


class Ipv4Filter(nft.Table):
    """The table of IPv4. The sets of sources and of addresses that are far follow the effects."""

    def __init__(self, settings: LinuxSettings) -> None:
        super().__init__(nft.NFPROTO_IPV4)
        self._settings = settings
        self._marks: dict[bytes, int] = {}
        """Of every known source; 0 for one that is anchored here."""
        self._far: set[bytes] = set()
        self._unclaimed: set[bytes] = set()

    def install(self) -> None:
        """The table stands, with what an earlier life left in it when that had the same rules."""
        rules = list(_rules(self._settings))
        mark = hashlib.sha256(b"".join(chain.encode() + b"".join(rule) for chain, rule in rules)).digest()
        if self.fingerprint() == mark:
            self._far = set(self.elements(nft.FAR))
            self._marks = dict.fromkeys(self.elements(KNOWN), 0)
            for bit in _bits(self._settings.mark_mask):
                for key in self.elements(_set_of(bit)):
                    self._marks[key] = self._marks.get(key, 0) | bit
        else:
            names = [KNOWN, nft.FAR, *map(_set_of, _bits(self._settings.mark_mask))]
            sets = [nft.new_set(name, number, 4) for number, name in enumerate(names, 1)]
            self.write(mark, sets, (), _CHAINS, rules)
            self._marks, self._far = {}, set()

    def begin(self) -> None:
        """What an earlier life left and nobody asks for until `finish` goes then."""
        self._unclaimed = set(self._marks) | self._far

    def finish(self) -> list[str]:
        """Remove what was not asked for."""
        left, self._unclaimed = self._unclaimed, set()
        for key in left:
            self._stop(key)
            self._set_far(key, False)
        return [f"IPv4 source {'.'.join(map(str, key))}" for key in sorted(left)]

    def findings(self, sources: Mapping[Prefix, Address | None], far: Collection[Prefix]) -> list[Finding]:
        """Where the table is not what it should be for these sources, each with its anchor if that is elsewhere, and
        for addresses that are `far`. Raises OSError."""
        if self.fingerprint() is None:
            return [Finding(MISSING, FILTER, "nf_tables table ip sojourn")]
        rules = sum(1 for _ in _rules(self._settings))
        if self.rules() != rules:
            return [Finding(CHANGED, FILTER, f"nf_tables table ip sojourn has {self.rules()} of {rules} rules")]
        sets: dict[str, set[bytes]] = {nft.FAR: {to_ipv4(prefix.address) for prefix in far}}
        sets[KNOWN] = {to_ipv4(prefix.address) for prefix in sources}
        for bit in _bits(self._settings.mark_mask):
            led = [prefix for prefix, anchor in sources.items() if anchor and self._settings.ipv4_ways[anchor][0] & bit]
            sets[_set_of(bit)] = {to_ipv4(prefix.address) for prefix in led}
        found = []
        for name, should in sets.items():
            there = set(self.elements(name))
            for word, keys in ((MISSING, should - there), (LEFT, there - should)):
                for key in sorted(keys):
                    prefix = Prefix(from_ipv4(key), 128)
                    found.append(Finding(word, FILTER, f"{prefix} in nf_tables set {name}", (prefix,)))
        return found

    def lead_source(self, prefix: Prefix, anchor: Address | None) -> None:
        """Packets from there are let through, plainly or through the tunnel to `anchor`. No packet sees half of it."""
        key, mark = to_ipv4(prefix.address), 0 if anchor is None else self._settings.ipv4_ways[anchor][0]
        self._unclaimed.discard(key)
        known = self._marks.get(key)
        if known == mark:
            return
        before = known or 0
        put = [] if known is not None else [KNOWN]
        put += map(_set_of, _bits(mark & ~before))
        self.exchange(key, put, map(_set_of, _bits(before & ~mark)))
        self._marks[key] = mark

    def stop_source(self, prefix: Prefix) -> None:
        """Packets from there are dropped again."""
        self._stop(to_ipv4(prefix.address))

    def set_far(self, prefix: Prefix, wanted: bool) -> None:
        """Packets to there go through a tunnel, so that their size matters."""
        self._set_far(to_ipv4(prefix.address), wanted)

    def _stop(self, key: bytes) -> None:
        self._unclaimed.discard(key)
        mark = self._marks.pop(key, None)
        if mark is not None:
            self.exchange(key, (), [KNOWN, *map(_set_of, _bits(mark))])

    def _set_far(self, key: bytes, wanted: bool) -> None:
        self._unclaimed.discard(key)
        if wanted and key not in self._far:
            self.put(key, nft.FAR)
            self._far.add(key)
        elif not wanted and key in self._far:
            self.drop(key, nft.FAR)
            self._far.discard(key)


def _bits(mark: int) -> Iterator[int]:
    """The bits that are set, from the lowest."""
    while mark:
        bit = mark & -mark
        yield bit
        mark ^= bit


def _set_of(bit: int) -> str:
    return f"mark{bit.bit_length() - 1}"


_CHAINS: tuple[tuple[str, tuple[int, int] | None], ...] = (
    ("source", None),
    ("sends", None),
    ("prerouting", (nft.HOOK_PREROUTING, -300)),
    ("input", (nft.HOOK_INPUT, 0)),
    ("output", (nft.HOOK_OUTPUT, 0)),
)


def _rules(settings: LinuxSettings) -> Iterator[Rule]:
    source = nft.load(nft.NETWORK, _SOURCE, 4)
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
    for bit in _bits(settings.mark_mask):
        yield "source", (source, nft.member(_set_of(bit)), *_set_bit(bit))
    ours = struct.pack("=I", settings.mark_mask)
    marked = (nft.load_meta(nft.META_MARK), nft.mask(ours), nft.compare(nft.NOT_EQUAL, bytes(4)))
    yield "sends", clamp
    yield "sends", change_mark(settings, 0)
    yield "sends", (nft.verdict(nft.JUMP, "source"),)
    yield "sends", (*marked, *oversize)
    far_end = interface(nft.META_INPUT, settings.loop[1])
    yield "prerouting", (far_end, *change_mark(settings, 0))
    yield "prerouting", (far_end, nft.verdict(nft.GOTO, "source"))
    for name in settings.access:
        access = interface(nft.META_INPUT, name)
        to_server = (access, protocol(_UDP), nft.load(nft.TRANSPORT, 2, 2), nft.compare(nft.EQUAL, _DHCP_SERVER))
        yield "prerouting", (*to_server, nft.verdict(nft.ACCEPT))
        yield "input", (*to_server, nft.verdict(nft.DROP))
        yield "prerouting", (access, source, nft.member(KNOWN), nft.verdict(nft.GOTO, "sends"))
        yield "prerouting", (access, nft.verdict(nft.DROP))
    if settings.ipv4_pool is not None:
        yield "prerouting", (*_to(settings.ipv4_pool), *clamp)
    yield "prerouting", (nft.load(nft.NETWORK, _DESTINATION, 4), nft.member(nft.FAR), *oversize)
    redirect = (protocol(_ICMP), nft.load(nft.TRANSPORT, 0, 1), nft.compare(nft.EQUAL, _REDIRECT))
    for name in settings.access:
        yield "output", (interface(nft.META_OUTPUT, name), *redirect, nft.verdict(nft.DROP))


def _set_bit(bit: int) -> tuple[bytes, ...]:
    keep, change = struct.pack("=I", ~bit & 0xFFFFFFFF), struct.pack("=I", bit)
    return (nft.load_meta(nft.META_MARK), nft.mask(keep, change), nft.store_mark())


def _to(pool: Prefix) -> tuple[bytes, ...]:
    mask = ((1 << 32) - (1 << (128 - pool.length))).to_bytes(4, "big")
    destination = nft.load(nft.NETWORK, _DESTINATION, 4)
    return (destination, nft.mask(mask), nft.compare(nft.EQUAL, to_ipv4(pool.address)))
