"""A mobile router gets a prefix for what is behind it from a DHCPv6 server at the home agent (RFC 6276, RFC 8415 18.2).

It is the requesting router and its relay in one: what a client would say to all servers on a link goes to the home
agent from the home address, through the tunnel as all packets of that address, with the home address as link and as
peer (RFC 6276 3.1.2). The RFC wants a Home Address option and a routing header instead of the tunnel; a server's kernel
knows nothing of these. At home, where the RFC wants no relay, it is asked the same way.

The home agent has the prefix in its configuration, as the server has (implicit mode, 3.1). What a server gives must be
of the length that was asked for: filters are made for that length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sojourn.core.effects import EnsureUplink, WithdrawUplink
from sojourn.core.events import DhcpReceived
from sojourn.core.mobile_effects import SendDhcpv6
from sojourn.engines.mn_state import HomeEntry, MnState, Place
from sojourn.wire import DecodeError
from sojourn.wire.addresses import ANY, Address, Prefix
from sojourn.wire.dhcpv6 import (
    INFINITE,
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    ElapsedTime,
    IaPd,
    IaPrefix,
    MessageType,
    RelayForward,
    ServerIdentifier,
    decode_dhcpv6,
    decode_relay_reply,
    uuid_duid,
)
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration, Instant, WallClock

SOLICITATIONS = 6
"""RFC 6276 3.3: a home agent that answers none of them delegates nothing."""
SILENT_PAUSE: Duration = 2 * MINUTE
_REQUESTS = 10
_TIMING: dict[int, tuple[Duration, Duration]] = {
    MessageType.SOLICIT: (1 * SECOND, 2 * MINUTE),
    MessageType.REQUEST: (1 * SECOND, 30 * SECOND),
    MessageType.RENEW: (10 * SECOND, 10 * MINUTE),
    MessageType.REBIND: (10 * SECOND, 10 * MINUTE),
}
"""First timeout and longest one (RFC 8415 7.6)."""
_ANSWERS = {MessageType.SOLICIT: MessageType.ADVERTISE}
_ELAPSED_MAX = 0xFFFF * 10 * MILLISECOND
_HOPS = 1
_IAID = 1


@dataclass(slots=True)
class Delegation:
    """What a mobile router asks its server for, and what it has."""

    kind: int = 0
    """The message that waits for an answer (`MessageType`); 0: none does."""
    transaction: bytes = b""
    began: Instant = 0
    pause: Duration = 0
    tries: int = 0
    sent_from: Address = b""
    """Care-of address, or home address, where it was said last."""
    server: bytes = b""
    prefixes: tuple[IaPrefix, ...] = ()
    rebind: Instant = 0
    ends: Instant = 0


class MnDelegation(MnState):
    """The mobile router as requesting router."""

    delegations: dict[Address, Delegation]
    """By home address."""

    def _on_reachable(self, entry: HomeEntry) -> None:
        super()._on_reachable(entry)
        self._begin_delegation(entry)

    def _on_home(self, entry: HomeEntry) -> None:
        super()._on_home(entry)
        self._begin_delegation(entry)

    def _begin_delegation(self, entry: HomeEntry) -> None:
        """There is a way to the server: after a move, what waits for an answer is said again at once."""
        if not entry.home.delegated_length:
            return
        known = self.delegations.setdefault(entry.address, Delegation())
        if known.kind and known.sent_from != (entry.care_of or entry.address):
            self._send_request(entry, known)
        elif not known.kind and ("delegation", entry.address) not in self._timers:
            self._ask_server(entry, MessageType.REBIND if known.ends else MessageType.SOLICIT)

    def _ask_server(self, entry: HomeEntry, kind: MessageType) -> None:
        known = self.delegations[entry.address]
        known.kind, known.transaction = kind, self._entropy.take(3)
        known.began, known.tries, known.pause = self._now, 0, _TIMING[kind][0]
        self._send_request(entry, known)
        self._after(known.pause, "delegation", entry.address)

    def _send_request(self, entry: HomeEntry, known: Delegation) -> None:
        if entry.agent is None or not (entry.settled or (entry.reachable and entry.place is Place.AWAY)):
            return
        known.tries += 1
        known.sent_from = entry.care_of or entry.address
        asked = known.prefixes or (IaPrefix.of(Prefix(ANY.address, entry.home.delegated_length), 0, 0),)
        options: list[Dhcpv6Option] = [
            ClientIdentifier(uuid_duid(entry.address)),
            ElapsedTime(min((self._now - known.began) // (10 * MILLISECOND) * 10 * MILLISECOND, _ELAPSED_MAX)),
            IaPd(_IAID, 0, 0, asked),
        ]
        if known.kind in (MessageType.REQUEST, MessageType.RENEW):
            options.append(ServerIdentifier(known.server))
        message = Dhcpv6Message(known.kind, known.transaction, tuple(options))
        relayed = RelayForward(_HOPS, entry.address, entry.address, message.encode())
        self._do(SendDhcpv6(entry.address, entry.agent, relayed.encode()))

    def _on_delegation_due(self, entry: HomeEntry) -> None:
        """Nobody answered, or it is time to ask whether the prefixes stay."""
        known = self.delegations[entry.address]
        if known.ends and self._now >= known.ends:
            self._report("delegation-ended", home=entry.address)
            known.prefixes, known.ends = (), 0
            self._take_networks(entry, ())
            self._ask_server(entry, MessageType.SOLICIT)
        elif known.kind == 0:
            self._ask_server(entry, MessageType.RENEW if known.ends else MessageType.SOLICIT)
        elif known.kind == MessageType.RENEW and self._now >= known.rebind:
            self._ask_server(entry, MessageType.REBIND)
        elif known.kind == MessageType.SOLICIT and known.tries >= SOLICITATIONS:
            self._report("delegation-silent", home=entry.address, agent=entry.agent)
            known.kind = 0
            self._after(SILENT_PAUSE, "delegation", entry.address)
        elif known.kind == MessageType.REQUEST and known.tries >= _REQUESTS:
            self._ask_server(entry, MessageType.SOLICIT)
        else:
            self._send_request(entry, known)
            known.pause = min(2 * known.pause, _TIMING[known.kind][1])
            self._after(known.pause, "delegation", entry.address)

    def _on_dhcp(self, event: DhcpReceived) -> None:
        """From the home agent, with the number of the request and its client: the rest is nobody's."""
        entry, known = self.homes.get(event.destination), self.delegations.get(event.destination)
        if entry is None or known is None or event.source != entry.agent:
            self._report("dhcp-unexpected", source=event.source)
            return
        try:
            message = decode_dhcpv6(decode_relay_reply(event.payload))
        except DecodeError as error:
            self._report("dhcp-malformed", source=event.source, reason=str(error))
            return
        client, server = message.first(ClientIdentifier), message.first(ServerIdentifier)
        expected = _ANSWERS.get(MessageType(known.kind), MessageType.REPLY) if known.kind else None
        if (
            message.kind != expected
            or message.transaction != known.transaction
            or server is None
            or client is None
            or client.duid != uuid_duid(entry.address)
        ):
            self._report("dhcp-unexpected", source=event.source)
        else:
            self._on_offer(entry, known, server.duid, message.all(IaPd))

    def _on_offer(self, entry: HomeEntry, known: Delegation, server: bytes, found: Iterable[IaPd]) -> None:
        association = next((one for one in found if one.iaid == _IAID), None)
        offered = () if association is None else association.options
        length, home = entry.home.delegated_length, Prefix(entry.address, 128)
        given = [one for one in offered if isinstance(one, IaPrefix) and one.valid and one.prefix_length == length]
        prefixes = tuple(one for one in given if not one.prefix.overlaps(home))[:1]
        if association is None or not prefixes:
            self._report("nothing-delegated", home=entry.address)  # it is asked again as if nobody had answered
            if known.kind in (MessageType.RENEW, MessageType.REBIND):  # of nobody's memory (RFC 8415 18.2.10.1)
                self._ask_server(entry, MessageType.SOLICIT)
        elif known.kind == MessageType.SOLICIT:
            known.server, known.prefixes = server, prefixes
            self._ask_server(entry, MessageType.REQUEST)
        else:
            known.kind, known.server, known.prefixes = 0, server, prefixes
            self._hold(entry, known, association, prefixes[0])

    def _hold(self, entry: HomeEntry, known: Delegation, association: IaPd, given: IaPrefix) -> None:
        """Renewed at T1, or at half of the preferred lifetime, by another server at T2, or at four fifths of it."""
        preferred = min(given.preferred or given.valid, given.valid)
        renew, rebind = association.t1 or preferred // 2, association.t2 or preferred * 4 // 5
        known.rebind = self._now + max(rebind, renew)
        known.ends = self._now + given.valid if given.valid < INFINITE else 1 << 62
        self._after(max(min(renew, given.valid), SECOND), "delegation", entry.address)
        self._take_networks(entry, (given.prefix,))

    def _take_networks(self, entry: HomeEntry, networks: tuple[Prefix, ...]) -> None:
        """What is behind this router from now on; the home agent knows it already."""
        before = entry.home.networks
        if networks == before:
            return
        entry.home = replace(entry.home, networks=networks)
        for network in before:
            if network not in networks:
                self._do(WithdrawUplink(network))
        if entry.registered is not None and entry.agent is not None:
            for network in networks:
                self._do(EnsureUplink(network, entry.agent))
        self._keep(entry)
        self._report("networks", home=entry.address, count=len(networks), network=networks[0] if networks else None)

    # --- another life -------------------------------------------------------------------------------------------------

    def _lease(self, entry: HomeEntry) -> tuple[bytes, int, WallClock] | None:
        known = self.delegations.get(entry.address)
        if known is None or not known.ends or not entry.home.networks:
            return None
        return entry.home.networks[0].address, entry.home.networks[0].length, self._epoch + known.ends

    def _take_up_lease(self, entry: HomeEntry, network: Prefix, ends: WallClock) -> None:
        """3.1: after a reboot the server is asked whether it is still so."""
        if network.length == entry.home.delegated_length and not network.overlaps(Prefix(entry.address, 128)):
            entry.home = replace(entry.home, networks=(network,))
            known = (IaPrefix.of(network, 0, 0),)
            self.delegations[entry.address] = Delegation(prefixes=known, ends=ends - self._epoch)
