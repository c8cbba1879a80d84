"""Logs and rows: what engines report, with identifiers that name nobody."""

from __future__ import annotations

import io
import json
import re
import socket
from pathlib import Path

import pytest

from sojourn.core.effects import EnsureHold, Report
from sojourn.core.events import Commanded, EffectFailed, LinkChanged, NodeSeen, Sighting, TrafficCounted
from sojourn.daemon.events_reference import found
from sojourn.telemetry.identifiers import Identifiers, node_text
from sojourn.telemetry.log import EVENTS_PER_SECOND, Log, level_of
from sojourn.telemetry.rows import row_of
from sojourn.wire.addresses import address, prefix

MAC = bytes.fromhex("02aabbccdd01")
NODE = b"\x05" + MAC
NAI = b"\x01anna@example.org"
EUI64 = "2001:db8::aa:bbff:fecc:dd01"


def test_a_node_has_one_hash_however_it_is_written() -> None:
    names = Identifiers("key")
    row = names.row(
        {"node": NODE.hex(), "link_layer": "02:aa:bb:cc:dd:01", "way": "acc0 02:aa:bb:cc:dd:01", "raw": MAC}
    )
    assert row["node"] == row["link_layer"] == row["raw"] == names.node(NODE)
    assert row["way"] == f"acc0 {row['node']}"
    assert names.row({"address": EUI64})["address"] == f"2001:db8::{row['node']}"


def test_hashes_need_the_key_and_tell_nodes_apart() -> None:
    assert Identifiers("a").node(NODE) != Identifiers("b").node(NODE)
    assert Identifiers("a").node(NODE) != Identifiers("a").node(NAI)


@pytest.mark.parametrize("secret", ["02:aa:bb:cc:dd:01", "02aabbccdd01", "aa:bbff:fecc:dd01", "anna"])
def test_nothing_of_an_identifier_is_left(secret: str) -> None:
    nested = {"node": NODE.hex(), "list": ["x 02:aa:bb:cc:dd:01"], "inner": {"node": NAI.hex(), "a": EUI64}}
    assert secret not in json.dumps(Identifiers().row(nested))


def test_the_routers_own_addresses_and_other_words_stay() -> None:
    row = {
        "a": "00:00:5e:00:52:13",
        "b": "fe80::200:5eff:fe00:5213",
        "c": "2001:db8::1",
        "d": 7,
        "e": None,
        "node": "ar1",
    }
    assert Identifiers().row(row) == row


def test_plain_identifiers_are_for_reading() -> None:
    names = Identifiers(plain=True)
    assert names.row({"identity": "ann@example.net"}) == {"identity": "ann@example.net"}
    assert names.row({"node": NODE.hex()}) == {"node": "02:aa:bb:cc:dd:01"}
    assert names.row({"node": NAI.hex()}) == {"node": "anna@example.org"}
    assert node_text(b"\x01\xff\xfe") == "fffe"
    assert node_text(b"") == ""


def test_events_as_rows() -> None:
    seen = NodeSeen("acc0", MAC, Sighting.STATION, address("fe80::1"))
    assert row_of(seen) == {
        "event": "node-seen",
        "interface": "acc0",
        "link_layer": "02:aa:bb:cc:dd:01",
        "sighting": "station",
        "address": "fe80::1",
    }
    assert row_of(LinkChanged("acc0", True)) == {"event": "link-changed", "interface": "acc0", "up": True}
    assert row_of(Report("registered", {"node": "05"})) == {"event": "registered", "node": "05"}
    assert row_of(EffectFailed(EnsureHold(3), 12, "no memory"))["effect"] == "EnsureHold"
    assert row_of(TrafficCounted({prefix("2001:db8::/64"): 3}))["packets"] == {"2001:db8::/64": 3}
    assert row_of(Commanded("refresh"))["verb"] == "refresh"


def logged(level: str = "info", as_json: bool = False, *items: object) -> list[str]:
    stream = io.StringIO()
    log = Log("ar1", level, form="json" if as_json else "text", stream=stream)
    for item in items:
        log.take(item)  # type: ignore[arg-type]
    return stream.getvalue().splitlines()


def test_a_line_of_text() -> None:
    [line] = logged("info", False, Report("attached", {"node": NODE.hex(), "how": "two words", "count": 2}))
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == f'ar1 info attached node={Identifiers().node(NODE)} how="two words" count=2'


def test_a_line_of_json() -> None:
    [line] = logged("info", True, Report("attached", {"node": NODE.hex(), "daemon": "forged"}))
    row = json.loads(line)
    assert (row["event"], row["level"], row["daemon"]) == ("attached", "info", "ar1")


