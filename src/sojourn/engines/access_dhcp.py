"""DHCP at an access router of either kind: hosts ask on its links, and it answers for what their sessions hold."""

from __future__ import annotations

from sojourn.core.events import DhcpReceived, NodeSeen, Sighting
from sojourn.engines.access_presence import PresenceProcedures, identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.access_state import S
from sojourn.engines.configuration import STATEFUL
from sojourn.engines.dhcp_service import DhcpServers, DhcpService
from sojourn.engines.dhcpv6 import Dhcpv6Server, Dhcpv6Settings
from sojourn.wire.addresses import ANY_IPV4
from sojourn.wire.dhcpv6 import link_layer_duid
from sojourn.wire.units import Duration


class AccessDhcp(DhcpService, PresenceProcedures[S]):
    """What a MAAR and a MAG do alike."""

    def _serve_dhcpv6(self, renew: Duration, lease: Duration) -> DhcpServers:
        """A server of DHCPv6 for the nodes here: they renew after `renew` at the latest, `lease` is for delegation."""
        configuration = self.configuration
        stateful = configuration.dhcpv6 is STATEFUL
        duid = link_layer_duid(configuration.link_layer)
        settings = Dhcpv6Settings(duid, stateful, renew, lease, configuration.dns, configuration.domains)
        return DhcpServers(v6=Dhcpv6Server(settings))

    def _on_dhcp_received(self, event: DhcpReceived) -> None:
        """A question is a sign of life too, and of a node without IPv6 perhaps the first one."""
        if not event.interface:
            self._on_dhcp_answered(event)
            return
        own = None if event.source == ANY_IPV4.address else event.source
        self._on_node_seen(NodeSeen(event.interface, event.link_layer, Sighting.DHCP, own))
        session = self.sessions.get(identifier(event.link_layer))
        if session is not None and session.presence is SERVED:
            self._on_dhcp(event, session.node)

    def _on_dhcp_answered(self, event: DhcpReceived) -> None:
        """A DHCP server answers; nobody asked it."""
