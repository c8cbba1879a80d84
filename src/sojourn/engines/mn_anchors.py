"""Local home addresses at the anchors of visited networks (RFC 8818): one binding for each, while sessions use it.

A router that says it is a home agent (flag H), with an address of its own in a prefix (flag R), anchors the addresses
that the node makes of that prefix. New sessions use the address of the link where the node is, which is the nearest
anchor's. When the node leaves, sessions that are left keep their address: it is registered with its anchor, with the
key that all anchors know this node by, and looked after until nothing uses it.
"""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.mobile_effects import CountSessions, WithdrawHomeAddress, WithdrawReverseTunnel
from sojourn.engines.mip6_configuration import Home
from sojourn.engines.mn_state import LEAVE, HomeEntry, Link, MnState, Place
from sojourn.wire.addresses import Address, Prefix


class MnAnchors(MnState):
    """The mobile node as the one with several homes."""

    def _on_place_known(self, interface: str, care_of: Address | None) -> None:
        """What was made at an anchor and is not of the current link any more goes on as a local home address."""
        if self.configuration.anchors is None:
            return
        here: dict[Address, Home] = {}
        for link in self.links.values():
            here |= self._anchored(link)
        for address, home in self.anchored.items():
            if address not in here and address not in self.homes:
                self._adopt(home)
        before, self.anchored = self.anchored, here
        for address, entry in list(self.abandoned.items()):
            if address in here or not entry.perhaps_bound(self._now):
                del self.abandoned[address]
                if address not in self.homes and entry.perhaps_bound(self._now):
                    self.homes[address] = replace(entry, place=Place.NOWHERE)  # to be ended before it is used again
                    self._check_sessions()
        if interface and bool(before) != bool(here):
            for entry in self.homes.values():
                self._show_again(entry)

    def _anchored(self, link: Link) -> dict[Address, Home]:
        agents: dict[Prefix, Address] = {}
        for router in link.routers.values():
            agents.update(router.anchors)
        return {
            address: Home(address, known.prefix, agents[known.prefix], self.configuration.anchors)
            for address, known in link.addresses.items()
            if known.prefix in agents
        }

    def _adopt(self, home: Home) -> None:
        local = [entry for entry in self.homes.values() if entry.local]
        if len(local) >= self.configuration.anchors_max:
            self._report("too-many-anchors", home=home.address)
            return
        entry = HomeEntry(home, home.home_agent, local=True)
        entry.sequence = self._entropy.below(1 << 16)
        self.homes[home.address] = entry
        self._report("anchored", home=home.address, agent=home.home_agent)
        self._check_sessions()

    def _check_sessions(self) -> None:
        """Now, and again as long as there are local home addresses."""
        if any(entry.local for entry in self.homes.values()):
            self._do(CountSessions())
            self._after(self.configuration.session_check, "sessions", None)

    def _on_sessions_counted(self, sessions: dict[Address, int]) -> None:
        """Twice without a session, and the binding is not needed any more; without one it is never asked for."""
        for entry in [entry for entry in self.homes.values() if entry.local]:
            if sessions.get(entry.address, 0) > 0 or not self._is_unwanted(entry):
                entry.unused = False
            elif not entry.unused and entry.perhaps_bound(self._now):
                entry.unused = True
            elif entry.place is Place.AWAY and entry.perhaps_bound(self._now):
                if self._requests.get(self._key(entry, LEAVE)) is None:
                    self._leave(entry)
            elif not entry.perhaps_bound(self._now) and not entry.settled and not self._may_begin(entry):
                self._drop_local(entry)
                self._reconsider()
        if any(entry.local and entry.place is Place.NOWHERE for entry in self.homes.values()):
            self._reconsider()  # what was not to be a care-of address may be one now

    def _may_begin(self, entry: HomeEntry) -> bool:
        """Whether a session may begin with it unseen: its router was lost, but the address is still on the link, and
        works if the router is back before it is heard."""
        lost = entry.place is Place.NOWHERE and not entry.stopped
        return lost and any(link.up and entry.address in link.addresses for link in self.links.values())

    def _is_unwanted(self, entry: HomeEntry) -> bool:
        """Nothing but sessions is a reason to keep it."""
        return entry.local

    def _drop_local(self, entry: HomeEntry) -> None:
        """The address is given up."""
        self._cancel_requests(entry)
        for agent in entry.left:  # its binding ends by itself
            self._requests.cancel(self._key(entry, LEAVE, agent))
        kinds = ("again", "refresh", "expiry", "dhaad", "solicit", "solicit-later", "repair")
        self._timers.stop_all((kind, entry.address) for kind in kinds)
        self._forget_correspondents(entry)
        self._do(WithdrawReverseTunnel(entry.address))
        self._do(WithdrawHomeAddress(entry.address))
        del self.homes[entry.address]
        if entry.perhaps_bound(self._now) and len(self.abandoned) < self.configuration.anchors_max:
            self.abandoned[entry.address] = entry
        self._report("released", home=entry.address)
