"""What the engines of Mobile IPv6 are told, made from their tables of the file (`model_mobile`)."""

from __future__ import annotations

import os
import stat
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from sojourn.core.effects import AdvertisedPrefix
from sojourn.daemon.model_mobile import Association, Cn, Ha, Mn, MnAnchors, parse_key
from sojourn.daemon.model_parts import Retransmission
from sojourn.engines.configuration import RetransmissionConstants
from sojourn.engines.mip6_configuration import Association as EngineAssociation
from sojourn.engines.mip6_configuration import (
    CnConfiguration,
    HaConfiguration,
    Home,
    HomeNode,
    MnConfiguration,
)
from sojourn.wire import VendorSpecific
from sojourn.wire.addresses import UNSPECIFIED

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyUnusable(Exception):
    """A file with a key: the text says why, and what to do."""


def read_key(path: str) -> bytes:
    """The key in a file that only its owner may read. Raises `KeyUnusable`."""
    try:
        with Path(path).open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & _OTHERS:
                raise KeyUnusable(f"{path!r} may be read or written by others; chmod 600 {path}")
            octets = stream.read(4096)
    except OSError as error:
        raise KeyUnusable(f"{path!r} cannot be read: {error.strerror}") from None
    try:
        return parse_key(octets.decode("ascii", "replace"))
    except PydanticCustomError as error:
        raise KeyUnusable(f"{path!r}: {error}") from None


def association(section: Association | None) -> EngineAssociation | None:
    """Raises `KeyUnusable`."""
    if section is None:
        return None
    key = section.key if section.key is not None else read_key(section.key_file)
    return EngineAssociation(
        section.spi, key, section.identifier or b"", section.replay_protection, section.close_enough
    )


def mn_configuration(section: Mn) -> MnConfiguration:
    """What the mobile node is told; keys and fields have the same names. Raises `KeyUnusable`."""
    homes = tuple(
        Home(
            home.address,
            home.prefix,
            home.home_agent,
            association(home.association),
            home.router,
            home.networks,
            home.link_local,
            home.home_agent_name,
            home.implicit,
            home.delegated_length,
        )
        for home in section.homes
    )
    made = {"homes", "anchors", "retransmission", "flows", "vendor_options"}
    made |= {"anchor_addresses", "anchor_names", "anchor_check"}
    anchors = section.anchors or MnAnchors(spi=256, key=bytes(16))
    return MnConfiguration(
        **_same_names(MnConfiguration, section, made),
        homes=homes,
        flows=tuple(flow.policy() for flow in section.flows),
        vendor_options=tuple(VendorSpecific(one.vendor, one.subtype, one.data) for one in section.vendor_options),
        anchors=association(section.anchors),
        anchor_addresses=anchors.addresses,
        anchor_names=anchors.names,
        anchor_check=anchors.check,
        retransmission=_retransmission(section.retransmission),
    )


def ha_configuration(section: Ha, stores: bool) -> HaConfiguration:
    """What the home agent is told. Raises `KeyUnusable`."""
    prefixes = tuple(
        AdvertisedPrefix(prefix, section.preferred_lifetime, section.valid_lifetime) for prefix in section.prefixes
    )
    nodes = tuple(
        HomeNode(node.home_address, association(node.association), node.lifetime_max, node.prefixes)
        for node in section.nodes
    )
    made = {"interface", "prefixes", "nodes", "stores"}
    return HaConfiguration(
        **_same_names(HaConfiguration, section, made),
        interface=section.interface or "",
        prefixes=prefixes,
        nodes=nodes,
        stores=stores,
    )


def cn_configuration(section: Cn) -> CnConfiguration:
    """What the correspondent node is told. It answers from whatever address it was asked at."""
    return CnConfiguration(UNSPECIFIED, **_same_names(CnConfiguration, section, {"address"}))


def _same_names(configuration: type, section: Mn | Ha | Cn, made: set[str]) -> dict[str, Any]:
    names = [field.name for field in fields(configuration) if field.name not in made]
    return {name: getattr(section, name) for name in names}


def _retransmission(section: Retransmission) -> RetransmissionConstants:
    return RetransmissionConstants(
        **{
            field.name: getattr(section, field.name)
            for field in fields(RetransmissionConstants)
            if field.name != "repeats"
        }
    )
