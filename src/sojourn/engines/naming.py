"""How people name mobile nodes in commands."""

from __future__ import annotations

from sojourn.engines.access_presence import identifier
from sojourn.wire import IdentifierType
from sojourn.wire.addresses import link_layer


def node_in_words(words: str) -> bytes:
    """Subtype and identifier that people mean: a link-layer address, a name, or both in hexadecimal; empty: nothing."""
    try:
        octets = link_layer(words)
    except ValueError:
        octets = b""
    if len(octets) == 6:
        return identifier(octets)
    try:
        return bytes.fromhex(words)
    except ValueError:
        return bytes((IdentifierType.NAI,)) + words.encode()
