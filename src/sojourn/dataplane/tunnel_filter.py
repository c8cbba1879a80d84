"""The packet filter of a home agent and of a mobile router: who may send what out of a tunnel, and what fits into one.

    prerouting, before anything is routed
      from our own loop                           clear our mark, accept
      home agent: IPv6-in-IPv6 to us              accept if the outer source and the inner one belong together: the
                                                  care-of address and the home address, or a network behind the node
                                                  (RFC 6275 10.4.5, RFC 3963 6.4.2); drop everything else
      home agent: to what is `away`               drop if it is in four tunnels already: home agents whose nodes are
                                                  said to be behind each other send packets round and round;
                                                  mark if not TCP and too big; clamp the TCP segment size
      mobile router: from what is `away`          the same
    forward
      in the other direction                      clamp the TCP segment size
    output
      home agent: redirects to a node's slot      drop

The kernel leads a marked packet into a link with the tunnel's MTU, and so answers Packet Too Big with the right number
(see `filters`). `away` holds home addresses and networks; a rule for each length of prefix looks them up.
"""

from __future__ import annotations

import errno
import hashlib
import struct
import time
from collections.abc import Iterator

from sojourn.dataplane import nftables as nft
from sojourn.dataplane.audit import CHANGED, FILTER, LEFT, MISSING, Finding
from sojourn.dataplane.filters import Rule, change_mark, interface, mask_of, protocol
from sojourn.dataplane.installation import station
from sojourn.dataplane.nftables import NFPROTO_IPV6, Table
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address, Prefix

LINGER = 3000
"""Milliseconds that packets are taken from a care-of address that a node has left: those that were on their way."""
_ENDS, _AWAY = "ends", "away"
_TIMEOUT = 4
"""NFTA_SET_ELEM_TIMEOUT: an element that ends by itself."""
_TCP, _IPV6 = b"\x06", b"\x29"
_SOURCE, _DESTINATION = 8, 24
_INNER = 6, 46, 86
"""Where the headers in a tunnelled packet say what they carry. When all of these carry IPv6, it is in four tunnels: as
many as RFC 2473 6.6 allows."""
_CHAINS = (
    ("away", None),
    ("prerouting", (nft.HOOK_PREROUTING, -300)),
    ("forward", (nft.HOOK_FORWARD, 0)),
    ("output", (nft.HOOK_OUTPUT, 0)),
)
_ICMPV6, _REDIRECT = b"\x3a", b"\x89"


