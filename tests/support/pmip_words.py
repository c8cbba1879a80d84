"""The first line of a transcript of RFC 5213: ``domain pmip`` and its options.

gateways=3  anchors=2         how many MAGs and LMAs
count=2                       prefixes of a session
ipv4_pool=10.9.0.0/24         the LMA has IPv4 home addresses, and the MAGs ask for them
pool=63                       length of the LMA's pool
same=mn1,mn2                  interfaces of one node, which has the identifier "both"
known=mn1                     the LMA knows nobody else
denied=mn2                    nodes that the LMA does not serve
extensions=heartbeat,timers   which are switched on (`support.pmip_extension_words`)
theirs=mag1:oai-pmipv6        a router of another implementation (`support.peers`)
strangers=true                our routers are not told which one it is
lma.nodes=1  lifetime=20s     other settings of the LMA, and of all MAGs
"""

from __future__ import annotations

from sojourn.engines.configuration import GatewayProfile, HomeProfile
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.peers import MixedDomain
from support.pmip import HOME, ProxyDomain
from support.pmip_extension_words import switched_on
from support.table import HOSTS, node

_BOTH = b"\x01both"


def proxy_domain(options: dict[str, str]) -> ProxyDomain:
    """The domain that the options describe."""
    lma: dict[str, object] = {}
    settings: dict[str, object] = {}
    for key, words in options.items():
        match key:
            case "gateways" | "anchors":
                settings[key] = int(words)
            case "ipv4_pool":
                lma[key], settings["ipv4"] = prefix(words), True
            case "theirs":
                settings[key] = words
            case "count":
                lma["everybody"] = HomeProfile(count=int(words))
            case "pool":
                lma["pools"] = (Prefix(HOME.address, int(words)),)
            case "same":
                settings["profiles"] = tuple(GatewayProfile(HOSTS[host], _BOTH) for host in words.split(","))
            case "known":
                lma["everybody"] = None
                lma["profiles"] = tuple(HomeProfile(node(host)) for host in words.split(","))
            case "extensions":
                more = switched_on(words)
                lma |= more[0]
                settings |= more[1]
            case "denied":
                lma["profiles"] = tuple(HomeProfile(node(host), service=False) for host in words.split(","))
            case _:
                (lma if key.startswith("lma.") else settings)[key.removeprefix("lma.")] = _value(words)
    strangers = settings.pop("strangers", False)
    if "theirs" in settings:
        place, _, kind = str(settings.pop("theirs")).partition(":")
        return MixedDomain(kind, place, told=not strangers, lma=lma, **settings)
    return ProxyDomain(lma=lma, **settings)  # type: ignore[arg-type]


def _value(words: str) -> object:
    if words in ("true", "false"):
        return words == "true"
    for unit, length in (("ms", MILLISECOND), ("s", SECOND)):
        if words.endswith(unit):
            return int(words.removesuffix(unit)) * length
    return int(words)
