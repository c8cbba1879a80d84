"""Registered values: which enumeration names the values of which field.

An enumeration stands beside the layout in a field's annotation (``Annotated[U8, Status]``), as a name for people and
programs; the field itself is a plain integer, for a peer may send what no registry knows.
"""

from __future__ import annotations

from dataclasses import fields
from enum import IntEnum, IntFlag
from functools import cache
from importlib import import_module
from typing import Any, get_type_hints

from sojourn.wire.catalogue import PACKAGE

_REGISTRIES = {
    "BA/PBA Status Codes": "values.Status",
    "Binding Error Status": "values.BindingErrorStatus",
    "Binding Revocation Type": "values.RevocationType",
    "BRI Revocation Trigger": "values.RevocationTrigger",
    "BRA Status": "values.RevocationStatus",
    "FBack Status": "rfc5568.FastBindingStatus",
    "HI Code": "rfc5568.HandoverInitiateCode",
    "HAck Code": "rfc5568.HandoverAcknowledgeCode",
    "LRA Status (no IANA registry)": "rfc6705.LocalizedRoutingStatus",
    "UPN Reason": "rfc7077.UpdateNotificationReason",
    "UPA Status": "rfc7077.UpdateAcknowledgementStatus",
    "Flow Binding Type": "rfc7109.FlowBindingType",
    "FBI Trigger": "rfc7109.FlowBindingTrigger",
    "FBA Status": "rfc7109.FlowBindingAcknowledgementStatus",
    "Flow Binding Action": "rfc7109.FlowAction",
    "Flow Identification Status": "rfc6089.FlowStatus",
    "IPv4 Address Ack Status (DSMIPv6)": "rfc5555.Ipv4AddressAcknowledgementStatus",
    "IPv4 Home Address Reply Status (PMIPv6)": "rfc5844.Ipv4HomeAddressReplyStatus",
    "DNS Update Status": "rfc5026.DnsUpdateStatus",
    "Multicast Ack Status": "rfc7411.MulticastStatus",
    "NAACK Status (ND option 20)": "rfc5568_discovery.NeighbourAcknowledgementStatus",
    "Pseudo Home Address Ack Status": "rfc5726.PseudoHomeAddressStatus",
    "Handoff Indicator (opt 23)": "values.Handoff",
    "Access Technology Type (opt 24, opt 63 If-ATT)": "values.AccessTechnology",
    "MN Identifier subtype (opt 8, opt 64)": "values.IdentifierType",
    "AUTH option subtype (opt 9)": "rfc4285.AuthenticationSubtype",
    "Reserved mobility SPI (opt 9)": "rfc4285.ReservedSpi",
    "Traffic Selector format": "rfc6088.TrafficSelectorFormat",
    "MN Group Identifier subtype (opt 50)": "rfc6602.GroupSubtype",
    "Operator-Identifier type (opt 52/3)": "rfc6757.OperatorType",
    "QoS operational code (opt 58)": "rfc7222.OperationalCode",
    "LLA option code (opt 7, ND opt 19)": "rfc5568.LinkLayerCode",
    "IP Address/Prefix code (opt 34, ND opt 17)": "rfc5568.AddressCode",
    "LMA Address code (opt 41)": "rfc5949.LmaAddressCode",
    "Multicast Mobility code (opt 60)": "rfc7411.MulticastCode",
    "DSMIP6-TLS packet type": "rfc6618.PacketType",
    "FMIPv6 ICMP subtype": "rfc5568_discovery.FastHandoverSubtype",
}


class _Registries(dict[str, type[IntEnum]]):
    """The enumeration of each registry by its name; modules are imported when asked for."""

    def __missing__(self, name: str) -> type[IntEnum]:
        module, cls = _REGISTRIES[name].split(".")
        full = "sojourn.wire.values" if module == "values" else f"{PACKAGE}.{module}"
        found: type[IntEnum] = getattr(import_module(full), cls)
        self[name] = found
        return found


REGISTRIES = _Registries()
REGISTERED = tuple(_REGISTRIES)
"""The names of all registries."""


@cache
def enumerations(cls: type) -> dict[str, type[IntEnum] | type[IntFlag]]:
    """The enumeration of each field of a declared class that has one."""
    found = {}
    hints: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    if any(isinstance(hint, str) for hint in hints.values()):
        hints = get_type_hints(cls, include_extras=True)
    for name, hint in hints.items():
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, type) and issubclass(extra, IntEnum | IntFlag):
                found[name] = extra
    return found


def flags(cls: type) -> type[IntFlag]:
    """The flags of a message. Raises KeyError when it has none."""
    found = enumerations(cls)["flags"]
    assert issubclass(found, IntFlag)
    return found


def words(enumeration: type[IntEnum] | type[IntFlag], value: int) -> str:
    """A value for people: ``not home subnet``, ``A|P``, and the number where nobody registered it."""
    if issubclass(enumeration, IntFlag):
        return _flag_words(enumeration, value)
    try:
        return enumeration(value).name.replace("_", " ").lower()
    except ValueError:
        return str(value)


def _flag_words(enumeration: type[IntFlag], value: int) -> str:
    found = [flag.name or "" for flag in enumeration if value & flag.value == flag.value]
    left = value
    for flag in enumeration:
        left &= ~flag.value
    return "|".join([*found, *([f"{left:#x}"] if left else [])]) or "-"
