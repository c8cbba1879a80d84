"""Words for tests of fast handovers: messages of RFC 5949, and a domain in which a node is about to move."""

from __future__ import annotations

from typing import TypeVar

from sojourn.core.events import HandoverExpected
from sojourn.engines.registration import identifier_option
from sojourn.wire import HomeNetworkPrefix, MobileNodeLinkLayerIdentifier, MobilityMessage, MobilityOption
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge, HandoverInitiate
from sojourn.wire.extensions.rfc5568 import HandoverInitiateFlags as Flags
from sojourn.wire.extensions.rfc5949 import LocalMobilityAnchorAddress
from sojourn.wire.units import SECOND
from support.pmip import LMA, ProxyDomain, gateway, home
from support.table import HOSTS, node

M = TypeVar("M", bound=MobilityMessage)
PF, PU = int(Flags.P | Flags.F), int(Flags.P | Flags.U)


def served(gateways: int = 2, **settings: object) -> ProxyDomain:
    """mn1 is registered at mag1."""
    domain = ProxyDomain(gateways, **{"handovers": 8, **settings})  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.clear()
    return domain


def expected(domain: ProxyDomain, host: str = "mn1", old: str = "mag1", new: int = 2) -> None:
    """Somebody tells `old` that the host leaves for magN."""
    domain.event(old, HandoverExpected(HOSTS[host], gateway(new)))


def initiate(
    *more: MobilityOption,
    host: str = "mn1",
    flags: int = PF,
    code: int = 0,
    sequence: int = 77,
    identified: bool = True,
    link_layer: bool = True,
) -> HandoverInitiate:
    """Handover Initiate about a host."""
    options: list[MobilityOption] = [identifier_option(node(host))] if identified else []
    if link_layer:
        options.append(MobileNodeLinkLayerIdentifier(HOSTS[host]))
    return HandoverInitiate(sequence, flags, code, (*options, *more))


def context(prefix: Prefix | None = None) -> tuple[MobilityOption, ...]:
    """What a previous gateway tells of a host: its prefix, and that of its LMA."""
    return HomeNetworkPrefix.of(prefix or home(0)), LocalMobilityAnchorAddress(1, LMA)


def sent(domain: ProxyDomain, kind: type[M], source: str | None = None) -> list[M]:
    """The messages of a kind since the last `clear`."""
    return [m for origin, _, m in domain.sent(kind) if isinstance(m, kind) and source in (None, origin)]


def answer_to(domain: ProxyDomain, message: HandoverInitiate, source: int = 1, target: str = "mag2") -> int | None:
    """The code of the answer to `message` from magN; None when there is none."""
    before = len(sent(domain, HandoverAcknowledge, target))
    domain.inject(gateway(source), target, message)
    answers = sent(domain, HandoverAcknowledge, target)[before:]
    return answers[-1].code if answers else None
