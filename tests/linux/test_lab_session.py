"""Labs that stay up, the sandbox itself, and that nothing outlives them, whatever is killed."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

_SOJOURN = [sys.executable, "-m", "sojourn.cli.main"]
_TOPOLOGY = """
name = "two"
mobility = false
[nodes]
core = "router"
ar1 = "access-router"
ar2 = "access-router"
mn = { kind = "host", at = "ar1", dad = "off" }
[links]
core.ar1 = "2ms"
core.ar2 = "2ms"
"""
_PATIENCE = 10.0


class Desk:
    """Somebody's working place: commands with a mark in their environment, by which all that they start is found."""

    def __init__(self, directory: Path) -> None:
        self.mark = f"SOJOURN_TRIAL={uuid.uuid4().hex}"
        self.directory = directory
        key, value = self.mark.split("=")
        self.environment = os.environ | {"XDG_RUNTIME_DIR": str(directory), key: value}
        (directory / "two.toml").write_text(_TOPOLOGY)

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*_SOJOURN, *words],
            cwd=self.directory,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def run(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, (words, out, err, self.logs(), self.processes())
        return out if code == 0 else err

    def logs(self) -> dict[str, str]:
        """What the sessions said."""
        return {str(log.parent.name): log.read_text() for log in self.directory.glob("*/session.log")}

    def up(self, *words: str) -> int:
        """The background process."""
        pid: int = json.loads(self.run("lab", "up", "two.toml", "--json", *words))["pid"]
        return pid

    def status(self) -> dict[str, Any]:
        """Of the only lab."""
        labs: list[dict[str, Any]] = json.loads(self.run("lab", "status", "--json"))
        return labs[0]

    def processes(self) -> dict[int, str]:
        """All that anything here has started and that is still there."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if self.mark.encode() in (entry / "environ").read_bytes():
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
        return found

    def namespaces(self) -> set[str]:
        """The network namespaces of these processes."""
        found = set()
        for process in self.processes():
            try:
                found.add(os.readlink(f"/proc/{process}/ns/net"))
            except OSError:
                continue
        return found

    def wait_for_silence(self) -> dict[int, str]:
        """What is left after a while; should be nothing."""
        deadline = time.monotonic() + _PATIENCE
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for process in made.processes():
        os.kill(process, signal.SIGKILL)


def test_verbs_of_a_lab_that_stays_up(desk: Desk) -> None:
    shown = desk.run("lab", "up", "two.toml")
    assert "core - ar1: 2 ms asked" in shown
    assert "at ar1" in shown
    assert desk.run("lab", "roam", "mn", "ar2").startswith("mn: ar1 -> ar2 in ")
    status = json.loads(desk.run("lab", "status", "--json"))
    assert [lab["name"] for lab in status] == ["two"]
    assert next(row for row in status[0]["nodes"] if row["node"] == "mn")["at"] == "ar2"
    desk.run("lab", "roam", "mn", "-")
    assert "in no cell" in desk.run("lab", "status")
    listed = desk.run(
        "lab", "exec", "mn", "--", sys.executable, "-c", "import os; print(os.listdir('/proc/1/fd') and 7)"
    )
    assert listed == "7\n"
    assert desk.run("lab", "exec", "mn", "--", "/bin/sh", "-c", "echo $SOJOURN_NODE; exit 0") == "mn\n"
    assert desk.run("lab", "down") == "down: two\n"
    assert desk.wait_for_silence() == {}
    assert not list((desk.directory / f"sojourn-lab-{os.getuid()}").iterdir())


def test_programs_inside_keep_status_streams_and_signals(desk: Desk) -> None:
    desk.up()
    process = desk.start("lab", "exec", "mn", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    assert process.communicate(timeout=20) == ("out\n", "err\n")
    assert process.returncode == 7
    waiting = desk.start(
        "lab",
        "exec",
        "mn",
        "--",
        "/bin/sh",
        "-c",
        "trap 'echo caught; exit 5' INT; echo go; while :; do sleep 0.05; done",
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "go\n"
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate(timeout=20)[0] == "caught\n"
    assert waiting.returncode == 5
    missing = desk.run("lab", "exec", "mn", "--", "no-such-program", code=127)  # as a shell says it
    assert missing == "sojourn: no-such-program: no such file or directory\n"
    assert desk.run("lab", "exec", "mn", "--", "sojourn", "--version")
    desk.run("lab", "down")


def test_a_caller_that_is_killed_takes_its_program_along(desk: Desk) -> None:
    desk.up()
    caller = desk.start("lab", "exec", "mn", "--", "/bin/sh", "-c", "echo go; sleep 1000")
    assert caller.stdout is not None
    assert caller.stdout.readline() == "go\n"
    caller.kill()
    caller.communicate()
    deadline = time.monotonic() + _PATIENCE
    while any("sleep 1000" in line for line in desk.processes().values()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any("sleep 1000" in line for line in desk.processes().values())
    assert "at ar1" in desk.run("lab", "status")
    desk.run("lab", "down")


def test_a_shell_has_a_terminal_with_job_control(desk: Desk) -> None:
    desk.up()
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(desk.directory)
        os.execve(_SOJOURN[0], [*_SOJOURN, "lab", "shell", "mn"], desk.environment | {"SHELL": "/bin/sh"})
    seen = b""

    def until(words: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + _PATIENCE
        while words not in seen:
            assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], seen
            seen += os.read(terminal, 4096)

    os.write(terminal, b"echo node=$SOJOURN_NODE; test -t 0 && echo is-a''-terminal\n")
    until(b"[mn] ")  # the prompt says where we are
    until(b"node=mn")
    os.write(terminal, b"echo machine=$(cat /proc/sys/kernel/hostname)\n")
    until(b"machine=mn")
    os.write(terminal, b"sleep 1000\n")
    until(b"is-a-terminal")
    time.sleep(0.2)
    os.write(terminal, b"\x03")  # Ctrl-C ends the sleep and not the shell
    os.write(terminal, b"echo still''-here; exit 6\n")
    until(b"still-here")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 6
    os.close(terminal)
    desk.run("lab", "down")


_FETCH = """
import socket, sys, time
talk = socket.create_connection(("2001:db8:5:1::1", 8000), timeout=10)
print(talk.getsockname()[0], flush=True)
sys.stdin.readline()
talk.settimeout(2)
talk.sendall(b"HEAD / HTTP/1.0\\r\\n\\r\\n")
try:
    print(talk.recv(100).split(b"\\r\\n")[0].decode())
except TimeoutError:
    print("hangs")
"""


def _ask_the_daemons(desk: Desk, running: bool) -> None:
    """``show`` finds those of a lab, and says so where it finds no other."""
    if not running:
        assert "has no daemon at 'ar1'; this lab runs none" in desk.run("show", "peers", "--node", "ar1", code=1)
        return
    peers = json.loads(desk.run("show", "peers", "--node", "ar1", "--lab", "walk", "--json"))
    assert {"ar2", "ar3"} <= {peer["name"] for peer in peers}
    assert "has no daemon at 'mn'; there is ar1, ar2, ar3, cmd" in desk.run("show", "peers", "--node", "mn", code=1)
    if not list(Path("/run/sojourn").glob("*.sock")):
        hint = "no daemon is running here, but a lab is up: sojourn show peers --node ar1"
        assert hint in desk.run("show", "peers", code=1)
    inside = ("--", "/bin/sh", "-c", "sojourn show peers --json")
    assert {peer["name"] for peer in json.loads(desk.run("lab", "exec", "ar1", *inside))} == {
        peer["name"] for peer in peers
    }


@pytest.mark.parametrize(("daemons", "end"), [("--no-daemons", "hangs"), ("--daemons", "HTTP/1.0 200 OK")])
def test_the_walk_by_hand_is_as_its_readme_says(desk: Desk, daemons: str, end: str) -> None:
    desk.run("lab", "up", "walk", daemons)
    host = next(row for row in desk.status()["nodes"] if row["node"] == "mn")
    assert [entry["address"][:14] for entry in host["addresses"]] == ["2001:db8:a100:"]
    server = desk.start("lab", "exec", "server", "--", sys.executable, "-m", "http.server", "--bind", "::", "8000")
    time.sleep(1)
    talk = desk.start("lab", "exec", "mn", "--", sys.executable, "-c", _FETCH, stdin=subprocess.PIPE)
    assert talk.stdout is not None
    assert talk.stdout.readline().startswith("2001:db8:a100:")
    desk.run("lab", "roam", "mn", "ar2")
    _ask_the_daemons(desk, daemons == "--daemons")
    deadline = time.monotonic() + _PATIENCE
    while True:  # a new address at the new router, with daemons and without
        host = next(row for row in desk.status()["nodes"] if row["node"] == "mn")
        if any(entry["address"].startswith("2001:db8:a200:") for entry in host["addresses"]):
            break
        assert time.monotonic() < deadline, host
        time.sleep(0.1)
    assert talk.communicate("go\n", timeout=20)[0] == end + "\n"
    server.terminate()
    server.communicate()
    desk.run("lab", "down")


def test_a_lab_does_not_write_over_files_of_others(desk: Desk) -> None:
    mine = desk.directory / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    for verb in ("up", "run"):
        assert "holds files that are not results" in desk.run("lab", verb, "two.toml", "--output", "mine", code=2)
        assert "is a file; name a directory" in desk.run("lab", verb, "two.toml", "--output", "two.toml", code=2)
        assert "cannot be written" in desk.run("lab", verb, "two.toml", "--output", "/proc/x", code=2)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    for _ in range(2):  # its own results it writes over, but not those of a lab that is up
        desk.up("--output", "ours")
        assert 'the lab "two" writes to' in desk.run("lab", "up", "two.toml", "--name", "b", "--output", "ours", code=1)
        desk.run("lab", "down")


def test_a_host_that_is_there_already_does_not_roam(desk: Desk) -> None:
    desk.up()
    assert desk.run("lab", "roam", "mn", "ar1") == "mn: at ar1 already\n"
    assert desk.run("lab", "roam", "mn", "ar1", "--carrier").startswith("mn: ar1 -> ar1 in ")
    assert json.loads(desk.run("lab", "down", "--json")) == {"down": ["two"]}


def test_several_labs_by_name(desk: Desk) -> None:
    assert "expected a plain word" in desk.run("lab", "up", "two.toml", "--name", "a b", code=2)
    desk.up("--name", "one")
    desk.up("--name", "other")
    assert "up already" in desk.run("lab", "up", "two.toml", "--name", "one", code=1)
    assert "say which with --name" in desk.run("lab", "roam", "mn", "ar2", code=1)
    desk.run("lab", "roam", "mn", "ar2", "--name", "one")
    places = {
        lab["name"]: next(row["at"] for row in lab["nodes"] if row["node"] == "mn")
        for lab in json.loads(desk.run("lab", "status", "--json"))
    }
    assert places == {"one": "ar2", "other": "ar1"}
    desk.run("lab", "down", "--name", "one")
    assert 'no lab "one" is up' in desk.run("lab", "down", "--name", "one", code=1)
    assert "other" in desk.run("lab", "status")
    assert desk.run("lab", "down", "--all") == "down: other\n"
    assert desk.wait_for_silence() == {}


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_whichever_process_of_a_lab_is_killed_nothing_is_left(desk: Desk, depth: int) -> None:
    """0: the one that waits outside; 1: the keeper of the user namespace; 2: the first process inside; 3: the lab."""
    own = os.readlink("/proc/self/ns/net")
    victim = desk.up()
    for _ in range(depth):
        victim = _children(victim)[0]
    assert len(desk.namespaces()) >= 3  # ours, the sandbox, and that of the relay
    os.kill(victim, signal.SIGKILL)
    assert desk.wait_for_silence() == {}
    assert desk.namespaces() <= {own}
    assert "no lab is up" in desk.run("lab", "status")
    desk.up()  # what is left of the socket does not stand in the way
    desk.run("lab", "down")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_session_that_is_told_to_end_ends_in_order(desk: Desk, number: signal.Signals) -> None:
    process = desk.up()
    os.kill(process, number)
    assert desk.wait_for_silence() == {}
    assert json.loads((desk.directory / "sojourn-lab-two" / "links.json").read_text())  # `Lab.down` was reached
    assert not list((desk.directory / f"sojourn-lab-{os.getuid()}").iterdir())


@pytest.mark.parametrize("pause", [0.15, 0.3, 0.45, 0.6])
def test_ctrl_c_at_any_moment_of_a_run_leaves_nothing(desk: Desk, pause: float) -> None:
    """The terminal sends SIGINT to the whole group."""
    text = (desk.directory / "two.toml").read_text() + '[roam]\nevery = "9s"\nmn = ["ar2", "ar1"]\n'
    (desk.directory / "two.toml").write_text(text)
    run = desk.start("lab", "run", "two.toml", "--output", "report", start_new_session=True)
    time.sleep(pause)
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=_PATIENCE)
    assert run.returncode not in (0, None)
    assert desk.wait_for_silence() == {}


def test_a_topology_file_is_played(desk: Desk) -> None:
    text = (desk.directory / "two.toml").read_text() + '[roam]\nevery = "100ms"\nmn = ["ar2", "-", "ar1"]\n'
    (desk.directory / "two.toml").write_text(text)
    report = json.loads(desk.run("lab", "run", "two.toml", "--output", "report", "--json"))
    assert [(step["from"], step["to"]) for step in report["steps"]] == [("ar1", "ar2"), ("ar2", None), (None, "ar1")]
    assert json.loads((desk.directory / "report" / "report.json").read_text()) == report
    assert (desk.directory / "report" / "capture" / "mn.pcapng").stat().st_size > 100
    assert desk.wait_for_silence() == {}


def test_root_can_do_without_a_user_namespace(desk: Desk) -> None:
    shown = desk.run("lab", "up", "two.toml", "--root", "--json")
    process = json.loads(shown)["pid"]
    inside = _children(_children(process)[0])[0]
    assert os.readlink(f"/proc/{inside}/ns/user") == os.readlink("/proc/self/ns/user")
    assert os.readlink(f"/proc/{inside}/ns/pid") != os.readlink("/proc/self/ns/pid")
    os.kill(process, signal.SIGKILL)
    assert desk.wait_for_silence() == {}


_FORBIDDEN = """
import os, sys
from pathlib import Path
from sojourn.lab.namespaces import SandboxUnavailable, sandbox
Path("/proc/sys/user/max_user_namespaces").write_text("0")
user = os.readlink("/proc/self/ns/user")
print(sandbox(lambda: 3 if os.readlink("/proc/self/ns/user") == user else 4))
os.geteuid = lambda: 1000
try:
    sandbox(lambda: 5)
except SandboxUnavailable as error:
    print(error.strerror)
"""


def test_where_user_namespaces_are_forbidden_root_goes_without_and_others_are_told(desk: Desk) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sojourn.lab.sandbox", sys.executable, "-c", _FORBIDDEN],
        env=desk.environment,
        capture_output=True,
        text=True,
        timeout=20,
    )
    status, sentence = done.stdout.splitlines()
    assert status == "3"
    assert sentence.startswith("this kernel does not let us make namespaces")


def test_a_wrong_topology_starts_nothing(desk: Desk) -> None:
    (desk.directory / "two.toml").write_text(_TOPOLOGY.replace("core.ar1", "core.arx"))
    for verb in ("up", "run"):
        assert 'two.toml: links.core.arx: expected the names of two nodes, found "arx"' in desk.run(
            "lab", verb, "two.toml", code=2
        )
    assert desk.wait_for_silence() == {}
