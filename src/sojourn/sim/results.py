"""The directory of a simulation: what is done, so that a later run goes on, and what was found.

    manifest.json                  which simulation this is, and its shards
    shards/FIRST-LAST.msgpack      the figures of a shard that is done
    handovers/FIRST-LAST.parquet   one row for each handover (.npz without the extra ``results``)
    summary.json                   all together

A file is there as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from sojourn import __version__
from sojourn.sim.figures import Figures, Rows
from sojourn.sim.topology import Topology
from sojourn.sim.workload import BLOCK, Workload

Shard = tuple[int, int]
"""The first node, and the one after the last."""
_KIND = "sojourn simulation"
_FAILURE = ".failure.txt"
MANIFEST, SUMMARY = "manifest.json", "summary.json"


class NotOurs(Exception):
    """The directory cannot be used; the text is for people."""


class Manifest(Struct):
    """Which simulation a directory is for."""

    what: str
    version: str
    scenario: str
    """`fingerprint`."""
    shards: list[Shard]


def fingerprint(topology: Topology, workload: Workload, *told: object) -> str:
    """A digest of all that decides what comes out. The first block of nodes stands for the population."""
    digest = hashlib.sha256(f"{__version__} {workload.nodes} {workload.duration} {told}".encode())
    digest.update("\0".join(topology.places).encode())
    digest.update(np.ascontiguousarray(topology.delay).tobytes())
    stream = workload.shard(0, min(BLOCK, workload.nodes))
    for column in (stream.time, stream.node, stream.kind, stream.argument, stream.peer):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


class Directory:
    """Results at `path`, which has been claimed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def claim(self, scenario: str, shards: Sequence[Shard], *, resume: bool) -> list[Shard]:
        """It is for this simulation; answers with the shards as they were cut when that began.

        Raises `NotOurs` when something else is there, or when results are there and they shall not be taken up.
        """
        path = self.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            known = self._known(scenario, resume)
            if known is None:
                known = Manifest(_KIND, __version__, scenario, list(shards))
                self._write(MANIFEST, msgspec.json.format(msgspec.json.encode(known), indent=1))
        except FileExistsError:
            raise NotOurs(f"{path} is a file; name a directory for results") from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise NotOurs(f"{path} cannot be written: {reason}; name another directory for results") from None
        return known.shards

    def _known(self, scenario: str, resume: bool) -> Manifest | None:
        """What the directory has been used for; None when it is empty."""
        file = self.path / MANIFEST
        if not file.exists():
            if any(entry.name[0] != "." for entry in self.path.iterdir()):
                raise NotOurs(f"{self.path} holds files that are no results of a simulation; name an empty directory")
            return None
        try:
            manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
        except msgspec.DecodeError:
            manifest = None
        if manifest is None or manifest.what != _KIND:
            raise NotOurs(f"{file} is not of a simulation of sojourn; name an empty directory for results")
        if manifest.scenario != scenario:
            raise NotOurs(
                f"{self.path} holds results of another simulation (other scenario, seed, settings or version); "
                "name another directory"
            )
        if not resume:
            done = sum(1 for shard in manifest.shards if self._figures(shard).exists())
            raise NotOurs(
                f"{self.path} holds results of this simulation already ({done} of {len(manifest.shards)} parts are "
                "done); go on with --resume, or name another directory"
            )
        return manifest

    # --- shards -----------------------------------------------------------------------------------------------------

    def _figures(self, shard: Shard) -> Path:
        return self.path / "shards" / f"{shard[0]:08}-{shard[1]:08}.msgpack"

    def done(self, shard: Shard) -> Figures | None:
        """Its figures, if it has been simulated."""
        try:
            return msgspec.msgpack.decode(self._figures(shard).read_bytes(), type=Figures)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def keep(self, shard: Shard, figures: Figures, rows: Rows | None) -> None:
        """It is done."""
        if rows is not None:
            self._keep_rows(f"handovers/{shard[0]:08}-{shard[1]:08}", rows)
        self._write(str(self._figures(shard).relative_to(self.path)), msgspec.msgpack.encode(figures))
        self._figures(shard).with_suffix(_FAILURE).unlink(missing_ok=True)

    def _keep_rows(self, name: str, rows: Rows) -> None:
        columns = rows.columns()
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            with self._temporary(f"{name}.npz").open("wb") as file:
                np.savez_compressed(file, **columns)
            self._finish(f"{name}.npz")
            return
        table = pyarrow.table({column: pyarrow.array(values) for column, values in columns.items()})
        parquet.write_table(table, self._temporary(f"{name}.parquet"), compression="zstd")
        self._finish(f"{name}.parquet")

    def explain(self, shard: Shard, details: str) -> None:
        """Why it could not be simulated."""
        self._write(str(self._figures(shard).relative_to(self.path).with_suffix(_FAILURE)), details.encode())

    def summarize(self, summary: dict[str, Any]) -> None:
        """Everything is done, or as much as can be."""
        self._write(SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=1))

    # --- files ------------------------------------------------------------------------------------------------------

    def _temporary(self, name: str) -> Path:
        return self.path / f"{name}.new"

    def _write(self, name: str, octets: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        self._temporary(name).write_bytes(octets)
        self._finish(name)

    def _finish(self, name: str) -> None:
        os.replace(self._temporary(name), self.path / name)
