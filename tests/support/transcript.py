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
    Advertise,
    CountQueue,
    CountTraffic,
    DeleteBinding,
    Effect,
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePaths,
    EnsurePool,
    EnsurePrefix,
    EnsureQueue,
    EnsureShortcut,
    EnsureSpread,
    EnsureTunnel,
    EnsureUplink,
    ForgetMulticast,
    ForgetStation,
    ProbeNode,
    ProbePath,
    QueryListeners,
    Report,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawUplink,
)
from sojourn.core.events import Commanded, GroupsReported, HandoverExpected, NodeSeen, Sighting
from sojourn.engines.configuration import FIXED_LINK_LOCAL, Mode, MulticastConfiguration, logical_link_local
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLocalAddress,
    Handoff,
    HandoffIndicator,
    Heartbeat,
    HomeNetworkPrefix,
    LinkLocalAddress,
    LocalPrefix,
    MobileNodeIdentifier,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Status,
)
from sojourn.wire.addresses import ANY, Address, LinkLayer, Prefix, address, prefix, text
from sojourn.wire.extensions.rfc5568 import (
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverAcknowledgeFlags,
    HandoverInitiate,
    HandoverInitiateCode,
    HandoverInitiateFlags,
)
from sojourn.wire.extensions.rfc5949 import LocalMobilityAnchorAddress
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration
from support import checkers, pmip_checkers
from support.domain import CMD, HOSTS, Domain, pool, router
from support.legacy import LegacyAnchor
from support.peers import Octets
from support.pmip import LMA, LMA2, START, ProxyDomain, gateway
from support.pmip_extension_words import extension_words
from support.pmip_words import proxy_domain

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


# --- effects in short words -------------------------------------------------------------------------------------------


