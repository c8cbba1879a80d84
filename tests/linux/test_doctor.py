"""``sojourn doctor`` tries things on the real kernel, in a sandbox within the sandbox."""

from __future__ import annotations

import json
import os

import pytest

from sojourn.cli import doctor as doctor_command
from sojourn.cli.main import main
from sojourn.daemon import probes
from sojourn.lab.namespaces import NetworkNamespace, SandboxUnavailable

pytestmark = pytest.mark.lab

OTHER_KERNEL = os.environ.get("SOJOURN_KERNEL") == "stock"
"""The one of ``make test-kernels``: without SRv6 code, without nf_tables for IPv6."""
BACKEND = "ip6tnl" if OTHER_KERNEL else "seg6"


def test_every_probe_ends_in_a_finding_and_leaves_this_namespace_alone(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    before = socket.if_nameindex()
    code = main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    findings = {finding["name"]: finding for finding in answer["findings"]}
    assert {probe.name for probe in probes.PROBES} <= set(findings)
    assert {"python", "ipv6", "mtu", "namespaces", "forwarding"} <= set(findings)
    assert all(finding["state"] in ("ok", "not needed", "degraded", "missing") for finding in findings.values())
    assert all(finding["remedy"] for finding in findings.values() if finding["state"] != "ok")
    lacking = [name for name, finding in findings.items() if finding["needed"] and finding["state"] == "missing"]
    assert answer["ready"] is (not lacking)
    assert code == (1 if lacking else 0)
    assert answer["backend"] == BACKEND, "the tests of the data plane need it as well"
    assert socket.if_nameindex() == before


def test_the_table_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    shown = capsys.readouterr().out
    assert "encap.red" in shown
    assert f"data plane: {BACKEND}" in shown
    assert f"{'ip6tnl' if BACKEND == 'seg6' else 'encap.red'} (" in shown
    assert f"{BACKEND} does it here" in shown
    assert ("degraded" in shown) is OTHER_KERNEL, "what else lacks here needs nothing to be done"
    assert ("set counters = false" in shown) is OTHER_KERNEL
    assert max(len(part) for part in shown.split("used for")[1].split("\n\n")[0].split("  ")) > 45  # wide enough
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_kernel_that_refuses_is_missing_or_not_needed() -> None:
    def refuse() -> str:
        raise OSError(95, "Operation not supported.")

    needed = probes.Probe("x", "y", "do z", refuse).find()
    assert (needed.state, needed.detail, needed.remedy) == ("missing", "Operation not supported", "do z")
    assert probes.Probe("x", "y", "do z", refuse, needed=False).find().state == "not needed"


def test_without_the_parts_of_the_data_plane_there_is_none() -> None:
    namespace = NetworkNamespace("probes")
    try:
        findings = namespace.call(probes.find_all)
    finally:
        namespace.close()
    assert probes.backend_of(findings) == BACKEND
    part = "ip6tnl" if OTHER_KERNEL else "End.DT6"
    assert probes.backend_of([finding for finding in findings if finding.name != part]) == ""
    assert probes.backend_of([finding for finding in findings if finding.name != "nftables"]) == BACKEND
    assert probes.backend_of(probes.untried("why")) == ""


def test_where_namespaces_are_forbidden(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def forbidden(main: object) -> int:
        raise SandboxUnavailable(1, "this kernel does not let us make namespaces: Operation not permitted")

    monkeypatch.setattr("sojourn.lab.namespaces.sandbox", forbidden)
    assert doctor_command.doctor() == 1
    shown = capsys.readouterr().out
    assert "not ready: namespaces" in shown
    assert "data plane: none" in shown
