"""What reports and messages say in a story (`sojourn.telemetry.story`): a sentence for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_network
from typing import Any

from sojourn.wire import AnchoredPrefix, BindingUpdate, BindingUpdateFlags, ServingMaar, Status
from sojourn.wire.addresses import Address, address, text
from sojourn.wire.units import SECOND

Names = Mapping[Address, str]
"""Routers by name."""
Phrase = Callable[[Mapping[str, Any], Names], str]


def of_report(name: str, detail: Mapping[str, Any], names: Names) -> str:
    """What a report says; of one that has no sentence, its name and details."""
    phrase = _REPORTS.get(name)
    if phrase is not None:
        return phrase(detail, names)
    rest = _any(detail, names)
    return name.replace("-", " ") + (f": {rest}" if rest else "")


def of_router(name: str, detail: Mapping[str, Any], names: Names) -> str:
    """What befell another router, and with it the nodes that it has to do with."""
    who = _router(detail, names, "anchor", "peer", "partner")
    return f"{who}: {_ROUTERS[name]}"


_ROUTERS = {
    "peer-lost": "it does not answer any more",
    "peer-back": "it answers again",
    "anchor-gone": "it is gone for good; its prefixes are over",
    "anchor-back": "it is back, and its prefixes with it",
    "anchor-silent": "it does not answer",
    "peer-restarted": "it was started anew",
    "peer-unreachable": "it does not answer any more",
    "peer-reachable": "it answers again",
    "pool-taken": "its pool is taken over, here",
    "pool-returning": "it is back; its pool is given back",
    "pool-returned": "it has its pool again",
    "pool-held": "it holds our pool",
    "pool-back": "our pool is ours again",
}
ROUTERS = frozenset(_ROUTERS)
"""Reports about other routers."""


def update(message: BindingUpdate, names: Names, source: Address, ours: bool) -> str:
    """What a Binding Update says; `ours`: we sent it, from `source`."""
    anchored, serving = message.first(AnchoredPrefix), message.first(ServingMaar)
    if not message.lifetime and anchored is not None:
        return f"{anchored.prefix} is over (lifetime 0)"
    if serving is not None and serving.address:
        where = "here" if ours else "there"
        if serving.address != source:
            where = f"at {names.get(serving.address) or text(serving.address)}"
        return f"it is {where} now (sequence {message.sequence})"
    proxied = bool(message.flags & BindingUpdateFlags.P)
    where = ("here" if ours else "there") if proxied else f"at {text(source)}"
    if not message.lifetime:
        return f"it is not {where} any more (lifetime 0)" if proxied else "its binding is to end (lifetime 0)"
    return f"it is {where}, for {message.lifetime // SECOND} s (sequence {message.sequence})"


def _router(detail: Mapping[str, Any], names: Names, *keys: str) -> str:
    for key in keys:
        value = detail.get(key)
        if isinstance(value, str) and value:
            try:
                return names.get(address(value)) or value
            except ValueError:
                return value
    return "another router"


def _any(detail: Mapping[str, Any], names: Names) -> str:
    return ", ".join(f"{key} {value}" for key, value in detail.items() if key not in ("node", "link_layer"))


_REPORTS: dict[str, Phrase] = {
    "attached": lambda d, n: (
        f"attached on {d.get('interface')} ({d.get('sighting')}"
        + (", it was here before)" if d.get("returned") else ")")
    ),
    "registered": lambda d, n: (
        "registered"
        + (f"; {d['previous']} prefixes of other routers live on" if d.get("previous") else "")
        + (f" at {_router(d, n, 'gateway', 'serving', 'agent')}" if d.keys() & {"gateway", "serving", "agent"} else "")
        + (f", from {d['care_of']}" if d.get("care_of") else "")
    ),
    "recalled": lambda d, n: "its router had forgotten it, and is told what it had there",
    "detached": lambda d, n: f"left {d.get('interface')}",
    "node-silent": lambda d, n: "did not answer for too long, and counts as gone",
    "anchoring": lambda d, n: f"moved to {_router(d, n, 'serving')}; its prefix stays anchored here",
    "prefix-retired": lambda d, n: f"{d.get('prefix', 'its prefix')} retired: {_why(d)}",
    "prefix-ended": lambda d, n: f"{d.get('prefix', 'its prefix')} ended: {_why(d)}",
    "prefix-lost": lambda d, n: f"{d.get('prefix', 'its prefix')} is lost: {_why(d)}",
    "handover": lambda d, n: (
        f"moved to {_router(d, n, 'gateway', 'serving', 'care_of')}"
        + (f", from {_router(d, n, 'left')}" if d.get("left") else "")
    ),
    "deregistered": lambda d, n: "de-registered" + (f" by {_router(d, n, 'gateway')}" if d.get("gateway") else ""),
    "registration-refused": lambda d, n: f"registration refused: {_why(d)}",
    "update-refused": lambda d, n: f"an update of {_router(d, n, 'source')} was refused: {_why(d)}",
    "prefix-given-twice": lambda d, n: f"it lost {d['prefix']}, which its router had given to another node before",
    "retransmitted": lambda d, n: f"no answer yet: {d.get('purpose')}, attempt {d.get('attempt')}",
    "hold-expired": lambda d, n: "packets waited too long and are dropped",
    "pool-exhausted": lambda d, n: "there is no free prefix for it",
    "binding-expired": lambda d, n: "its lifetime is over",
    "binding-deleted": lambda d, n: "its binding is deleted",
    "home": lambda d, n: "at home",
    "leased": lambda d, n: f"leased {_any(d, n)}",
    "lease-ended": lambda d, n: f"a lease ended: {_any(d, n)}",
    "optimised": lambda d, n: f"the way to {_router(d, n, 'correspondent')} is direct from here on",
    "not-optimised": lambda d, n: f"no direct way to {_router(d, n, 'correspondent')}: {_why(d)}",
    "direct-resumed": lambda d, n: f"the direct way to {_router(d, n, 'correspondent')} is used again",
    "home-agent-silent": lambda d, n: f"{_router(d, n, 'agent')} does not answer",
    "no-home-agent": lambda d, n: "there is no home agent for it",
    "resumed": lambda d, n: f"goes on as before the restart, from {d.get('care_of')}",
    "care-of-unreachable": lambda d, n: f"nothing answers at {d.get('care_of')}",
    "networks": lambda d, n: f"{d.get('count')} networks behind it are led",
    "switched": lambda d, n: "its home agent sends it to another one",
    "stopped": lambda d, n: f"given up: {_why(d)}",
    "prefix-over-limit": lambda d, n: f"{d.get('prefix', 'a prefix')} retires: it has too many",
    "node-forgotten": lambda d, n: "all that was known of it is forgotten",
    "waiting-for-deregistration": lambda d, n: "its old gateway has to let go of it first",
    "revoked": lambda d, n: f"revoked: {_any(d, n)}",
    "effect-failed": lambda d, n: f"{spaced(str(d.get('effect')))} failed: {d.get('reason')}",
}
"""What reports mean; others are told with their details as they are."""


def _why(detail: Mapping[str, Any]) -> str:
    reason = detail.get("reason") or detail.get("cause")
    status = detail.get("status")
    if isinstance(status, int):
        return f"{status_text(status)}" + (f" ({reason})" if reason else "")
    if reason:
        return str(reason)
    rest = {key: value for key, value in detail.items() if key not in ("node", "prefix")}
    return _any(rest, {}) or "nobody uses it any more"


def status_text(number: int) -> str:
    """The name of a status, and its number if it is not plain acceptance."""
    try:
        name = Status(number).name.lower().replace("_", " ")
    except ValueError:
        name = "unknown status"
    return name if number == Status.ACCEPTED else f"{'refused, ' if number >= 128 else ''}{name} (status {number})"


def spaced(name: str) -> str:
    """The name of a class as words."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def in_prefix(value: str, prefix: str) -> bool:
    """Whether the text is an address in the prefix."""
    if not prefix or "/" in value or ":" not in value:
        return False
    try:
        return IPv6Address(value) in ip_network(prefix)
    except ValueError:
        return False
