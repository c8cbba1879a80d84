"""The counters of RFC 4295 (MOBILEIPV6-MIB), RFC 5488 (NEMO-MIB) and RFC 6475 (PMIPV6-MIB), by their object names.

Every object of these modules whose syntax is Counter32 or Counter64 is in `OBJECTS`: with where its value comes from,
or with the reason why there is none. ``docs/mibs.md`` is made from this table, and tests compare it with the RFCs.
The 32-bit and the 64-bit form of one count are one number here, which does not wrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sojourn.telemetry.figures import RoleFigures

REFRESH, HOTI, COTI, HOT, COT, UPDATE, ACKNOWLEDGEMENT, ERROR = range(8)
"""Mobility Header types (RFC 6275 6.1)."""
ACCEPTED, REFUSED = range(128), range(128, 256)
"""Status values of Binding Acknowledgements."""


@dataclass(frozen=True)
class Signalled:
    """Messages that crossed our sockets (`sojourn.host.signalling`)."""

    sent: bool
    types: tuple[int, ...] = ()
    """MH Types; empty: all."""
    statuses: range | tuple[int, ...] | None = None
    router: bool | None = None
    home: bool | None = None
    proxy: bool | None = None
    octets: bool = False

    def value(self, figures: RoleFigures) -> int:
        """The count, or the sum of octets."""
        return sum(
            (octets if self.octets else messages)
            for flow, (messages, octets) in figures.signalling.items()
            if flow.sent is self.sent
            and (not self.types or flow.type in self.types)
            and (self.statuses is None or flow.status in self.statuses)
            and (self.router is None or flow.router is self.router)
            and (self.home is None or flow.home is self.home)
            and (self.proxy is None or flow.proxy is self.proxy)
        )

    def __str__(self) -> str:
        return "messages at the sockets, by type, flags and status"


@dataclass(frozen=True)
class Counted:
    """Counters of the daemon by name, added up (``sojourn show counters``)."""

    names: tuple[str, ...]

    def value(self, figures: RoleFigures) -> int:
        """Their sum."""
        return sum(figures.counters.get(name, 0) for name in self.names)

    def __str__(self) -> str:
        return ", ".join(f"`{name}`" for name in self.names)


@dataclass(frozen=True)
class Discovered:
    """ICMPv6 messages of Mobile IPv6 (RFC 6275 6.5 to 6.8), by type."""

    sent: bool
    type: int

    def value(self, figures: RoleFigures) -> int:
        """How many there were."""
        return figures.icmpv6.get((self.sent, self.type), 0)

    def __str__(self) -> str:
        return f"ICMPv6 messages of type {self.type}"


@dataclass(frozen=True)
class Missing:
    """Not counted."""

    reason: str

    def __str__(self) -> str:
        return f"not available: {self.reason}"


Source: TypeAlias = Signalled | Counted | Discovered | Missing


@dataclass(frozen=True)
class Object:
    """One object of a MIB module."""

    name: str
    rfc: int
    roles: tuple[str, ...]
    """Whose it is."""
    source: Source


def _of(rfc: int, roles: tuple[str, ...], **sources: Source) -> Iterator[Object]:
    for name, source in sources.items():
        yield Object(name, rfc, roles, source)


def _answered(status: int, router: bool | None = None) -> Signalled:
    return Signalled(True, (ACKNOWLEDGEMENT,), (status,), router=router)


def _heard(status: int) -> Signalled:
    return Signalled(False, (ACKNOWLEDGEMENT,), (status,))


_NEMO = 5488
_ALL = ("mn", "ha", "cn")
_NODES = Missing("a counter for each mobile node would have no bound; sojourn_signalling_messages_total has peers")
_SIGNALLING_ONLY = "signalling only: what is tunnelled is in sojourn_tunnel_packets_total and ..._octets_total"
_BY_SYSTEM = Missing("Router Advertisements of the home link are sent and taken by radvd or the kernel")
_OTHER_NEMO = tuple(status for status in REFUSED if status not in range(139, 144))

OBJECTS: tuple[Object, ...] = (
    *_of(
        4295,
        _ALL,
        mip6InOctets=Signalled(False, octets=True),
        mip6HCInOctets=Signalled(False, octets=True),
        mip6InPkts=Signalled(False),
        mip6HCInPkts=Signalled(False),
        mip6OutOctets=Signalled(True, octets=True),
        mip6HCOutOctets=Signalled(True, octets=True),
        mip6OutPkts=Signalled(True),
        mip6HCOutPkts=Signalled(True),
        mip6NodeInOctets=_NODES,
        mip6HCNodeInOctets=_NODES,
        mip6NodeInPkts=_NODES,
        mip6HCNodeInPkts=_NODES,
        mip6NodeOutOctets=_NODES,
        mip6HCNodeOutOctets=_NODES,
        mip6NodeOutPkts=_NODES,
        mip6HCNodeOutPkts=_NODES,
    ),
    *_of(
        4295,
        ("mn",),
        mip6MnDiscoveryRequests=Discovered(True, 144),
        mip6MnDiscoveryReplies=Discovered(False, 145),
        mip6MnDiscoveryTimeouts=Missing("requests are repeated until one is answered; see mip6MnDiscoveryRequests"),
        mip6MnPrefixSolicitationsSent=Discovered(True, 146),
        mip6MnPrefixAdvsRecd=Discovered(False, 147),
        mip6MnPrefixAdvsIgnored=Counted(("driver:reports:prefixes-discarded",)),
        mip6MnMovedToFN=Counted(("driver:reports:registered",)),
        mip6MnMovedToHN=Counted(("driver:reports:home",)),
        mip6MnMobilityMessagesSent=Signalled(True),
        mip6MnMobilityMessagesRecd=Signalled(False),
        mip6MnBUsToHA=Signalled(True, (UPDATE,), home=True),
        mip6MnBUAcksFromHA=Signalled(False, (ACKNOWLEDGEMENT,), home=True),
        mip6MnBUsToCN=Signalled(True, (UPDATE,), home=False),
        mip6MnBUAcksFromCN=Signalled(False, (ACKNOWLEDGEMENT,), home=False),
        mip6MnBindingErrorsFromCN=Signalled(False, (ERROR,)),
        mip6MnICMPErrorsRecd=Missing("`driver:IcmpErrorReceived` counts unreachable destinations too"),
        mip6MnBRRequestsRecd=Signalled(False, (REFRESH,)),
    ),
    *_of(
        4295,
        ("cn",),
        mip6CnHomeTestInitsRecd=Signalled(False, (HOTI,)),
        mip6CnHomeTestsSent=Signalled(True, (HOT,)),
        mip6CnCareOfTestInitsRecd=Signalled(False, (COTI,)),
        mip6CnCareOfTestsSent=Signalled(True, (COT,)),
        mip6CnBUsRecd=Signalled(False, (UPDATE,)),
        mip6CnBUAcksSent=Signalled(True, (ACKNOWLEDGEMENT,)),
        mip6CnBRsSent=Signalled(True, (REFRESH,)),
        mip6CnBindingErrors=Signalled(True, (ERROR,)),
        mip6CnBUsAccepted=Signalled(True, (ACKNOWLEDGEMENT,), ACCEPTED),
        mip6CnBUsRejected=Signalled(True, (ACKNOWLEDGEMENT,), REFUSED),
        mip6CnReasonUnspecified=_answered(128),
        mip6CnInsufficientResource=_answered(130),
        mip6CnHomeRegnNotSupported=_answered(131),
        mip6CnSeqNumberOutOfWindow=_answered(135),
        mip6CnExpiredHomeNonceIndex=_answered(136),
        mip6CnExpiredCareOfNonceIndex=_answered(137),
        mip6CnExpiredNonce=_answered(138),
        mip6CnRegTypeChangeDisallowed=_answered(139),
        mip6CnBURequestsAccepted=_NODES,
        mip6CnBURequestsRejected=_NODES,
    ),
    *_of(
        4295,
        ("ha",),
        mip6HaAdvsRecd=_BY_SYSTEM,
        mip6HaAdvsSent=_BY_SYSTEM,
        mip6HaHomeTestInitsRecd=Missing("they are forwarded by the kernel, out of one tunnel, unseen by the daemon"),
        mip6HaHomeTestsSent=Missing("they are forwarded by the kernel, into a tunnel, unseen by the daemon"),
        mip6HaBUsRecd=Signalled(False, (UPDATE,)),
        mip6HaBUAcksSent=Signalled(True, (ACKNOWLEDGEMENT,)),
        mip6HaBRAdviceSent=Missing("options of messages are not counted"),
        mip6HaBUsAccepted=Signalled(True, (ACKNOWLEDGEMENT,), (0, 1)),
        mip6HaPrefDiscoverReqd=_answered(1),
        mip6HaReasonUnspecified=_answered(128),
        mip6HaAdmProhibited=_answered(129),
        mip6HaInsufficientResource=_answered(130),
        mip6HaHomeRegnNotSupported=_answered(131),
        mip6HaNotHomeSubnet=_answered(132),
        mip6HaNotHomeAgentForThisMN=_answered(133),
        mip6HaDupAddrDetectionFailed=_answered(134),
        mip6HaSeqNumberOutOfWindow=_answered(135),
        mip6HaExpiredHomeNonceIndex=_answered(136),
        mip6HaRegTypeChangeDisallowed=_answered(139),
        mip6HaBURequestsAccepted=_NODES,
        mip6HaBURequestsDenied=_NODES,
    ),
    *_of(
        5488,
        ("mn",),
        nemoMrMobilityMessagesSent=Signalled(True, (UPDATE,), router=True),
        nemoMrMobilityMessagesRecd=Signalled(False, (ACKNOWLEDGEMENT,), router=True),
        nemoMrDiscoveryRequests=Discovered(True, 144),
        nemoMrDiscoveryReplies=Discovered(False, 145),
        nemoMrDiscoveryRepliesRouterFlagZero=Missing("the flag of a reply is not counted"),
        nemoMrMovedHome=Counted(("driver:reports:home",)),
        nemoMrMovedOutofHome=Missing("moves to a foreign network are one count: mip6MnMovedToFN"),
        nemoMrMovedFNtoFN=Missing("moves to a foreign network are one count: mip6MnMovedToFN"),
        nemoMrBetterIfDetected=Counted(("driver:reports:link-preference",)),
        nemoMrBindingAcksWONemoSupport=Signalled(False, (ACKNOWLEDGEMENT,), ACCEPTED, router=False, home=True),
        nemoMrBindingAcksRegTypeChangeDisallowed=_heard(139),
        nemoMrBindingAcksOperationNotPermitted=_heard(140),
        nemoMrBindingAcksInvalidPrefix=_heard(141),
        nemoMrBindingAcksNotAuthorizedForPrefix=_heard(142),
        nemoMrBindingAcksForwardingSetupFailed=_heard(143),
        nemoMrBindingAcksOtherError=Signalled(False, (ACKNOWLEDGEMENT,), _OTHER_NEMO, home=True),
    ),
    *_of(
        5488,
        ("ha",),
        nemoHaBUAcksWONemoSupport=Missing("this home agent supports NEMO and answers no mobile router without"),
        nemoHaBUAcksRegTypeChangeDisallowed=_answered(139),
        nemoHaBUAcksOperationNotPermitted=_answered(140),
        nemoHaBUAcksInvalidPrefix=_answered(141),
        nemoHaBUAcksNotAuthorizedForPrefix=_answered(142),
        nemoHaBUAcksForwardingSetupFailed=_answered(143),
        nemoHaBUAcksOtherError=Signalled(True, (ACKNOWLEDGEMENT,), _OTHER_NEMO, router=True),
        nemoHaBURequestsAccepted=_NODES,
        nemoHaBURequestsDenied=_NODES,
    ),
    *_of(
        6475,
        ("lma", "cmd"),
        pmip6MissingMnIdentifierOption=_answered(160),
        pmip6MagNotAuthorizedForProxyReg=_answered(154),
        pmip6NotLMAForThisMobileNode=_answered(153),
        pmip6ProxyRegNotEnabled=_answered(152),
        pmip6MissingHomeNetworkPrefixOption=_answered(158),
        pmip6MissingHandOffIndicatorOption=_answered(161),
        pmip6MissingAccessTechTypeOption=_answered(162),
        pmip6NotAuthorizedForHomeNetworkPrefix=_answered(155),
        pmip6TimestampMismatch=_answered(156),
        pmip6TimestampLowerThanPrevAccepted=_answered(157),
        pmip6BcePbuPrefixSetDoNotMatch=_answered(159),
        pmip6InitialBindingRegistrations=Counted(("driver:reports:registered",)),
        pmip6BindingLifeTimeExtensionNoHandOff=Missing("an extension without a handover is not reported"),
        pmip6BindingLifeTimeExtensionAfterHandOff=Counted(("driver:reports:handover",)),
        pmip6BindingDeRegistrations=Missing("the lifetime of a message is not counted; see reports:deregistered"),
        pmip6BindingBindingAcks=Signalled(True, (ACKNOWLEDGEMENT,), proxy=True),
    ),
)


def values(figures: RoleFigures) -> Iterator[tuple[Object, int]]:
    """The objects of a role that are counted, and their values; those of NEMO where mobile routers are concerned."""
    routers = any(flow.router for flow in figures.signalling)
    for one in OBJECTS:
        if figures.role in one.roles and not isinstance(one.source, Missing) and (routers or one.rfc != _NEMO):
            yield one, one.source.value(figures)


def help_text(one: Object) -> str:
    """What a metric says of itself: the object, its RFC, and where the number comes from."""
    remark = f"; {_SIGNALLING_ONLY}" if one.name.startswith(("mip6In", "mip6Out", "mip6HCIn", "mip6HCOut")) else ""
    return f"{one.name} (RFC {one.rfc}): {one.source}{remark}"


def markdown() -> str:
    """``docs/mibs.md``."""
    lines = [
        "# Counters of the MIB modules\n",
        "<!-- made by `python -m sojourn.telemetry.mibs > docs/mibs.md` -->\n",
        "Every object of RFC 4295 (MOBILEIPV6-MIB), RFC 5488 (NEMO-MIB) and RFC 6475 (PMIPV6-MIB) whose syntax is",
        "Counter32 or Counter64. A metric has the object's own name, with `_total` behind it, and the label `role`.",
        f"Of `mip6In...` and `mip6Out...`: {_SIGNALLING_ONLY}. The domain's database (`cmd`) counts as an LMA.",
        "Those of RFC 5488 are there as soon as a mobile router registered.\n",
    ]
    for rfc in (4295, 5488, 6475):
        lines += [f"## RFC {rfc}\n", "| object | role | metric | from |", "| --- | --- | --- | --- |"]
        for one in OBJECTS:
            if one.rfc == rfc:
                metric = "" if isinstance(one.source, Missing) else f"`{one.name}_total`"
                lines.append(f"| {one.name} | {', '.join(one.roles)} | {metric} | {one.source} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(), end="")
