"""Who a node is, for people: in plain, or as a hash that tells nodes apart and names nobody.

A key of the operator's makes the hashes useless to others; without one they can be found out by trying, as there are
few link-layer addresses. The same key on all routers makes their logs comparable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2s
from ipaddress import IPv6Address
from typing import Any

from sojourn.wire.addresses import link_layer_text, text

NAI = 1
"""MN-ID subtype: Network Access Identifier (RFC 4283)."""
_NODE_KEYS = frozenset({"node", "link_layer", "identifier"})
_IDENTITY = "identity"
"""Who a node authenticated as."""
_LINK_LAYER = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
_VIRTUAL_ROUTERS = "00:00:5e:00:"
"""The routers' own addresses (RFC 6543, RFC 5798) are no secret."""
_SHARED_INTERFACE = bytes.fromhex("02005efffe005213")
"""The end of their link-local address."""


class Identifiers:
    """Renders identifiers; `key` is any text, `plain` shows them as they are."""

    def __init__(self, key: str = "", plain: bool = False) -> None:
        self._key = blake2s(key.encode()).digest()
        self._plain = plain

    def node(self, node: bytes) -> str:
        """A node: the subtype of the Mobile Node Identifier option and the identifier."""
        return node_text(node) if self._plain else self._hash(node[1:])

    def link_layer(self, octets: bytes) -> str:
        """A link-layer address; the hash is that of a node which is known by this address."""
        return link_layer_text(octets) if self._plain else self._hash(octets)

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of a table, with its identifiers rendered, wherever they stand."""
        return {key: self._value(key, value) for key, value in row.items()}

    def _value(self, key: str, value: Any) -> Any:
        match value:
            case bytes():
                return self.link_layer(value)
            case str() if key == _IDENTITY:
                return value if self._plain else self._hash(value.encode())
            case str() if key in _NODE_KEYS and (octets := _octets(value)) is not None:
                return self.link_layer(octets) if ":" in value else self.node(octets)
            case str() if not self._plain:
                return self._address(value) if "ff:fe" in value else _LINK_LAYER.sub(self._replace, value)
            case list() | tuple():
                return [self._value(key, item) for item in value]
            case Mapping():
                return self.row(value)
            case _:
                return value

    def _address(self, value: str) -> str:
        """An address that was made of a link-layer address gives it away (RFC 4291, appendix A)."""
        try:
            octets = IPv6Address(value).packed
        except ValueError:
            return value
        if octets[11:13] != b"\xff\xfe" or octets[8:] == _SHARED_INTERFACE:
            return value
        return f"{text(octets[:8] + bytes(8))}{self._hash(bytes((octets[8] ^ 2,)) + octets[9:11] + octets[13:])}"

    def _replace(self, match: re.Match[str]) -> str:
        found = match.group()
        return found if found.startswith(_VIRTUAL_ROUTERS) else self._hash(bytes.fromhex(found.replace(":", "")))

    def _hash(self, octets: bytes) -> str:
        return f"#{blake2s(octets, digest_size=5, key=self._key).hexdigest()}"


def node_text(node: bytes) -> str:
    """An identifier for people: the NAI, the link-layer address, else octets."""
    subtype, identifier = node[0] if node else 0, node[1:]
    if subtype == NAI:
        try:
            written = identifier.decode()
        except UnicodeDecodeError:
            written = ""
        if written.isprintable() and written:
            return written
    return link_layer_text(identifier) if len(identifier) in (6, 8) else identifier.hex()


def _octets(written: str) -> bytes | None:
    """The engines write nodes as hexadecimal digits; None for anything else."""
    try:
        return bytes.fromhex(written.replace(":", "")) or None
    except ValueError:
        return None
