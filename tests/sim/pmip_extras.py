"""What an episode may have besides RFC 5213: extensions, fast handovers, other links, other nodes.

An episode of `extended` draws one or two of these, so that what goes wrong has few causes. Each says what it changes in
the configurations (`Extra.lma`, `Extra.mag`, or `adjust` where machines differ), and what an operator may do with it.
What must be true of it is in `sim.pmip_extra_truth`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from sim.cast import Operation
from sim.domain import HOSTS, node
from sim.pmip_domain import PmipDomain
from sojourn.engines.configuration import Gateway, GatewayProfile, Neighbour
from sojourn.engines.extension_settings import (
    AccessNetwork,
    AccessNetworkSettings,
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    QualityRequest,
    QualitySettings,
    RedirectSettings,
    RenumberingSettings,
    RevocationSettings,
    VendorOption,
)
from sojourn.engines.way_settings import (
    BulkRegistrationOfLma,
    BulkRegistrationOfMag,
    DelegationOfLma,
    DelegationOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    LocalizedRoutingOfLma,
    LocalizedRoutingOfMag,
    MultipathOfLma,
    MultipathOfMag,
    TransientBindingsOfLma,
    TransientBindingsOfMag,
    UserPlaneOfLma,
    UserPlaneOfMag,
)
from sojourn.wire import IdentifierType
from sojourn.wire.addresses import Address, Prefix, address, link_layer_text, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, LMA2, gateway

NETWORKS = prefix("2001:db8:f101::/48")
"""Delegated to nodes that are routers."""
IPV4 = {"lma": prefix("10.9.0.0/24"), "lma2": prefix("10.10.0.0/24")}
USER_PLANES = {"lma": address("2001:db8:f:1::1"), "lma2": address("2001:db8:f:1::2")}
_MAG1 = bytes((IdentifierType.NAI,)) + b"mag1@example.net"


@dataclass(frozen=True, slots=True)
class Extra:
    """One of them."""

    lma: Mapping[str, Any] = field(default_factory=dict)
    mag: Mapping[str, Any] = field(default_factory=dict)
    operations: tuple[Callable[[random.Random, Sequence[str], Sequence[str]], Operation], ...] = ()
    """Each draws a command, for some of the nodes and MAGs that it is given."""
    adjust: Callable[[PmipDomain, random.Random], None] = lambda domain, dice: None
    """What differs from machine to machine."""
    besides: Mapping[str, int] = field(default_factory=dict)
    """See `sim.cast.Cast`."""


Draw: TypeAlias = Callable[[random.Random], Extra]


def visitors(number: int) -> Prefix:
    """From where ``magN`` has prefixes for nodes without mobility service."""
    return prefix(f"2001:db8:c{number}::/48")


def second_path(number: int) -> Address:
    """Another care-of address of ``magN``."""
    return address(f"2001:db8:b{number}::2")


def _node(dice: random.Random, hosts: Sequence[str]) -> str:
    return node(dice.choice(hosts)).hex()


# --- extensions -----------------------------------------------------------------------------------------------------


def heartbeat(dice: random.Random) -> Extra:
    """RFC 5847."""
    settings = HeartbeatSettings(dice.choice((5, 30)) * SECOND, 2)
    return Extra({"heartbeat": settings}, {"heartbeat": settings})


def revocation(dice: random.Random) -> Extra:
    """RFC 5846."""
    return Extra(
        {"revocation": RevocationSettings(authorized=((_MAG1, gateway(1)),))},
        {"revocation": RevocationSettings(identity=_MAG1)},
        (
            lambda dice, hosts, mags: ("lma", "revoke", {"node": _node(dice, hosts)}),
            lambda dice, hosts, mags: ("lma", "revoke", {"gateway": dice.choice(mags)}),
            lambda dice, hosts, mags: (dice.choice(mags[:2]), "revoke", {}),
        ),
    )


def controlled_timers(dice: random.Random) -> Extra:
    """RFC 8127, of heartbeats too."""
    settings = HeartbeatSettings(30 * SECOND, 2)
    control = ControlSettings(True, True, lcmp_heartbeat_interval=dice.choice((5, 60)) * SECOND)
    return Extra({"heartbeat": settings, "mag_timers": control}, {"heartbeat": settings, "lma_timers": True})


def notification(dice: random.Random) -> Extra:
    """RFC 7077."""
    return Extra(
        {"update_notification": NotificationSettings()},
        {"update_notification": True},
        (
            lambda dice, hosts, mags: ("lma", "notify", {"node": _node(dice, hosts), "reason": "register"}),
            lambda dice, hosts, mags: ("lma", "notify", {"gateway": dice.choice(mags), "reason": "register"}),
            lambda dice, hosts, mags: ("lma", "notify", {"node": _node(dice, hosts), "reason": "access-network"}),
        ),
    )


def renumbering(dice: random.Random) -> Extra:
    """RFC 8191."""

    def renumber(dice: random.Random, hosts: Sequence[str], mags: Sequence[str]) -> Operation:
        return "lma", "renumber", {"node": _node(dice, hosts), "mode": dice.choice(("soft", "hard"))}

    return Extra(
        {"update_notification": NotificationSettings(), "renumbering": RenumberingSettings(5 * SECOND)},
        {"update_notification": True, "renumbering": True, "prefix_retirement": 5 * SECOND},
        (renumber,),
    )


def redirect(dice: random.Random) -> Extra:
    """RFC 6463: ``lma`` assigns ``lma2`` to nodes, which takes it for a MAG."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        domain.add_anchor()
        known = domain.lma_configurations["lma2"].gateways
        middle = Gateway(LMA, "lma", tuple(mag.address for mag in known))
        domain.adjust("lma2", {"gateways": (*known, middle)})
        domain.adjust("lma", {"redirect": RedirectSettings((LMA2,))})

    return Extra(mag={"redirect_anchors": (LMA2,)}, adjust=adjust)


