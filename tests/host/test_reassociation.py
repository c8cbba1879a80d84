"""What a station says when it comes from another access point, of frames as a monitor interface shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.host.reassociation import reassociation
from support.hostapd import OTHER, POINT, RADIOTAP, STATION, request


def test_station_and_current_access_point() -> None:
    assert reassociation(request()) == (STATION, OTHER)


@pytest.mark.parametrize(
    "frame",
    [
        request(kind=0x00),  # an association request: from nowhere
        request(kind=0x30),
        request(current=POINT),  # again to the same one
        request(current=bytes(6)),
        request(current=b"\xff" * 6),
        request(station=b"\x01" + bytes(5)),
        request()[: len(RADIOTAP) + 24 + 9],
        b"\x01" + request()[1:],  # another version of radiotap
        b"\0\0\x04\0" + request()[4:],  # a header that is too short to be one
        b"\0\0\xff\xff" + request()[4:],
    ],
)
def test_what_is_no_news_of_another_access_point(frame: bytes) -> None:
    assert reassociation(frame) is None


@given(st.binary(max_size=80), st.booleans())
def test_whatever_is_in_the_air(octets: bytes, behind: bool) -> None:
    found = reassociation(RADIOTAP + octets if behind else octets)
    assert found is None or [len(each) for each in found] == [6, 6]