def test_every_event_is_one_object_with_the_same_first_fields() -> None:
    """Whatever it carries: octets, prefixes, other objects."""
    seen = NodeSeen("acc0", MAC, Sighting.STATION, address("fe80::1"))
    items = [seen, LinkChanged("acc0", True), EffectFailed(EnsureHold(3), 12, "no memory"), Commanded("refresh", {})]
    items += [
        TrafficCounted({prefix("2001:db8::/64"): 3}),
        Report("registered", {"node": NODE.hex(), "event": "other"}),
    ]
    rows = [json.loads(line) for line in logged("debug", True, *items)]
    assert [row["event"] for row in rows] == [
        *("node-seen", "link-changed", "effect-failed", "commanded", "traffic-counted", "registered")
    ]
    assert all({"time", "daemon", "level", "subsystem", "event"} <= row.keys() for row in rows)
    assert all("\n" not in line for line in logged("debug", True, *items))


def test_events_that_are_documented_are_there_with_their_fields() -> None:
    """People's alarms are made of them. A new one is documented by ``-m sojourn.daemon.events_reference``."""
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    known, number = found(), 0
    for part, section in zip(("engines", "daemon"), page.split("## Of the ")[1:], strict=True):
        for line in re.finditer(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.*) \|$", section, re.MULTILINE):
            name, level, fields = line.groups()
            assert known[part, name][0] == level, name
            assert set(re.findall(r"`(\w+)`", fields)) <= known[part, name][1], name
            number += 1
    assert number > 150


def test_what_a_peer_says_cannot_make_a_line_of_its_own() -> None:
    [line] = logged("info", False, Report("refused", {"reason": "x\n2026 ar1 info forged\x1b[2J"}))
    assert "\\n" in line
    assert "\x1b" not in line


def test_levels() -> None:
    event, report = LinkChanged("acc0", True), Report("registered")
    assert logged("info", False, event) == []
    assert len(logged("debug", False, event, report)) == 2
    assert logged("warning", False, report) == []
    assert len(logged("warning", False, EffectFailed(EnsureHold(1), 12, "no"))) == 1
    assert level_of("registration-refused") == "warning"
    assert level_of("handover") == "info"
    for word in ("peer-lost", "anchor-gone", "pool-taken", "partner-lost", "store-refuses", "anchor-silent"):
        assert level_of(word) == "warning", "the death of a router is no news among others"
    for word in ("peer-back", "anchor-back", "pool-returned", "partner-back"):
        assert level_of(word) == "info"


def test_each_subsystem_may_have_a_level_of_its_own() -> None:
    stream = io.StringIO()
    log = Log("ar1", "warning", levels={"kernel": "debug", "protocol": "error"}, stream=stream)
    log.take(LinkChanged("acc0", True))
    log.take(Report("registration-refused"))
    log.take(NodeSeen("acc0", MAC, Sighting.STATION))
    log.say("info", "ready")
    log.say("warning", "configuration")
    assert [line.split()[3] for line in stream.getvalue().splitlines()] == ["link-changed", "configuration"]


def test_whoever_floods_us_fills_no_disk() -> None:
    """Messages and sightings that others cause: so many a second, and then their number."""
    stream, clock = io.StringIO(), [0.0]
    log = Log("ar1", "debug", stream=stream, clock=lambda: clock[0])
    for _ in range(10_000):
        log.take(NodeSeen("acc0", MAC, Sighting.STATION))
    log.take(Report("registered"))  # what we say ourselves is not held back
    clock[0] = 1.0
    log.take(NodeSeen("acc0", MAC, Sighting.STATION))
    lines = [line.split(" ", 3)[3] for line in stream.getvalue().splitlines()]
    assert len(lines) == EVENTS_PER_SECOND + 3
    assert lines[-3] == "registered"
    assert lines[-2] == f"not-told of=nodes count={10_000 - EVENTS_PER_SECOND}"


def test_the_journal_gets_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "socket"))
        log = Log("ar1", form="journal", journal=str(tmp_path / "socket"))
        log.take(Report("registered", {"node": NODE.hex(), "previous": 1, "why": "two\nlines"}))
        log.close()
        entry = journal.recv(65536)
    assert b"PRIORITY=6\n" in entry
    assert b"SOJOURN_EVENT=registered\n" in entry
    assert f"SOJOURN_NODE={Identifiers().node(NODE)}\n".encode() in entry
    assert b"SOJOURN_SUBSYSTEM=protocol\n" in entry
    assert b"SOJOURN_WHY\n" + (9).to_bytes(8, "little") + b"two\nlines\n" in entry
    assert NODE[1:].hex().encode() not in entry


def test_without_a_journal_the_log_is_text(tmp_path: Path) -> None:
    stream = io.StringIO()
    Log("ar1", form="journal", journal=str(tmp_path / "none"), stream=stream).take(Report("registered"))
    assert stream.getvalue().endswith("ar1 info registered\n")
