"""Effects and messages in short words, as transcripts and traces tell them."""

from __future__ import annotations

from sojourn.core.effects import (
    Advertise,
    CountQueue,
    CountTraffic,
    DeleteBinding,
    Effect,
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePaths,
    EnsurePool,
    EnsurePrefix,
    EnsureQueue,
    EnsureShortcut,
    EnsureSpread,
    EnsureTunnel,
    EnsureUplink,
    ForgetMulticast,
    ForgetStation,
    ProbeNode,
    ProbePath,
    QueryListeners,
    Report,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawUplink,
)
from sojourn.engines.configuration import FIXED_LINK_LOCAL, logical_link_local
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingRefreshRequest,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLocalAddress,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    LinkLocalAddress,
    LocalPrefix,
    MobileNodeIdentifier,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Status,
)
from sojourn.wire.addresses import ANY, Address, LinkLayer, Prefix, prefix, text
from sojourn.wire.extensions.rfc5568 import (
    HandoverAcknowledge,
    HandoverAcknowledgeCode,
    HandoverAcknowledgeFlags,
    HandoverInitiate,
    HandoverInitiateCode,
    HandoverInitiateFlags,
)
from sojourn.wire.extensions.rfc5949 import LocalMobilityAnchorAddress
from sojourn.wire.units import SECOND
from support.domain import CMD, HOSTS, pool, router
from support.peers import Octets
from support.pmip import LMA, LMA2, START, gateway
from support.pmip_extension_words import extension_words

_NAMES = {link_layer: host for host, link_layer in HOSTS.items()}
_HOME = prefix("2001:db8:f000::/48")


