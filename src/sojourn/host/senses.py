"""What each role of Mobile IPv6 listens to on its machine: a mobile node, a home agent, a correspondent node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sojourn.host.mobile_sockets import DISCOVERY, PARAMETER_PROBLEM, ROUTER_ADVERTISEMENT, SOURCE_RATE, UNREACHABLE
from sojourn.wire.addresses import Address, Prefix

MN_TYPES = frozenset({0, 3, 4, 6, 7, 12, 16})
"""Mobility Headers for a mobile node: Binding Refresh Request, Home Test, Care-of Test, Binding Acknowledgement,
Binding Error (RFC 6275 6.1), Home Agent Switch (RFC 5142), Binding Revocation (RFC 5846).
"""
_REQUEST, _REPLY, _SOLICITATION, _PREFIXES = DISCOVERY
_EXPERIMENT = 11
"""Mobility Headers of experiments (RFC 5096)."""


@dataclass(frozen=True)
class Senses:
    """What a role listens to."""

    icmpv6: tuple[int, ...]
    handled: frozenset[int] | None = None
    """Types of Mobility Headers; None: all."""
    only: bool = True
    """No other role here answers for the others."""
    interfaces: tuple[str, ...] = ()
    """Links that are followed."""
    moves: bool = False
    """These links may be others whenever they come up."""
    direct: bool = False
    """It has direct ways, which follow the default routes. Those of a mobile node are made anew when it moves."""
    anycast: tuple[tuple[Address, str], ...] = ()
    """Addresses that other machines on a link have too, with the link."""
    correspondents: bool = False
    """Who writes through a tunnel is told."""
    router: bool = False
    """This machine is one, and says so on its links."""
    tunnel_end: Address = b""
    """Of all tunnels that end at a home agent. What comes out of one proves itself, whoever made the tunnel."""
    delegation: bool = False
    """Prefixes are asked for by DHCPv6."""
    source_rate: int = SOURCE_RATE
    """Messages a second of one source."""
    home_link: str = ""
    """Of a home agent, if it has one."""
    home_prefixes: tuple[Prefix, ...] = ()
    """Of that link."""


def of_mobile_node(
    interfaces: Sequence[str],
    optimises: bool,
    only: bool,
    router: bool = False,
    experiments: bool = False,
    delegation: bool = False,
) -> Senses:
    """Its links, and what home agents and correspondents answer. `only`: there is no correspondent node here."""
    handled = MN_TYPES | {_EXPERIMENT} if experiments else MN_TYPES
    heard = (UNREACHABLE, PARAMETER_PROBLEM, ROUTER_ADVERTISEMENT, _REPLY, _PREFIXES)
    links = tuple(interfaces)
    return Senses(heard, handled, only, links, True, correspondents=optimises, router=router, delegation=delegation)


def of_home_agent(
    interface: str,
    anycast: Sequence[Address],
    source_rate: int = SOURCE_RATE,
    address: Address = b"",
    prefixes: Sequence[Prefix] = (),
) -> Senses:
    """`interface` is the home link, or empty, `prefixes` are its; `address` is where tunnels end."""
    heard = (ROUTER_ADVERTISEMENT, _REQUEST, _SOLICITATION)
    listened = tuple((address, interface) for address in anycast) if interface else ()
    links = (interface,) if interface else ()
    return Senses(
        heard, interfaces=links, anycast=listened, router=True, tunnel_end=address, source_rate=source_rate,
        home_link=interface, home_prefixes=tuple(prefixes),
    )  # fmt: skip


def of_correspondent(beside: Senses | None) -> Senses:
    """Everything that is not for the mobile node on this machine, if there is one."""
    handled = None if beside is None or beside.handled is None else frozenset(range(256)) - beside.handled
    return Senses((UNREACHABLE,), handled, only=False, direct=True)
