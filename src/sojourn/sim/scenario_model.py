"""A scenario as a model: which keys there are, what they mean, what they are when absent.

The messages for wrong values and ``docs/simulating.md`` come from here. Of the tables below ``topology``, and of those
below ``mobility``, there is exactly one: it says which kind.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from sojourn.files.fields import DurationField, Expected, NameField, PathField, SwitchField, TextField, duration_text
from sojourn.files.sections import Layout, Section, setting
from sojourn.sim.protocol import Failures, ProtocolSettings
from sojourn.sim.scenario_fields import (
    GridField,
    LengthField,
    MassesField,
    NamesField,
    NumberField,
    SeedsField,
    ShareField,
    SharesField,
    SpeedField,
    Whole,
    WordField,
    word,
)

PlacesField: TypeAlias = Annotated[int, Whole(1, 5_000, 24)]
FewField: TypeAlias = Annotated[int, Whole(1, 64, 4)]
NodesField: TypeAlias = Annotated[int, Whole(1, 10_000_000, 10_000)]
SeedField: TypeAlias = Annotated[int, Whole(0, (1 << 63) - 1, 1)]
WireField: TypeAlias = Annotated[Literal["off", "size", "full"], word("off", "size", "full")]
ModeField: TypeAlias = Annotated[
    Literal["proxy", "relay", "locator", "direct", "pmipv6", "mipv6", "none"],
    word("proxy", "relay", "locator", "direct", "pmipv6", "mipv6", "none"),
]
SitesLinksField: TypeAlias = Annotated[Literal["beside", "hub"], word("beside", "hub")]
DelayUnitField: TypeAlias = Annotated[Literal["", "s", "ms", "us", "ns"], word("ms", "us", "ns", "s")]
LengthUnitField: TypeAlias = Annotated[Literal["", "m", "km"], word("km", "m")]
ToField: TypeAlias = Annotated[Literal["uniform", "neighbours", "gravity"], word("uniform", "neighbours", "gravity")]
LawField: TypeAlias = Annotated[
    Literal["exponential", "pareto", "lognormal", "fixed"], word("exponential", "pareto", "lognormal", "fixed")
]
_SETTINGS = ProtocolSettings()
_FAILURES = Failures()
PartnerField: TypeAlias = Annotated[Literal["none", "nearest"], word("none", "nearest")]
TimesField: TypeAlias = Annotated[tuple[DurationField, ...], Expected("a list of lengths of time", ["10m", "20m"])]
PlacementField: TypeAlias = Annotated[Literal["best", "worst"], word("best", "worst")]


def quantity(about: str, default: str, example: object = None) -> Any:
    """A key whose default is written as it would be in a file."""
    return Field(default, validate_default=True, description=about, examples=None if example is None else [example])


class _Cable(Section):
    """Lengths become delays."""

    per_km: DurationField = quantity("Delay of a kilometre; light in fibre takes 4.9 us.", "5us")
    per_link: DurationField = quantity("Delay that each link has besides, whatever its length.", "0s")


class Topohub(_Cable):
    """A topology that the Python package topohub carries: Internet Topology Zoo, SNDlib, CAIDA and synthetic ones.

    Its lengths are kilometres. It leaves out places of which no coordinates are known.
    """

    name: WordField = setting("Its name, with the collection or without.", example="topozoo/Geant2012")


class GraphMl(_Cable):
    """A GraphML file. The delay of a link is an attribute, or follows from one for its length, or from coordinates."""

    file: PathField = setting("The file, from where the scenario is.", example="network.graphml")
    name: TextField = setting('The attribute with the names of places; `""`: their id.', "label")
    delay: TextField = setting("The attribute with the delay of a link.", "", example="latency")
    delay_unit: DelayUnitField = setting("Its unit; to be said with `delay`.", "")
    length: TextField = setting("The attribute with the length of a link.", "", example="length")
    length_unit: LengthUnitField = setting("Its unit; to be said with `length`.", "")
    latitude: TextField = setting("The attribute with the latitude of a place in degrees.", "Latitude")
    longitude: TextField = setting("The attribute with its longitude.", "Longitude")
    fill_positions: SwitchField = setting("A place without coordinates lies between its neighbours; counted.", False)


class Links(_Cable):
    """A list of links: CSV with the columns `from`, `to` and `delay_ms` (`_us`, `_ns`, `_s`) or `length_km` (`_m`)."""

    file: PathField = setting("The file, from where the scenario is.", example="links.csv")
    places: PathField = setting(
        "A list of all places, if their positions are known: CSV with `name`, and `lat` and `lon` or `x_m` and `y_m`.",
        "",
        example="places.csv",
    )


class Sites(_Cable):
    """A list of places with positions (CSV as for `[topology.links]`); the links between them are made."""

    file: PathField = setting("The file, from where the scenario is.", example="sites.csv")
    links: SitesLinksField = setting(
        "`beside`: a Gabriel graph, with links between places that have no other in between; `hub`: all to a place "
        "`core` in their middle.",
        "beside",
    )


class _Made(Section):
    """Every link has this delay."""

    delay: DurationField = quantity("Of each link.", "1ms")
    spacing: LengthField = quantity("Between places that are linked, for maps and mobility by distance.", "300m")


class Ring(_Made):
    """A closed line."""

    places: Annotated[int, Whole(3, 5_000, 12)] = setting("How many.")


class Grid(_Made):
    """A chessboard."""

    rows: PlacesField = setting("How many.", example=10)
    columns: PlacesField = setting("How many.", example=10)


class Star(_Made):
    """A place `core` with the others around it; nodes attach to those."""

    places: PlacesField = setting("How many around it.")


class Tree(_Made):
    """A root `core`, with as many branches at each level; nodes attach at the lowest."""

    branches: FewField = setting("Below each place.")
    levels: Annotated[int, Whole(1, 12, 3)] = setting("Below the root.")


class Campus(Section):
    """Two core switches, buildings with a router each and access routers below it, and the rest of the world."""

    buildings: FewField = setting("Each has a router that is linked with both core switches.")
    routers: FewField = setting("Access routers in each building.", example=6)
    core_delay: DurationField = quantity("Between the core switches.", "100us")
    building_delay: DurationField = quantity("Between core and building.", "200us")
    router_delay: DurationField = quantity("Between the router of a building and an access router.", "200us")
    border_delay: DurationField = quantity("Between core and the place `internet`.", "8ms")
    spacing: LengthField = quantity(
        "Between buildings; the access routers are a quarter of it from the middle.", "200m"
    )


class Geometric(_Cable):
    """Places anywhere in a square."""

    places: PlacesField = setting("How many.", example=50)
    side: LengthField = setting("Of the square.", example="20km")
    reach: LengthField | None = setting("Links are between all that are this near; absent: a Gabriel graph.", None)
    seed: SeedField = setting("Of this topology; it is the same for all seeds of the scenario.", 1)


class TopologyTable(Section):
    """The network. One table below it says of which kind."""

    access: NamesField = setting("Where nodes attach, `*` stands for any letters; absent: as the kind says.", ())
    routers_per_place: FewField = setting("So many access routers stand at each of these places, named `PLACE/1`.", 1)
    router_delay: DurationField = quantity("Between a place and its routers, where there are several.", "500us")
    router_distance: LengthField = quantity("The same for their position.", "1km")
    largest_part: SwitchField = setting(
        "A topology that is not connected is a mistake; with this its largest part is taken and the rest counted.",
        False,
    )
    topohub: Topohub | None = setting("Table `[topology.topohub]`.", None)
    graphml: GraphMl | None = setting("Table `[topology.graphml]`.", None)
    links: Links | None = setting("Table `[topology.links]`.", None)
    sites: Sites | None = setting("Table `[topology.sites]`.", None)
    ring: Ring | None = setting("Table `[topology.ring]`.", None)
    grid: Grid | None = setting("Table `[topology.grid]`.", None)
    star: Star | None = setting("Table `[topology.star]`.", None)
    tree: Tree | None = setting("Table `[topology.tree]`.", None)
    campus: Campus | None = setting("Table `[topology.campus]`.", None)
    geometric: Geometric | None = setting("Table `[topology.geometric]`.", None)


class Protocol(Section):
    """What is simulated."""

    mode: ModeField = setting(
        "RFC 8885 3.4, 3.2, 3.3; routers that tell each other, without a database; RFC 5213; RFC 6275; or no "
        "mobility at all.",
        _SETTINGS.mode,
    )
    database: TextField = setting(
        "The place of the central database or anchor; absent: the one with the least mean delay.", "", example="core1"
    )
    lifetime: DurationField = quantity("Of a registration.", duration_text(_SETTINGS.lifetime))
    idle_hold: DurationField = quantity(
        "An old prefix retires when its last session is over for so long.", duration_text(_SETTINGS.idle_hold)
    )
    tells_previous: SwitchField = setting(
        "With `direct`: the access link says which router a node comes from; if not, the nearest (32) are asked.",
        _SETTINGS.tells_previous,
    )
    anchors: SwitchField = setting(
        "With `mipv6`: hosts keep an address of each access router as long as sessions use it (RFC 8818); if not, they "
        "have one home address, at `database`.",
        _SETTINGS.anchors,
    )
    route_optimisation: SwitchField = setting(
        "With `mipv6`: correspondent nodes take the direct way (RFC 6275 5.2).", _SETTINGS.route_optimisation
    )
    wireless: DurationField = quantity(
        "One-way delay of the access link, for what hosts say themselves (`mipv6`).", duration_text(_SETTINGS.wireless)
    )
    processing: DurationField = quantity("That each engine takes for a message.", duration_text(_SETTINGS.processing))
    loss: ShareField = setting("Share of messages that the network loses.", _SETTINGS.loss)


class FailuresTable(Section):
    """Routers die and come back (modes `proxy`, `relay`, `locator`, `direct`). Without this table nobody does.

    A router loses all but its journal, and nobody is told; routers miss each other as `[maar.liveness]` of the daemon
    has it. The network leads packets to a partner at once: what a routing protocol takes comes on top.
    """

    routers: NamesField = setting("Who dies, by the names of places; absent: any where nodes attach, by chance.", ())
    at: TimesField = setting(
        "When: one time for each of `routers`, or one for all, or several for one router.", (), example=["10m"]
    )
    every: DurationField | None = setting(
        "Instead of `at`: mean time between two deaths (Poisson, from the seed), of one of `routers`.", None, "5m"
    )
    lasting: DurationField = quantity('It is back after this; `"0s"`: never.', duration_text(_FAILURES.lasting))
    partner: PartnerField = setting(
        "`nearest`: the pool of each router has a partner, the router with the least delay; `none`: none has.", "none"
    )
    interval: DurationField = quantity("Between two beats of neighbours, at most.", duration_text(_FAILURES.interval))
    misses: Annotated[int, Whole(2, 100, 3)] = setting("So many are missed of one that is gone.", _FAILURES.misses)
    hold: DurationField = quantity("One that is back is trusted after this.", duration_text(_FAILURES.hold))
    gives_up: DurationField = quantity(
        "A session that stands still for longer is lost.", duration_text(_FAILURES.gives_up)
    )


class WalkTable(Section):
    """A node stays at a place for a random time, then goes to another one. In its steady state from the beginning."""

    dwell: DurationField | None = setting("Mean time at a place.", None, example="300s")
    speed: SpeedField | None = setting("Instead of `dwell`, with `radius`: fluid flow, pi radius / 2 speed.", None)
    radius: LengthField | None = setting("Of a cell.", None, example="200m")
    shape: NumberField = setting("Of the Gamma distribution of stays; 1 is exponential, more is steadier.", 1.0)
    to: ToField = setting(
        "`uniform`: any other place; `neighbours`: one beside it; `gravity`: by mass and distance.", "uniform"
    )
    nearest: FewField = setting(
        "For `neighbours`: a site is beside so many nearest, beside all as near, and they beside it.", 3
    )
    inside: ShareField = setting("For `neighbours`: moves that stay at the site, where it has several routers.", 0.8)
    exponent: NumberField = setting("For `gravity`: a place is as likely as its mass / distance^exponent.", 2.0)
    masses: MassesField = setting("For `gravity`: of places that do not have mass 1.", {})
    gap_share: ShareField = setting("So many moves lead out of the domain first.", 0.0)
    gap: DurationField = quantity("Mean time there, exponential.", "60s")


class Waypoint(Section):
    """A node goes straight to a random point, rests, and goes on; the nearest place serves it. Starts steady, too."""

    slowest: SpeedField = setting("Speeds are uniform from here ...", example="0.5 m/s")
    fastest: SpeedField = setting("... to here.", example="1.8 m/s")
    pause: DurationField = quantity("At each point.", "0s")
    margin: LengthField | None = setting(
        "The area is this much wider than the places; absent: half of the mean distance between neighbours.", None
    )


class TraceTable(Section):
    """Where real nodes were: CSV (or .gz) with the columns `time` (or `time_s`, `time_ms`), `node`, `attachment`."""

    file: PathField = setting("The file, from where the scenario is.", example="trace.csv.gz")
    begin: NumberField = setting("The time in the file, in seconds, that is 0 here.", 0.0)
    leave: TextField = setting("The attachment that means none; an empty one does, too.", "-1")
    repair: SwitchField = setting(
        "Rows out of order are sorted, unknown places taken for leaving, broken rows left out, and all are counted. "
        "Without it they are mistakes.",
        False,
    )


class MobilityTable(Section):
    """Who moves, and how. One table below it says how."""

    nodes: NodesField | None = setting("How many; with a trace, as many as it has.", None)
    arrive: DurationField = quantity("They come one after the other within this time.", "10s")
    walk: WalkTable | None = setting("Table `[mobility.walk]`.", None)
    waypoint: Waypoint | None = setting("Table `[mobility.waypoint]`.", None)
    trace: TraceTable | None = setting("Table `[mobility.trace]`.", None)


class SessionTable(Section):
    """A class of sessions; there may be several, and they need no names but their own."""

    every: DurationField = setting("Mean time between two that a node begins (Poisson).", example="30s")
    lasting: DurationField = setting("Mean time that one lasts.")
    law: LawField = setting("Of that time.", "exponential")
    tail: NumberField | None = setting(
        "For `pareto` its exponent, above 1 (1.5 when absent); for `lognormal` the standard deviation of the logarithm "
        "(1.5 when absent).",
        None,
        example=1.5,
    )
    to: SharesField = setting(
        "Where correspondents are: `local` at the access router, `edge` at its site, `uniform` at any site; or a "
        "place, by its name.",
        {"uniform": 1.0},
    )


class FlowsTable(Section):
    """Sessions that there were: CSV (or .gz) with columns `start` (`start_ms`), `node`, `duration`, and perhaps `peer`.

    With a trace, nodes are called as there; otherwise they are numbers from 0 on.
    """

    file: PathField = setting("The file, from where the scenario is.", example="flows.csv.gz")
    begin: NumberField = setting("The time in the file, in seconds, that is 0 here.", 0.0)
    repair: SwitchField = setting("Broken rows, unknown nodes and places are left out and counted.", False)
    to: SharesField = setting("Where correspondents are whose place the file does not say.", {"uniform": 1.0})


class EvaluateTable(Section):
    """What `sojourn evaluate` needs besides: the rest follows from the scenario."""

    population: NodesField | None = setting("Nodes of the real network; absent: `mobility.nodes`.", None)
    nodes: NodesField | None = setting("So many are looked at, and figures scaled up; absent: at most 400.", None)
    seeds: Annotated[int, Whole(1, 1_000, 5)] = setting("Independent runs, for confidence intervals.", 5)
    placement: PlacementField = setting("Of the central anchor, where `protocol.database` names none.", "best")
    edge: ShareField | None = setting(
        "Share of traffic whose correspondent is at the edge, in place of what sessions say.", None
    )
    wireless: DurationField = quantity("One-way delay of the access link.", "1ms")
    session_rate: NumberField = setting("Mbit/s of an open session.", 1.0)
    message_cost: DurationField = quantity("Time that a central database takes for a message.", "25us")
    worthwhile: DurationField = quantity("Less delay saved than this is not worth a new architecture.", "1ms")


class SweepTable(Section):
    """What `sojourn sim sweep` varies: all combinations of the values in the grid, each with all seeds."""

    seeds: SeedsField = setting("Seeds of each combination.", 1)
    attempts: Annotated[int, Whole(1, 10, 3)] = setting("A run that fails is tried so often.", 3)
    grid: GridField = setting('Keys of this file, as `"mobility.walk.dwell"`, each with its values.', {})


class File(Section):
    """What is true of the whole simulation."""

    name: NameField = setting("What results are called; the name of the file when absent.", "")
    seed: SeedField = setting("The same seed gives the same simulation.", 1)
    duration: DurationField = setting("Simulated time.", example="1h")
    warm_up: DurationField = quantity("What happens before is not counted.", "0s")
    wire: WireField = setting("Messages as objects, with their octets counted, or encoded and decoded.", "off")
    topology: TopologyTable = setting("Table `[topology]`.")
    protocol: Protocol = setting("Table `[protocol]`.", Protocol())
    failures: FailuresTable | None = setting("Table `[failures]`.", None)
    mobility: MobilityTable = setting("Table `[mobility]`.")
    sessions: dict[NameField, SessionTable] = setting("Tables `[sessions.NAME]`.", {})
    flows: FlowsTable | None = setting("Table `[flows]`.", None)
    evaluate: EvaluateTable = setting("Table `[evaluate]`.", EvaluateTable())
    sweep: SweepTable | None = setting("Table `[sweep]`.", None)


LAYOUT = Layout(
    File,
    (
        ("the top", File),
        ("[topology]", TopologyTable),
        ("[topology.topohub]", Topohub),
        ("[topology.graphml]", GraphMl),
        ("[topology.links]", Links),
        ("[topology.sites]", Sites),
        ("[topology.ring]", Ring),
        ("[topology.grid]", Grid),
        ("[topology.star]", Star),
        ("[topology.tree]", Tree),
        ("[topology.campus]", Campus),
        ("[topology.geometric]", Geometric),
        ("[protocol]", Protocol),
        ("[failures]", FailuresTable),
        ("[mobility]", MobilityTable),
        ("[mobility.walk]", WalkTable),
        ("[mobility.waypoint]", Waypoint),
        ("[mobility.trace]", TraceTable),
        ("[sessions.NAME]", SessionTable),
        ("[flows]", FlowsTable),
        ("[evaluate]", EvaluateTable),
        ("[sweep]", SweepTable),
    ),
)
