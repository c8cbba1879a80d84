"""OpenSSH in a lab: a server that is not ours in one node, and a session with it from another one.

The server runs in a user namespace of its own in which it is an ordinary user, and in a mount namespace whose
/etc/passwd knows that user alone: it asks no PAM, reads nothing of the machine's configuration, and has no right to do
anything. (A server of root needs more than one user: it changes to another one before a client is known.) Its key and
that of its only user are made for the run.

The session is a line ten times a second, which a shell at the other end counts and says again.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from sojourn.lab.namespaces import CLONE_NEWNS, CLONE_NEWUSER, unshare
from sojourn.lab.node import Node

PORT = 2222
USER = "rider"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
LINES = 10
"""A second, each way."""
_UID = 1000
_MS_BIND = 4096
_SERVER = """\
ListenAddress [{address}]:{port}
HostKey {place}/host
AuthorizedKeysFile {place}/user.pub
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
"""
_COUNT = 'n=0; while read -r line; do n=$((n+1)); echo "$line $n"; done; echo "$n lines"'
_TALK = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo $i; sleep {pause}; done | {ssh}"


class OpenSsh:
    """A server at `address` of `server`, and keys for it, in the directory `place`."""

    READY = "Server listening on"
    """In the server's log when clients may come."""

    def __init__(self, place: Path, server: Node, address: str) -> None:
        self._place, self._address = place.absolute(), address
        self._place.mkdir(parents=True, exist_ok=True)
        for name in ("host", "user"):
            (self._place / name).unlink(missing_ok=True)
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self._place / name)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        public = (self._place / "host.pub").read_text()
        (self._place / "known_hosts").write_text(f"[{address}]:{PORT} {public}")
        (self._place / "passwd").write_text(f"{USER}:x:{_UID}:{_UID}::/:/bin/sh\n")
        (self._place / "sshd_config").write_text(_SERVER.format(address=address, port=PORT, place=self._place))
        self.log = self._place / "sshd.log"
        with self.log.open("wb") as log:
            self.process = server.spawn([sys.executable, "-m", __name__, str(self._place)], stdout=log, stderr=log)

    def session(self, client: Node, source: str, lines: int) -> subprocess.Popen[bytes]:
        """From `source` at `client`, once the server is ready: so many lines there and back. Ends by itself."""
        ssh = ["ssh", "-F", "/dev/null", "-T", "-b", source, "-p", str(PORT), "-i", str(self._place / "user")]
        options = {
            "BatchMode": "yes",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self._place / "known_hosts"),
        }
        for name, value in options.items():
            ssh += ["-o", f"{name}={value}"]
        ssh += [f"{USER}@{self._address}", _COUNT]
        talk = _TALK.format(lines=lines, pause=1 / LINES, ssh=shlex.join(ssh))
        with self._said.open("wb") as said, self._place.joinpath("ssh.log").open("wb") as log:
            return client.spawn(["sh", "-c", talk], stdout=said, stderr=log)

    def right(self, lines: int) -> bool:
        """Whether all of it came back, in order, and nothing else."""
        expected = [f"{number} {number}" for number in range(1, lines + 1)]
        return self._said.read_text(errors="replace").splitlines() == [*expected, f"{lines} lines"]

    @property
    def _said(self) -> Path:
        return self._place / "said"


def main() -> None:
    """``python -m sojourn.lab.openssh DIRECTORY``: become that user, and the server. Raises OSError."""
    place = Path(sys.argv[1])
    program = shutil.which("sshd", path=PATH)
    assert program is not None, "whoever starts this looked for it"
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_UID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_UID} {gid} 1")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(bytes(place / "passwd"), b"/etc/passwd", None, _MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"/etc/passwd: {os.strerror(ctypes.get_errno())}")
    os.execv(program, [program, "-D", "-e", "-f", str(place / "sshd_config")])


if __name__ == "__main__":
    main()
