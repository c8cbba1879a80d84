"""A domain of RFC 5213 on a table: an LMA (or two), MAGs, delays between them (see `support.table`), and messages."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from sojourn.core.effects import Advertise
from sojourn.core.engine import Engine
from sojourn.engines.configuration import Gateway, LmaConfiguration, MagConfiguration
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import PROXY, identifier_option
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix, address, prefix
from sojourn.wire.units import SECOND, Duration
from support.messages import stamp
from support.table import EPOCH, HOSTS, Table, node

LMA = address("2001:db8:f::1")
LMA2 = address("2001:db8:f::2")
HOME = prefix("2001:db8:f000::/48")
LMA3 = address("2001:db8:f::3")
HOME2 = prefix("2001:db8:f100::/48")
HOME3 = prefix("2001:db8:f200::/48")
START = EPOCH // SECOND * 0x9E3779B1 % (1 << 16)
"""The LMA begins without memory, somewhere in its pool: this is the number of its first prefix."""


@cache
def gateway(number: int) -> Address:
    """The address of ``magN``."""
    return address(f"2001:db8:b{number}::1")


def home(index: int) -> Prefix:
    """The prefix that the LMA gives away as number `index`."""
    return HOME.subnet((START + index) % (1 << 16), 64)


class ProxyDomain(Table):
    """``lma``, ``mag1``, ``mag2`` ...; `lma` are settings of the LMA, the others those of all MAGs.

    With ``anchors=2`` there is a second LMA, ``lma2``, with 3 also ``lma3``.
    """

    def __init__(
        self,
        gateways: int = 2,
        lma: dict[str, object] | None = None,
        delays: dict[tuple[str, str], Duration] | None = None,
        anchors: int = 1,
        **overrides: object,
    ) -> None:
        super().__init__(delays)
        self.numbers = range(1, gateways + 1)
        known = tuple(Gateway(gateway(number), f"mag{number}") for number in self.numbers)
        self.lma_configurations = {
            name: replace(LmaConfiguration(address, known, (pool,)), **(lma or {}))  # type: ignore[arg-type]
            for name, address, pool in (("lma", LMA, HOME), ("lma2", LMA2, HOME2), ("lma3", LMA3, HOME3))[:anchors]
        }
        self.mag_configurations = {
            f"mag{number}": replace(MagConfiguration(gateway(number), LMA), **overrides)  # type: ignore[arg-type]
            for number in self.numbers
        }
        names = {settings.address: name for name, settings in self.lma_configurations.items()}
        self._populate(names | {gateway(number): f"mag{number}" for number in self.numbers})

    def _engine(self, name: str) -> Engine:
        epoch = EPOCH + self.skews.get(name, 0)
        if name in self.lma_configurations:
            return LocalMobilityAnchor(self.lma_configurations[name], epoch)
        return MobileAccessGateway(self.mag_configurations[name], epoch)

    @property
    def lma(self) -> LocalMobilityAnchor:
        engine = self.members["lma"].engine
        assert isinstance(engine, LocalMobilityAnchor)
        return engine

    def mag(self, name: str) -> MobileAccessGateway:
        engine = self.members[name].engine
        assert isinstance(engine, MobileAccessGateway)
        return engine

    def entries(self, host: str = "mn1") -> tuple[BindingCacheEntry, ...]:
        """The sessions of `host` at the LMA."""
        return self.lma.cache.of(node(host))

    def entry(self, host: str = "mn1") -> BindingCacheEntry:
        """The one session of `host` at the LMA."""
        (entry,) = self.entries(host)
        return entry

    def listed(self, name: str, host: str = "mn1") -> BindingUpdateListEntry | None:
        """The entry of `host` in the Binding Update List of `name`."""
        return self.mag(name).sessions.get(node(host))

    def at(self, name: str, host: str = "mn1") -> BindingUpdateListEntry:
        """The same, which must be there."""
        entry = self.listed(name, host)
        assert entry is not None
        return entry

    def reconfigure(self, name: str, **settings: object) -> None:
        """`name` begins again, without memory, with other settings."""
        configurations = self.lma_configurations if name in self.lma_configurations else self.mag_configurations
        configurations[name] = replace(configurations[name], **settings)  # type: ignore[type-var, arg-type]
        self.restart(name, store=False)
        self.run(SECOND // 20)

    def advertisement(self, name: str) -> Advertise:
        """What `name` advertised last."""
        return self.members[name].advertised[-1][1]

    def ask(self, update: BindingUpdate, source: str = "mag1") -> BindingAcknowledgement | None:
        """The LMA's answer to `update` from `source`, when it comes at once."""
        before = len(self.messages)
        self.inject(next(address for address, name in self.names.items() if name == source), "lma", update)
        for _, _, destination, message in self.messages[before:]:
            if destination == source and isinstance(message, BindingAcknowledgement):
                return message
        return None


def request(
    domain: ProxyDomain,
    *prefixes: Prefix,
    host: str = "mn1",
    identity: bytes = b"",
    link_layer: bytes | None = b"",
    technology: int = 4,
    handoff: Handoff | int = Handoff.UNKNOWN,
    sequence: int = 1,
    flags: int = PROXY,
    lifetime: Duration = 300 * SECOND,
    ahead: Duration = 0,
    timestamp: bool = True,
    more: tuple[MobilityOption, ...] = (),
    without: tuple[type[MobilityOption], ...] = (),
) -> BindingUpdate:
    """A Proxy Binding Update as a MAG builds it (RFC 5213 6.9.1.5), with `more` in the place of what is left out.

    `link_layer` is the host's own if it is empty, and there is none if it is None. `ahead`: how far its clock is ahead.
    """
    options: list[MobilityOption] = [
        identifier_option(identity or node(host)),
        *(HomeNetworkPrefix.of(network) for network in prefixes or (ANY,)),
        HandoffIndicator(int(handoff)),
        AccessTechnologyType(technology),
    ]
    if timestamp:
        options.append(Timestamp(stamp(domain, ahead)))
    if link_layer is not None:
        options.append(MobileNodeLinkLayerIdentifier(link_layer or HOSTS[host]))
    kept = [option for option in options if not isinstance(option, without)]
    return BindingUpdate(sequence, flags, lifetime, (*kept, *more))


def prefixes_of(message: BindingUpdate | BindingAcknowledgement) -> list[Prefix]:
    """The Home Network Prefix options."""
    return [option.prefix for option in message.all(HomeNetworkPrefix)]


def handoff_of(update: BindingUpdate) -> int:
    """The Handoff Indicator."""
    return update.all(HandoffIndicator)[0].indicator


def registered(domain: ProxyDomain, source: str = "mag1", **more: object) -> BindingCacheEntry:
    """The entry of mn1, which is registered from `source`."""
    assert status_of(domain.ask(request(domain, **more), source)) == 0  # type: ignore[arg-type]
    return domain.entry()


def status_of(answer: BindingAcknowledgement | None) -> int:
    """The status of an answer, which must be there."""
    assert answer is not None
    return answer.status
