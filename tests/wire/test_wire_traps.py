"""Where the RFCs contradict themselves (rfc-traps.csv): each case is decided, and said where it is declared."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
WIRE = ROOT / "src" / "sojourn" / "wire"

DECISIONS = {
    1: ("extensions/rfc5568.py", "That section prints type 17"),
    2: ("extensions/rfc5555.py", "a misprint for 30"),
    3: ("extensions/rfc6089.py", "the other way round"),
    4: ("extensions/rfc6089.py", "all but two octets"),
    5: ("extensions/rfc7161.py", "errata 4146"),
    6: ("extensions/rfc5648.py", "which was never registered"),
    7: ("options/pmip6.py", "RFC 7864 4.1"),
    8: ("extensions/rfc7411.py", "32-bit words"),
    9: ("extensions/rfc7563.py", "not three, as the text says"),
    10: ("options/pmip6.py", "on a boundary of four octets"),
    11: ("extensions/rfc7148.py", "The alignment 8n+2 is the RFC's"),
    12: ("extensions/rfc6909.py", "drawn at 4n+2"),
    13: ("extensions/rfc5568.py", "It counts the SPI too"),
    14: ("extensions/rfc5568.py", "read as its units of 4 s"),
    15: ("extensions/rfc6705.py", "not in units of four"),
    16: ("extensions/rfc5568.py", "stand one bit higher"),
    17: ("extensions/rfc6088.py", "it has 20"),
    18: ("extensions/rfc4285.py", "two need separate computations"),
    19: ("extensions/rfc4285.py", "not that of the Timestamp"),
    20: ("values.py", "the two low bits"),
    21: ("rules.py", "is not the last option"),
    22: ("extensions/rfc7109.py", "7 and 9 bits"),
    23: ("extensions/rfc7077.py", "although 255 is reserved"),
    24: ("values.py", "defines 128 all the same"),
    25: ("values.py", "128 itself is a refusal too"),
    26: ("extensions/rfc7028.py", "nine columns wide"),
    27: ("udp.py", "their checksum is zero and not looked at"),
    28: ("extensions/rfc8278.py", "Eight bits here, sixteen"),
    29: ("extensions/rfc8127.py", "in units of four seconds, the others in seconds"),
    30: ("extensions/rfc8371.py", "not the order of 3GPP"),
    31: ("extensions/rfc7222.py", "the format comes second"),
    32: ("values.py", "which no RFC defines"),
    33: ("extensions/rfc5096.py", "RFC 5726 uses the same number"),
    34: ("extensions/rfc5149.py", "3GPP systems send the labels"),
    35: ("extensions/rfc6757.py", "too little for a full SSID"),
    36: ("extensions/rfc7161.py", "Modulo 256"),
    37: ("mobility.py", "out[1] = (len(out) >> 3) - 1"),
    38: ("mobility.py", "where a Home Address option travels"),
    39: ("mobility.py", "the answer to one is a Binding Error"),
    40: ("mobility.py", "however oddly its sender padded"),
}
"""By row: where the decision is made, and words of it."""


def rows() -> list[dict[str, str]]:
    """The table."""
    with (ROOT / "tests" / "vectors" / "rfc-traps.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_has_a_decision() -> None:
    assert {int(row["no"]) for row in rows()} == set(DECISIONS)


@pytest.mark.parametrize("number", DECISIONS)
def test_the_decision_is_said_where_it_is_made(number: int) -> None:
    path, words = DECISIONS[number]
    text = " ".join((WIRE / path).read_text().split())
    assert words in text, (path, words)
