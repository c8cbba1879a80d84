"""Every sentence of RFC 5213 5 and 6 with MUST or SHOULD has a row in ``rfc5213-sentences.csv`` (`rfc_sentences`)."""

from __future__ import annotations

from support.rfc_sentences import Table

_TABLE = Table(5213, "rfc5213-sections-5-6.txt", [("5.  Local Mobility Anchor Operation", "7.  Mobile Node Operation")])


def test_the_extract_is_the_text_of_the_rfc() -> None:
    _TABLE.compare()


def test_every_demand_has_its_row_in_order() -> None:
    _TABLE.check_order(280)


def test_every_row_names_tests_that_there_are_or_says_why_none() -> None:
    _TABLE.check_tests()


def test_the_numbers_that_are_told_are_right() -> None:
    _TABLE.check_numbers()
