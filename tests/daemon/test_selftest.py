"""What a selftest makes of answers, where a lab would be much ado."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sojourn.core.effects import EnsureTunnel
from sojourn.daemon.acquaintances import Acquaintances
from sojourn.daemon.selftest import Owner, Selftest
from sojourn.dataplane.state import ForwardingState
from sojourn.host.prober import TIME_EXCEEDED, Heard
from sojourn.wire.addresses import Address, address, prefix

PREFIX, POOL = prefix("2001:db8:a100:1::/64"), prefix("2001:db8:a100::/48")
REMOTE = address("2001:db8:a2::1")


class Answers:
    """Of routers, not of hosts: the other router answers, through the tunnel too, and passes packets on."""

    async def ask(self, destination: Address, *, through: Address | None = None, hop_limit: int = 64) -> Heard | None:
        if destination == REMOTE:
            return Heard(REMOTE, 0.01)
        return Heard(REMOTE, 0.01, TIME_EXCEEDED) if hop_limit == 1 else None


class Plane:
    """Everything goes into a tunnel; a pool of another anchor is held."""

    def __init__(self) -> None:
        self.state = ForwardingState()
        self.state.slots[1] = EnsureTunnel(1, REMOTE)
        self.state.prefixes = {PREFIX: 1, POOL: 1}
        self.state.pools = {POOL}


def outcome(owners: dict[Any, Owner], what: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        test = Selftest(cast(Any, None), Acquaintances(), owners=owners)
        await test._probe_session(cast(Any, Plane()), cast(Any, Answers()), what, 1)
        for task in test._ways.values():
            task.cancel()
        [row] = test.rows
        return dict(row)

    return asyncio.run(main())


def test_a_way_whose_host_nobody_knows_is_no_failure_at_a_partner() -> None:
    """It was told as lost, with the exit code of a failure, by every partner that held a pool."""
    row = outcome({}, PREFIX)
    assert (row["result"], row["place"]) == ("skipped", None)
    assert row["detail"].startswith("as far as 2001:db8:a2::1")


def test_a_host_that_is_known_and_does_not_answer_is_one() -> None:
    row = outcome({PREFIX: Owner("05020000000001", bytes.fromhex("020000000001"))}, PREFIX)
    assert (row["result"], row["place"]) == ("lost", "host")


@pytest.mark.parametrize("what", [POOL])
def test_the_pool_of_another_anchor_is_nobodys_session(what: Any) -> None:
    assert outcome({}, what)["result"] == "skipped"
