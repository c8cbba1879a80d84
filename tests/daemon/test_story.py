"""``sojourn show why``: one node's story, and nobody else's, from recordings in plain and with pseudonyms."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sojourn.cli import main as command_line
from sojourn.core.effects import (
    Effect,
    EnsureDelivery,
    EnsureHold,
    EnsurePrefix,
    EnsureTunnel,
    Report,
    SendMessage,
    WithdrawPrefix,
    WithdrawSlot,
)
from sojourn.core.events import EffectFailed, Event, MessageReceived, NodeDetached
from sojourn.host.recorder import Recorder, kept_key
from sojourn.telemetry.story import Sentence, Subject, tell, tell_rows
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    Status,
)
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import SECOND

ANN, BOB = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
CMD, AR2 = address("2001:db8:c::1"), address("2001:db8:a2::1")
OURS = address("2001:db8:a1::1")
P_ANN, P_BOB = prefix("2001:db8:a100:1::/64"), prefix("2001:db8:a100:2::/64")
NAMES = {CMD: "cmd", AR2: "ar2"}


def attach(mac: bytes, slot: int, given: object) -> list[Event | Effect]:
    identifier = MobileNodeIdentifier(5, mac)
    key = b"\x05" + mac
    return [
        SendMessage(BindingUpdate(1, BindingUpdateFlags.P, 60 * SECOND, (identifier,)), OURS, CMD),
        EnsureDelivery(slot, "acc0", mac),
        EnsurePrefix(given, slot),  # type: ignore[arg-type]
        Report("attached", {"node": key.hex(), "interface": "acc0", "sighting": "station", "returned": 0}),
        MessageReceived(
            BindingAcknowledgement(Status.ACCEPTED, BindingAcknowledgementFlags.P, 1, 60 * SECOND, (identifier,)),
            CMD,
            OURS,
        ),
        Report("registered", {"node": key.hex(), "previous": 0}),
    ]


def record(path: Path, *, identifiers: str = "plain") -> None:
    """Ann comes, Bob comes, Ann moves to ar2 and her prefix retires; then the daemon starts anew."""
    key = kept_key(path) if identifiers == "hashed" else None
    for begun, life in (
        (0, [
            *attach(ANN, 1, P_ANN),
            *attach(BOB, 2, P_BOB),
            NodeDetached("acc0", ANN),
            EnsureHold(1),
            EffectFailed(EnsureTunnel(1, AR2), 12, "no memory"),
            EnsureTunnel(1, AR2),
            Report("anchoring", {"node": (b"\x05" + ANN).hex(), "serving": "2001:db8:a2::1"}),
        ]),
        (100, [
            EnsureTunnel(1, AR2),
            EnsurePrefix(P_ANN, 1),
            Report("prefix-retired", {"node": (b"\x05" + ANN).hex(), "prefix": str(P_ANN)}),
            WithdrawPrefix(P_ANN),
            WithdrawSlot(1),
            EnsureDelivery(1, "acc1", BOB),
        ]),
    ):  # fmt: skip
        recorder = Recorder(path, identifiers=identifiers, key=key)  # type: ignore[arg-type]
        for number, item in enumerate(life):
            recorder.write((begun + number) * SECOND, item)  # type: ignore[arg-type]
        recorder.close()


EXPECTED = [
    "we write to cmd: it is here, for 60 s (sequence 1)",
    "packets to it are delivered on acc0",
    "it has 2001:db8:a100:1::/64",
    "attached on acc0 (station)",
    "cmd answers: accepted",
    "registered",
    "the link acc0 says that it is gone",
    "packets to it wait in the kernel",
    "ensure tunnel failed: no memory",
    "packets to it go through a tunnel to ar2",
    "moved to ar2; its prefix stays anchored here",
    "after this the daemon was started anew",
    "packets to it go through a tunnel to ar2",
    "2001:db8:a100:1::/64 retired: nobody uses it any more",
    "2001:db8:a100:1::/64 is forwarded no more",
]


def words(sentences: list[Sentence]) -> list[str]:
    return [sentence.words for sentence in sentences]


@pytest.mark.parametrize("identifiers", ["plain", "hashed"])
@pytest.mark.parametrize("written", ["02:00:00:00:00:01", "02-00-00-00-00-01", "05020000000001"])
def test_a_story_is_that_of_one_node_from_both_lives(identifiers: str, written: str, tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    record(path, identifiers=identifiers)
    assert (ANN.hex() in path.read_text()) is (identifiers == "plain")
    assert words(tell(path, "maar", Subject.of(written), NAMES)) == EXPECTED


@pytest.mark.parametrize("written", ["2001:db8:a100:1::/64", "2001:db8:a100:1::77"])
def test_a_prefix_leads_to_the_story(written: str, tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    record(path)
    told = words(tell(path, "maar", Subject.of(written), NAMES))
    assert "2001:db8:a100:1::/64 retired: nobody uses it any more" in told
    assert "packets to it go through a tunnel to ar2" in told
    assert not any("a100:2" in sentence for sentence in told)


def test_times_are_those_of_the_clock_on_the_wall(tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    record(path)
    lines = path.read_text().splitlines()
    header = json.loads(lines[0])
    header["epoch"] = 1_800_000_000 * SECOND
    path.write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
    first, second, *_ = tell(path, "maar", Subject.of("02:00:00:00:00:01"), NAMES)
    assert (first.time, second.time) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:01.000Z")


def test_what_was_rotated_away_is_read_first_and_damage_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    record(path)
    os.replace(path, f"{path}.1")
    with open(f"{path}.1", "a") as torn:
        torn.write('{"t":1,"eff')
    record(path)
    assert words(tell(path, "maar", Subject.of("02:00:00:00:00:01"), NAMES)) == EXPECTED + EXPECTED


def test_a_name_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "lma.jsonl"
    recorder = Recorder(path, key=kept_key(path))
    recorder.write(0, Report("registered", {"node": (b"\x01ann@example.net").hex(), "gateway": "mag1"}))
    recorder.write(0, Report("registered", {"node": (b"\x01bob@example.net").hex(), "gateway": "mag2"}))
    recorder.close()
    assert "ann" not in path.read_text()
    assert words(tell(path, "lma", Subject.of("ann@example.net"), {})) == ["registered at mag1"]


def test_a_daemon_without_a_recording_tells_what_it_remembers() -> None:
    rows = [
        {"time": "t", "role": "maar", "event": "attached", "node": "02:00:00:00:00:01", "interface": "acc0"},
        {"time": "t", "role": "maar", "event": "attached", "node": "02:00:00:00:00:02", "interface": "acc0"},
    ]
    assert len(tell_rows(rows, Subject.of("02:00:00:00:00:01"))) == 1


def test_the_key_is_kept_for_the_owner_and_follows_the_operators_secret(tmp_path: Path) -> None:
    first = kept_key(tmp_path / "a")
    assert kept_key(tmp_path / "a") == first
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    secret = kept_key(tmp_path / "a", "secret")
    assert secret != first
    assert kept_key(tmp_path / "b", "secret") == kept_key(tmp_path / "a", "secret") == secret


def test_the_command_reads_the_recording_of_a_daemon_that_is_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "ar1.jsonl", identifiers="hashed")
    file = tmp_path / "ar1.toml"
    file.write_text(
        f'control = "{tmp_path}/ar1.sock"\nevents = "{tmp_path}/ar1.jsonl"\n'
        '[cmd]\naddress = "2001:db8:c::1"\n[[cmd.maars]]\naddress = "2001:db8:a1::1"\npool = "2001:db8:a100::/48"\n'
    )
    assert command_line.main(["show", "why", "02:00:00:00:00:01", "--file", str(file)]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    assert "retired: nobody uses it any more" in " ".join(told.split())
    assert command_line.main(["show", "why", "02:00:00:00:00:01", "--file", str(file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["words"].replace("2001:db8:c::1", "cmd").replace("2001:db8:a2::1", "ar2") for row in rows] == EXPECTED
    assert command_line.main(["show", "why", "02:00:00:00:00:77", "--file", str(file)]) == 1
    assert command_line.main(["show", "why"]) == 2
