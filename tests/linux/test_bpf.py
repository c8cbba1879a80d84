"""Maps, programs and filters of eBPF on a real kernel, from a user namespace as the lab is one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sojourn.dataplane import classifier
from sojourn.dataplane.bpf import HASH, LONGEST_PREFIX, Map, Program, Token
from sojourn.dataplane.bpf_assembler import Assembler, R, Size
from sojourn.dataplane.classifier import EGRESS, INGRESS
from sojourn.dataplane.netlink import Netlink
from sojourn.lab.kernel_state import KernelState
from sojourn.lab.namespaces import NetworkNamespace

pytestmark = pytest.mark.lab

_LOOPBACK = 1


@pytest.fixture
def token() -> Iterator[Token]:
    token = Token()
    yield token
    token.close()


@pytest.fixture
def place() -> Iterator[tuple[NetworkNamespace, Netlink]]:
    namespace = NetworkNamespace("bpf")
    with namespace.entered():
        netlink = Netlink()
    yield namespace, netlink
    netlink.close()
    namespace.close()


def _program(verdict: int, token: Token) -> Program:
    return Program("test", Assembler().move(R.R0, verdict).leave().assemble(), token)


def test_a_map_keeps_what_is_put_into_it(token: Token) -> None:
    kept = Map("kept", HASH, 4, 8, 2, token)
    kept[b"one."], kept[b"two."] = b"11111111", b"22222222"
    kept[b"one."] = b"33333333"
    assert kept[b"one."] == b"33333333"
    assert sorted(kept) == [b"one.", b"two."]
    with pytest.raises(OSError, match="too long"):  # E2BIG: full
        kept[b"more"] = b"44444444"
    kept.discard(b"one.")
    kept.discard(b"one.")
    with pytest.raises(KeyError):
        kept[b"one."]
    kept.close()


def test_the_longest_prefix_counts(token: Token) -> None:
    kept = Map("prefixes", LONGEST_PREFIX, 8, 4, 8, token)
    kept[b"\x08\0\0\0\x0a\0\0\0"], kept[b"\x10\0\0\0\x0a\x01\0\0"] = b"wide", b"near"
    assert kept[b"\x20\0\0\0\x0a\x01\x02\x03"] == b"near"
    assert kept[b"\x20\0\0\0\x0a\x02\x02\x03"] == b"wide"
    kept.close()


def test_what_the_verifier_says_is_in_the_error(token: Token) -> None:
    code = Assembler().load(Size.WORD, R.R0, R.R2).leave().assemble()
    with pytest.raises(OSError, match=r"refuses program bad: .*R2 !read_ok"):
        Program("bad", code, token)


def test_filters_are_found_again_the_newest_is_asked_first_and_nothing_is_left(
    token: Token, place: tuple[NetworkNamespace, Netlink]
) -> None:
    namespace, netlink = place
    before = KernelState.of(namespace).lines
    drop, pass_on = _program(classifier.SHOT, token), _program(classifier.UNSPEC, token)
    with namespace.entered():
        source, target = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    target.bind(("::1", 0))
    target.settimeout(0.2)

    def arrives() -> bool:
        source.sendto(b"x", target.getsockname())
        try:
            return bool(target.recv(10))
        except TimeoutError:
            return False

    with source, target:
        classifier.attach(netlink, _LOOPBACK, EGRESS, "old", pass_on.descriptor)
        assert arrives()
        classifier.attach(netlink, _LOOPBACK, EGRESS, "new", drop.descriptor)
        drop.close()
        pass_on.close()
        assert not arrives()
        new, old = classifier.filters(netlink, _LOOPBACK, EGRESS)
        assert (new.name, old.name) == ("new", "old")
        assert classifier.filters(netlink, _LOOPBACK, INGRESS) == []
        classifier.detach(netlink, new)
        classifier.tidy(netlink, _LOOPBACK)
        assert arrives()
        assert classifier.filters(netlink, _LOOPBACK, EGRESS) == [old]
    classifier.detach(netlink, old)
    classifier.detach(netlink, old)
    assert classifier.filters(netlink, _LOOPBACK, EGRESS) == []
    classifier.tidy(netlink, _LOOPBACK)
    assert KernelState.of(namespace).lines == before


def test_where_there_is_no_interface_there_is_no_filter(place: tuple[NetworkNamespace, Netlink]) -> None:
    assert classifier.filters(place[1], 4711, INGRESS) == []
