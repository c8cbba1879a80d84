"""The routers of the comparison run; every lab without mobility has them."""

from sojourn.lab.plain import PlainRouters

__all__ = ["PlainRouters"]
