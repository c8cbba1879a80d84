"""Partners and liveness in the configuration file: what the keys become, and mistakes with their place."""

from __future__ import annotations

import pytest

from sojourn.daemon.configuration import linux_settings, maar_configuration, parse
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.files.toml import ConfigurationError
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import MILLISECOND, SECOND

FILE = """\
control = "/run/sojourn/ar1.sock"
[maar]
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
access = ["acc0"]
cmd = "2001:db8:c::1"
partner = "2001:db8:a3::1"
[[maar.peers]]
name = "ar2"
address = "2001:db8:a2::1"
pool = "2001:db8:a200::/48"
partner = "2001:db8:a1::1"
[[maar.peers]]
name = "ar3"
address = "2001:db8:a3::1"
[maar.liveness]
interval = "100ms"
misses = 4
"""


def test_what_engine_and_kernel_are_told() -> None:
    section = parse(FILE.encode(), "x.toml").file.maar
    assert section is not None
    told, kernel = maar_configuration(section), linux_settings(section)
    assert told.partner == address("2001:db8:a3::1")
    assert told.liveness == LivenessSettings(100 * MILLISECOND, 4, hold=5 * SECOND)
    assert [(peer.pool, peer.partner) for peer in told.peers] == [
        (prefix("2001:db8:a200::/48"), address("2001:db8:a1::1")),
        (None, None),
    ]
    assert kernel.drop_unassigned, "what its partner does not know comes here, and must not go back"


def test_partners_need_no_database() -> None:
    direct = FILE.replace('cmd = "2001:db8:c::1"\n', 'mode = "direct"\n')
    direct = direct.replace('address = "2001:db8:a3::1"\n', 'address = "2001:db8:a3::1"\npool = "2001:db8:a300::/48"\n')
    section = parse(direct.encode(), "x.toml").file.maar
    assert section is not None
    assert maar_configuration(section).partner == address("2001:db8:a3::1")


def test_without_the_table_nobody_is_missed() -> None:
    alone = FILE.replace('partner = "2001:db8:a3::1"\n', "").replace('partner = "2001:db8:a1::1"\n', "")
    section = parse(alone.partition("[maar.liveness]")[0].encode(), "x.toml").file.maar
    assert section is not None
    assert maar_configuration(section).liveness is None
    assert not linux_settings(section).drop_unassigned


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('partner = "2001:db8:a3::1"', 'partner = "2001:db8:a1::1"', "is the router itself"),
        ('partner = "2001:db8:a3::1"', 'partner = "2001:db8:a9::1"', "is not among maar.peers"),
        ('partner = "2001:db8:a1::1"', 'partner = "2001:db8:a2::1"', "is the router itself"),
        ('partner = "2001:db8:a1::1"', 'partner = "2001:db8:a9::1"', "is not among maar.peers"),
        ('pool = "2001:db8:a200::/48"\n', "", "the pool of this peer is not"),
        ('[maar.liveness]\ninterval = "100ms"\nmisses = 4\n', "", "nobody is missed"),
        ('interval = "100ms"', 'interval = "5ms"', "20ms at least"),
        ("misses = 4", "misses = 1", "one lost message"),
    ],
)
def test_mistakes(old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(ConfigurationError, match=said):
        parse(FILE.replace(old, new).encode(), "x.toml")
