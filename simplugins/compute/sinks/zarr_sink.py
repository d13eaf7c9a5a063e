# SPDX-License-Identifier: Apache-2.0
"""Runs into a store: a new one, or one that an earlier call has begun, if it was the same call."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simplugins._common import filesystem
from simplugins.activations.activations import Activations
from simplugins.compute.engines import AlignedProducts
from simplugins.compute.engines.pairs import check_pair
from simplugins.compute.job import Pairing
from simplugins.compute.resources import Resources
from simplugins.compute.run import check_alike, compute_tiles, make_grid, told_of
from simplugins.compute.sinks.zarr_store import Store
from simplugins.compute.tiling import Grid, Tile
from simplugins.matching.options import matcher_options


@dataclass
class _Storing:
    """Writes tiles to a store, which is made when the first tile is there."""

    path: Path
    grid: Grid
    manifest: Mapping[str, Any]
    x: Activations
    y: Activations | None
    store: Store | None
    stack: ExitStack = field(default_factory=ExitStack)

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        done = set() if self.store is None else self.store.done()
        return (tile for tile in tiles if tile not in done)

    def add(self, tile: Tile, found: AlignedProducts) -> None:
        if self.store is None:
            self.store = self._create(found)
        check_alike(self.store.manifest["computed"], found)
        self.store.write(tile, found)

    def _create(self, found: AlignedProducts) -> Store:
        manifest = {**self.manifest, "computed": told_of(found)}
        others = None if self.y is None else self.y.squared_norms
        store = Store.create(self.path, manifest, self.grid, self.x.squared_norms, others)
        self.stack.enter_context(store.held())
        return store


def compute_into(
    path: str | os.PathLike[str],
    pairing: Pairing,
    x: Activations,
    y: Activations | None,
    resources: Resources,
    *,
    told: Mapping[str, Any],
    progress: bool | str = False,
) -> Store:
    """Compute all aligned inner products into a store, or those that it lacks.

    Parameters
    ----------
    path : path
        Of the store; the folder that it is in exists.
    pairing, x, y, resources, progress
        As for `simplugins.runs.compute_tiles`.
    told : mapping
        What else the manifest of a new store says.

    Returns
    -------
    Store
        Finished.

    Raises
    ------
    ValueError
        If the store is of another run, another process is writing to it, or memory does not suffice.
    OSError
        If it cannot be written to.
    KeyboardInterrupt
        With a text that says what is stored.
    """
    path = Path(path).absolute()
    check_pair(x, x if y is None else y, pairing.matcher)
    run = describe(pairing, x, y)
    store = None
    if path.exists():
        store = Store.open(path)
        check_same(store, run)
        _check_labels(store, "labels", _labels(x))
        _check_labels(store, "other_labels", None if y is None else _labels(y))
    else:
        filesystem.check_writable(path)
    grid = make_grid(pairing, x, y, resources) if store is None else store.grid
    manifest = {**told, "run": run, "labels": _labels(x), "other_labels": None if y is None else _labels(y)}
    storing = _Storing(path, grid, manifest, x, y, store)
    with storing.stack:
        if store is not None:
            storing.stack.enter_context(store.held())
            store.mend_norms(x.squared_norms, None if y is None else y.squared_norms)
            store.drop_damaged()
        try:
            compute_tiles(pairing, x, y, storing, resources, progress=progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_how_to_go_on(storing)) from None
    assert storing.store is not None
    return storing.store


def _how_to_go_on(storing: _Storing) -> str:
    if storing.store is None:
        return "nothing was written"
    return f"{storing.path} holds {storing.store.state()}; the same call goes on with it"


def describe(pairing: Pairing, x: Activations, y: Activations | None) -> dict[str, Any]:
    """Return all that tiles depend on."""
    told = {
        "simplugins": pairing.version,
        "matching": pairing.matcher.name,
        "matching_options": matcher_options(pairing.matcher),
        "certify": pairing.certify,
        "activations": _identity(x),
        "other": None if y is None else _identity(y),
    }
    return dict(json.loads(json.dumps(told)))  # as the manifest returns it


def _identity(activations: Activations) -> dict[str, Any]:
    return {
        "inputs": len(activations),
        "channels": activations.channels,
        "dtype": str(activations.dtype),
        "sha256": activations.digest(),
    }


def _labels(activations: Activations) -> list[Any] | None:
    return None if activations.labels is None else activations.labels.tolist()


def check_same(store: Store, run: Mapping[str, Any]) -> None:
    """Check that a store is of a run.

    Raises
    ------
    ValueError
        If it is of another; the error says in what they differ.
    """
    then, now = _flat(store.manifest["run"]), _flat(run)
    names = [name for name in {**now, **then} if now.get(name) != then.get(name)]
    different = [f"{name} was {then.get(name)}, now {now.get(name)}" for name in names]
    if different:
        raise ValueError(f"{store.path} is the store of another run: {'; '.join(different)}; use another store")


def _check_labels(store: Store, name: str, labels: list[Any] | None) -> None:
    """Check that inputs are called what they were called when the store was made; it raises as `check_same`."""
    stored = store.manifest[name]
    if labels == stored:
        return
    if labels is None or stored is None:
        how = "there were none, now there are" if stored is None else "there were some, now there are none"
    else:
        first = next(i for i, (then, now) in enumerate(zip(stored, labels, strict=True)) if then != now)
        how = f"input {first} was {stored[first]!r}, now {labels[first]!r}"
    raise ValueError(f"{store.path} is the store of another run: {name}: {how}; use another store")


def _flat(told: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what is told with all names in one level."""
    found: dict[str, Any] = {}
    for name, value in told.items():
        found |= _flat(value, f"{prefix}{name} ") if isinstance(value, Mapping) else {prefix + name: value}
    return found
