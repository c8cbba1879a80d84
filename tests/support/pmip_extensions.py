"""What tests of extensions of LMA and MAG share."""

from __future__ import annotations

from typing import Any, TypeVar

from sojourn.core.events import Commanded
from sojourn.engines.configuration import GatewayProfile
from sojourn.engines.extension_settings import (
    AccessNetwork,
    AccessNetworkSettings,
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    QualityRequest,
    QualitySettings,
    RenumberingSettings,
    RevocationSettings,
    VendorOption,
)
from sojourn.wire import BindingError, IdentifierType, MobilityMessage
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND
from support.pmip import HOME, HOME2, ProxyDomain, gateway
from support.table import HOSTS

M = TypeVar("M", bound=MobilityMessage)
STRANGER = bytes(15) + b"\1"
UNKNOWN_TYPE = BindingError(2, bytes(16))


def named(name: str) -> bytes:
    """Subtype and identifier of a name."""
    return bytes((IdentifierType.NAI,)) + name.encode()


def profiles(**names: str) -> tuple[GatewayProfile, ...]:
    """Hosts that have a name: ``mn1="ann@example.net"``."""
    return tuple(GatewayProfile(HOSTS[host], named(name)) for host, name in names.items())


def settled(domain: ProxyDomain, *places: tuple[str, str]) -> ProxyDomain:
    """Each host is at its MAG, registered, and what was said so far is forgotten."""
    for host, name in places:
        domain.attach(host, name)
    domain.run(SECOND // 5)
    domain.clear()
    return domain


def command(domain: ProxyDomain, name: str, verb: str, **arguments: str) -> bool:
    """Whether the command was taken."""
    before = domain.reported(name, "command-unknown") + domain.reported(name, "command-refused")
    domain.event(name, Commanded(verb, arguments))
    return domain.reported(name, "command-unknown") + domain.reported(name, "command-refused") == before


def messages(domain: ProxyDomain, kind: type[M], source: str = "") -> list[M]:
    """Those of this class that `source`, or anybody, sent since the last `clear`."""
    return [message for sender, _, message in domain.sent(kind) if source in ("", sender) and isinstance(message, kind)]


def reply(domain: ProxyDomain, name: str, peer: Address, message: MobilityMessage, kind: type[M]) -> M | None:
    """What `name` answers to `message` from `peer` at once."""
    before = len(domain.messages)
    domain.inject(peer, name, message)
    found: list[Any] = [one for _, _, _, one in domain.messages[before:] if isinstance(one, kind)]
    return found[0] if found else None


def all_of_lma() -> dict[str, object]:
    """Settings of an LMA with every extension but the one that assigns others."""
    return {
        "pools": (HOME, HOME2),
        "heartbeat": HeartbeatSettings(30 * SECOND, 2),
        "revocation": RevocationSettings(authorized=((named("mag1@example.net"), gateway(1)),)),
        "update_notification": NotificationSettings(),
        "mag_timers": ControlSettings(True, True),
        "renumbering": RenumberingSettings(5 * SECOND),
        "access_network": AccessNetworkSettings(),
        "quality": QualitySettings(downlink=5_000_000),
        "vendors": (32473,),
    }


def all_of_mag() -> dict[str, object]:
    """The same of MAGs."""
    return {
        "heartbeat": HeartbeatSettings(30 * SECOND, 2),
        "revocation": RevocationSettings(identity=named("mag1@example.net")),
        "update_notification": True,
        "lma_timers": True,
        "renumbering": True,
        "prefix_retirement": 5 * SECOND,
        "access_networks": (AccessNetwork(network="campus", operator=32473),),
        "vendor_options": (VendorOption(32473, 1, b"x"), VendorOption(9)),
        "everybody": GatewayProfile(quality=QualityRequest(46, 10_000_000)),
    }
