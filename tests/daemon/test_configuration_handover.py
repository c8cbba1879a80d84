"""Fast handovers in the configuration file: what the keys become, and mistakes with their place."""

from __future__ import annotations

import pytest

from sojourn.daemon.configuration import linux_settings, mag_configuration, neighbours_of, parse
from sojourn.daemon.model_mag import Mag
from sojourn.engines.configuration import Neighbour
from sojourn.files.toml import ConfigurationError
from sojourn.wire.addresses import address, link_layer
from sojourn.wire.units import SECOND

FILE = """\
control = "/run/sojourn/mag1.sock"
[mag]
address = "2001:db8:b1::1"
lma = "2001:db8:f::1"
access = ["acc0"]
handovers = 16
handover_wait = "2s"
[[mag.neighbours]]
name = "mag2"
address = "2001:db8:b2::1"
access_points = ["02:00:00:00:00:a2"]
[mag.kernel]
handover_packets = 500
"""


def mag(text: str) -> Mag:
    section = parse(text.encode(), "x.toml").file.mag
    assert section is not None
    return section


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "x.toml")
    return str(caught.value).splitlines()


def test_what_engine_and_kernel_are_told() -> None:
    section = mag(FILE)
    told, kernel = mag_configuration(section), linux_settings(section)
    assert told.neighbours == (Neighbour(address("2001:db8:b2::1"), "mag2", (link_layer("02:00:00:00:00:a2"),)),)
    assert (told.handovers, told.handover_wait) == (16, 2 * SECOND)
    assert (kernel.handovers, kernel.handover_packets) == (16, 500)
    assert kernel.neighbours == neighbours_of(section) == (address("2001:db8:b2::1"),)
    assert address("2001:db8:b2::1") in kernel.peers, "its tunnel ends here"
    assert len({kernel.mark, kernel.stray_mark, kernel.forwarded_mark, 0}) == 4


def test_without_handovers_a_neighbour_is_nobody() -> None:
    section = mag(FILE.replace("handovers = 16", "handovers = 0"))
    assert linux_settings(section).neighbours == neighbours_of(section) == ()
    assert address("2001:db8:b2::1") not in linux_settings(section).peers


@pytest.mark.parametrize("mask", [0x3, 0x6, 0xFF0000, 0x80000001])
def test_marks_differ_whatever_the_mask(mask: int) -> None:
    for mark in (one for one in (mask, mask & -mask, mask & (mask - 1)) if one):
        kernel = linux_settings(mag(FILE + f"mark = {mark}\nmark_mask = {mask}\n"))
        assert kernel.forwarded_mark not in (0, kernel.mark)
        assert kernel.forwarded_mark != kernel.stray_mark
        assert kernel.forwarded_mark & ~mask == 0


WRONG = [
    ('"2001:db8:b2::1"', '"2001:db8:b1::1"', ":10: mag.neighbours[0].address: ", "is this gateway or its LMA"),
    ('"2001:db8:b2::1"', '"2001:db8:f::1"', ":10: mag.neighbours[0].address: ", "is this gateway or its LMA"),
    ("handovers = 16", "handovers = -1", ":6: mag.handovers: ", "expected a whole number from 0 to 1024"),
    ("handovers = 16", "handovers = 16\ncounters = false", ":6: mag.handovers: ", "needs nf_tables"),
    ("handovers = 16", 'handovers = 16\nbackend = "ip6tnl"', ":7: mag.backend: ", "has no fast handovers"),
    ("[mag.kernel]", "[mag.transient_bindings]\n[mag.kernel]", ":6: mag.handovers: ", "two ways to await a node"),
    ("handover_packets = 500", "mark = 4\nmark_mask = 4", ":14: mag.kernel.mark_mask: ", "has one bit"),
    ('"02:00:00:00:00:a2"', '"ap2"', ":11: mag.neighbours[0].access_points", "expected"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "place", "said"), WRONG)
def test_a_mistake(old: str, new: str, place: str, said: str) -> None:
    assert old in FILE
    found = problems(FILE.replace(old, new, 1))
    assert [line for line in found if place in line and said in line], found


def test_a_neighbour_is_there_once() -> None:
    twice = FILE.replace("[mag.kernel]", '[[mag.neighbours]]\naddress = "2001:db8:b2::1"\n[mag.kernel]')
    assert any("mag.neighbours[1].address: is in neighbours[0] already" in line for line in problems(twice))
