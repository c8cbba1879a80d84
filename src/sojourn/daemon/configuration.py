"""Reading a configuration file: all mistakes at once, each with its place, what is wrong and what was expected.

Three passes: the TOML syntax, the keys and values (`sojourn.daemon.model`), and what contradicts itself
(`sojourn.daemon.contradictions`); how they are made is in `sojourn.files.toml`. What only this machine can say (is the
address assigned?) is in `sojourn.daemon.machine`, so that a file can be checked anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from sojourn.daemon import contradictions
from sojourn.daemon.model import LAYOUT, File
from sojourn.daemon.model_cmd import Cmd
from sojourn.daemon.model_extensions import settings as engine_settings
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_maar import Maar
from sojourn.daemon.model_mag import Mag, MagEverybody
from sojourn.daemon.model_parts import Kernel, Multicast, Retransmission
from sojourn.daemon.model_ways import ExtensionTable
from sojourn.dataplane.settings import LinuxSettings, Priorities, Tables
from sojourn.engines.configuration import (
    NO_CMD,
    CmdConfiguration,
    Dhcpv6,
    Gateway,
    GatewayProfile,
    HomeProfile,
    LmaConfiguration,
    MaarConfiguration,
    MagConfiguration,
    Mode,
    MulticastConfiguration,
    Neighbour,
    RetransmissionConstants,
)
from sojourn.engines.configuration import Maar as MaarOfDomain
from sojourn.engines.configuration import Peer as PeerOfMaar
from sojourn.engines.extension_settings import QualityRequest
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.files import toml
from sojourn.files.sections import Key
from sojourn.files.toml import Document, Fault, Problem
from sojourn.wire.addresses import Address, Prefix

_REPEATING = frozenset({"oai-pmipv6"})
"""Implementations that send a request again as it was."""
N = TypeVar("N", Tables, Priorities)


@dataclass(frozen=True)
class Configuration:
    """A file that can be used."""

    document: Document
    file: File
    notes: tuple[Problem, ...]
    """What works otherwise than it is written: for people."""

    @property
    def path(self) -> str:
        """Where the file is."""
        return self.document.name

    def problem(self, key: Key, wrong: str, expected: str) -> Problem:
        """A mistake at `key` that was found later."""
        return self.document.problem(Fault(key, wrong, expected))


def load(path: str | Path) -> Configuration:
    """Read the file. Raises `ConfigurationError`."""
    return parse(toml.read(path), str(path))


def parse(octets: bytes, name: str) -> Configuration:
    """Read a file's contents. Raises `ConfigurationError`."""
    document = toml.parse(octets, name)
    if isinstance(document.data.get("nodes"), dict) and "control" not in document.data:
        wrong = "describes a lab (it has a table [nodes]), not a daemon"
        raise toml.unusable(name, wrong, f"this is for: sojourn lab up {name}")
    found = contradictions.find(document.data)
    file = document.validate(File, LAYOUT, found)
    return Configuration(document, file, tuple(document.problem(fault) for fault in found if fault.note))


# --- what the engines are told ---------------------------------------------------------------------------------------


def maar_configuration(section: Maar) -> MaarConfiguration:
    """What the MAAR engine is told; keys and fields have the same names."""
    peers = tuple(
        PeerOfMaar(peer.address, peer.name, peer.pool, peer.ipv4_pool, peer.access_points, peer.partner)
        for peer in section.peers
    )
    return MaarConfiguration(
        **_same_names(MaarConfiguration, section, "cmd"),
        cmd=section.cmd or NO_CMD,
        neighbours=section.neighbours,
        mode=Mode(section.mode),
        dhcpv6=Dhcpv6(section.dhcpv6),
        peers=peers,
        retransmission=_retransmission(section.retransmission),
        multicast=None if section.multicast is None else _multicast(section.multicast, section.access),
        liveness=None if section.liveness is None else LivenessSettings(**section.liveness.model_dump()),
    )


def cmd_configuration(section: Cmd) -> CmdConfiguration:
    """What the CMD engine is told; keys and fields have the same names."""
    maars = tuple(MaarOfDomain(maar.address, maar.pool, maar.name, maar.ipv4_pool) for maar in section.maars)
    return CmdConfiguration(
        **_same_names(CmdConfiguration, section),
        mode=Mode(section.mode),
        maars=maars,
        shared=bool(section.databases),
        retransmission=_retransmission(section.retransmission),
    )


