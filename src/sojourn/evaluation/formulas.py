"""The formulas as a reader of the report sees them; docs/evaluating.md explains each."""

from __future__ import annotations

FORMULAS = (
    ("handovers in a session", "κ = session / dwell"),
    ("sessions of a node at a time", "ρ = session / time between two"),
    ("old anchors of a node", "n = κ ∫₀¹ v^κ (1 − e^(−ρ(1−v))) / (1 − v) dv"),
    ("old prefix in use when leaving", "p = ρ ∫₀¹ v^κ e^(−ρ(1−v)) dv"),
    ("prefixes in use at a handover", "n_HO = n + p ≤ ρ"),
    ("routers that sojourn tells at a handover", "k = 1 + n + τ / dwell"),
    ("traffic tunnelled", "φ = 1 − (1 − L(μ)) / (μ E[S]); exponential sessions: κ / (1 + κ)"),
    ("messages, central", "4"),
    ("messages, relay and proxy", "2 + 2 n_HO as drawn; 2 + 2 k + 4 as sojourn runs it"),
    ("messages, locator", "1 + 3 n_HO as drawn; 1 + 3 k + 4 + 2 e^(−3 s / dwell) as sojourn runs it"),
    ("messages, direct", "2 n_HO as drawn; 2 k + 2 as sojourn runs it"),
    ("messages, host", "2 n_HO"),
    ("messages, relocation", "M (P(n_HO > 0) + p)"),
    ("old session waits, central", "2 a"),
    ("old session waits, relay", "max(2 a + 2 max c, a + c + p)"),
    ("old session waits, proxy", "max(2 a, a + c + p)"),
    ("old session waits, locator", "a + c + p"),
    ("old session waits, direct", "2 p, after 2 l if it is not the router just left"),
    ("old session waits, relocation", "a + c + p, with the router just left"),
    ("old session waits, host", "2 (w + p)"),
    ("way of packets, central", "correspondent – central anchor – router"),
    ("way of packets, old anchors", "correspondent – old anchor – router"),
    ("stretch", "mean way taken / mean shortest way"),
    ("carried by a router, old anchors", "sessions of its nodes + sessions that it anchors for nodes elsewhere"),
    ("carried by the central anchor", "all sessions"),
    ("tunnel entries", "central: 2 per node; old anchors: 2 n per node; relocation: M n routes per node"),
)
"""Quantity and formula. a: serving router to central node, c: central node to old anchor, p: old anchor to serving
router, l: router just left to serving router, w: wireless link, one way; M routers; τ: idle hold time."""
