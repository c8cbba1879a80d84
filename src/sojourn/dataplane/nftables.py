"""Just enough of nf_tables to keep a small table ``sojourn`` per family: transactions, sets, lists of expressions.

A table is static: it is written once, in one transaction. Afterwards only elements of its sets come and go. In
``ip6 sojourn`` these are `away` and `far`, always the same in both; each of `away` carries a packet counter, which
counts whenever it is looked up. ``ip sojourn`` has sets of IPv4 sources, and `far` too. What the rules are for is in
`filters` and `ipv4_filter`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence

from sojourn.dataplane.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    Netlink,
    attribute,
    attributes,
    each_attribute,
    join,
    nested,
    open_netlink,
    refusal_text,
    split,
)

TABLE = "sojourn"
_OF_OURS = b"\x7f"
"""What is written on a table has a type and a length, or nft(8) dies of it; this type is nobody else's."""
COUNTED, FAR, ROUTERS, NEIGHBOURS, PEERS = "away", "far", "routers", "neighbours", "peers"
"""The sets of prefixes: looked up to count, and looked up without counting; that of networks behind nodes; and
those of routers."""
RATES = ("downlink", "uplink")
"""Sets of prefixes with a rate each: a packet that is within it is none of theirs."""

_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 16, 17
_NEWTABLE, _GETTABLE, _DELTABLE = 0, 1, 2
_NEWCHAIN, _NEWRULE, _GETRULE, _NEWSET = 3, 6, 7, 9
_NEWSETELEM, _GETSETELEM, _DELSETELEM = 12, 13, 14
NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
_NLMSG_ERROR = 2
_SET_EXPR = 0x100
_TYPES = {4: 7, 16: 8}
_TYPE_INTEGER = 4
"""What nft(8) shows keys as, by their octets: addresses, or else numbers."""

REGISTER = 1
SECOND_REGISTER = 2
"""Comes right behind the first one, of 16 octets: both together are a key of 32."""
SET_FORGETS = 0x10
"""Elements may have a time to live (NFT_SET_TIMEOUT)."""
VERDICT = 0
DROP, ACCEPT, JUMP, GOTO = 0, 1, -3, -4
EQUAL, NOT_EQUAL, GREATER = 0, 1, 4
NETWORK, TRANSPORT = 1, 2
META_LENGTH, META_MARK, META_INPUT, META_OUTPUT, META_PROTOCOL = 0, 3, 6, 7, 16
HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = 0, 1, 2, 3, 4


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def _name(kind: int, name: str) -> bytes:
    return attribute(kind, name.encode() + b"\0")


# --- expressions ------------------------------------------------------------------------------------------------


def _expression(name: str, data: bytes) -> bytes:
    return nested(1, _name(1, name) + nested(2, data))


def load(base: int, offset: int, size: int, register: int = REGISTER) -> bytes:
    """Octets of the packet into the register."""
    return _expression("payload", _be32(1, register) + _be32(2, base) + _be32(3, offset) + _be32(4, size))


def load_meta(key: int) -> bytes:
    """What the kernel knows of the packet into the register."""
    return _expression("meta", _be32(2, key) + _be32(1, REGISTER))


def store_mark() -> bytes:
    """The register becomes the packet's mark."""
    return _expression("meta", _be32(2, META_MARK) + _be32(3, REGISTER))


def mask(value: bytes, xor: bytes = b"", register: int = REGISTER) -> bytes:
    """The register, of as many octets as `value` has, becomes ``(register & value) ^ xor``."""
    size = len(value)
    data = _be32(1, register) + _be32(2, register) + _be32(3, size)
    data += nested(4, attribute(1, value)) + nested(5, attribute(1, xor or bytes(size)))
    return _expression("bitwise", data)


def network_order() -> bytes:
    """The number in the register in network order, as comparisons need it."""
    data = _be32(1, REGISTER) + _be32(2, REGISTER) + _be32(3, 1) + _be32(4, 4) + _be32(5, 4)
    return _expression("byteorder", data)


def compare(operator: int, value: bytes) -> bytes:
    """The rule ends here unless the register stands so to `value`."""
    return _expression("cmp", _be32(1, REGISTER) + _be32(2, operator) + nested(3, attribute(1, value)))


