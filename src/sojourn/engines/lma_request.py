"""A Proxy Binding Update as an LMA reads it (RFC 5213 5.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.engines.registration import mandatory, node_of
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingUpdate,
    LinkLocalAddress,
    MobileNodeLinkLayerIdentifier,
    Timestamp,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import Duration

ALL_ZERO = b"\0\0"
"""The link-layer identifier of an interface that nobody named (5.1)."""


@dataclass(slots=True)
class HomeRequest:
    """What an update asks for. Before `complete` what only complete updates have is empty."""

    update: BindingUpdate
    source: Address
    node: bytes
    gateway: Address
    """Proxy-CoA: the source, or what the Alternate Care-of Address option says."""
    sequence: int
    lifetime: Duration
    timestamp: int | None
    link_layer: bytes
    """ALL_ZERO when there is none, or none with a value (5.1)."""
    prefixes: tuple[Prefix, ...] = ()
    """Those with a NON_ZERO value."""
    any_prefix: bool = False
    """There is one that is ALL_ZERO."""
    handoff: int = 0
    technology: int = 0

    @classmethod
    def of(cls, update: BindingUpdate, source: Address) -> HomeRequest:
        """Raises `Refused` when nobody is identified (5.3.1, 4.)."""
        other = update.first(AlternateCareOfAddress)
        stamp = update.first(Timestamp)
        link_layer = update.first(MobileNodeLinkLayerIdentifier)
        named = link_layer is not None and any(link_layer.identifier)
        return cls(
            update,
            source,
            node_of(update),
            source if other is None else other.address,
            update.sequence,
            update.lifetime,
            None if stamp is None else stamp.ticks,
            link_layer.identifier if named and link_layer is not None else ALL_ZERO,
        )

    def complete(self) -> None:
        """Raises `Refused` for what is missing (5.3.1, 10. to 12.)."""
        prefixes, self.handoff, self.technology = mandatory(self.update)
        self.prefixes = tuple(prefix for prefix in prefixes if any(prefix.address))
        self.any_prefix = len(self.prefixes) < len(prefixes)

    @property
    def link_local(self) -> Address | None:
        """Of the Link-local Address option; all zeros asks for one."""
        option = self.update.first(LinkLocalAddress)
        return None if option is None else option.address
