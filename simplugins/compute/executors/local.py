# SPDX-License-Identifier: Apache-2.0
"""The local executor: computes tiles one after the other in this process, each with all threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from simplugins.activations.activations import Activations
from simplugins.compute.job import Job, TileResult
from simplugins.compute.memory import Budget
from simplugins.compute.tiling import Tile, Tiling


def compute_locally(
    job: Job, tiling: Tiling, tiles: Iterable[Tile], budget: Budget
) -> Iterator[tuple[Tile, TileResult]]:
    """Compute tiles in order, caching the most recently used blocks of inputs.

    Parameters
    ----------
    job : Job
    tiling : Tiling
    tiles : iterable of Tile
        The tiles to compute.
    budget : Budget
        Number of cached blocks (rows and columns together), and threads.
    """

    @lru_cache(maxsize=budget.blocks)
    def block(of_columns: bool, number: int) -> Activations:
        source = job.columns if of_columns else job.x
        inputs = tiling.block(number, len(source))
        return source.part(inputs.start, inputs.stop).in_memory()

    for tile in tiles:
        rows = block(False, tile.row)
        columns = None if tiling.on_diagonal(tile) else block(job.y is not None, tile.column)
        yield tile, job.part(rows, columns).compute(budget.threads)