class TunnelFilter:
    """`lengths` are those of all prefixes that may be away. Raises OSError where the kernel has no nf_tables."""

    def __init__(self, settings: LinuxSettings, lengths: tuple[int, ...], home_agent: bool) -> None:
        self._settings = settings
        self._lengths = tuple(sorted(set(lengths), reverse=True))
        self._home_agent = home_agent
        self._table = Table(NFPROTO_IPV6)
        self._wanted: set[tuple[str, bytes]] = set()
        self._left: set[tuple[str, bytes]] = set()
        self._lingering: dict[bytes, float] = {}

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._table.close()

    def install(self) -> None:
        """The table stands; one that is right is not touched."""
        rules = list(self._rules())
        digest = hashlib.sha256(b"".join(chain.encode() + b"".join(parts) for chain, parts in rules)).digest()
        if self._table.fingerprint() == digest:
            return
        sets = [nft.new_set(_ENDS, 1, 32, nft.SET_FORGETS), nft.new_set(_AWAY, 2, 16)]
        self._table.write(digest, sets, (), _CHAINS, rules)
        for name, key in sorted(self._wanted):
            self._table.put(key, name)

    def begin(self) -> None:
        """What is there from an earlier life and is not asked for goes with `finish`, or by itself."""
        now = time.monotonic()
        self._left, self._lingering = set(), {}
        for name in (_ENDS, _AWAY):
            for key, parts in self._table.elements(name).items():
                if _TIMEOUT in parts:
                    self._lingering[key] = now
                else:
                    self._left.add((name, key))

    def finish(self) -> list[str]:
        """Answers with what was removed, for the log."""
        left, self._left = self._left - self._wanted, set()
        for name, key in sorted(left):
            self._table.drop(key, name)
        return [f"{name} {key.hex()}" for name, key in sorted(left)]

    def findings(self) -> list[Finding]:
        """Where the table is not what it should be. Elements that linger go by themselves. Raises OSError."""
        if self._table.fingerprint() is None:
            return [Finding(MISSING, FILTER, "nf_tables table ip6 sojourn")]
        found = []
        rules = sum(1 for _ in self._rules())
        if self._table.rules() != rules:
            found.append(
                Finding(CHANGED, FILTER, f"nf_tables table ip6 sojourn has {self._table.rules()} of {rules} rules")
            )
        there = {(name, key) for name in (_ENDS, _AWAY) for key in self._table.elements(name)}
        for word, keys in ((MISSING, self._wanted - there), (LEFT, there - self._wanted)):
            for name, key in sorted(keys):
                if name == _AWAY or key not in self._lingering:
                    inner = Prefix(key[-16:], 128)
                    found.append(Finding(word, FILTER, f"{inner} in nf_tables set {name}", (inner,)))
        return found

    def remove(self) -> None:
        """Nothing of it is left."""
        self._table.remove()

    def lead(self, prefix: Prefix) -> None:
        """Packets to `prefix` (home agent) or from it (mobile router) go through a tunnel."""
        self._put(_AWAY, prefix.address)

    def lead_no_more(self, prefix: Prefix) -> None:
        """They do not, and what lingers is taken no more."""
        self._drop(_AWAY, prefix.address)
        for key in [key for key in self._lingering if key[16:] == prefix.address]:
            self._drop(_ENDS, key)

    def take(self, remote: Address, prefix: Prefix) -> None:
        """Packets from `prefix` are taken out of the tunnel from `remote`."""
        self._put(_ENDS, remote + prefix.address)

    def take_no_more(self, remote: Address, prefix: Prefix, lingers: bool) -> None:
        """They are not; if it `lingers`, not for much longer."""
        key = remote + prefix.address
        if not lingers:
            self._drop(_ENDS, key)
        elif (_ENDS, key) in self._wanted:
            self._wanted.discard((_ENDS, key))
            self._left.discard((_ENDS, key))
            self._table.let_expire(key, _ENDS, LINGER)
            now = time.monotonic()
            self._lingering = {one: since for one, since in self._lingering.items() if since > now - LINGER / 1000}
            self._lingering[key] = now

    def _put(self, name: str, key: bytes) -> None:
        self._wanted.add((name, key))
        if (name, key) in self._left:
            self._left.discard((name, key))
            return
        try:
            if self._lingers(key):
                self._table.drop(key, name)  # the time to live that runs would end it
            self._lingering.pop(key, None)
            self._table.put(key, name)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            self.install()  # somebody flushed the whole ruleset

    def _drop(self, name: str, key: bytes) -> None:
        """If it is there. To take away what is not makes the kernel wait for all processors, for 10 ms and more."""
        held = (name, key) in self._wanted or (name, key) in self._left or self._lingers(key)
        self._wanted.discard((name, key))
        self._left.discard((name, key))
        self._lingering.pop(key, None)
        if held:
            self._table.drop(key, name)

    def _lingers(self, key: bytes) -> bool:
        since = self._lingering.get(key)
        return since is not None and since > time.monotonic() - LINGER / 1000

    def _rules(self) -> Iterator[Rule]:
        settings = self._settings
        synchronise = (
            protocol(_TCP),
            nft.load(nft.TRANSPORT, 13, 1),
            nft.mask(b"\x02"),
            nft.compare(nft.EQUAL, b"\x02"),
        )
        clamp = (*synchronise, nft.clamp_segment_size(settings.segment_size))
        oversize = (
            protocol(_TCP, nft.NOT_EQUAL),
            nft.load_meta(nft.META_LENGTH),
            nft.network_order(),
            nft.compare(nft.GREATER, struct.pack(">I", settings.tunnel_mtu)),
        )
        deep = (part for offset in _INNER for part in _carries_ipv6(offset))
        yield "away", (protocol(_IPV6), *deep, nft.verdict(nft.DROP))
        yield "away", clamp
        yield "away", (*oversize, *change_mark(settings, settings.mark))
        clear = change_mark(settings, 0)
        yield "prerouting", (interface(nft.META_INPUT, settings.loop[1]), *clear, nft.verdict(nft.ACCEPT))
        if self._home_agent:
            yield from self._ends()
            # To nodes that are on the home link: hosts there would be told of the address that stands for a slot.
            redirect = (nft.load(nft.TRANSPORT, 0, 1), nft.compare(nft.EQUAL, _REDIRECT))
            target = (nft.load(nft.TRANSPORT, 8, 12), nft.compare(nft.EQUAL, station(0)[:12]))
            yield "output", (protocol(_ICMPV6), *redirect, *target, nft.verdict(nft.DROP))
        into, back = (_DESTINATION, _SOURCE) if self._home_agent else (_SOURCE, _DESTINATION)
        for length in self._lengths:
            yield "prerouting", (*self._away(into, length), nft.verdict(nft.JUMP, "away"))
        for length in self._lengths:
            yield "forward", (*self._away(back, length), *clamp)

    def _away(self, offset: int, length: int) -> tuple[bytes, ...]:
        return (nft.load(nft.NETWORK, offset, 16), nft.mask(mask_of(length)), nft.member(_AWAY))

    def _ends(self) -> Iterator[Rule]:
        to_us = (nft.load(nft.NETWORK, _DESTINATION, 16), nft.compare(nft.EQUAL, self._settings.address))
        for length in self._lengths:
            pair = (
                nft.load(nft.NETWORK, _SOURCE, 16),
                nft.load(nft.TRANSPORT, _SOURCE, 16, nft.SECOND_REGISTER),
                nft.mask(mask_of(length), register=nft.SECOND_REGISTER),
                nft.member(_ENDS),
            )
            yield "prerouting", (protocol(_IPV6), *to_us, *pair, nft.verdict(nft.ACCEPT))
        yield "prerouting", (protocol(_IPV6), *to_us, nft.verdict(nft.DROP))


def _carries_ipv6(offset: int) -> tuple[bytes, ...]:
    return (nft.load(nft.TRANSPORT, offset, 1), nft.compare(nft.EQUAL, _IPV6))