def describe(effect: Effect) -> str:
    """One effect for people."""
    match effect:
        case SendMessage(message, _, destination):
            return f"{message_words(message)} -> {_name(destination)}"
        case EnsureDelivery(slot, interface, link_layer):
            return f"slot {slot}: to {_host(link_layer)} on {interface}"
        case EnsureTunnel(slot, remote):
            return f"slot {slot}: tunnel to {_name(remote)}"
        case EnsureHold(slot):
            return f"slot {slot}: hold"
        case WithdrawSlot(slot):
            return f"slot {slot}: free"
        case EnsurePrefix(network, slot):
            return f"to {_prefix(network)}: slot {slot}"
        case WithdrawPrefix(network):
            return f"to {_prefix(network)}: nothing"
        case EnsurePool(network):
            return f"pool {_prefix(network)}: here"
        case WithdrawPool(network):
            return f"pool {_prefix(network)}: not here"
        case EnsureUplink(network, anchor):
            return f"from {_prefix(network)}: {'plain' if anchor is None else 'tunnel to ' + _name(anchor)}"
        case WithdrawUplink(network):
            return f"from {_prefix(network)}: drop"
        case EnsurePaths(slot, remotes):
            return f"slot {slot}: tunnels to {', '.join(map(_name, remotes))}"
        case EnsureSpread(network, sources):
            return f"from {_prefix(network)}: spread over {', '.join(map(text, sources))}"
        case WithdrawSpread(network):
            return f"from {_prefix(network)}: spread no more"
        case EnsureShortcut(source, destination, remote):
            way = "straight" if remote is None else f"tunnel to {_name(remote)}"
            return f"from {_prefix(source)} to {_prefix(destination)}: {way}"
        case WithdrawShortcut(source, destination):
            return f"from {_prefix(source)} to {_prefix(destination)}: as all"
        case EnsureCounter(network):
            return f"count {_prefix(network)}"
        case WithdrawCounter(network):
            return f"count {_prefix(network)} no more"
        case EnsureQueue(slot, forwarded):
            return f"slot {slot}: {_lane(forwarded)} waits"
        case EnsureFlowToNode(slot, forwarded, interface, link_layer):
            return f"slot {slot}: {_lane(forwarded)} flows to {_host(link_layer)} on {interface}"
        case EnsureFlowToRouter(slot, forwarded, remote):
            return f"slot {slot}: {_lane(forwarded)} flows through the tunnel to {_name(remote)}"
        case WithdrawQueue(slot):
            return f"slot {slot}: what is forwarded is nothing special"
        case CountQueue(slot):
            return f"slot {slot}: how much waits?"
        case ProbePath(remote):
            return f"echo {_name(remote)}"
        case CountTraffic():
            return "read the counters"
        case Advertise():
            return _advertisement(effect)
        case EnsureLogicalInterface(interface, identity):
            return f"be {_identity(identity)} on {interface}"
        case WithdrawLogicalInterface(interface, identity):
            return f"be {_identity(identity)} on {interface} no more"
        case ProbeNode(interface, link_layer, _):
            return f"probe {_host(link_layer)} on {interface}"
        case ForgetMulticast():
            return "forget multicast of an earlier life"
        case ForgetStation(interface, link_layer):
            return f"forget {_host(link_layer)} on {interface}"
        case QueryListeners(interface, link_layer, group):
            asked = "all" if link_layer is None else _host(link_layer)
            return f"ask {asked} on {interface} about {'all groups' if group is None else text(group)}"
        case EnsureMulticastRoute(group, source, interfaces):
            return f"{_flow(group, source)}: to {' '.join(interfaces) or 'nowhere'}"
        case WithdrawMulticastRoute(group, source):
            return f"{_flow(group, source)}: nothing"
        case EnsureMembership(group, excluding, sources):
            which = "all but" if excluding and sources else "all" if excluding else "only"
            return f"join {text(group)} upstream: {' '.join([which, *map(text, sources)])}"
        case WithdrawMembership(group):
            return f"leave {text(group)} upstream"
        case StoreBinding(key) | DeleteBinding(key) if len(key) == 4:
            verb = "store" if isinstance(effect, StoreBinding) else "delete"
            return f"{verb} session {int.from_bytes(key, 'big')}"
        case StoreBinding(key) if key.startswith(b"extension/"):
            return f"keep what is known of {key[10:].decode()}s"
        case StoreBinding(key):
            return f"store {_host(key[1:])}"
        case DeleteBinding(key):
            return f"delete {_host(key[1:])}"
        case Report(name, detail):
            return f"* {name}{''.join(_detail(key, value) for key, value in sorted(detail.items()))}"


def _flow(group: Address, source: Address | None) -> str:
    return f"{text(group)} from {'anybody' if source is None else text(source)}"


def _lane(forwarded: bool) -> str:
    return "what is forwarded" if forwarded else "what comes"


def message_words(message: MobilityMessage) -> str:
    match message:
        case Octets():
            return message.words()
        case BindingRefreshRequest():
            return "refresh request"
        case BindingUpdate(sequence, flags, lifetime):
            kind = "PBU" if flags & BindingUpdateFlags.D else "plain PBU"
            hint = "" if flags & BindingUpdateFlags.D else _hint(message)
            return f"{kind} {sequence}{_options(message)}{hint} lifetime {lifetime // SECOND}s"
        case BindingAcknowledgement(status, flags, sequence, lifetime):
            kind = "PBA" if flags & BindingAcknowledgementFlags.D else "plain PBA"
            outcome = f"lifetime {lifetime // SECOND}s" if status < 128 else f"refused: {_status(status)}"
            return f"{kind} {sequence}{_options(message)} {outcome}"
        case HandoverInitiate(sequence, flags, code):
            words = " end" if code == HandoverInitiateCode.INDICATE_THE_COMPLETION_OF_FORWARDING else ""
            return f"HI{words} {sequence}{_options(message)} {_flags(HandoverInitiateFlags(flags))}"
        case HandoverAcknowledge(sequence, flags, code):
            outcome = HandoverAcknowledgeCode(code).name.lower().replace("_", " ")
            return f"HAck {sequence}{_options(message)} {_flags(HandoverAcknowledgeFlags(flags))} {outcome}"
    return f"{extension_words(message) or type(message).__name__}{_options(message)}"


