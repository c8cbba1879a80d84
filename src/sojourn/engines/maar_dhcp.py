"""What DHCP gives a node at a MAAR: addresses in its prefixes, an IPv4 home address, a prefix to delegate.

The last two are *leased*: they stay with the node at the MAAR that gave them, wherever it roams, as long as it renews
them at the MAAR that serves it. They are prefixes beside its own one in every respect: registered, tunnelled, told to
previous and serving MAARs; an IPv4 address travels as the prefix that is mapped from it, since RFC 8885 has no option
for it. What makes them different is how they end: not by silence on the wire, but when the node gives them back or a
lease runs out at the serving MAAR, which then asks the database to retire them.
"""

from __future__ import annotations

from sojourn.engines.access_dhcp import AccessDhcp
from sojourn.engines.access_state import TUNNEL_OVERHEAD
from sojourn.engines.configuration import OFF, PROXY
from sojourn.engines.dhcp_service import DhcpServers
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Holdings
from sojourn.engines.leases import Leases, router_of
from sojourn.engines.maar_access import AccessProcedures
from sojourn.engines.maar_session import AWAY, SERVED, Session
from sojourn.wire import Handoff
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MINUTE, SECOND

_OFFER = 1 * MINUTE
"""What was offered and not taken goes back after this time; or sooner, when there is no other left to offer."""
_GATHERING = 3 * SECOND
"""Previous MAARs that answer by themselves, or through a CMD that does not wait for all, have done so by then."""


class DhcpProcedures(AccessDhcp[Session], AccessProcedures):
    """DHCP, as the node's MAAR answers it."""

    def _open_dhcp(self) -> None:
        """The servers that the configuration asks for."""
        configuration, leases = self.configuration, self.leases
        if leases is None:
            return
        self.dhcp = DhcpServers()
        if configuration.dhcpv6 is not OFF:
            self.dhcp = self._serve_dhcpv6(configuration.idle_hold // 2, configuration.dhcp_lease)
        if leases.subnets:
            self.dhcp.v4 = Dhcpv4Server(
                Dhcpv4Settings(
                    router_of(leases.subnets[0]),
                    configuration.dhcp_lease,
                    configuration.mtu - TUNNEL_OVERHEAD,
                    configuration.dns,
                    configuration.domains[0] if configuration.domains else "",
                )
            )

    def _quiet_leased(self, session: Session) -> None:
        self._forget_question(session.node)
        self._timers.stop_all(("lease", (session.node, prefix)) for prefix in self._leased(session))

    # --- what it has ----------------------------------------------------------------------------------------------

    def _dhcp_router(self, node: bytes) -> Address:
        return self.configuration.link_local

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        session = self.sessions[node]
        delegated = [prefix for prefix in self._leased(session) if not prefix.is_ipv4]
        told = self._advertised(session)[2]
        for anchor in session.logical:
            told += self._advertised_logical(session, anchor)
        return Holdings(tuple(told), tuple(delegated), self._is_settled(session))

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        session = self.sessions[node]
        prefix = next((prefix for prefix in self._leased(session) if prefix.is_ipv4), None)
        subnet = None if prefix is None or self.leases is None else self.leases.subnet(prefix)
        if prefix is None or subnet is None:
            return None, self._is_settled(session)
        return Home(prefix.address, subnet.length - 96, router_of(subnet)), self._is_settled(session)

    def _ipv4_home(self, session: Session) -> Home | None:
        return self._dhcp_home(session.node)[0]

    def _is_settled(self, session: Session) -> bool:
        """Whether all previous MAARs are known."""
        at_once = session.legacy or self.configuration.mode is PROXY
        return session.confirmed and (at_once or self._now - session.since >= _GATHERING)

    # --- giving and taking ----------------------------------------------------------------------------------------

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        session = self.sessions[node]
        leases = self.leases
        pool = None if leases is None else leases.ipv4_pool if ipv4 else leases.delegated_pool
        if leases is None or pool is None or session.legacy or self.drain is not None:  # an LMA gives what it gives
            return
        prefix = pool.allocate(self._now) or (self._displace_offer(leases, ipv4) and pool.allocate(self._now)) or None
        if prefix is None:
            self._report("dhcp-pool-exhausted", node=node, family="ipv4" if ipv4 else "delegated")
            return
        self._lease(session, prefix)
        leases.offers[prefix] = node
        self._serve(session)
        self._after(_OFFER, "lease", (node, prefix))

    def _displace_offer(self, leases: Leases, ipv4: bool) -> bool:
        """The oldest offer that nobody took makes room; whether there was one."""
        for prefix, node in leases.offers.items():
            if prefix.is_ipv4 == ipv4:
                self._take_back(self.sessions[node], prefix, rest=False)
                self._keep(self.sessions[node])
                return True
        return False

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        """Renewed for a whole lease; the first time, the database hears of it."""
        session = self.sessions[node]
        self._after(self.configuration.dhcp_lease, "lease", (node, prefix))
        if self._took_offer(prefix):
            self._register(session, Handoff.NOT_CHANGED)
            self._keep(session)
            self._report("leased", node=node, prefix=prefix)

    def _took_offer(self, prefix: Prefix) -> bool:
        """Whether it was only offered; it is so no longer."""
        return self.leases is not None and self.leases.offers.pop(prefix, None) is not None

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        """Released, or the lease is over: at us, or at the MAAR that anchors it, through the database."""
        session = self.sessions[node]
        if session.legacy and prefix in session.anchored:
            return  # the LMA gave it, for as long as the session
        self._report("lease-ended", node=node, prefix=prefix)
        if prefix in session.leased:
            self._take_back(session, prefix)
            if session.presence is SERVED:
                self._register(session, Handoff.NOT_CHANGED)
        elif prefix in session.anchored:
            self._ask_to_retire(session, prefix)
            self._remove_foreign(session, prefix)
        self._keep(session)

    def _on_lease_over(self, node: bytes, prefix: Prefix) -> None:
        session = self.sessions.get(node)
        if session is None or session.presence is AWAY or prefix not in self._leased(session):
            return
        if not self._took_offer(prefix):
            self._give_back(node, prefix)
            return
        self._take_back(session, prefix, rest=False)
        self._keep(session)
