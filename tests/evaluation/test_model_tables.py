"""The closed forms against the printed tables of section 7 of the collected standards, and against each other.

The tables were computed and simulated by others (Monte Carlo, event simulation of the message order): they are the
oracle.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import exp1

from sojourn.evaluation.models import anchors, breakeven, delivery, latency, mobility, signalling
from sojourn.evaluation.models.mobility import Behaviour, NoSteadyState
from sojourn.evaluation.models.observed import Observed

KAPPA = st.floats(0.01, 100)
RHO = st.floats(0.01, 50)
ANY = st.floats(-5, 5).map(lambda exponent: 10.0**exponent)

# --- 7.1 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "speed", "dwell"), [(50, 1.4, 56.1), (200, 14, 22.4), (500, 30, 26.2)])
def test_7_1_dwell_in_round_cells(radius: float, speed: float, dwell: float) -> None:
    assert 1 / mobility.crossing_rate_of_circle(speed, radius) == pytest.approx(dwell, abs=0.05)
    circle = mobility.crossing_rate(speed, 2 * math.pi * radius, math.pi * radius**2)
    assert circle == pytest.approx(mobility.crossing_rate_of_circle(speed, radius))
    assert mobility.crossing_rate_of_area(circle, 16) == pytest.approx(circle / 4)


@pytest.mark.parametrize(
    ("shape", "probabilities"),
    [(1, (0.3333, 0.2222, 0.1481)), (4, (0.2486, 0.2823, 0.1762)), (0.5, (0.4142, 0.1716, 0.1213))],
)
def test_7_1_handovers_in_a_session(shape: float, probabilities: tuple[float, ...]) -> None:
    residence = mobility.gamma_transform(1.0, shape)
    found = [mobility.handovers_in_session(count, 1.0, 0.5, residence) for count in range(3)]
    assert found == pytest.approx(probabilities, abs=5e-5)


@given(st.floats(0.2, 8), st.floats(0.1, 5), st.floats(0.2, 5))
def test_7_1_probabilities_sum_to_one_and_their_mean_is_kappa_for_every_residence_law(
    mu: float, nu: float, shape: float
) -> None:
    residence = mobility.gamma_transform(1 / mu, shape)
    counts = range(2000)
    found = [mobility.handovers_in_session(count, mu, nu, residence) for count in counts]
    assert sum(found) == pytest.approx(1, abs=1e-3)
    assert sum(count * one for count, one in zip(counts, found, strict=True)) == pytest.approx(mu / nu, rel=2e-2)


def test_7_1_a_pareto_law_has_the_mean_that_it_was_given_and_none_without_a_mean() -> None:
    transform = mobility.pareto_transform(30, 1.5)
    assert (1 - transform(1e-6)) / 1e-6 == pytest.approx(30, rel=0.02)  # the slope at 0 is the mean
    with pytest.raises(NoSteadyState, match="shape 1 has no mean"):
        mobility.pareto_transform(30, 1)


def test_7_1_a_sampled_law_is_the_law_of_its_samples() -> None:
    samples = np.random.default_rng(1).exponential(30, 200_000)
    assert mobility.sampled_transform(samples)(1 / 120) == pytest.approx(120 / 150, rel=0.01)


@pytest.mark.parametrize("times", [(0, 60, 30), (60, math.inf, 30), (60, 60, -1), (math.nan, 60, 30)])
def test_7_1_times_without_a_steady_state_are_refused_with_a_sentence(times: tuple[float, float, float]) -> None:
    with pytest.raises(NoSteadyState, match=r"a mean .* has no steady state: .*; give a number above 0"):
        Behaviour(*times)


# --- 7.2 ------------------------------------------------------------------------------------------------------------

ANCHORS = {  # kappa: (n_rand, p_left, n_HO) for rho = 1, 2, 5
    0.1: ((0.07318, 0.58750, 0.66068), (0.12219, 0.81818, 0.94037), (0.20567, 0.96857, 1.17424)),
    0.5: ((0.27752, 0.46192, 0.73944), (0.47553, 0.68001, 1.15553), (0.83984, 0.88429, 1.72414)),
    1.0: ((0.42872, 0.36788, 0.79660), (0.75160, 0.56767, 1.31926), (1.38645, 0.80135, 2.18780)),
    3.0: ((0.68252, 0.20728, 0.88980), (1.25479, 0.35150, 1.60629), (2.54785, 0.59232, 3.14017)),
    10.0: ((0.87306, 0.08388, 0.95693), (1.68070, 0.15559, 1.83629), (3.79000, 0.31856, 4.10856)),
}


@pytest.mark.parametrize("kappa", ANCHORS)
@pytest.mark.parametrize(("rho", "column"), [(1, 0), (2, 1), (5, 2)])
def test_7_2_old_anchors(kappa: float, rho: float, column: int) -> None:
    found = (
        anchors.old_anchors(kappa, rho),
        anchors.left_in_use(kappa, rho),
        anchors.anchors_at_handover(kappa, rho),
    )
    assert found == pytest.approx(ANCHORS[kappa][column], abs=1.1e-5)  # the table adds rounded numbers


@given(KAPPA, RHO)
def test_7_2_the_computed_form_is_the_printed_one(kappa: float, rho: float) -> None:
    def ein(z: float) -> float:
        return z - z * z / 4 if z < 1e-3 else float(exp1(z)) + math.log(z) + 0.5772156649015329

    def printed(y: float) -> float:  # u = e^(-kappa y)
        return kappa * math.exp(-kappa * y) * ein(-rho * math.expm1(-y))

    value = sum(quad(printed, low, high, limit=200)[0] for low, high in pairwise((0, 0.1, 1, 10, 100, 5000)))
    assert anchors.old_anchors(kappa, rho) == pytest.approx(kappa * value, rel=1e-4, abs=1e-6)


@given(ANY, ANY)
def test_7_2_there_are_never_more_anchors_than_sessions_and_more_with_longer_sessions(kappa: float, rho: float) -> None:
    at_handover = anchors.anchors_at_handover(kappa, rho)
    assert 0 <= anchors.old_anchors(kappa, rho) <= at_handover <= rho * (1 + 1e-9)
    assert anchors.left_in_use(kappa, rho) <= anchors.redirected(rho) * (1 + 1e-9)
    assert anchors.anchors_at_handover(kappa * 1.5, rho) >= at_handover * (1 - 1e-9)
    assert anchors.contacted(kappa, rho) >= at_handover


def test_7_2_prefixes_with_a_timer() -> None:
    for ratio, at_handover in ((0.5, 1.5), (1, 2), (4, 5)):
        assert anchors.anchors_of_timer(ratio, 1) == ratio
        residence = mobility.gamma_transform(1 / ratio)
        assert anchors.anchors_at_handover_of_timer(residence, 1) == pytest.approx(at_handover)
    assert anchors.anchors_of_fixed_timer(0.1, 60) == pytest.approx(7)


def test_7_2_an_idle_hold_time_adds_its_handovers() -> None:
    assert anchors.contacted(1, 1, 1 / 60, 120) == pytest.approx(1 + 0.42872 + 2, abs=1e-5)


# --- 7.3 ------------------------------------------------------------------------------------------------------------

SHARES = {  # dwell: exponential 30, 180, 600 s; Pareto 1.5 of mean 30 s
    30: (0.500, 0.857, 0.952, 0.521),
    120: (0.200, 0.600, 0.833, 0.300),
    600: (0.048, 0.231, 0.500, 0.144),
    1800: (0.016, 0.091, 0.250, 0.085),
}


@pytest.mark.parametrize("dwell", SHARES)
def test_7_3_tunnelled_share(dwell: float) -> None:
    *exponential, heavy = SHARES[dwell]
    for session, share in zip((30, 180, 600), exponential, strict=True):
        assert anchors.tunnelled_share_exponential(session / dwell) == pytest.approx(share, abs=5.1e-4)
        law = mobility.gamma_transform(session)
        assert anchors.tunnelled_share(1 / dwell, session, law) == pytest.approx(session / (session + dwell))
    found = anchors.tunnelled_share(1 / dwell, 30, mobility.pareto_transform(30, 1.5))
    assert found == pytest.approx(heavy, abs=5.1e-4)


# --- 7.4 ------------------------------------------------------------------------------------------------------------

SIGNALLING = [  # dwell, session, inter-arrival; n_HO, phi, relay and proxy, locator, direct
    (1800, 60, 30, 0.891, 0.032, 3.78, 3.67, 1.78),
    (600, 60, 30, 0.940, 0.091, 3.88, 3.82, 1.88),
    (120, 60, 30, 1.156, 0.333, 4.31, 4.47, 2.31),
    (30, 60, 30, 1.503, 0.667, 5.01, 5.51, 3.01),
    (120, 300, 60, 2.975, 0.714, 7.95, 9.92, 5.95),
    (30, 600, 60, 8.164, 0.952, 18.3, 25.5, 16.3),
]


@pytest.mark.parametrize("row", SIGNALLING)
def test_7_4_messages_of_a_handover(row: tuple[float, ...]) -> None:
    dwell, session, inter_arrival, at_handover, share, relay, locator, direct = row
    behaviour = Behaviour(dwell, session, inter_arrival)
    found = anchors.anchors_at_handover(behaviour.kappa, behaviour.rho)
    assert found == pytest.approx(at_handover, abs=6e-4)
    assert anchors.tunnelled_share_exponential(behaviour.kappa) == pytest.approx(share, abs=6e-4)
    assert signalling.relay_or_proxy(found) == pytest.approx(relay, rel=2e-3)
    assert signalling.locator(found) == pytest.approx(locator, rel=2e-3)
    assert signalling.direct(found) == pytest.approx(direct, rel=3e-3)
    assert signalling.CENTRAL == 4


def test_7_4_what_the_engines_do_is_never_less_than_eight_messages() -> None:
    """2 + 2 for the router just left, and 4 for the prefix that will retire."""
    assert signalling.sojourn_relay_or_proxy(anchors.contacted(1e-6, 1e-6)) == pytest.approx(8, abs=1e-4)
    assert signalling.sojourn_locator(1.0, mu=1 / 300) == pytest.approx(4 + 4 + 2 * math.exp(-0.01))


def test_7_4_refreshes() -> None:
    assert signalling.refreshes(600) == pytest.approx(1 / 300)
    assert signalling.refreshes(600, 3) == pytest.approx(1 / 100)
    assert signalling.sojourn_refreshes(1e-9, 600) == pytest.approx(1 / 150, rel=1e-5)  # who never moves: each T / 2
    assert signalling.sojourn_refreshes(1 / 60, 3600) < 1e-12
    assert signalling.sojourn_refreshes(1.0, 7200) == 0
    assert signalling.weighted_cost(120, 4, 1, beta=10) == 120 * 14
    assert signalling.signalling_cost(0.1, 500, 50, 100) == pytest.approx(51)


def _exponential(one: Behaviour) -> breakeven.AtHandover:
    return lambda sessions, stays: anchors.anchors_at_handover(one.kappa * sessions / stays, one.rho * sessions)


@pytest.mark.parametrize(("way", "limit"), [("proxy", 1), ("relay", 1), ("locator", 1), ("direct", 2)])
def test_7_4_break_even_is_where_the_anchors_are_the_limit(way: str, limit: float) -> None:
    at_handover = _exponential(Behaviour(120, 300, 60))
    longer, shorter = breakeven.session_factor(at_handover, way), breakeven.stay_factor(at_handover, way)
    assert longer is not None
    assert shorter is not None
    assert at_handover(longer, 1) == pytest.approx(limit)
    assert at_handover(1, shorter) == pytest.approx(limit)


def test_7_4_there_is_no_break_even_in_dwell_with_less_than_one_session_at_a_time() -> None:
    assert breakeven.stay_factor(_exponential(Behaviour(120, 30, 60)), "proxy") is None


def test_7_4_a_core_is_busy_when_its_messages_take_all_of_its_time() -> None:
    assert breakeven.nodes_per_core(0.01, 100e-6) == pytest.approx(1e6)


@pytest.mark.parametrize(("loss", "milliseconds"), [(0.001, 1.0), (0.01, 10.2), (0.05, 55.6), (0.10, 125.0)])
def test_7_4_mean_delay_of_retransmissions(loss: float, milliseconds: float) -> None:
    assert 1000 * latency.retransmission_delay(loss, 1, 32) == pytest.approx(milliseconds, rel=0.006)


# --- 7.5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delays", "relay", "proxy", "locator", "direct", "central"),
    [((10, 10, 4), 40, 24, 24, 8, 20), ((2, 2, 2), 8, 6, 6, 4, 4), ((25, 25, 5), 100, 55, 55, 10, 50)],
)
def test_7_5_examples(
    delays: tuple[float, float, float], relay: float, proxy: float, locator: float, direct: float, central: float
) -> None:
    a, c, p = delays
    assert latency.relay_restored(a, c, c, p) == relay
    assert latency.proxy_restored(a, c, p) == proxy
    assert latency.locator_restored(a, c, p) == locator
    assert latency.direct_restored(p) == direct
    assert latency.central(a) == central
    assert latency.proxy_registered(a) == 2 * a
    assert latency.relay_registered(a, c) == 2 * a + 2 * c


def test_7_5_functions_take_columns() -> None:
    a, c, p = np.array([10.0, 2.0]), np.array([10.0, 2.0]), np.array([4.0, 2.0])
    assert list(latency.proxy_restored(a, c, p)) == [24, 6]
    assert list(latency.relay_restored(a, c, c, p)) == [40, 8]


def test_7_5_other_ways() -> None:
    assert latency.relocation_restored(10, 8, 2) == 20
    assert latency.relocation_converged(10, 30) == 40
    assert latency.host_restored(4, 2) == 12
    assert latency.wired_delay(100, 3, 1000, 0.01, 0.001) == pytest.approx(3 * 0.11 + 0.002)
    assert latency.wireless_delay(100, 1000, 0.01, 0.5) == pytest.approx(0.22)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_7_5_relay_is_never_faster_than_proxy_nor_proxy_than_locator(a: float, c: float, p: float) -> None:
    relay, proxy = latency.relay_restored(a, c, c, p), latency.proxy_restored(a, c, p)
    assert relay >= proxy >= latency.locator_restored(a, c, p)


# --- 7.6 ------------------------------------------------------------------------------------------------------------


def test_7_6_break_even_shares() -> None:
    far = delivery.Distances(6, 4, 8, 8, 2)
    assert delivery.break_even_share(far, 1400) == pytest.approx(1.03, abs=0.005)
    cache = delivery.Distances(5, 4, 1, 2, 2)
    assert delivery.central_cost(cache, 1400) / 1400 == pytest.approx(9.11, abs=0.005)
    assert delivery.distributed_cost(cache, 0.2, 1400) / 1400 == pytest.approx(1.61, abs=0.005)
    drifted = delivery.Distances(6, 4, 8, 8, 10)
    assert delivery.break_even_share(drifted, 1400) == pytest.approx(0.21, abs=0.005)
    assert delivery.stretch(drifted) == 18 / 8
    assert delivery.break_even_share(delivery.Distances(6, 4, 8, 4, 2), 1400) is None


@pytest.mark.parametrize(
    ("nodes", "routers", "times", "load", "entries", "central", "database"),
    [
        (1000, 20, (120, 60, 30), 66.7, 24, 33.3, 35.9),
        (1000, 20, (30, 600, 60), 97.6, 392, 133, 611),
        (100_000, 200, (300, 120, 60), None, None, 1333, 1408),
    ],
)
def test_7_6_load_of_routers_and_of_the_central_node(
    nodes: int, routers: int, times: tuple[float, float, float], load: float, entries: float, central: float,
    database: float,
) -> None:  # fmt: skip
    behaviour = Behaviour(*times)
    old = anchors.old_anchors(behaviour.kappa, behaviour.rho)
    at_handover = anchors.anchors_at_handover(behaviour.kappa, behaviour.rho)
    share = anchors.tunnelled_share_exponential(behaviour.kappa)
    if load is not None:
        assert delivery.router_load(nodes, routers, 1, share) == pytest.approx(load, abs=0.06)
        assert delivery.router_entries(nodes, routers, old) == pytest.approx(entries, abs=0.5)
        assert delivery.central_load(nodes, 1) == nodes
    assert nodes * behaviour.mu * signalling.CENTRAL == pytest.approx(central, rel=5e-3)
    assert nodes * behaviour.mu * signalling.relay_or_proxy(at_handover) == pytest.approx(database, rel=2e-3)


def test_7_6_entries_in_total() -> None:
    fast, city = Behaviour(30, 600, 60), Behaviour(300, 120, 60)
    assert 2 * delivery.relocation_entries(1000, anchors.old_anchors(fast.kappa, fast.rho)) == pytest.approx(
        15_676, abs=1
    )
    found = 2 * delivery.relocation_entries(100_000, anchors.old_anchors(city.kappa, city.rho))
    assert found == pytest.approx(80_464, abs=1)


# --- any law, from samples ------------------------------------------------------------------------------------------


def _quantiles(law: str, mean: float, count: int = 20_000) -> np.ndarray:
    """Samples without noise."""
    middle = (np.arange(count) + 0.5) / count
    if law == "exponential":
        return -mean * np.log(middle)
    return mean / 3 * middle ** (-1 / 1.5)  # Pareto of exponent 1.5


@pytest.mark.parametrize("kappa", ANCHORS)
@pytest.mark.parametrize("rho", [1, 5])
def test_samples_of_exponential_times_give_the_closed_forms(kappa: float, rho: float) -> None:
    one = Observed.of(_quantiles("exponential", 60), _quantiles("exponential", 60 / kappa), 60 / rho)
    assert one.old_anchors() == pytest.approx(anchors.old_anchors(kappa, rho), rel=0.02)
    assert one.left_in_use() == pytest.approx(anchors.left_in_use(kappa, rho), rel=0.01)
    assert one.tunnelled() == pytest.approx(kappa / (1 + kappa), rel=0.02)


@pytest.mark.parametrize("dwell", SHARES)
def test_samples_of_a_heavy_tail_give_the_printed_shares(dwell: float) -> None:
    one = Observed.of(_quantiles("pareto", 30, 2_000_000), _quantiles("exponential", dwell), 60)
    assert one.tunnelled() == pytest.approx(SHARES[dwell][-1], abs=0.01)
