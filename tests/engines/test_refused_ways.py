"""A kernel that refuses what an extension asks for is asked again, as it is for what the engines themselves ask for."""

from __future__ import annotations

import errno

import pytest

from sojourn.core.effects import (
    EnsurePaths,
    EnsurePrefix,
    EnsureShortcut,
    EnsureSpread,
    EnsureUplink,
    ForwardingEffect,
)
from sojourn.engines.configuration import Gateway
from sojourn.engines.way_settings import MultipathOfLma, MultipathOfMag
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain, gateway
from support.pmip_ways import NETWORKS, faults, second_path, ways_of_lma, ways_of_mag

NETWORK = NETWORKS.subnet(0, 56)


def refusing(domain: ProxyDomain, name: str, kind: type, about: object = None) -> None:
    """`name` cannot have effects of this kind, about one prefix if one is named."""

    def trouble(effect: ForwardingEffect) -> OSError | None:
        meant = isinstance(effect, kind) and about in (None, getattr(effect, "prefix", None))
        return OSError(errno.ENOMEM, "no memory") if meant else None

    domain.plane(name).trouble = trouble


@pytest.mark.parametrize(
    ("name", "kind", "about"),
    [
        ("mag1", EnsureShortcut, None),
        ("mag1", EnsureUplink, NETWORK),
        ("mag1", EnsurePrefix, NETWORK),
        ("lma", EnsurePrefix, NETWORK),
    ],
)
def test_shortcuts_and_networks(name: str, kind: type, about: object) -> None:
    domain = ProxyDomain(3, lma=ways_of_lma(), **ways_of_mag())
    refusing(domain, name, kind, about)
    for host in ("mn1", "mn2"):
        domain.attach(host, "mag1")
        domain.run(SECOND)
    assert faults(domain) != []
    assert domain.reported(name, "effect-failed") >= 1
    domain.plane(name).trouble = None
    domain.run(3 * SECOND)
    assert faults(domain) == []


@pytest.mark.parametrize(("name", "kind"), [("lma", EnsurePaths), ("mag1", EnsureSpread)])
def test_paths(name: str, kind: type) -> None:
    known = (Gateway(gateway(1), "mag1", (second_path(1),)),)
    multipath = MultipathOfMag(identifier=b"\x01mag1@lab", care_of=(second_path(1),))
    domain = ProxyDomain(1, lma={"multipath": MultipathOfLma(), "gateways": known}, multipath=multipath)
    refusing(domain, name, kind)
    domain.attach("mn1", "mag1")
    domain.run(3 * SECOND)
    domain.plane(name).trouble = None
    domain.run(3 * SECOND)
    (entry,) = domain.entries()
    assert domain.plane("lma").state.slots[entry.slot] == EnsurePaths(entry.slot, (gateway(1), second_path(1)))
    assert [*domain.plane("mag1").state.spreads.values()] == [(gateway(1), second_path(1))]
