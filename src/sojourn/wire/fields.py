"""How values travel: the vocabulary of declarations.

A message or option is a dataclass whose fields are annotated with their type for Python and their layout for the
wire, in the order of the RFC's figure::

    prefix_length: Annotated[int, UInt(1, maximum=128)]
    address: Annotated[Address, Octets(16)]

Short names exist for what is frequent (`U8`, `U16`, `Ip6`, ...). A reserved field is an ordinary field with the
default zero and ``kw_only=True``, so that it stands where the figure has it, stays out of the way of positional
arguments and survives a round trip.

Each kind of field knows two expressions, the *text* of Python code from which `sojourn.wire.generate` puts a decoder
and an encoder together, and a slow check, `problem`, which finds the culprit when an encoder has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from sojourn.wire.addresses import Address

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""`struct` codes by size; other sizes travel as octets and are converted."""


@dataclass(frozen=True, slots=True)
class UInt:
    """An unsigned integer of `size` octets; above `maximum` the octets are refused."""

    size: int
    maximum: int | None = None

    @property
    def format(self) -> str:
        return _FORMATS.get(self.size, f"{self.size}s")

    @property
    def limit(self) -> int:
        """The largest value that may travel."""
        return (1 << 8 * self.size) - 1 if self.maximum is None else self.maximum

    def read(self, word: str) -> str:
        """The value, as code, from the unpacked `word`."""
        return word if self.size in _FORMATS else f"int.from_bytes({word}, 'big')"

    def write(self, value: str) -> str:
        """What to pack, as code, for the attribute `value`."""
        return value if self.size in _FORMATS else f"({value}).to_bytes({self.size}, 'big')"

    def refused(self, value: str) -> str:
        """The condition, as code, under which a decoded `value` is malformed; empty when none is."""
        return "" if self.maximum is None else f"{value} > {self.maximum}"

    def unfit(self, value: str) -> str:
        """The condition, as code, under which `value` cannot be encoded and packing would not notice."""
        return self.refused(value)

    def problem(self, value: Any) -> str | None:
        """Why `value` cannot travel, for people."""
        if isinstance(value, int) and 0 <= value <= self.limit:
            return None
        return f"{value!r} is not an integer from 0 to {self.limit}"


@dataclass(frozen=True, slots=True)
class SInt:
    """A signed integer of `size` octets, in two's complement."""

    size: int

    @property
    def format(self) -> str:
        return f"{self.size}s"

    @property
    def limit(self) -> int:
        """The largest value that may travel."""
        return (1 << 8 * self.size - 1) - 1

    def read(self, word: str) -> str:
        return f"int.from_bytes({word}, 'big', signed=True)"

    def write(self, value: str) -> str:
        return f"({value}).to_bytes({self.size}, 'big', signed=True)"

    def refused(self, value: str) -> str:
        return ""

    def unfit(self, value: str) -> str:
        return ""

    def problem(self, value: Any) -> str | None:
        if isinstance(value, int) and -self.limit - 1 <= value <= self.limit:
            return None
        return f"{value!r} is not an integer from {-self.limit - 1} to {self.limit}"


@dataclass(frozen=True, slots=True)
class Scaled:
    """A quantity in whole nanoseconds above the wire and in `unit` nanoseconds on it.

    Encoding rounds down, but never to zero: zero means "delete" or "none" where lifetimes travel. The largest
    value of the field, which means infinity in most places, is exact in both directions.
    """

    size: int
    unit: int

    @property
    def format(self) -> str:
        return _FORMATS[self.size]

    @property
    def limit(self) -> int:
        """The largest value that may travel."""
        return ((1 << 8 * self.size) - 1) * self.unit

    def read(self, word: str) -> str:
        return f"{word} * {self.unit}"

    def write(self, value: str) -> str:
        return f"{value} // {self.unit} or {value} > 0"

    def refused(self, value: str) -> str:
        return ""

    def unfit(self, value: str) -> str:
        return ""

    def problem(self, value: Any) -> str | None:
        if isinstance(value, int) and 0 <= value < self.limit + self.unit:
            return None
        return f"{value!r} is not a number of nanoseconds from 0 to {self.limit}"


@dataclass(frozen=True, slots=True)
class Octets:
    """Exactly `size` octets."""

    size: int

    @property
    def format(self) -> str:
        return f"{self.size}s"

    def read(self, word: str) -> str:
        return word

    def write(self, value: str) -> str:
        return value

    def refused(self, value: str) -> str:
        return ""

    def unfit(self, value: str) -> str:
        return f"len({value}) != {self.size}"  # struct would cut or fill without a word

    def problem(self, value: Any) -> str | None:
        if isinstance(value, bytes | bytearray) and len(value) == self.size:
            return None
        return f"{value!r} is not {self.size} octets"


