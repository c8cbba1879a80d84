"""What a file says of partners and liveness that cannot be true together (see `sojourn.daemon.contradictions`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sojourn.files.fields import duration_text, parse_address, parse_duration
from sojourn.files.raw import readable, tables
from sojourn.files.raw import table as table_of
from sojourn.files.sections import Key
from sojourn.files.toml import Fault
from sojourn.wire.addresses import Address, text
from sojourn.wire.units import MILLISECOND

_ALONE = ("ipv4_transport", "user_plane")
"""Tables that give an LMA more addresses, which nobody takes over."""

INTERVAL_MIN = 20 * MILLISECOND
"""A daemon's timer may be late by some milliseconds, which must not look like a death."""


def partners(maar: Mapping[str, Any]) -> Iterator[Fault]:
    """A partner is another router that is known, and nobody steps in for whom nobody misses."""
    own = readable(parse_address, maar.get("address"))
    peers = {readable(parse_address, peer.get("address")) for peer in tables(maar.get("peers"))} - {None}
    named: list[tuple[Key, Address | None, Address | None]] = [
        (("maar", "partner"), readable(parse_address, maar.get("partner")), own)
    ]
    for index, peer in enumerate(tables(maar.get("peers"))):
        key: Key = ("maar", "peers", index, "partner")
        anchor = readable(parse_address, peer.get("address"))
        named.append((key, readable(parse_address, peer.get("partner")), anchor))
        if "partner" in peer and "pool" not in peer:
            yield Fault(key, "is named, and the pool of this peer is not", "expected pool: it is what a partner holds")
    for where, partner, anchor in named:
        if partner is not None:
            yield from _partner(where, partner, anchor, {own, *peers})  # type: ignore[arg-type]
            if not isinstance(maar.get("liveness"), dict):
                yield Fault(where, "is named, and nobody is missed", "expected a table [maar.liveness]")
    yield from _liveness(table_of(maar.get("liveness")))


def _partner(key: Key, partner: Address, anchor: Address | None, known: set[Address]) -> Iterator[Fault]:
    if partner == anchor:
        yield Fault(key, f"{text(partner)} is the router itself", "expected another one")
    elif partner not in known:
        yield Fault(key, f"{text(partner)} is not among maar.peers", "expected a peer, or this router")


def pair(lma: Mapping[str, Any]) -> Iterator[Fault]:
    """Two machines for one address: each has another one of its own, and both have what is stored."""
    own = table_of(lma.get("pair"))
    if not own:
        return
    shared = readable(parse_address, lma.get("address"))
    here, there = (readable(parse_address, own.get(key)) for key in ("own", "partner"))
    for key, address in (("own", here), ("partner", there)):
        if address is not None and address == shared:
            wrong = f"{text(address)} is lma.address, which is at one of both at a time"
            yield Fault(("lma", "pair", key), wrong, "expected an address that stays at its machine")
    if here is not None and here == there:
        yield Fault(("lma", "pair", "partner"), f"{text(here)} is this machine", "expected the other one's address")
    for index, gateway in enumerate(tables(lma.get("gateways"))):
        address = readable(parse_address, gateway.get("address"))
        if address is not None and address in (here, there):
            place: Key = ("lma", "gateways", index, "address")
            yield Fault(place, f"{text(address)} is an anchor (lma.pair)", "expected a gateway's own address")
    if not lma.get("databases"):
        wrong = "has a partner, and lma.databases is missing: nobody says which of both is the anchor"
        yield Fault(("lma", "pair"), wrong, "expected the same databases on both machines")
    for key in _ALONE:
        if lma.get(key) is not None:
            yield Fault(("lma", key), "is not taken over by a partner, and there is lma.pair", "expected one of both")
    if lma.get("keep_forwarding") is True:
        yield Fault(
            ("lma", "keep_forwarding"),
            "would leave the address at this machine when the partner has it",
            "expected false; a restart keeps forwarding anyhow",
        )
    yield from _liveness(own, ("lma", "pair"))


def _liveness(liveness: Mapping[str, Any], where: Key = ("maar", "liveness")) -> Iterator[Fault]:
    interval, misses = readable(parse_duration, liveness.get("interval")), liveness.get("misses")
    if interval is not None and interval < INTERVAL_MIN:
        yield Fault(
            (*where, "interval"),
            f"{duration_text(interval)} is shorter than a busy machine is late",
            f"expected {duration_text(INTERVAL_MIN)} at least",
        )
    if isinstance(misses, int) and misses < 2:
        yield Fault((*where, "misses"), f"{misses}: one lost message would be a death", "expected 2 at least")
