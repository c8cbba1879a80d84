"""``sojourn tell``: arguments become a command, and what the daemon reports is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sojourn.cli import main as cli
from sojourn.control import client
from sojourn.control.client import ControlError


class Daemon:
    """Stands for the connection to one."""

    asked: list[tuple[str, str, dict[str, str]]]

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def command(self, verb: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
        self.asked.append((self._path, verb, arguments))
        if verb == "dance":
            raise ControlError("the command 'dance' with {} was not taken; see: sojourn show events")
        return [{"event": "revocation-begun", "peer": "2001:db8:b1::1"}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, str]]]:
    Daemon.asked = []
    monkeypatch.setattr(client, "ControlClient", Daemon)
    return Daemon.asked


def test_arguments_are_names_and_values(
    asked: list[tuple[str, str, dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tell", "revoke", "node=ann@example.net", "trigger=1", "--socket", "/run/lma.sock"]
    assert cli.main(words) == 0
    assert asked == [("/run/lma.sock", "revoke", {"node": "ann@example.net", "trigger": "1"})]
    assert capsys.readouterr().out == "revocation-begun peer=2001:db8:b1::1\n"


def test_the_answer_as_json(asked: list[tuple[str, str, dict[str, str]]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tell", "refresh", "--socket", "/run/mag.sock", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["event"] == "revocation-begun"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["revoke", "node"], 2, "'node' is not an argument; expected name=value"),
        (["revoke", "=x"], 2, "'=x' is not an argument"),
        (["revoke", "node=a", "node=b"], 2, "each name once"),
        (["revoke", "--node", "lma"], 2, "expected one of them"),
        (["dance"], 1, "was not taken"),
    ],
)
def test_a_mistake_is_a_sentence(
    asked: list[tuple[str, str, dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    assert cli.main(["tell", *words, "--socket", "/run/lma.sock"]) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
