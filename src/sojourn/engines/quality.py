"""Quality of service is asked for, agreed on and shown (RFC 7222); the MAG enforces the greatest rates, nothing else.

A MAG asks for what its profile of the node says (ALLOCATE). The LMA agrees (RESPONSE), or offers what it can do
(NEGOTIATE), which the MAG then asks for. After a handover the LMA says what holds for the session. The LMA asks, too,
by an Update Notification. The LMA's part is in `lma_quality`, the MAG's in `mag_quality`; here is what both know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sojourn.engines.extension_settings import QualityRequest
from sojourn.wire.extensions.rfc7222 import (
    AllocationRetentionPriority,
    GuaranteedDlBitRate,
    GuaranteedUlBitRate,
    OperationalCode,
    PerMnAggMaxDlBitRate,
    PerMnAggMaxUlBitRate,
    PerSessionAggMaxDlBitRate,
    PerSessionAggMaxUlBitRate,
    QosAttribute,
    QualityOfService,
)

MOST = 8
"""Service requests of one session."""
DOWNLINK = (PerMnAggMaxDlBitRate, PerSessionAggMaxDlBitRate, GuaranteedDlBitRate)
UPLINK = (PerMnAggMaxUlBitRate, PerSessionAggMaxUlBitRate, GuaranteedUlBitRate)
SETTING = (OperationalCode.ALLOCATE, OperationalCode.MODIFY)
_WORDS = {
    PerMnAggMaxDlBitRate: "node down {}",
    PerMnAggMaxUlBitRate: "node up {}",
    PerSessionAggMaxDlBitRate: "down {}",
    PerSessionAggMaxUlBitRate: "up {}",
    GuaranteedDlBitRate: "down at least {}",
    GuaranteedUlBitRate: "up at least {}",
}


def response(option: QualityOfService) -> QualityOfService:
    """The same as an answer."""
    return replace(option, operation=int(OperationalCode.RESPONSE))


def service_request(request: QualityRequest) -> QualityOfService:
    """The option that asks for it; its number is the LMA's to give."""
    attributes: list[QosAttribute] = []
    if request.downlink:
        attributes.append(PerSessionAggMaxDlBitRate(False, False, request.downlink))
    if request.uplink:
        attributes.append(PerSessionAggMaxUlBitRate(False, False, request.uplink))
    if request.guaranteed_downlink:
        attributes.append(GuaranteedDlBitRate(request.guaranteed_downlink))
    if request.guaranteed_uplink:
        attributes.append(GuaranteedUlBitRate(request.guaranteed_uplink))
    if request.priority:
        attributes.append(AllocationRetentionPriority(request.priority, 1, 0))
    return QualityOfService(0, request.dscp, int(OperationalCode.ALLOCATE), tuple(attributes))


def greatest(options: Iterable[QualityOfService]) -> tuple[int, int]:
    """The greatest rates to the node and from it, in bits a second: the least of those agreed on; 0: none is."""
    attributes = [attribute for option in options for attribute in option.attributes]
    down = [one.rate for one in attributes if isinstance(one, PerMnAggMaxDlBitRate | PerSessionAggMaxDlBitRate)]
    up = [one.rate for one in attributes if isinstance(one, PerMnAggMaxUlBitRate | PerSessionAggMaxUlBitRate)]
    return min(down, default=0), min(up, default=0)


def quality_words(option: QualityOfService) -> str:
    """For people: rates in bits a second."""
    said = [f"DSCP {option.code_point}"]
    for attribute in option.attributes:
        if type(attribute) in _WORDS:
            said.append(_WORDS[type(attribute)].format(_rate(getattr(attribute, "rate", 0))))
        elif isinstance(attribute, AllocationRetentionPriority):
            said.append(f"priority {attribute.priority}")
    return " ".join(said)


def _rate(bits: int) -> str:
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if bits >= unit:
            return f"{bits / unit:g}{name}"
    return str(bits)
