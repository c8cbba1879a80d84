"""The documentation of the configuration file, made from its model.

``python -m sojourn.daemon.reference > docs/configuration.md`` writes it; a test compares.
"""

from __future__ import annotations

from typing import Any

from sojourn.daemon.model import LAYOUT
from sojourn.files import reference

_HEAD = """\
# The configuration file

One TOML file per daemon: `sojourn check FILE.toml` says what is wrong with it (all at once, with line, key and what was
expected), `sojourn run FILE.toml` runs it, `sojourn check --schema` prints its JSON Schema for editors. Lengths of time
are written `"250ms"`, `"60s"`, `"5m"` or `"1h"`, or as a number of seconds. A changed file takes effect at a restart,
during which forwarding goes on.

An access router:

```toml
{maar}```

The database:

```toml
{cmd}```
"""

MAAR_EXAMPLE = """\
name = "ar1"
control = "/run/sojourn/ar1.sock"
store = "/var/lib/sojourn/ar1.sqlite"

[maar]
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
access = ["acc0"]
cmd = "2001:db8:c::1"

[[maar.peers]]
address = "2001:db8:a2::1"
"""

CMD_EXAMPLE = """\
name = "cmd"
control = "/run/sojourn/cmd.sock"
store = "/var/lib/sojourn/cmd.sqlite"

[cmd]
address = "2001:db8:c::1"

[[cmd.maars]]
name = "ar1"
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"

[[cmd.maars]]
name = "ar2"
address = "2001:db8:a2::1"
pool = "2001:db8:a200::/48"
"""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return reference.json_schema(LAYOUT, "sojourn configuration")


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD.format(maar=MAAR_EXAMPLE, cmd=CMD_EXAMPLE), reference.markdown(LAYOUT)])


if __name__ == "__main__":
    print(markdown(), end="")
