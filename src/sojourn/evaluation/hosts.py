"""What a handover takes besides signalling, as measured with stock Linux hosts on Linux 6.18 (docs/evaluating.md)."""

from __future__ import annotations

REATTACHED = 14.0
"""ms, typical: silence of an old flow when the host changes routers that look alike (RFC 6543) and the control plane
takes no time. Link, kernel and host."""
NEW_ADDRESS = {
    "advertised at attach, optimistic detection (RFC 4429)": 10.0,
    "advertised at attach, host as it comes": 1654.0,
    "host asks first, host as it comes": 3012.0,
}
"""ms, median: until a new address can be used. It delays new flows only, and it is the same in every way."""
