"""What the DHCP servers of both families say when they do not answer."""

from __future__ import annotations


class Discarded(Exception):
    """The message is none that a server answers."""


class NotYet(Exception):
    """It is not known yet what is the host's; the same message can be answered soon."""
