"""Which lines of the kernel's log are complaints."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.kernel_log import KernelLog, complaints


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("6,1,2,-;c-mag2: port 2(h-mn) entered blocking state", []),
        ("3,1,2,-;BTRFS error: disk\n SUBSYSTEM=block", ["BTRFS error: disk"]),
        ("27,1,2,-;a daemon says error", ["a daemon says error"]),  # facility 3, level 3
        ("4,1,2,-;WARNING: CPU: 1 PID: 7 at net/ipv6/route.c:1", ["WARNING: CPU: 1 PID: 7 at net/ipv6/route.c:1"]),
        ("4,1,2,-;neighbour: ndisc_cache: neighbor table overflow!", []),
        ("0,1,2,-;unregister_netdevice: waiting for lo", ["unregister_netdevice: waiting for lo"]),
        ("rubbish", []),
    ],
)
def test_errors_and_warnings_of_its_own_code_are(record: str, found: list[str]) -> None:
    assert complaints(record) == found


def test_where_it_may_not_be_read_nothing_is_known(tmp_path: Path) -> None:
    log = KernelLog(str(tmp_path / "none"))
    assert not log.readable
    assert log.complaints() == []
    log.close()


def test_only_what_is_new_counts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("3,1,1,-;old\n")
    log = KernelLog(str(path))
    with path.open("a") as more:
        more.write("3,2,2,-;new\n")
    assert log.complaints() == ["new"]
    assert log.complaints() == []
    log.close()
