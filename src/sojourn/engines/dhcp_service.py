"""DHCP on the access link of a router of either kind: messages in, answers out, leases kept.

What a host may have is known to the role; it provides the functions at the end. A question that cannot be
answered before the anchor or the database was heard waits, the latest one of each host, and is answered then
(RFC 5844 3.4.1). A role that has to ask an anchor for what it grants says so by not being settled until it knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sojourn.core.effects import SendDhcp
from sojourn.core.events import DhcpReceived
from sojourn.engines.base import OutboxEngine
from sojourn.engines.dhcp import Discarded, NotYet
from sojourn.engines.dhcpv4 import Dhcpv4Server, Home
from sojourn.engines.dhcpv6 import Dhcpv6Server, Holdings
from sojourn.wire import DecodeError
from sojourn.wire.addresses import Address, Prefix, is_ipv4
from sojourn.wire.dhcpv4 import decode_dhcpv4
from sojourn.wire.dhcpv6 import MessageType, decode_dhcpv6
from sojourn.wire.units import SECOND

_ALL_SERVERS: Address = bytes.fromhex("ff020000000000000000000000010002")
"""All_DHCP_Relay_Agents_and_Servers (RFC 8415 7.1)."""
_PATIENCE = 2 * SECOND
"""A database that is slow or dead keeps nobody waiting for a new address longer than this."""


@dataclass(slots=True)
class DhcpServers:
    """What answers on the access links."""

    v6: Dhcpv6Server | None = None
    v4: Dhcpv4Server | None = None
    questions: dict[bytes, DhcpReceived] = field(default_factory=dict)
    """The question of each host that waits for an answer of others."""


class DhcpService(OutboxEngine):
    """The procedures of DHCP, for an engine with an access link."""

    dhcp: DhcpServers | None = None
    """None where hosts that ask are not answered."""

    def _on_dhcp(self, event: DhcpReceived, node: bytes, *, patient: bool = True) -> None:
        """A message of `node`, which is here. What is not answered is counted."""
        if self.dhcp is None:
            return
        self.dhcp.questions.pop(node, None)
        try:
            if is_ipv4(event.source):
                if self.dhcp.v4 is not None:
                    self._answer_dhcpv4(self.dhcp.v4, event, node, patient)
            elif self.dhcp.v6 is not None:
                self._answer_dhcpv6(self.dhcp.v6, event, node, patient)
        except DecodeError as error:
            self._report("dhcp-malformed", interface=event.interface, reason=str(error))
        except Discarded as discarded:
            self._report("dhcp-discarded", interface=event.interface, reason=str(discarded))
        except NotYet:
            self.dhcp.questions[node] = event
            if patient:
                self._after(_PATIENCE, "dhcp", node)

    def _on_patience_over(self, node: bytes) -> None:
        """Nobody said what the host has. What it has not may be given; what it says that it has is left open."""
        event = self._forget_question(node)
        if event is not None:
            self._on_dhcp(event, node, patient=False)

    def _on_settled(self, node: bytes) -> None:
        """It is known now what the host has: a question that waited is answered."""
        event = self._forget_question(node)
        if event is not None:
            self._on_dhcp(event, node)

    def _forget_question(self, node: bytes) -> DhcpReceived | None:
        """The question of the host that waits, which waits no longer."""
        return None if self.dhcp is None else self.dhcp.questions.pop(node, None)

    def _answer_dhcpv6(self, server: Dhcpv6Server, event: DhcpReceived, node: bytes, patient: bool) -> None:
        message = decode_dhcpv6(event.payload)
        multicast = event.destination == _ALL_SERVERS
        server.check(message, multicast)
        holdings = self._dhcp_holdings(node)
        if multicast and server.wants_delegation(message) and not holdings.delegated:
            if not holdings.settled and (patient or message.kind in (MessageType.RENEW, MessageType.REBIND)):
                raise NotYet
            self._grant(node, ipv4=False)
            holdings = self._dhcp_holdings(node)
            if not holdings.delegated and not holdings.settled and patient:
                raise NotYet
        answer = server.answer(message, holdings, multicast)
        payload = answer.message.encode()
        if answer.committed:
            for prefix in holdings.delegated if server.wants_delegation(message) else ():
                self._commit(node, prefix)
        for prefix in answer.released:
            self._give_back(node, prefix)
        self._do(SendDhcp(event.interface, event.link_layer, self._dhcp_router(node), event.source, payload))

    def _answer_dhcpv4(self, server: Dhcpv4Server, event: DhcpReceived, node: bytes, patient: bool) -> None:
        message = decode_dhcpv4(event.payload)
        server.check(message, event.link_layer)
        home, settled = self._dhcp_home(node)
        if home is None and server.wants_address(message):
            if not settled and patient:
                raise NotYet
            self._grant(node, ipv4=True)
            home, settled = self._dhcp_home(node)
            if home is None and not settled and patient:
                raise NotYet
        answer = server.answer(message, home, settled)
        prefix = None if home is None else Prefix(home.address, 128)
        if prefix is not None and answer.committed:
            self._commit(node, prefix)
        elif prefix is not None and (answer.released or answer.declined):
            self._give_back(node, prefix)
            if answer.declined:
                self._report("ipv4-address-declined", node=node, address=prefix)
        if answer.message is not None:
            payload = answer.message.encode()
            self._do(SendDhcp(event.interface, event.link_layer, answer.source, answer.destination, payload))

    # --- what the role provides -----------------------------------------------------------------------------------

    def _dhcp_router(self, node: bytes) -> Address:
        """The link-local address by which it knows us."""
        raise NotImplementedError

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        """What it has in IPv6."""
        raise NotImplementedError

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        """Its IPv4 home address, and whether it is certain that there is no other."""
        raise NotImplementedError

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        """It asks for an IPv4 home address, or for a prefix to delegate: it has one afterwards, if that may be."""
        raise NotImplementedError

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        """It was told that `prefix` is its own for a whole lease."""
        raise NotImplementedError

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        """It does not want `prefix` any more."""
        raise NotImplementedError
