"""``sojourn show why``: one node's story, and nobody else's, from recordings in plain and with pseudonyms."""

from __future__ import annotations

import json
import os
import stat
from ipaddress import IPv6Network
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
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    ServingMaar,
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


def test_a_partner_tells_what_befell_the_anchor_and_where_the_node_is(tmp_path: Path) -> None:
    """Of a node that was never here: what its messages say it has, where that leads, and why that is our business."""
    path = tmp_path / "ar3.jsonl"
    ours, anchor, serving = address("2001:db8:a3::1"), OURS, AR2
    identifier = MobileNodeIdentifier(5, ANN)
    options = (identifier, HomeNetworkPrefix.of(P_ANN), ServingMaar(serving))
    here = BindingUpdate(1, BindingUpdateFlags.P, 60 * SECOND, options)
    over = BindingUpdate(2, BindingUpdateFlags.P, 0, (identifier, AnchoredPrefix.of(P_ANN)))
    items = [
        Report("peer-lost", {"peer": "2001:db8:ff::1"}),
        EnsureTunnel(7, serving),
        EnsurePrefix(P_ANN, 7),
        MessageReceived(here, serving, ours),
        Report("peer-lost", {"peer": "2001:db8:a1::1"}),
        Report("peer-lost", {"peer": "2001:db8:ff::1"}),
        Report("pool-taken", {"anchor": "2001:db8:a1::1", "prefixes": 1}),
        Report("something-new", {"node": (b"\x05" + ANN).hex(), "count": 3}),
        SendMessage(over, ours, serving),
        WithdrawPrefix(P_ANN),
        Report("pool-returned", {"anchor": "2001:db8:a1::1", "prefixes": 0}),
    ]
    recorder = Recorder(path, identifiers="plain")
    for number, item in enumerate(items):
        recorder.write(number * SECOND, item)  # type: ignore[arg-type]
    recorder.close()
    names = {anchor: "ar1", AR2: "ar2"}
    pools = [(IPv6Network("2001:db8:a100::/48"), anchor)]
    assert words(tell(path, "maar", Subject.of("02:00:00:00:00:01"), names, pools)) == [
        "it has 2001:db8:a100:1::/64, anchored at ar1",
        "packets to it go through a tunnel to ar2",
        "ar2 writes: it is there now (sequence 1)",
        "ar1: it does not answer any more",
        "ar1: its pool is taken over, here",
        "something new: count 3",
        "we write to ar2: 2001:db8:a100:1::/64 is over (lifetime 0)",
        "2001:db8:a100:1::/64 is forwarded no more",
        "ar1: it has its pool again",
    ]


def test_a_mobile_node_is_found_by_its_home_address(tmp_path: Path) -> None:
    """Its messages name it in their headers: where it is, whom it tells, and who does not answer."""
    path = tmp_path / "mn.jsonl"
    home, care_of, agent, other = map(address, ("2001:db8:f::9", "2001:db8:d1::9", "2001:db8:f::1", "2001:db8:5::1"))
    update = BindingUpdate(9, BindingUpdateFlags.H | BindingUpdateFlags.A, 60 * SECOND, ())
    accepted = BindingAcknowledgement(Status.ACCEPTED, BindingAcknowledgementFlags(0), 9, 60 * SECOND, ())
    items = [
        SendMessage(update, care_of, agent, home),
        MessageReceived(accepted, agent, care_of, routed_to=home),
        Report("optimised", {"home": "2001:db8:f::9", "correspondent": "2001:db8:5::1"}),
        SendMessage(update, care_of, other, address("2001:db8:f::8")),
        Report("home-agent-silent", {"home": "2001:db8:f::9", "agent": "2001:db8:f::1"}),
        Report("stopped", {"home": "2001:db8:f::9", "reason": "no key"}),
    ]
    recorder = Recorder(path, identifiers="plain")
    for number, item in enumerate(items):
        recorder.write(number * SECOND, item)  # type: ignore[arg-type]
    recorder.close()
    assert words(tell(path, "mn", Subject.of("2001:db8:f::9"), {agent: "the home agent"})) == [
        "we write to the home agent: it is at 2001:db8:d1::9, for 60 s (sequence 9)",
        "the home agent answers: accepted",
        "the way to 2001:db8:5::1 is direct from here on",
        "the home agent does not answer",
        "given up: no key",
    ]


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
    told = [row["words"].replace("this router", "cmd").replace("2001:db8:a2::1", "ar2") for row in rows]
    assert [one.removesuffix(", anchored at 2001:db8:a1::1") for one in told] == EXPECTED
    assert "it has 2001:db8:a100:1::/64, anchored at 2001:db8:a1::1" in told
    assert command_line.main(["show", "why", "02:00:00:00:00:77", "--file", str(file)]) == 1
    assert command_line.main(["show", "why"]) == 2
