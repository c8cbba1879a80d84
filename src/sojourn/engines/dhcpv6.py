"""The answers of a DHCPv6 server on a link where every host has prefixes of its own (RFC 8415 18.3, RFC 8273).

There is no table of leases. What a host may have follows from its session, and the address that it gets in a prefix
from who it says it is: any router of the domain gives the same answer, and a flood of invented clients leaves nothing
behind. All routers are one server, with one DUID, so that a host which renews is answered by whichever serves it.

A prefix of a previous router is still good for the addresses that the host has there, deprecated as in advertisements;
a new address comes with the next renewal. Whether a prefix that we do not know belongs to the host is known once its
router's registration was answered: until then such a question is put off (`NotYet`).

Left out: relays, reconfiguration, temporary addresses, authentication.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from sojourn.core.effects import AdvertisedPrefix
from sojourn.engines.dhcp import Discarded, NotYet
from sojourn.wire.addresses import Address, Prefix, is_ipv4
from sojourn.wire.dhcpv6 import (
    INFINITE,
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    DnsServers,
    DomainSearch,
    IaAddress,
    IaNa,
    IaPd,
    IaPrefix,
    IaTa,
    InformationRefreshTime,
    MessageType,
    OptionRequest,
    Preference,
    RapidCommit,
    ServerIdentifier,
    Status,
    StatusCode,
    domain_names,
)
from sojourn.wire.units import HOUR, SECOND, Duration

ASSOCIATIONS = 8
"""Identity associations of one message that are answered."""
LEASES = 16
"""Addresses or prefixes of one association that are answered."""
DECLINED = 1_024
"""Associations remembered because the host found its address in use."""
_DUID_MAX = 130
_REFRESH = 24 * HOUR
_SUBNET_ROUTER = bytes(8)

_M = MessageType
_WITHOUT_SERVER = frozenset((_M.SOLICIT, _M.CONFIRM, _M.REBIND))
_WITH_SERVER = frozenset((_M.REQUEST, _M.RENEW, _M.RELEASE, _M.DECLINE))
_LEASING = frozenset((_M.SOLICIT, _M.REQUEST, _M.RENEW, _M.REBIND))


@dataclass(frozen=True, slots=True)
class Dhcpv6Settings:
    """What all hosts are told."""

    duid: bytes
    """Of the server; the same in the whole domain."""
    stateful: bool
    renew: Duration
    """T1 of addresses is at most this: a host must hear of a new prefix before an old one that is idle retires."""
    lease: Duration
    """Of delegated prefixes."""
    dns: tuple[Address, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a host has on this link."""

    prefixes: tuple[AdvertisedPrefix, ...] = ()
    """Its own, for addresses."""
    delegated: tuple[Prefix, ...] = ()
    """For what is behind it."""
    settled: bool = True
    """There is nothing that we do not know of."""


@dataclass(slots=True)
class Answer:
    """What follows from a message."""

    message: Dhcpv6Message
    committed: bool = False
    """The host has from now on what the answer gives it."""
    released: tuple[Prefix, ...] = ()
    """Delegated prefixes that it gave back."""


