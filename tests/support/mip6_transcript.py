"""Transcripts of Mobile IPv6: the first line is ``domain mip6`` and its options, then one happening on each line.

attach f1 [lte0]      roam f2 [lte0]      detach [lte0]      wait 2s
traffic               a packet each way between the correspondent node and the node; the ways are written down
lose BU 2             the next two messages of that kind get lost; ``lose all``, ``lose none``
restart ha            without memory          taken          somebody has the home address
switch ADDRESS        the home agent sends its nodes there
avoid wlan0, use ..   an operator says that a link is about to go, or is not
untraced, traced      what happens in between is not written down

Options: anchors  lifetime=40s  agents=2  plain (a correspondent node without mobility)  sessions (in every network)
several (both links at once)  flows (with it: UDP takes lte0, TCP is shared by both)
"""

from __future__ import annotations

from sojourn.core.effects import CountTraffic, DeleteBinding, Effect, Report, SendMessage
from sojourn.core.events import Commanded
from sojourn.core.mobile_effects import (
    CareOfWay,
    CountSessions,
    EnsureCareOfRoute,
    EnsureRouteOptimisation,
    Flow,
    SendIcmpv6,
)
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityMessage
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.extensions.rfc6089 import FlowIdentification, FlowSummary
from sojourn.wire.units import MILLISECOND, SECOND, Duration
from support.mip6 import Roaming
from support.mip6_messages import CN, HA, HOA

_SHORT = {
    "BindingUpdate": "BU",
    "BindingAcknowledgement": "BA",
    "HomeTestInit": "HoTI",
    "CareOfTestInit": "CoTI",
    "HomeTest": "HoT",
    "CareOfTest": "CoT",
    "BindingError": "BE",
    "BindingRefreshRequest": "BRR",
    "HomeAgentSwitch": "HAS",
}
FLOWS = (
    FlowPolicy(Ipv6TrafficSelector(next_header=(17, None)), ("lte0", "wlan0")),
    FlowPolicy(Ipv6TrafficSelector(next_header=(6, None)), ("wlan0", "lte0"), shared=True),
)
_UNTOLD = (CountTraffic, CountSessions, DeleteBinding)


def play_mip6(script: str) -> str:
    """The trace of a script."""
    return _Player(script).trace()


