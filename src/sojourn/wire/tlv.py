"""Options: numbers, lengths and the walk over them.

Type-length-value lists occur in several families: mobility options (RFC 6275 6.2), the sub-options of some of them,
neighbour discovery options (RFC 4861 4.6). They differ in what the length octet counts and in their padding, and each
has a table of its own. A `Family` is such a table with the one walker that all decoders use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.generate import PADDING, STRICT, Alignment, Get, Head, Layout, Walk, define

WALKERS: dict[str, Walk] = {}
"""The walker of each family by its name, for fields of the kind `Tlvs`."""


class Tlv:
    """An option of any family."""

    __slots__ = ()
    number: ClassVar[int]
    rfc: ClassVar[str]
    """RFC sections, as the docstring names them."""
    align: ClassVar[Alignment]
    layout: ClassVar[Layout]

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> Any:
        """The option whose data are ``octets[start:stop]``; generated. Raises `DecodeError`."""
        raise NotImplementedError

    def put(self, out: bytearray, align: bool) -> None:
        """Append the option, after padding for its alignment if `align`; generated. Raises `EncodeError`."""
        raise NotImplementedError


T = TypeVar("T", bound=Tlv)


class Message:
    """A message that ends in options, of any protocol; its number and checksum belong to the protocol's header."""

    __slots__ = ()
    number: ClassVar[int] = 0
    rfc: ClassVar[str]
    """RFC sections, as the docstring names them."""
    layout: ClassVar[Layout]
    options: tuple[Any, ...] = ()

    @staticmethod
    def get(octets: bytes, start: int, stop: int, mode: int) -> Any:
        """The message whose data are ``octets[start:stop]``; generated. Raises `DecodeError`."""
        raise NotImplementedError

    def put(self, out: bytearray, align: bool) -> None:
        """Append the data to the header; generated. Raises `EncodeError`."""
        raise NotImplementedError

    def first(self, kind: type[T]) -> T | None:
        """The first option of this class."""
        for option in self.options:
            if isinstance(option, kind):
                return option
        return None

    def firsts(self) -> dict[type, Any]:
        """The first option of each class, for those who look for several."""
        return {type(option): option for option in reversed(self.options)}

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """All options of this class, in order."""
        return tuple([option for option in self.options if isinstance(option, kind)])


M = TypeVar("M", bound=Message)
V = TypeVar("V")


