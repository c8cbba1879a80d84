"""Quality of service is asked for, agreed on and shown (RFC 7222); nothing enforces it here.

A MAG asks for what its profile of the node says (ALLOCATE). The LMA agrees (RESPONSE), or offers what it can do
(NEGOTIATE), which the MAG then asks for. After a handover the LMA says what holds for the session. Left out: requests
that an LMA begins, and queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sojourn.core.engine import Row
from sojourn.engines.access_session import SERVED
from sojourn.engines.carried import Carried
from sojourn.engines.extension import MagExtension
from sojourn.engines.extension_settings import QualityRequest, QualitySettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import BindingAcknowledgement, Handoff, MobilityOption
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
from sojourn.wire.tlv import Tlv

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration

_MOST = 8
"""Service requests of one session."""
_DOWNLINK = (PerMnAggMaxDlBitRate, PerSessionAggMaxDlBitRate, GuaranteedDlBitRate)
_UPLINK = (PerMnAggMaxUlBitRate, PerSessionAggMaxUlBitRate, GuaranteedUlBitRate)
_WORDS = {
    PerMnAggMaxDlBitRate: "node down {}",
    PerMnAggMaxUlBitRate: "node up {}",
    PerSessionAggMaxDlBitRate: "down {}",
    PerSessionAggMaxUlBitRate: "up {}",
    GuaranteedDlBitRate: "down at least {}",
    GuaranteedUlBitRate: "up at least {}",
}


class LmaQuality(Carried[tuple[QualityOfService, ...]]):
    """The LMA's part (5.1): the requests of a session stay until others replace or remove them."""

    name: ClassVar[str] = "quality"

    def __init__(self, lma: LmaRegistration, settings: QualitySettings) -> None:
        super().__init__(lma)
        self._limits = settings
        self._offers: dict[int, tuple[QualityOfService, ...]] = {}
        """Of sessions: what the answer says, while it is being made."""

    def _told_by(self, request: HomeRequest, entry: BindingCacheEntry) -> tuple[QualityOfService, ...] | None:
        """What holds after this request."""
        holds = {one.code_point: one for one in self._told.get(entry.slot, ())}
        offers: list[QualityOfService] = []
        for asked in request.update.all(QualityOfService)[:_MOST]:
            if asked.operation == OperationalCode.DE_ALLOCATE:
                holds.pop(asked.code_point, None)
                offers.append(replace(asked, operation=int(OperationalCode.RESPONSE)))
            elif asked.operation in (OperationalCode.ALLOCATE, OperationalCode.MODIFY):
                offers.append(self._agreed(asked, holds))
        if request.handoff in (Handoff.BETWEEN_GATEWAYS, Handoff.UNKNOWN) and not offers:
            offers.extend(holds.values())
        self._offers[entry.slot] = tuple(offers)
        return tuple(holds.values()) or None

    def _agreed(self, asked: QualityOfService, holds: dict[int, QualityOfService]) -> QualityOfService:
        """In entirety, with a number; or less, with the number 0."""
        able = tuple(map(self._limited, asked.attributes))
        if able != asked.attributes:
            negotiated = int(OperationalCode.NEGOTIATE)
            return QualityOfService(0, asked.code_point, negotiated, able)
        had = holds.get(asked.code_point)
        if had is None and len(holds) >= _MOST:
            return QualityOfService(0, asked.code_point, int(OperationalCode.NEGOTIATE))
        used = {one.service_request for one in holds.values()}
        number = next(number for number in range(1, _MOST + 2) if number not in used)
        if had is not None:
            number = had.service_request
        agreed = QualityOfService(number, asked.code_point, int(OperationalCode.RESPONSE), able)
        holds[asked.code_point] = agreed
        return agreed

    def _limited(self, attribute: Tlv) -> Tlv:
        limit = 0
        if isinstance(attribute, _DOWNLINK):
            limit = self._limits.downlink
        elif isinstance(attribute, _UPLINK):
            limit = self._limits.uplink
        if not limit or getattr(attribute, "rate", 0) <= limit:
            return attribute
        return replace(attribute, rate=limit)  # type: ignore[type-var]

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """What was agreed on or offered."""
        return self._offers.pop(entry.slot, ())

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing of it is kept."""
        super().removed(entry)
        self._offers.pop(entry.slot, None)

    def _words(self, value: tuple[QualityOfService, ...]) -> str:
        return "; ".join(map(quality_words, value))


class MagQuality(MagExtension):
    """The MAG's part (5.2)."""

    name: ClassVar[str] = "quality"

    def __init__(self, mag: MagRegistration, requests: dict[bytes, QualityRequest]) -> None:
        super().__init__(mag)
        self._requests = {link_layer: _option(request) for link_layer, request in requests.items()}
        """By link-layer address; the empty one is for everybody else."""
        self._agreed: dict[bytes, tuple[QualityOfService, ...]] = {}
        """Of sessions."""
        self._offered: dict[bytes, tuple[QualityOfService, ...]] = {}
        """What the LMA can do, and we ask for next."""

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """As long as nothing is agreed on."""
        if session.presence is not SERVED or (session.confirmed and session.node in self._agreed):
            return ()
        if session.node in self._offered:
            return self._offered[session.node]
        option = self._requests.get(session.link_layer, self._requests.get(b""))
        return () if option is None else (option,)

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """Agreed, or less is offered: that is asked for once, at once."""
        told = answer.all(QualityOfService)
        agreed = tuple(one for one in told if one.operation == OperationalCode.RESPONSE)
        offers = tuple(
            replace(one, operation=int(OperationalCode.ALLOCATE))
            for one in told
            if one.operation == OperationalCode.NEGOTIATE and one.attributes
        )
        if agreed:
            self._agreed[session.node] = agreed[:_MOST]
            self._offered.pop(session.node, None)
        elif offers and session.node not in self._offered:
            self._offered[session.node] = offers[:_MOST]
            self._role._register(session, Handoff.NOT_CHANGED)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing of it is kept."""
        self._agreed.pop(session.node, None)
        self._offered.pop(session.node, None)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """What was agreed on."""
        agreed = self._agreed.get(session.node)
        return {} if agreed is None else {self.name: "; ".join(map(quality_words, agreed))}


def _option(request: QualityRequest) -> QualityOfService:
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
