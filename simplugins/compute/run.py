# SPDX-License-Identifier: Apache-2.0
"""A run from its tiles to what they are collected in: matrices in memory, or a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins._common.formatting import human_bytes
from simplugins._common.progress import counted
from simplugins._common.threads import check_threads
from simplugins.activations.activations import Activations
from simplugins.compute.engines import AlignedProducts
from simplugins.compute.engines.pairs import check_pair, mirror
from simplugins.compute.executors.dask_cluster import compute_there, connected, threads_of
from simplugins.compute.executors.local import compute_here
from simplugins.compute.job import Pairing
from simplugins.compute.memory import Budget, Needs, least, plan, resident
from simplugins.compute.resources import Resources
from simplugins.compute.tiling import Grid, Tile, block_size

_KEPT = 2**28
"""Bytes of blocks that are kept where no limit is given, and by a worker."""

_FOR_EACH_THREAD = 32
"""Tiles for each thread of a cluster's, at least."""

_BLOCKS = 4
"""How many blocks of inputs there is to be room for: with more, of fewer inputs, less is read more than once."""


class Collector(Protocol):
    """Takes tiles."""

    grid: Grid

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        """Return the tiles that it does not have yet."""

    def add(self, tile: Tile, found: AlignedProducts) -> None:
        """Take a tile."""


@dataclass
class InMemory:
    """Collects tiles in matrices."""

    grid: Grid
    certify: bool
    values: NDArray[np.float64] = field(init=False)
    gap: NDArray[np.float64] | None = field(init=False)
    computed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.grid.rows, self.grid.columns
        self.values, self.gap = np.zeros(shape), np.zeros(shape) if self.certify else None

    def missing(self, tiles: Iterator[Tile]) -> Iterator[Tile]:
        """Return all tiles."""
        return tiles

    def add(self, tile: Tile, found: AlignedProducts) -> None:
        """Put a tile in its place."""
        where = self.grid.slices(tile)
        self.values[where] = found.values
        if self.gap is not None and found.gap is not None:
            self.gap[where] = found.gap
        check_alike(self.computed or told_of(found), found)
        self.computed = told_of(found)

    def result(self) -> AlignedProducts:
        """Complete the matrices."""
        if self.grid.symmetric:
            for matrix in (self.values, self.gap):
                if matrix is not None:
                    mirror(matrix)
        made = {name: value for name, value in self.computed.items() if name != "rounding"}
        return AlignedProducts(self.values, self.computed["rounding"], self.gap, made)


def told_of(found: AlignedProducts) -> dict[str, Any]:
    """Return how a tile was computed: "rounding", "engine", "precision", and the "device" of a GPU."""
    return {"rounding": found.rounding, **found.made}


def check_alike(computed: Mapping[str, Any], found: AlignedProducts) -> None:
    """Check that a tile was computed like others, on whatever device.

    Raises
    ------
    ValueError
        If not.
    """
    for name, value in told_of(found).items():
        if name != "device" and value != computed.get(name):
            raise ValueError(
                f"some tiles were computed with {name} {computed.get(name)!r}, others with {value!r}: ask for one "
                f"engine and precision"
            )


def make_grid(
    pairing: Pairing, x: Activations, y: Activations | None, resources: Resources, *, beside: int = 0
) -> Grid:
    """Cut pairs into tiles: of the usual size, or smaller if there is no room for them, or too few for a cluster.

    Parameters
    ----------
    pairing : Pairing
    x, y : Activations
    resources : Resources
    beside : int
        Bytes that the results will take beside the tiles.
    """
    other = x if y is None else y
    size = block_size(max(int(x.positions.max()), int(other.positions.max())))
    if resources.scheduler is not None:
        size = _shared(Grid(len(x), len(other), size, symmetric=y is None), threads_of(resources.scheduler))
    room = _room(pairing, resources)
    while room is not None and size > 1 and least(_needs(pairing, x, other, size), blocks=_BLOCKS) > room - beside:
        size //= 2
    return Grid(len(x), len(other), size, symmetric=y is None)


def _room(pairing: Pairing, resources: Resources) -> int | None:
    """Return how much memory is left of the limit, if there is one, when all is loaded that takes some anyway."""
    if resources.memory is not None:
        pairing.warm_up()
    return resources.room()


def _shared(grid: Grid, threads: int) -> int:
    """Return a size of which there are enough tiles for all threads of a cluster to end at about the same time."""
    while grid.size > 1 and grid.count < _FOR_EACH_THREAD * threads:
        grid = replace(grid, size=grid.size // 2)
    return grid.size


def _needs(pairing: Pairing, x: Activations, y: Activations, size: int) -> Needs:
    return Needs.of(x, y, pairing.matcher, size, certify=pairing.certify)


def _budget(pairing: Pairing, x: Activations, y: Activations, grid: Grid, resources: Resources, beside: int) -> Budget:
    """Return how many blocks and threads the run has.

    Raises
    ------
    ValueError
        If there is not enough memory.
    """
    threads = check_threads(resources.threads)
    needs, room = _needs(pairing, x, y, grid.size), _room(pairing, resources)
    if room is None:
        return Budget(_blocks_kept(needs), threads)
    found = plan(needs, room - beside, threads)
    if found is None:
        held = human_bytes(resident())
        results = f"{human_bytes(beside)} for the results (none with store=), " if beside else ""
        raise ValueError(
            f"memory={resources.memory!r} is too little: the process has {held} already, and the run needs "
            f"{results}{human_bytes(least(needs))} for tiles of {grid.size} x {grid.size} inputs"
        )
    return found


def _blocks_kept(needs: Needs) -> int:
    """Return how many blocks are kept where there is no limit, by this process or by each worker."""
    return max(2, _KEPT // needs.block)


def compute_tiles(
    pairing: Pairing,
    x: Activations,
    y: Activations | None,
    collector: Collector,
    resources: Resources,
    *,
    progress: bool | str = False,
    beside: int = 0,
) -> None:
    """Compute all tiles that a collector does not have, and give it each as soon as it is there.

    Parameters
    ----------
    pairing : Pairing
    x, y : Activations
        `y` is None for inputs with themselves.
    collector : Collector
    resources : Resources
    progress : bool or str
        Show a progress bar on standard error; a string is its title.
    beside : int
        Bytes that the results take beside the tiles.

    Raises
    ------
    ValueError
        If inputs do not fit each other, or memory does not suffice.
    """
    other, grid = x if y is None else y, collector.grid
    check_pair(x, other, pairing.matcher)
    with ExitStack() as stack:
        if resources.scheduler is None:
            budget = _budget(pairing, x, other, grid, resources, beside)
            tiles = list(collector.missing(grid.tiles(budget.blocks - 1)))
            found = compute_here(pairing, x, y, grid, tiles, budget)
        else:
            client = stack.enter_context(connected(resources.scheduler))
            kept = _blocks_kept(_needs(pairing, x, other, grid.size))
            tiles = list(collector.missing(grid.tiles(kept - 1)))
            how = {"client": client, "threads": resources.threads or 1, "most": kept}
            found = compute_there(pairing, x, y, grid, tiles, **how)
        done = grid.total_pairs - sum(map(grid.pairs, tiles))
        show = stack.enter_context(counted(grid.total_pairs, progress, title="matching", unit="pair", done=done))
        for tile, products in found:
            collector.add(tile, products)
            show(done := done + grid.pairs(tile))
