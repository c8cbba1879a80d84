"""``python -m sojourn.lab.sandbox COMMAND ...``: a command in namespaces of its own, as the tests run.

Whatever the command does to interfaces, routes, rules and neighbours happens to a machine of its own that ends with it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from sojourn.lab.namespaces import SandboxUnavailable, sandbox


def main() -> int:
    """Exit status of the command; 2 without one; 1 with a sentence where namespaces are forbidden."""
    command = sys.argv[1:]
    if not command:
        print("usage: python -m sojourn.lab.sandbox COMMAND ...", file=sys.stderr)
        return 2
    environment = {**os.environ, "SOJOURN_SANDBOX": "1"}
    try:
        return sandbox(lambda: subprocess.call(command, env=environment))
    except SandboxUnavailable as error:
        print(f"sojourn: {error.strerror}; run as root, or allow user namespaces", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
