"""The authentication protocol for Mobile IPv6 (RFC 4285): a mobile node and its home agent share a key.

An authenticator covers the care-of address, the home address and the Mobility Header up to and including the SPI; the
replay protection option carries a time. Left out: MN-AAA (5.2), which needs an AAA server.
"""

from __future__ import annotations

from hmac import compare_digest, digest
from typing import TypeVar

from sojourn.engines.mip6_configuration import Association
from sojourn.wire import MobilityMessage, encode
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc4285 import AuthenticationSubtype, MobilityMessageAuthentication

M = TypeVar("M", bound=MobilityMessage)
SIZE = 12
"""Octets of an authenticator: First (96, ...)."""
_MARK = b"\xa5" * SIZE
"""Stands where the authenticator will be, while its place in the octets is looked for."""
_TYPE = 9
_MN_HA = int(AuthenticationSubtype.MN_HA)


def signed(message: M, association: Association, care_of: Address, home: Address) -> M:
    """`message` with an MN-HA option behind its other options (RFC 4285 5.1)."""
    others = message.options
    message.options = (*others, MobilityMessageAuthentication(_MN_HA, association.spi, _MARK))
    code = _code(encode(message), _MARK, association, care_of, home)
    message.options = (*others, MobilityMessageAuthentication(_MN_HA, association.spi, code))
    return message


def mn_ha_option(message: MobilityMessage) -> MobilityMessageAuthentication | None:
    """The MN-HA option where it may be: the last one, or just before MN-AAA. None: there is none, or elsewhere."""
    for option in message.options[-2:]:
        if isinstance(option, MobilityMessageAuthentication) and option.subtype == _MN_HA:
            return option if message.options[-1] is option or _is_aaa(message.options[-1]) else None
    return None


def verified(
    message: MobilityMessage, octets: bytes, association: Association, care_of: Address, home: Address
) -> bool:
    """Whether the MN-HA option of `message`, which arrived as `octets`, was made with this key.

    Without octets, as our own encoder would have written it.
    """
    option = mn_ha_option(message)
    if option is None or option.spi != association.spi or len(option.authenticator) != SIZE:
        return False
    octets = whole(message, octets)
    head = bytes((_TYPE, 5 + SIZE, option.subtype)) + option.spi.to_bytes(4, "big")
    if head + option.authenticator not in octets:
        return False
    return compare_digest(_code(octets, option.authenticator, association, care_of, home), option.authenticator)


def whole(message: MobilityMessage, octets: bytes) -> bytes:
    """The octets of the Mobility Header and none behind it; those that our encoder writes, when it has none."""
    return octets[: 8 * octets[1] + 8] if octets else encode(message)


def _is_aaa(option: object) -> bool:
    return isinstance(option, MobilityMessageAuthentication) and option.subtype == AuthenticationSubtype.MN_AAA


def _code(octets: bytes, authenticator: bytes, association: Association, care_of: Address, home: Address) -> bytes:
    """Over all before the last place where `authenticator` is: the option is the last one. The checksum is zero."""
    end = octets.rindex(authenticator)
    covered = b"".join((care_of, home, octets[:4], b"\0\0", octets[6:end]))
    return digest(association.key, covered, "sha1")[:SIZE]
