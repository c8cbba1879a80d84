"""The YANG module of configuration and state (RFC 7333 REQ6): yanglint takes it, and the data of every role."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sojourn.cli import main as command_line
from sojourn.daemon import reference, yang
from sojourn.daemon.model import LAYOUT

ROWS = [
    {
        "of": "maar",
        "node": "#1",
        "prefixes": ["2001:db8::/64 preferred"],
        "lifetime": 7,
        "confirmed": True,
        "idle": None,
    },
    {"node": "#2", "prefix": "2001:db8:1::/64", "ways": ["1 2001:db8::1"]},
]
MOBILE = """
control = "/run/sojourn/mn.sock"
identifier_key = "nobody may know this"
[metrics]
listen = "[::1]:9478"
[log_levels]
messages = "debug"
[mn]
interfaces = ["wlan0"]
[[mn.homes]]
address = "2001:db8:1100::1"
prefix = "2001:db8:1100::/64"
home_agent = "2001:db8:1100::ffff"
association = { spi = 1000, key = "00112233445566778899aabbccddeeff" }
"""
FILES = {
    "maar": reference.MAAR_EXAMPLE,
    "cmd": reference.CMD_EXAMPLE.replace("[cmd]\n", '[cmd]\ndatabases = ["postgresql://sojourn:secret@db1/sojourn"]\n'),
    "mag": reference.MAG_EXAMPLE,
    "lma": reference.LMA_EXAMPLE,
    "mn": MOBILE,
}

needs_yanglint = pytest.mark.skipif(
    shutil.which("yanglint") is None, reason="yanglint (Debian: libyang-tools) is not here"
)


def data_of(role: str) -> dict[str, Any]:
    return yang.data(tomllib.loads(FILES[role]), {"sessions": ROWS, "peers": []})


def test_every_key_of_the_file_is_a_node() -> None:
    nodes = set(re.findall(r"(?:leaf|leaf-list|list|container) ([a-z0-9-]+)", yang.module()))
    keys = {key.replace("_", "-") for _, model in LAYOUT.tables for key in model.model_fields}
    assert keys <= nodes


@pytest.mark.interop
@needs_yanglint
@pytest.mark.parametrize("role", FILES)
def test_yanglint_takes_the_module_and_the_data_of_a_role(role: str, tmp_path: Path) -> None:
    (tmp_path / "sojourn.yang").write_text(yang.module())
    (tmp_path / "data.json").write_text(json.dumps(data_of(role)))
    command = ["yanglint", "-t", "data", str(tmp_path / "sojourn.yang"), str(tmp_path / "data.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.interop
@needs_yanglint
def test_yanglint_refuses_what_the_file_could_not_hold(tmp_path: Path) -> None:
    (tmp_path / "sojourn.yang").write_text(yang.module())
    wrong = data_of("maar")
    wrong["sojourn:sojourn"]["config"]["maar"]["mode"] = "sideways"
    (tmp_path / "data.json").write_text(json.dumps(wrong))
    command = ["yanglint", "-t", "data", str(tmp_path / "sojourn.yang"), str(tmp_path / "data.json")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).returncode != 0


def test_values_are_those_of_the_file_and_secrets_stay_there() -> None:
    config = data_of("mn")["sojourn:sojourn"]["config"]
    assert config["metrics"] == {"listen": "[::1]:9478"}
    assert config["mn"]["homes"][0]["association"] == {"spi": 1000}
    assert "nobody may know" not in json.dumps(config)
    assert "secret" not in json.dumps(data_of("cmd"))
    assert data_of("cmd")["sojourn:sojourn"]["config"]["cmd"]["maars"][1]["index"] == 1
    state = data_of("maar")["sojourn:sojourn"]["state"]
    assert state["sessions"][0]["attribute"] == [{"name": "confirmed", "value": "true"}]
    assert "peers" not in state


def test_the_commands_print_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(FILES["maar"].replace("/run/sojourn", str(tmp_path)))
    assert command_line.main(["check", "--yang"]) == 0
    assert capsys.readouterr().out == yang.module()
    assert command_line.main(["show", "yang", str(file)]) == 0  # no daemon runs: the file alone
    assert list(json.loads(capsys.readouterr().out)["sojourn:sojourn"]) == ["config"]
    assert command_line.main(["show", "yang", "--socket", str(tmp_path / "none")]) == 1
