# SPDX-License-Identifier: Apache-2.0
"""The Zarr sink, which writes tiles to a store; a later run continues an interrupted one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from simplugins._common import filesystem
from simplugins.activations.activations import Activations
from simplugins.activations.labels import comparable
from simplugins.compute.job import Job, TileResult, check_consistent, provenance
from simplugins.compute.run import Resources, execute, make_tiling
from simplugins.compute.sinks.zarr_store import Store
from simplugins.compute.tiling import Tile, Tiling


class ZarrSink:
    """Writes tiles to a store, which is created with the first tile.

    Parameters
    ----------
    path : Path
    tiling : Tiling
    manifest : mapping
        The manifest for a new store.
    job : Job
    store : Store or None
        The store of an earlier run to continue.
    """

    def __init__(self, path: Path, tiling: Tiling, manifest: Mapping[str, Any], job: Job, store: Store | None) -> None:
        self.path, self.tiling, self.manifest, self.job, self.store = path, tiling, manifest, job, store
        self.stack = ExitStack()

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        """Return the tiles that are not stored yet."""
        done = set() if self.store is None else self.store.done()
        return (tile for tile in tiles if tile not in done)

    def add(self, tile: Tile, result: TileResult) -> None:
        """Write a tile."""
        if self.store is None:
            self.store = self._create(result)
        check_consistent(self.store.manifest["computed"], result)
        with ThreadPoolExecutor(1) as writer:  # waits for the tile even when interrupted
            writer.submit(self.store.write, tile, result).result()

    def _create(self, result: TileResult) -> Store:
        manifest = {**self.manifest, "computed": provenance(result)}
        store = Store.create(self.path, manifest, self.tiling, *self.job.norms)
        self.stack.enter_context(store.locked())
        return store

    def progress_report(self) -> str:
        """Return a message that describes the progress of an interrupted run, and how to continue it."""
        if self.store is None:
            return "nothing was written"
        return f"{self.path} holds {self.store.state()}; the same call continues it"


def compute_into(
    path: str | os.PathLike[str],
    job: Job,
    resources: Resources,
    *,
    description: Mapping[str, Any],
    progress: bool | str = False,
) -> Store:
    """Compute the pairs of a job that a store lacks, creating it if necessary.

    Parameters
    ----------
    path : path
        The store; its parent folder must exist.
    job, resources, progress
        As for `simplugins.compute.run.compute_matrix`.
    description : mapping
        Further entries of the manifest of a new store.

    Returns
    -------
    Store
        The finished store.

    Raises
    ------
    ValueError
        If the store belongs to another run, another process is writing to it, or memory does not suffice.
    OSError
        If it cannot be written to.
    KeyboardInterrupt
        On an interrupt, with the progress as its message.
    """
    path = Path(path).absolute()
    job.operation.check(job.x, job.columns)
    job.operation.check_tiles()
    run, labels = describe(job), {"labels": _labels(job.x), "other_labels": _labels(job.y)}
    store = _open_matching(path, run, labels) if path.exists() else None
    if store is None:
        filesystem.check_writable(path)
    tiling = make_tiling(job, resources, stored=True) if store is None else store.tiling
    sink = ZarrSink(path, tiling, {**description, "run": run, **labels}, job, store)
    with sink.stack:
        if store is not None:
            sink.stack.enter_context(store.locked())
            store.mend_norms(*job.norms)
            store.drop_damaged()
        try:
            execute(job, sink, resources, progress=progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(sink.progress_report()) from None
    assert sink.store is not None
    return sink.store


def _open_matching(path: Path, run: Mapping[str, Any], labels: Mapping[str, list[Any] | None]) -> Store:
    """Open a store, after checking that it belongs to the same run and labels."""
    store = Store.open(path)
    check_same_run(store, run)
    for name, values in labels.items():
        _check_labels(store, name, values)
    return store


def describe(job: Job) -> dict[str, Any]:
    """Return everything that the values of tiles depend on, as JSON types.

    Raises
    ------
    ValueError
        If the measure is a lambda, which cannot be identified when a run continues.
    """
    x, y = job.sources
    run = {
        "simplugins": job.version,
        **job.operation.describe(),
        "activations": _identity(x),
        "other": None if y is None else _identity(y),
    }
    if run.get("measure") == "<lambda>":
        raise ValueError(
            "a store cannot tell one lambda from another when it is continued: define the measure as a function"
        )
    return dict(json.loads(json.dumps(run)))  # normalised like a manifest that was read back


def _identity(activations: Activations) -> dict[str, Any]:
    return {
        "inputs": len(activations),
        "channels": activations.channels,
        "dtype": str(activations.dtype),
        **activations.prepared,
        "sha256": activations.digest(),
    }


def _labels(activations: Activations | None) -> list[Any] | None:
    return None if activations is None or activations.labels is None else activations.labels.tolist()


def check_same_run(store: Store, run: Mapping[str, Any]) -> None:
    """Raise a ValueError that lists the differences if a store belongs to another run."""
    then, now = _flat(store.manifest["run"]), _flat(run)
    names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    differences = [f"{name} was {then.get(name)}, now {now.get(name)}" for name in names]
    if differences:
        raise ValueError(f"{store.path} is the store of another run: {'; '.join(differences)}; use another store")


def _check_labels(store: Store, name: str, labels: list[Any] | None) -> None:
    """Raise a ValueError if labels differ from those of the store."""
    stored = store.manifest[name]
    if labels is not None and stored is not None:
        stored, labels = (values.tolist() for values in comparable(np.asarray(stored), np.asarray(labels)))
    if labels == stored:
        return
    if labels is None or stored is None:
        difference = "there were none, now there are" if stored is None else "there were some, now there are none"
    else:
        first = next(i for i, (then, now) in enumerate(zip(stored, labels, strict=True)) if then != now)
        difference = f"input {first} was {stored[first]!r}, now {labels[first]!r}"
    raise ValueError(f"{store.path} is the store of another run: {name}: {difference}; use another store")


def _flat(entries: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested entries, joining their names."""
    flat: dict[str, Any] = {}
    for name, value in entries.items():
        flat |= _flat(value, f"{prefix}{name} ") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
