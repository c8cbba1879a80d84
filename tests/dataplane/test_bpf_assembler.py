"""eBPF instructions, octet by octet, as RFC 9669 and the kernel's own assembler (linux/filter.h) have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sojourn.dataplane.bpf_assembler import Alu, Assembler, Jump, R, Size

VECTORS: list[tuple[str, Callable[[Assembler], Assembler]]] = [
    ("b7 00 00 00 ff ff ff ff", lambda code: code.move(R.R0, -1)),
    ("bf 16 00 00 00 00 00 00", lambda code: code.move(R.R6, R.R1)),
    ("07 02 00 00 e0 ff ff ff", lambda code: code.add(R.R2, -32)),
    ("0f 32 00 00 00 00 00 00", lambda code: code.add(R.R2, R.R3)),
    ("77 03 00 00 04 00 00 00", lambda code: code.alu(Alu.SHIFT_RIGHT, R.R3, 4)),
    ("61 12 10 00 00 00 00 00", lambda code: code.load(Size.WORD, R.R2, R.R1, 16)),
    ("71 43 06 00 00 00 00 00", lambda code: code.load(Size.OCTET, R.R3, R.R4, 6)),
    ("7b 3a f8 ff 00 00 00 00", lambda code: code.store(Size.DOUBLE, R.R10, -8, R.R3)),
    ("6a 0a fe ff 34 12 00 00", lambda code: code.store(Size.HALF, R.R10, -2, 0x1234)),
    ("dc 02 00 00 10 00 00 00", lambda code: code.big_endian(R.R2, 16)),
    ("18 11 00 00 05 00 00 00 00 00 00 00 00 00 00 00", lambda code: code.map(R.R1, 5)),
    ("18 03 00 00 78 56 34 12 00 00 00 00 f0 de bc 9a", lambda code: code.number(R.R3, 0x9ABCDEF012345678)),
    ("85 00 00 00 0e 00 00 00", lambda code: code.call(14)),
    ("db 10 08 00 00 00 00 00", lambda code: code.atomic_add(R.R0, 8, R.R1)),
    ("95 00 00 00 00 00 00 00", lambda code: code.leave()),
]


@pytest.mark.parametrize(("octets", "write"), VECTORS, ids=[octets[:5] for octets, _ in VECTORS])
def test_instruction(octets: str, write: Callable[[Assembler], Assembler]) -> None:
    assert write(Assembler()).assemble() == bytes.fromhex(octets)


def test_jumps_count_the_instructions_that_they_leave_out() -> None:
    code = Assembler().label("again").jump(Jump.NOT_EQUAL, R.R2, 0xDD86, "end").map(R.R1, 3)
    code.jump(Jump.EQUAL, R.R3, R.R4, "again", words=True).go("end").label("end").leave()
    lines = code.assemble()
    assert lines[:8] == bytes.fromhex("55 02 04 00 86 dd 00 00")
    assert lines[24:32] == bytes.fromhex("1e 43 fc ff 00 00 00 00")
    assert lines[32:40] == bytes.fromhex("05 00 00 00 00 00 00 00")


def test_copy_takes_the_longest_steps_that_fit() -> None:
    lines = Assembler().copy(12, R.R10, -16, R.R1, 4, R.R3).assemble()
    assert [lines[at] for at in range(0, len(lines), 8)] == [0x79, 0x7B, 0x61, 0x63]


def test_a_label_that_is_nowhere_or_twice_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Assembler().go("nowhere").assemble()
    with pytest.raises(ValueError, match="twice"):
        Assembler().label("here").label("here")