class Dhcpv6Server:
    """Answers, as a function of the question and of what the host has; only declined addresses are remembered."""

    def __init__(self, settings: Dhcpv6Settings) -> None:
        self._settings = settings
        self._declined: OrderedDict[tuple[bytes, int], int] = OrderedDict()

    def check(self, message: Dhcpv6Message, multicast: bool) -> None:
        """RFC 8415 16: raises `Discarded` for what a server must not answer."""
        client, server = message.first(ClientIdentifier), message.first(ServerIdentifier)
        if client is not None and len(client.duid) > _DUID_MAX:
            raise Discarded("a client identifier that is too long")
        if message.kind in _WITHOUT_SERVER:
            if client is None or server is not None:
                raise Discarded("without a client identifier, or with a server identifier")
        elif message.kind in _WITH_SERVER:
            if client is None or server is None or server.duid != self._settings.duid:
                raise Discarded("without a client identifier, or for another server")
            return
        elif message.kind == _M.INFORMATION_REQUEST:
            if server is not None and server.duid != self._settings.duid:
                raise Discarded("for another server")
            if any(isinstance(option, IaNa | IaTa | IaPd) for option in message.options):
                raise Discarded("an information request with an identity association")
        else:
            raise Discarded("not a client's message")
        if not multicast:
            raise Discarded("not sent to all servers")

    def wants_delegation(self, message: Dhcpv6Message) -> bool:
        """Whether the host asks for a prefix to delegate."""
        return message.kind in _LEASING and message.first(IaPd) is not None

    def answer(self, message: Dhcpv6Message, holdings: Holdings, multicast: bool = True) -> Answer:
        """The answer to a message that `check` let through. Raises `NotYet`, and `Discarded` for no answer at all."""
        kind = message.kind
        if not multicast:  # RFC 8415 18.4: we never told it that it may
            return Answer(self._reply(message, (Status(StatusCode.USE_MULTICAST),), told=False))
        match kind:
            case _M.INFORMATION_REQUEST:
                return Answer(self._reply(message, ()))
            case _M.CONFIRM:
                return Answer(self._reply(message, (self._confirm(message, holdings),), told=False))
            case _M.RELEASE | _M.DECLINE:
                return self._give_back(message, holdings)
            case _:
                return self._lease(message, holdings)

    # --- leases ---------------------------------------------------------------------------------------------------

    def _lease(self, message: Dhcpv6Message, holdings: Holdings) -> Answer:
        """Solicit, Request, Renew, Rebind (RFC 8415 18.3.1, 18.3.2, 18.3.4, 18.3.5)."""
        t1 = self._renewal(holdings)
        options: list[Dhcpv6Option] = []
        delegations = 0
        associations = [option for option in message.options if isinstance(option, IaNa | IaTa | IaPd)]
        for association in associations[:ASSOCIATIONS]:
            match association:
                case IaNa():
                    options.append(self._addresses(message, association, holdings, t1))
                case IaTa(iaid):
                    options.append(IaTa(iaid, (Status(StatusCode.NO_ADDRS_AVAIL),)))
                case IaPd():
                    mine = holdings.delegated if delegations == 0 else ()
                    delegations += 1
                    options.append(self._delegation(message, association, mine, t1, holdings.settled))
        if message.kind != _M.SOLICIT:
            return Answer(self._reply(message, options), committed=True)
        if message.first(RapidCommit) is not None:
            return Answer(self._reply(message, (*options, RapidCommit())), committed=True)
        # Every router of the domain is this server: the client need not wait for others.
        return Answer(self._reply(message, (*options, Preference(255)), _M.ADVERTISE))

    def _renewal(self, holdings: Holdings) -> Duration:
        """T1, the same for all (RFC 8415 14.2)."""
        times = [prefix.preferred for prefix in holdings.prefixes if prefix.preferred]
        times += [self._settings.lease] * bool(holdings.delegated)
        return max(min([*[time // 2 for time in times], self._settings.renew]), SECOND)

    def _addresses(self, message: Dhcpv6Message, ia: IaNa, holdings: Holdings, t1: Duration) -> IaNa:
        """What the host has and asks for stays; where it has nothing in a prefix that is preferred, it gets some."""
        if not self._settings.stateful:
            return IaNa(ia.iaid, 0, 0, (Status(StatusCode.NO_ADDRS_AVAIL),))
        asked = [option.address for option in ia.options if isinstance(option, IaAddress)][:LEASES]
        found: list[Dhcpv6Option] = []
        for held in holdings.prefixes:
            inside = [address for address in asked if _usable(held.prefix, address)]
            if not inside and held.preferred:
                inside = [self._address(held.prefix, message, ia.iaid)]
            found += [IaAddress(address, held.preferred, held.valid) for address in inside]
        strange = [address for address in asked if not any(_usable(held.prefix, address) for held in holdings.prefixes)]
        if strange and message.kind != _M.SOLICIT:
            if not holdings.settled:
                raise NotYet
            if message.kind == _M.REQUEST:
                return IaNa(ia.iaid, 0, 0, (Status(StatusCode.NOT_ON_LINK),))
            found += [IaAddress(address, 0, 0) for address in strange]
        if not found and not holdings.settled:
            raise NotYet
        if not found:
            return IaNa(ia.iaid, 0, 0, (Status(StatusCode.NO_ADDRS_AVAIL),))
        return IaNa(ia.iaid, t1, t1 * 8 // 5, tuple(found))

    def _address(self, prefix: Prefix, message: Dhcpv6Message, iaid: int) -> Address:
        """The address of this association in `prefix`; another one each time it was declined."""
        duid = _duid(message)
        times = self._declined.get((duid, iaid), 0)
        seed = b"sojourn IA_NA" + times.to_bytes(4, "big") + iaid.to_bytes(4, "big") + duid
        identifier = bytearray(sha256(seed).digest()[:8])
        identifier[0] &= 0x7F  # clear of the reserved anycast identifiers (RFC 5453)
        return prefix.address[:8] + bytes(identifier)

    def _delegation(
        self, message: Dhcpv6Message, ia: IaPd, mine: tuple[Prefix, ...], t1: Duration, settled: bool
    ) -> IaPd:
        lease = self._settings.lease
        asked = [option.prefix for option in ia.options if isinstance(option, IaPrefix)][:LEASES]
        strange = [prefix for prefix in asked if prefix not in mine and any(prefix.address)]
        found: list[Dhcpv6Option] = [IaPrefix.of(prefix, lease, lease) for prefix in mine]
        if strange and message.kind in (_M.RENEW, _M.REBIND):
            if not settled:
                raise NotYet
            found += [IaPrefix.of(prefix, 0, 0) for prefix in strange]
        if not found:
            return IaPd(ia.iaid, 0, 0, (Status(StatusCode.NO_PREFIX_AVAIL),))
        return IaPd(ia.iaid, t1, t1 * 8 // 5, tuple(found))

    # --- the rest -------------------------------------------------------------------------------------------------

    def _confirm(self, message: Dhcpv6Message, holdings: Holdings) -> Status:
        """RFC 8415 18.3.3: whether all addresses fit this link."""
        asked = [lease.address for ia in message.all(IaNa) for lease in ia.options if isinstance(lease, IaAddress)]
        if not asked:
            raise Discarded("a Confirm without addresses")
        if all(any(held.prefix.covers(address) for held in holdings.prefixes) for address in asked):
            return Status(StatusCode.SUCCESS)
        if not holdings.settled:
            raise NotYet
        return Status(StatusCode.NOT_ON_LINK)

    def _give_back(self, message: Dhcpv6Message, holdings: Holdings) -> Answer:
        """RFC 8415 18.3.7, 18.3.8: associations with something that is not the host's are told so."""
        options: list[Dhcpv6Option] = [Status(StatusCode.SUCCESS)]
        released: list[Prefix] = []
        for ia in message.options[: 2 * ASSOCIATIONS]:
            if isinstance(ia, IaPd):
                mine = {lease.prefix for lease in ia.options if isinstance(lease, IaPrefix)} & {*holdings.delegated}
                released += mine if message.kind == _M.RELEASE else ()
                known = bool(mine)
            elif isinstance(ia, IaNa):
                asked = [lease.address for lease in ia.options if isinstance(lease, IaAddress)]
                known = any(held.prefix.covers(address) for held in holdings.prefixes for address in asked)
                if known and message.kind == _M.DECLINE:
                    self._decline(_duid(message), ia.iaid)
            else:
                continue
            if not known:
                options.append(replace(ia, t1=0, t2=0, options=(Status(StatusCode.NO_BINDING),)))
        return Answer(self._reply(message, options, told=False), released=tuple(released))

    def _decline(self, duid: bytes, iaid: int) -> None:
        self._declined[duid, iaid] = self._declined.pop((duid, iaid), 0) + 1
        if len(self._declined) > DECLINED:
            self._declined.popitem(last=False)

    def _reply(
        self,
        message: Dhcpv6Message,
        options: Iterable[Dhcpv6Option],
        kind: MessageType = MessageType.REPLY,
        *,
        told: bool = True,
    ) -> Dhcpv6Message:
        identity: list[Dhcpv6Option] = [ServerIdentifier(self._settings.duid)]
        client = message.first(ClientIdentifier)
        if client is not None:
            identity.append(client)
        return Dhcpv6Message(kind, message.transaction, (*identity, *options, *self._told(message, told)))

    def _told(self, message: Dhcpv6Message, told: bool) -> list[Dhcpv6Option]:
        """What every host is told, whether it asks for it or not."""
        if not told:
            return []
        found: list[Dhcpv6Option] = []
        servers = tuple(address for address in self._settings.dns if not is_ipv4(address))
        if servers:
            found.append(DnsServers(servers))
        if self._settings.domains:
            found.append(DomainSearch(domain_names(self._settings.domains)))
        wanted = message.first(OptionRequest)
        if message.kind == _M.INFORMATION_REQUEST and wanted and InformationRefreshTime.number in wanted.codes:
            found.append(InformationRefreshTime(min(_REFRESH, INFINITE)))
        return found


def _duid(message: Dhcpv6Message) -> bytes:
    client = message.first(ClientIdentifier)
    return b"" if client is None else client.duid


def _usable(prefix: Prefix, address: Address) -> bool:
    """Any address of its own prefix is the host's to use, but the one that every router there answers to."""
    return prefix.covers(address) and address[8:] != _SUBNET_ROUTER
