"""What an extension may do beside an engine, shown by one that does nothing else (`sojourn.engines.extension`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sojourn.core.effects import StoreBinding
from sojourn.core.engine import Row
from sojourn.core.events import Commanded, EffectFailed
from sojourn.engines import lma, mag
from sojourn.engines.configuration import Mode
from sojourn.engines.extension import LmaExtension, MagExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingUpdate,
    Heartbeat,
    MobilityMessage,
    MobilityOption,
    VendorSpecific,
)
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND
from support.domain import CMD, Domain, router
from support.pmip import LMA, ProxyDomain, gateway

_TALK = VendorSpecific(9, 1, b"talk")


class Told:
    """What an extension was told, in order."""

    name = "told"
    messages: frozenset[type[MobilityMessage]] = frozenset({Heartbeat})
    verbs = frozenset({"tell"})
    told: list[Any]

    def begin(self, record: bytes | None, lost: bool) -> None:
        self.told = [record, lost]
        self._keep(b"kept")  # type: ignore[attr-defined]

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        self.told.append(type(message))
        self.wake(SECOND, "later")  # type: ignore[attr-defined]

    def on_unrecognized(self, peer: Address) -> None:
        self.told.append(peer)

    def on_timer(self, key: Any) -> None:
        self.told.append(key)

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        return bool(arguments)

    def peer_row(self, peer: Address) -> Row:
        return {"told": len(self.told)}


class ToldLma(Told, LmaExtension):
    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        return (_TALK,)

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        self.told.append("registered")

    def removed(self, entry: BindingCacheEntry) -> None:
        self.told.append("removed")

    def row(self, entry: BindingCacheEntry) -> Row:
        return {"more": 1}


class ToldMag(Told, MagExtension):
    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        return (_TALK,)

    def acceptable(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> bool:
        return answer.first(VendorSpecific) is not None

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        self.told.append("accepted")

    def removed(self, session: BindingUpdateListEntry) -> None:
        self.told.append("removed")

    def row(self, session: BindingUpdateListEntry) -> Row:
        return {"more": 1}


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> ProxyDomain:
    monkeypatch.setattr(lma, "lma_extensions", lambda role: [ToldLma(role)])
    monkeypatch.setattr(mag, "mag_extensions", lambda role: [ToldMag(role)])
    return ProxyDomain()


def told(domain: ProxyDomain, name: str) -> list[Any]:
    (extension,) = (domain.lma if name == "lma" else domain.mag(name)).extensions
    assert isinstance(extension, Told)
    return extension.told


def test_requests_answers_and_tables_carry_what_extensions_add(domain: ProxyDomain) -> None:
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert all(_TALK in message.options for _, _, message in domain.sent())
    assert (told(domain, "lma")[2:], told(domain, "mag1")[2:]) == (["registered"], ["accepted"])
    for name, topic in (("lma", "bindings"), ("mag1", "sessions")):
        (row,) = domain.members[name].engine.show(topic, domain.now)
        assert row["more"] == 1
        assert domain.members[name].engine.show("peers", domain.now)[0]["told"] == 3
    domain.detach("mn1", "mag1")
    domain.run(30 * SECOND)
    assert (told(domain, "lma")[-1], told(domain, "mag1")[-1]) == ("removed", "removed")


def test_an_answer_that_an_extension_does_not_want_is_passed_over(domain: ProxyDomain) -> None:
    domain.lma.extensions = type(domain.lma.extensions)()
    domain.attach("mn1", "mag1")
    domain.run(SECOND // 20)
    assert not domain.at("mag1").confirmed
    assert domain.plane("mag1").state.prefixes == {}


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(1)), ("mag1", LMA)])
def test_messages_timers_and_commands_of_an_extension_are_its_own(
    domain: ProxyDomain, name: str, peer: Address
) -> None:
    domain.inject(peer, name, Heartbeat(0, 1))
    domain.run(2 * SECOND)
    assert told(domain, name)[2:] == [Heartbeat, "later"]
    domain.inject(peer, name, BindingError(2, bytes(16)))
    assert told(domain, name)[-1] == peer
    domain.clear()
    domain.event(name, Commanded("tell", {"all": "yes"}))
    assert domain.members[name].reports == []
    domain.event(name, Commanded("tell"))
    assert len(domain.members[name].reports) == 1


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_what_an_extension_keeps_comes_back_and_is_no_session(domain: ProxyDomain, name: str) -> None:
    domain.restart(name, store=True)
    assert told(domain, name) == [b"kept", False]
    (record,) = domain.members[name].store.items()
    domain.clear()
    domain.event(name, EffectFailed(StoreBinding(*record), 28, "No space left on device"))
    domain.run(2 * SECOND)
    assert [effect for _, _, effect in domain.effects if isinstance(effect, StoreBinding)] == [StoreBinding(*record)]


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_an_extension_hears_that_sessions_were_lost(domain: ProxyDomain, name: str) -> None:
    domain.members[name].store[b"nonsense"] = b"nonsense"
    domain.restart(name, store=True)
    assert told(domain, name) == [b"kept", True]


def test_rfc6275_9_2_a_maar_tells_its_anchor_what_it_does_not_know() -> None:
    """The anchor may be an LMA with heartbeats, which would take it for dead."""
    domain = Domain(Mode.PROXY)
    domain.inject(CMD, "ar1", Heartbeat(0, 1))
    domain.inject(router(2), "ar1", Heartbeat(0, 1))
    assert [message for _, _, message in domain.sent()] == [BindingError(2, bytes(16))]


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(1)), ("mag1", LMA)])
def test_rfc6275_9_2_a_message_that_the_role_does_not_know_is_answered_with_a_binding_error(
    name: str, peer: Address
) -> None:
    domain = ProxyDomain()
    domain.inject(peer, name, Heartbeat(0, 1))
    assert [message for _, _, message in domain.sent()] == [BindingError(2, bytes(16))]
    domain.clear()
    domain.inject(bytes(15) + b"\1", name, Heartbeat(0, 1))
    assert domain.sent() == []
