"""sojourn: distributed mobility management for IPv6 (RFC 7333, 8885), real on Linux."""

__version__ = "0.1.0"
