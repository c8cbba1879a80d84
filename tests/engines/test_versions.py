"""Old and new versions in one domain, and the journal of one read by the other.

``tests/vectors/versions`` holds what earlier versions sent and stored, a file each, recorded in labs: one line for each
kind of message with another set of options or flags, and for each kind of record. A change that cannot read one of
these any more breaks an upgrade in service. Never change a file there; add one with a release that sends something new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sojourn.core.events import Commanded
from sojourn.engines import database_entry, ha_entry, lma_entry, maar_session, mag_session, mn_records
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import BindingUpdate, UnknownOption, decode, encode
from sojourn.wire.addresses import Address
from sojourn.wire.mobility import MobilityMessage, UnknownMessage
from sojourn.wire.units import SECOND
from support.domain import Domain, router

VERSIONS = sorted((Path(__file__).parents[1] / "vectors" / "versions").glob("*.jsonl"))
_NOT_OF_NODES = frozenset({b"\0", b"extension/heartbeat"})
"""Keys of records that are no bindings."""
_LATER = 250
"""No option, no message has this number yet."""


def lines(path: Path, kind: str) -> Iterator[dict[str, str]]:
    for line in path.read_text().splitlines():
        found = json.loads(line)
        if kind in found:
            yield found


def _read(role: str) -> Callable[[bytes, bytes], Any]:
    match role:
        case "maar":
            return lambda key, record: maar_session.Session.restored(key, record, 0)
        case "cmd":
            return lambda key, record: database_entry.BindingCacheEntry.restored(key, record, 0)
        case "lma":
            return lambda key, record: lma_entry.BindingCacheEntry.restored(key, record, 0)
        case "mag":
            return lambda key, record: mag_session.BindingUpdateListEntry.restored(key, record, 0)
        case "ha":
            return lambda key, record: ha_entry.BindingCacheEntry.restored(key, record, HomeNode(key), 0)
        case _:
            return lambda key, record: mn_records._decoder.decode(record)


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_what_an_earlier_version_sends_is_understood(path: Path) -> None:
    messages = [bytes.fromhex(line["message"]) for line in lines(path, "message")]
    assert len(messages) > 40
    for octets in messages:
        message = decode(octets)
        assert not isinstance(message, UnknownMessage)
        options = getattr(message, "options", ())
        assert not [option for option in options if isinstance(option, UnknownOption)], octets.hex()
        assert bytes(encode(message)) == octets


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_what_an_earlier_version_stored_is_read(path: Path) -> None:
    found = set()
    for line in lines(path, "record"):
        key, record = bytes.fromhex(line["key"]), bytes.fromhex(line["record"])
        if key not in _NOT_OF_NODES:
            _read(line["from"])(key, record)
            found.add(line["from"])
    assert found >= {"maar", "cmd", "lma", "mag", "ha", "mn"}


@pytest.mark.parametrize("path", VERSIONS[-1:], ids=lambda path: path.stem)
def test_a_record_with_something_new_at_its_end_is_read_by_who_does_not_know_that(path: Path) -> None:
    """So a domain can go back to the version before. Fields are only ever added at the end, with a default."""
    for line in lines(path, "record"):
        key, record = bytes.fromhex(line["key"]), bytes.fromhex(line["record"])
        if key not in _NOT_OF_NODES:
            known = _read(line["from"])(key, record)
            full = known.record() if hasattr(known, "record") else msgspec.msgpack.encode(known)
            longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(full), "of a later version"])
            assert _read(line["from"])(key, longer) == known


def newer(message: MobilityMessage) -> bytes:
    """The same as a later version may send it: with an option, and in an update a flag, that nobody knows here."""
    octets = bytearray(encode(message))
    if isinstance(message, BindingUpdate):
        octets[9] |= 0x01  # the last bit of the flags, which no registry has given away
    if hasattr(message, "options"):
        octets += bytes((_LATER, 6)) + b"later!"
        octets[1] = len(octets) // 8 - 1
        assert len(octets) % 8 == 0
    return bytes(octets)


@pytest.mark.parametrize("which", [("cmd",), ("ar1",), ("ar1", "ar2", "cmd")], ids=lambda names: "+".join(names))
def test_a_domain_works_while_some_of_it_says_what_others_do_not_know(
    which: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attachment, handover with a previous anchor, and the end of a prefix."""
    domain = Domain()
    changed = 0
    network = domain.world.network
    transmit = network.transmit

    def newest(sender: str, message: MobilityMessage, source: Address, destination: Address) -> None:
        nonlocal changed
        if sender in which:
            message = decode(newer(message))
            changed += 1
        transmit(sender, message, source, destination)

    monkeypatch.setattr(network, "transmit", newest)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    first = domain.own("ar1", "mn1")
    domain.roam("mn1", "ar1", "ar2", SECOND)
    session = domain.session("ar2", "mn1")
    assert session is not None
    assert session.confirmed
    assert session.anchored == {first: router(1)}
    domain.event("ar1", Commanded("retire", {"prefix": str(first)}))
    domain.run(SECOND)
    assert session.anchored == {}
    assert changed > 2
