"""A MAAR goes out of service: it anchors nothing new, and waits until nobody needs what it anchors.

Not of RFC 8885, whose anchors stay. What an operator wants before maintenance is that new sessions begin elsewhere and
old ones end in peace, so while a MAAR drains

* a node that comes gets no prefix of its pool, and is registered as one that has none here; what other anchors gave it
  is preferred then, as it has nothing newer;
* prefixes that it gave to nodes that are here are deprecated (RFC 4862 5.5.4); other routers do so anyway;
* prefixes of nodes elsewhere retire as ever, after `hold` without a packet, which may be shorter than ``idle_hold``.

With a partner (`maar_stand_in`) nobody need wait: told so, it takes the pool over while everything still works, and
sessions go on there.

It is over when nobody is here and nothing is anchored (or the partner holds it), which is reported once, or when it is
called off. A restart ends
it, as a daemon that starts is meant to serve.
"""

from __future__ import annotations

from sojourn.engines.maar_session import AWAY, Session
from sojourn.engines.maar_state import Drain, MaarState
from sojourn.engines.stand_in import Survival
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Duration

_AGAIN: Duration = 1 * SECOND
"""A partner that does not say that it holds our pool is asked again."""
_APART: Duration = 1 * MILLISECOND
"""Between the advertisements of two nodes: a router has thousands."""


class DrainProcedures(MaarState):
    """How a drain begins, goes on and ends."""

    survival: Survival | None

    def _on_drain_command(self, arguments: dict[str, str]) -> None:
        """``drain``, with ``hold`` in seconds, ``to=partner``, or ``off=yes``; once more, it tells how far it is."""
        try:
            hold = int(arguments["hold"]) * SECOND if "hold" in arguments else None
        except ValueError:
            hold = -1
        if set(arguments) - {"hold", "off", "to"} or (hold is not None and hold < 0):
            self._report("command-refused", verb="drain", reason="expected hold=SECONDS, to=partner or off=yes")
            return
        if "to" in arguments and (arguments["to"] != "partner" or self._partner() is None):
            self._report("command-refused", verb="drain", reason="there is no partner, or nobody is missed (liveness)")
            return
        if arguments.get("off") == "yes":
            self._end_drain()
            return
        if self.drain is None:
            self.drain = Drain(self.configuration.idle_hold)
            self._tell_nodes()
        if hold is not None:
            self.drain.hold = hold
        if "to" in arguments and not self.drain.handed:
            self.drain.handed = True
            self._hand_over()
        self._report("draining", **self._left())
        self._look_whether_drained()

    def _end_drain(self) -> None:
        if self.drain is None:
            return
        if self.drain.handed and self.survival is not None:
            self.survival.liveness.begin_anew()
        self.drain = None
        self._report("drain-ended")
        self._tell_nodes()

    def _partner(self) -> Address | None:
        return None if self.survival is None else self.configuration.partner

    def _hand_over(self) -> None:
        """Until the partner says that it holds our pool."""
        partner = self._partner()
        if self.drain is None or not self.drain.handed or self.survival is None or partner is None:
            return
        if self.survival.held:
            self._look_whether_drained()
            return
        self.survival.liveness.go(partner)
        self._after(_AGAIN, "drain", None)

    def _left(self) -> dict[str, int]:
        """What there is still to wait for."""
        here = sum(1 for session in self.sessions.values() if session.presence is not AWAY)
        away = sum(1 for session in self.sessions.values() if session.presence is AWAY and self._anchored_here(session))
        leased = sum(len(session.leased) for session in self.sessions.values())
        held = self.survival is not None and self.survival.held
        return {"here": here, "elsewhere": away, "leases": leased, **({"with_partner": 1} if held else {})}

    def _tell_nodes(self) -> None:
        """Those that are here, a little apart: what they prefer has changed."""
        for order, session in enumerate(self.sessions.values()):
            if session.presence is not AWAY:
                self._after(order * _APART, "advertise", session.node)

    def _look_whether_drained(self) -> None:
        if self.drain is None or self.drain.done:
            return
        held = self.survival is not None and self.survival.held
        if not any(
            session.presence is not AWAY or (self._anchored_here(session) and not held)
            for session in self.sessions.values()
        ):
            self.drain.done = True
            self._report("drained")

    def _remove(self, session: Session) -> None:
        super()._remove(session)
        self._look_whether_drained()
