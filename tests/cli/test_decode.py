"""``sojourn decode``: what it prints, where, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from sojourn import wire
from sojourn.cli import main as cli
from sojourn.telemetry.identifiers import Identifiers
from support.exchanges import answer, conversation, node, update
from support.frames import A1, A2, CMD, ethernet, packet, pcap, pcapng

ROOT = Path(__file__).parent.parent.parent
HANDOVER = ROOT / "docs" / "handover.pcapng"
"""What the CMD's interface saw in `sojourn demo`."""
COMMAND = [sys.executable, "-m", "sojourn.cli.main", "decode"]
KEYS = {
    "kind",
    "packet",
    "file",
    "time",
    "interface",
    "source",
    "destination",
    "home_source",
    "home_destination",
    "tunnels",
    "name",
    "message",
    "type",
    "rfc",
    "node",
    "fields",
    "options",
    "returned",
    "answers",
    "round_trip_s",
    "repeats",
    "copy_of",
    "comment",
    "problems",
}


def decode(*words: object) -> int:
    """The exit code of the command."""
    return cli.main(["decode", *map(str, words)])


def lines(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> list[str]:
    """What the command prints."""
    assert decode(*words) == code
    return capsys.readouterr().out.splitlines()


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """An update, its answer, one that is refused, and one without answer."""
    file = tmp_path / "small.pcap"
    exchange = [
        packet(update(1, 1)),
        packet(answer(1, 1), CMD, A1),
        packet(update(2, 1), A2),
        packet(answer(2, 1, status=156), CMD, A2),
        packet(update(1, 2, lifetime=0)),
    ]
    file.write_bytes(pcap([ethernet(octets) for octets in exchange]))
    return file


# --- what is printed ----------------------------------------------------------------------------------------------


def test_one_line_a_message_with_names_flags_lifetimes_prefixes_and_status(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = lines(capsys, capture, "--plain")
    assert shown == [
        "    1 14:13:20.123456 2001:db8:a1::1 > 2001:db8:c::1 PBU APD seq 1 lifetime 300 s MN 02:00:00:00:00:01 "
        "HNP 2001:db8:a100:1::/64 handoff between gateways access wifi LL 02:00:00:00:00:01",
        "    2 14:13:20.124456 2001:db8:c::1 > 2001:db8:a1::1 PBA accepted PD seq 1 lifetime 300 s "
        "MN 02:00:00:00:00:01 HNP 2001:db8:a100:1::/64 handoff between gateways access wifi LL 02:00:00:00:00:01 "
        "answers 1 after 1 ms",
        "    3 14:13:20.125456 2001:db8:a2::1 > 2001:db8:c::1 PBU APD seq 1 lifetime 300 s MN 02:00:00:00:00:02 "
        "HNP 2001:db8:a100:2::/64 handoff between gateways access wifi LL 02:00:00:00:00:02",
        "    4 14:13:20.126456 2001:db8:c::1 > 2001:db8:a2::1 PBA timestamp mismatch PD seq 1 lifetime 300 s "
        "MN 02:00:00:00:00:02 HNP 2001:db8:a100:2::/64 handoff between gateways access wifi LL 02:00:00:00:00:02 "
        "answers 3 after 1 ms",
        "    5 14:13:20.127456 2001:db8:a1::1 > 2001:db8:c::1 PBU APD seq 2 lifetime 0 s MN 02:00:00:00:00:01 "
        "HNP 2001:db8:a100:1::/64 handoff between gateways access wifi LL 02:00:00:00:00:01",
    ]


def test_a_summary_goes_to_the_error_stream(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert decode(capture) == 0
    assert capsys.readouterr().err == "5 packets over 4 ms, 5 messages: 3 PBU, 2 PBA\n"


def test_identifiers_are_hashed_as_in_the_log(
    capture: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one = node(1)
    shown = "\n".join(lines(capsys, capture, "-v"))
    assert f"identifier: {Identifiers().node(bytes((one.subtype,)) + one.identifier)}" in shown
    assert "02:00:00:00:00:01" not in shown
    configuration = tmp_path / "ar1.toml"
    from sojourn.daemon.reference import MAAR_EXAMPLE

    configuration.write_text('identifier_key = "orchard"\n' + MAAR_EXAMPLE)
    keyed = Identifiers("orchard").node(bytes((one.subtype,)) + one.identifier)
    assert keyed in "\n".join(lines(capsys, capture, "--key-of", configuration))


def test_a_tree_of_all_fields_and_options(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\n".join(lines(capsys, capture, "--verbose", "--plain", "--type", "PBA"))
    assert "  Binding Acknowledgement (6), RFC 6275 6.1.8, RFC 5213 8.2; 80 octets\n  status: accepted (0)\n" in shown
    assert "  Home Network Prefix (22) RFC 5213 8.3, RFC 7864 4.1\n" in shown
    assert "    prefix: 2001:db8:a100:1::/64\n" in shown
    assert "  status: timestamp mismatch (156)\n" in shown


@pytest.mark.parametrize(
    ("clock", "first", "second"),
    [
        ("utc", "14:13:20.123456", "14:13:20.124456"),
        ("relative", "0.000000", "0.001000"),
        ("delta", "0.000000", "0.001000"),
        ("epoch", "1790000000.123456000", "1790000000.124456000"),
    ],
)
def test_clocks(capture: Path, capsys: pytest.CaptureFixture[str], clock: str, first: str, second: str) -> None:
    shown = lines(capsys, capture, "--time", clock)
    assert [line.split()[1] for line in shown[:2]] == [first, second]


def test_filters(capture: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def numbers(*words: object) -> list[str]:
        return [line.split()[0] for line in lines(capsys, capture, *words)]

    assert numbers("--type", "PBA") == ["2", "4"]
    assert numbers("--type", "pba,PBU*") == ["1", "2", "3", "4", "5"]
    assert numbers("--plain", "--node", "02:00:00:00:00:02") == ["3", "4"]
    assert numbers("--problems") == []
    broken = bytearray(capture.read_bytes())
    broken[-2] ^= 1
    file = tmp_path / "broken.pcap"
    file.write_bytes(broken)
    (shown,) = lines(capsys, file, "--problems")
    assert re.search(r"^ +5 .* ! checksum 0x\w{4} is wrong, 0x\w{4} is right \(RFC 6275 6.1.1\)", shown)


def test_json_has_one_object_a_message_with_the_documented_keys(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [json.loads(line) for line in lines(capsys, capture, "--json", "--plain")]
    assert all(set(one) == KEYS for one in found)
    second = found[1]
    assert second["kind"] == "message"
    assert second["time"] == "2026-09-21T14:13:20.124456000Z"
    assert (second["name"], second["message"], second["type"]) == ("PBA", "BindingAcknowledgement", 6)
    assert second["fields"] == {"status": "accepted", "flags": ["P", "D"], "sequence": 1, "lifetime": 300}
    assert second["node"] == "02:00:00:00:00:01"
    assert (second["answers"], second["round_trip_s"]) == ("1", 0.001)
    assert second["options"][1] == {
        "option": "HomeNetworkPrefix",
        "type": 22,
        "off_link": False,
        "prefix": "2001:db8:a100:1::/64",
    }
    documented = (ROOT / "docs" / "decode.md").read_text()
    assert all(f"`{key}`" in documented for key in KEYS)


def test_conversations(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, capture, "--conversations", "--plain")
    assert shown[0] == (
        "node 02:00:00:00:00:01 2 exchanges; answers after 1 ms (median), at most 1 ms; 1 without answer"
    )
    assert shown[2].endswith("seq 1 lifetime 300 s HNP 2001:db8:a100:1::/64 <- 2 PBA accepted after 1 ms")
    assert shown[4].endswith("no answer")
    assert "1 refused" in shown[5]
    found = [json.loads(line) for line in lines(capsys, capture, "-c", "--json", "--plain")]
    assert [one["kind"] for one in found] == ["conversation", "conversation"]
    exchange = found[0]["groups"][0]["exchanges"][0]
    assert (exchange["requests"], exchange["answers"], exchange["round_trip_s"]) == (["1"], ["2"], 0.001)


def test_the_handovers_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    shown = lines(capsys, HANDOVER, "-c")
    events = [line.split()[1] for line in shown if line.startswith("  0")]
    assert events == ["registration", "refresh", "handover", "handover", "handover", "retirement", "retirement"]
    assert not any("no answer" in line for line in shown)


def test_several_captures_are_one_story_and_copies_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = [ethernet(packet(update(1, 1))), ethernet(packet(answer(1, 1), CMD, A1))]
    for name in ("ar1", "cmd"):
        (tmp_path / f"{name}.pcapng").write_bytes(pcapng(exchange))
    shown = lines(capsys, tmp_path / "ar1.pcapng", tmp_path / "cmd.pcapng")
    assert [line.split()[0] for line in shown] == ["ar1:1", "ar1:2"]
    assert shown[1].endswith("answers ar1:1 after 1 ms")


# --- on a terminal, through pipes ---------------------------------------------------------------------------------


def on_a_terminal(columns: int, *words: object, **environment: str) -> str:
    """What the command writes to a terminal of this width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clean = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env={**clean, "TERM": "xterm", **environment},
    )
    os.close(slave)
    found = b""
    while True:
        try:
            octets = os.read(master, 65536)
        except OSError:  # the other side is closed
            break
        if not octets:
            break
        found += octets
    assert process.wait() == 0
    os.close(master)
    return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("view", [(), ("-v",), ("-c",)])
def test_a_terminal_of_80_columns_is_enough(view: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = on_a_terminal(80, HANDOVER, *view)
    assert "\x1b[1m" in shown
    bare = re.sub(r"\x1b\[\d*m", "", shown)
    assert max(map(len, bare.splitlines())) <= 80
    assert bare.split() == "\n".join(lines(capsys, HANDOVER, *view)).split()


def test_no_colour_where_none_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in on_a_terminal(80, HANDOVER, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(80, HANDOVER, TERM="dumb")
    assert "\x1b" not in "".join(lines(capsys, HANDOVER))


def test_standard_input_is_read_as_it_comes(capture: Path) -> None:
    octets = capture.read_bytes()
    with subprocess.Popen(
        [*COMMAND, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(octets[:200])
        process.stdin.flush()
        first = process.stdout.readline()  # while the rest is not there
        process.stdin.write(octets[200:])
        process.stdin.close()
        rest = process.stdout.read().splitlines()
    assert b"PBU" in first
    assert len(rest) == 4
    assert process.returncode == 0


def test_a_growing_file_is_followed_until_ctrl_c(capture: Path, tmp_path: Path) -> None:
    octets, file = capture.read_bytes(), tmp_path / "growing.pcap"
    file.write_bytes(octets[:100])
    with subprocess.Popen(
        [*COMMAND, "--follow", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for begin, end in ((100, 300), (300, len(octets))):
            with file.open("ab") as growing:
                growing.write(octets[begin:end])
            time.sleep(0.3)
        shown = [process.stdout.readline() for _ in range(5)]
        assert [line.split()[0] for line in shown] == ["1", "2", "3", "4", "5"]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "5 messages" in process.stderr.read()


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_file_that_ends_too_early_is_1_and_what_is_there_is_shown(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture.write_bytes(capture.read_bytes()[:-30])
    assert decode(capture) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[4].startswith("    5 ! the file ends within packet 5")
    assert "PBA" in captured.out
    assert f"{capture} could not be read to its end" in captured.err


def test_a_malformed_packet_is_named_and_the_file_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "odd.pcap"
    good = packet(update(1, 1))
    file.write_bytes(pcap([good, b"\x60" + bytes(9), good], 101))
    shown = lines(capsys, file)
    assert shown[1] == "    2 ! packet 2: 10 octets where an IPv6 header has 40 (RFC 8200 3)"
    assert len(shown) == 3
    fault = json.loads(lines(capsys, file, "--json")[1])
    assert (fault["kind"], fault["packet"], fault["lost"]) == ("fault", 2, False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["/nonexistent.pcap"], 1, "/nonexistent.pcap: No such file or directory"),
        (["/"], 1, "directory"),
        ([], 2, "requires an argument"),
        ([str(HANDOVER), "--frob"], 2, "there is no option --frob"),
        (["a", "b", "--follow"], 2, "--follow goes with one file only"),
        ([str(HANDOVER), "--peer", "nobody"], 2, "there is no peer 'nobody'; there are mad-pmipv6"),
        ([str(HANDOVER), "--time", "noon"], 2, "--time"),
        ([str(HANDOVER), "--key-of", "/nonexistent.toml"], 2, "/nonexistent.toml"),
    ],
)
def test_wrong_usage_and_files_that_cannot_be_read(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decode(*words) == code
    assert said in capsys.readouterr().err


def test_random_and_mutated_files_end_in_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, file = random.Random(6275), tmp_path / "hostile"
    original = HANDOVER.read_bytes()
    views = [(), ("-v",), ("-c",), ("--json",), ("-c", "--json"), ("--discovery",), ("--peer", "mad-pmipv6")]
    for number in range(140):
        octets = bytearray(original if number % 10 else rng.randbytes(4000))
        for _ in range(rng.randrange(1, 40)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        file.write_bytes(octets)
        assert decode(file, *views[number % len(views)]) in (0, 1)
        captured = capsys.readouterr()
        assert captured.out.replace("\n", "").isprintable()


# --- documentation ------------------------------------------------------------------------------------------------


def examples() -> list[tuple[str, str]]:
    """The commands in docs/decode.md with the output that it shows."""
    text = (ROOT / "docs" / "decode.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


@pytest.mark.parametrize(("command", "shown"), examples(), ids=[command for command, _ in examples()])
def test_the_commands_of_the_documentation_print_what_it_shows(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines folded for the page are compared by their words; ``...`` stands for any lines."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    assert words[:2] == ["sojourn", "decode"]
    found = " ".join(" ".join(lines(capsys, *words[2:])).split())
    position = 0
    for part in shown.split("..."):
        expected = " ".join(part.split())
        assert expected in found[position:]
        position = found.index(expected, position) + len(expected)


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert decode("--help") == 0
    assert "Usage: sojourn decode" in capsys.readouterr().out


def test_ten_thousand_messages_give_ten_thousand_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "large.pcapng"
    file.write_bytes(pcapng([ethernet(octets) for octets in conversation(10_000)]))
    shown = lines(capsys, file)
    assert len(shown) == 10_000
    assert sum("answers" in line for line in shown) == 5000


def test_the_fixture_is_what_it_says() -> None:
    """The committed capture stays small, and is our own."""
    assert HANDOVER.stat().st_size < 10_000
    assert isinstance(wire.decode(wire.encode(update(1, 1))), wire.BindingUpdate)


def test_the_program_of_the_documentation_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "decode.md").read_text(), re.DOTALL)
    exec(compile(program, "docs/decode.md", "exec"), {})
    assert "PBU" in capsys.readouterr().out


def test_the_documentation_names_every_option_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    decode("--help")
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help", "--version"}
    documented = (ROOT / "docs" / "decode.md").read_text()
    assert len(options) >= 11
    assert all(option in documented for option in options)
