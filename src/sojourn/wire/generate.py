"""From a declaration to a decoder and an encoder.

For each declared class two functions are written as text and compiled once, as `dataclasses` itself does: a loop
over the fields at run time would take several times as long. `parse` reads the annotations into a `Layout`,
`decoder_text` and `encoder_text` turn a layout into code, `compile_functions` makes functions of that. For a Home
Network Prefix the text is::

    def get(octets, start, stop, mode):
     if stop - start != 18: raise Refusal(cls, start, stop)
     self = make(cls)
     w0, self.prefix_length, self.address, = unpack(octets, start)
     self.off_link = (w0 >> 7 & 1) == 1
     self.reserved = w0 & 127
     if self.prefix_length > 128: raise Refusal(cls, start, stop)
     return self

    def put(self, out, align):
     try:
      if align: out += PADDINGS[(4 - len(out)) % 8]
      if self.off_link >> 1 or self.reserved >> 7 or ... or len(self.address) != 16: raise complain(self)
      out += pack(22, 18, self.off_link << 7 | self.reserved, self.prefix_length, self.address)
     except (struct_error, TypeError, OverflowError): raise complain(self) from None

The object is made without calling ``__init__``, which halves the time of a decode. The functions are written when the
first of them is called: most programs meet a few of the many classes. A class that no layout describes brings functions
`get` and `put` of its own with the same signatures.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_type_hints

from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import Bits, Counted, Fixed, InHeader, Kind, Repeated, Rest, Tail, Tlvs, UInt

Get: TypeAlias = Callable[[bytes, int, int, int], Any]
"""``get(octets, start, stop, mode)``: the object in ``octets[start:stop]``, or `DecodeError`."""
Put: TypeAlias = Callable[[Any, bytearray, bool], None]
"""``put(self, out, align)``: append the octets of `self`; pad for alignment first, if `align`."""
Walk: TypeAlias = Callable[[bytes, int, int, int], tuple[Any, ...]]
"""``walk(octets, start, stop, mode)``: all options in ``octets[start:stop]``."""
NATURAL: Final = "natural"
Alignment: TypeAlias = tuple[int, int] | Callable[[Any], tuple[int, int]] | Literal["natural"]
"""``(x, y)``: the option begins at a multiple of x plus y octets (RFC 6275 6.2.1); or a function that says so.

