"""Identifiers of mobile nodes beyond names (RFC 8371): octets and text of those with a form of their own."""

from sojourn.wire.addresses import text as address_text
from sojourn.wire.values import IdentifierType

SIZES = {
    IdentifierType.IPV6_ADDRESS: (16,),
    IdentifierType.IMSI: (8,),
    IdentifierType.P_TMSI: (4,),
    IdentifierType.EUI_48: (6,),
    IdentifierType.EUI_64: (8,),
    IdentifierType.GUTI: (10,),
}
"""How many octets an identifier of each type has (RFC 8371 4); names and DUIDs have any number."""


def imsi(digits: str) -> bytes:
    """The octets of an IMSI (RFC 8371 4.2).

    High nibble first and 0xf behind an odd number of digits: not the order of 3GPP. Raises ValueError.
    """
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 15:
        raise ValueError(f"{digits!r} is not an IMSI of at most 15 digits")
    return bytes.fromhex(digits + "f" * (len(digits) % 2))


def identifier_text(subtype: int, octets: bytes) -> str:
    """An identifier for people: names as they are, addresses in their notation, the rest in hexadecimal."""
    match subtype:
        case IdentifierType.NAI if octets.isascii() and octets.decode("ascii").isprintable():
            return octets.decode("ascii")
        case IdentifierType.IPV6_ADDRESS if len(octets) == 16:
            return address_text(octets)
        case IdentifierType.IMSI:
            return octets.hex().removesuffix("f")
        case IdentifierType.EUI_48 | IdentifierType.EUI_64:
            return octets.hex(":")
    return octets.hex()
