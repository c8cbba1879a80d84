"""MAGs say on which network a node is (RFC 6757): its name, its place, who runs it. The LMA keeps that and shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from sojourn.engines.carried import Carried
from sojourn.engines.extension import MagExtension
from sojourn.engines.extension_settings import AccessNetwork, AccessNetworkSettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import BindingAcknowledgement, MobilityOption
from sojourn.wire.extensions.rfc6757 import (
    AccessNetworkIdentifier,
    GeoLocation,
    NetworkIdentifier,
    OperatorIdentifier,
    OperatorType,
)
from sojourn.wire.tlv import Tlv

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration


class LmaAccessNetwork(Carried[AccessNetworkIdentifier]):
    """The LMA's part (4.2)."""

    name: ClassVar[str] = "access_network"

    def __init__(self, lma: LmaRegistration, settings: AccessNetworkSettings) -> None:
        super().__init__(lma)
        switches = {
            NetworkIdentifier: settings.enable_ani_sub_opt_network_identifier,
            GeoLocation: settings.enable_ani_sub_opt_geo_location,
            OperatorIdentifier: settings.enable_ani_sub_opt_operator_identifier,
        }
        self._accepted = tuple(kind for kind, on in switches.items() if on)

    def _told_by(self, request: HomeRequest, entry: BindingCacheEntry) -> AccessNetworkIdentifier | None:
        option: AccessNetworkIdentifier | None = request.firsts.get(AccessNetworkIdentifier)
        told = () if option is None else option.sub_options
        accepted = {type(one): one for one in reversed(told) if isinstance(one, self._accepted)}  # the first of each
        return AccessNetworkIdentifier(tuple(reversed(accepted.values()))) if accepted else None

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """ "MUST echo ... with the specific sub-option(s) that it accepted"."""
        option = self._told_by(request, entry)
        return () if option is None else (option,)

    def _words(self, value: AccessNetworkIdentifier) -> str:
        return ", ".join(filter(None, map(_words, value.sub_options)))


def _words(told: Tlv) -> str:
    match told:
        case NetworkIdentifier():
            names = [name.decode(errors="replace") for name in (told.network, told.access_point) if name]
            return " at ".join(names)
        case GeoLocation():
            return "{:.4f} {:.4f}".format(*told.degrees)
        case OperatorIdentifier() if told.enterprise is not None:
            return f"operator {told.enterprise}"
        case OperatorIdentifier():
            return f"operator {told.identifier.decode(errors='replace')}"
    return ""


class MagAccessNetwork(MagExtension):
    """The MAG's part (4.1): in every update, what the configuration says of the interface."""

    name: ClassVar[str] = "access_network"

    def __init__(self, mag: MagRegistration, networks: tuple[AccessNetwork, ...]) -> None:
        super().__init__(mag)
        self._options = {network.interface: _option(network) for network in networks}

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """The option, if anything is known."""
        option = self._options.get(session.interface, self._options.get(""))
        return () if option is None else (option,)

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """4.1: an LMA that does not return it does not understand it, which SHOULD be logged."""
        if self.options(session) and answer.first(AccessNetworkIdentifier) is None:
            self._report("access-network-ignored", node=session.node)


def _option(network: AccessNetwork) -> AccessNetworkIdentifier | None:
    """What is not known is not told (4.1)."""
    told: list[Tlv] = []
    if network.network:
        told.append(NetworkIdentifier(True, network.network.encode(), network.access_point.encode()))
    if network.place is not None:
        told.append(GeoLocation.of(*network.place))
    if network.operator:
        octets = network.operator.to_bytes((network.operator.bit_length() + 7) // 8, "big")
        told.append(OperatorIdentifier(int(OperatorType.PRIVATE_ENTERPRISE_NUMBER), octets))
    elif network.realm:
        told.append(OperatorIdentifier(int(OperatorType.REALM_OF_THE_OPERATOR), network.realm.encode()))
    return AccessNetworkIdentifier(tuple(told)) if told else None
