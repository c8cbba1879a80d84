"""The configuration file as a model: which keys there are, what they mean, what they are when absent.

The messages for wrong values, the JSON Schema and ``docs/configuration.md`` come from here. A key that sets a field of
the engines' configuration has that field's name and default; a test walks the fields and fails for a missing one.
"""

from __future__ import annotations

from sojourn.daemon import model_cmd, model_lma, model_maar, model_mag, model_mobile, model_operation
from sojourn.daemon.kinds import (
    IdentifiersField,
    LogField,
    LogFormatField,
)
from sojourn.daemon.model_cmd import Cmd
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_maar import Maar
from sojourn.daemon.model_mag import Mag
from sojourn.daemon.model_mobile import Cn, Ha, Mn
from sojourn.daemon.model_operation import LogLevels, Metrics
from sojourn.files.fields import (
    NameField,
    PathField,
    SocketField,
    SwitchField,
    TextField,
)
from sojourn.files.sections import Layout, Section, setting


class File(Section):
    """What is true of the whole daemon."""

    name: NameField = setting("What the daemon is called in logs and records; the name of the host when absent.", "")
    control: SocketField = setting("Where `sojourn show` finds the daemon.")
    store: PathField = setting("The journal from which bindings come back after a restart; absent: memory only.", "")
    store_required: SwitchField = setting(
        "A registration whose record the journal refuses is not acknowledged before it takes it; off: it is.", False
    )
    events: PathField = setting(
        "Every event and effect as a line of JSON, for reading and replaying; absent: off.",
        "",
        example="/var/log/sojourn/ar1.jsonl",
    )
    log: LogField = setting("What is told on the error stream: this and all that is graver.", "info")
    log_format: LogFormatField = setting(
        "For each message one line of text, or one object of JSON, or an entry of systemd's journal with fields.",
        "text",
    )
    log_levels: LogLevels = setting("Table `[log_levels]`.", LogLevels())
    metrics: Metrics | None = setting("Table `[metrics]`: figures for Prometheus.", None)
    identifiers: IdentifiersField = setting(
        "How log and recording tell who a node is. A recording with hashes can be read, but not be replayed.", "hashed"
    )
    identifier_key: TextField = setting(
        "Any text. Hashes of identifiers cannot be guessed without it, and are the same where it is the same.", ""
    )
    maar: Maar | None = setting("The role of an access router.", None)
    cmd: Cmd | None = setting("The role of the database.", None)
    mag: Mag | None = setting("The role of a gateway of Proxy Mobile IPv6.", None)
    lma: Lma | None = setting("The role of an anchor of Proxy Mobile IPv6.", None)
    mn: Mn | None = setting("The role of a mobile node or mobile router of Mobile IPv6.", None)
    ha: Ha | None = setting("The role of a home agent of Mobile IPv6.", None)
    cn: Cn | None = setting("The role of a correspondent node of Mobile IPv6.", None)


ROLES = ("maar", "cmd", "mag", "lma", *model_mobile.ROLES)
"""The tables of the file that make the daemon do something."""
ARTICLES = {"maar": "a", "cmd": "a", "mag": "a", "lma": "an", "mn": "an", "ha": "an", "cn": "a"}


LAYOUT = Layout(
    File,
    (
        ("the top", File),
        *model_operation.TABLES,
        *model_maar.TABLES,
        *model_cmd.TABLES,
        *model_mag.TABLES,
        *model_lma.TABLES,
        *model_mobile.TABLES,
    ),
)
