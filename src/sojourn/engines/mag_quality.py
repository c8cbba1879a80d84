"""A MAG asks for quality of service, and is asked for some (RFC 7222 5.2); see `quality`.

What comes to the node or from it faster than was agreed on is dropped, for each of its IPv6 home network prefixes.
Guaranteed rates, priorities and DSCP are agreed on and shown; a network that keeps them does so by its own means.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sojourn.core.effects import EnsureRate, WithdrawRate
from sojourn.core.engine import Row
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.extension_settings import QualityRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.quality import MOST, SETTING, greatest, quality_words, response, service_request
from sojourn.wire import BindingAcknowledgement, Handoff, MobilityOption
from sojourn.wire.addresses import Prefix
from sojourn.wire.extensions.rfc7077 import (
    UpdateAcknowledgementStatus,
    UpdateNotification,
    UpdateNotificationReason,
)
from sojourn.wire.extensions.rfc7222 import OperationalCode, QualityOfService

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


class MagQuality(MagExtension):
    """The MAG's part (5.2)."""

    name: ClassVar[str] = "quality"
    reasons: frozenset[int] = frozenset({int(UpdateNotificationReason.QOS_SERVICE_REQUEST)})

    def __init__(self, mag: MagRegistration, requests: dict[bytes, QualityRequest]) -> None:
        super().__init__(mag)
        self._requests = {link_layer: service_request(request) for link_layer, request in requests.items()}
        """By link-layer address; the empty one is for everybody else."""
        self._agreed: dict[bytes, tuple[QualityOfService, ...]] = {}
        """Of sessions."""
        self._offered: dict[bytes, tuple[QualityOfService, ...]] = {}
        """What the LMA can do, and we ask for next."""
        self._limited: dict[bytes, dict[Prefix, tuple[int, int]]] = {}
        """The rates of each prefix of a session."""

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
            self._agreed[session.node] = agreed[:MOST]
            self._offered.pop(session.node, None)
        self._enforce(session)
        if not agreed and offers and session.node not in self._offered:
            self._offered[session.node] = offers[:MOST]
            self._role._register(session, Handoff.NOT_CHANGED)

    def on_notified(
        self, sessions: Sequence[BindingUpdateListEntry], message: UpdateNotification
    ) -> tuple[UpdateAcknowledgementStatus, tuple[MobilityOption, ...]]:
        """The LMA asks: rates are limits only, so that there is room for everything that can be kept."""
        session, *others = sessions
        asked = message.all(QualityOfService)
        holds = {one.code_point: one for one in self._agreed.get(session.node, ())}
        if any(option.operation == OperationalCode.QUERY for option in asked):
            return UpdateAcknowledgementStatus.SUCCESS, tuple(holds.values())
        for option in asked:
            holds.pop(option.code_point, None)
            if option.operation in SETTING:
                holds[option.code_point] = response(option)
        if others or not asked or len(holds) > MOST:
            return UpdateAcknowledgementStatus.CANNOT_MEET_QOS_SERVICE_REQUEST, ()
        self._agreed[session.node] = tuple(holds.values())
        self._enforce(session)
        return UpdateAcknowledgementStatus.SUCCESS, tuple(map(response, asked))

    def _enforce(self, session: BindingUpdateListEntry) -> None:
        """Each of its prefixes has the rates; more than one are not counted together."""
        rates = greatest(self._agreed.get(session.node, ()))
        had = self._limited.pop(session.node, {})
        wanted = {prefix: rates for prefix in session.anchored if not prefix.is_ipv4} if any(rates) else {}
        for prefix in [one for one in had if one not in wanted]:
            self._do(WithdrawRate(prefix))
        for prefix in wanted:
            if had.get(prefix) != rates:
                self._do(EnsureRate(prefix, *rates))
        if wanted:
            self._limited[session.node] = wanted

    def served(self, session: BindingUpdateListEntry) -> None:
        """The kernel may have forgotten."""
        for prefix, rates in self._limited.get(session.node, {}).items():
            self._do(EnsureRate(prefix, *rates))

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """Its rate ends with it."""
        if self._limited.get(session.node, {}).pop(prefix, None) is not None:
            self._do(WithdrawRate(prefix))

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing of it is kept."""
        self._agreed.pop(session.node, None)
        self._offered.pop(session.node, None)
        self._enforce(session)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """What was agreed on."""
        agreed = self._agreed.get(session.node)
        return {} if agreed is None else {self.name: "; ".join(map(quality_words, agreed))}