def member(set_name: str) -> bytes:
    """The rule ends here unless the register is an element; an element's counter counts."""
    return _expression("lookup", _name(1, set_name) + _be32(2, REGISTER))


def verdict(code: int, chain: str = "") -> bytes:
    """Drop, accept, or go on in `chain`."""
    data = _be32(1, code) + (_name(2, chain) if chain else b"")
    return _expression("immediate", _be32(1, VERDICT) + nested(2, nested(2, data)))


def clamp_segment_size(octets: int) -> bytes:
    """The TCP option Maximum Segment Size becomes at most `octets` (the kernel never raises it)."""
    value = _expression("immediate", _be32(1, REGISTER) + nested(2, attribute(1, struct.pack(">H", octets))))
    option = attribute(2, b"\x02") + _be32(3, 2) + _be32(4, 2) + _be32(6, 1) + _be32(7, REGISTER)
    return value + _expression("exthdr", option)


def load_extension(header: int, offset: int, size: int) -> bytes:
    """Octets of an IPv6 extension header into the register; the rule ends here where there is none."""
    data = _be32(1, REGISTER) + attribute(2, bytes((header,))) + _be32(3, offset) + _be32(4, size)
    return _expression("exthdr", data)


def has_extension(header: int) -> bytes:
    """The rule ends here unless there is this IPv6 extension header."""
    data = _be32(1, REGISTER) + attribute(2, bytes((header,))) + _be32(3, 0) + _be32(4, 1) + _be32(5, 1)
    return _expression("exthdr", data) + compare(EQUAL, b"\x01")


def matches(*expressions: bytes) -> tuple[bytes, ...]:
    """One rule, for reading."""
    return expressions


# --- the table ----------------------------------------------------------------------------------------------------