@dataclass(frozen=True, slots=True)
class Bits:
    """`size` bits. Bit fields that follow each other share one word, from its top bit down, and must fill it.

    Above `maximum`, if there is one, the octets are refused.
    """

    size: int
    maximum: int | None = None

    @property
    def mask(self) -> int:
        """All bits set."""
        return (1 << self.size) - 1

    @property
    def limit(self) -> int:
        """The largest value that may travel."""
        return self.mask if self.maximum is None else self.maximum

    def read(self, word: str) -> str:
        return word

    def refused(self, value: str) -> str:
        """The condition, as code, under which a decoded `value` is malformed; empty when none is."""
        return "" if self.maximum is None else f"{value} > {self.maximum}"

    def unfit(self, value: str) -> str:
        return f"{value} >> {self.size}" if self.maximum is None else f"not 0 <= {value} <= {self.maximum}"

    def problem(self, value: Any) -> str | None:
        if isinstance(value, int) and 0 <= value <= self.limit:
            return None
        if self.maximum is not None:
            return f"{value!r} is not an integer from 0 to {self.maximum}"
        return f"{value!r} does not fit into {self.size} bits"


@dataclass(frozen=True, slots=True)
class Flag(Bits):
    """One bit that is a bool above the wire."""

    size: int = 1

    def read(self, word: str) -> str:
        return f"({word}) == 1"


@dataclass(frozen=True, slots=True)
class Rest:
    """All octets to the end, at least `minimum`; if `sizes` is given, exactly so many as one of them."""

    minimum: int = 0
    sizes: tuple[int, ...] = ()

    def refused(self, length: str) -> str:
        """The condition, as code, under which so many octets are malformed; empty when none is."""
        if self.sizes:
            return f"{length} not in {self.sizes}"
        return f"{length} < {self.minimum}" if self.minimum else ""

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, bytes | bytearray):
            return f"{value!r} is not octets"
        if (self.sizes and len(value) not in self.sizes) or len(value) < self.minimum:
            return f"{len(value)} octets are not {self.expected()}"
        return None

    def expected(self) -> str:
        """The legal lengths, for people."""
        return " or ".join(map(str, self.sizes)) if self.sizes else f"at least {self.minimum}"


@dataclass(frozen=True, slots=True)
class Tlvs:
    """Options to the end, as the name of the family that holds their numbers (`sojourn.wire.tlv.Family`)."""

    family: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """Values of `size` octets each to the end, at least `minimum` of them: numbers, or octets if not `number`."""

    size: int
    minimum: int = 0
    number: bool = True

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, tuple) or len(value) < self.minimum:
            return f"{value!r} is not a tuple of at least {self.minimum}"
        kind = UInt(self.size) if self.number else Octets(self.size)
        return next(filter(None, map(kind.problem, value)), None)


@dataclass(frozen=True, slots=True)
class Counted:
    """Octets with a length octet before them. For classes that read and write themselves."""

    def problem(self, value: Any) -> str | None:
        if isinstance(value, bytes | bytearray) and len(value) < 256:
            return None
        return f"{value!r} is not at most 255 octets"


@dataclass(frozen=True, slots=True)
class InHeader:
    """One octet of the protocol's own header, which that protocol's module reads and writes: the code of ICMPv6."""

    def problem(self, value: Any) -> str | None:
        return UInt(1).problem(value)


Fixed: TypeAlias = UInt | SInt | Scaled | Octets
"""Kinds with a word of their own."""
Tail: TypeAlias = Rest | Tlvs | Repeated
"""Kinds without a fixed length: at most one, at the end."""
Kind: TypeAlias = Fixed | Bits | Tail | Counted | InHeader

U8: TypeAlias = Annotated[int, UInt(1)]
U16: TypeAlias = Annotated[int, UInt(2)]
U24: TypeAlias = Annotated[int, UInt(3)]
U32: TypeAlias = Annotated[int, UInt(4)]
U64: TypeAlias = Annotated[int, UInt(8)]
Ip6: TypeAlias = Annotated[Address, Octets(16)]
Ip4: TypeAlias = Annotated[bytes, Octets(4)]
"""An IPv4 address: 4 octets."""
PrefixLength: TypeAlias = Annotated[int, UInt(1, maximum=128)]
"""Of an IPv6 prefix. More than 128 is malformed everywhere, so that no code above needs to ask."""