def describe(effect: Effect) -> str:
    """One effect for people."""
    match effect:
        case SendMessage(message, _, destination):
            return f"{message_words(message)} -> {_name(destination)}"
        case EnsureDelivery(slot, interface, link_layer):
            return f"slot {slot}: to {_host(link_layer)} on {interface}"
        case EnsureTunnel(slot, remote):
            return f"slot {slot}: tunnel to {_name(remote)}"
        case EnsureHold(slot):
            return f"slot {slot}: hold"
        case WithdrawSlot(slot):
            return f"slot {slot}: free"
        case EnsurePrefix(network, slot):
            return f"to {_prefix(network)}: slot {slot}"
        case WithdrawPrefix(network):
            return f"to {_prefix(network)}: nothing"
        case EnsurePool(network):
            return f"pool {_prefix(network)}: here"
        case WithdrawPool(network):
            return f"pool {_prefix(network)}: not here"
        case EnsureUplink(network, anchor):
            return f"from {_prefix(network)}: {'plain' if anchor is None else 'tunnel to ' + _name(anchor)}"
        case WithdrawUplink(network):
            return f"from {_prefix(network)}: drop"
        case EnsurePaths(slot, remotes):
            return f"slot {slot}: tunnels to {', '.join(map(_name, remotes))}"
        case EnsureSpread(network, sources):
            return f"from {_prefix(network)}: spread over {', '.join(map(text, sources))}"
        case WithdrawSpread(network):
            return f"from {_prefix(network)}: spread no more"
        case EnsureShortcut(source, destination, remote):
            way = "straight" if remote is None else f"tunnel to {_name(remote)}"
            return f"from {_prefix(source)} to {_prefix(destination)}: {way}"
        case WithdrawShortcut(source, destination):
            return f"from {_prefix(source)} to {_prefix(destination)}: as all"
        case EnsureCounter(network):
            return f"count {_prefix(network)}"
        case WithdrawCounter(network):
            return f"count {_prefix(network)} no more"
        case EnsureQueue(slot, forwarded):
            return f"slot {slot}: {_lane(forwarded)} waits"
        case EnsureFlowToNode(slot, forwarded, interface, link_layer):
            return f"slot {slot}: {_lane(forwarded)} flows to {_host(link_layer)} on {interface}"
        case EnsureFlowToRouter(slot, forwarded, remote):
            return f"slot {slot}: {_lane(forwarded)} flows through the tunnel to {_name(remote)}"
        case WithdrawQueue(slot):
            return f"slot {slot}: what is forwarded is nothing special"
        case CountQueue(slot):
            return f"slot {slot}: how much waits?"
        case ProbePath(remote):
            return f"echo {_name(remote)}"
        case CountTraffic():
            return "read the counters"
        case Advertise():
            return _advertisement(effect)
        case EnsureLogicalInterface(interface, identity):
            return f"be {_identity(identity)} on {interface}"
        case WithdrawLogicalInterface(interface, identity):
            return f"be {_identity(identity)} on {interface} no more"
        case ProbeNode(interface, link_layer, _):
            return f"probe {_host(link_layer)} on {interface}"
        case ForgetMulticast():
            return "forget multicast of an earlier life"
        case ForgetStation(interface, link_layer):
            return f"forget {_host(link_layer)} on {interface}"
        case QueryListeners(interface, link_layer, group):
            asked = "all" if link_layer is None else _host(link_layer)
            return f"ask {asked} on {interface} about {'all groups' if group is None else text(group)}"
        case EnsureMulticastRoute(group, source, interfaces):
            return f"{_flow(group, source)}: to {' '.join(interfaces) or 'nowhere'}"
        case WithdrawMulticastRoute(group, source):
            return f"{_flow(group, source)}: nothing"
        case EnsureMembership(group, excluding, sources):
            which = "all but" if excluding and sources else "all" if excluding else "only"
            return f"join {text(group)} upstream: {' '.join([which, *map(text, sources)])}"
        case WithdrawMembership(group):
            return f"leave {text(group)} upstream"
        case StoreBinding(key) | DeleteBinding(key) if len(key) == 4:
            verb = "store" if isinstance(effect, StoreBinding) else "delete"
            return f"{verb} session {int.from_bytes(key, 'big')}"
        case StoreBinding(key) if key.startswith(b"extension/"):
            return f"keep what is known of {key[10:].decode()}s"
        case StoreBinding(key):
            return f"store {_host(key[1:])}"
        case DeleteBinding(key):
            return f"delete {_host(key[1:])}"
        case Report(name, detail):
            return f"* {name}{''.join(_detail(key, value) for key, value in sorted(detail.items()))}"


def _flow(group: Address, source: Address | None) -> str:
    return f"{text(group)} from {'anybody' if source is None else text(source)}"


def _lane(forwarded: bool) -> str:
    return "what is forwarded" if forwarded else "what comes"


def message_words(message: MobilityMessage) -> str:
    match message:
        case Octets():
            return message.words()
        case BindingRefreshRequest():
            return "refresh request"
        case BindingUpdate(sequence, flags, lifetime):
            kind = "PBU" if flags & BindingUpdateFlags.D else "plain PBU"
            hint = "" if flags & BindingUpdateFlags.D else _hint(message)
            return f"{kind} {sequence}{_options(message)}{hint} lifetime {lifetime // SECOND}s"
        case BindingAcknowledgement(status, flags, sequence, lifetime):
            kind = "PBA" if flags & BindingAcknowledgementFlags.D else "plain PBA"
            outcome = f"lifetime {lifetime // SECOND}s" if status < 128 else f"refused: {_status(status)}"
            return f"{kind} {sequence}{_options(message)} {outcome}"
        case HandoverInitiate(sequence, flags, code):
            words = " end" if code == HandoverInitiateCode.INDICATE_THE_COMPLETION_OF_FORWARDING else ""
            return f"HI{words} {sequence}{_options(message)} {_flags(HandoverInitiateFlags(flags))}"
        case HandoverAcknowledge(sequence, flags, code):
            outcome = HandoverAcknowledgeCode(code).name.lower().replace("_", " ")
            return f"HAck {sequence}{_options(message)} {_flags(HandoverAcknowledgeFlags(flags))} {outcome}"
    return f"{extension_words(message) or type(message).__name__}{_options(message)}"