class Table:
    """Transactions on the table of a family.

    Raises OSError, with EPROTONOSUPPORT or EINVAL where the kernel has no nf_tables.
    """

    def __init__(self, family: int, name: str = TABLE) -> None:
        """Open a socket in the network namespace of the calling thread."""
        self._family = family
        self._table = _name(1, name)
        self._socket: socket.socket = open_netlink(NETLINK_NETFILTER)
        self._reader = Netlink(self._socket)
        self._sequence = 1 << 16

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._socket.close()

    def fingerprint(self) -> bytes | None:
        """What `write` wrote on the table; None when there is none."""
        try:
            table = self._reader.get(_SUBSYSTEM << 8 | _GETTABLE, _generic(self._family) + self._table)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return attributes(table, 4).get(6, b"").removeprefix(_OF_OURS)[1:]

    def write(
        self,
        fingerprint: bytes,
        sets: Iterable[bytes],
        elements: Iterable[bytes],
        chains: Iterable[tuple[str, tuple[int, int] | None]],
        rules: Iterable[tuple[str, tuple[bytes, ...]]],
    ) -> None:
        """Write the whole table, in place of an older one, in one transaction.

        `chains` are (name, None or (hook, priority)), `rules` are (chain, expressions), `elements` those of constant
        sets (`elements_of`).
        """
        table = self._table
        transaction = [(_NEWTABLE, NLM_F_CREATE, table), (_DELTABLE, 0, table)]
        told = _OF_OURS + bytes((len(fingerprint),)) + fingerprint
        transaction.append((_NEWTABLE, NLM_F_CREATE, table + attribute(6, told)))
        transaction += [(_NEWSET, NLM_F_CREATE, one) for one in sets]
        for name, hook in chains:
            chain = table + _name(3, name)
            if hook is not None:
                chain += nested(4, _be32(1, hook[0]) + _be32(2, hook[1])) + _name(7, "filter") + _be32(5, ACCEPT)
            transaction.append((_NEWCHAIN, NLM_F_CREATE, chain))
        transaction += [(_NEWSETELEM, NLM_F_CREATE, one) for one in elements]
        for name, expressions in rules:
            rule = table + _name(2, name) + nested(4, b"".join(expressions))
            transaction.append((_NEWRULE, NLM_F_CREATE | 0x800, rule))  # NLM_F_APPEND
        self.commit(transaction)

    def remove(self) -> None:
        """No table any more."""
        self.commit([(_DELTABLE, 0, self._table)], harmless=errno.ENOENT)

    def put(self, key: bytes, *names: str) -> None:
        """`key` is an element of these sets; one that is there keeps its counter."""
        self.commit([(_NEWSETELEM, NLM_F_CREATE, elements_of(name, [key])) for name in names])

    def drop(self, key: bytes, *names: str) -> None:
        """`key` is no element of these sets."""
        self.commit([(_DELSETELEM, 0, elements_of(name, [key])) for name in names], harmless=errno.ENOENT)

    def let_expire(self, key: bytes, name: str, milliseconds: int) -> None:
        """`key`, an element of a set that forgets, is one for so long only."""
        self.commit(
            [
                (_DELSETELEM, 0, elements_of(name, [key])),
                (_NEWSETELEM, NLM_F_CREATE, elements_of(name, [key], milliseconds)),
            ],
            harmless=errno.ENOENT,
        )

    def exchange(self, key: bytes, put: Iterable[str], drop: Iterable[str]) -> None:
        """At once `key` becomes an element of some sets, where it is none, and leaves others, where it is one."""
        listed = [(_NEWSETELEM, NLM_F_CREATE, elements_of(name, [key])) for name in put]
        self.commit([*listed, *((_DELSETELEM, 0, elements_of(name, [key])) for name in drop)])

    def rules(self) -> int:
        """How many rules there are in the kernel: whoever flushes a table leaves what is written on it."""
        return len(self._reader.dump(_SUBSYSTEM << 8 | _GETRULE, _generic(self._family) + self._table))

    def elements(self, name: str) -> dict[bytes, dict[int, bytes]]:
        """The elements of a set, each with what else the kernel says of it."""
        request = _generic(self._family) + self._table + _name(2, name)
        found: dict[bytes, dict[int, bytes]] = {}
        for body in self._reader.dump(_SUBSYSTEM << 8 | _GETSETELEM, request):
            for _, element in each_attribute(attributes(body, 4).get(3, b"")):
                parts = attributes(element)
                found[attributes(parts.get(1, b"")).get(1, b"")] = parts
        return found

    def commit(self, transaction: Sequence[tuple[int, int, bytes]], harmless: int = 0) -> None:
        """All or nothing. The kernel answers before `send` returns, so nothing is waited for."""
        first = self._sequence
        self._sequence += len(transaction) + 2
        boundary = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        messages = [(_BATCH_BEGIN, NLM_F_REQUEST, boundary)]
        for kind, flags, body in transaction:
            request = _generic(self._family) + body
            messages.append((_SUBSYSTEM << 8 | kind, flags | NLM_F_REQUEST | NLM_F_ACK, request))
        messages.append((_BATCH_END, NLM_F_REQUEST, boundary))
        self._socket.send(join(messages, first))
        refusal: OSError | None = None
        while True:
            try:
                answers = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            for kind, flags, _, body in split(answers):
                number = -struct.unpack_from("=i", body)[0] if kind == _NLMSG_ERROR else 0
                if number and number != harmless and refusal is None:
                    refusal = OSError(number, f"nf_tables: {refusal_text(flags, body) or os.strerror(number)}")
        if refusal is not None:
            raise refusal