def bulk(dice: random.Random) -> Extra:
    """RFC 6602."""
    of_mag = BulkRegistrationOfMag(groups=dice.choice((1, 2)), alone_after=dice.choice((1, 3, 8)))
    return Extra({"bulk_registration": BulkRegistrationOfLma()}, {"bulk_registration": of_mag})


def localized(dice: random.Random) -> Extra:
    """RFC 6705: mn1 and mn2 meet, others on command."""

    def localize(dice: random.Random, hosts: Sequence[str], mags: Sequence[str]) -> Operation:
        verb = dice.choice(("localize", "localize", "delocalize"))
        return "lma", verb, {"node": _node(dice, hosts), "other": _node(dice, hosts)}

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        others = tuple(configuration.address for configuration in domain.mag_configurations.values())
        for name in domain.mag_configurations:
            domain.adjust(name, {"localized_routing": LocalizedRoutingOfMag(others)})

    pairs = ((node("mn1"), node("mn2")),)
    of_lma = LocalizedRoutingOfLma(pairs, lifetime=40 * SECOND)
    return Extra({"localized_routing": of_lma}, {}, (localize,), adjust)


def delegation(dice: random.Random) -> Extra:
    """RFC 7148: mn1 is a router, and mn2 perhaps."""
    routers = ("mn1", "mn2")[: dice.choice((1, 2))]

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        for number, name in enumerate(domain.lma_configurations):
            domain.adjust(name, {"delegation": DelegationOfLma((NETWORKS.subnet(number, 52),))})

    return Extra(
        {},
        {"delegation": DelegationOfMag(tuple((HOSTS[host], ()) for host in routers))},
        (lambda dice, hosts, mags: (dice.choice(mags), "delegate", {"node": link_layer_text(HOSTS["mn1"])}),),
        adjust,
    )


