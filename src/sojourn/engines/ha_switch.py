"""A home agent sends its mobile nodes elsewhere (RFC 5142): for maintenance, or to share load.

What a node is told first has a Binding Refresh Advice: it may keep this home agent until it has the next one (6.1), and
then nothing is lost. For that one the link is asked whether somebody has the home address (RFC 6275 10.3.1); so we do
not answer for it on the link any more, while packets that come to us go through the tunnel as before. Neighbours that
know us as the way to the address go on sending here, and others hear of the next home agent by its advertisement. A
node that did not go is told as RFC 5142 has it without the advice, and its address is answered for again.

The RFC leaves the protection to IPsec. Where a node shares a key with us, the message has an MN-HA option and a time
as Binding Acknowledgements have (RFC 4285), which is ours alone: no RFC says so, and none forbids it.
"""

from __future__ import annotations

from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_state import HaState
from sojourn.engines.mip6_configuration import HA_SWITCH_ADVICE, INITIAL_HA_SWITCH_TIMEOUT, MAX_HA_SWITCH_TIMEOUT
from sojourn.wire import BindingRefreshAdvice
from sojourn.wire.addresses import address
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import SECOND

RATE = 200
"""Nodes that are told in a second."""
PER_MESSAGE = 8
"""Home agents named in one message."""


class HaSwitch(HaState):
    """The home agent as the one that is about to leave."""

    def _on_switch(self, arguments: dict[str, str]) -> None:
        """``to``: addresses with commas, none: the node is to look for one. ``node``: a home address, none: all, at a
        pace of ``rate`` a second, so that neither they nor the other home agent are overrun (RFC 5142 5.1).
        """
        try:
            rate = max(1, int(arguments.get("rate", RATE)))
            agents = tuple(address(word.strip()) for word in arguments.get("to", "").split(",") if word.strip())
            chosen = {address(arguments["node"])} if arguments.get("node") else None
        except ValueError as error:
            self._report("command-malformed", verb="switch", reason=str(error))
            return
        active = [entry for entry in self.cache.values() if entry.state is BindingState.ACTIVE]
        for number, entry in enumerate(entry for entry in active if chosen is None or entry.home in chosen):
            self._switching[entry.home] = agents[:PER_MESSAGE], INITIAL_HA_SWITCH_TIMEOUT
            if number:
                self._after(number * SECOND // rate, "switch", entry.home)
            else:
                self._send_switch(entry)

    def _send_switch(self, entry: BindingCacheEntry) -> None:
        """Repeated until the node de-registers, or its binding ends (RFC 5142 5.2)."""
        known = self._switching.get(entry.home)
        if known is None or entry.state is not BindingState.ACTIVE or entry.home in self._revoking:
            self._switching.pop(entry.home, None)
            return
        agents, pause = known
        self._switching[entry.home] = agents, min(2 * pause, 2 * MAX_HA_SWITCH_TIMEOUT)
        self._after(min(pause, MAX_HA_SWITCH_TIMEOUT), "switch", entry.home)
        gently = pause == INITIAL_HA_SWITCH_TIMEOUT and bool(agents)
        entry.yielded = gently
        if gently:
            self._defend_no_more(entry)
        else:
            self._defend(entry)
        self._order(entry, HomeAgentSwitch(agents, (BindingRefreshAdvice(HA_SWITCH_ADVICE),) if gently else ()))