def mag_configuration(section: Mag) -> MagConfiguration:
    """What the MAG engine is told; keys and fields have the same names."""
    return MagConfiguration(
        **_same_names(MagConfiguration, section),
        profiles=tuple(
            GatewayProfile(
                known.link_layer,
                known.identifier or b"",
                known.lma,
                known.service,
                known.prefixes,
                _quality(known),
            )
            for known in section.profiles
        ),
        dhcpv6=Dhcpv6(section.dhcpv6),
        everybody=GatewayProfile(
            lma=section.everybody.lma, service=section.everybody.service, quality=_quality(section.everybody)
        ),
        neighbours=tuple(Neighbour(one.address, one.name, one.access_points) for one in section.neighbours),
        technologies=tuple(section.technologies.items()),
        retransmission=_retransmission(section.retransmission),
        multicast=None if section.multicast is None else _multicast(section.multicast, section.access),
    )


def _limits_rates(section: Mag) -> bool:
    """Whether some node has an agreement on quality of service."""
    return any(known.quality is not None for known in (section.everybody, *section.profiles))


def _quality(known: MagEverybody) -> QualityRequest | None:
    return None if known.quality is None else QualityRequest(**known.quality.model_dump())


def lma_configuration(section: Lma) -> LmaConfiguration:
    """What the LMA engine is told; keys and fields have the same names."""
    everybody = None if section.known_only else HomeProfile(**section.everybody.model_dump())
    return LmaConfiguration(
        **_same_names(LmaConfiguration, section),
        gateways=tuple(
            Gateway(known.address, known.name, known.care_of, (known.tolerate or section.tolerate) in _REPEATING)
            for known in section.gateways
        ),
        profiles=tuple(
            HomeProfile(node=known.identifier, **_without(known, "identifier")) for known in section.profiles
        ),
        everybody=everybody,
    )


def _without(section: BaseModel, name: str) -> dict[str, Any]:
    return {key: value for key, value in section if key != name}


def speaks_ipv4(section: Maar) -> bool:
    """Whether nodes there may have IPv4 addresses, from this router or from another."""
    return bool(section.ipv4_pool or section.lma_ipv4_pool) or any(peer.ipv4_pool is not None for peer in section.peers)


def linux_settings(section: Maar | Mag | Lma) -> LinuxSettings:
    """What the data plane in the kernel is told."""
    match section:
        case Maar():
            # The CMD may turn out to be a legacy LMA, which anchors by itself: a tunnel end like a peer.
            peers = (*(peer.address for peer in section.peers), *((section.cmd,) if section.cmd else ()))
            settings = LinuxSettings(
                section.address,
                section.pool,
                peers,
                section.access,
                delegated_length=0 if section.dhcpv6 != "stateful" else section.delegated_length,
                ipv4=speaks_ipv4(section),
                ipv4_pool=section.ipv4_pool,
                neighbours=tuple(peer.address for peer in section.peers) if section.handovers else (),
                drop_unassigned=section.partner is not None,  # its partner sends here what it does not know
                **_of_access(section),
            )
        case Mag():
            neighbours = neighbours_of(section)
            peers = tuple(dict.fromkeys((*anchors_of(section), *_other_ends(section), *neighbours)))
            settings = LinuxSettings(
                section.address,
                section.visitors,
                peers,
                section.access,
                local_routing=section.local_routing,
                drop_strays=section.counters,
                rates=section.counters and _limits_rates(section),
                ipv4=section.ipv4,
                neighbours=neighbours,
                **_of_access(section),
            )
            if section.multipath is not None:
                settings = replace(settings, path_addresses=section.multipath.care_of)
            if section.ipv4_transport is not None:
                settings = replace(settings, transport=section.ipv4_transport.address, transport_peers=(section.lma,))
            if section.link_local_of_lma:
                settings = replace(settings, link_local=None)
        case Lma():
            ends = tuple(end for gateway in section.gateways for end in (gateway.address, *gateway.care_of))
            owned = (*section.pools, *(prefix for known in section.profiles for prefix in known.prefixes))
            if section.delegation is not None:
                delegated = (prefix for prefixes in section.delegation.nodes.values() for prefix in prefixes)
                owned = (*owned, *section.delegation.pools, *delegated)
            settings = LinuxSettings(
                section.address,
                None,
                ends,
                (),
                buffer=False,
                other_pools=owned,
                drop_unassigned=True,
                ipv4=section.ipv4_pool is not None,
                ipv4_pool=section.ipv4_pool,
            )
            if section.pair is not None:
                own = (Prefix(section.address, 128), *owned, *filter(None, [section.ipv4_pool]))
                settings = replace(settings, announced=own)
            if section.ipv4_transport is not None:
                over_ipv4 = tuple(gateway.address for gateway in section.ipv4_transport.gateways)
                settings = replace(settings, transport=section.ipv4_transport.address, transport_peers=over_ipv4)
            if section.user_plane is not None:
                settings = replace(settings, address=section.user_plane.address, other_addresses=(section.address,))
    settings = replace(settings, mtu=section.mtu, prefix_length=section.prefix_length, counters=section.counters)
    return replace(settings, backend=section.backend, **kernel_numbers(section.kernel))