class _Player:
    def __init__(self, script: str) -> None:
        self._lines = [line.split("#")[0].split() for line in script.splitlines()]
        self._lines = [words for words in self._lines if words]
        options = self._lines.pop(0)[2:]
        known = dict(option.split("=") for option in options if "=" in option)
        settings: dict[str, object] = {}
        if "lifetime" in known:
            settings["lifetime"] = _duration(known["lifetime"])
        if "flows" in options:
            settings["flows"] = FLOWS
        self.net = Roaming(
            several="several" in options or "flows" in options,
            anchors="anchors" in options,
            correspondent="plain" not in options,
            home_agents=int(known.get("agents", "1")),
            **settings,
        )
        if "sessions" in options:
            self.net.sessions = {network.care_of: 1 for network in self.net.networks.values()}
        self.net.lose = self._loses
        self._losses: dict[str, int] = {}
        self._out: list[str] = []
        self._traced = True
        self._seen = len(self.net.effects)

    def trace(self) -> str:
        for words in self._lines:
            getattr(self, f"_do_{words[0]}")(*words[1:])
            self._write()
        return "".join(f"{line}\n" for line in self._out)

    # --- happenings -------------------------------------------------------------------------------------------------

    def _do_attach(self, network: str, interface: str = "wlan0") -> None:
        self.net.attach(network, interface, settle=0)

    def _do_roam(self, network: str, interface: str = "wlan0") -> None:
        self.net.roam(network, interface, settle=0)

    def _do_detach(self, interface: str = "wlan0") -> None:
        self.net.detach(interface)

    def _do_wait(self, time: str) -> None:
        self.net.run(_duration(time))

    def _do_traffic(self) -> None:
        down, up = self.net.downlink(), self.net.uplink()
        self._say("net", f"to mn: {down}, from mn: {up}")

    def _do_lose(self, what: str, count: str = "1") -> None:
        self._losses = {} if what == "none" else {what: 1 << 30 if what == "all" else int(count)}

    def _do_restart(self, name: str) -> None:
        self.net.start(name)

    def _do_taken(self) -> None:
        self.net.taken.add(HOA)

    def _do_switch(self, where: str) -> None:
        self.net.tell("ha", Commanded("switch", {"to": where}))

    def _do_avoid(self, interface: str) -> None:
        self.net.command("avoid", interface=interface)

    def _do_use(self, interface: str) -> None:
        self.net.command("use", interface=interface)

    def _do_untraced(self) -> None:
        self._traced = False

    def _do_traced(self) -> None:
        self._traced = True

    def _loses(self, source: str, destination: str, message: MobilityMessage) -> bool:
        for kind in (_short(message), "all"):
            if self._losses.get(kind, 0):
                self._losses[kind] -= 1
                return True
        return False

    # --- words ------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        for when, who, effect in self.net.effects[self._seen :]:
            if not isinstance(effect, _UNTOLD):
                self._say(who, self._words(effect), when)
        self._seen = len(self.net.effects)

    def _say(self, who: str, words: str, when: int | None = None) -> None:
        if self._traced:
            time = self.net.now if when is None else when
            self._out.append(f"{time / SECOND:9.4f} {who:3s} {words}")

    def _words(self, effect: Effect) -> str:
        match effect:
            case SendMessage(message, source, destination, home, routed_to):
                ends = f"{self._name(source)} -> {self._name(destination)}"
                extra = f" of {self._name(home)}" if home else f" for {self._name(routed_to)}" if routed_to else ""
                return f"{_about(message)} {ends}{extra}"
            case SendIcmpv6(message, source, destination):
                return f"{type(message).__name__} {self._name(source)} -> {self._name(destination)}"
            case Report(name, detail):
                shown = [f"{key}={value}" for key, value in detail.items() if isinstance(value, int) or key == "reason"]
                return " ".join(["*", name, *shown])
            case _:
                fields = (getattr(effect, name) for name in effect.__dataclass_fields__ if name != "lifetime")
                if isinstance(effect, EnsureCareOfRoute | EnsureRouteOptimisation):  # most have one care-of address
                    fields = (value for value in fields if value != ())
                return " ".join([type(effect).__name__, *map(self._value, fields)])

    def _value(self, value: object) -> str:
        if isinstance(value, tuple) and all(isinstance(item, Flow) for item in value):
            return " ".join(f"[{_packets(flow.selector)} {self._name(flow.care_of_address)}]" for flow in value) or "-"
        if isinstance(value, tuple) and all(isinstance(item, CareOfWay) for item in value):
            return " ".join(f"{way.interface}={self._name(way.care_of_address)}" for way in value)
        if isinstance(value, Prefix):
            return self._name(value.address) if value.length == 128 else str(value)
        if isinstance(value, tuple) and value and all(isinstance(item, bytes) for item in value):
            return " ".join(map(self._name, value))
        if isinstance(value, bytes):
            return self._name(value) if len(value) == 16 else "..."
        return str(value) or "-"

    def _name(self, where: bytes) -> str:
        names = {HA: "ha", HOA: "hoa", CN: "cn", bytes(16): "::"}
        names |= {
            network.care_of: f"{network.name}.coa" for network in self.net.networks.values() if network.name != "home"
        }
        names |= {known.address: name for name, known in self.net.ha_configurations.items()}
        if where in names:
            return names[where]
        return "multicast" if where[0] == 0xFF else "anycast" if where.endswith(b"\xfe") else where.hex()


def _short(message: MobilityMessage) -> str:
    return _SHORT.get(type(message).__name__, type(message).__name__)


def _about(message: MobilityMessage) -> str:
    """The kind, with what matters; sequence numbers begin anywhere, so they are left out."""
    match message:
        case BindingUpdate(lifetime=lifetime):
            return f"BU lifetime {lifetime // SECOND}s{_flows(message)}"
        case BindingAcknowledgement(status=status, lifetime=lifetime):
            return f"BA {status}" if status >= 128 else f"BA {status} lifetime {lifetime // SECOND}s{_flows(message)}"
        case _:
            return _short(message)


def _flows(message: MobilityMessage) -> str:
    """The care-of addresses and flow bindings in it, by number; ``+``: a whole one."""
    ways = [str(option.identifier) for option in message.all(BindingIdentifier)]
    flows = [f"+{option.identifier}" for option in message.all(FlowIdentification)]
    flows += [str(number) for option in message.all(FlowSummary) for number in option.identifiers]
    return (f" ways {','.join(ways)}" if ways else "") + (f" flows {','.join(flows)}" if flows else "")


def _packets(selector: Ipv6TrafficSelector) -> str:
    protocol = {6: "tcp", 17: "udp", None: "any"}[selector.next_header[0] if selector.next_header else None]
    ports = selector.destination_port
    return protocol if ports is None else f"{protocol} to {ports[0]}-{ports[1]}"


def _duration(words: str) -> Duration:
    return int(words[:-2]) * MILLISECOND if words.endswith("ms") else int(words[:-1]) * SECOND