`NATURAL` is for a tail that is "aligned appropriately" (RFC 5213 8.6, RFC 8885 4.8). As RFC 6275 6.2.1 has it, a field
of n octets begins at a multiple of n, for n = 1, 2, 4 or 8; n is taken as the largest of these that divides the length
of the tail. Behind four octets that gives 2n for an EUI-48 and 8n+4 for an EUI-64.
"""

STRICT = 1
"""In `mode`: a malformed option is an error of the whole message."""
PADDING = 2
"""In `mode`: padding is kept among the options."""

PADDINGS = [b"", b"\0"] + [bytes((1, size - 2)) + bytes(size - 2) for size in range(2, 9)]
"""Padding by length: Pad1 and PadN of RFC 6275 6.2.2 and 6.2.3."""


class Head(NamedTuple):
    """What stands before the fields of an option: its number, and a length in `unit` octets beyond `base` octets."""

    number: int
    base: int = 2
    unit: int = 1
    octets: int = 1
    """Of the number, and of the length."""


class Part(NamedTuple):
    """A field within a word, `shift` bits from its right end."""

    name: str
    kind: Fixed | Bits
    shift: int


class Word(NamedTuple):
    """What one `struct` code unpacks: a field, or several bit fields."""

    format: str
    parts: list[Part]


@dataclass(slots=True)
class Layout:
    """The octets of a class in order."""

    head: Head | None
    """None for messages: theirs is common to all and not written here."""
    words: list[Word]
    tail: tuple[str, Tail] | None
    custom: bool = False
    """The class has functions of its own, whose octets may be more than this says."""

    @property
    def format(self) -> str:
        return "".join(word.format for word in self.words)

    @property
    def size(self) -> int:
        """Octets before the tail."""
        return struct.calcsize("!" + self.format)

    def parts(self) -> list[Part]:
        """All fields but the tail."""
        return [part for word in self.words for part in word.parts]

    def lengths(self) -> range | tuple[int, ...]:
        """How many octets there may be, tail and all."""
        match self.tail:
            case None:
                return (self.size,)
            case (_, Rest(minimum, sizes)):
                legal = tuple(self.size + length for length in sizes)
                return legal or range(self.size + minimum, sys.maxsize)
            case (_, Repeated(size, minimum)):
                return range(self.size + size * minimum, sys.maxsize, size)
            case _:
                return range(self.size, sys.maxsize)


# --- reading a declaration ----------------------------------------------------------------------------------------


_NAMES = {"number", "rfc", "align", "layout", "get", "put", "first", "all"}


def kinds(cls: type) -> dict[str, Kind]:
    """The kind of each field of a declared class, in wire order."""
    hints = {field.name: field.type for field in fields(cls)}
    if taken := _NAMES & hints.keys():
        raise TypeError(f"{cls.__name__}.{min(taken)}: the name belongs to the mechanism")
    if any(isinstance(hint, str) for hint in hints.values()):  # slow, so only where annotations are kept as text
        hints = get_type_hints(cls, include_extras=True)
    return {field.name: _kind(cls, field.name, hints[field.name]) for field in fields(cls)}


def _kind(cls: type, name: str, hint: Any) -> Kind:
    for annotation in getattr(hint, "__metadata__", ()):
        if isinstance(annotation, Kind):
            return annotation
    raise TypeError(f"{cls.__name__}.{name}: the annotation has no layout")


def parse(cls: type, head: Head | None) -> Layout:
    """The layout that the annotations of a dataclass describe. Raises TypeError when they make none."""
    layout = Layout(head, [], None)
    bits: list[tuple[str, Bits]] = []
    for name, kind in kinds(cls).items():
        if isinstance(kind, InHeader):
            continue
        if layout.tail:
            raise TypeError(f"{cls.__name__}.{name} comes after a field without a fixed length")
        if isinstance(kind, Bits):
            bits.append((name, kind))
            if sum(part.size for _, part in bits) % 8 == 0:
                layout.words.append(_bit_word(bits))
                bits = []
        elif bits:
            raise TypeError(f"{cls.__name__}.{name} does not begin on an octet")
        elif isinstance(kind, Rest | Tlvs | Repeated):
            layout.tail = (name, kind)
        elif isinstance(kind, Counted):
            raise TypeError(f"{cls.__name__}.{name}: only a class with its own get and put has such a field")
        else:
            layout.words.append(Word(kind.format, [Part(name, kind, 0)]))
    if bits:
        raise TypeError(f"{cls.__name__}: the bit fields do not fill their octets")
    return layout


def _bit_word(bits: list[tuple[str, Bits]]) -> Word:
    left = sum(kind.size for _, kind in bits)
    word = Word(UInt(left // 8).format, [])
    for name, kind in bits:
        left -= kind.size
        word.parts.append(Part(name, kind, left))
    return word


# --- writing the decoder ------------------------------------------------------------------------------------------


def decoder_text(layout: Layout) -> list[str]:
    """The lines of ``get``."""
    targets, conversions, refusals = [], [], []
    for index, word in enumerate(layout.words):
        if _plain(word):
            targets.append(f"self.{word.parts[0].name}")
        else:
            targets.append(f"w{index}")
            conversions += _conversions(word, f"w{index}")
        refusals += [part.kind.refused(f"self.{part.name}") for part in word.parts]
    lines = ["def get(octets, start, stop, mode):"]
    lines += [f" if {_wrong_length(layout)}: raise Refusal(cls, start, stop)"]
    lines += [" self = make(cls)"]
    if targets:
        lines += [f" {', '.join(targets)}, = unpack(octets, start)"]
    lines += [f" {line}" for line in conversions]
    if any(refusals):
        lines += [f" if {' or '.join(filter(None, refusals))}: raise Refusal(cls, start, stop)"]
    match layout.tail:
        case (name, Rest()):
            lines += [f" self.{name} = octets[start + {layout.size}:stop]"]
        case (name, Tlvs()):
            lines += [f" self.{name} = walk(octets, start + {layout.size}, stop, mode)"]
        case (name, Repeated(size, _, number)):
            item = f"octets[at:at + {size}]"
            item = f"from_bytes({item}, 'big')" if number else item
            lines += [f" self.{name} = tuple([{item} for at in range(start + {layout.size}, stop, {size})])"]
    return [*lines, " return self"]


def _plain(word: Word) -> bool:
    """Whether the unpacked word is the value of a field as it stands."""
    part = word.parts[0]
    return not isinstance(part.kind, Bits) and part.kind.read("w") == "w"


def _conversions(word: Word, variable: str) -> list[str]:
    if not isinstance(word.parts[0].kind, Bits):
        return [f"self.{word.parts[0].name} = {word.parts[0].kind.read(variable)}"]
    lines = []
    if word.format.endswith("s"):
        lines += [f"{variable} = int.from_bytes({variable}, 'big')"]
    for part in word.parts:
        assert isinstance(part.kind, Bits)
        shifted = f"{variable} >> {part.shift}" if part.shift else variable
        lines += [f"self.{part.name} = {part.kind.read(f'{shifted} & {part.kind.mask}')}"]
    return lines


def _wrong_length(layout: Layout) -> str:
    match layout.lengths():
        case range(start=least, step=1):
            return f"stop - start < {least}"
        case range(start=least, step=step):
            return f"stop - start < {least} or (stop - start - {least}) % {step}"
        case (only,):
            return f"stop - start != {only}"
        case several:
            return f"stop - start not in {several}"


# --- writing the encoder ------------------------------------------------------------------------------------------


def encoder_text(layout: Layout, align: Alignment) -> list[str]:
    """The lines of ``put``."""
    values = [_packed(word) for word in layout.words]
    rest = _rest(layout)
    body = [f"rest = {rest}"] if rest else []
    if layout.head:
        body += _alignment(layout, align)
        values = [str(layout.head.number), _length(layout, layout.head), *values]
        if layout.head.unit > 1 or _nested(layout):
            body += ["begin = len(out)"]
    if unfit := _unfit(layout):
        body += [f"if {' or '.join(unfit)}: raise complain(self)"]
    body += [f"out += pack({', '.join(values)})"]
    if rest:
        body += ["out += rest"]
    lines = ["def put(self, out, align):", " try:", *(f"  {line}" for line in body)]
    lines += [" except (struct_error, TypeError, OverflowError, AttributeError): raise complain(self) from None"]
    return lines + [f" {line}" for line in _after(layout)]


def _rest(layout: Layout) -> str | None:
    """The octets of a tail that is no list of options, as code."""
    match layout.tail:
        case (name, Rest()):
            return f"self.{name}"
        case (name, Repeated(size, _, True)):
            return f"b''.join([value.to_bytes({size}, 'big') for value in self.{name}])"
        case (name, Repeated()):
            return f"b''.join(self.{name})"
    return None


def _nested(layout: Layout) -> bool:
    """Whether these are options within an option: their octets are counted when they are there."""
    return bool(layout.head and layout.tail and isinstance(layout.tail[1], Tlvs))


def _unfit(layout: Layout) -> list[str]:
    conditions = [part.kind.unfit(f"self.{part.name}") for part in layout.parts()]
    match layout.tail:
        case (_, Rest() as kind):
            conditions += [kind.refused("len(rest)")]
        case (name, Repeated(size, minimum)):
            conditions += [f"len(self.{name}) < {minimum}", f"len(rest) != {size} * len(self.{name})"]
    return list(filter(None, conditions))


def _alignment(layout: Layout, align: Alignment) -> list[str]:
    if align == NATURAL:
        begin = 2 + layout.size
        return ["if align:", " x = len(rest) | 8", f" out += PADDINGS[-(len(out) + {begin}) % (x & -x)]"]
    if callable(align):
        return ["if align:", " x, y = alignment(self)", " out += PADDINGS[(y - len(out)) % x]"]
    x, y = align
    return [f"if align: out += PADDINGS[({y} - len(out)) % {x}]"] if x > 1 else []


def _packed(word: Word) -> str:
    terms = []
    for part in word.parts:
        value = f"self.{part.name}"
        if isinstance(part.kind, Bits):
            terms.append(f"{value} << {part.shift}" if part.shift else value)
        else:
            return part.kind.write(value)
    whole = " | ".join(terms)
    return f"({whole}).to_bytes({word.format[:-1]}, 'big')" if word.format.endswith("s") else whole


def _length(layout: Layout, head: Head) -> str:
    """The expression of the length octet."""
    fixed = 2 * head.octets + layout.size - head.base
    match layout.tail:
        case None:
            return str(fixed // head.unit)
        case (_, Rest() | Repeated()) if head.unit == 1:
            return f"{fixed} + len(rest)"
        case (_, Rest() | Repeated()):
            return f"({fixed} + len(rest) + {head.unit - 1}) // {head.unit}"
        case _:
            return "0"


def _after(layout: Layout) -> list[str]:
    """What follows the fixed fields: options, and what the unit of the length demands."""
    lines = []
    if layout.tail and isinstance(layout.tail[1], Tlvs):
        lines += [f"for option in self.{layout.tail[0]}: option.put(out, align)"]
    if layout.head and layout.head.unit > 1:
        lines += [f"out += bytes((begin + {layout.head.base} - len(out)) % {layout.head.unit})"]
    if layout.head and _nested(layout):
        size = layout.head.octets
        lines += [
            f"length = (len(out) - begin - {layout.head.base}) // {layout.head.unit}",
            f"if length >> {8 * size}: raise complain(self)",
            f"out[begin + {size}:begin + {2 * size}] = length.to_bytes({size}, 'big')",
        ]
    return lines


# --- putting both to work -----------------------------------------------------------------------------------------


def define(
    cls: Any,
    head: Head | None,
    align: Alignment,
    walkers: dict[str, Walk],
    install: Callable[[Get], None],
) -> None:
    """Give `cls` its decoder and encoder, unless it brings its own, and the RFC sections that its docstring names.

    Until one of the two is called they are stand-ins; then both are compiled and `install` is told the decoder.
    """
    cls.rfc = ", ".join(re.findall(r"RFC \d+ [\d.]*\d", cls.__doc__ or ""))
    cls.align = align
    if "get" in vars(cls) and "put" in vars(cls):
        with suppress(TypeError):  # its octets may be more than a layout can say
            cls.layout = parse(cls, head)
            cls.layout.custom = True
        return
    cls.layout = parse(cls, head)

    def ready() -> None:
        cls.get, cls.put = compile_functions(cls, cls.layout, align, walkers)
        install(cls.get)

    def get(octets: bytes, start: int, stop: int, mode: int) -> Any:
        ready()
        return cls.get(octets, start, stop, mode)

    def put(self: Any, out: bytearray, align: bool) -> None:
        ready()
        self.put(out, align)

    cls.get, cls.put = staticmethod(get), put


def compile_functions(cls: type, layout: Layout, align: Alignment, walkers: dict[str, Walk]) -> tuple[Any, Put]:
    """The decoder, as a static method, and the encoder of `cls`."""
    head = "" if layout.head is None else 2 * {1: "B", 2: "H"}[layout.head.octets]
    packed = struct.Struct("!" + head + layout.format)
    namespace: dict[str, Any] = {
        "cls": cls,
        "make": object.__new__,
        "unpack": struct.Struct("!" + layout.format).unpack_from,
        "pack": packed.pack,
        "struct_error": struct.error,
        "from_bytes": int.from_bytes,
        "PADDINGS": PADDINGS,
        "alignment": align,
        "Refusal": Refusal,
        "complain": complain,
    }
    if layout.tail and isinstance(layout.tail[1], Tlvs):
        namespace["walk"] = walkers[layout.tail[1].family]
    text = "\n".join([*decoder_text(layout), *encoder_text(layout, align)])
    exec(compile(text, f"<codec of {cls.__name__}>", "exec"), namespace)
    return staticmethod(namespace["get"]), namespace["put"]


def alignment_of(option: Any) -> tuple[int, int]:
    """(x, y) for this very option; the generated encoder has it in a faster form."""
    align: Alignment = type(option).align
    if callable(align):
        return align(option)
    if isinstance(align, tuple):
        return align
    layout: Layout = type(option).layout
    assert layout.tail
    size = len(getattr(option, layout.tail[0])) | 8
    divisor = size & -size
    return divisor, -(2 + layout.size) % divisor


class Refusal(DecodeError):
    """The error that says what is wrong with the fields of a class between two positions.

    It is made with ``Refusal(cls, start, stop)`` and finds its words when asked: a message may be full of malformed
    options, and 64 KiB of them must not take long.
    """

    __init__ = ValueError.__init__

    @property
    def what(self) -> str:
        """What is wrong."""
        cls, start, stop = self.args
        return _refusal(cls, cls.layout, stop - start)

    @property
    def position(self) -> int:  # type: ignore[override]
        """The first octet of the option, or of a message's data."""
        cls, start, _ = self.args
        return int(start - (2 * cls.layout.head.octets if cls.layout.head else 0))


def _refusal(cls: Any, layout: Layout, length: int) -> str:
    expected = layout.lengths()
    if length in expected:
        return f"{cls.__name__} ({cls.rfc}): a value beyond its limit"
    return f"{cls.__name__} ({cls.rfc}): {length} octets where {_in_words(expected)} are expected"


def _in_words(lengths: range | tuple[int, ...]) -> str:
    if isinstance(lengths, range) and lengths.step > 1:
        return f"{lengths.start} and a multiple of {lengths.step} more"
    return f"at least {lengths.start}" if isinstance(lengths, range) else " or ".join(map(str, lengths))


def complain(self: Any) -> EncodeError:
    """The error that names the field that does not fit."""
    cls = type(self)
    for name, kind in kinds(cls).items():
        problem = None if isinstance(kind, Tlvs) else kind.problem(getattr(self, name))
        if problem:
            return EncodeError(f"{cls.__name__}.{name} ({cls.rfc}): {problem}")
    return EncodeError(f"{cls.__name__} ({cls.rfc}): too long for its length field")
