"""How many old anchors a node has: the quantity that signalling, state and latency grow with.

Supposed: exponential dwell times, Poisson arrivals of exponential sessions, and nodes that do not come back to an
anchor that they still have. Heavy-tailed dwell times, returns and finite trips make the real number smaller (in two
real traces by 1.2 to 6 times).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from sojourn.evaluation.models.mobility import Transform
from sojourn.evaluation.models.numerics import integral


def old_anchors(kappa: float, rho: float) -> float:
    """Old anchors of a node at any time, where a prefix lives as long as a session that began on it.

    n_rand = kappa int_0^1 Ein(rho (1 - u^(1/kappa))) du with Ein(z) = int_0^z (1 - e^-t) / t dt; by parts, and with
    v = u^(1/kappa), the same is kappa int_0^1 v^kappa (1 - e^(-rho (1 - v))) / (1 - v) dv, which is computed.
    """

    def lives(gone: float) -> float:
        return -math.expm1(-rho * gone) / gone if gone else rho

    return kappa * _weighted(lives, kappa, rho)


def left_in_use(kappa: float, rho: float) -> float:
    """Probability that a session still uses the prefix of the router that a node leaves.

    p_left = int_0^1 1 - exp(-rho (1 - u^(1/kappa))) du = rho int_0^1 v^kappa e^(-rho (1 - v)) dv.
    """
    return rho * _weighted(lambda gone: math.exp(-rho * gone), kappa, rho)


def _weighted(function: Callable[[float], float], kappa: float, rho: float) -> float:
    """int_0^1 v^kappa f(1 - v) dv, where f changes over 1 / rho.

    With v = e^(-t / (kappa + 1)) it is int_0^inf e^-t f(...) dt / (kappa + 1), which is smooth for every kappa.
    """
    scale = kappa + 1
    ends = sorted({0.0, *(min(bound, _FAR) for bound in (0.1 * scale / rho, 10 * scale / rho, 1.0, _FAR))})

    def density(t: float) -> float:
        return math.exp(-t) * function(-math.expm1(-t / scale))

    return sum(integral(density, low, high) for low, high in pairwise(ends)) / scale


_FAR = 50.0
"""e^-50 is nothing."""


def anchors_at_handover(kappa: float, rho: float) -> float:
    """Prefixes in use that a handover has to redirect: n_HO = n_rand + p_left, which is never above rho."""
    return old_anchors(kappa, rho) + left_in_use(kappa, rho)


def redirected(rho: float) -> float:
    """Probability that a handover has anything to redirect: 1 - e^(-rho), that of any session being open."""
    return -math.expm1(-rho)


def contacted(kappa: float, rho: float, mu: float = 0.0, hold: float = 0.0) -> float:
    """Routers that a handover of sojourn's engines contacts: 1 + n_rand + mu tau.

    The router that a node leaves anchors the prefix that it gave out, used or not, so it is always told (1 for
    p_left). A prefix whose last session is over stays for the idle hold time tau, in which mu tau handovers find it
    (Little). The term in tau is an upper bound: a node that comes back within tau takes its prefix up again.
    """
    return 1 + old_anchors(kappa, rho) + mu * hold


def anchors_of_timer(mu: float, delta: float) -> float:
    """Old anchors at any time where a left prefix lives for another exponential time of rate delta: mu / delta."""
    return mu / delta


def anchors_at_handover_of_timer(residence: Transform, delta: float) -> float:
    """The same at a handover, the router just left included: 1 / (1 - f*(delta)); 1 + mu / delta if f is
    exponential."""
    return 1 / (1 - residence(delta))


def anchors_of_fixed_timer(mu: float, timeout: float) -> float:
    """At a handover, where a left prefix lives for a fixed time T: 1 + mu T, without bound as nodes get faster."""
    return 1 + mu * timeout


def tunnelled_share(mu: float, session_mean: float, session: Transform) -> float:
    """Share of session time that a node spends away from the session's anchor, for exponential dwell times.

    phi = 1 - (1 - L_S(mu)) / (mu E[S]), for any law of the session length with transform L_S.
    """
    return 1 - (1 - session(mu)) / (mu * session_mean)


def tunnelled_share_exponential(kappa: float) -> float:
    """phi = kappa / (1 + kappa), for exponential sessions."""
    return kappa / (1 + kappa)
