"""The roles of Mobile IPv6 in the daemon: their engines, what they listen to, what forwards for them."""

from __future__ import annotations

import os
from typing import TypeAlias

from sojourn.core.engine import Engine
from sojourn.core.mobile_effects import MobileEffect
from sojourn.daemon.configuration_mobile import cn_configuration, ha_configuration, mn_configuration
from sojourn.daemon.model import File
from sojourn.daemon.model_mobile import Cn, Ha, Mn
from sojourn.dataplane import MemoryDataplane
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.home_agents import home_agents_anycast
from sojourn.engines.mn import MobileNode
from sojourn.host.mobile import MobileDataplane, Senses, of_correspondent, of_home_agent, of_mobile_node
from sojourn.wire.units import WallClock

MobileSection: TypeAlias = Mn | Ha | Cn
_SEED = 32


def engine_of(section: MobileSection, file: File, epoch: WallClock) -> Engine:
    """Raises `KeyUnusable`."""
    seed = os.urandom(_SEED)
    match section:
        case Mn():
            return MobileNode(mn_configuration(section), epoch, seed)
        case Ha():
            return HomeAgent(ha_configuration(section, bool(file.store)), epoch, seed)
        case Cn():
            return CorrespondentNode(cn_configuration(section), epoch, seed)


def senses_of(section: MobileSection, file: File) -> Senses:
    """What the host of a role listens to."""
    match section:
        case Mn():
            router = any(home.router for home in section.homes)
            return of_mobile_node(
                section.interfaces, section.route_optimisation, file.cn is None, router, section.experiments
            )
        case Ha():
            anycast = [home_agents_anycast(prefix) for prefix in section.prefixes]
            return of_home_agent(section.interface or "", anycast, section.messages_per_second)
        case Cn():
            return of_correspondent(file.mn is not None)


class Pretended(MemoryDataplane):
    """Nothing is forwarded."""

    def apply_mobile(self, effect: MobileEffect) -> None:
        """Nothing holds."""


def dataplane_of(section: MobileSection) -> MobileDataplane:
    """What forwards. Raises OSError."""
    return Pretended()