def _of_access(section: Maar | Mag) -> dict[str, Any]:
    return {
        "buffer": section.buffer,
        "upstream": section.multicast.upstream if section.multicast else "",
        "handovers": section.handovers,
        "link_layer": section.link_layer,
        "link_local": section.link_local,
    }


def kernel_numbers(kernel: Kernel) -> dict[str, Any]:
    """What of the kernel is the daemon's own, as `LinuxSettings` has it."""
    return {
        "loop": kernel.loop,
        "tunnels": kernel.tunnels,
        "transport_device": kernel.transport,
        "tables": _moved(Tables(), kernel.first_table - Tables.decapsulation),
        "priorities": _moved(Priorities(), kernel.first_priority - Priorities.inner_spoofing),
        "nexthops": kernel.nexthops,
        "mark": kernel.mark,
        "mark_mask": kernel.mark_mask,
        "hold_octets": kernel.hold_octets,
        "hold_seconds": kernel.hold_seconds,
        "handover_packets": kernel.handover_packets,
    }


def anchors_of(section: Mag) -> tuple[Address, ...]:
    """The LMAs that a gateway's nodes may have."""
    others = (known.lma for known in (section.everybody, *section.profiles))
    return tuple(dict.fromkeys((section.lma, *(lma for lma in others if lma is not None), *section.redirect_anchors)))


def neighbours_of(section: Mag) -> tuple[Address, ...]:
    """The gateways that a gateway hands nodes over to."""
    return tuple(dict.fromkeys(one.address for one in section.neighbours)) if section.handovers else ()


def _other_ends(section: Mag) -> tuple[Address, ...]:
    """Who else packets come from in tunnels."""
    localized, user_plane = section.localized_routing, section.user_plane
    listed = () if localized is None else localized.gateways
    gateways = tuple(gateway for gateway in listed if gateway != section.address)
    return gateways if user_plane is None else (*gateways, *user_plane.addresses)


def _moved(numbers: N, distance: int) -> N:
    """The same numbers, all of them moved."""
    moved = {field.name: getattr(numbers, field.name) + distance for field in fields(numbers)}
    return replace(numbers, **moved)


def _same_names(configuration: type, section: BaseModel, *others: str) -> dict[str, Any]:
    made_here = {"mode", "dhcpv6", "peers", "maars", "retransmission", "multicast", "access", "repeats", "shared"}
    made_here |= {"gateways", "profiles", "everybody", "technologies", "neighbours", "liveness", *others}
    names = [field.name for field in fields(configuration) if field.name not in made_here]
    return {name: _told(getattr(section, name)) for name in names}


def _told(value: Any) -> Any:
    """What the engine is told in the place of a value of the file."""
    return value.settings() if isinstance(value, ExtensionTable) else engine_settings(value)


def _retransmission(section: Retransmission) -> RetransmissionConstants:
    return RetransmissionConstants(**_same_names(RetransmissionConstants, section))


def _multicast(section: Multicast, access: tuple[str, ...]) -> MulticastConfiguration:
    return MulticastConfiguration(**_same_names(MulticastConfiguration, section), access=access)
