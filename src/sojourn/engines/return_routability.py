"""The cryptography of return routability (RFC 6275 5.2): tokens, the binding management key, authenticators.

Pure functions, for both sides: a correspondent node makes tokens and verifies, a mobile node makes keys and signs.
"""

from __future__ import annotations

from hashlib import sha1
from hmac import compare_digest, digest
from typing import TypeVar

from sojourn.engines.authentication import whole
from sojourn.wire import BindingAuthorizationData, MobilityMessage, encode
from sojourn.wire.addresses import Address

M = TypeVar("M", bound=MobilityMessage)
SIZE = 12
"""Octets of an authenticator: First (96, ...)."""
TOKEN = 8
"""Octets of cookies, tokens and nonces."""


def keygen_token(node_key: bytes, address: Address, nonce: bytes, care_of: bool) -> bytes:
    """First (64, HMAC_SHA1 (Kcn, (address | nonce | 0 or 1))) (RFC 6275 5.2.5)."""
    return digest(node_key, address + nonce + (b"\x01" if care_of else b"\0"), "sha1")[:TOKEN]


def binding_key(home_token: bytes, care_of_token: bytes) -> bytes:
    """Kbm; without a care-of token, that of a request to delete a binding (RFC 6275 5.2.5)."""
    return sha1(home_token + care_of_token).digest()


def signed(message: M, key: bytes, care_of: Address, correspondent: Address) -> M:
    """`message` with Binding Authorization Data behind its other options (RFC 6275 6.2.7)."""
    others = message.options
    message.options = (*others, BindingAuthorizationData(bytes(SIZE)))
    code = _code(encode(message), key, care_of, correspondent)
    message.options = (*others, BindingAuthorizationData(code))
    return message


def verified(message: MobilityMessage, octets: bytes, key: bytes, care_of: Address, correspondent: Address) -> bool:
    """Whether the authenticator of `message`, which arrived as `octets`, was made with `key`.

    It must be in the last option, with no padding behind it (RFC 6275 6.2.7). Without octets, as our own encoder
    would have written it.
    """
    last = message.options[-1] if message.options else None
    octets = whole(message, octets)
    if not isinstance(last, BindingAuthorizationData) or len(last.authenticator) != SIZE:
        return False
    if octets[-SIZE:] != last.authenticator:
        return False
    return compare_digest(_code(octets, key, care_of, correspondent), last.authenticator)


def _code(octets: bytes, key: bytes, care_of: Address, correspondent: Address) -> bytes:
    """Over all but the authenticator, which ends the message. The checksum is zero."""
    covered = b"".join((care_of, correspondent, octets[:4], b"\0\0", octets[6:-SIZE]))
    return digest(key, covered, "sha1")[:SIZE]
