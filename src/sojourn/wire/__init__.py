"""Octets and values: Mobility Headers (RFC 6275 and its extensions) and neighbour discovery.

`decode` and `encode` translate, `seal` and `verify` deal with the checksum, and each message and option is a class,
declared once. What every walk needs is imported here; the rest is in `sojourn.wire.extensions`, one module per RFC, and
imported when it first occurs. Neighbour discovery has its own module, `sojourn.wire.icmpv6`.

`problems` says which rules of the RFCs a message breaks; `sojourn.wire.tolerance` has what decoding overlooks.
"""

from typing import Any

from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.messages import (
    LIFETIME_INFINITE,
    LIFETIME_UNIT,
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    Heartbeat,
    HomeTest,
    HomeTestInit,
)
from sojourn.wire.mobility import (
    MESSAGES,
    MOBILITY_HEADER,
    MOBILITY_OPTIONS,
    SUBTYPED_MESSAGES,
    MobilityMessage,
    MobilityOption,
    Remainder,
    UnknownMessage,
    UnknownOption,
    decode,
    encode,
    seal,
    verify,
)
from sojourn.wire.options.dmm import (
    AnchoredPrefix,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    LocalPrefix,
    PreviousMaar,
    ServingMaar,
)
from sojourn.wire.options.identifiers import MobileNodeIdentifier, VendorSpecific
from sojourn.wire.options.mip6 import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingRefreshAdvice,
    NonceIndices,
    Pad1,
    PadN,
)
from sojourn.wire.options.pmip6 import (
    AccessTechnologyType,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeLinkLayerIdentifier,
    RestartCounter,
    Timestamp,
)
from sojourn.wire.rules import Problem, problems
from sojourn.wire.values import (
    AccessTechnology,
    BindingAcknowledgementFlags,
    BindingErrorStatus,
    BindingRevocationFlags,
    BindingUpdateFlags,
    Handoff,
    HeartbeatFlags,
    IdentifierType,
    RevocationStatus,
    RevocationTrigger,
    Status,
)

__all__ = [
    "LIFETIME_INFINITE",
    "LIFETIME_UNIT",
    "MESSAGES",
    "MOBILITY_HEADER",
    "MOBILITY_OPTIONS",
    "SUBTYPED_MESSAGES",
    "AccessTechnology",
    "AccessTechnologyType",
    "AlternateCareOfAddress",
    "AnchoredPrefix",
    "BindingAcknowledgement",
    "BindingAcknowledgementFlags",
    "BindingAuthorizationData",
    "BindingError",
    "BindingErrorStatus",
    "BindingRefreshAdvice",
    "BindingRefreshRequest",
    "BindingRevocationAcknowledgement",
    "BindingRevocationFlags",
    "BindingRevocationIndication",
    "BindingUpdate",
    "BindingUpdateFlags",
    "CareOfTest",
    "CareOfTestInit",
    "DecodeError",
    "DlifLinkLayerAddress",
    "DlifLinkLocalAddress",
    "EncodeError",
    "Handoff",
    "HandoffIndicator",
    "Heartbeat",
    "HeartbeatFlags",
    "HomeNetworkPrefix",
    "HomeTest",
    "HomeTestInit",
    "IdentifierType",
    "LinkLocalAddress",
    "LocalPrefix",
    "MobileNodeIdentifier",
    "MobileNodeLinkLayerIdentifier",
    "MobilityMessage",
    "MobilityOption",
    "NonceIndices",
    "Pad1",
    "PadN",
    "PreviousMaar",
    "Problem",
    "Remainder",
    "RestartCounter",
    "RevocationStatus",
    "RevocationTrigger",
    "ServingMaar",
    "Status",
    "Timestamp",
    "Tolerance",
    "UnknownMessage",
    "UnknownOption",
    "VendorSpecific",
    "decode",
    "encode",
    "problems",
    "seal",
    "verify",
]


def __getattr__(name: str) -> Any:
    """What is imported when asked for: `Tolerance`, and the classes of the extensions by name."""
    if not name.startswith("_"):
        from importlib import import_module

        from sojourn.wire.catalogue import EXTENSIONS, HELPERS, PACKAGE

        for module in ("sojourn.wire.tolerance", *(f"{PACKAGE}.{module}" for module in (*EXTENSIONS, *HELPERS))):
            found = vars(import_module(module)).get(name)
            if isinstance(found, type) and found.__module__ == module:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