class Nftables(Table):
    """The table of IPv6."""

    def __init__(self) -> None:
        super().__init__(NFPROTO_IPV6)

    def install(
        self,
        fingerprint: bytes,
        chains: Iterable[tuple[str, tuple[int, int] | None]],
        rules: Iterable[tuple[str, tuple[bytes, ...]]],
        peers: Sequence[bytes],
        key_octets: int,
        neighbours: Sequence[bytes] = (),
        rates: bool = False,
    ) -> None:
        """Write the table. `peers` and `neighbours` are constant sets; those of prefixes are empty. Only `rates` need a
        kernel that can limit."""
        rate = nested(17, _over(1))
        sets = [
            new_set(PEERS, 1, 16),
            new_counting_set(COUNTED, 2, key_octets),
            new_set(FAR, 3, key_octets),
            new_set(ROUTERS, 4, 8),
            new_set(NEIGHBOURS, 5, 16),
        ]
        if rates:
            sets += [new_set(name, 6 + number, key_octets, _SET_EXPR) + rate for number, name in enumerate(RATES)]
        named = ((PEERS, peers), (NEIGHBOURS, neighbours))
        elements = [elements_of(name, addresses) for name, addresses in named if addresses]
        self.write(fingerprint, sets, elements, chains, rules)

    def add(self, key: bytes) -> None:
        """`key` is an element of both sets; one that is there keeps its counter."""
        self.put(key, COUNTED, FAR)

    def discard(self, key: bytes) -> None:
        """`key` is no element."""
        self.drop(key, COUNTED, FAR)

    def limit(self, key: bytes, name: str, octets: int) -> None:
        """`key` has that rate, in octets a second, or none (0)."""
        self.drop(key, name)
        if octets:
            self.commit([(_NEWSETELEM, NLM_F_CREATE, elements_of(name, [key], more=nested(7, _over(octets))))])

    def unlimit(self) -> None:
        """No prefix has a rate."""
        sets = [_name(1, TABLE) + _name(2, name) for name in RATES]
        self.commit([(_DELSETELEM, 0, one) for one in sets], harmless=errno.ENOENT)

    def counters(self) -> dict[bytes, int]:
        """The packets that every element has counted."""
        return {key: counted(parts)[0] for key, parts in self.elements(COUNTED).items()}


def remove_left(family: int, name: str = TABLE) -> None:
    """No such table of an earlier life is there. Raises OSError, but not where the kernel has no nf_tables."""
    try:
        table = Table(family, name)
    except OSError:
        return
    try:
        if table.fingerprint() is not None:
            table.remove()
    except OSError as error:
        if error.errno not in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM):
            raise
    finally:
        table.close()


def usable() -> bool:
    """Whether this kernel has nf_tables for IPv6 and lets us have it; the trial leaves nothing behind."""
    table = _name(1, f"{TABLE}-trial")
    hook = nested(4, _be32(1, HOOK_FORWARD) + _be32(2, 0)) + _name(7, "filter")
    steps = [(_NEWTABLE, NLM_F_CREATE, table), (_NEWCHAIN, NLM_F_CREATE, table + _name(3, "trial") + hook)]
    try:
        trial = Nftables()
    except OSError:
        return False
    try:
        trial.commit([*steps, (_DELTABLE, 0, table)])
    except OSError:
        return False
    finally:
        trial.close()
    return True


def _generic(family: int) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def new_set(name: str, number: int, octets: int, flags: int = 0, table: str = TABLE) -> bytes:
    """A set whose keys have so many octets."""
    body = _name(1, table) + _name(2, name) + _be32(3, flags)
    return body + _be32(4, _TYPES.get(octets, _TYPE_INTEGER)) + _be32(5, octets) + _be32(10, number)


def _over(octets: int) -> bytes:
    """Only what comes faster than so many octets a second, counted over a second."""
    rate = attribute(1, struct.pack(">Q", octets)) + attribute(2, struct.pack(">Q", 1))
    return _name(1, "limit") + nested(2, rate + _be32(3, 0) + _be32(4, 1) + _be32(5, 1))


def new_counting_set(name: str, number: int, octets: int, table: str = TABLE) -> bytes:
    """A set whose elements count packets and octets whenever they are looked up."""
    counter = nested(17, _name(1, "counter") + nested(2, b""))
    return new_set(name, number, octets, _SET_EXPR, table) + counter


def elements_of(
    set_name: str, keys: Sequence[bytes], milliseconds: int = 0, more: bytes = b"", table: str = TABLE
) -> bytes:
    """Elements that come or go; with a time to live they go by themselves."""
    lifetime = attribute(4, struct.pack(">Q", milliseconds)) if milliseconds else b""
    listed = b"".join(nested(1, nested(1, attribute(1, key)) + lifetime + more) for key in keys)
    return _name(1, table) + _name(2, set_name) + nested(3, listed)


def counted(element: dict[int, bytes]) -> tuple[int, int]:
    """The packets and octets that an element (`Table.elements`) has counted."""
    counter = attributes(attributes(element.get(7, b"")).get(2, b""))
    return int.from_bytes(counter.get(2, b""), "big"), int.from_bytes(counter.get(1, b""), "big")
