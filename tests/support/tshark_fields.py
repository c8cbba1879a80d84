"""What tshark 4.0 calls our fields, and where it is known to read them differently.

`KNOWN` has the fields of each class that it decodes; `DISAGREEMENTS` the table of what it reads otherwise, with the
reason; numbers in `OPAQUE_OPTIONS` are octets to it, those in `UNREADABLE` make it lose its place in the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sojourn import wire
from sojourn.wire.extensions import (
    rfc3963,
    rfc4068,
    rfc4285,
    rfc4866,
    rfc5026,
    rfc5096,
    rfc5149,
    rfc5380,
    rfc5555,
    rfc5568,
    rfc5648,
    rfc5844,
    rfc5845,
    rfc5949,
    rfc6463,
    rfc6602,
    rfc6705,
    rfc6757,
    rfc7148,
)
from sojourn.wire.extensions import rfc5568_discovery as fast
from sojourn.wire.extensions import rfc6275_discovery as agents
from sojourn.wire.messages import LIFETIME_UNIT
from sojourn.wire.units import MILLISECOND, SECOND

Values = dict[str, Callable[[Any], int | bytes | None]]
"""By field name: the number or octets that must be shown; None: the field may not be there."""


def octets_of(name: str) -> Callable[[Any], bytes]:
    """The octets of an attribute."""
    return lambda thing: bytes(getattr(thing, name))


def number_of(name: str, unit: int = 1) -> Callable[[Any], int]:
    """A number."""
    return lambda thing: int(getattr(thing, name)) // unit


def bit_of(mask: int) -> Callable[[Any], int]:
    """A flag."""
    return lambda thing: int(bool(thing.flags & mask))


def short_of(name: str) -> Callable[[Any], bytes | None]:
    """The octets without the last two, which tshark loses, unless there is only one."""

    def kept(thing: Any) -> bytes | None:
        whole = bytes(getattr(thing, name))
        return whole if len(whole) == 1 else whole[:-2] or None

    return kept


def of_size(name: str, size: int) -> Callable[[Any], bytes | None]:
    """The octets of an address if they are so many."""
    return lambda thing: bytes(getattr(thing, name)) if len(getattr(thing, name)) == size else None


def flags(prefix: str, known: Any, letters: str) -> Values:
    """Flag fields named after their letters."""
    return {prefix.format(letter.lower()): bit_of(known[letter].value) for letter in letters}


_BU, _BA, _BR = wire.BindingUpdateFlags, wire.BindingAcknowledgementFlags, wire.BindingRevocationFlags
KNOWN: dict[Any, Values] = {
    wire.BindingRefreshRequest: {"mip6.binding_refresh_request": number_of("reserved")},
    wire.HomeTestInit: {"mip6.hoti.cookie": octets_of("cookie")},
    wire.CareOfTestInit: {"mip6.coti.cookie": octets_of("cookie")},
    wire.HomeTest: {
        "mip6.hot.nindex": number_of("nonce_index"),
        "mip6.hot.cookie": octets_of("cookie"),
        "mip6.hot.token": octets_of("keygen_token"),
    },
    wire.CareOfTest: {
        "mip6.cot.nindex": number_of("nonce_index"),
        "mip6.cot.cookie": octets_of("cookie"),
        "mip6.hot.token": octets_of("keygen_token"),
    },
    wire.BindingUpdate: {
        "mip6.bu.seqnr": number_of("sequence"),
        "mip6.bu.lifetime": number_of("lifetime", LIFETIME_UNIT),
        **flags("mip6.bu.{}_flag", _BU, "AHLKMPFTB"),
        "mip6.nemo.bu.r_flag": bit_of(_BU.R),
    },
    wire.BindingAcknowledgement: {
        "mip6.ba.status": number_of("status"),
        "mip6.ba.seqnr": number_of("sequence"),
        "mip6.ba.lifetime": number_of("lifetime", LIFETIME_UNIT),
        **flags("mip6.ba.{}_flag", _BA, "KPTB"),
        "mip6.nemo.ba.r_flag": bit_of(_BA.R),
    },
    wire.BindingError: {"mip6.be.status": number_of("status"), "mip6.be.haddr": octets_of("home_address")},
    rfc5568.FastBindingUpdate: {
        "mip6.fbu.seqnr": number_of("sequence"),
        "mip6.fbu.lifetime": number_of("lifetime", LIFETIME_UNIT),
        **flags("mip6.fbu.{}_flag", rfc5568.FastBindingUpdateFlags, "AHLK"),
    },
    rfc5568.FastBindingAcknowledgment: {
        "mip6.fback.status": number_of("status"),
        "mip6.fback.seqnr": number_of("sequence"),
        "mip6.fback.lifetime": number_of("lifetime", LIFETIME_UNIT),
        "mip6.fback.k_flag": bit_of(0x80),
    },
    rfc4068.FastNeighborAdvertisement: {"mip6.fast_neighbor_advertisement": number_of("reserved")},
    rfc5096.ExperimentalMobilityHeader: {"mip6.em.data": octets_of("data")},
    wire.Heartbeat: {
        "mip6.hb.seqnr": number_of("sequence"),
        "mip6.hb.u_flag": bit_of(2),
        "mip6.hb.r_flag": bit_of(1),
    },
    rfc5568.HandoverInitiate: {
        "mip6.hi.seqnr": number_of("sequence"),
        "mip6.hi.s_flag": bit_of(0x80),
        "mip6.hi.u_flag": bit_of(0x40),
        "mip6.hi.code": number_of("code"),
    },
    rfc5568.HandoverAcknowledge: {"mip6.hack.seqnr": number_of("sequence"), "mip6.hack.code": number_of("code")},
    wire.BindingRevocationIndication: {
        "mip6.bri_br.type": number_of("revocation_type"),
        "mip6.bri_r.trigger": number_of("trigger"),
        "mip6.bri_seqnr": number_of("sequence"),
        **flags("mip6.bri_i{}", _BR, "PVG"),
    },
    wire.BindingRevocationAcknowledgement: {
        "mip6.bri_br.type": number_of("revocation_type"),
        "mip6.bri_status": number_of("status"),
        "mip6.bri_seqnr": number_of("sequence"),
        **flags("mip6.bri_a{}", _BR, "PVG"),
    },
    wire.Pad1: {},
    wire.PadN: {},
    wire.BindingRefreshAdvice: {"mip6.bra.interval": number_of("interval", LIFETIME_UNIT)},
    wire.AlternateCareOfAddress: {"mip6.acoa.acoa": octets_of("address")},
    wire.NonceIndices: {"mip6.ni.hni": number_of("home"), "mip6.ni.cni": number_of("care_of")},
    wire.BindingAuthorizationData: {"mip6.bad.auth": lambda option: option.authenticator or None},
    rfc3963.MobileNetworkPrefix: {
        "mip6.nemo.mnp.pfl": number_of("prefix_length"),
        "mip6.nemo.mnp.mnp": octets_of("address"),
    },
    rfc5568.MobilityHeaderLinkLayerAddress: {
        "mip6.lla.optcode": number_of("code"),
        "mip6.lla": lambda option: option.link_layer or None,
    },
    wire.MobileNodeIdentifier: {"mip6.mnid.subtype": number_of("subtype")},
    rfc4285.MobilityMessageAuthentication: {
        "mip6.auth.subtype": number_of("subtype"),
        "mip6.auth.mobility_spi": number_of("spi"),
        "mip6.auth.auth_data": short_of("authenticator"),
    },
    rfc4285.MobilityMessageReplayProtection: {"mip6.mseg_id.timestamp": number_of("timestamp")},
    rfc4866.CgaParametersRequest: {},
    rfc4866.CgaParameters: {"mip6.cgar.cga_par": short_of("data")},
    rfc4866.Signature: {"mip6.sign.sign": short_of("signature")},
    rfc4866.PermanentHomeKeygenToken: {"mip6.phkt.phkt": short_of("token")},
    rfc4866.CareOfTestInitOption: {},
    rfc4866.CareOfTestOption: {"mip6.mocot.co_keygen_tok": short_of("token")},
    rfc5026.DnsUpdate: {
        "mip6.dnsu.status": number_of("status"),
        "mip6.dnsu.flag.r": number_of("remove"),
        "mip6.dnsu.mn_id": short_of("name"),
    },
    rfc5096.ExperimentalMobilityOption: {"mip6.em.data": short_of("data")},
    wire.VendorSpecific: {"mip6.vsm.vendorId": number_of("vendor"), "mip6.vsm.subtype": number_of("subtype")},
    rfc5149.ServiceSelection: {"mip6.ss.identifier": octets_of("identifier")},
    rfc5568.BindingAuthorizationDataForFmipv6: {
        "mip6.badff.spi": number_of("spi"),
        "mip6.badff.auth": short_of("authenticator"),
    },
    wire.HomeNetworkPrefix: {
        "mip6.nemo.mnp.pfl": number_of("prefix_length"),
        "mip6.nemo.mnp.mnp": octets_of("address"),
    },
    wire.HandoffIndicator: {"mip6.hi": number_of("indicator"), "mip6.hi.reserved": number_of("reserved")},
    wire.AccessTechnologyType: {"mip6.att": number_of("technology"), "mip6.att.reserved": number_of("reserved")},
    wire.MobileNodeLinkLayerIdentifier: {
        "mip6.mnlli.reserved": number_of("reserved"),
        "mip6.mnlli.lli": lambda option: option.identifier or None,
    },
    wire.LinkLocalAddress: {"mip6.lila_lla": octets_of("address")},
    wire.Timestamp: {"mip6.timestamp_tmp": number_of("ticks")},
    wire.RestartCounter: {"mip6.rc": number_of("counter")},
    rfc5555.Ipv4HomeAddress: {
        "mip6.ipv4ha.preflen": number_of("prefix_length"),
        "mip6.ipv4ha.p_flag": number_of("prefix_requested"),
        "mip6.ipv4ha.ha": octets_of("address"),
    },
    rfc5555.Ipv4AddressAcknowledgement: {
        "mip6.ipv4aa.sts": number_of("status"),
        "mip6.ipv4ha.preflen": number_of("prefix_length"),
        "mip6.ipv4ha.ha": octets_of("address"),
    },
    rfc5555.NatDetection: {
        "mip6.natd.f_flag": number_of("force"),
        "mip6.natd.reserved": number_of("reserved"),
        "mip6.natd.refresh_t": number_of("refresh"),
    },
    rfc5555.Ipv4CareOfAddress: {
        "mip6.ipv4coa.reserved": number_of("reserved"),
        "mip6.ipv4coa.addr": octets_of("address"),
    },
    rfc5845.GreKey: {
        "mip6.ipv4dra.reserved": number_of("reserved"),
        "mip6.gre_key": lambda option: option.octets or None,
    },
    rfc5568.MobilityHeaderIpv6AddressPrefix: {
        "mip6.mhipv6ap.opt_code": number_of("code"),
        "mip6.mhipv6ap.len": number_of("prefix_length"),
        "mip6.mhipv6ap.ipv6_address": octets_of("address"),
    },
    rfc5648.BindingIdentifier: {
        "mip6.bi.bid": number_of("identifier"),
        "mip6.bi.status": number_of("status"),
        "mip6.bi.h_flag": number_of("home"),
        "mip6.bi.coa_ipv4": of_size("care_of", 4),
        "mip6.bi.coa_ipv6": of_size("care_of", 16),
    },
    rfc5844.Ipv4HomeAddressRequest: {
        "mip6.ipv4ha.preflen": number_of("prefix_length"),
        "mip6.ipv4ha.ha": octets_of("address"),
    },
    rfc5844.Ipv4HomeAddressReply: {
        "mip6.ipv4aa.sts": number_of("status"),
        "mip6.ipv4ha.preflen": number_of("prefix_length"),
        "mip6.ipv4ha.ha": octets_of("address"),
    },
    rfc5844.Ipv4DefaultRouterAddress: {
        "mip6.ipv4dra.reserved": number_of("reserved"),
        "mip6.ipv4dra.dra": octets_of("address"),
    },
    rfc5844.Ipv4DhcpSupportMode: {
        "mip6.ipv4dsm.reserved": number_of("reserved"),
        "mip6.ipv4dsm.s_flag": number_of("server"),
    },
    rfc5949.ContextRequest: {"mip6.cr.reserved": number_of("reserved")},
    rfc5949.LocalMobilityAnchorAddress: {
        "mip6.lmaa.opt_code": number_of("code"),
        "mip6.lmaa.reserved": number_of("reserved"),
        "mip6.lmaa.ipv4": of_size("address", 4),
        "mip6.lmaa.ipv6": of_size("address", 16),
    },
    rfc6463.RedirectCapability: {"mip6.recap.reserved": number_of("reserved")},
    rfc6463.Redirect: {
        "mip6.redir.k": number_of("ipv6"),
        "mip6.redir.n": number_of("ipv4"),
        "mip6.redir.reserved": number_of("reserved"),
        "mip6.redir.addr_r2lma_ipv4": of_size("address", 4),
        "mip6.redir.addr_r2lma_ipv6": of_size("address", 16),
    },
    rfc6463.LoadInformation: {
        "mip6.load_inf.priority": number_of("priority"),
        "mip6.load_inf.sessions_in_use": number_of("sessions"),
        "mip6.load_inf.maximum_sessions": number_of("maximum_sessions"),
        "mip6.load_inf.used_capacity": number_of("used_capacity"),
        "mip6.load_inf.maximum_capacity": number_of("maximum_capacity"),
    },
    rfc6463.AlternateIpv4CareOfAddress: {"mip6.alt_ip4": octets_of("address")},
    rfc6602.MobileNodeGroupIdentifier: {
        "mip6.mng.sub_type": number_of("subtype"),
        "mip6.mng.reserved": number_of("reserved"),
        "mip6.mng.mng_id": number_of("group"),
    },
    rfc6705.MagIpv6Address: {
        "mip6.mag_ipv6.reserved": number_of("reserved"),
        "mip6.mag_ipv6.address_length": number_of("address_length"),
        "mip6.mag_ipv6.address": octets_of("address"),
    },
    rfc6757.AccessNetworkIdentifier: {},
    rfc7148.DelegatedMobileNetworkPrefix: {
        "mip6.dmnp.v_flag": number_of("ipv4"),
        "mip6.dmnp.reserved": number_of("reserved"),
        "mip6.dmnp.prefix_len": number_of("prefix_length"),
        "mip6.dmnp.dmnp_ipv4": of_size("address", 4),
        "mip6.dmnp.dmnp_ipv6": of_size("address", 16),
    },
}
"""What tshark 4.0 shows, by class."""
KNOWN_ICMPV6: dict[Any, dict[str, Callable[[Any], int]]] = {
    agents.HomeAgentAddressDiscoveryRequest: {
        "icmpv6.code": number_of("code"),
        "icmpv6.mip6.identifier": number_of("identifier"),
    },
    agents.HomeAgentAddressDiscoveryReply: {
        "icmpv6.code": number_of("code"),
        "icmpv6.mip6.identifier": number_of("identifier"),
    },
    agents.MobilePrefixSolicitation: {"icmpv6.mip6.identifier": number_of("identifier")},
    agents.MobilePrefixAdvertisement: {"icmpv6.mip6.identifier": number_of("identifier")},
    fast.RouterSolicitationForProxyAdvertisement: {
        "icmpv6.code": number_of("code"),
        "icmpv6.fmip6.subtype": number_of("subtype"),
        "icmpv6.fmip6.identifier": number_of("identifier"),
    },
    fast.ProxyRouterAdvertisement: {
        "icmpv6.code": number_of("code"),
        "icmpv6.fmip6.subtype": number_of("subtype"),
        "icmpv6.fmip6.identifier": number_of("identifier"),
    },
    agents.AdvertisementInterval: {"icmpv6.opt.advertisement_interval": number_of("interval", MILLISECOND)},
    agents.HomeAgentInformation: {
        "icmpv6.opt.home_agent_preference": number_of("preference"),
        "icmpv6.opt.home_agent_lifetime": number_of("lifetime", SECOND),
    },
    rfc5380.MobilityAnchorPoint: {
        "icmpv6.opt.map.distance": number_of("distance"),
        "icmpv6.opt.map.preference": number_of("preference"),
        "icmpv6.opt.map.valid_lifetime": number_of("lifetime", SECOND),
        "icmpv6.opt.map.global_address": lambda option: int.from_bytes(option.address, "big"),
    },
    fast.LinkLayerAddress: {"icmpv6.opt.lla.option_code": number_of("code")},
}
"""The same for ICMPv6: numbers only."""
OPAQUE_MESSAGES = {19, 20, 21, 22, 23}
"""Types that it does not know."""
WRONG_MESSAGES = {12, 17, 18}
"""Types of which it misses where the options begin."""
OPAQUE_OPTIONS = {42, 43, 44, 45, 53, 54, *range(56, 60), *range(62, 71)}
UNREADABLE = {60, 61}
"""Options whose length it takes for octets, so that it reads the rest of the message from the wrong place."""

DISAGREEMENTS: dict[str, str] = {
    "MH 11": "dissector: shows no data when Header Len is zero",
    "MH 12": "dissector: options are read six octets too early; RFC 5142 4 has them behind the addresses",
    "MH 17": "dissector: reads sequence and lifetime from the first octets of the header; RFC 6705 10.1",
    "MH 18": "dissector: as for MH 17; RFC 6705 10.2",
    "4": "dissector: the token of a Care-of Test is filed under mip6.hot.token",
    "8": "dissector: complains of an identifier without octets, which RFC 4283 3 does not forbid",
    "9": "dissector: drops the last two octets of the authenticator",
    "10": "dissector: takes NTP time for seconds since 1970; the octets are right",
    "12": "dissector: drops the last two octets",
    "13": "dissector: drops the last two octets, and calls the field CGA Parameters",
    "14": "dissector: drops the last two octets",
    "16": "dissector: drops the last two octets",
    "17": "dissector: drops the last two octets of the name",
    "18": "dissector: drops the last two octets",
    "19": "dissector: drops the last two octets of the data, and may hide a subtype with no data behind it",
    "21": "dissector: drops the last two octets of the authenticator",
    "22": "dissector: shows the fields of option 6; not the flag L of RFC 7864",
    "33": "dissector: files the reserved field under mip6.ipv4dra.reserved",
    "51": "dissector: expects 16 octets where RFC 6705 11.1 has 18, and complains",
    "52": "dissector: complains of an option without sub-options and of sub-options 4 to 6 of RFC 7563",
    "60": "dissector: does not know that the length counts words (RFC 7411 5.3)",
    "61": "dissector: as for option 60 (RFC 7411 5.4)",
}
"""Where tshark reads something else than we write. No row is an error of ours."""
