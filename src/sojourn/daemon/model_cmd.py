"""The keys of `[cmd]`: the Central Mobility Database (RFC 8885)."""

from __future__ import annotations

from typing import Any

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    CountField,
    DatabasesField,
    FewField,
    ModeField,
    ToleranceField,
)
from sojourn.daemon.model_parts import (
    Retransmission,
    tolerate,
    tolerate_this,
)
from sojourn.engines.configuration import (
    CmdConfiguration,
)
from sojourn.files.fields import (
    AddressField,
    DurationField,
    Ipv4PoolField,
    NameField,
    PoolField,
)
from sojourn.files.sections import Section, setting


def _cmd(name: str, about: str, example: object = None) -> Any:
    return as_the_engine(CmdConfiguration, name, about, example)


class CmdMaar(Section):
    """A MAAR that may register nodes, and the pool that it owns."""

    name: NameField = setting("For people.", "", example="ar1")
    address: AddressField = setting("Its Proxy-CoA: where its registrations come from.")
    pool: PoolField = setting("Its pool. It is refused a prefix outside, and no other router gets one inside.")
    ipv4_pool: Ipv4PoolField | None = setting("Its pool of IPv4 addresses, likewise.", None, example="10.1.0.0/16")
    tolerate: ToleranceField = tolerate_this()


class Cmd(Section):
    """The role of the Central Mobility Database (RFC 8885)."""

    address: AddressField = setting("The address that routers register with.", example="2001:db8:c::1")
    mode: ModeField = _cmd(
        "mode", "How it tells the routers of a move, or that they tell each other (`direct`); the same in the domain."
    )
    maars: tuple[CmdMaar, ...] = setting("The routers of the domain, as tables `[[cmd.maars]]`; others are refused.")
    lifetime_max: DurationField = _cmd("lifetime_max", "Longest lifetime granted. Multiple of 4 s.")
    relay_flush: DurationField = _cmd("relay_flush", "Relay mode: the serving router is told what is known after this.")
    nodes: CountField = _cmd("nodes", "Most nodes known at a time.", 1_000_000)
    nodes_per_maar: CountField = _cmd("nodes_per_maar", "Most nodes that one router may register.", 500_000)
    prefixes_per_node: FewField = _cmd("prefixes_per_node", "A node with more loses the prefix that it left first.")
    timestamp_validity_window: DurationField = _cmd(
        "timestamp_validity_window",
        "A registration from further in the future than this is refused (RFC 5213 5.5).",
    )
    pace_rate: CountField = _cmd(
        "pace_rate", "Most updates per second about moves; a quarter as many again of what is not urgent.", 2_000
    )
    pace_burst: CountField = _cmd("pace_burst", "As many may leave at once.", 16)
    warm_up: DurationField = _cmd("warm_up", "After a start with nothing, no node is called unknown for this long.")
    databases: DatabasesField = setting(
        "Bindings are kept in these instead of the journal, spread over all; several databases `[cmd]` with one list "
        "serve one domain.",
        (),
    )
    tolerate: ToleranceField = tolerate("mad-pmipv6")
    attempts: FewField = _cmd("attempts", "Transmissions of an update to a router that does not answer.")
    retransmission: Retransmission = setting("Table `[cmd.retransmission]`.", Retransmission())


TABLES = (
    ("[cmd]", Cmd),
    ("[[cmd.maars]]", CmdMaar),
    ("[cmd.retransmission]", Retransmission),
)
"""The tables of this role in the order of the documentation."""
