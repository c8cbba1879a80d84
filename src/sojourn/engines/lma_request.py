"""A Proxy Binding Update as an LMA reads it (RFC 5213 5.3.1)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sojourn.engines.registration import Refused, demand, node_in
from sojourn.wire import (
    AccessTechnologyType,
    AlternateCareOfAddress,
    BindingUpdate,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeLinkLayerIdentifier,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from sojourn.wire.units import Duration

ALL_ZERO = b"\0\0"
"""The link-layer identifier of an interface that nobody named (5.1)."""


class HomeRequest(Struct):
    """What an update asks for. Before `complete` what only complete updates have is empty."""

    update: BindingUpdate
    firsts: dict[type, Any]
    """The first of its options of each class."""
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
        firsts = update.firsts()
        other: AlternateCareOfAddress | None = firsts.get(AlternateCareOfAddress)
        stamp: Timestamp | None = firsts.get(Timestamp)
        link_layer: MobileNodeLinkLayerIdentifier | None = firsts.get(MobileNodeLinkLayerIdentifier)
        named = link_layer is not None and any(link_layer.identifier)
        return cls(
            update,
            firsts,
            source,
            node_in(firsts),
            source if other is None else other.address,
            update.sequence,
            update.lifetime,
            None if stamp is None else stamp.ticks,
            link_layer.identifier if named and link_layer is not None else ALL_ZERO,
        )

    def complete(self) -> None:
        """Raises `Refused` for what is missing (5.3.1, 10. to 12.), or is there twice (RFC 5844 3.1.2.1)."""
        firsts = self.firsts
        if self.ipv4 is None:
            demand(firsts)
        else:
            demand({HomeNetworkPrefix: None, **firsts})
            if len(self.update.all(Ipv4HomeAddressRequest)) > 1:
                several = Status.MULTIPLE_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_SUPPORTED
                raise Refused(several, "more than one IPv4 home address")
        self.handoff = firsts[HandoffIndicator].indicator
        self.technology = firsts[AccessTechnologyType].technology
        asked = [option.prefix for option in self.update.options if type(option) is HomeNetworkPrefix]
        self.prefixes = tuple([prefix for prefix in asked if prefix.address != UNSPECIFIED])
        self.any_prefix = len(self.prefixes) < len(asked)

    @property
    def ipv4(self) -> Ipv4HomeAddressRequest | None:
        """The request for an IPv4 home address (RFC 5844 3.3.1)."""
        return self.firsts.get(Ipv4HomeAddressRequest)

    @property
    def ipv4_only(self) -> bool:
        """Whether no home network prefix is wanted."""
        return HomeNetworkPrefix not in self.firsts

    @property
    def link_local(self) -> Address | None:
        """Of the Link-local Address option; all zeros asks for one."""
        option: LinkLocalAddress | None = self.firsts.get(LinkLocalAddress)
        return None if option is None else option.address
