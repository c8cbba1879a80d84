"""Messages: of a handover, of refreshes, of the end of a prefix; per second in a domain and at its busiest node.

n is the number of old prefixes that the handover redirects (`anchors.anchors_at_handover`), k the number of routers
that sojourn's engines contact (`anchors.contacted`).
"""

from __future__ import annotations

import math

CENTRAL = 4.0
"""PMIPv6: the old gateway de-registers, the new one registers; each is a request and an answer."""
RETIREMENT = 4.0
"""Of sojourn: the anchor asks the database to let a prefix go and is answered, the database tells the serving router
and is answered. RFC 8885 has no message for this (`docs/evaluating.md`)."""
RETIREMENT_DIRECT = 2.0
"""The same in direct mode: the anchor tells the serving router and is answered."""
LOCATOR_CHECK = 2.0
"""Of sojourn in locator mode: the serving router refreshes 3 s after a handover, as nobody else would notice a lost
answer."""


def relay_or_proxy(previous: float) -> float:
    """2 + 2 n: registration, and a request and an answer for each old anchor (RFC 8885 3.2, 3.4)."""
    return 2 + 2 * previous


def locator(previous: float) -> float:
    """1 + 3 n: the old anchors answer the database and the serving router (RFC 8885 3.3). For n = 0 it is 2, not 1."""
    return 1 + 3 * previous


def direct(previous: float) -> float:
    """2 n: routers ask each other; nothing is registered centrally."""
    return 2 * previous


def sojourn_relay_or_proxy(contacted: float) -> float:
    """2 + 2 k + 4: each handover leaves a prefix behind that retires some day, with `RETIREMENT` messages."""
    return relay_or_proxy(contacted) + RETIREMENT


def sojourn_locator(contacted: float, mu: float = 0.0) -> float:
    """1 + 3 k + 4 + 2 e^(-3 mu): as above, and the early refresh of nodes that are still there after 3 s."""
    return locator(contacted) + RETIREMENT + LOCATOR_CHECK * math.exp(-3 * mu)


def sojourn_direct(contacted: float) -> float:
    """2 k + 2: each handover leaves a prefix behind, whose anchor tells that router which serves the node then."""
    return direct(contacted) + RETIREMENT_DIRECT


def relocation(routers: int, redirected: float, retired: float) -> float:
    """M (P + R): a handover with a session open (probability P) announces all its prefixes in one route update, and
    each prefix that its last session leaves (R per handover) is withdrawn; an update goes to the reflector and on to
    M - 1 routers.
    """
    return routers * (redirected + retired)


def refreshes(lifetime: float, bindings: float = 1.0) -> float:
    """Messages per second that renew `bindings` whenever their lifetime T ends: 2 bindings / T."""
    return 2 * bindings / lifetime


def sojourn_refreshes(mu: float, lifetime: float) -> float:
    """Messages per second and node of sojourn, which refreshes at T / 2 of a stay: 2 mu / (e^(mu T / 2) - 1).

    mu e^(-mu j T / 2) stays per second are longer than j halves; their sum over j >= 1.
    """
    half = mu * lifetime / 2
    return 2 * mu / math.expm1(half) if half < 700 else 0.0


def weighted_cost(
    octets: float, wired_hops: float, wireless_hops: float, alpha: float = 1.0, beta: float = 1.0
) -> float:
    """Of one message: size (alpha wired hops + beta wireless hops)."""
    return octets * (alpha * wired_hops + beta * wireless_hops)


def signalling_cost(mu: float, cost_per_handover: float, refresh_cost: float, lifetime: float) -> float:
    """Per second and node: mu C_sig + refresh 2 / T."""
    return mu * cost_per_handover + refresh_cost * 2 / lifetime
