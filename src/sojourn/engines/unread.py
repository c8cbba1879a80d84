"""What an earlier life stored and this one did not take up yet.

To take up a million bindings takes seconds, in which everybody would wait. So a role takes up a few at a time while it
answers, and first of all those that it is asked about. Nothing is changed in the store by that: a role that dies in the
middle finds everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice, starmap

SLICE = 500
"""Records that are taken up at a time: a few milliseconds. So many or fewer are taken up at once."""
NAMED = 5_000
"""Nodes whose names are looked for at a time: the same."""
Stored = tuple[bytes, bytes]
"""Key and record."""


class Unread:
    """`records` by the nodes that they are about, which `node` finds in key and record; else the key says it.

    `names` finds in a record what else it is asked for by, once `index` was called until nothing is `nameless`; if two
    have one name, the later record is found.
    """

    def __init__(
        self,
        records: Iterable[Stored] = (),
        node: Callable[[bytes, bytes], bytes] | None = None,
        names: Callable[[bytes], Iterable[bytes]] | None = None,
    ) -> None:
        pairs = list(records)
        self.left = len(pairs)
        """So many records."""
        nodes = [key for key, _ in pairs] if node is None else list(starmap(node, pairs))
        self._by_node: dict[bytes, Stored | list[Stored]] = dict(zip(nodes, pairs, strict=True))
        """A list where there are several."""
        if len(self._by_node) < self.left:
            self._by_node = _gathered(nodes, pairs)
        order = list(self._by_node)
        self._next, self._nameless = iter(order), iter(order)
        self._names = names
        self._named: dict[bytes, bytes] = {}
        """Nodes by these names."""
        self.nameless = names is not None and bool(order)
        """Some records are not found by their names yet."""

    def of(self, node: bytes) -> list[Stored]:
        """Those about `node`, which are taken up now."""
        return self._taken((node,))

    def named(self, name: bytes) -> list[Stored]:
        """Those about the node that a record with `name` is about, which are taken up now."""
        node = self._named.get(name)
        return [] if node is None else self.of(node)

    def index(self) -> bool:
        """The next few nodes are found by their names from now on; whether these were the last."""
        assert self._names is not None
        by_node, named, names = self._by_node, self._named, self._names
        nodes = list(islice(self._nameless, NAMED))
        for node in nodes:
            found = by_node.get(node, ())
            for _, record in found if isinstance(found, list) else [found] if found else ():
                for name in names(record):
                    named[name] = node
        self.nameless = bool(nodes)
        return not nodes

    def some(self) -> list[Stored]:
        """Those about the next few nodes."""
        return self._taken(islice(self._next, SLICE))

    def rest(self) -> list[Stored]:
        """All that are left."""
        return self._taken(self._next)

    def _taken(self, nodes: Iterable[bytes]) -> list[Stored]:
        taken: list[Stored] = []
        for node in nodes:
            found = self._by_node.pop(node, None)
            if isinstance(found, list):
                taken += found
            elif found is not None:
                taken.append(found)
        self.left -= len(taken)
        if not self.left:
            self.nameless = False
            self._named.clear()
        return taken


def _gathered(nodes: Iterable[bytes], pairs: Iterable[Stored]) -> dict[bytes, Stored | list[Stored]]:
    by_node: dict[bytes, list[Stored]] = {}
    for node, pair in zip(nodes, pairs, strict=True):
        by_node.setdefault(node, []).append(pair)
    return {node: found if len(found) > 1 else found[0] for node, found in by_node.items()}
