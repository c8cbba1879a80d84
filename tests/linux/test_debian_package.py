"""The Debian package that `make deb` built: installed, upgraded and removed by dpkg on a copy of this system.

The copy, in a mount namespace of its own, has dpkg's own files, and of everything below /usr a symbolic link; systemctl
there is a script that notes what it is told.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]

_SYSTEM = """\
set -e
mount -t tmpfs none "$1"
mkdir -p "$1/host" "$1/proc" "$1/dev" "$1/tmp" "$1/etc" "$1/var/log" "$1/var/lib" "$1/package" "$1/run/systemd/system"
mount --rbind /usr "$1/host"
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
for place in bin sbin lib lib64 share; do
  mkdir -p "$1/usr/$place"
  find "/usr/$place/" -mindepth 1 -maxdepth 1 -printf "/host/$place/%f\\0" | xargs -0r ln -s -t "$1/usr/$place"
  test "$place" = share || ln -s "usr/$place" "$1/$place"
done
rm "$1/usr/lib/systemd" "$1/usr/share/doc"
rm -f "$1/usr/bin/systemctl"
mkdir -p "$1/usr/lib/systemd/system" "$1/usr/share/doc"
cp -r /var/lib/dpkg "$1/var/lib/" 2>/dev/null || true # locks may be root's own
cp -r /etc/passwd /etc/group /etc/dpkg /etc/ld.so.* /etc/alternatives "$1/etc/"
cp "$2" "$1/package/sojourn.deb"
cat >"$1/usr/bin/systemctl" <<'STUB'
#!/bin/sh
echo "$*" >>/package/told
STUB
chmod 755 "$1/usr/bin/systemctl"
exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root COLUMNS=80 sh -e -c "$3"
"""


@pytest.fixture
def package() -> Path:
    """Not made here: a sandbox has no network to fetch from."""
    found = sorted((ROOT / "dist").glob("sojourn_*.deb"), key=lambda path: path.stat().st_mtime)
    assert found, "make deb"
    return found[-1]


@pytest.fixture
def system(package: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script on a fresh copy of the system, with the package as /package/sojourn.deb."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        place = tmp_path / "system"
        place.mkdir(exist_ok=True)
        command = ["unshare", "--mount", "sh", "-c", _SYSTEM, "sh", str(place), str(package), script]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_it_installs_runs_and_goes(system: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    done = system(
        """
        find / -path /proc -prune -o -path /dev -prune -o -path /host -prune -o -print | sort >/package/before
        dpkg -i /package/sojourn.deb >/dev/null
        echo "=== help"; sojourn --help
        echo "=== doctor"; sojourn doctor || true
        echo "=== schema"; sojourn check --schema | head -c 20; echo
        echo "=== lab"; sojourn lab list
        echo "=== unit"; cat /usr/lib/systemd/system/sojourn@.service; ls -ld /etc/sojourn
        echo "=== python"; ls /usr/lib/sojourn/bin
        echo "=== remove"; dpkg -P sojourn >/dev/null
        find / -path /proc -prune -o -path /dev -prune -o -path /host -prune -o -print | sort >/package/after
        echo "=== left"; diff /package/before /package/after | grep -v /package/ | grep '^[<>]' || true
        """
    )
    assert done.returncode == 0, done.stderr
    parts = dict(part.split("\n", 1) for part in done.stdout.split("=== ")[1:])
    assert "Usage: sojourn" in parts["help"]
    assert "data plane: " in parts["doctor"]
    assert parts["schema"].startswith("{")
    assert "walk" in parts["lab"]
    assert "ExecStart=/usr/bin/sojourn run /etc/sojourn/%i.toml" in parts["unit"]
    assert "drwxr-x---" in parts["unit"]
    assert set(parts["python"].split()) == {"python", "python3", f"python3.{system_python()}", "sojourn"}
    assert [line for line in parts["left"].splitlines() if "/var/lib/dpkg" not in line and "/var/log" not in line] == []


def system_python() -> int:
    """The minor version of the distribution's own Python."""
    return int(os.path.realpath("/usr/bin/python3").rpartition(".")[2])


def test_an_upgrade_lets_daemons_be_succeeded_and_a_removal_stops_them(
    system: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = system(
        """
        for step in "-i /package/sojourn.deb" "-i /package/sojourn.deb" "-r sojourn"; do
          dpkg $step >/dev/null
          echo "---" >>/package/told
        done
        cat /package/told
        """
    )
    assert done.returncode == 0, done.stderr
    install, upgrade, remove = (part.split("\n") for part in done.stdout.strip().removesuffix("\n---").split("\n---\n"))
    reload = "--system daemon-reload"
    assert install == [reload]
    assert upgrade == [reload, "try-restart sojourn@*.service"]  # see packaging/debian/postinst
    assert remove == ["stop sojourn@*.service", reload]


def test_what_it_needs_is_the_distributions_own_python(package: Path) -> None:
    assert shutil.which("dpkg-deb")
    fields = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True, check=True)
    assert fields.stdout.strip() == f"python3.{system_python()}, libc6"
    contents = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    assert "/site-packages/pip/" not in contents