@dataclass(slots=True)
class UnknownSubOption(Tlv):
    """A sub-option without a class here, or one that is malformed; its octets are kept."""

    type: int
    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the sub-option as it came."""
        if len(self.data) > 255 or not 0 <= self.type <= 255:
            raise EncodeError(f"UnknownSubOption: type {self.type} cannot carry {len(self.data)} octets")
        out += bytes((self.type, len(self.data))) + self.data


@dataclass(slots=True)
class SubRemainder(Tlv):
    """Octets at the end of an option that are no sub-option; kept, so that it can be rebuilt."""

    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        """Append the octets."""
        out += self.data


class Catalogue(Mapping[int, V]):
    """What is declared, by number. The modules of rare declarations are imported when a number first occurs.

    Whoever walks over the catalogue, or asks for its length, has all of them imported.
    """

    def __init__(self) -> None:
        self.ready: dict[int, V] = {}
        """What is declared by now."""
        self.elsewhere: dict[int, str] = {}
        """The modules that will declare the rest."""

    def find(self, number: int) -> V | None:
        """What is declared under `number`, if anything is."""
        module = self.elsewhere.pop(number, None)
        if module:
            import_module(module)
        return self.ready.get(number)

    def reserved(self, number: int, module: str) -> bool:
        """Whether `number` is kept for another module than this."""
        return self.elsewhere.get(number, module) != module

    def _load(self) -> dict[int, V]:
        while self.elsewhere:
            self.find(min(self.elsewhere))
        return self.ready

    def __getitem__(self, number: int) -> V:
        found = self.find(number)
        if found is None:
            raise KeyError(number)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._load()))

    def __len__(self) -> int:
        return len(self._load())


class Registry(Generic[M]):
    """The messages that share a number space."""

    def __init__(self) -> None:
        self.classes: Catalogue[type[M]] = Catalogue()
        self.subtypes: Catalogue[dict[bytes, type[M]]] = Catalogue()
        """Where the first octets of the data say which class it is."""
        self.readers: list[Get | None] = [None] * 256

    def reader(self, number: int) -> Get | None:
        """The decoder of message `number`, even if its module has not been imported yet."""
        self.classes.find(number)
        self.subtypes.find(number)
        return self.readers[number]

    def message(self, number: int, subtype: bytes = b"") -> Callable[[type[M]], type[M]]:
        """Class decorator: the dataclass with slots is message `number`, if its data begin with `subtype`."""

        def declare(cls: type[M]) -> type[M]:
            catalogue: Catalogue[Any] = self.subtypes if subtype else self.classes
            known = self.subtypes.ready.get(number, {})
            taken = number in self.classes.ready or subtype in known or (known and not subtype)
            if taken or catalogue.reserved(number, cls.__module__):
                raise TypeError(f"{cls.__name__}: number {number} is taken")
            cls.number = number
            if subtype:
                define(cls, None, (1, 0), WALKERS, lambda get: None)
                self.subtypes.ready.setdefault(number, {})[subtype] = cls
                self.readers[number] = self._dispatcher(number)
            else:
                define(cls, None, (1, 0), WALKERS, lambda get: self.readers.__setitem__(number, get))
                self.classes.ready[number] = cls
                self.readers[number] = cls.get
            catalogue.elsewhere.pop(number, None)
            return cls

        return declare

    def _dispatcher(self, number: int) -> Get:
        table = self.subtypes.ready[number]

        def get(octets: bytes, start: int, stop: int, mode: int) -> Any:
            for subtype, cls in table.items():
                if octets.startswith(subtype, start, stop):
                    return cls.get(octets, start, stop, mode)
            return None

        return get


class Family:
    """The options that share a number space.

    An option is ``base + unit * length`` octets long in all. `unknown` makes the object for a number without a class
    and for malformed options, `remainder` the one for octets at the end that are no option. With `pad1`, type 0 is a
    single octet without a length; `padding` are the numbers that are left out unless they are asked for.
    """

    def __init__(
        self,
        name: str,
        unknown: Callable[[int, bytes], Tlv],
        remainder: Callable[[bytes], Tlv] | None = None,
        *,
        base: int = 2,
        unit: int = 1,
        pad1: bool = False,
        padding: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.classes: Catalogue[type[Tlv]] = Catalogue()
        self.unknown = unknown
        self._remainder = remainder
        self._base = base
        self._unit = unit
        self._pad1 = pad1
        self._padding = frozenset(padding)
        self._readers: list[Get | None] = [None] * 256
        self.odd_lengths: dict[int, tuple[int, int]] = {}
        """(base, unit) of the numbers that count in their own way."""
        self.walk: Walk = self._walker()
        WALKERS[name] = self.walk

    def option(
        self, number: int, align: Alignment = (1, 0), length: tuple[int, int] | None = None
    ) -> Callable[[type[T]], type[T]]:
        """Class decorator: the dataclass is option `number`; `length` is its own (base, unit) if it has one."""
        if align != (1, 0) and not (self._pad1 and 1 in self._padding):
            raise TypeError(f"number {number}: no alignment without Pad1 and PadN")
        base, unit = length or self.length(number)

        def declare(cls: type[T]) -> type[T]:
            if self.classes.reserved(number, cls.__module__):
                self.classes.find(number)
            if number in self.classes.ready:
                raise TypeError(f"{cls.__name__}: number {number} belongs to {self.classes.ready[number].__name__}")
            if length:
                self.set_length(number, base, unit)
            cls.number = number
            define(cls, Head(number, base, unit), align, WALKERS, lambda get: self._install(number, get))
            self.classes.ready[number] = cls
            self.classes.elsewhere.pop(number, None)
            self._install(number, cls.get)
            return cls

        return declare

    def _install(self, number: int, get: Get) -> None:
        if number not in self.odd_lengths and number not in self._padding:
            self._readers[number] = get

    def length(self, number: int) -> tuple[int, int]:
        """(base, unit) of option `number`."""
        return self.odd_lengths.get(number, (self._base, self._unit))

    def set_length(self, number: int, base: int, unit: int) -> None:
        """Option `number` counts its length in its own way, whether it has a class or not."""
        self.odd_lengths[number] = (base, unit)
        self._readers[number] = None

    def _walker(self) -> Walk:
        """The function itself: what it needs lies in its closure, not behind ``self``."""
        base, unit, readers, rare = self._base, self._unit, self._readers, self._rare
        single = self._pad1

        def walk(octets: bytes, position: int, end: int, mode: int) -> tuple[Any, ...]:
            found: list[Any] = []
            add = found.append
            while position < end:
                read = readers[octets[position]]
                if read is None:
                    if single and not octets[position] and not mode & PADDING:
                        position += 1
                        continue
                    position = rare(octets, position, end, mode, found)
                    continue
                try:
                    stop = position + base + unit * octets[position + 1]
                except IndexError:
                    stop = end + 1
                if not position + 1 < stop <= end:
                    position = rare(octets, position, end, mode, found)
                    continue
                try:
                    add(read(octets, position + 2, stop, mode))
                except DecodeError:
                    if mode & STRICT:
                        raise
                    add(self.unknown(octets[position], octets[position + 2 : stop]))
                position = stop
            return tuple(found)

        return walk

    def _rare(self, octets: bytes, position: int, end: int, mode: int, found: list[Any]) -> int:
        """Padding, options without a class or with a length of their own, and what runs past the end."""
        number = octets[position]
        if number == 0 and self._pad1:
            if mode & PADDING:
                found.append(self._read(number, octets, position + 1, position + 1, mode))
            return position + 1
        base, unit = self.length(number)
        stop = position + base + unit * octets[position + 1] if position + 1 < end else end + 1
        if not position + 1 < stop <= end:
            return self._broken(octets, position, end, mode, found)
        if number not in self._padding or mode & PADDING:
            found.append(self._read(number, octets, position + 2, stop, mode))
        return stop

    def _read(self, number: int, octets: bytes, start: int, stop: int, mode: int) -> Tlv:
        cls = self.classes.find(number)
        if cls is None:
            return self.unknown(number, octets[start:stop])
        try:
            option: Tlv = cls.get(octets, start, stop, mode)
        except DecodeError:
            if mode & STRICT:
                raise
            return self.unknown(number, octets[start:stop])
        return option

    def _broken(self, octets: bytes, position: int, end: int, mode: int, found: list[Any]) -> int:
        if mode & STRICT or self._remainder is None:
            raise DecodeError(f"option {octets[position]} does not end within its message", position)
        found.append(self._remainder(octets[position:end]))
        return end
