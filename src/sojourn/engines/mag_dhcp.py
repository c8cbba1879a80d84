"""What DHCP gives a node at a MAG: addresses in its home prefixes, and its IPv4 home address (RFC 5213 6.11, RFC 5844).

The LMA assigns both, the MAG is the server (RFC 5844 3.4.1). What a node releases stays with its session, which the LMA
ends; what it asks for before the LMA answered waits for that.
"""

from __future__ import annotations

from sojourn.core.events import DhcpReceived, NodeSeen, Sighting
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.access_state import TUNNEL_OVERHEAD
from sojourn.engines.configuration import OFF, STATEFUL
from sojourn.engines.dhcp_service import DhcpServers, DhcpService
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Dhcpv6Server, Dhcpv6Settings, Holdings
from sojourn.engines.mag_registration import MagRegistration
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire.addresses import ANY_IPV4, Address, Prefix
from sojourn.wire.dhcpv6 import link_layer_duid

_LINK_ROUTER = bytes(10) + b"\xff\xff" + bytes((169, 254, 1, 1))
"""Who tells a node that has no home address so."""


class MagDhcp(DhcpService, MagRegistration):
    """DHCP, as the node's MAG answers it."""

    def _open_dhcp(self) -> None:
        """The servers that the configuration asks for."""
        configuration = self.configuration
        self._flags = (configuration.dhcpv6 is STATEFUL, configuration.dhcpv6 is not OFF, configuration.slaac)
        if configuration.dhcpv6 is OFF and not configuration.ipv4:
            return
        self.dhcp = DhcpServers()
        lease = configuration.dhcp_lease
        if configuration.dhcpv6 is not OFF:
            duid, stateful = link_layer_duid(configuration.link_layer), configuration.dhcpv6 is STATEFUL
            self.dhcp.v6 = Dhcpv6Server(
                Dhcpv6Settings(duid, stateful, lease // 2, lease, configuration.dns, configuration.domains)
            )
        if configuration.ipv4:
            domain = configuration.domains[0] if configuration.domains else ""
            mtu = configuration.mtu - TUNNEL_OVERHEAD
            self.dhcp.v4 = Dhcpv4Server(Dhcpv4Settings(_LINK_ROUTER, lease, mtu, configuration.dns, domain))

    def _on_dhcp_received(self, event: DhcpReceived) -> None:
        """A question is a sign of life too, and of a node without IPv6 perhaps the first one."""
        own = None if event.source == ANY_IPV4.address else event.source
        self._on_node_seen(NodeSeen(event.interface, event.link_layer, Sighting.DHCP, own))
        session = self.sessions.get(identifier(event.link_layer))
        if session is not None and session.presence is SERVED:
            self._on_dhcp(event, session.node)

    def _quiet(self, session: BindingUpdateListEntry) -> None:
        super()._quiet(session)
        self._forget_question(session.node)

    # --- what it has ----------------------------------------------------------------------------------------------

    def _dhcp_router(self, node: bytes) -> Address:
        return self.sessions[node].link_local or self.configuration.link_local

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        session = self.sessions[node]
        settled = session.confirmed or session.visitor is not None
        return Holdings(tuple(self._advertised(session)[2]), (), settled)

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        session = self.sessions[node]
        return session.home if session.confirmed else None, session.confirmed or session.visitor is not None

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        """The LMA was asked already."""

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        """It has it as long as its session."""

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        """The same."""
