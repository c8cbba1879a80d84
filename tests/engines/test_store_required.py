"""Where the journal is required, whoever asks again while it refuses is not answered either (`store_required`)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import pytest

from sojourn.core.effects import StoreEffect
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import PROXY, PROXY_DMM
from sojourn.stores import MemoryStore, StoreError
from sojourn.wire.addresses import ANY
from sojourn.wire.units import MILLISECOND, SECOND
from support.life import ROUTERS, Life, cmd, lma, own, update

Make = Callable[..., Life]


class Disk(MemoryStore):
    full = False

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        if self.full:
            raise StoreError("/x", "is full", "make room", errno.ENOSPC)
        super().apply(effects)


def later(life: Life) -> None:
    life.now += 1001 * MILLISECOND
    life.driver.wake()


class Asker:
    """A router that registers node `number`, each time with the time of now (RFC 5213 5.5)."""

    def __init__(self, life: Life, number: int) -> None:
        self.life, self.number, self.times = life, number, 0

    def __call__(self) -> list[int]:
        """Status of the answers."""
        self.times += 1
        if isinstance(self.life.engine, CentralMobilityDatabase):
            asked = update(self.number, own(self.number, 0), 4, SECOND, PROXY_DMM)
        else:
            asked = update(self.number, ANY, 4, self.life.now + self.times * MILLISECOND, PROXY)
        return [answer.status for answer in self.life.ask(asked, ROUTERS[0])]


@pytest.mark.parametrize("make", [cmd, lma])
def test_a_registration_is_acknowledged_when_it_is_stored_however_often_it_was_asked_for(make: Make) -> None:
    disk = Disk()
    life = make(disk, SECOND, store_required=True)
    ask = Asker(life, 1)
    disk.full = True
    assert ask() == []
    assert ask() == [], "although it is known by now"
    later(life)
    assert ask() == []
    disk.full = False
    before = len(life.sent)
    later(life)
    assert [one.message.status for one in life.sent[before:]] == [0], "and only the latest one"
    assert len(disk.records) == 1
    assert ask() == [0]


@pytest.mark.parametrize("make", [cmd, lma])
def test_whoever_is_safe_is_answered_while_the_disk_refuses_others(make: Make) -> None:
    disk = Disk()
    life = make(disk, SECOND, store_required=True)
    first, second = Asker(life, 1), Asker(life, 2)
    assert first() == [0]
    disk.full = True
    assert second() == []
    assert first() == [0]
    disk.full = False
    assert second() == [0]
    disk.full = True
    assert second() == [0], "it is safe by now, and is not stored once more"
    later(life)
    assert second() == [0]


def test_a_deregistration_is_acknowledged_when_it_is_stored() -> None:
    disk = Disk()
    life = cmd(disk, SECOND, store_required=True)
    life.ask(update(1, own(1, 0), 4, SECOND, PROXY_DMM), ROUTERS[0])
    disk.full = True
    gone = update(1, own(1, 0), 4, SECOND, PROXY_DMM)
    gone.lifetime = 0
    assert life.ask(gone, ROUTERS[0]) == []
    assert life.ask(gone, ROUTERS[0]) == []
    disk.full = False
    assert [answer.status for answer in life.ask(gone, ROUTERS[0])] == [0]
    assert not disk.records
