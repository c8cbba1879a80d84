"""``sojourn selftest``: is the way of every session in place, and is nothing left of those that are over?

Two questions, of which each catches what the other cannot see:

* *The kernel.* What of ours it holds is read from it and compared with what it should hold (`dataplane.audit`). That
  proves absence too: a route, a next hop, an element of a set that nobody asked for is found. A difference must be seen
  twice, as the world goes on while we look.
* *The way.* An echo request goes where packets of the session go, along anchor, tunnel, serving router and host, and
  its answer comes back the other way. If none comes, others tell where it was lost: one to the other router plainly
  (the network between), one to the other router through the tunnel (the tunnel), and one that must end at the other
  router (its hop limit is 1): if that router reports it, it was about to pass the packet on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.core.engine import Row
from sojourn.daemon.acquaintances import Acquaintances, made_of, within
from sojourn.daemon.roles import Role
from sojourn.dataplane import audit, objects
from sojourn.dataplane.audit import (
    ADDRESS,
    ANCHOR,
    DIRECT,
    FILTER,
    HOME_LINK,
    LEFT,
    MULTICAST,
    QUEUE,
    RULES,
    SERVING,
    TUNNEL,
    Audited,
    Finding,
)
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.dataplane.netlink import Netlink, attributes
from sojourn.dataplane.object_parts import RTM_GETNEIGH
from sojourn.host.prober import TIME_EXCEEDED, Heard, Prober
from sojourn.telemetry.identifiers import Identifiers, node_text
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix, link_layer_text, text
from sojourn.wire.addresses import prefix as parse_prefix

OK, LOST, SKIPPED, REPAIRED = "ok", "lost", "skipped", "repaired"
NETWORK, HOST = "network", "host"
"""Places beside those of the audit: between two routers, and the node itself."""
CONFIRM_AFTER = 0.3
"""Seconds until what looks wrong in the kernel is looked at again."""
AT_ONCE = 32
"""Sessions that are probed at a time."""
_ASKED = 4
"""Addresses of one host that are asked."""

_REMEDIES = {
    ANCHOR: "put it back: sojourn selftest --repair at this router",
    SERVING: "put it back: sojourn selftest --repair at this router",
    TUNNEL: "put it back: sojourn selftest --repair at this router",
    FILTER: "put it back: sojourn selftest --repair; look who else changes nf_tables (nft monitor)",
    RULES: "put it back: sojourn selftest --repair; look who else changes rules (ip monitor rule)",
    ADDRESS: "put it back: sojourn selftest --repair at this host",
    QUEUE: "put it back: sojourn selftest --repair at this router; a handover ends by itself within seconds",
    MULTICAST: "put it back: sojourn selftest --repair at this router",
    HOME_LINK: "put it back: sojourn selftest --repair at this home agent",
    DIRECT: "put it back: sojourn selftest --repair at this host; look who else changes tc or ip xfrm",
}
_NOT_BY_CORRESPONDENT = "is that host up? sojourn selftest there; without it packets go by way of the home agent"
_NOT_BY_MOBILE_NODE = "is that host up, and does it answer to echo requests? sojourn selftest there"
_LEFT = "remove it: sojourn selftest --repair at this router"


class Owner(NamedTuple):
    """The node that has a prefix."""

    node: str
    """As engines write nodes: hexadecimal digits, subtype first; of a mobile node of a home agent, its home address."""
    link_layer: bytes


@dataclass
class _Probe:
    """What is known of the way to another router; asked once for all sessions."""

    network: Heard | None = None
    tunnel: Heard | None = None


@dataclass
class Selftest:
    """Of one role. `wanted`: which prefixes."""

    role: Role
    acquaintances: Acquaintances
    wanted: Callable[[Prefix], bool] = lambda prefix: True
    routers: Sequence[Address] = ()
    """Of a role that forwards nothing: whom it speaks with."""
    owners: dict[Prefix, Owner] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    _ways: dict[Address, asyncio.Task[_Probe]] = field(default_factory=dict)
    _neighbours: list[Address] = field(default_factory=list)
    _broken: dict[Prefix, Finding] = field(default_factory=dict)
    _broken_for_all: Finding | None = None
    """What the kernel lacks that all packets need."""

    async def run(self, repair: bool = False) -> list[Row]:
        """Test everything; answers with a row for each test."""
        plane = self.role.dataplane
        if isinstance(plane, Audited):
            await self._compare(plane, repair)
        else:
            self._add("kernel", SKIPPED, detail=f"{self.role.name} forwards nothing in this kernel")
        if isinstance(plane, MobileNodeDataplane):
            await self._probe_homes(plane)
            await self._probe_directly(plane.correspondents(), _NOT_BY_CORRESPONDENT)
        elif isinstance(plane, CorrespondentDataplane):
            await self._probe_directly([(UNSPECIFIED, home) for home in plane.homes()], _NOT_BY_MOBILE_NODE)
        elif isinstance(plane, LinuxDataplane):
            await self._probe_sessions(plane)
        elif self.role.address is not None:
            await self._probe_routers(self.role.address)
        if not any(row["check"] != "kernel" for row in self.rows):
            self._add("way", SKIPPED, detail="there is no session whose way could be tested")
        return self.rows

    # --- the kernel ---------------------------------------------------------------------------------------------------

    async def _compare(self, plane: Audited, repair: bool) -> None:
        findings = await self._differences(plane)
        if findings:
            await asyncio.sleep(CONFIRM_AFTER)
            again = {(one.what, one.thing) for one in await self._differences(plane)}
            findings = [one for one in findings if (one.what, one.thing) in again]
        if findings and repair:
            audit.repair(plane, findings)
            left = {(one.what, one.thing) for one in await self._differences(plane)}
            for one in findings:
                if (one.what, one.thing) not in left:
                    self._tell(one, REPAIRED, one.prefixes)
            findings = [one for one in findings if (one.what, one.thing) in left]
        told = 0
        for one in findings:
            if one.prefixes and not any(map(self.wanted, one.prefixes)):
                continue
            self._tell(one, one.what, one.prefixes)
            told += 1
            if one.what != LEFT:
                self._broken.update(dict.fromkeys(one.prefixes, one))
                if not one.prefixes and one.place in (RULES, TUNNEL):
                    self._broken_for_all = one
        if not told and not any(row["check"] == "kernel" for row in self.rows):
            self._add("kernel", OK, detail="holds what it should, and nothing else of ours")

    async def _differences(self, plane: Audited) -> list[Finding]:
        def read() -> tuple[list[objects.KernelObject], list[Address]]:
            netlink = Netlink()
            try:
                return plane.held(netlink), _neighbours(netlink)
            finally:
                netlink.close()

        try:
            held, self._neighbours = await asyncio.to_thread(read)
            return audit.differences(plane, held)
        except (OSError, KeyError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            return [Finding("unreadable", RULES, f"the kernel's state: {reason}")]

    def _tell(self, finding: Finding, result: str, prefixes: tuple[Prefix, ...]) -> None:
        concerned = [prefix for prefix in prefixes if self.wanted(prefix)]
        remedy = "" if result == REPAIRED else _LEFT if result == LEFT else _REMEDIES.get(finding.place, "")
        each: list[Prefix | None] = [*concerned]
        for prefix in each or [None]:
            self._add("kernel", result, prefix, place=finding.place, detail=finding.thing, remedy=remedy)

    # --- the way ------------------------------------------------------------------------------------------------------

    async def _probe_sessions(self, plane: LinuxDataplane) -> None:
        assert self.role.address is not None
        prober = Prober(self.role.address)
        room = asyncio.Semaphore(AT_ONCE)

        async def one(prefix: Prefix, slot: int) -> None:
            async with room:
                await self._probe_session(plane, prober, prefix, slot)

        try:
            sessions = [(prefix, slot) for prefix, slot in plane.state.prefixes.items() if self.wanted(prefix)]
            await asyncio.gather(*(one(prefix, slot) for prefix, slot in sessions))
        finally:
            for task in self._ways.values():
                task.cancel()
            prober.close()

    async def _probe_session(self, plane: LinuxDataplane, prober: Prober, prefix: Prefix, slot: int) -> None:
        broken = self._broken.get(prefix)
        if broken is not None:
            self._add("way", LOST, prefix, place=broken.place, detail="see what the kernel lacks")
            return
        if prefix in plane.state.pools:
            self._add("way", SKIPPED, prefix, detail="the pool of another anchor, held here")
            return
        if prefix.is_ipv4 or plane.state.prefixes.get(prefix) != slot:
            self._add("way", SKIPPED, prefix, detail="an IPv4 address: the kernel's state alone was looked at")
            return
        match plane.state.slots.get(slot):
            case EnsureTunnel(_, remote):
                await self._probe_tunnelled(plane, prober, prefix, remote)
            case EnsureDelivery():
                heard = await self._ask_host(prober, prefix)
                self._judge_here(prefix, heard)
                anchor = plane.state.uplinks.get(prefix)
                if anchor is not None:
                    await self._probe_way_back(prober, prefix, anchor)
            case EnsureHold():
                self._add("way", SKIPPED, prefix, detail="the node is nowhere; packets to it wait")
            case _:
                self._add("way", SKIPPED, prefix, detail="several tunnels, or a handover is under way")

    async def _probe_tunnelled(self, plane: LinuxDataplane, prober: Prober, prefix: Prefix, remote: Address) -> None:
        heard = await self._ask_host(prober, prefix)
        if heard is not None and not heard.error:
            self._add("way", OK, prefix, heard=heard, detail=f"through the tunnel to {text(remote)}")
            return
        ends_here = not isinstance(plane, HomeAgentDataplane)
        way = await self._way_to(prober, remote, ends_here)
        there = text(remote)
        if way.network is None or way.network.error:
            where, detail = NETWORK, f"{there} does not answer"
            remedy = f"look at the route to {there} (ip -6 route get {there}), and whether that router is up"
        elif ends_here and (way.tunnel is None or way.tunnel.error):
            where, detail = TUNNEL, f"{there} answers, but takes nothing out of a tunnel from here"
            remedy = "sojourn selftest at that router; is this router among its peers?"
        elif heard is not None and heard.error:
            where = SERVING
            what = "goes round" if heard.error == TIME_EXCEEDED else f"error {heard.error}, code {heard.code}"
            detail, remedy = f"{text(heard.sender)} reports: {what}", f"sojourn selftest at {there}"
        else:
            where, detail, remedy = await self._last_mile(prober, prefix, remote, ends_here)
        if where:
            self._add("way", LOST, prefix, place=where, detail=detail, remedy=remedy)
        else:
            self._add("way", SKIPPED, prefix, detail=detail)

    async def _last_mile(
        self, prober: Prober, prefix: Prefix, remote: Address, ends_here: bool
    ) -> tuple[str, str, str]:
        """Whether the other router would have passed it on to the node. An empty place: who knows."""
        known = self._hosts(prefix)
        if ends_here:
            target = known[0] if known else prefix.address[:15] + b"\1"
            heard = await prober.ask(target, through=remote, hop_limit=1)
            if heard is None:
                return SERVING, f"{text(remote)} drops it", f"sojourn selftest at {text(remote)}"
        if not known:
            return "", f"as far as {text(remote)}; no address of the host is known that could be asked", ""
        asked = ", ".join(map(text, known[:_ASKED]))
        return HOST, f"does not answer ({asked})", "is it there, and does it answer to echo requests?"

    def _judge_here(self, prefix: Prefix, heard: Heard | None) -> None:
        if heard is not None and not heard.error:
            self._add("way", OK, prefix, heard=heard, detail="on the link")
            return
        known = ", ".join(map(text, self._hosts(prefix)[:_ASKED]))
        if heard is not None:
            detail = f"{text(heard.sender)} reports error {heard.error}, code {heard.code}"
            self._add("way", LOST, prefix, place=SERVING, detail=detail, remedy=_REMEDIES[SERVING])
        elif known:
            remedy = "is it there, and does it answer to echo requests?"
            self._add("way", LOST, prefix, place=HOST, detail=f"does not answer ({known})", remedy=remedy)
        else:
            self._add("way", SKIPPED, prefix, detail="no address of the host is known that could be asked")

    async def _probe_way_back(self, prober: Prober, prefix: Prefix, anchor: Address) -> None:
        way = await self._way_to(prober, anchor, True)
        there = text(anchor)
        if way.network is None or way.network.error:
            remedy = f"look at the route to {there} (ip -6 route get {there}), and whether that router is up"
            self._add("way back", LOST, prefix, place=NETWORK, detail=f"{there} does not answer", remedy=remedy)
        elif way.tunnel is None or way.tunnel.error:
            detail = f"{there} answers, but takes nothing out of a tunnel from here"
            remedy = "sojourn selftest at that router; is this router among its peers?"
            self._add("way back", LOST, prefix, place=TUNNEL, detail=detail, remedy=remedy)
        else:
            self._add("way back", OK, prefix, heard=way.tunnel, detail=f"through the tunnel to {there}")

    async def _way_to(self, prober: Prober, remote: Address, tunnelled: bool) -> _Probe:
        async def look() -> _Probe:
            network = prober.ask(remote)
            tunnel = prober.ask(remote, through=remote) if tunnelled else _nothing()
            return _Probe(*(await asyncio.gather(network, tunnel)))

        task = self._ways.get(remote)
        if task is None:
            task = self._ways[remote] = asyncio.get_running_loop().create_task(look())
        return await asyncio.shield(task)

    async def _ask_host(self, prober: Prober, prefix: Prefix) -> Heard | None:
        """The first answer of any of its addresses; else an error, else nothing."""
        answers = await asyncio.gather(*(prober.ask(address) for address in self._hosts(prefix)[:_ASKED]))
        heard = sorted((one for one in answers if one is not None), key=lambda one: (one.error != 0, one.seconds))
        return heard[0] if heard else None

    def _hosts(self, prefix: Prefix) -> list[Address]:
        """Addresses that the host may have, the likely ones first."""
        seen = self.acquaintances.of(prefix)
        cached = [address for address in self._neighbours if within(address, prefix)]
        owner = self.owners.get(prefix)
        made = [] if owner is None else made_of(prefix, [owner.link_layer])
        return list(dict.fromkeys((*seen, *cached, *made)))

    # --- other roles --------------------------------------------------------------------------------------------------

    async def _probe_homes(self, plane: MobileNodeDataplane) -> None:
        for home, (care_of, agent) in plane.homes().items():
            prefix = Prefix(home, 128)
            if not self.wanted(prefix):
                continue
            if self._broken_for_all is not None:  # an answer may have come by another way
                self._add("way", LOST, prefix)
                continue
            inside = await _ask_from(home, agent)
            if inside is not None and not inside.error:
                self._add("way", OK, prefix, heard=inside, detail=f"through the tunnel to {text(agent)}")
                continue
            outside = await _ask_from(care_of, agent)
            if outside is None or outside.error:
                detail, remedy = f"{text(agent)} does not answer", "is this link up, and the home agent?"
                self._add("way", LOST, prefix, place=NETWORK, detail=detail, remedy=remedy)
            else:
                detail = f"{text(agent)} answers, but not through the tunnel from {text(care_of)}"
                self._add("way", LOST, prefix, place=TUNNEL, detail=detail, remedy="sojourn selftest at the home agent")

    async def _probe_directly(self, pairs: Iterable[tuple[Address, Address]], remedy: str) -> None:
        """Between a home address and a correspondent node; whose own address is unspecified, it is this host's."""
        for own, other in pairs:
            home = Prefix(other if own == UNSPECIFIED else own, 128)
            if not self.wanted(home):
                continue
            between = f"directly to {text(other)}"
            heard = await _ask_from(own, other)
            if heard is not None and not heard.error:
                self._add("direct way", OK, home, heard=heard, detail=between)
            else:
                self._add("direct way", LOST, home, place=DIRECT, detail=f"{between}: no answer", remedy=remedy)

    async def _probe_routers(self, own: Address) -> None:
        prober = Prober(own)
        try:
            answers = await asyncio.gather(*(prober.ask(router) for router in self.routers))
        finally:
            prober.close()
        for router, heard in zip(self.routers, answers, strict=True):
            if heard is not None and not heard.error:
                self._add("router", OK, heard=heard, detail=text(router))
            else:
                remedy = f"look at the route to it (ip -6 route get {text(router)}), and whether it is up"
                self._add("router", LOST, place=NETWORK, detail=f"{text(router)} does not answer", remedy=remedy)

    def _add(
        self,
        check: str,
        result: str,
        prefix: Prefix | None = None,
        *,
        place: str = "",
        heard: Heard | None = None,
        detail: str = "",
        remedy: str = "",
    ) -> None:
        if result == LOST and self._broken_for_all is not None:
            place, detail, remedy = self._broken_for_all.place, "see what the kernel lacks", ""
        owner = None if prefix is None else self.owners.get(prefix)
        row: dict[str, Any] = {"node": None if owner is None else owner.node}
        row |= {"prefix": None if prefix is None else str(prefix), "check": check, "result": result}
        row |= {"ms": None if heard is None else round(heard.seconds * 1000, 1), "place": place or None}
        self.rows.append(row | {"detail": detail or None, "remedy": remedy or None})


