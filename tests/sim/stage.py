"""One episode on its stage: happenings happen to a cast, time passes, and what must be true is asked after every step.

Then everything works again, and three times there is quiet: with nodes in their places, with nothing sent, and with
nobody left. What is wrong afterwards is a fault, and the first faults end the episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

from sim.air import Node
from sim.cast import Cast
from sim.happenings import (
    Attack,
    Begin,
    Boot,
    Cut,
    Die,
    Drift,
    End,
    Expect,
    Fail,
    Happening,
    Late,
    Leave,
    LinkFails,
    Operate,
    Pause,
    Refuse,
    Roam,
    Show,
    Step,
    Storm,
)
from sim.weather import FINE, Weather
from sim.world import Machine
from sojourn.core.effects import AccessEffect
from sojourn.core.events import Commanded, HandoverExpected, NodeSeen, Sighting
from sojourn.core.mobile_effects import AnnounceAddress, ProbeAddress, ProbeRouter, SendIcmpv6
from sojourn.wire.units import SECOND, Duration, Instant

TICK = 1 * SECOND
"""Between two packets of a flow."""
GRACE = 4 * SECOND
"""How long something may be true that may be true for a moment only: in locator mode until the first refresh."""
_ON_LINKS = AccessEffect | ProbeAddress | ProbeRouter | SendIcmpv6 | AnnounceAddress
LOOK = 3 * SECOND
"""Between two looks whether it is quiet."""


class Stage:
    """Plays one episode of `cast`; `seed` makes the weather."""

    def __init__(self, cast: Cast, seed: int) -> None:
        self.cast = cast
        self.world, self.air, self.flows = cast.world, cast.air, cast.flows
        self.weather = Weather(seed)
        self.world.network.fate = self.weather.fate
        self.calm_since: Instant = -cast.patience.calm
        """The last trouble was before."""
        self.faults: list[str] = []
        self.before: Callable[[int, Happening], None] = lambda number, happening: None
        """Told what is going to happen."""
        self.on_fault: Callable[[list[str]], object] = lambda faults: None
        """Told of the first faults, in the world as it is then."""
        self._cuts: list[Cut] = []
        self._refusals: dict[str, Refuse] = {}
        self._failing: list[Fail] = []

    # --- an episode -----------------------------------------------------------------------------------------------

    def play(self, happenings: Iterable[Happening]) -> list[str]:
        """The faults of the whole episode: none, if all is well."""
        self.cast.start()
        for machine in self.world.machines.values():
            self.air.greet(machine)
        self.world.run(SECOND)
        self._tick(None)
        for number, happening in enumerate(happenings):
            self.before(number, happening)
            self._perform(happening)
            self._pass(happening.then)
            self._look()
            if self.faults:
                return self.faults
        self._be_quiet()
        self._be_idle()
        self._be_empty()
        return self.faults

    def _pass(self, duration: Duration) -> None:
        if not self.faults:
            self.world.run(duration)

    def _look(self) -> None:
        """What must never be true is asked now; what may be true for a moment, now and a moment later."""
        truth = self.cast.truth
        self._note(truth.now(self._calm))
        doubts = truth.passing(self._calm) if not self.faults else set()
        if doubts:
            self._pass(GRACE)
            self._note(truth.now(self._calm) + sorted(doubts & truth.passing(self._calm)))

    def _note(self, faults: list[str]) -> None:
        if faults and not self.faults:
            self.faults = faults
            self.on_fault(faults)

    # --- troubles -------------------------------------------------------------------------------------------------

    @property
    def _calm(self) -> bool:
        return self.world.now - self.calm_since >= self.cast.patience.calm

    def _in_trouble(self) -> bool:
        return bool(
            self._cuts
            or self._refusals
            or self._failing
            or self.air.down
            or self.weather.loss
            or self.weather.jitter > GRACE // 8
            or any(machine.driver is None or machine.paused for machine in self.world.machines.values())
        )

    def _trouble(self) -> None:
        self.calm_since = self.world.now

    def _tick(self, _: object) -> None:
        if self._in_trouble():
            self._trouble()
        self._note(self.flows.tick(self.calm_since))
        self.world.later(TICK, self._tick, None)

    # --- what happens ---------------------------------------------------------------------------------------------

    def _perform(self, happening: Happening) -> None:
        match happening:
            case Roam() | Leave() | Show() | Begin() | End() | Late() | Expect():
                self._to_node(happening, self.air.nodes[happening.node])
            case Storm(loss, repeats, jitter):
                self.weather.set(loss, repeats, jitter)
            case Cut():
                self._cuts.append(happening)
                self._cut()
                self.world.later(happening.for_, self._heal, happening)
            case Fail(what, luck, for_):
                self._failing.append(happening)
                self.cast.fail(what, luck, for_)
                self.world.later(for_, self._mended, happening)
            case Attack(verb, luck):
                self.cast.attack(verb, luck)
            case _:
                self._trouble()
                self._to_machine(happening, self.world.machines[happening.machine])

    def _to_node(self, happening: Roam | Leave | Show | Begin | End | Late | Expect, node: Node) -> None:
        match happening:
            case Roam():
                self._roam(happening, node)
            case Leave():
                self._leave(node, told=happening.told)
            case Show():
                self.air.show(node, Sighting(happening.sighting))
            case Begin():
                self.flows.begin(node)
            case End():
                self.flows.end(node)
            case Expect(_, place):
                if node.place is not None:
                    target = self.world.machines[place].address
                    node.expected = self.world.now
                    self.world.machines[node.place].tell(HandoverExpected(node.link_layer, target))
            case Late(_, place, interface):
                if node.place != place:
                    self._trouble()
                    seen = NodeSeen(interface, node.link_layer, Sighting.NEIGHBOUR)
                    self.world.machines[place].tell(seen)
            case _:
                assert_never(happening)

    def _roam(self, roam: Roam, node: Node) -> None:
        self._leave(node, told=roam.told)
        if roam.gap:
            self.world.run(roam.gap)
        self.air.arrive(node, self.world.machines[roam.place], roam.interface, Sighting(roam.sighting))
        self.cast.moved(node)

    def _leave(self, node: Node, *, told: bool) -> None:
        if node.place is not None:
            self.air.leave(node, told=told)
            self.cast.moved(node)

    def _to_machine(
        self, happening: Die | Boot | Pause | Refuse | LinkFails | Step | Drift | Operate, machine: Machine
    ) -> None:
        match happening:
            case Die(_, fuse, power):
                self._kill(machine, fuse, power=power)
            case Boot(_, store):
                self._boot(machine, store=store)
            case Pause(_, for_):
                machine.pause()
                self.world.later(for_, lambda each: each.resume(), machine)
            case Refuse():
                self._refuse(machine, happening)
            case LinkFails(_, interface, for_):
                self.air.fail(machine, interface)
                self.world.later(for_, lambda each: self.air.mend(each, interface), machine)
            case Step(_, by):
                machine.clock.step(by)
            case Drift(_, rate):
                machine.run_clock_at(rate)
            case Operate(_, verb, ()) if verb in self.cast.commands:
                machine.tell(self.cast.commands[verb](machine))
            case Operate(_, verb, arguments):
                machine.tell(Commanded(verb, self.cast.spelled(machine, verb, dict(arguments))))
            case _:
                assert_never(happening)

    def _kill(self, machine: Machine, fuse: int, *, power: bool) -> None:
        if power:
            machine.lose_power()
        elif fuse and machine.driver is not None:
            machine.fuse = fuse
        else:
            machine.die()

    def _boot(self, machine: Machine, *, store: bool) -> None:
        if machine.driver is not None:
            return
        if not store:
            machine.store.clear()
        if not store or machine.disk_is_behind:
            self.cast.forgot(machine)
        machine.boot()
        self.air.greet(machine)

    def _refuse(self, machine: Machine, refuse: Refuse) -> None:
        """The latest refusal counts."""
        self._refusals[machine.name] = refuse
        asked = 0

        def refuses(effect: object) -> bool:
            nonlocal asked
            kind = "disk" if effect is None else "access" if isinstance(effect, _ON_LINKS) else "kernel"
            if kind != refuse.what or (kind == "kernel" and not type(effect).__name__.startswith("Ensure")):
                return False
            asked += 1
            return asked % refuse.nth == 0

        machine.refuses = refuses
        self.world.later(refuse.for_, self._accept, refuse)

    def _accept(self, refuse: Refuse) -> None:
        if self._refusals.get(refuse.machine) is refuse:
            del self._refusals[refuse.machine]
            self.world.machines[refuse.machine].refuses = None
            self._trouble()

    def _cut(self) -> None:
        network = self.world.network
        network.cut.clear()
        for cut in self._cuts:
            network.cut.update((a, b) for a in cut.here for b in cut.there)
            if cut.both:
                network.cut.update((b, a) for a in cut.here for b in cut.there)

    def _heal(self, cut: Cut) -> None:
        if cut in self._cuts:
            self._cuts.remove(cut)
            self._trouble()
            self._cut()

    def _mended(self, fail: Fail) -> None:
        if fail in self._failing:
            self._failing.remove(fail)
            self._trouble()

    # --- how it ends ----------------------------------------------------------------------------------------------

    def _repair_all(self) -> None:
        """Everything works from now on."""
        self.weather.set(*FINE)
        self._failing.clear()
        self.cast.repair()
        for cut in list(self._cuts):
            self._heal(cut)
        for refuse in list(self._refusals.values()):
            self._accept(refuse)
        for name, interface in sorted(self.air.down):
            self.air.mend(self.world.machines[name], interface)
        for machine in self.world.machines.values():
            machine.resume()
            machine.fuse = None
            self._boot(machine, store=True)
        self._trouble()

    def _be_quiet(self) -> None:
        """Nodes stay where they are and show themselves."""
        self._repair_all()
        patience = self.cast.patience
        self._until(self.cast.truth.settled, patience.settled, shows=True)
        self._until(self.cast.truth.quiet, patience.quiet, shows=True)
        stays = self.world.now + patience.stays
        while self.world.now < stays and not self.faults:
            self._show_all()
            self._pass(2 * LOOK)
            self._look()
        self._until(self.cast.truth.quiet, patience.quiet, shows=True)

    def _be_idle(self) -> None:
        self.flows.end_all()
        self._until(self.cast.truth.idle, self.cast.patience.idle, shows=True)

    def _be_empty(self) -> None:
        for number, node in enumerate(self.air.nodes.values()):
            self._leave(node, told=number % 2 == 0)
        self._until(self.cast.truth.empty, self.cast.patience.empty, shows=False)

    def _until(self, wrong: Callable[[], list[str]], patience: Duration, *, shows: bool) -> None:
        """`wrong` has nothing to say in time."""
        end = self.world.now + patience
        while not self.faults:
            if shows:
                self._show_all()
            self._pass(LOOK)
            self._look()
            faults = wrong() if not self.faults else []
            if not faults or self.faults:
                return
            if self.world.now >= end:
                self._note(faults)

    def _show_all(self) -> None:
        for node in self.air.nodes.values():
            self.air.show(node, Sighting.NEIGHBOUR)
