"""How people name mobile nodes in commands, and what kinds of names there are."""

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


def identifier_type(node: bytes) -> str:
    """The kind of an identifier (RFC 4283, RFC 8371), for people."""
    try:
        return IdentifierType(node[0]).name.lower().replace("_", "-")
    except ValueError:
        return str(node[0])
