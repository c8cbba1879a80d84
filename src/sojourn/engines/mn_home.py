"""A mobile node that comes home (RFC 6275 11.5.5), and what becomes of an address that somebody else has."""

from __future__ import annotations

from sojourn.core.effects import WithdrawUplink
from sojourn.core.events import AddressProbed
from sojourn.core.mobile_effects import (
    AnnounceAddress,
    EnsureHomeAddress,
    ProbeAddress,
    ProbeRouter,
    WithdrawHomeAddress,
    WithdrawReverseTunnel,
)
from sojourn.engines.mip6_request import LINK_LOCAL, defended
from sojourn.engines.mn_state import LEAVE, TAKEN, HomeEntry, Place
from sojourn.engines.mn_ways import MnWays
from sojourn.wire.units import MINUTE, Duration

_TAKEN_FOR: Duration = 10 * MINUTE
"""Until an address that somebody has is tried again."""


class MnHome(MnWays):
    """The mobile node as a host of its home link."""

    def _be_home(self, entry: HomeEntry, interface: str) -> None:
        """RFC 6275 11.5.5; without a binding there is nobody to tell, but perhaps somebody took the address."""
        if entry.place in (Place.HOME, Place.RETURNING) and entry.interface == interface:
            return
        entry.taken_at = ()
        came_from = entry.place
        entry.interface, entry.care_of = interface, None
        entry.arrived = entry.contested = False
        self._cancel_requests(entry)
        self._on_moved(entry)
        self._timers.stop_all((kind, entry.address) for kind in ("again", "refresh"))
        if entry.agent is not None and (entry.perhaps_bound(self._now) or came_from is Place.AWAY):
            self._return(entry)
        elif entry.local:
            self._arrive_home(entry)  # the kernel made it on this link
        else:
            entry.place = Place.HOME
            self._do(ProbeAddress(interface, entry.address))

    def _return(self, entry: HomeEntry) -> None:
        """Tell the home agent, from the home address itself."""
        entry.place = Place.RETURNING
        self._doubt(entry)
        self._do(EnsureHomeAddress(entry.address, entry.interface, preferred=True))
        self._unsteer(entry)
        self._do(WithdrawReverseTunnel(entry.address))
        self._requests.start(self._key(entry, LEAVE), self._home_update(entry, 0), self._now)

    def _doubt(self, entry: HomeEntry) -> None:
        """A link with other routers that became the home link: are the routers there who said so? Anybody on a link
        may pretend (RFC 4861 11.1); one that is not there must not keep the node from its tunnel.
        """
        routers = self.links[entry.interface].routers if entry.interface in self.links else {}
        said = [source for source, router in routers.items() if entry.home.prefix in router.prefixes]
        if len(said) < len(routers):
            for source in said:
                self._do(ProbeRouter(entry.interface, source))

    def _on_probed(self, event: AddressProbed) -> None:
        """Duplicate Address Detection of a home address that is taken up at home without a binding.

        Who has it may be the home agent, for a binding of an earlier life of this node.
        """
        entry = self.homes.get(event.address)
        if entry is None or entry.place is not Place.HOME or entry.interface != event.interface:
            return
        if not event.duplicate:
            self._arrive_home(entry)
        elif entry.agent is not None and not entry.contested:
            entry.contested = True
            self._return(entry)
        else:
            self._be_taken(entry)

    def _be_taken(self, entry: HomeEntry) -> None:
        """Perhaps by a home agent that this node does not know of, with a binding of an earlier life: that ends."""
        self._stop(entry, TAKEN)
        self._after(_TAKEN_FOR, "again", entry.address)

    def _arrive_home(self, entry: HomeEntry) -> None:
        entry.place, entry.expires, entry.registered, entry.arrived = Place.HOME, 0, None, True
        self._let_go(entry)
        self._do(EnsureHomeAddress(entry.address, entry.interface, preferred=True))
        self._do(WithdrawReverseTunnel(entry.address))
        for network in entry.home.networks:
            self._do(WithdrawUplink(network))
        for address in defended(entry.address, LINK_LOCAL if entry.home.link_local else 0):
            self._do(AnnounceAddress(entry.interface, address))
        self._report("home", home=entry.address)
        self._on_home(entry)
        self._reconsider()

    def _stop(self, entry: HomeEntry, why: str) -> None:
        entry.stopped, entry.expires, entry.registered = why, 0, None
        entry.place, entry.care_of, entry.arrived = Place.NOWHERE, None, False
        self._cancel_requests(entry)
        self._let_go(entry)
        self._on_moved(entry)
        self._block(entry)
        self._do(WithdrawHomeAddress(entry.address))
        self._report("stopped", home=entry.address, reason=why)
