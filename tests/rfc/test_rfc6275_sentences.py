"""Sentences of RFC 6275 with MUST or SHOULD, each with a row in ``rfc6275-sentences.csv`` (`rfc_sentences`).

So far those of 9.4 to 9.6, 10.3, 10.5, and 11.4 to 11.8: return routability, bindings, home agents, movement.
"""

from __future__ import annotations

from support.rfc_sentences import Table

_TABLE = Table(
    6275,
    "rfc6275-sections-9-10-11.txt",
    [
        ("9.4.  Return Routability Procedure", "10.  Home Agent Operation"),
        ("10.3.  Processing Bindings", "10.4.  Packet Processing"),
        ("10.5.  Dynamic Home Agent Address Discovery", "10.6.  Sending Prefix Information to the Mobile Node"),
        ("11.4.  Home Agent and Prefix Management", "12.  Protocol Constants"),
    ],
)


def test_the_extract_of_rfc_6275_is_its_text() -> None:
    _TABLE.compare()


def test_every_demand_of_these_sections_has_its_row_in_order() -> None:
    _TABLE.check_order(220)


def test_every_row_of_rfc_6275_names_tests_that_there_are_or_says_why_none() -> None:
    _TABLE.check_tests()


def test_the_numbers_that_are_told_of_rfc_6275_are_right() -> None:
    _TABLE.check_numbers()