def _flags(flags: HandoverInitiateFlags | HandoverAcknowledgeFlags) -> str:
    return "".join(letter for letter in "SUPF" if letter in type(flags).__members__ and flags & type(flags)[letter])


def _hint(update: BindingUpdate) -> str:
    """What a MAG knows of a handoff."""
    option = update.first(HandoffIndicator)
    known = (Handoff.NEW_INTERFACE, Handoff.BETWEEN_INTERFACES, Handoff.BETWEEN_GATEWAYS)
    if option is None or option.indicator not in known:
        return ""
    return f" {Handoff(option.indicator).name.lower().replace('_', ' ')}"


def _options(message: MobilityMessage) -> str:
    words = ""
    for option in message.options:
        match option:
            case MobileNodeIdentifier(_, identifier):
                words += f" {_host(identifier)}"
            case HomeNetworkPrefix() if option.prefix != ANY:
                words += f" {_prefix(option.prefix)}"
            case HandoffIndicator(indicator) if indicator == Handoff.NOT_CHANGED:
                words += " refresh"
            case AnchoredPrefix():
                words += f" anchored {_prefix(option.prefix)}"
            case LocalPrefix():
                words += f" local {_prefix(option.prefix)}"
            case PreviousMaar():
                words += f" previous {_prefix(option.prefix)} at {_name(option.maar)}"
            case ServingMaar(serving):
                words += f" serving {_name(serving)}"
            case LocalMobilityAnchorAddress():
                words += f" of {_name(option.address)}"
            case LinkLocalAddress(identity):
                words += " link-local" + (" ?" if not any(identity) else "")
            case DlifLinkLocalAddress(identity):
                words += f" identity {_identity(identity)}"
    return words


def _advertisement(effect: Advertise) -> str:
    words = f"RA to {_host(effect.link_layer)}"
    if effect.router != FIXED_LINK_LOCAL:
        words += f" as {_identity(effect.router)}"
    for advertised in effect.prefixes:
        state = "preferred" if advertised.preferred else "deprecated" if advertised.valid else "over"
        words += f", {_prefix(advertised.prefix)} {state}"
    for route in effect.routes:
        words += f", route to {_prefix(route)}"
    return words + ("" if effect.lifetime else ", no default router")


def _detail(key: str, value: str | int) -> str:
    if key == "node":
        return ""
    return f" {key}={_name_of_text(value)}" if isinstance(value, str) else f" {key}={value}"


def _name_of_text(value: str) -> str:
    for number in range(1, 10):
        if value == text(router(number)):
            return f"ar{number}"
        pool_start = str(pool(number))[: -len("::/48")]
        if value.startswith(pool_start) and value.endswith("/64"):
            return _prefix(prefix(value))
        if value == text(gateway(number)):
            return f"mag{number}"
    if value in (text(LMA), text(LMA2)):
        return "lma" if value == text(LMA) else "lma2"
    return "cmd" if value == text(CMD) else value.replace(" ", "_")


def _status(status: int) -> str:
    return Status(status).name.lower().replace("_", " ")


def _host(octets: bytes) -> str:
    return _NAMES.get(LinkLayer(octets), octets.hex())


def _name(address: Address) -> str:
    return _name_of_text(text(address))


def _identity(identity: Address) -> str:
    for number in range(1, 10):
        if identity == logical_link_local(router(number)):
            return f"router-of-ar{number}"
    return text(identity)


def _prefix(network: Prefix) -> str:
    for number in range(1, 10):
        if pool(number).contains(network):
            return f"ar{number}#{pool(number).index(network)}"
    if _HOME.contains(network):
        index = _HOME.index(network)
        return f"home#{index - START if index >= START else index}"
    return str(network)
