"""What a handover takes besides signalling, as measured with stock Linux hosts on Linux 6.18 (docs/evaluating.md)."""

from __future__ import annotations

REATTACHED = 14.0
"""ms, typical: silence of an old flow when the host changes routers that look alike (RFC 6543) and the control plane
takes no time. Link, kernel and host."""
