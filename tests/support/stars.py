"""Nodes of labs that tests build around one core router (`sojourn.lab.topology.star`)."""

from __future__ import annotations


def mobile(at: str, **more: object) -> dict[str, object]:
    """A mobile node that waits for no address."""
    return {"kind": "mn", "at": at, "dad": "optimistic", **more}


def silent_host(**more: object) -> dict[str, object]:
    """A host that does no duplicate address detection."""
    return {"kind": "host", "dad": "off", **more}


OPTIMISTIC = {"optimistic_duplicate_address_detection": True}
"""A home agent that answers before its test of the home link is over."""
TRUSTING = {"duplicate_address_detection": False}
"""And one that does not test it."""
