"""What formulas say of networks that follow their users: every quantity a function, its formula in the docstring.

Units: times in seconds, rates per second, delays of the network in milliseconds, sizes in octets. The letters are
those of the literature:

    mu      handovers of a node per second, 1 / mean dwell time
    nu      1 / mean session length
    lambda  sessions that a node begins per second
    kappa   mu / nu, handovers in a session
    rho     lambda / nu, sessions that a node has at a time
    n       old anchors: routers that keep a prefix of a node which is elsewhere

Each module says what it supposes. Where a formula supposes exponential times and a real network does not have them,
`sojourn.evaluation.replay` counts instead, and the report shows both.
"""
