"""``sojourn run``: the daemon."""

from __future__ import annotations

from pathlib import Path


def run(file: Path, /) -> int:
    """Run the roles that a configuration file names (maar, cmd), until SIGTERM or Ctrl-C.

    The file is checked first; when anything is wrong with it, nothing is started and the exit code is 2.
    What happens is told on the error stream. An orderly stop leaves nothing in the kernel; a daemon that is
    killed leaves forwarding as it is, and the next start takes it up.

    Parameters
    ----------
    file:
        The configuration file (TOML); see docs/configuration.md.
    """
    from sojourn.daemon.daemon import run as run_daemon

    return run_daemon(file)
