"""Tables of the file that are part of the table of a role (`sojourn.daemon.model`)."""

from __future__ import annotations

from typing import Any

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.daemon.kinds import (
    AccessPointsField,
    CountField,
    FewField,
    HoldField,
    MarkField,
    NexthopField,
    PairField,
    PriorityField,
    RobustnessField,
    SecondsField,
    TableField,
    ToleranceField,
)
from sojourn.dataplane.settings import LinuxSettings, Priorities, Tables
from sojourn.engines.configuration import (
    MulticastConfiguration,
    RetransmissionConstants,
)
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.files.fields import (
    AddressField,
    DurationField,
    InterfaceField,
    Ipv4PoolField,
    NameField,
    PoolField,
    SocketField,
)
from sojourn.files.sections import Section, setting


def _retransmission(name: str, about: str) -> Any:
    return as_the_engine(RetransmissionConstants, name, about, None)


def _liveness(name: str, about: str) -> Any:
    return as_the_engine(LivenessSettings, name, about, None)


def _multicast(name: str, about: str) -> Any:
    return as_the_engine(MulticastConfiguration, name, about, None)


HANDOVERS = "Fast handovers (RFC 5949) that may be under way at a time, two queues each; 0: there are none."
HANDOVER_WAIT = (
    "How long a node that is expected may take to come, and a node that left is looked out for before its anchor hears."
)
HANDOVER_PATIENCE = "How long packets that come straight from the anchor wait for what the previous router forwards."


def tolerate(example: str) -> Any:
    """The key of a role for all whom it speaks with."""
    about = "Understand this other implementation where it departs from the RFCs; what is overlooked is counted."
    return setting(about, None, example=example)


def tolerate_this() -> Any:
    """The key of one router among several that are understood in another way."""
    about = "Understand this router as that implementation, whatever `tolerate` says of all others."
    return setting(about, None, example="oai-pmipv6")


class Retransmission(Section):
    """Constants of RFC 6275 section 12. The first timeout follows the measured round trip within these bounds."""

    initial_bindack_timeout: DurationField = _retransmission("initial_bindack_timeout", "Longest first timeout.")
    max_bindack_timeout: DurationField = _retransmission("max_bindack_timeout", "Timeouts double up to this.")
    min_bindack_timeout: DurationField = _retransmission("min_bindack_timeout", "Shortest first timeout.")
    max_update_rate: CountField = _retransmission(
        "max_update_rate", "Messages per second about one node to one destination."
    )


class Peer(Section):
    """Another MAAR of the domain. Tunnelled packets are taken from these and from nobody else."""

    address: AddressField = setting("Proxy-CoA and tunnel end point of the other router.", example="2001:db8:a2::1")
    name: NameField = setting("For people.", "", example="ar2")
    pool: PoolField | None = setting(
        "Its pool: prefixes outside of it are not believed to be anchored there.", None, example="2001:db8:a200::/48"
    )
    ipv4_pool: Ipv4PoolField | None = setting(
        "Its pool of IPv4 addresses; without it no node keeps one of these here.", None, example="10.2.0.0/16"
    )
    tolerate: ToleranceField = tolerate_this()
    access_points: AccessPointsField = setting("Its access points (BSSID), as `sojourn` may be told of them.", ())
    partner: AddressField | None = setting(
        "The router that takes its pool over while it is gone: another peer, or this router. The same in the whole "
        "domain; see docs/operations.md.",
        None,
        example="2001:db8:a3::1",
    )


class Liveness(Section):
    """Switched on by this table: routers that are gone are missed within a second, and their partners step in.

    The same in the whole domain; docs/operations.md says what it costs.
    """

    interval: DurationField = _liveness(
        "interval",
        "Routers that share state say something to each other that often (Heartbeats, RFC 5847), at most; if they have "
        "nothing else to say.",
    )
    misses: FewField = _liveness("misses", "Who is silent for so many intervals is gone.")
    rate: CountField = _liveness("rate", "Most heartbeats a second to all neighbours together; the interval follows.")
    hold: DurationField = _liveness(
        "hold",
        "A router that was gone has to be there for so long before its partner gives its pool back; and the ways to "
        "one that is gone, with nobody in its place, stay for so long.",
    )


