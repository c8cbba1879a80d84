"""RFC 8127: the LMA sets timers of its MAGs."""

from __future__ import annotations

import pytest

from sojourn.engines.controlled_timers import LmaControlledTimers
from sojourn.engines.extension_settings import ControlSettings, HeartbeatSettings
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Heartbeat
from sojourn.wire.extensions.rfc8127 import BindingReregistrationControl, HeartbeatControl, LmaControlledMagParameters
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import ProxyDomain, request, status_of
from support.pmip_extensions import messages, settled

BOTH = ControlSettings(
    True,
    True,
    lcmp_reregistration_start_time=20 * SECOND,
    lcmp_initial_retransmission_time=3 * SECOND,
    lcmp_maximum_retransmission_time=5 * SECOND,
    lcmp_heartbeat_interval=10 * SECOND,
    lcmp_heartbeat_retransmission_delay=2 * SECOND,
    lcmp_heartbeat_max_retransmissions=1,
)


def controlled(settings: ControlSettings | None = BOTH, lma_timers: bool = True, attached: bool = True) -> ProxyDomain:
    domain = ProxyDomain(
        1,
        lma={"mag_timers": settings, "heartbeat": HeartbeatSettings(3600 * SECOND)},
        lma_timers=lma_timers,
        lifetime=100 * SECOND,
        presence_trust=1000 * SECOND,
        heartbeat=HeartbeatSettings(30 * SECOND, 3),
    )
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    if attached:
        domain.attach("mn1", "mag1")
        domain.run(1500 * MILLISECOND)
    return domain


def option(domain: ProxyDomain) -> LmaControlledMagParameters | None:
    return messages(domain, BindingAcknowledgement)[-1].first(LmaControlledMagParameters)


def times(domain: ProxyDomain, kind: type) -> list[int]:
    """When the MAG sent messages of this class, in seconds since the last `clear`."""
    return [when // SECOND for when, source, _, one in domain.messages if source == "mag1" and isinstance(one, kind)]


def test_5_1_every_answer_has_what_is_switched_on() -> None:
    found = option(controlled())
    assert found is not None
    assert found.sub_options == (
        BindingReregistrationControl(20 * SECOND, 3 * SECOND, 5 * SECOND),
        HeartbeatControl(10 * SECOND, 2 * SECOND, 1),
    )
    only = option(controlled(ControlSettings(enable_lcmp_sub_opt_heartbeat_control=True)))
    assert only is not None
    assert [type(one) for one in only.sub_options] == [HeartbeatControl]
    assert option(controlled(ControlSettings())) is None  # "MUST contain one or more LCMP sub-options" (3)


@pytest.mark.parametrize(
    "zero",
    [
        "lcmp_reregistration_start_time",
        "lcmp_initial_retransmission_time",
        "lcmp_maximum_retransmission_time",
        "lcmp_heartbeat_interval",
        "lcmp_heartbeat_retransmission_delay",
        "lcmp_heartbeat_max_retransmissions",
    ],
)
def test_5_1_a_timer_of_zero_is_an_error_and_nobody_is_registered(zero: str) -> None:
    settings = ControlSettings(True, True, **{zero: 0})  # type: ignore[arg-type]
    domain = ProxyDomain(1, lma={"mag_timers": settings})
    assert status_of(domain.ask(request(domain))) == 128
    assert domain.reported("lma", "configuration-error") == 1
    assert len(domain.lma.cache) == 0


def test_5_2_the_gateway_registers_again_so_long_before_the_end() -> None:
    domain = controlled()
    domain.run(79 * SECOND)
    assert times(domain, BindingUpdate) == [0, 80]


def test_5_2_a_gateway_that_takes_no_orders_keeps_its_own_timers() -> None:
    domain = controlled(lma_timers=False)
    domain.run(79 * SECOND)
    assert times(domain, BindingUpdate) == [0, 50]


def test_5_2_repetitions_follow_the_times_of_the_anchor() -> None:
    domain = controlled()
    domain.crash("lma")
    domain.run(98 * SECOND)
    assert times(domain, BindingUpdate) == [0, 80, 83, 88, 93, 98]


def test_5_2_so_do_heartbeats() -> None:
    domain = controlled()
    domain.run(9 * SECOND)
    assert times(domain, Heartbeat)[-1] == 10
    domain.crash("lma")
    domain.run(13 * SECOND)
    assert times(domain, Heartbeat)[-2:] == [20, 22]
    domain.run(2 * SECOND)
    assert domain.reported("mag1", "peer-unreachable") == 1


def test_5_2_without_the_option_the_own_values_are_back() -> None:
    domain = controlled()
    domain.reconfigure("lma", mag_timers=None)
    domain.run(SECOND)
    assert not domain.mag("mag1")._requests.limits
    settled(domain)
    domain.run(35 * SECOND)
    assert len(times(domain, Heartbeat)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        BindingReregistrationControl(0, SECOND, SECOND),
        BindingReregistrationControl(4 * SECOND, 0, SECOND),
        BindingReregistrationControl(4 * SECOND, SECOND, 0),
        HeartbeatControl(0, SECOND, 1),
        HeartbeatControl(SECOND, SECOND, 0),
    ],
)
def test_5_2_an_answer_with_a_zero_is_ignored_and_the_request_repeated(
    bad: BindingReregistrationControl | HeartbeatControl,
) -> None:
    domain = controlled(attached=False)
    (extension, *_) = [one for one in domain.lma.extensions if isinstance(one, LmaControlledTimers)]
    extension._option = (LmaControlledMagParameters((bad,)),)
    domain.attach("mn1", "mag1")
    domain.run(4 * SECOND)
    assert not domain.at("mag1").confirmed
    assert len(messages(domain, BindingUpdate)) >= 3
    assert domain.reported("mag1", "parameters-refused") == len(messages(domain, BindingAcknowledgement))
    extension._option = ()
    domain.run(5 * SECOND)
    assert domain.at("mag1").confirmed


def test_5_2_a_heartbeat_delay_of_zero_is_allowed() -> None:
    domain = controlled(None)
    (update,) = messages(domain, BindingUpdate)
    (answer,) = messages(domain, BindingAcknowledgement)
    answer.options = (*answer.options, LmaControlledMagParameters((HeartbeatControl(SECOND, 0, 1),)))
    assert all(one.acceptable(domain.at("mag1"), update, answer) for one in domain.mag("mag1").extensions)


def test_5_the_session_shows_its_timers_and_forgets_them() -> None:
    domain = controlled()
    (row,) = domain.members["mag1"].engine.show("sessions", domain.now)
    assert row["timers"] == [20, 3, 5]
    domain.detach("mn1", "mag1")
    domain.run(2 * SECOND)
    (extension,) = [one for one in domain.mag("mag1").extensions if one.name == "controlled-timers"]
    assert not extension._told  # type: ignore[attr-defined]
