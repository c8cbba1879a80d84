"""Requests and answers against a kernel made of a list: acknowledgements, refusals, transient shortage, dumps."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from sojourn.dataplane import netlink as nl
from sojourn.dataplane.netlink import Message, Netlink

Answer = tuple[int, str]
"""An error number, 0 for none, and the kernel's words."""


def acknowledgement(sequence: int, number: int, words: str = "") -> bytes:
    text = nl.attribute(1, words.encode() + b"\0") if words else b""
    body = struct.pack("=iIHHII", -number, 0, 0, 0, sequence, 0) + text
    return struct.pack("=IHHII", 16 + len(body), 2, 0x200 if words else 0, sequence, 0) + body


class ListedKernel:
    """Answers the requests as told, one answer per message, and remembers them."""

    def __init__(self, answer: Callable[[bytes], Answer]) -> None:
        self.answer = answer
        self.requests: list[list[bytes]] = []
        self.flags: list[int] = []
        self._out: list[bytes] = []

    def send(self, data: bytes, /) -> int:
        bodies, offset = [], 0
        while offset < len(data):
            size, _, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
            body = data[offset + 16 : offset + size]
            bodies.append(body)
            self.flags.append(flags)
            self._out.append(acknowledgement(sequence, *self.answer(body)))
            offset += (size + 3) & ~3
        self.requests.append(bodies)
        return len(data)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        return self._out.pop(0)

    def close(self) -> None:
        pass


def message(body: bytes, *harmless: int) -> Message:
    return Message(24, nl.NLM_F_CREATE, body, harmless)


def test_many_messages_travel_in_one_system_call_each_acknowledged() -> None:
    kernel = ListedKernel(lambda body: (0, ""))
    Netlink(kernel).request(message(b"aaaa"), message(b"bb"), message(b"cccc"))
    assert kernel.requests == [[b"aaaa", b"bb", b"cccc"]]
    assert all(flags == nl.NLM_F_CREATE | nl.NLM_F_REQUEST | nl.NLM_F_ACK for flags in kernel.flags)


def test_a_refusal_carries_the_words_of_the_kernel() -> None:
    kernel = ListedKernel(lambda body: (errno.EINVAL, "Nexthop id does not exist") if body == b"bbbb" else (0, ""))
    with pytest.raises(OSError, match="Nexthop id does not exist") as caught:
        Netlink(kernel).request(message(b"aaaa"), message(b"bbbb"))
    assert caught.value.errno == errno.EINVAL


def test_a_refusal_without_words_has_those_of_the_errno() -> None:
    with pytest.raises(OSError, match="No such device"):
        Netlink(ListedKernel(lambda body: (errno.ENODEV, ""))).request(message(b"aaaa"))


def test_a_harmless_error_is_none() -> None:
    kernel = ListedKernel(lambda body: (errno.ESRCH, "already gone"))
    Netlink(kernel).request(message(b"aaaa", errno.ESRCH))
    with pytest.raises(ProcessLookupError):
        Netlink(kernel).request(message(b"aaaa", errno.ENOENT))


def test_only_what_met_a_shortage_of_memory_is_sent_again() -> None:
    left = {b"bbbb": 2}

    def answer(body: bytes) -> Answer:
        if left.get(body, 0):
            left[body] -= 1
            return errno.ENOMEM, ""
        return 0, ""

    kernel = ListedKernel(answer)
    Netlink(kernel).request(message(b"aaaa"), message(b"bbbb"), message(b"cccc"))
    assert kernel.requests == [[b"aaaa", b"bbbb", b"cccc"], [b"bbbb"], [b"bbbb"]]


def test_a_shortage_that_lasts_is_an_error() -> None:
    kernel = ListedKernel(lambda body: (errno.ENOMEM, ""))
    with pytest.raises(OSError, match="memory") as caught:
        Netlink(kernel).request(message(b"aaaa"))
    assert caught.value.errno == errno.ENOMEM
    assert len(kernel.requests) == 6


def test_a_refusal_beside_a_shortage_is_what_is_raised() -> None:
    kernel = ListedKernel(lambda body: (errno.ENOMEM, "") if body == b"aaaa" else (errno.EPERM, "no"))
    with pytest.raises(PermissionError, match="no"):
        Netlink(kernel).request(message(b"aaaa"), message(b"bbbb"))


def test_late_answers_to_other_requests_are_passed_over() -> None:
    kernel = ListedKernel(lambda body: (0, ""))
    link = Netlink(kernel)
    link.request(message(b"aaaa"))
    kernel._out.append(acknowledgement(1, errno.EINVAL, "old"))
    link.request(message(b"bbbb"))


class DumpingKernel(ListedKernel):
    """Answers a dump; the first one is cut through by a change."""

    def __init__(self, bodies: list[bytes], interruptions: int) -> None:
        super().__init__(lambda body: (0, ""))
        self.bodies, self.interruptions = bodies, interruptions

    def send(self, data: bytes, /) -> int:
        sequence = struct.unpack_from("=IHHII", data)[3]
        flags = 0x10 if self.interruptions else 0
        self.interruptions = max(0, self.interruptions - 1)
        parts = [struct.pack("=IHHII", 16 + len(body), 24, flags, sequence, 0) + body for body in self.bodies]
        parts.append(struct.pack("=IHHIIi", 20, 3, flags, sequence, 0, 0))
        self._out = [b"".join(parts[:2]), *parts[2:]]
        self.requests.append([data])
        return len(data)


def test_a_dump_that_something_changed_meanwhile_is_asked_for_again() -> None:
    kernel = DumpingKernel([b"aaaa", b"bbbb", b"cccc"], interruptions=2)
    assert Netlink(kernel).dump(26, bytes(4)) == [b"aaaa", b"bbbb", b"cccc"]
    assert len(kernel.requests) == 3


@pytest.mark.parametrize("damaged", [b"", b"\x03", b"\x03\0\x01\0", b"\xff\xff\x01\0abcd", b"\x08\0\x01\0ab"])
def test_damaged_attributes_end_the_list(damaged: bytes) -> None:
    assert nl.attributes(nl.attribute(5, b"good") + damaged) == {5: b"good"}


def test_attributes_read_back() -> None:
    octets = nl.attribute(1, b"abc") + nl.nested(2, nl.attribute(3, b"\1\2\3\4"))
    found = nl.attributes(octets)
    assert found[1] == b"abc"
    assert nl.attributes(found[2]) == {3: b"\1\2\3\4"}
    assert nl.attributes(b"\0" * 64) == {}
    assert nl.attributes(b"\1\0") == {}
