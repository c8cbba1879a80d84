"""What a MAG answers to hosts that ask by DHCPv6: addresses in the home prefixes that the LMA assigned (RFC 5213 6.10).

Every MAG of a domain answers as the same server, so a host renews where it is and keeps its addresses. Left out: IPv4
home addresses and delegated prefixes, for which the LMA would have to be asked (RFC 5844, RFC 7148).
"""

from __future__ import annotations

from sojourn.engines.access_dhcp import AccessDhcp
from sojourn.engines.configuration import OFF
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.dhcpv6 import Holdings
from sojourn.engines.mag_registration import MagRegistration
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire.addresses import Address, Prefix


class MagDhcp(AccessDhcp[BindingUpdateListEntry], MagRegistration):
    """DHCPv6, as the node's MAG answers it."""

    def _open_dhcp(self) -> None:
        configuration = self.configuration
        if configuration.dhcpv6 is not OFF:
            lifetime = configuration.preferred_lifetime
            self.dhcp = self._serve_dhcpv6(lifetime // 2, lifetime)

    def _quiet(self, session: BindingUpdateListEntry) -> None:
        super()._quiet(session)
        self._forget_question(session.node)

    def _dhcp_router(self, node: bytes) -> Address:
        return self.sessions[node].link_local or self.configuration.link_local

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        session = self.sessions[node]
        known = session.confirmed or session.visitor is not None
        return Holdings(tuple(self._advertised(session)[2]), (), known)

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        return None, True

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        """The LMA gives what it gives."""

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        """Addresses are those of the session, and end with it."""

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        """Nothing is leased here."""