def owners(role: Role) -> dict[Prefix, Owner]:
    """Whose the prefixes are that the role forwards, as its table of sessions says."""
    found: dict[Prefix, Owner] = {}
    for row in role.engine.show("sessions", time.monotonic_ns()):
        node = row.get("node") or row.get("home")
        if not isinstance(node, str):
            continue
        link_layer = _octets(row.get("link_layer")) or (_octets(node)[1:] if ":" not in node else b"")
        written = row.get("prefixes")
        each = written if isinstance(written, list | tuple) else ()
        if isinstance(home := row.get("home"), str):
            each = (*each, f"{home}/128")
        for one in each:
            with suppress(ValueError):
                found[parse_prefix(str(one).split()[0])] = Owner(node, link_layer)
    return found


def selected(target: str, whose: Mapping[Prefix, Owner], identifiers: Identifiers) -> Callable[[Prefix], bool]:
    """Which prefixes `target` means: one of them, one that an address lies in, or those of a node.

    A node is named by its link-layer address, its name (NAI), as hexadecimal digits, or by the hash that tables show.
    """
    if not target:
        return lambda prefix: True
    with suppress(ValueError):
        meant = parse_prefix(target if "/" in target else f"{target}/128")
        return lambda prefix: prefix.contains(meant) or meant.contains(prefix)
    wanted = target.lower().replace("-", ":")

    def named(prefix: Prefix) -> bool:
        owner = whose.get(prefix)
        if owner is None:
            return False
        octets = _octets(owner.node)
        known = {owner.node, link_layer_text(owner.link_layer), node_text(octets), identifiers.node(octets)}
        return bool({target, wanted} & {*known, identifiers.link_layer(owner.link_layer)})

    return named


def _octets(written: object) -> bytes:
    with suppress(ValueError):
        return bytes.fromhex(written.replace(":", "")) if isinstance(written, str) else b""
    return b""


async def _nothing() -> None:
    return None


async def _ask_from(source: Address, destination: Address) -> Heard | None:
    try:
        prober = Prober(source)
    except OSError:
        return None  # the address is gone
    try:
        return await prober.ask(destination)
    finally:
        prober.close()


def _neighbours(netlink: Netlink) -> list[Address]:
    """Global addresses that the kernel knows as those of neighbours."""
    found = []
    for body in netlink.dump(RTM_GETNEIGH, objects.NEIGHBOURS_REQUEST):
        address = attributes(body, 12).get(1, b"")
        if len(address) == 16 and address[0] & 0xE0 == 0x20:
            found.append(address)
    return found
