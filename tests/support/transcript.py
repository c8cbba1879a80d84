"""Scenarios as text: what happens above the line ``----``, all that the engines do about it below.

    mn1 attaches ar1            and how the rest of a sentence may go: leaves, roams AR AR, sends on AR, solicits on AR
    wait 300ms
    lose 1 ar1 cmd              the next message from ar1 to cmd; `lose all ar1 cmd` until `lose none`
    crash cmd                   restart cmd with store | restart cmd without store
    delay ar1 cmd 10ms          skew ar1 -400ms            traffic ar1#0 5
    refuse ar1 EnsurePrefix     the kernel refuses that from now on, until `accept ar1`
    mn1 expected mag1 mag2      somebody tells mag1 that the node is about to leave for mag2
    mn1 is deaf                 it answers no probe any more
    mn1 joins ff0e::1           wherever it is: it says so now, and when it is asked
    mn1 quits ff0e::1           the opposite of it
    tell lma revoke node=mn1    a command over the control socket
    untraced / traced           what happens in between is not in the trace
    dark ar1                    the whole machine is gone; `restart` brings it back
    check                       routes are what the bindings say, one owner for a prefix, no loop

``domain pmip`` begins a domain of RFC 5213 (`support.pmip_words`): lma, mag1, mag2 ...; ``home#0`` is the first prefix
that the LMA gives away, ``ar1#0`` is the first prefix of ar1's pool. ``domain direct cmds=0`` has no CMD;
``partner=ar1:ar3`` lets routers miss each other, whose heartbeats are not in the trace. Times are seconds since the
domain came up.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from sojourn.core.effects import (
    ProbeNode,
    QueryListeners,
    SendMessage,
)
from sojourn.core.events import Commanded, GroupsReported, HandoverExpected, NodeSeen, Sighting
from sojourn.engines.configuration import Mode, MulticastConfiguration
from sojourn.wire import (
    Heartbeat,
    MobilityMessage,
)
from sojourn.wire.addresses import Address, address, prefix
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration
from support import checkers, pmip_checkers
from support.domain import CMD, HOSTS, Domain, pool, router
from support.legacy import LegacyAnchor
from support.pmip import ProxyDomain, gateway
from support.pmip_words import proxy_domain
from support.transcript_words import describe

_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE}
_NAMES = {link_layer: host for host, link_layer in HOSTS.items()}
_HOME = prefix("2001:db8:f000::/48")


def play(script: str) -> str:
    """The trace of a scenario."""
    stage = _Stage()
    for line in script.splitlines():
        words = line.split("#  ")[0].split()
        if words and not line.startswith("#"):
            stage.do(words)
    return stage.trace()


def duration(words: str) -> Duration:
    """``250ms``, ``-2s``, ``5m``."""
    for unit, length in _UNITS.items():
        if words.endswith(unit) and words[: -len(unit)].lstrip("-").replace(".", "").isdigit():
            return int(float(words[: -len(unit)]) * length)
    raise ValueError(f"{words}: not a time")


class _Stage:
    """One scenario being played."""

    def __init__(self) -> None:
        self.domain: Domain | ProxyDomain | None = None
        self.lines: list[str] = []
        self.places: dict[str, str] = {}
        self.deaf: set[str] = set()
        self.groups: dict[str, list[Address]] = {}
        self._losses: dict[tuple[str, str], int] = {}
        self._last = ("", "")
        self._traced = True
        self._beats_left_out = False
        self._seen = 0
        self._born = 0

    def do(self, words: list[str]) -> None:
        """One line of the script."""
        if words[0] == "domain":
            self._domain(words[1:])
            return
        assert self.domain is not None, "a scenario begins with its domain"
        action: Callable[..., None] | None = getattr(self, f"_do_{words[0]}", None)
        if action is not None:
            action(*words[1:])
        else:
            getattr(self, f"_node_{words[1]}")(words[0], *[word for word in words[2:] if word != "on"])
        self._write()

    def trace(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines) + "\n"

    # --- the script -------------------------------------------------------------------------------------------------

    def _domain(self, words: list[str]) -> None:
        options = dict(word.split("=", 1) for word in words[1:])
        if words[0] == "pmip":
            self._begin(proxy_domain(options))
            return
        mode = Mode(words[0])
        settings: dict[str, object] = {}
        cmd: dict[str, object] = {}
        for key, value in options.items():
            if key not in ("maars", "legacy", "routes", "pool", "multicast", "cmds", "partner"):
                (cmd if key.startswith("cmd.") else settings)[key.removeprefix("cmd.")] = _value(value)
        if "multicast" in options:
            settings["multicast"] = MulticastConfiguration(options["multicast"], ("acc0",))
        maars, cmds = int(options.get("maars", 3)), int(options.get("cmds", 1))
        partners = dict([options["partner"].split(":")]) if "partner" in options else None
        self._beats_left_out = partners is not None
        domain = Domain(mode, maars, cmd=cmd, cmds=cmds, partners=partners, **settings)  # type: ignore[arg-type]
        if "legacy" in options:
            domain.replace_cmd(LegacyAnchor(CMD, _HOME, strict=options["legacy"] == "strict"))
        for name in options.get("routes", "").split(",") if "routes" in options else []:
            network = prefix(f"fd00:{name.removeprefix('ar')}::/32")
            domain.reconfigure(name, routes=(network,))
        if "pool" in options:
            domain.reconfigure("ar1", pool=prefix(f"2001:db8:a100::/{options['pool']}"))
        self._begin(domain)

    def _begin(self, domain: Domain | ProxyDomain) -> None:
        self.domain = domain
        domain.lose = self._lost
        domain.on_probe = self._on_probe
        domain.on_query = self._on_query
        domain.clear()
        self._born = domain.now

    def _do_wait(self, time: str) -> None:
        assert self.domain is not None
        self.domain.run(duration(time))

    def _do_delay(self, one: str, other: str, time: str) -> None:
        assert self.domain is not None
        self.domain.delays[one, other] = self.domain.delays[other, one] = duration(time)

    def _do_lose(self, count: str, source: str = "", destination: str = "") -> None:
        if count == "none":
            self._losses.clear()
        else:
            self._losses[source, destination] = 1 << 30 if count == "all" else int(count)

    def _do_crash(self, name: str) -> None:
        assert self.domain is not None
        self.domain.crash(name)

    def _do_dark(self, name: str) -> None:
        assert self.domain is not None
        self.domain.members[name].lose_power()

    def _do_restart(self, name: str, how: str, what: str) -> None:
        assert self.domain is not None
        self.domain.restart(name, store=how == "with")
        for host, place in self.places.items():
            if place == name:
                self.domain.attach(host, name)

    def _do_skew(self, name: str, time: str) -> None:
        assert self.domain is not None
        self.domain.skew(name, duration(time))

    def _do_traffic(self, network: str, packets: str) -> None:
        assert self.domain is not None
        name, index = network.split("#")
        self.domain.plane(name).traffic(pool(int(name[2:])).subnet(int(index), 64), int(packets))

    def _do_refuse(self, name: str, effect: str) -> None:
        assert self.domain is not None
        error = OSError(errno.ENOSPC, "no room")
        self.domain.plane(name).trouble = lambda asked: error if type(asked).__name__ == effect else None

    def _do_accept(self, name: str) -> None:
        assert self.domain is not None
        self.domain.plane(name).trouble = None

    def _do_tell(self, name: str, verb: str, *words: str) -> None:
        """Somebody gives a command; ``node=mn1`` is its identifier."""
        assert self.domain is not None
        told = dict(word.split("=", 1) for word in words)
        if told.get("node") in HOSTS:
            told["node"] = HOSTS[told["node"]].hex(":")
        self.domain.event(name, Commanded(verb, told))

    def _do_untraced(self) -> None:
        self._write()
        self._traced = False

    def _do_traced(self) -> None:
        self._write()
        self._traced = True

    def _do_check(self) -> None:
        assert self.domain is not None
        self._write()
        if isinstance(self.domain, ProxyDomain):
            faults = pmip_checkers.faults(self.domain)
            self.lines += [f"checked: {fault}" for fault in faults] or ["checked: routes are what the bindings say"]
            return
        faults = checkers.owners(self.domain) + checkers.loops(self.domain)
        if self.domain.mode is Mode.DIRECT:  # there are no others than those of the routers
            faults += checkers.routes_equal(self.domain, checkers.bindings(self.domain))
        else:
            faults += checkers.routes_equal_bindings(self.domain)
        self.lines += [f"checked: {fault}" for fault in faults] or ["checked: routes are what the bindings say"]

    def _do_nothing(self, left: str) -> None:
        """``nothing left``: nobody knows anything of any node."""
        assert self.domain is not None
        self._write()
        self.lines += [f"left: {fault}" for fault in checkers.nothing_left(self.domain)] or ["checked: nothing is left"]

    def _node_attaches(self, host: str, name: str) -> None:
        assert self.domain is not None
        self.places[host] = name
        self.domain.attach(host, name)

    def _node_leaves(self, host: str, name: str) -> None:
        assert self.domain is not None
        self.places.pop(host, None)
        self.domain.detach(host, name)

    def _node_vanishes(self, host: str) -> None:
        """It is gone and no link says so."""
        self.places.pop(host, None)

    def _node_roams(self, host: str, old: str, new: str) -> None:
        self._node_leaves(host, old)
        self._node_attaches(host, new)

    def _node_sends(self, host: str, name: str) -> None:
        assert self.domain is not None
        self.domain.event(name, NodeSeen("acc0", HOSTS[host], Sighting.NEIGHBOUR))

    def _node_solicits(self, host: str, name: str) -> None:
        assert self.domain is not None
        self.domain.event(name, NodeSeen("acc0", HOSTS[host], Sighting.ROUTER_SOLICITATION))

    def _node_joins(self, host: str, group: str) -> None:
        self.groups.setdefault(host, []).append(address(group))
        self._say(host, self.places[host], RecordType.CHANGE_TO_EXCLUDE_MODE, address(group))

    def _node_quits(self, host: str, group: str) -> None:
        self.groups[host].remove(address(group))
        self._say(host, self.places[host], RecordType.CHANGE_TO_INCLUDE_MODE, address(group))

    def _say(self, host: str, name: str, kind: RecordType, group: Address) -> None:
        assert self.domain is not None
        record = MulticastAddressRecord(kind, group)
        self.domain.event(name, GroupsReported("acc0", HOSTS[host], (record,), False))

    def _node_expected(self, host: str, name: str, target: str) -> None:
        assert self.domain is not None
        number = int(target.strip("armg"))
        where = gateway(number) if isinstance(self.domain, ProxyDomain) else router(number)
        self.domain.event(name, HandoverExpected(HOSTS[host], where))

    def _node_is(self, host: str, what: str) -> None:
        assert what == "deaf"
        self.deaf.add(host)

    # --- the world ----------------------------------------------------------------------------------------------------

    def _lost(self, source: str, destination: str, message: MobilityMessage) -> bool:
        left = self._losses.get((source, destination), 0)
        self._losses[source, destination] = max(left - 1, 0)
        return left > 0

    def _on_probe(self, name: str, probe: ProbeNode) -> None:
        assert self.domain is not None
        host = _NAMES[probe.link_layer]
        if self.places.get(host) == name and host not in self.deaf:
            self.domain.later(MILLISECOND, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR))

    def _on_query(self, name: str, query: QueryListeners) -> None:
        """Who is asked and hears it says all that it listens to, some milliseconds later."""
        assert self.domain is not None
        for host, place in self.places.items():
            asked = query.link_layer in (None, HOSTS[host]) and place == name and host not in self.deaf
            said = [group for group in self.groups.get(host, []) if query.group in (None, group)]
            if asked and said:
                records = [MulticastAddressRecord(RecordType.MODE_IS_EXCLUDE, group) for group in said]
                event = GroupsReported("acc0", HOSTS[host], tuple(records), False)
                self.domain.later(10 * MILLISECOND, name, event)

    # --- the trace ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        assert self.domain is not None
        for now, name, effect in self.domain.effects[self._seen :]:
            beat = isinstance(effect, SendMessage) and isinstance(effect.message, Heartbeat)
            if not self._traced or (beat and self._beats_left_out):
                continue
            head = (f"{(now - self._born) / SECOND:.4f}", name)
            who = f"{head[0]:>9} {name:<4}" if head != self._last else " " * 14
            self._last = head
            self.lines.append(f"{who} {describe(effect)}")
        self._seen = len(self.domain.effects)


def _value(words: str) -> object:
    if words in ("true", "false"):
        return words == "true"
    return int(words) if words.isdigit() else duration(words)
