"""The command line: help, exit codes, and words instead of tracebacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn import __version__
from sojourn.cli import main as cli
from sojourn.cli.errors import CommandError
from sojourn.daemon.reference import MAAR_EXAMPLE

COMMANDS = ("demo", "lab", "run", "check", "show", "doctor")


def sojourn(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sojourn.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_help_names_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f" {command} " in shown
    assert "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration." in shown


def test_help_of_all_needs_no_command_to_be_loadable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli._COMMANDS, "demo", ("sojourn.cli.absent:demo", "Gone."))
    assert cli.main(["--help"]) == 0
    assert "Gone." in capsys.readouterr().out
    assert cli.main(["demo"]) == 1
    assert "this command cannot be loaded: No module named 'sojourn.cli.absent'" in capsys.readouterr().err
    assert cli.main(["demmo"]) == 2
    assert "did you mean demo?" in capsys.readouterr().err


def test_a_missing_library_is_told_with_the_extra_that_brings_it() -> None:
    code = "import sys; sys.modules['numpy'] = None; from sojourn.cli.main import main; sys.exit(main(sys.argv[1:]))"
    said = subprocess.run(
        [sys.executable, "-c", code, "sim", "run", "anything.toml"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert "numpy" in said.stderr
    assert "pip install 'sojourn[results]'" in said.stderr


def test_help_does_not_load_what_it_does_not_need() -> None:
    code = (
        "import sys\nfrom sojourn.cli.main import main\nmain(['--help'])\n"
        "heavy = ('pydantic', 'pyroute2', 'asyncio', 'sojourn.daemon', 'sojourn.lab')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["run", "check", "show", "doctor"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    assert f"Usage: sojourn {command}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rum"], "there is no command 'rum'; did you mean run?"),
        (["xyzzy"], "there are demo, lab, run, check, show, doctor"),
        (["run"], "requires an argument"),
        (["run", "a", "b"], "Try: sojourn run --help"),
        (["run", "x.toml", "--frob"], "--frob"),
        (["show", "nonsense"], '"sessions", "bindings"'),
        (["show", "sessions", "--follow"], "--follow goes with events only"),
        (["show", "sessions", "--node", "ar1", "--socket", "x"], "each name a daemon; expected one of them"),
        (["show", "sessions", "--lab", "walk"], "--lab goes with --node only"),
        (["lab", "up", "walk", "--name", "a b"], "expected a plain word of letters, digits, dots"),
        (["lab", "up", "walk", "--capture", ""], '"none", "signalling"'),
        (["lab", "run", "soak", "--output", "/dev/null"], "/dev/null is a file; name a directory with --output"),
        (["check"], "check needs a file"),
        (["--frob"], "--frob"),
    ],
)
def test_wrong_usage_is_2_and_a_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("sojourn: ")
    assert captured.out == ""


def test_a_command_that_fails_is_1_and_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["show", "sessions", "--socket", str(tmp_path / "none.sock")]) == 1
    assert "no daemon is running at" in capsys.readouterr().err


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.toml", tmp_path / "wrong.toml"
    right.write_text(MAAR_EXAMPLE)
    wrong.write_text(MAAR_EXAMPLE.replace("pool", "pol"))
    assert cli.main(["check", "--offline", str(right)]) == 0
    assert "a maar, well described" in capsys.readouterr().out
    assert cli.main(["check", "--offline", str(wrong)]) == 2
    assert f"{wrong}:7: maar.pol: there is no such key; did you mean pool?" in capsys.readouterr().out
    assert cli.main(["check", "--offline", "--json", str(wrong)]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert {problem["key"] for problem in answer["problems"]} == {"maar.pol", "maar.pool"}
    assert cli.main(["check", str(right)]) == 2, "the documented addresses are not those of this machine"
    assert "is not an address of this machine" in capsys.readouterr().out
    assert cli.main(["check", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "sojourn configuration"


def test_run_with_a_wrong_file_is_2_and_touches_nothing(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f'control = "{tmp_path}/c.sock"\nstore = "{tmp_path}/s.sqlite"\n[maar]\n')
    done = sojourn("run", str(file))
    assert done.returncode == 2
    assert f"{file}:3: maar.address: is missing; expected an IPv6 address" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


def test_a_closed_pipe_is_quiet() -> None:
    command = f"{sys.executable} -m sojourn.cli.main check --schema; echo $? >&2"
    shell = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    shell.stdout.close()
    assert shell.stderr is not None
    with shell.stderr:
        assert shell.stderr.read().strip() == str(cli.PIPE_CLOSED)
    shell.wait()


def test_ctrl_c_is_quiet_and_130() -> None:
    code = (
        "import os, signal, sys, sojourn.cli.show as show\n"
        "show.show = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "from sojourn.cli.main import main\nsys.exit(main(['show']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (cli.INTERRUPTED, "", "")
    assert signal.SIGINT + 128 == cli.INTERRUPTED


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (0, 0),
        (3, 3),
        (None, 0),
        (CommandError("no"), 1),
        (CommandError("no", 2), 2),
        (SystemExit(4), 4),
        (SystemExit("x"), 1),
    ],
)
def test_what_commands_answer_becomes_the_exit_code(
    outcome: object, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sojourn.cli.doctor

    def doctor() -> object:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(sojourn.cli.doctor, "doctor", doctor)
    assert cli.main(["doctor"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_check_says_what_the_topology_of_the_example_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    topology = Path(__file__).parents[2] / "examples" / "walk" / "topology.toml"
    assert cli.main(["check", str(topology)]) == 2
    assert capsys.readouterr().out.endswith(f"this is for: sojourn lab up {topology}\n")


def test_the_list_of_scenarios_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "list"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert cli.main(["lab", "list", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    words = " ".join(shown.split())
    for kind in ("scenarios", "topologies"):
        for name, description in known[kind].items():
            assert f" {name} {description}" in words


def test_each_kind_of_failure_has_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "list", "--json"]) == 0
    known = json.loads(capsys.readouterr().out)["scenarios"]
    database = {"cmd-dies", "cmd-cluster", "cmd-partition", "no-cmd", "partition"}
    anchor = {"anchor-dies", "takeover", "lma-dies"}
    assert database | anchor | {"upgrade", "drain-anchor", "drain", "soak-faults"} <= set(known)