def multipath(dice: random.Random) -> Extra:
    """RFC 8278: every MAG has two uplinks."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        for number, (name, configuration) in enumerate(list(domain.mag_configurations.items()), 1):
            settings = MultipathOfMag(identifier=b"\x01" + name.encode(), care_of=(second_path(number),))
            domain.adjust(name, {"multipath": settings})
            domain.world.network.names[second_path(number)] = name
            del configuration
        for name, anchor in list(domain.lma_configurations.items()):
            known = tuple(replace(mag, care_of=(second_path(int(mag.name[3:])),)) for mag in anchor.gateways)
            domain.adjust(name, {"gateways": known})

    def path(dice: random.Random, hosts: Sequence[str], mags: Sequence[str]) -> Operation:
        number = dice.randint(1, len(mags))
        where = f"2001:db8:b{number}::2"
        return f"mag{number}", "path", {"address": where, "state": dice.choice(("up", "up", "down"))}

    return Extra({"multipath": MultipathOfLma()}, {}, (path,), adjust)


def quality(dice: random.Random) -> Extra:
    """RFC 7222, and what else is only carried and shown: RFC 6757, RFC 5094."""
    return Extra(
        {
            "quality": QualitySettings(downlink=5_000_000),
            "access_network": AccessNetworkSettings(),
            "vendors": (32473,),
        },
        {
            "everybody": GatewayProfile(quality=QualityRequest(46, 10_000_000)),
            "access_networks": (AccessNetwork(network="campus", operator=32473),),
            "vendor_options": (VendorOption(32473, 1, b"x"), VendorOption(9)),
        },
        (
            lambda dice, hosts, mags: (
                "lma",
                "quality",
                {"node": _node(dice, hosts), "dscp": str(dice.randrange(64)), "uplink": "1000"},
            ),
        ),
    )


def user_plane(dice: random.Random) -> Extra:
    """RFC 7389."""
    domain_wide = dice.random() < 0.5

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        for name in domain.lma_configurations:
            domain.adjust(name, {"user_plane": UserPlaneOfLma(address=USER_PLANES[name], domain_wide=domain_wide)})
            domain.world.network.names[USER_PLANES[name]] = name

    ends = tuple(USER_PLANES.values())
    return Extra({}, {"user_plane": UserPlaneOfMag(addresses=ends, domain_wide=domain_wide)}, (), adjust)


def transient(dice: random.Random) -> Extra:
    """RFC 6058."""

    def prepare(dice: random.Random, hosts: Sequence[str], mags: Sequence[str]) -> Operation:
        verb = dice.choice(("make-before-break", "make-before-break", "activate"))
        return dice.choice(mags), verb, {"node": link_layer_text(HOSTS[dice.choice(hosts)])}

    of_lma = TransientBindingsOfLma(activation_state=dice.random() < 0.5)
    return Extra({"transient_bindings": of_lma}, {"transient_bindings": TransientBindingsOfMag()}, (prepare,))


# --- links and nodes ------------------------------------------------------------------------------------------------


def handover(dice: random.Random) -> Extra:
    """RFC 5949."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        addresses = [configuration.address for configuration in domain.mag_configurations.values()]
        for name in domain.mag_configurations:
            others = tuple(map(Neighbour, addresses))
            domain.adjust(name, {"neighbours": others})

    settings = {"handovers": dice.choice((1, 8, 8)), "handover_wait": dice.choice((300, 1000)) * MILLISECOND}
    return Extra({}, settings, (), adjust, {"expect": 6})


def dedicated(dice: random.Random) -> Extra:
    """A link for one node at a time: whoever comes takes the place of who was there."""
    return Extra({}, {"dedicated": ("acc1",)})


def two_links(dice: random.Random) -> Extra:
    """mn2 is another interface of mn1, and mn4 of mn3; and flows move between them (RFC 7864)."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        domain.unite("mn2", "mn1")
        domain.unite("mn4", "mn3")

    def move(dice: random.Random, hosts: Sequence[str], mags: Sequence[str]) -> Operation:
        who, other = dice.choice((("mn1", "mn2"), ("mn2", "mn1"), ("mn3", "mn4")))
        if dice.random() < 0.3:
            return "lma", "return-flow", {"prefix": who}
        return "lma", "move-flow", {"prefix": who, "link_layer": link_layer_text(HOSTS[other])}

    if dice.random() < 0.4:
        return Extra(adjust=adjust)
    settings = {"flow_mobility": FlowMobilityOfLma()}, {"flow_mobility": FlowMobilityOfMag()}
    return Extra(*settings, (move,), adjust)


def guests(dice: random.Random) -> Extra:
    """mn1 has no mobility service (RFC 5213 6.14)."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        for number, name in enumerate(list(domain.mag_configurations), 1):
            domain.adjust(name, {"visitors": visitors(number)})
            domain.add_profile(name, GatewayProfile(HOSTS["mn1"], service=False))

    return Extra(adjust=adjust)


def ipv4(dice: random.Random) -> Extra:
    """RFC 5844: nodes have IPv4 home addresses too, which they ask for by DHCP."""

    def adjust(domain: PmipDomain, dice: random.Random) -> None:
        for name in domain.lma_configurations:
            domain.adjust(name, {"ipv4_pool": IPV4[name]})

    return Extra({}, {"ipv4": True, "dhcp_lease": 40 * SECOND}, (), adjust)


EXTRAS: Mapping[str, Draw] = {
    draw.__name__: draw
    for draw in (
        heartbeat, revocation, controlled_timers, notification, renumbering, redirect, bulk, localized, delegation,
        multipath, quality, user_plane, transient, handover, handover, dedicated, two_links, guests, ipv4,
    )
}  # fmt: skip
"""By name."""
_NOT_TOGETHER = ({"handover", "transient"}, {"redirect", "multipath"}, {"heartbeat", "controlled_timers"})
"""The daemon refuses the first; of a MAG with several paths, an LMA in between knows one."""


def drawn(dice: random.Random) -> dict[str, Extra]:
    """What an episode has besides, by name."""
    names: list[str] = dice.sample(list(EXTRAS), dice.choice((1, 1, 2)))
    if any(pair <= set(names) for pair in _NOT_TOGETHER):
        names = names[:1]
    return {name: EXTRAS[name](dice) for name in names}
