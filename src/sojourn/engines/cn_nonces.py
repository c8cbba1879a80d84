"""The node keys and nonces of a correspondent node (RFC 6275 5.2.1, 5.2.2, 5.2.7), without keeping any.

Every 30 seconds there is a new nonce with a node key of its own, both derived from the entropy of the engine and the
number of the interval. So nothing is stored, whoever asks and however often.
"""

from __future__ import annotations

from sojourn.engines.entropy import Entropy
from sojourn.engines.mip6_configuration import MAX_NONCE_LIFETIME, MAX_TOKEN_LIFETIME
from sojourn.engines.return_routability import keygen_token
from sojourn.wire.addresses import Address
from sojourn.wire.units import Duration, Instant

INTERVAL: Duration = MAX_NONCE_LIFETIME - MAX_TOKEN_LIFETIME
"""Between nonces."""
_ACCEPTED = MAX_NONCE_LIFETIME // INTERVAL
"""So many of the latest nonces are recognised."""
_NODE_KEY = 20
"""Octets of Kcn (RFC 6275 5.2.1)."""
_NONCE = 8
_MODULUS = 1 << 16


class Nonces:
    """Those of one life: what an earlier one gave out is not recognised."""

    def __init__(self, entropy: Entropy, now: Instant) -> None:
        self._entropy = entropy
        self._offset = entropy.below(_MODULUS)
        """Of indices, so that those of an earlier life mostly mean nothing now."""
        self._first = now // INTERVAL
        self._latest: tuple[int, bytes, bytes] = (-1, b"", b"")

    def token(self, address: Address, care_of: bool, now: Instant) -> tuple[int, bytes]:
        """The current nonce index and the keygen token that goes with it."""
        number = now // INTERVAL
        return (number + self._offset) % _MODULUS, self._token(number, address, care_of)

    def recall(self, index: int, address: Address, care_of: bool, now: Instant) -> bytes | None:
        """The token that was made with the nonce of that index; None: it is too old, or never was."""
        number = now // INTERVAL
        age = (number + self._offset - index) % _MODULUS
        if age >= _ACCEPTED or number - age < self._first:
            return None
        return self._token(number - age, address, care_of)

    def _token(self, number: int, address: Address, care_of: bool) -> bytes:
        if self._latest[0] != number:
            octets = self._entropy.derived(number.to_bytes(8, "big"))
            self._latest = number, octets[:_NODE_KEY], octets[_NODE_KEY : _NODE_KEY + _NONCE]
        _, key, nonce = self._latest
        return keygen_token(key, address, nonce, care_of)
