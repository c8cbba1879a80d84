"""Many rows about nodes, on disk and sorted by block of nodes: memory is bounded however many rows there are.

Rows come in any order of nodes. They are written down as they come, and when all are there moved to where their block
is; then the rows of one block are read at once, in the order in which they came. Other processes read the same file.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.files.toml import unusable
from sojourn.sim.workload import BLOCK

MOST_IN_A_BLOCK = 20_000_000
"""Rows of a thousand nodes; with more, a shard would not fit into memory."""
_MOVED_AT_ONCE = 1 << 19
"""Rows."""


def _remove(folder: Path, owner: int) -> None:
    """A copy of the object in a forked process ends, too, and must not take the files along."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


class Spool:
    """Rows of one type, which must have a field ``node``. The files end with the object that made them."""

    def __init__(self, row: np.dtype[np.void]) -> None:
        self._row = row
        folder = Path(tempfile.mkdtemp(prefix="sojourn-rows-"))
        self._path = folder / "rows"
        self._as_they_came = folder / "raw"
        self._counts = np.zeros(1, dtype=np.int64)
        self._starts = np.zeros(0, dtype=np.int64)
        self._end = weakref.finalize(self, _remove, folder, os.getpid())

    def __getstate__(self) -> dict[str, object]:
        """For another process, which may read but does not own the files."""
        return {"_row": self._row, "_path": self._path, "_counts": self._counts, "_starts": self._starts}

    @property
    def count(self) -> int:
        """All rows."""
        return int(self._counts.sum())

    @property
    def blocks(self) -> int:
        """Blocks up to the last that has rows."""
        return len(self._counts)

    def fill(self, parts: Iterable[NDArray[np.void]], file: str) -> None:
        """Take all rows, which come from `file`. Raises `ConfigurationError` when they are too many."""
        try:
            for part in parts:
                self._add(part)
            if (fullest := int(self._counts.max())) > MOST_IN_A_BLOCK:
                expected = f"expected at most {MOST_IN_A_BLOCK}; simulate a shorter time"
                raise unusable(file, f"has {fullest} rows of a thousand nodes", expected)
            self._finish()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            wrong = f"cannot be sorted in {self._path.parent}: {reason}"
            raise unusable(file, wrong, "name a directory with more room by TMPDIR") from None

    def _add(self, rows: NDArray[np.void]) -> None:
        counts = np.bincount(rows["node"] // BLOCK, minlength=len(self._counts))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        with self._as_they_came.open("ab") as file:
            rows.tofile(file)

    def _finish(self) -> None:
        """All rows are there: move them to their blocks."""
        self._starts = np.cumsum(self._counts) - self._counts
        ends = self._starts.copy()
        self._as_they_came.touch()
        with self._as_they_came.open("rb") as source, self._path.open("wb") as target:
            while len(rows := np.fromfile(source, self._row, _MOVED_AT_ONCE)):
                block = rows["node"] // BLOCK
                rows = rows[np.argsort(block, kind="stable")]
                first = 0
                for number, count in enumerate(np.bincount(block)):
                    if count:
                        target.seek(int(ends[number]) * self._row.itemsize)
                        rows[first : first + count].tofile(target)
                        first += int(count)
                        ends[number] += count
        self._as_they_came.unlink()

    def block(self, number: int) -> NDArray[np.void]:
        """The rows of the nodes ``number * BLOCK`` and after."""
        if number >= len(self._counts):
            return np.empty(0, dtype=self._row)
        offset = int(self._starts[number]) * self._row.itemsize
        return np.fromfile(self._path, self._row, int(self._counts[number]), offset=offset)
