"""The roles of Mobile IPv6 in the daemon: their engines, what they listen to, what forwards for them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, TypeAlias

from sojourn.core.engine import Engine
from sojourn.core.mobile_effects import MobileEffect
from sojourn.daemon.configuration import kernel_numbers
from sojourn.daemon.configuration_mobile import cn_configuration, ha_configuration, mn_configuration
from sojourn.daemon.model import File
from sojourn.daemon.model_mobile import Cn, Ha, Mn
from sojourn.dataplane import MemoryDataplane
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.dataplane.settings import LinuxSettings
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.home_agents import home_agents_anycast
from sojourn.engines.mn import MobileNode
from sojourn.host.mobile import MobileDataplane
from sojourn.host.senses import Senses, of_correspondent, of_home_agent, of_mobile_node
from sojourn.wire.addresses import UNSPECIFIED, Address
from sojourn.wire.units import WallClock

MobileSection: TypeAlias = Mn | Ha | Cn
_SEED = 32


def engine_of(section: MobileSection, file: File, epoch: WallClock, optimised: str = "memory") -> Engine:
    """`optimised`: how the data plane does route optimisation; empty: not at all, then nobody is asked for it, and who
    asks is refused. The kernel's own Mobile IPv6 (``xfrm``) sends to, and takes from, one care-of address of a node.
    Raises `KeyUnusable`.
    """
    seed = os.urandom(_SEED)
    match section:
        case Mn():
            node = mn_configuration(section)
            return MobileNode(node if optimised else replace(node, route_optimisation=False), epoch, seed)
        case Ha():
            return HomeAgent(ha_configuration(section, bool(file.store)), epoch, seed)
        case Cn():
            correspondent = cn_configuration(section)
            if optimised == "xfrm":
                correspondent = replace(correspondent, several=False)
            made = CorrespondentNode(correspondent if optimised else replace(correspondent, bindings=0), epoch, seed)
            made.stores = bool(file.store)
            return made


def senses_of(section: MobileSection, file: File) -> Senses:
    """What the host of a role listens to."""
    match section:
        case Mn():
            router = any(home.router for home in section.homes)
            delegation = any(home.delegated_length for home in section.homes)
            optimises = section.route_optimisation
            return of_mobile_node(
                section.interfaces, optimises, file.cn is None, router, section.experiments, delegation
            )
        case Ha():
            anycast = [home_agents_anycast(prefix) for prefix in section.prefixes]
            rate, prefixes = section.messages_per_second, section.prefixes
            return of_home_agent(section.interface or "", anycast, rate, section.address, prefixes)
        case Cn():
            return of_correspondent(None if file.mn is None else senses_of(file.mn, file))


class Pretended(MemoryDataplane):
    """Nothing is forwarded."""

    optimised, refusal = "memory", ""

    def apply_mobile(self, effect: MobileEffect) -> None:
        """Nothing holds."""

    def tick(self) -> None:
        """Nothing goes."""


def dataplane_of(section: MobileSection) -> MobileDataplane:
    """What forwards. Raises OSError."""
    match section:
        case Cn():
            return CorrespondentDataplane(_settings(section, UNSPECIFIED), section.bindings)
        case _ if section.backend == "memory":
            return Pretended()
        case Mn():
            return MobileNodeDataplane(
                _settings(section, UNSPECIFIED, backend=section.backend, **kernel_numbers(section.kernel)),
                section.interfaces,
                {home.address: home.networks for home in section.homes},
                forwards=any(home.router for home in section.homes),
                delegated=[home.delegated_length for home in section.homes if home.delegated_length],
                optimises=section.route_optimisation,
                correspondents=section.correspondents,
            )
        case Ha():
            numbers = kernel_numbers(section.kernel)
            settings = _settings(section, section.address, backend=section.backend, counters=False, **numbers)
            networks = {prefix.length for node in section.nodes for prefix in node.prefixes}
            if section.interface is None:  # nobody is on the home link
                settings = replace(settings, other_pools=section.prefixes, drop_unassigned=True)
            return HomeAgentDataplane(settings, section.interface or "", networks, filtered=section.counters)


def _settings(section: MobileSection, address: Address, **others: Any) -> LinuxSettings:
    values = {"link_layer": None, "link_local": None, "buffer": False, "mtu": section.mtu, **others}
    return LinuxSettings(address, None, (), (), **values)
