"""LMAs with a store elsewhere and a partner in the configuration file: what the keys become, and mistakes."""

from __future__ import annotations

import pytest

from sojourn.daemon import machine
from sojourn.daemon.configuration import linux_settings, parse
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.reloading import refused
from sojourn.files.toml import ConfigurationError
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import MILLISECOND

FILE = """\
control = "/run/sojourn/lma1.sock"
[lma]
address = "2001:db8:ff::1"
pools = ["2001:db8:ff00::/48"]
databases = ["postgresql://db1,db2/sojourn?target_session_attrs=read-write"]
ipv4_pool = "10.9.0.0/16"
[lma.pair]
own = "2001:db8:f1::1"
partner = "2001:db8:f2::1"
interval = "200ms"
misses = 4
[[lma.gateways]]
address = "2001:db8:b1::1"
"""


def section(text: str = FILE) -> Lma:
    found = parse(text.encode(), "x.toml").file.lma
    assert found is not None
    return found


def test_what_is_told() -> None:
    pair = section().pair
    assert pair is not None
    assert (pair.own, pair.partner) == (address("2001:db8:f1::1"), address("2001:db8:f2::1"))
    assert (pair.interval, pair.misses) == (200 * MILLISECOND, 4)


def test_the_network_is_told_of_address_and_pools_by_one_of_a_pair_only() -> None:
    announced = {str(one) for one in linux_settings(section()).announced}
    assert announced == {"2001:db8:ff::1/128", "2001:db8:ff00::/48", str(section().ipv4_pool)}
    alone = FILE.replace(FILE[FILE.index("[lma.pair]") : FILE.index("[[lma.gateways]]")], "")
    assert linux_settings(section(alone)).announced == ()
    assert prefix("2001:db8:ff00::/48") in linux_settings(section(alone)).pools


def test_a_reload_does_not_change_what_is_shared() -> None:
    file = parse(FILE.encode(), "x.toml").file
    assert refused(["lma.lifetime_max", "log"], file) == ["lma.lifetime_max"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('own = "2001:db8:f1::1"', 'own = "2001:db8:ff::1"', "is lma.address, which is at one of both at a time"),
        ('partner = "2001:db8:f2::1"', 'partner = "2001:db8:ff::1"', "is lma.address"),
        ('partner = "2001:db8:f2::1"', 'partner = "2001:db8:f1::1"', "is this machine"),
        ('address = "2001:db8:b1::1"', 'address = "2001:db8:f2::1"', "is an anchor (lma.pair)"),
        ('databases = ["postgresql://db1,db2/sojourn?target_session_attrs=read-write"]\n', "", "nobody says which"),
        ('ipv4_pool = "10.9.0.0/16"', "keep_forwarding = true", "would leave the address at this machine"),
        (
            "[lma.pair]",
            '[lma.user_plane]\naddress = "2001:db8:f9::1"\n[lma.pair]',
            "is not taken over by a partner",
        ),
        ('interval = "200ms"', 'interval = "5ms"', "20ms at least"),
        ("misses = 4", "misses = 1", "one lost message"),
        ("postgresql://db1", "mysql://db1", "a list of connection strings of PostgreSQL"),
    ],
)
def test_mistakes(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(ConfigurationError, match=r"x\.toml") as caught:
        parse(FILE.replace(old, new).encode(), "x.toml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ({"2001:db8:f1::1": "eth0"}, ""),
        ({"2001:db8:f1::1": "eth0", "2001:db8:ff::1": "sojourn0"}, ""),
        ({"2001:db8:f1::1": "eth0", "2001:db8:ff::1": "lo"}, "is on lo, and the partner may be the anchor"),
        ({"2001:db8:ff::1": "sojourn0"}, "2001:db8:f1::1 is not an address of this machine"),
    ],
)
def test_what_this_machine_is_to_have(here: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own address; that of the anchor comes and goes with the daemon."""
    found = {address(one): (interface, True) for one, interface in here.items()}
    monkeypatch.setattr(machine, "addresses_here", lambda: found)
    monkeypatch.setattr(machine, "ipv6_here", lambda: True)
    problems = [str(problem) for problem in machine.look(parse(FILE.encode(), "x.toml")) if "lma" in str(problem)]
    assert (said in problems[0]) if said else not problems
