"""DHCP on the access link of a router of either kind: messages in, answers out, leases kept.

What a host may have is known to the role; it provides the five functions at the end. A question that cannot be
answered before the anchor or the database was heard waits, the latest one of each host, and is answered then
(RFC 5844 3.4.1). A role that has to ask an anchor for what it grants says so by not being settled until it knows.
"""

from __future__ import annotations

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


class DhcpService(OutboxEngine):
    """The procedures of DHCP, for an engine with an access link."""

    _dhcpv6: Dhcpv6Server | None = None
    _dhcpv4: Dhcpv4Server | None = None
    _dhcp_router: Address = bytes(16)
    """The link-local address that answers come from."""

    def _on_dhcp(self, event: DhcpReceived, node: bytes, *, patient: bool = True) -> None:
        """A message of `node`, which is here. What is not answered is counted."""
        self._questions.pop(node, None)
        try:
            if is_ipv4(event.source):
                self._answer_dhcpv4(event, node, patient)
            else:
                self._answer_dhcpv6(event, node, patient)
        except DecodeError as error:
            self._report("dhcp-malformed", interface=event.interface, reason=str(error))
        except Discarded as discarded:
            self._report("dhcp-discarded", interface=event.interface, reason=str(discarded))
        except NotYet:
            self._questions[node] = event
            if patient:
                self._after(_PATIENCE, "dhcp", node)

    def _on_patience_over(self, node: bytes) -> None:
        """Nobody said what the host has. What it has not may be given; what it says that it has is left open."""
        event = self._questions.pop(node, None)
        if event is not None:
            self._on_dhcp(event, node, patient=False)

    def _on_settled(self, node: bytes) -> None:
        """It is known now what the host has: a question that waited is answered."""
        event = self._questions.pop(node, None)
        if event is not None:
            self._on_dhcp(event, node)

    def _answer_dhcpv6(self, event: DhcpReceived, node: bytes, patient: bool) -> None:
        if self._dhcpv6 is None:
            return
        message = decode_dhcpv6(event.payload)
        multicast = event.destination == _ALL_SERVERS
        self._dhcpv6.check(message, multicast)
        holdings = self._dhcp_holdings(node)
        if multicast and self._dhcpv6.wants_delegation(message) and not holdings.delegated:
            if not holdings.settled and (patient or message.kind in (MessageType.RENEW, MessageType.REBIND)):
                raise NotYet
            self._grant(node, ipv4=False)
            holdings = self._dhcp_holdings(node)
            if not holdings.delegated and not holdings.settled and patient:
                raise NotYet
        answer = self._dhcpv6.answer(message, holdings, multicast)
        payload = answer.message.encode()
        if answer.committed:
            for prefix in holdings.delegated if self._dhcpv6.wants_delegation(message) else ():
                self._commit(node, prefix)
        for prefix in answer.released:
            self._give_back(node, prefix)
        self._do(SendDhcp(event.interface, event.link_layer, self._dhcp_router, event.source, payload))

    def _answer_dhcpv4(self, event: DhcpReceived, node: bytes, patient: bool) -> None:
        if self._dhcpv4 is None:
            return
        message = decode_dhcpv4(event.payload)
        self._dhcpv4.check(message, event.link_layer)
        home, settled = self._dhcp_home(node)
        if home is None and self._dhcpv4.wants_address(message):
            if not settled and patient:
                raise NotYet
            self._grant(node, ipv4=True)
            home, settled = self._dhcp_home(node)
            if home is None and not settled and patient:
                raise NotYet
        answer = self._dhcpv4.answer(message, home, settled)
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

    _questions: dict[bytes, DhcpReceived]
    """The question of each host that waits for an answer of others."""

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
