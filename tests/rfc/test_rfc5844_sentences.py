"""Sentences of RFC 5844 4 and 5 with MUST or SHOULD, each with a row in ``rfc5844-sentences.csv`` (`rfc_sentences`)."""

from __future__ import annotations

from support.rfc_sentences import Table

_TABLE = Table(5844, "rfc5844-sections-4-5.txt", [("4.  IPv4 Transport Support", "6.  IANA Considerations")])


def test_the_extract_of_rfc_5844_is_its_text() -> None:
    _TABLE.compare()


def test_every_demand_of_rfc_5844_4_and_5_has_its_row_in_order() -> None:
    _TABLE.check_order(40)


def test_every_row_of_rfc_5844_names_tests_that_there_are_or_says_why_none() -> None:
    _TABLE.check_tests()


def test_the_numbers_that_are_told_of_rfc_5844_are_right() -> None:
    _TABLE.check_numbers()