class Pair(Section):
    """Switched on by this table: two machines have the same `[lma]` but for this table, and one of them is it.

    See docs/operations.md. The network is told by a routing daemon, which exports routing table 56.
    """

    own: AddressField = setting("This machine's own address, from which the other one hears.", example="2001:db8:f1::1")
    partner: AddressField = setting("That of the other machine.", example="2001:db8:f2::1")
    interval: DurationField = _liveness(
        "interval", "They say something to each other, and the active one renews its lease, that often (RFC 5847)."
    )
    misses: FewField = _liveness("misses", "The one that stands by takes over after a silence of so many intervals.")


class Multicast(Section):
    """Multicast to the nodes (RFC 4605), switched on by this table. Times and robustness as in RFC 3810 9."""

    upstream: InterfaceField = setting(
        "The interface towards multicast routers: groups are joined there, and their packets come from there.",
        example="core0",
    )
    query_interval: DurationField = _multicast("query_interval", "Between two questions to all nodes of a link.")
    query_response_interval: DurationField = _multicast(
        "query_response_interval", "So long nodes may take to answer these."
    )
    last_listener_query_interval: DurationField = _multicast(
        "last_listener_query_interval",
        "The same, when a group seems to have lost its last listener; and until a node "
        "that attached and did not answer is asked again.",
    )
    robustness: RobustnessField = _multicast("robustness", "So many messages in a row, but one, may get lost.")
    groups: CountField = _multicast("groups", "Most groups that all nodes together listen to.")
    groups_per_node: CountField = _multicast("groups_per_node", "Most groups of one node.")
    sources_per_node: CountField = _multicast(
        "sources_per_node", "Most sources that one node names, in all its groups together."
    )


class AccessPoint(Section):
    """A hostapd in the daemon's network namespace: it says which stations came, who they are, which left or will."""

    control: SocketField = setting(
        "Its control socket for one interface (`ctrl_interface` of hostapd.conf).", example="/run/hostapd/wlan0"
    )
    interface: InterfaceField = setting(
        "The access interface on which its stations are: its own, or the bridge that it is in.", example="br-lan"
    )
    monitor: InterfaceField | None = setting(
        "A monitor interface of its radio: from there it is known which access point (`access_points` of a peer) a "
        "station comes from, so that its router is asked first (direct mode, fast handovers).",
        None,
        example="mon0",
    )


class Kernel(Section):
    """Numbers and names in the kernel that are the daemon's own; to be changed where something else uses them."""

    loop: PairField = setting("A veth pair of the daemon's own.", LinuxSettings.loop)
    tunnels: PairField = setting(
        "Its two ip6tnl devices, where the backend is that: into tunnels, out of tunnels.",
        LinuxSettings.tunnels,
        example=["sojourn2", "sojourn3"],
    )
    transport: InterfaceField = setting(
        "Its interface towards peers that are reached over IPv4, where there are any.", LinuxSettings.transport_device
    )
    first_table: TableField = setting("Seven routing tables from here on.", Tables.decapsulation)
    first_priority: PriorityField = setting(
        "The first of its routing rules; the last is 104 later. The rule for `local` moves in between.",
        Priorities.inner_spoofing,
    )
    nexthops: NexthopField = setting(
        "Nexthop objects have this number and 2^24 - 1 more; behind them come as many again, twice, for groups.",
        LinuxSettings.nexthops,
    )
    mark: MarkField = setting("The packet mark of what is too big for a tunnel.", LinuxSettings.mark)
    mark_mask: MarkField = setting("The bits of packet marks that are the daemon's own.", LinuxSettings.mark_mask)
    hold_octets: HoldField = setting("Kernel memory for the packets of one node that wait.", LinuxSettings.hold_octets)
    hold_seconds: SecondsField = setting("How long a packet waits at most.", LinuxSettings.hold_seconds)
    handover_packets: CountField = setting(
        "Packets that wait in one queue of a fast handover, at most.", LinuxSettings.handover_packets
    )
