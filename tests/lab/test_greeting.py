"""A new flow begins from an address that came after it was asked for, whichever of the two the process hears first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sojourn.lab.traffic_addresses import HostAddress
from sojourn.lab.traffic_worker import Worker
from sojourn.wire.addresses import address


class Watch:
    """Announces one address of a host."""

    def __init__(self, seen: int, *, preferred: bool = True) -> None:
        self._change = HostAddress(address("2001:db8:a200::5"), 64, True, True, preferred, seen)

    def read(self) -> list[HostAddress]:
        return [self._change]


@pytest.mark.parametrize("order_first", [True, False])
@pytest.mark.parametrize(("seen", "preferred", "begins"), [(11, True, True), (9, True, False), (11, False, False)])
def test_greeting(order_first: bool, seen: int, preferred: bool, begins: bool) -> None:
    begun: list[str] = []

    class Quiet(Worker):
        def _say(self, event: str, **fields: Any) -> None:
            return

        async def _do_exchange(self, flow: str, **rest: Any) -> None:  # type: ignore[override]
            begun.append(flow)

        async def _do_stream(self, flow: str, **rest: Any) -> None:  # type: ignore[override]
            begun.append(flow)

    async def scene() -> None:
        worker = Quiet({}, 1, 0)
        order = {"host": "mn", "server": "s", "within": "2001:db8:a200::/48", "interval": 1, "rate": 1}
        if not order_first:
            worker._addresses_changed("mn", Watch(seen, preferred=preferred))  # type: ignore[arg-type]
        await worker._do_greet(flow="new", at=10, **order)
        if order_first and seen > 10:  # an older address is never announced after the order
            worker._addresses_changed("mn", Watch(seen, preferred=preferred))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(scene())
    assert begun == (["new", "new/hops"] if begins else [])
