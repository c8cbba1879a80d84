"""What an earlier life stored and this one did not take up yet.

To take up a million bindings takes seconds, in which everybody would wait. So a role takes up a few at a time while it
answers, and first of all those that it is asked about. Nothing is changed in the store by that: a role that dies in the
middle finds everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

SLICE = 500
"""Records that are taken up at a time: a few milliseconds. So many or fewer are taken up at once."""
NAMED = 5_000
"""Nodes whose names are looked for at a time: the same."""

Stored = tuple[bytes, bytes]
"""Key and record."""


class Unread:
    """`records` by the nodes that they are about, which `node` finds in key and record.

    `names` finds in a record what else it is asked for by, once `index` was called until nothing is `nameless`; if two
    have one name, the later record is found.
    """

    def __init__(
        self,
        records: Iterable[Stored] = (),
        node: Callable[[bytes, bytes], bytes] = lambda key, _: key,
        names: Callable[[bytes], Iterable[bytes]] | None = None,
    ) -> None:
        self.left = 0
        """So many records."""
        self._by_node: dict[bytes, Stored | list[Stored]] = {}
        """A list where there are several."""
        self._named: dict[bytes, bytes] = {}
        """Nodes by these names."""
        self._names = names
        known = self._by_node
        for pair in records:
            self.left += 1
            about = node(*pair)
            first = known.setdefault(about, pair)
            if first is not pair:
                known[about] = [*first, pair] if isinstance(first, list) else [first, pair]
        nodes = list(known)
        self._next, self._nameless = iter(nodes), iter(nodes)
        self.nameless = names is not None and bool(nodes)
        """Some records are not found by their names yet."""

    def of(self, node: bytes) -> list[Stored]:
        """Those about `node`, which are taken up now."""
        found = self._by_node.pop(node, None)
        if found is None:
            return []
        pairs = found if isinstance(found, list) else [found]
        self.left -= len(pairs)
        if not self.left:
            self.nameless = False
            self._named.clear()
        return pairs

    def named(self, name: bytes) -> list[Stored]:
        """Those about the node that a record with `name` is about, which are taken up now."""
        about = self._named.pop(name, None)
        return [] if about is None else self.of(about)

    def index(self) -> bool:
        """The next few nodes are found by their names from now on; whether these were the last."""
        assert self._names is not None
        nodes = list(islice(self._nameless, NAMED))
        for node in nodes:
            found = self._by_node.get(node, ())
            for _, record in found if isinstance(found, list) else [found] if found else ():
                self._named.update(dict.fromkeys(self._names(record), node))
        self.nameless = bool(nodes)
        return not nodes

    def some(self) -> list[Stored]:
        """Those about the next few nodes."""
        return [pair for node in islice(self._next, SLICE) for pair in self.of(node)]

    def rest(self) -> list[Stored]:
        """All that are left."""
        return [pair for node in self._next for pair in self.of(node)]
