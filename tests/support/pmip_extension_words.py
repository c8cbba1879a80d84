"""Extensions of LMA and MAG in transcripts: ``domain pmip extensions=heartbeat,revocation``, and their messages."""

from __future__ import annotations

from sojourn.engines.extension_settings import RedirectSettings
from sojourn.wire import (
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    Heartbeat,
    MobilityMessage,
    RevocationStatus,
    RevocationTrigger,
)
from sojourn.wire.extensions.rfc7077 import (
    UpdateAcknowledgementStatus,
    UpdateNotification,
    UpdateNotificationAcknowledgement,
    UpdateNotificationReason,
)
from support.pmip import LMA2
from support.pmip_extensions import all_of_lma, all_of_mag

_OF_LMA = {"timers": "mag_timers", "notification": "update_notification"}
_OF_MAG = {"timers": "lma_timers", "notification": "update_notification"}


def switched_on(names: str) -> tuple[dict[str, object], dict[str, object]]:
    """Settings of the LMA, and of all MAGs; ``redirect`` is to lma2, and everything else is there as well."""
    lma: dict[str, object] = {}
    mag: dict[str, object] = {}
    for name in names.split(","):
        if name == "redirect":
            lma["redirect"], mag["redirect_anchors"] = RedirectSettings((LMA2,)), (LMA2,)
            continue
        key, other = _OF_LMA.get(name, name), _OF_MAG.get(name, name)
        lma[key], mag[other] = all_of_lma()[key], all_of_mag()[other]
        if name == "renumbering":
            lma["pools"], mag["prefix_retirement"] = all_of_lma()["pools"], all_of_mag()["prefix_retirement"]
    return lma, mag


def extension_words(message: MobilityMessage) -> str | None:
    """A message of an extension, without its sequence number and its options; None for any other."""
    match message:
        case Heartbeat(flags):
            return f"heartbeat{(', answered', ', unasked', ', unasked')[flags - 1] if flags else ''}"
        case BindingRevocationIndication(trigger):
            return f"BRI {_words(RevocationTrigger(trigger).name)}"
        case BindingRevocationAcknowledgement(status):
            return f"BRA {_words(RevocationStatus(status).name)}"
        case UpdateNotification(_, reason, flags):
            again = " again" if flags & 0x4000 else ""
            return f"UPN{again} {_words(UpdateNotificationReason(reason).name)}"
        case UpdateNotificationAcknowledgement(_, status):
            return f"UPA {_words(UpdateAcknowledgementStatus(status).name)}"
        case BindingError(status):
            return f"binding error {status}"
    return None


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
