"""An LMA agrees on quality of service, and asks for some (RFC 7222 5.1); see `quality`.

The command ``quality`` asks the MAG of a ``node`` for what ``dscp``, ``downlink``, ``uplink`` (bits a second) and
``priority`` say; ``remove`` with any value takes back what there is for that ``dscp``. It needs Update Notifications.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sojourn.engines.carried import Carried
from sojourn.engines.extension_settings import QualityRequest, QualitySettings
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_notification import LmaNotification
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.naming import node_in_words
from sojourn.engines.quality import DOWNLINK, MOST, SETTING, UPLINK, quality_words, response, service_request
from sojourn.wire import Handoff, MobilityOption
from sojourn.wire.extensions.rfc7077 import UpdateNotificationAcknowledgement, UpdateNotificationReason
from sojourn.wire.extensions.rfc7222 import OperationalCode, QualityOfService
from sojourn.wire.tlv import Tlv

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_REJECTED = 128
_NUMBERS = {"dscp": 64, "downlink": 1 << 32, "uplink": 1 << 32, "priority": 16}
"""Arguments of the command, and what each is less than."""


class LmaQuality(Carried[tuple[QualityOfService, ...]]):
    """The LMA's part (5.1): the requests of a session stay until others replace or remove them."""

    name: ClassVar[str] = "quality"
    verbs: ClassVar[frozenset[str]] = frozenset({"quality"})

    def __init__(self, lma: LmaRegistration, settings: QualitySettings) -> None:
        super().__init__(lma)
        self._limits = settings
        self._offers: dict[int, tuple[QualityOfService, ...]] = {}
        """Of sessions: what the answer says, while it is being made."""

    def _told_by(self, request: HomeRequest, entry: BindingCacheEntry) -> tuple[QualityOfService, ...] | None:
        """What holds after this request."""
        holds = {one.code_point: one for one in self._told.get(entry.slot, ())}
        offers: list[QualityOfService] = []
        for asked in request.update.all(QualityOfService)[:MOST]:
            if asked.operation == OperationalCode.DE_ALLOCATE:
                holds.pop(asked.code_point, None)
                offers.append(response(asked))
            elif asked.operation in SETTING:
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
        if had is None and len(holds) >= MOST:
            return QualityOfService(0, asked.code_point, int(OperationalCode.NEGOTIATE))
        number = self._number(holds, asked.code_point)
        agreed = QualityOfService(number, asked.code_point, int(OperationalCode.RESPONSE), able)
        holds[asked.code_point] = agreed
        return agreed

    def _number(self, holds: dict[int, QualityOfService], code_point: int) -> int:
        """The SR-ID that a request has, or the lowest that is free."""
        had = holds.get(code_point)
        used = {one.service_request for one in holds.values()}
        return had.service_request if had else next(one for one in range(1, MOST + 2) if one not in used)

    def _limited(self, attribute: Tlv) -> Tlv:
        limit = 0
        if isinstance(attribute, DOWNLINK):
            limit = self._limits.downlink
        elif isinstance(attribute, UPLINK):
            limit = self._limits.uplink
        if not limit or getattr(attribute, "rate", 0) <= limit:
            return attribute
        return replace(attribute, rate=limit)  # type: ignore[type-var]

    # --- on command ---------------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``quality``, see above."""
        try:
            told = {name: int(arguments[name]) for name in _NUMBERS if name in arguments}
        except ValueError:
            return False
        known = _NUMBERS.keys() | {"node", "remove"}
        if not known >= arguments.keys() or any(not 0 <= value < _NUMBERS[name] for name, value in told.items()):
            return False
        asked = service_request(QualityRequest(**told))
        if "remove" in arguments:
            asked = replace(asked, operation=int(OperationalCode.DE_ALLOCATE))
        begun = [self._ask(entry, asked) for entry in self._role.cache.of(node_in_words(arguments.get("node", "")))]
        return any(begun)

    def _ask(self, entry: BindingCacheEntry, asked: QualityOfService) -> bool:
        """Whether the MAG was asked: for something new, for a change, or for nothing more."""
        notification = self._beside(LmaNotification)
        holds = {one.code_point: one for one in self._told.get(entry.slot, ())}
        had, removing = holds.get(asked.code_point), asked.operation == OperationalCode.DE_ALLOCATE
        if notification is None or (had is None and (removing or len(holds) >= MOST)):
            return False
        number = self._number(holds, asked.code_point)
        if had is not None and not removing:
            asked = replace(asked, operation=int(OperationalCode.MODIFY))
        option = replace(asked, service_request=number)
        reason = UpdateNotificationReason.QOS_SERVICE_REQUEST
        return notification.notify(entry, reason, (option,), lambda answer: self._on_answer(entry, option, answer))

    def _on_answer(
        self, entry: BindingCacheEntry, option: QualityOfService, answer: UpdateNotificationAcknowledgement | None
    ) -> None:
        """5.1: what was agreed to holds; "the denial ... results in removal of any QoS state" of that request."""
        if self._role.cache.get(entry.slot) is not entry or answer is None:
            return
        holds = {one.code_point: one for one in self._told.get(entry.slot, ())}
        holds.pop(option.code_point, None)
        if answer.status >= _REJECTED:
            self._report("quality-refused", node=entry.node, status=answer.status)
        elif option.operation in SETTING and len(holds) < MOST:
            holds[option.code_point] = response(option)
        self._told[entry.slot] = tuple(holds.values())
        if not holds:
            del self._told[entry.slot]

    # --- answers ------------------------------------------------------------------------------------------------------

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """What was agreed on or offered."""
        return self._offers.pop(entry.slot, ())

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing of it is kept."""
        super().removed(entry)
        self._offers.pop(entry.slot, None)

    def _words(self, value: tuple[QualityOfService, ...]) -> str:
        return "; ".join(map(quality_words, value))
