"""Bindings that survive a restart."""

from sojourn.stores.base import LeasedStore, SharedStore, Store, StoreError
from sojourn.stores.memory import MemoryStore
from sojourn.stores.sqlite import SqliteStore

__all__ = ["LeasedStore", "MemoryStore", "SharedStore", "SqliteStore", "Store", "StoreError"]
