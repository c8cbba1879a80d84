"""A clock is set, by hours and both ways, while nodes have sessions: nothing ends, and moves go on as before.

Timers and lifetimes are counted by a clock that nobody sets; the wall clock is only told to others (Timestamp option,
RFC 5213 5.5) and written where another life must understand it.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import WithdrawPrefix, WithdrawSlot
from sojourn.wire.units import HOUR, SECOND, Duration
from support.domain import Domain
from support.pmip import ProxyDomain

JUMPS = pytest.mark.parametrize("ahead", [5 * HOUR, -5 * HOUR], ids=["ahead", "back"])


@JUMPS
@pytest.mark.parametrize("name", ["cmd", "ar1", "ar2"])
@pytest.mark.parametrize("restarted", [False, True], ids=["runs on", "restarted"])
def test_in_a_distributed_domain(name: str, ahead: Duration, restarted: bool) -> None:
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    first = domain.own("ar1", "mn1")
    domain.clear()
    domain.skew(name, ahead)
    if restarted:
        domain.restart(name, store=True)
    domain.run(30 * SECOND)
    assert [effect for _, _, effect in domain.effects if isinstance(effect, WithdrawPrefix | WithdrawSlot)] == []
    for old, new in (("ar1", "ar2"), ("ar2", "ar3"), ("ar3", "ar1"), ("ar1", "ar2")):
        domain.roam("mn1", old, new, 5 * SECOND)
        session = domain.session(new, "mn1")
        assert session is not None
        assert session.confirmed, f"{old} to {new}"
        assert first in session.anchored or session.own == first
    domain.skew(name, 0)
    domain.roam("mn1", "ar2", "ar1", 5 * SECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.confirmed, "when it is set right again"


@JUMPS
@pytest.mark.parametrize("name", ["lma", "mag1", "mag2"])
@pytest.mark.parametrize("restarted", [False, True], ids=["runs on", "restarted"])
def test_in_a_domain_of_proxy_mobile_ipv6(name: str, ahead: Duration, restarted: bool) -> None:
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    prefixes = domain.entry().prefixes
    domain.skew(name, ahead)
    if restarted:
        domain.restart(name, store=True)
    domain.run(30 * SECOND)
    assert domain.entry().prefixes == prefixes
    for old, new in (("mag1", "mag2"), ("mag2", "mag1"), ("mag1", "mag2")):
        domain.roam("mn1", old, new, 5 * SECOND)
        assert domain.entry().prefixes == prefixes, f"{old} to {new}"
        assert domain.at(new).confirmed, f"{old} to {new}"
    domain.skew(name, 0)
    domain.roam("mn1", "mag2", "mag1", 5 * SECOND)
    assert domain.entry().prefixes == prefixes
    assert domain.at("mag1").confirmed
