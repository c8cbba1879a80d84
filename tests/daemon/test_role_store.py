"""Roles that share a store keep their bindings apart."""

from __future__ import annotations

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.daemon.roles import RoleStore
from sojourn.stores import MemoryStore


def test_two_roles_may_use_the_same_key() -> None:
    shared = MemoryStore()
    maar, cmd = RoleStore(shared, "maar"), RoleStore(shared, "cmd")
    maar.apply([StoreBinding(b"node", b"here")])
    cmd.apply([StoreBinding(b"node", b"there")])
    assert (list(maar.load()), list(cmd.load())) == ([(b"node", b"here")], [(b"node", b"there")])
    maar.apply([DeleteBinding(b"node")])
    assert (list(maar.load()), list(cmd.load())) == ([], [(b"node", b"there")])
