"""Extensions of Proxy Mobile IPv6 one after the other, with real packets: ``sojourn lab run extensions``.

One LMA assigns another one to every session; that one has all the extensions. A stock host talks with a server all the
while. Each step asks a daemon for something, as an operator does over its control socket, or takes a daemon away, and
looks at what LMA, gateways and the host have then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sojourn.lab.conduct import conduct
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import FlowRecord, Traffic
from sojourn.wire.units import MILLISECOND, SECOND

_PATIENCE = 10.0
"""Seconds in which a step shows what it should."""
_TALK = "terminal"


@dataclass(slots=True)
class Step:
    """One extension."""

    rfc: str
    done: str
    seen: str
    holds: bool


@dataclass(slots=True)
class Outcome:
    """What the run left behind."""

    steps: list[Step] = field(default_factory=list)
    records: list[FlowRecord] = field(default_factory=list)


@scenario("extensions", "an LMA assigns another one, which revokes, renumbers, notifies and watches its gateways")
def extensions(options: ScenarioOptions) -> int:
    """The steps as a scenario."""
    say = (lambda line: None) if options.json else print
    return conduct("extensions", options, lambda: make_report(play(load("extensions"), options.output, say)))


def play(topology: Topology, output: Path, say: Callable[[str], None]) -> Outcome:
    """Build the lab, take the steps, take it down. Raises TrafficError, DaemonFailed, ControlError, OSError."""
    with Lab(topology, output, capture="signalling") as lab:
        places = {name: lab.nodes[name].namespace.descriptor for name in ("mn", "server")}
        with Traffic(places, patience=10 * SECOND, status_every=0) as traffic:
            return _Steps(lab, traffic, say).take(output)


class _Steps:
    """One after the other; the host ``mn`` is at ``mag1``, ``mo`` at ``mag2``."""

    def __init__(self, lab: Lab, traffic: Traffic, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._traffic = traffic
        self._say = say
        self._outcome = Outcome()
        self._first = lab.topology.address("lma2")

    def take(self, output: Path) -> Outcome:
        """All of them. The conversation lasts until the prefixes change without mercy."""
        self._redirected()
        self._talk()
        self._told()
        self._timers()
        self._heartbeats()
        self._restarted()
        self._notified()
        self._renumbered()
        self._outcome.records = self._traffic.finish(output / "traffic.jsonl")
        self._renumbered_hard()
        self._revoked()
        self._not_authorized()
        return self._outcome

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _redirected(self) -> None:
        holds = self._becomes(
            lambda: (
                len(self._rows("lma2", "bindings")) == 2
                and all(row["lma"] == self._first for name in ("mag1", "mag2") for row in self._rows(name, "sessions"))
            )
        )
        here, there = (len(self._rows(name, "bindings")) for name in ("lma", "lma2"))
        seen = f"sessions at lma: {here}, at lma2: {there}; both gateways use lma2"
        self._note("6463", "gateways register two nodes at lma", seen, holds and here == 0)

    def _talk(self) -> None:
        """A terminal session between the host and the server."""
        self._becomes(lambda: len(self._addresses()) == 1)
        server = self._lab.topology.address("server")
        self._traffic.serve("server", server)
        (source,) = self._addresses() or [""]
        self._traffic.exchange(_TALK, "mn", source, server, interval=50 * MILLISECOND)
        self._traffic.wait("started", flow=_TALK)

    def _told(self) -> None:
        """What gateways carry, as people see it at the LMA."""
        rows = self._rows("lma2", "bindings")  # in the order in which gateways came, one of which asks for a quality
        row = next((row for row in rows if row.get("quality")), rows[0])
        network, quality, vendor = (str(row.get(key)) for key in ("access_network", "quality", "vendor_options"))
        place = "campus at hall, 52.5163 13.3777, operator 32473"
        self._note("6757", "gateways say where the nodes are", network, network == place)
        done = "10 Mbit/s are asked for, lma2 gives 5"
        self._note("7222", done, quality, quality == "DSCP 46 down 5M")
        done = "options of two vendors, of which lma2 knows one"
        self._note("5094", done, vendor, vendor == "32473/1 c0ffee")
        kind = str(row["type"])
        self._note("8371", "nodes have no name but their link-layer address", f"type {kind}", kind == "eui-48")

    def _timers(self) -> None:
        (row, *_) = self._rows("mag1", "sessions")
        timers = row.get("timers")
        seen = f"before the end, first and longest repetition: {timers} s"
        self._note("8127", "lma2 sets the timers of its gateways", seen, timers == [60, 1, 32])

    def _heartbeats(self) -> None:
        """A gateway dies, and comes back."""
        up = self._becomes(lambda: self._reachable("lma2", "mag2") is True)
        self._lab.stop_daemon("mag2", kill=True)
        down = self._becomes(lambda: self._reachable("lma2", "mag2") is False)
        ended = self._becomes(lambda: not any(one["gateway"] == "mag2" for one in self._active()))
        self._lab.start_daemon("mag2")
        back = self._becomes(lambda: any(one["gateway"] == "mag2" for one in self._active()))
        seen = f"unreachable: {_yes(down)}, its bindings invalid: {_yes(ended)}, back: {_yes(back)}"
        self._note("5847", "mag2 is killed, and started again", seen, up and down and ended and back)

    def _restarted(self) -> None:
        """The LMA loses everything."""
        before = [row["prefixes"] for row in self._active() if row["gateway"] == "mag1"]
        self._lab.stop_daemon("lma2", kill=True)
        store = self._lab.daemon("lma2").store
        for file in store.parent.glob(store.name + "*"):
            file.unlink()
        self._lab.start_daemon("lma2")
        again = self._becomes(lambda: [row["prefixes"] for row in self._active() if row["gateway"] == "mag1"] == before)
        noticed = self._becomes(lambda: self._reported("mag1", "peer-restarted") > 0)
        seen = f"restart noticed: {_yes(noticed)}, the same prefixes registered again: {_yes(again)}"
        self._note("5847", "lma2 is killed and loses its store", seen, noticed and again)

    def _notified(self) -> None:
        before = self._reported("mag1", "notified")
        self._command("lma2", "notify", node=self._node(), reason="register")
        told = self._becomes(lambda: self._reported("mag1", "notified") > before)
        self._note("7077", "notify node reason=register", f"mag1 was told: {_yes(told)}", told)

    def _renumbered(self) -> None:
        """Softly: the conversation goes on, new ones begin from the new address."""
        old = self._addresses()
        self._command("lma2", "renumber", node=self._node(), mode="soft")
        changed = self._becomes(lambda: bool(self._addresses()) and not set(old) & set(self._addresses()))
        time.sleep(1)
        seen = f"{', '.join(old)} then {', '.join(self._addresses())}"
        self._note("8191", "renumber node mode=soft", seen, changed)

    def _renumbered_hard(self) -> None:
        """A pool is given up."""
        self._command("lma2", "renumber", pool="2001:db8:f200::/48", mode="hard")
        moved = self._becomes(lambda: all(one.startswith("2001:db8:f300:") for one in self._addresses()))
        seen = ", ".join(self._addresses())
        self._note("8191", "renumber pool=2001:db8:f200::/48 mode=hard", seen, moved and bool(self._addresses()))

    def _revoked(self) -> None:
        node = self._node()
        self._command("lma2", "revoke", node=node)
        gone = self._becomes(lambda: all(row["node"] != node for row in self._rows("lma2", "bindings")))
        refused = self._becomes(lambda: self._rows("mag1", "sessions")[0]["presence"] == "refused")
        without = self._becomes(lambda: not self._addresses())
        seen = f"binding gone: {_yes(gone and refused)}, the host's prefix deprecated: {_yes(without)}"
        self._note("5846", "revoke node", seen, gone and refused and without)

    def _not_authorized(self) -> None:
        """One gateway may end all of its bindings, the other one may not."""
        self._command("mag1", "revoke", lma=self._first)
        denied = self._becomes(lambda: self._reported("mag1", "revocation-not-authorized") > 0)
        self._command("mag2", "revoke", lma=self._first)
        ended = self._becomes(lambda: self._rows("lma2", "bindings") == [])
        seen = f"mag1 without the right: status 130: {_yes(denied)}; mag2 with it: all ended: {_yes(ended)}"
        self._note("5846", "revoke, of gateways", seen, denied and ended)

    # --- looking at daemons and the host ------------------------------------------------------------------------------

    def _note(self, rfc: str, done: str, seen: str, holds: bool) -> None:
        self._outcome.steps.append(Step(rfc, done, seen, holds))
        self._say(f"RFC {rfc}: {done}: {seen}{'' if holds else '  (NOT AS IT SHOULD BE)'}")

    def _rows(self, name: str, topic: str) -> list[dict[str, Any]]:
        with self._lab.client(name) as client:
            return client.show(topic, plain=True)

    def _active(self) -> list[dict[str, Any]]:
        return [row for row in self._rows("lma2", "bindings") if row["state"] == "active"]

    def _reachable(self, name: str, peer: str) -> object:
        return next((row.get("reachable") for row in self._rows(name, "peers") if row["name"] == peer), None)

    def _reported(self, name: str, report: str) -> int:
        with self._lab.client(name) as client:
            return sum(count for key, count in client.counters().items() if key.endswith(report))

    def _node(self) -> str:
        """Who the host at mag1 is, as LMAs call it."""
        return str(self._rows("mag1", "sessions")[0]["node"])

    def _command(self, name: str, verb: str, **arguments: str) -> None:
        with self._lab.client(name) as client:
            client.command(verb, arguments)

    def _addresses(self) -> list[str]:
        """Those that the host would use for something new."""
        found = host_addresses(self._lab.nodes["mn"].namespace)
        return [one.address for one in found if not one.deprecated]

    def _becomes(self, question: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while not (answer := question()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return answer


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


# --- what came of it --------------------------------------------------------------------------------------------------


def make_report(outcome: Outcome) -> Report:
    """A table for people, and what had to hold."""
    talk = next((record.outcome for record in outcome.records if record.flow == _TALK), "lost")
    verdicts = [Verdict(f"RFC {step.rfc}: {step.done}", _yes(step.holds), "yes", step.holds) for step in outcome.steps]
    verdicts.append(Verdict("conversation until then", talk, "complete", talk == "complete"))
    rows = [(step.rfc, step.done, step.seen) for step in outcome.steps]
    return Report(
        "Extensions of Proxy Mobile IPv6",
        "One LMA assigns another one to all sessions, which has every extension; a stock host talks all the while.",
        verdicts=verdicts,
        tables=[Table("The steps", ["RFC", "what was done", "what was seen"], list(rows))],
        data={"steps": rows},
    )
