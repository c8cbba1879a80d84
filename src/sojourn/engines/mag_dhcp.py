"""What a MAG answers to hosts that ask by DHCP: what the LMA assigned to their sessions, and nothing else.

Addresses in home prefixes by DHCPv6 (RFC 5213 6.11), the IPv4 home address by DHCPv4 (RFC 5844 3.4.1). Every MAG of a
domain answers as the same server, so a host renews where it is and keeps its addresses; what it gives back stays with
its session, which the LMA ends. Prefixes for what is behind a host are those that the LMA delegated to it (RFC 7148,
`mag_delegation`): a host that asks is registered anew with the wish for one, and answered when the LMA has answered.
"""

from __future__ import annotations

from sojourn.core.effects import SendDhcp
from sojourn.core.events import DhcpReceived
from sojourn.engines.access_dhcp import AccessDhcp
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.access_state import TUNNEL_OVERHEAD
from sojourn.engines.configuration import OFF
from sojourn.engines.dhcp_service import DhcpServers
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Holdings
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.engines.mag_dhcp_relay import NotRelayed, read_reply, to_node, to_server
from sojourn.engines.mag_registration import MagRegistration
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import Handoff
from sojourn.wire.addresses import Address, Prefix, from_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import DhcpType, decode_dhcpv4

_BROADCAST = from_ipv4(b"\xff\xff\xff\xff")
_LINK_ROUTER = from_ipv4(bytes((169, 254, 1, 1)))
"""Who tells a node that has no IPv4 home address so; it is on every link and nobody's."""


class MagDhcp(AccessDhcp[BindingUpdateListEntry], MagRegistration):
    """DHCP, as the node's MAG answers it."""

    def _open_dhcp(self) -> None:
        configuration = self.configuration
        if configuration.dhcpv6 is not OFF:
            lifetime = configuration.preferred_lifetime
            self.dhcp = self._serve_dhcpv6(lifetime // 2, lifetime)
        if configuration.ipv4:
            self.dhcp = self.dhcp or DhcpServers()
            domain = configuration.domains[0] if configuration.domains else ""
            mtu, lease = configuration.mtu - TUNNEL_OVERHEAD, configuration.dhcp_lease
            self.dhcp.v4 = Dhcpv4Server(Dhcpv4Settings(_LINK_ROUTER, lease, mtu, configuration.dns, domain))

    @property
    def _relays_dhcp(self) -> bool:  # type: ignore[override]
        return self.configuration.dhcp_relay is not None

    def _answer_dhcpv4(self, server: Dhcpv4Server, event: DhcpReceived, node: bytes, patient: bool) -> None:
        """Or another server does (RFC 5844 3.4.2)."""
        session, relay = self.sessions[node], self.configuration.dhcp_relay
        home = session.home if session.confirmed else None
        if relay is None or home is None or not home.relayed:
            super()._answer_dhcpv4(server, event, node, patient)
            return
        message = decode_dhcpv4(event.payload)
        server.check(message, event.link_layer)
        if message.kind == DhcpType.RELEASE and message.client == to_ipv4(home.address):
            self._release_home_ipv4(session)
        if event.destination != _BROADCAST:
            return  # it goes to the server by itself
        try:
            payload = to_server(message, relay.address, home)
        except NotRelayed as refusal:
            self._report("dhcp-not-relayed", node=node, reason=str(refusal))
            return
        self._do(SendDhcp("", b"", relay.address, relay.server, payload))

    def _on_dhcp_answered(self, event: DhcpReceived) -> None:
        """3.4.2: the relay "will ensure the assigned address is currently assigned by the local mobility anchor"."""
        relay = self.configuration.dhcp_relay
        if relay is None or event.source != relay.server:
            return
        try:
            message = read_reply(event.payload, relay.address)
            session = self.sessions.get(identifier(message.hardware))
            if session is None or session.presence is not SERVED or session.home is None or not session.confirmed:
                raise NotRelayed("an answer to a node that is not here")
            destination, payload = to_node(message, session.home)
        except NotRelayed as refusal:
            self._report("dhcp-not-relayed", reason=str(refusal))
            return
        self._do(SendDhcp(session.interface, session.link_layer, session.home.router, destination, payload))

    def _quiet(self, session: BindingUpdateListEntry) -> None:
        super()._quiet(session)
        self._forget_question(session.node)

    def _dhcp_router(self, node: bytes) -> Address:
        return self.sessions[node].link_local or self.configuration.link_local

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        session = self.sessions[node]
        told, delegation = tuple(self._advertised(session)[2]), self._delegation()
        if delegation is None:
            return Holdings(told, (), self._is_settled(session))
        settled = self._is_settled(session) and not delegation.awaits(session)
        return Holdings(told, delegation.delegated(session), settled)

    def _delegation(self) -> DelegationAtMag | None:
        return next((one for one in self.extensions if isinstance(one, DelegationAtMag)), None)

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        session = self.sessions[node]
        asked = session.home is None and self._asks_ipv4(session) and self._is_being_registered(session)
        return session.home if session.confirmed else None, self._is_settled(session) and not asked

    def _is_settled(self, session: BindingUpdateListEntry) -> bool:
        """Whether the LMA has answered, if it was asked at all."""
        return session.confirmed or session.visitor is not None

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        """The LMA gives what it gives; a prefix to delegate it gives when it is asked (RFC 7148 5.1.3.1).

        An address that the node gave back is asked for when it wants one again (RFC 5844 3.2.3.3).
        """
        session = self.sessions[node]
        if ipv4 and session.ipv4_released:
            session.ipv4_released = False
            self._register_home(session, Handoff.NOT_CHANGED)
        delegation = self._delegation()
        if delegation is not None and not ipv4:
            delegation.ask(self.sessions[node])

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        """Addresses are those of the session, and end with it; a delegated prefix ends when it is not renewed."""
        delegation = self._delegation()
        if delegation is not None and not prefix.is_ipv4:
            delegation.leased(self.sessions[node], self.configuration.preferred_lifetime)

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        """Only delegated prefixes are leased here; an IPv4 home address is the LMA's again (RFC 5844 3.4.2)."""
        if prefix.is_ipv4:
            self._release_home_ipv4(self.sessions[node])
        delegation = self._delegation()
        if delegation is not None and not prefix.is_ipv4:
            delegation.give_back(self.sessions[node])
