"""What goes wrong between octets and values.

`DecodeError` is the only exception that octets from the network can cause. `EncodeError` is a mistake of our own
side: a value that its field cannot carry.
"""

from __future__ import annotations

from collections.abc import Callable


class DecodeError(ValueError):
    """Octets that are not what they claim to be; drop and count them.

    `position` is the index of the offending octet, or of the first octet of the offending option.
    """

    def __init__(self, what: str | Callable[[], str], position: int) -> None:
        super().__init__(what, position)
        self._what = what
        self.position = position

    @property
    def what(self) -> str:
        """What is wrong. Found out when asked: a flood of malformed options must not cost the time for texts."""
        return self._what if isinstance(self._what, str) else self._what()

    def __str__(self) -> str:
        return f"{self.what} (octet {self.position})"


class EncodeError(ValueError):
    """A field holds a value that does not fit into its octets; the text names class, field and value."""
