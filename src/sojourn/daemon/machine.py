"""What a configuration asks of this machine: are its addresses and interfaces here, can its files be written?

Looked at when the daemon starts and by ``sojourn check`` without ``--offline``; nothing is changed.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from sojourn.daemon.configuration import Configuration, speaks_ipv4
from sojourn.daemon.configuration_mobile import KeyUnusable, read_key
from sojourn.daemon.model import ROLES
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.model_mag import Mag
from sojourn.daemon.model_mobile import Association
from sojourn.files.sections import Key
from sojourn.files.toml import ConfigurationError, Problem
from sojourn.wire.addresses import Address, text, to_ipv4

LOOPBACK = "lo"
_TUN = "/dev/net/tun"
_STRICT = 1
_TENTATIVE_OR_FAILED = 0x40 | 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED


def look(configuration: Configuration) -> list[Problem]:
    """What is missing here for this file."""
    file = configuration.file
    problems: list[Problem] = []
    if not ipv6_here():
        problems.append(Problem(0, "", "this machine has IPv6 switched off", "boot without ipv6.disable=1"))
        return problems
    addresses = addresses_here()
    for role in ROLES:
        section = getattr(file, role)
        if section is not None:
            if isinstance(section, Lma) and section.pair is not None:
                problems += _pair(configuration, section, addresses)
            elif hasattr(section, "address"):
                problems += _address(configuration, (role, "address"), section.address, addresses)
            for index, interface in enumerate(getattr(section, "access", ())):
                problems += _interface(configuration, (role, "access", index), interface)
            if getattr(section, "multicast", None):
                problems += _interface(configuration, (role, "multicast", "upstream"), section.multicast.upstream)
            if getattr(section, "ipv4_transport", None):
                problems += _ipv4_address(configuration, (role, "ipv4_transport", "address"), section)
    problems += _mobile(configuration)
    if file.maar and speaks_ipv4(file.maar):
        problems += _reverse_path(configuration, {*file.maar.access, *file.maar.kernel.loop, LOOPBACK})
    for key in ("control", "store", "events"):
        problems += _directory(configuration, key, getattr(file, key))
    return problems


def _mobile(configuration: Configuration) -> list[Problem]:
    """Links and keys of the roles of Mobile IPv6."""
    file = configuration.file
    problems: list[Problem] = []
    if file.mn is not None:
        for index, interface in enumerate(file.mn.interfaces):
            problems += _interface(configuration, ("mn", "interfaces", index), interface)
        for index, home in enumerate(file.mn.homes):
            problems += _key(configuration, ("mn", "homes", index, "association"), home.association)
        problems += _key(configuration, ("mn", "anchors"), file.mn.anchors)
    if file.ha is not None:
        if file.ha.interface is not None:
            problems += _interface(configuration, ("ha", "interface"), file.ha.interface)
        for index, node in enumerate(file.ha.nodes):
            problems += _key(configuration, ("ha", "nodes", index, "association"), node.association)
    return problems


def _key(configuration: Configuration, key: Key, association: Association | None) -> list[Problem]:
    if association is None or not association.key_file:
        return []
    try:
        read_key(association.key_file)
    except KeyUnusable as error:
        return [
            configuration.problem((*key, "key_file"), str(error), "expected a file with a key that only root reads")
        ]
    return []


def demand(configuration: Configuration) -> None:
    """Raises `ConfigurationError` with all that is missing here."""
    problems = look(configuration)
    if problems:
        raise ConfigurationError(configuration.path, problems)


def ipv6_here() -> bool:
    """Whether the kernel speaks IPv6 at all."""
    return Path("/proc/thread-self/net/if_inet6").exists()


def addresses_here() -> dict[Address, tuple[str, bool]]:
    """The IPv6 addresses of this network namespace: the interface of each, and whether it can be used yet."""
    addresses: dict[Address, tuple[str, bool]] = {}
    for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
        octets, _, _, _, flags, interface = line.split()
        addresses[bytes.fromhex(octets)] = (interface, not int(flags, 16) & _TENTATIVE_OR_FAILED)
    return addresses


def _address(
    configuration: Configuration, key: Key, address: Address, here: dict[Address, tuple[str, bool]]
) -> list[Problem]:
    if address in here:
        interface, usable = here[address]
        if usable:
            return []
        return [
            configuration.problem(
                key,
                f"{text(address)} on {interface} is still being checked for duplicates, or is one",
                "wait two seconds and try again; see: ip -6 address show",
            )
        ]
    others = [text(other) for other, (interface, _) in here.items() if interface != LOOPBACK and other[0] != 0xFE]
    known = f"this machine has {', '.join(sorted(others))}" if others else "this machine has no global address"
    remedy = f"assign it (ip -6 address add {text(address)}/128 dev lo) or name one that is here; {known}"
    return [configuration.problem(key, f"{text(address)} is not an address of this machine", remedy)]


def _pair(configuration: Configuration, section: Lma, here: dict[Address, tuple[str, bool]]) -> list[Problem]:
    """Its own address is here; that of the anchor comes and goes with the daemon."""
    assert section.pair is not None
    problems = _address(configuration, ("lma", "pair", "own"), section.pair.own, here)
    interface, _ = here.get(section.address, ("", True))
    if interface not in ("", section.kernel.loop[0]):
        wrong = f"{text(section.address)} is on {interface}, and the partner may be the anchor (lma.pair)"
        remedy = f"remove it (ip -6 address del {text(section.address)}/128 dev {interface}); the daemon assigns it"
        problems.append(configuration.problem(("lma", "address"), wrong, remedy))
    return problems


def _ipv4_address(configuration: Configuration, key: Key, section: Mag | Lma) -> list[Problem]:
    """What tunnels over IPv4 need (RFC 5844 4)."""
    assert section.ipv4_transport is not None
    own, problems = socket.inet_ntop(socket.AF_INET, to_ipv4(section.ipv4_transport.address)), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.bind((own, 0))
        except OSError:
            remedy = f"assign it (ip address add {own}/32 dev lo) or name one that is here"
            problems.append(configuration.problem(key, f"{own} is not an address of this machine", remedy))
    if section.backend != "memory" and not os.access(_TUN, os.R_OK | os.W_OK):
        wrong = f"{_TUN}, by which packets are tunnelled over IPv4, is not there or not for this user"
        problems.append(configuration.problem(key[:2], wrong, "load the module tun, and run with CAP_NET_ADMIN"))
    return problems


def _interface(configuration: Configuration, key: Key, name: str) -> list[Problem]:
    try:
        socket.if_nametoindex(name)
    except OSError:
        here = ", ".join(name for _, name in socket.if_nameindex() if name != LOOPBACK) or "none but lo"
        return [configuration.problem(key, f"there is no interface {name!r}", f"this machine has: {here}")]
    return []


def _reverse_path(configuration: Configuration, spared: set[str]) -> list[Problem]:
    """IPv4 out of a tunnel comes in where its source is not: the kernel may be set to drop that everywhere."""
    of_all = _filtering("all")
    others = [name for _, name in socket.if_nameindex() if name not in spared]
    values = {name: max(of_all, _filtering(name)) for name in others}
    strict = bool(values) and all(value == _STRICT for value in values.values())
    loose = bool(values) and all(values.values()) and not _default_route()
    if not strict and not loose:
        return []
    why = "" if strict else ", as no route leads back to where it comes from"
    wrong = f"net.ipv4.conf.*.rp_filter makes the kernel drop what comes out of tunnels{why}"
    remedy = "set net.ipv4.conf.all.rp_filter=0 and the same for the interfaces of the core"
    remedy += "" if strict else ", or a default route"
    return [configuration.problem(("maar", "ipv4_pool"), wrong, remedy)]


def _filtering(interface: str) -> int:
    try:
        return int(Path(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter").read_text())
    except (OSError, ValueError):  # it went away
        return 0


def _default_route() -> bool:
    lines = Path("/proc/thread-self/net/route").read_text().splitlines()[1:]
    return any(line.split()[1] == "00000000" and line.split()[7] == "00000000" for line in lines)


def _directory(configuration: Configuration, key: str, path: str) -> list[Problem]:
    if not path:
        return []
    if Path(path).is_dir():
        return [configuration.problem((key,), f"{path!r} is a directory", "expected the path of a file")]
    directory = Path(path).absolute().parent
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent  # the daemon makes what is missing
    if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
        return []
    return [
        configuration.problem(
            (key,),
            f"{path!r} cannot be made: {str(directory)!r} is not a directory that we may write to",
            "expected a path that this user may write to",
        )
    ]
