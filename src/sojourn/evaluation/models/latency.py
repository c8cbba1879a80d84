"""When a handover is over, from the delays between the places concerned; nobody needs time to think.

One-way delays in ms: a from the serving router to the central node, c from there to an old anchor, p from an old
anchor to the serving router, w over the wireless link. All functions take floats or arrays. Detection of the
attachment, duplicate address detection and the installation of routes come on top: `sojourn.evaluation.hosts` has
what was measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Delay = float | NDArray[np.float64]


def central(a: Delay) -> Delay:
    """PMIPv6: the anchor is told (a) and its first packet comes through the new tunnel (a). 2 a."""
    return 2 * a


def relay_registered(a: Delay, farthest: Delay) -> Delay:
    """The answer waits for the slowest old anchor: 2 a + 2 max c. `farthest`: max c, 0 without old anchors.

    RFC 8885 3.2 gives the node its new prefix only then; sojourn advertises it at once in every mode.
    """
    return 2 * a + 2 * farthest


def relay_restored(a: Delay, farthest: Delay, c: Delay, p: Delay) -> Delay:
    """An old prefix works when its anchor tunnels and the serving router knows: max(2 a + 2 max c, a + c + p)."""
    return np.maximum(relay_registered(a, farthest), a + c + p)


def proxy_registered(a: Delay) -> Delay:
    """The central node answers at once: 2 a."""
    return 2 * a


def proxy_restored(a: Delay, c: Delay, p: Delay) -> Delay:
    """max(2 a, a + c + p)."""
    return np.maximum(2 * a, a + c + p)


def locator_restored(a: Delay, c: Delay, p: Delay) -> Delay:
    """The old anchor answers the serving router itself: a + c + p. The first such answer registers: min_i of it."""
    return a + c + p


def direct_restored(p: Delay, left: Delay = 0.0) -> Delay:
    """The serving router knows the old anchor and asks it: 2 p. (p, where it accepts packets before the answer.)

    sojourn's knows the router just left, which names the others: these are asked after a round trip to that one, whose
    delay is `left` (0 for itself).
    """
    return 2 * p + 2 * left


def relocation_restored(a: Delay, c: Delay, p: Delay) -> Delay:
    """Route injection: the route goes to the reflector (a) and on to the router just left (c), which has the packets:
    + p.

    Timers of the routing protocol (MRAI, 0 to 30 s) and the time that routers take to install come on top.
    """
    return a + c + p


def relocation_converged(a: Delay, farthest: Delay) -> Delay:
    """Until every router of the domain has the new route: a + max c over all routers."""
    return a + farthest


def host_restored(p: Delay, w: Delay, returned: Delay = 0.0) -> Delay:
    """The host tells each of its anchors: w + p there, p + w back with the first packet. 2 (w + p).

    Where it has `returned` (1) to an address that is in use, the anchor of that link lets go of it first: 2 w. As a
    care-of address it would lead in circles until then.
    """
    return 2 * (w + p) + 2 * w * returned


def retransmission_delay(loss: float, initial: float, longest: float, attempts: int = 60) -> float:
    """Mean extra seconds of one exchange: sum_j (1 - q) q^j sum_{i < j} min(2^i T0, Tmax).

    `loss` is q, that of an exchange (request or answer); `initial` and `longest` are T0 and Tmax. The mean hides the
    tail: every loss costs at least T0.
    """
    total = waited = 0.0
    for attempt in range(1, attempts):
        waited += min(2 ** (attempt - 1) * initial, longest)
        total += (1 - loss) * loss**attempt * waited
    return total


def wired_delay(octets: float, hops: float, bandwidth: float, link: float, processing: float) -> float:
    """h (s / B + L) + (h - 1) omega: `hops` links of `link` seconds and `bandwidth` octets per second."""
    return hops * (octets / bandwidth + link) + (hops - 1) * processing


def wireless_delay(octets: float, bandwidth: float, link: float, loss: float) -> float:
    """(s / B_w + L_w) / (1 - q): repeated until it arrives."""
    return (octets / bandwidth + link) / (1 - loss)
