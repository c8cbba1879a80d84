"""eBPF programs written in Python: what an assembler for them needs to be, and no more.

    code = Assembler()
    code.load(Size.WORD, R.R2, R.R1, 16)
    code.jump(Jump.NOT_EQUAL, R.R2, 0xDD86, "leave")
    ...
    code.label("leave").move(R.R0, -1).leave()
    octets = code.assemble()

Registers are members of `R`, anything else is a number. R1 to R5 are arguments and are lost in a call, R0 the result,
R6 to R9 survive, R10 is the end of the stack (RFC 9669; 512 octets below it).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Self

_INSTRUCTION = struct.Struct("=BBhI")
_REGISTER = 0x08
"""BPF_X: the operand is a register."""
_ALU64, _ALU, _JMP, _JMP32 = 0x07, 0x04, 0x05, 0x06
_LDX_MEM, _ST_MEM, _STX_MEM = 0x61, 0x62, 0x63
_LOAD_64 = 0x18
_MAP_FD = 1
"""BPF_PSEUDO_MAP_FD: the number is the descriptor of a map."""
_TO_BIG_ENDIAN = 0xDC
_CALL, _EXIT, _ALWAYS = 0x85, 0x95, 0x05


class R(IntEnum):
    """A register."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


class Size(IntEnum):
    """How much is read or written, as instructions say it."""

    WORD = 0x00
    HALF = 0x08
    OCTET = 0x10
    DOUBLE = 0x18


class Alu(IntEnum):
    """Arithmetic with 64 bits."""

    ADD = 0x00
    SUB = 0x10
    MUL = 0x20
    OR = 0x40
    AND = 0x50
    SHIFT_LEFT = 0x60
    SHIFT_RIGHT = 0x70
    XOR = 0xA0
    MOVE = 0xB0


class Jump(IntEnum):
    """When to jump; numbers without sign, of 64 bits."""

    EQUAL = 0x10
    GREATER = 0x20
    GREATER_OR_EQUAL = 0x30
    ANY_BIT = 0x40
    NOT_EQUAL = 0x50
    LESS = 0xA0
    LESS_OR_EQUAL = 0xB0


class Assembler:
    """Instructions in order; every method adds some and returns the assembler itself."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []

    def _add(self, code: int, target: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> Self:
        self._code.append((code, target | source << 4, offset, number & 0xFFFFFFFF))
        return self

    def label(self, name: str) -> Self:
        """Jumps to `name` come here."""
        if name in self._labels:
            raise ValueError(f"label {name} is there twice")
        self._labels[name] = len(self._code)
        return self

    def alu(self, operation: Alu, target: R, operand: R | int) -> Self:
        """`target` = `target` `operation` `operand`."""
        if isinstance(operand, R):
            return self._add(operation | _ALU64 | _REGISTER, target, operand)
        return self._add(operation | _ALU64, target, number=operand)

    def move(self, target: R, operand: R | int) -> Self:
        """`target` = `operand`, a number with sign of 32 bits."""
        return self.alu(Alu.MOVE, target, operand)

    def add(self, target: R, operand: R | int) -> Self:
        """`target` += `operand`."""
        return self.alu(Alu.ADD, target, operand)

    def number(self, target: R, value: int) -> Self:
        """`target` = a number of 64 bits."""
        self._add(_LOAD_64, target, number=value)
        return self._add(0, number=value >> 32)

    def big_endian(self, target: R, bits: int) -> Self:
        """Between the order of the network and that of this machine, the lowest 16, 32 or 64 bits; the rest is zero."""
        return self._add(_TO_BIG_ENDIAN, target, number=bits)

    def load(self, size: Size, target: R, base: R, offset: int = 0) -> Self:
        """`target` = what is at `base` + `offset`."""
        return self._add(_LDX_MEM | size, target, base, offset)

    def store(self, size: Size, base: R, offset: int, value: R | int) -> Self:
        """What is at `base` + `offset` = `value`."""
        if isinstance(value, R):
            return self._add(_STX_MEM | size, base, value, offset)
        return self._add(_ST_MEM | size, base, 0, offset, value)

    def copy(self, octets: int, to: R, to_offset: int, base: R, offset: int, through: R) -> Self:
        """A multiple of four octets from memory to memory."""
        done = 0
        while done < octets:
            size, step = (Size.DOUBLE, 8) if octets - done >= 8 else (Size.WORD, 4)
            self.load(size, through, base, offset + done).store(size, to, to_offset + done, through)
            done += step
        return self

    def atomic_add(self, base: R, offset: int, value: R) -> Self:
        """The 64 bits at `base` + `offset` += `value`, whoever else does the same."""
        return self._add(0xDB, base, value, offset)

    def map(self, target: R, descriptor: int) -> Self:
        """`target` = a map, for helpers."""
        self._add(_LOAD_64, target, _MAP_FD, number=descriptor)
        return self._add(0)

    def call(self, helper: int) -> Self:
        """A function of the kernel (enum bpf_func_id)."""
        return self._add(_CALL, number=helper)

    def jump(self, condition: Jump, value: R, operand: R | int, to: str, *, words: bool = False) -> Self:
        """To the label `to` if the condition holds; with `words` the lower 32 bits of each are compared."""
        self._jumps.append((len(self._code), to))
        family = _JMP32 if words else _JMP
        if isinstance(operand, R):
            return self._add(condition | family | _REGISTER, value, operand)
        return self._add(condition | family, value, number=operand)

    def go(self, to: str) -> Self:
        """To the label `to`."""
        self._jumps.append((len(self._code), to))
        return self._add(_ALWAYS)

    def leave(self) -> Self:
        """The program ends with what is in R0."""
        return self._add(_EXIT)

    def assemble(self) -> bytes:
        """The instructions as the kernel takes them (struct bpf_insn). Raises KeyError for a label that is nowhere."""
        targets = {at: self._labels[to] - at - 1 for at, to in self._jumps}
        return b"".join(
            _INSTRUCTION.pack(code, registers, targets.get(at, offset), number)
            for at, (code, registers, offset, number) in enumerate(self._code)
        )