def _flags(flags: HandoverInitiateFlags | HandoverAcknowledgeFlags) -> str:
    return "".join(letter for letter in "SUPF" if letter in type(flags).__members__ and flags & type(flags)[letter])


def _hint(update: BindingUpdate) -> str:
    """What a MAG knows of a handoff."""
    option = update.first(HandoffIndicator)
    known = (Handoff.NEW_INTERFACE, Handoff.BETWEEN_INTERFACES, Handoff.BETWEEN_GATEWAYS)
    if option is None or option.indicator not in known:
        return ""
    return f" {Handoff(option.indicator).name.lower().replace('_', ' ')}"


def _options(message: MobilityMessage) -> str:
    words = ""
    for option in message.options:
        match option:
            case MobileNodeIdentifier(_, identifier):
                words += f" {_host(identifier)}"
            case HomeNetworkPrefix() if option.prefix != ANY:
                words += f" {_prefix(option.prefix)}"
            case HandoffIndicator(indicator) if indicator == Handoff.NOT_CHANGED:
                words += " refresh"
            case AnchoredPrefix():
                words += f" anchored {_prefix(option.prefix)}"
            case LocalPrefix():
                words += f" local {_prefix(option.prefix)}"
            case PreviousMaar():
                words += f" previous {_prefix(option.prefix)} at {_name(option.maar)}"
            case ServingMaar(serving):
                words += f" serving {_name(serving)}"
            case LocalMobilityAnchorAddress():
                words += f" of {_name(option.address)}"
            case LinkLocalAddress(identity):
                words += " link-local" + (" ?" if not any(identity) else "")
            case DlifLinkLocalAddress(identity):
                words += f" identity {_identity(identity)}"
    return words


def _advertisement(effect: Advertise) -> str:
    words = f"RA to {_host(effect.link_layer)}"
    if effect.router != FIXED_LINK_LOCAL:
        words += f" as {_identity(effect.router)}"
    for advertised in effect.prefixes:
        state = "preferred" if advertised.preferred else "deprecated" if advertised.valid else "over"
        words += f", {_prefix(advertised.prefix)} {state}"
    for route in effect.routes:
        words += f", route to {_prefix(route)}"
    return words + ("" if effect.lifetime else ", no default router")


def _detail(key: str, value: str | int) -> str:
    if key == "node":
        return ""
    return f" {key}={_name_of_text(value)}" if isinstance(value, str) else f" {key}={value}"


def _name_of_text(value: str) -> str:
    for number in range(1, 10):
        if value == text(router(number)):
            return f"ar{number}"
        pool_start = str(pool(number))[: -len("::/48")]
        if value.startswith(pool_start) and value.endswith("/64"):
            return _prefix(prefix(value))
        if value == text(gateway(number)):
            return f"mag{number}"
    if value in (text(LMA), text(LMA2)):
        return "lma" if value == text(LMA) else "lma2"
    return "cmd" if value == text(CMD) else value.replace(" ", "_")


def _status(status: int) -> str:
    return Status(status).name.lower().replace("_", " ")


def _host(octets: bytes) -> str:
    return _NAMES.get(LinkLayer(octets), octets.hex())


def _name(address: Address) -> str:
    return _name_of_text(text(address))


def _identity(identity: Address) -> str:
    for number in range(1, 10):
        if identity == logical_link_local(router(number)):
            return f"router-of-ar{number}"
    return text(identity)


def _prefix(network: Prefix) -> str:
    for number in range(1, 10):
        if pool(number).contains(network):
            return f"ar{number}#{pool(number).index(network)}"
    if _HOME.contains(network):
        index = _HOME.index(network)
        return f"home#{index - START if index >= START else index}"
    return str(network)
