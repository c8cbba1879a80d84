"""The documentation of scenarios, made from their model.

``python -m sojourn.sim.reference > docs/simulating.md`` writes it; a test compares.
"""

from __future__ import annotations

from typing import Any

from sojourn.files import reference
from sojourn.sim.scenario_model import LAYOUT

EXAMPLE = """\
duration = "1h"
warm_up = "10m"

[topology.grid]
rows = 6
columns = 6
delay = "2ms"

[protocol]
mode = "proxy"

[mobility]
nodes = 10000

[mobility.walk]
dwell = "300s"
to = "neighbours"

[sessions.web]
every = "60s"
lasting = "30s"
law = "pareto"
tail = 1.5
to = { edge = 0.5, uniform = 0.5 }
"""

_HEAD = """\
# Scenarios: what is simulated

One TOML file says which network there is, how nodes move, what sessions they have, and how their mobility is managed.
`sojourn sim run FILE.toml` simulates it, `sojourn sim sweep FILE.toml` all combinations of its table `[sweep.grid]`,
`sojourn evaluate FILE.toml` compares ways to manage mobility for it; a folder stands for its `scenario.toml`.
`examples/campus`, `examples/geant` and `examples/bologna` are three to begin with. Files that a scenario names are
looked for from its own folder. Lengths of time are written `"250ms"`, `"60s"`, `"5m"` or `"1h"`, or as a number of
seconds.

```toml
{example}```

Everything is checked before anything runs, and all mistakes are told at once, with file, line, key, what is wrong and
what was expected. What has no steady state (sessions of a Pareto law with an exponent of 1, a dwell time of 0, random
waypoint with speeds down to 0) is refused with the reason. What is mended because the file allows it is counted and
said in the results.

The same seed gives the same nodes, moves and sessions, however many processes share the work. Random numbers are drawn
for each thousand nodes and for each purpose by itself: another session mix moves no node.

## Networks

* Delays are one-way and along the path of least delay. Where a source has lengths, `per_km` and `per_link` make delays
  of them. Lengths in topohub are kilometres along the great circle, so real fibre is longer; `per_km = "7us"` allows
  for detours.
* Nodes attach at all places, or where `access` says. With `routers_per_place`, access routers `PLACE/1` and so on stand
  around each of these places, which become *sites*: a move within a site, and a correspondent at the `edge`, are there.
* A topology that is not connected is a mistake, unless `largest_part = true`. So are negative delays, missing columns,
  names that are there twice, links with places that are not listed, and coordinates that are missing where they are
  needed. Zoo files of GraphML with places that have no coordinates need `fill_positions = true`.
* At most 5,000 places.

## Traces of attachments

CSV with a header, plain or compressed with gzip, sorted by time:

    time_s,node,attachment
    0,17,5
    2.5,17,6
    60,17,-1

The name of the first column says its unit: `time` and `time_s` are seconds, and there are `time_ms`, `time_us` and
`time_ns`. `attachment` may be called `place` or `site`; it names a place of the topology. `-1` (or what `leave` says)
and an empty field mean that the node leaves. Nodes are called anything. `begin` is the time in the file that becomes 0.

Mistakes (out of order, unknown places, numbers that are none, fields that are missing) are told with line and column,
ten at most. With `repair = true` they are mended and counted: rows are sorted, unknown places count as leaving, broken
rows are left out. Rows that change nothing are left out and counted in any case. A file may have any length: it is read
in pieces and kept on disk by node, in the directory that TMPDIR names (16 octets a row).

## Logs of flows

    start_s,node,duration_s,peer
    12.25,17,30,core

`peer` may be missing or empty; then `to` says where correspondents are. With a trace, nodes are called as there;
otherwise they are numbers from 0 on. A flow that begins while its node is away does not begin and is counted, as all
sessions are that arrive then.

## Routers that die

```toml
[failures]
routers = ["r2"]          # absent: any
at = ["10m"]              # or: every = "5m", by chance and from the seed
lasting = "30s"
partner = "nearest"       # "none"
```

A router that dies loses all but its journal, and nobody is told: others miss its beats, tell the nodes of its prefixes
or take its pool over (*An anchor dies* in [operations.md](operations.md)), and give it back when it is there again. The
engines are those of the daemon, and whether packets arrive is looked up in what their kernels would hold, every 10 to
50 ms. In the summary, `failures`:

* `sessions`: those that lived when their anchor died while their node was elsewhere; `lost` of them stood still for
  longer than `gives_up`, or until their end; the others stood still for `silence_s`, all together.
* `sessions_there`, `lost_there`, `silence_there_s`: the same where the node was at a dead router, or came to it. The
  itinerary knows nothing of deaths: it stays there, where a real host would look for another router.
* `deaths`, `takeovers`; `messages`: what was said about who is there and who holds which pool, of all routers and all
  the time (`survival` of `signalling`).

Beside the lab: a session whose anchor goes dark and has a partner stood still for 0.78 s in `sojourn lab run takeover`,
and for 0.65 s here, with the same settings. The network leads a pool to its partner at once, so what a routing protocol
takes comes on top. All nodes share one world, on one processor: a ring of 6 routers with 300 nodes takes a second for
each 40 simulated ones.

## Sweeps

`[sweep.grid]` lists values for keys of the file: every combination is simulated with every seed of `seeds`, and all
combinations have the same seeds, so that differences between them are not those of chance. Each run has a process of
its own, as many at a time as there are processors, or is sent to the workers of a Dask cluster with
`--cluster tcp://ADDRESS:8786` (`pip install 'sojourn[cluster]'`; the workers must see the scenario and what it names at
the same path). Results are one table, `results.jsonl` and `results.csv` (and `results.parquet` with the extra
`results`), with every parameter in every row. A run that fails is tried `attempts` times and then listed in
`failed.jsonl`. The same command goes on where a sweep stopped, and does only what is new when the grid has grown.

# Every key
"""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return reference.json_schema(LAYOUT, "sojourn scenario")


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD.format(example=EXAMPLE), reference.markdown(LAYOUT)])


if __name__ == "__main__":
    print(markdown(), end="")
