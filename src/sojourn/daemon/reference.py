"""The documentation of the configuration file, made from its model.

``python -m sojourn.daemon.reference > docs/configuration.md`` writes it; a test compares.
"""

from __future__ import annotations

import textwrap
from typing import Any

from sojourn.daemon.model import LAYOUT
from sojourn.daemon.reloading import fixed_keys
from sojourn.files import reference

_HEAD = """\
# The configuration file

One TOML file per daemon: `sojourn check FILE.toml` says what is wrong with it (all at once, with line, key and what was
expected), `sojourn run FILE.toml` runs it, `sojourn check --schema` prints its JSON Schema for editors. Lengths of time
are written `"250ms"`, `"60s"`, `"5m"` or `"1h"`, or as a number of seconds.

{reload}

An access router:

```toml
{maar}```

The database:

```toml
{cmd}```

A gateway and an anchor of Proxy Mobile IPv6 (RFC 5213):

```toml
{mag}```

```toml
{lma}```
"""

_RELOAD = """\
A changed file takes effect with `sojourn tell reload` (or `systemctl reload`), without a lost packet. These keys say
where forwarding is, and want the daemon to be stopped and started: {fixed}. So does a role that comes or goes, and
where a database or an LMA has `databases` every key but those of the log."""

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


MAG_EXAMPLE = """\
name = "mag1"
control = "/run/sojourn/mag1.sock"
store = "/var/lib/sojourn/mag1.sqlite"

[mag]
address = "2001:db8:b1::1"
lma = "2001:db8:f::1"
access = ["acc0"]

[[mag.profiles]]
link_layer = "02:00:00:00:00:01"
identifier = "ann@example.net"
"""

LMA_EXAMPLE = """\
name = "lma"
control = "/run/sojourn/lma.sock"
store = "/var/lib/sojourn/lma.sqlite"

[lma]
address = "2001:db8:f::1"
pools = ["2001:db8:f000::/48"]

[[lma.gateways]]
name = "mag1"
address = "2001:db8:b1::1"

[[lma.gateways]]
name = "mag2"
address = "2001:db8:b2::1"

[[lma.profiles]]
identifier = "ann@example.net"
prefixes = ["2001:db8:f000:77::/64"]
"""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return reference.json_schema(LAYOUT, "sojourn configuration")


def markdown() -> str:
    """The whole page."""
    fixed = [f"`{key}`" if not table else f"`{table}.{key}`" for table, keys in fixed_keys().items() for key in keys]
    told = textwrap.fill(_RELOAD.format(fixed=", ".join(fixed)), 120, break_long_words=False, break_on_hyphens=False)
    head = _HEAD.format(reload=told, maar=MAAR_EXAMPLE, cmd=CMD_EXAMPLE, mag=MAG_EXAMPLE, lma=LMA_EXAMPLE)
    return "\n".join([head, reference.markdown(LAYOUT)])


if __name__ == "__main__":
    print(markdown(), end="")
