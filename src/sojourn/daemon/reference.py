"""The documentation of the configuration file, made from its model.

``python -m sojourn.daemon.reference > docs/configuration.md`` writes it; a test compares.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from sojourn.daemon.configuration import describe_field
from sojourn.daemon.model import File, models_in

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

A gateway and an anchor of Proxy Mobile IPv6 (RFC 5213):

```toml
{mag}```

```toml
{lma}```
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
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **File.model_json_schema(), "title": "sojourn configuration"}


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD.format(maar=MAAR_EXAMPLE, cmd=CMD_EXAMPLE, mag=MAG_EXAMPLE, lma=LMA_EXAMPLE)]
    for name, model in models_in():
        parts.append(_table(name, model))
    return "\n".join(parts)


def _table(name: str, model: type[BaseModel]) -> str:
    title = "At the top" if model is File else f"`{name}`"
    lines = [
        f"## {title}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| key | default | value | what for |",
        "|---|---|---|---|",
    ]
    for key, field in model.model_fields.items():
        what, example = describe_field(field)
        if example is None and field.annotation is not None:
            continue  # a table, which has a section of its own
        what = what.split(" as ")[0]
        default = "must be there" if field.is_required() else _default(field.default)
        value = f"{what}, as `{json.dumps(example)}`" if field.is_required() else what
        lines.append(f"| `{key}` | {default} | {value} | {field.description} |")
    return "\n".join([*lines, ""])


def _default(value: object) -> str:
    return "absent" if value in ("", None) else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    print(markdown(), end="")
