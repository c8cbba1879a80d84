"""What tests of extensions of LMA and MAG share."""

from __future__ import annotations

from typing import Any, TypeVar

from sojourn.core.events import Commanded
from sojourn.engines.configuration import GatewayProfile
from sojourn.wire import BindingError, IdentifierType, MobilityMessage
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain
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
