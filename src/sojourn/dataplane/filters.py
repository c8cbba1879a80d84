"""The static packet filter: counts, keeps TCP segments small, finds packets too big for a tunnel, stops two abuses.

    prerouting, before anything is routed
      from our own loop                         clear our mark, accept
      from an access interface                  drop if it claims to come from this router, or as signalling to it,
                                                or as signalling of another router, or as a tunnel that ends here;
                                                clamp the TCP segment size;
                                                mark if not TCP, too big, and anchored elsewhere
      from upstream, to a group, from our pool  drop: this router's own, which it heard as a listener there
      in IPv6 from a neighbour to us            mark as forwarded, if there are fast handovers
      IPv6-in-IPv6 from a peer to us            mark as a stray, if these are dropped; count by the inner source
      out of a tunnel over IPv4                 the same, if there are any
      to a prefix in `far` or `routers`         mark if not TCP and too big
      to our pools                              clamp the TCP segment size
    forward, where only those are who may send
      from an access interface                  drop what is over the rate of its source, or of the inner one;
                                                count by source, by the inner one in a tunnel of ours
      to an access interface                    drop what is over the rate of its destination
    output
      to an access interface                    drop ICMPv6 redirects

A marked packet is led into a link with the tunnel's MTU, so that the kernel answers Packet Too Big with the right
number. TCP is never marked: after the clamp its segments fit, while several of them together (GSO) look too big.
Only what comes *from* a prefix is counted, out of a tunnel or off an access link, and only once its source was checked:
counts say whether a node still uses its prefix, and anybody on the Internet can send packets to it.
Redirects would teach a node the link-layer address of another node that may roam away; the kernel has no switch for
them in IPv6.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from functools import partial

from sojourn.dataplane import nftables as nft
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Prefix

Rule = tuple[str, tuple[bytes, ...]]

CHAINS: tuple[tuple[str, tuple[int, int] | None], ...] = (
    ("tunnelled", None),
    ("access", None),
    ("away", None),
    ("used", None),
    ("over-ipv4", None),
    ("limited", None),
    ("prerouting", (nft.HOOK_PREROUTING, -300)),
    ("forward", (nft.HOOK_FORWARD, 0)),
    ("output", (nft.HOOK_OUTPUT, 0)),
)
_ICMPV6, _TCP, _IPV4, _IPV6, _MOBILITY = b"\x3a", b"\x06", b"\x04", b"\x29", b"\x87"
_REDIRECT = b"\x89"
_SOURCE, _DESTINATION = 8, 24


def rules(settings: LinuxSettings) -> Iterator[Rule]:
    """All rules, in order, by chain."""
    counted = partial(_counted, settings.prefix_length)
    clamp: tuple[bytes, ...] = (
        protocol(_TCP),
        nft.load(nft.TRANSPORT, 13, 1),
        nft.mask(b"\x02"),
        nft.compare(nft.EQUAL, b"\x02"),
    )
    clamp += (nft.clamp_segment_size(settings.segment_size),)
    oversize: tuple[bytes, ...] = (protocol(_TCP, nft.NOT_EQUAL), nft.load_meta(nft.META_LENGTH), nft.network_order())
    oversize += (nft.compare(nft.GREATER, struct.pack(">I", settings.tunnel_mtu)),)
    mark = change_mark(settings, settings.mark)
    drop = nft.verdict(nft.DROP)
    to_us = (nft.load(nft.NETWORK, _DESTINATION, 16), nft.compare(nft.EQUAL, settings.address))
    from_peer = (nft.load(nft.NETWORK, _SOURCE, 16), nft.member("peers"))

    yield "tunnelled", counted(nft.TRANSPORT, _SOURCE)

    own = (nft.load(nft.NETWORK, _SOURCE, 16), nft.compare(nft.EQUAL, settings.address))
    yield "access", (*own, nft.verdict(nft.DROP))
    # Routers know each other by address. The daemon's socket refuses these too, also where there is no nf_tables.
    yield "access", (protocol(_MOBILITY), *to_us, nft.verdict(nft.DROP))
    yield "access", (protocol(_MOBILITY), *from_peer, nft.verdict(nft.DROP))
    for inner in (_IPV6, _IPV4):
        yield "access", (protocol(inner), *to_us, nft.verdict(nft.DROP))
    yield "access", clamp
    elsewhere = () if settings.pool is None else _within(_SOURCE, settings.pool, nft.NOT_EQUAL)
    yield "access", (*oversize, *elsewhere, *mark)

    yield "away", (*oversize, *mark)

    clear = change_mark(settings, 0)
    yield "prerouting", (interface(nft.META_INPUT, settings.loop[1]), *clear, nft.verdict(nft.ACCEPT))
    for name in settings.access:
        yield "prerouting", (interface(nft.META_INPUT, name), nft.verdict(nft.JUMP, "access"))
    if settings.upstream and settings.pool is not None:
        own_nodes = _within(_SOURCE, settings.pool, nft.EQUAL)
        to_group = (nft.load(nft.NETWORK, _DESTINATION, 1), nft.compare(nft.EQUAL, b"\xff"))
        heard = interface(nft.META_INPUT, settings.upstream)
        yield "prerouting", (heard, *to_group, *own_nodes, nft.verdict(nft.DROP))
    if settings.handovers:
        neighbour = (nft.load(nft.NETWORK, _SOURCE, 16), nft.member(nft.NEIGHBOURS))
        forwarded = change_mark(settings, settings.forwarded_mark)
        yield "prerouting", (protocol(_IPV6), *to_us, *neighbour, *forwarded, nft.verdict(nft.GOTO, "tunnelled"))
        if settings.ipv4:
            yield "prerouting", (protocol(_IPV4), *to_us, *neighbour, *forwarded)
    if settings.drop_strays:
        yield "prerouting", (protocol(_IPV6), *to_us, *from_peer, *change_mark(settings, settings.stray_mark))
    yield "prerouting", (protocol(_IPV6), *to_us, *from_peer, nft.verdict(nft.GOTO, "tunnelled"))
    if settings.transport is not None:
        yield "over-ipv4", counted(nft.NETWORK, _SOURCE)
        out = interface(nft.META_INPUT, settings.transport_device)
        if settings.drop_strays:
            yield "prerouting", (out, *change_mark(settings, settings.stray_mark))
        yield "prerouting", (out, nft.verdict(nft.JUMP, "over-ipv4"))
    far = _member(settings.prefix_length, nft.NETWORK, _DESTINATION, nft.FAR)
    yield "prerouting", (*far, nft.verdict(nft.JUMP, "away"))
    if settings.delegated_length:
        routers = _member(settings.delegated_length, nft.NETWORK, _DESTINATION, nft.ROUTERS)
        yield "prerouting", (*routers, nft.verdict(nft.JUMP, "away"))
    for pool in settings.pools:
        yield "prerouting", (*_within(_DESTINATION, pool, nft.EQUAL), *clamp)

    # What leaves through a tunnel is in it already. In a chain of its own: nft fails on a rule that has both.
    if settings.rates:
        down, up = nft.RATES
        yield "limited", (*_member(settings.prefix_length, nft.TRANSPORT, _SOURCE, up), drop)
        yield "used", (protocol(_IPV6), *own, nft.verdict(nft.JUMP, "limited"))
        yield "used", (*_member(settings.prefix_length, nft.NETWORK, _SOURCE, up), drop)
        for name in settings.access:
            limited = _member(settings.prefix_length, nft.NETWORK, _DESTINATION, down)
            yield "forward", (interface(nft.META_OUTPUT, name), *limited, drop)
    yield "used", (protocol(_IPV6), *own, nft.verdict(nft.GOTO, "tunnelled"))
    yield "used", counted(nft.NETWORK, _SOURCE)
    for name in settings.access:
        yield "forward", (interface(nft.META_INPUT, name), nft.verdict(nft.JUMP, "used"))

    redirect = (protocol(_ICMPV6), nft.load(nft.TRANSPORT, 0, 1), nft.compare(nft.EQUAL, _REDIRECT))
    for name in settings.access:
        yield "output", (interface(nft.META_OUTPUT, name), *redirect, nft.verdict(nft.DROP))


def fingerprint(settings: LinuxSettings) -> bytes:
    """Equal when `rules` and peers are: written on the table, so that a restart keeps the one that is there."""
    digest = hashlib.sha256(b"".join(sorted(settings.peers)) + bytes((settings.prefix_length,)))
    digest.update(b"".join(sorted(settings.neighbours)))
    for chain, expressions in rules(settings):
        digest.update(chain.encode() + b"".join(expressions))
    return digest.digest()


def protocol(number: bytes, operator: int = nft.EQUAL) -> bytes:
    """The rule ends here unless the packet is of that protocol."""
    return nft.load_meta(nft.META_PROTOCOL) + nft.compare(operator, number)


def interface(key: int, name: str) -> bytes:
    """The rule ends here unless the packet passes that interface."""
    return nft.load_meta(key) + nft.compare(nft.EQUAL, name.encode().ljust(16, b"\0"))


def _within(offset: int, prefix: Prefix, operator: int) -> tuple[bytes, ...]:
    octets = key_octets(prefix.length)
    load = nft.load(nft.NETWORK, offset, octets)
    if prefix.length % 8 == 0:
        return (load, nft.compare(operator, prefix.address[:octets]))
    return (load, nft.mask(mask_of(prefix.length)[:octets]), nft.compare(operator, prefix.address[:octets]))


def key(prefix: Prefix) -> bytes:
    """What stands for a prefix in the sets ``away`` and ``far``: the octets that it fills, wholly or in part."""
    return prefix.address[: key_octets(prefix.length)]


def key_octets(length: int) -> int:
    """Octets of a key for prefixes of `length` bits: for /64 half of what a whole address would cost."""
    return (length + 7) // 8


def _counted(length: int, base: int, offset: int) -> tuple[bytes, ...]:
    return _member(length, base, offset, nft.COUNTED)


def _member(length: int, base: int, offset: int, name: str) -> tuple[bytes, ...]:
    octets = key_octets(length) if name != nft.ROUTERS else 8
    mask = () if length % 8 == 0 else (nft.mask(mask_of(length)[:octets]),)
    return (nft.load(base, offset, octets), *mask, nft.member(name))


def change_mark(settings: LinuxSettings, value: int) -> tuple[bytes, ...]:
    """Our bits of the packet's mark become those of `value`; others stay."""
    keep = struct.pack("=I", ~settings.mark_mask & 0xFFFFFFFF)
    change = nft.mask(keep, struct.pack("=I", value & settings.mark_mask))
    return (nft.load_meta(nft.META_MARK), change, nft.store_mark())


def mask_of(length: int) -> bytes:
    """The first `length` of 128 bits."""
    return ((1 << 128) - (1 << (128 - length))).to_bytes(16, "big")
