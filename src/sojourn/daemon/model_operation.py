"""Tables of the file about watching the daemon (`sojourn.daemon.model`)."""

from __future__ import annotations

from sojourn.daemon.kinds import LevelField, ListenField
from sojourn.files.fields import SwitchField
from sojourn.files.sections import Section, setting


class Metrics(Section):
    """Figures for Prometheus at ``/metrics`` and ``/health``, switched on by this table. Nobody is named in them."""

    listen: ListenField = setting("Where readers connect, by HTTP.")
    tunnels: SwitchField = setting("Whether the kernel counts what goes into tunnels and comes out of them.", True)


class LogLevels(Section):
    """What is told of one subsystem, where that is not `log`."""

    daemon: LevelField = setting("The daemon itself: its start and stop, its configuration.", None)
    protocol: LevelField = setting(
        "What the roles report: registrations, handovers, refusals.", None, example="warning"
    )
    messages: LevelField = setting("Messages that arrived.", None, example="debug")
    nodes: LevelField = setting("Nodes that showed themselves or left, and what they ask for.", None)
    kernel: LevelField = setting("Links, and what the kernel refused.", None)
    refusals: LevelField = setting("What was dropped before it became an event, as counts.", None)


TABLES = (
    ("[metrics]", Metrics),
    ("[log_levels]", LogLevels),
)
