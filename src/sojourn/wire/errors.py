"""What goes wrong between octets and values.

`DecodeError` is the only exception that octets from the network can cause. `EncodeError` is a mistake of our own
side: a value that its field cannot carry.
"""

from __future__ import annotations


class DecodeError(ValueError):
    """Octets that are not what they claim to be; drop and count them.

    `position` is the index of the offending octet, or of the first octet of the offending option.
    """

    def __init__(self, what: str, position: int) -> None:
        super().__init__(what, position)
        self.what = what
        self.position = position

    def __str__(self) -> str:
        return f"{self.what} (octet {self.position})"


class EncodeError(ValueError):
    """A field holds a value that does not fit into its octets; the text names class, field and value."""
