"""Names that stand for nodes in a recording, so that it can be shown around.

A pseudonym has the form of what it replaces, is the same as long as the key is, and cannot be traced without that
(`sojourn.host.recorder.kept_key`). Pseudonyms of link-layer addresses are locally administered, so that
nobody takes one for a real device.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import blake2b

from sojourn.wire import (
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    MobilityOption,
    UnknownMessage,
    UnknownOption,
)
from sojourn.wire.addresses import Address, LinkLayer, link_layer, link_layer_text

_MAC = re.compile(r"(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:])")
_IANA = bytes.fromhex("00005e")
"""The shared addresses of RFC 6543, among others."""
_PERSONAL = frozenset({"node", "mobile_node", "identifier", "link_layer"})
"""Keys of reports and commands whose value is a node's name, in whatever form."""


class Plain:
    """Everything as it is."""

    def node(self, value: bytes) -> bytes:
        """The key of a node in an engine's tables: the subtype and the octets of its identifier."""
        return value

    def link_layer(self, value: LinkLayer) -> LinkLayer:
        """A link-layer address of a node."""
        return value

    def address(self, value: Address) -> Address:
        """An address, perhaps of a node."""
        return value

    def record(self, value: bytes) -> bytes:
        """A stored record."""
        return value

    def payload(self, value: bytes) -> bytes:
        """What a node told the DHCP server, or was told."""
        return value

    def text(self, value: str) -> str:
        """A sentence that may name a node."""
        return value

    def detail(self, key: str, value: str) -> str:
        """A value of a report or command."""
        return value

    def message(self, value: MobilityMessage) -> MobilityMessage:
        """A message about a node."""
        return value


class Pseudonyms(Plain):
    """Identifiers replaced by what only the holder of `key` could compute."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def node(self, value: bytes) -> bytes:
        """The subtype as it is."""
        return value[:1] + self._identifier(value[1:])

    def _identifier(self, value: bytes) -> bytes:
        return self.link_layer(value) if len(value) == 6 else self._octets(value)

    def _octets(self, value: bytes) -> bytes:
        out = b""
        while len(out) < len(value):
            out += blake2b(len(out).to_bytes(2, "big") + value, key=self._key, digest_size=64).digest()
        return out[: len(value)]

    def link_layer(self, value: LinkLayer) -> LinkLayer:
        """A locally administered unicast address; what IANA assigned is not a device's, and stays."""
        if value[:3] == _IANA:
            return value
        hashed = self._octets(value)
        return bytes((hashed[0] & 0xFC | 0x02,)) + hashed[1:] if hashed else hashed

    def address(self, value: Address) -> Address:
        """The prefix as it is; an interface identifier that was made of a link-layer address, replaced."""
        if value[11:13] != b"\xff\xfe":
            return value
        hashed = self.link_layer(bytes((value[8] ^ 2,)) + value[9:11] + value[13:])
        return value[:8] + bytes((hashed[0] ^ 2,)) + hashed[1:3] + b"\xff\xfe" + hashed[3:]

    def record(self, value: bytes) -> bytes:
        """Nothing: it may hold anything."""
        return b""

    def payload(self, value: bytes) -> bytes:
        """Its length: it is full of identifiers."""
        return bytes(len(value))

    def text(self, value: str) -> str:
        """All link-layer addresses in it replaced."""
        return _MAC.sub(lambda found: link_layer_text(self.link_layer(link_layer(found[0]))), value)

    def detail(self, key: str, value: str) -> str:
        """Replaced when `key` says that it names a node, or where it shows a link-layer address."""
        if key not in _PERSONAL or _MAC.fullmatch(value):
            return self.text(value)
        try:
            return self.node(bytes.fromhex(value)).hex()  # as engines name nodes
        except ValueError:
            return self._octets(value.encode())[:8].hex()

    def message(self, value: MobilityMessage) -> MobilityMessage:
        """The same message about a pseudonym; of what is not known only the form is left."""
        if isinstance(value, UnknownMessage):
            return replace(value, data=bytes(len(value.data)))
        if not value.options:
            return value
        return replace(value, options=tuple(map(self._option, value.options)))  # type: ignore[type-var]

    def _option(self, option: MobilityOption) -> MobilityOption:
        match option:
            case MobileNodeIdentifier() | MobileNodeLinkLayerIdentifier():
                return replace(option, identifier=self._identifier(option.identifier))
            case LinkLocalAddress():
                return replace(option, address=self.address(option.address))
            case UnknownOption():
                return replace(option, data=bytes(len(option.data)))
            case _:
                return option
