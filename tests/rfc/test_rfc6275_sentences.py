"""Sentences of RFC 6275 with MUST or SHOULD, each with a row in ``rfc6275-sentences.csv`` (`rfc_sentences`): all of
sections 9, 10 and 11, correspondent nodes, home agents and mobile nodes; and its changes against RFC 3775.
"""

from __future__ import annotations

import re

from support.rfc_sentences import Table, known_tests, original

_TABLE = Table(
    6275,
    "rfc6275-sections-9-10-11.txt",
    [("9.  Correspondent Node Operation", "12.  Protocol Constants")],
)
_CHANGES = {
    1: "test_b_the_number_of_a_status_135_is_adopted",
    4: "test_b_site_local_addresses_are_nothing_special",
    5: "test_b_the_checksum_is_that_of_protocol_135 test_rfc6275_6_1_1_the_checksum_is_computed_with_home_addresses",
    6: "test_6_2_7_the_authenticator_of_update_and_answer",
    8: "test_new_connections_have_the_home_address_and_only_who_asks_for_it_the_care_of_address",
    10: "test_11_4_1_an_agent_that_does_not_answer_gives_way_to_the_next_one",
    11: "test_11_5_5_at_home_the_home_agent_is_told_and_then_all_others",
    12: "test_9_3_1_a_home_address_option_without_binding_gets_a_binding_error",
    13: "test_11_5_2_home_is_where_the_home_prefix_is",
    14: "test_rfc5026_5_1_1_the_home_agent_from_dns",
    17: "test_10_3_1_two_bindings_do_not_point_at_each_other test_a_packet_in_four_tunnels_is_not_put_into_a_fifth",
    18: "test_rfc6275_9_3_1_other_packets_with_a_home_address_are_told "
    "test_C038_a_mobility_header_with_a_home_address_is_heard_without_a_binding "
    "test_11_3_6_a_home_agent_that_lost_its_memory_is_told_again",
    19: "test_10_3_2_a_delayed_refresh_does_not_revive_the_binding_for_ten_seconds",
}
"""By issue of Appendix B."""


def test_the_extract_of_rfc_6275_is_its_text() -> None:
    _TABLE.compare()


def test_every_demand_of_these_sections_has_its_row_in_order() -> None:
    _TABLE.check_order(340)


def test_every_row_of_rfc_6275_names_tests_that_there_are_or_says_why_none() -> None:
    _TABLE.check_tests()


def test_the_numbers_that_are_told_of_rfc_6275_are_right() -> None:
    _TABLE.check_numbers()


def test_every_change_against_rfc_3775_has_its_test() -> None:
    assert {name for names in _CHANGES.values() for name in names.split()} <= known_tests()
    text = original("rfc6275.txt")
    if text is not None:
        appendix = text[text.rindex("\nAppendix B.") :]
        assert {int(number) for number in re.findall(r"^ +Issue #(\d+)  ", appendix, re.MULTILINE)} == set(_CHANGES)
