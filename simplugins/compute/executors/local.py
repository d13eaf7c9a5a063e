# SPDX-License-Identifier: Apache-2.0
"""Computes tiles in this process, one after the other, each with all threads; keeps the blocks last used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from simplugins.activations.activations import Activations
from simplugins.compute.engines import AlignedProducts
from simplugins.compute.job import Pairing
from simplugins.compute.memory import Budget
from simplugins.compute.tiling import Grid, Tile


def compute_here(
    pairing: Pairing, x: Activations, y: Activations | None, grid: Grid, tiles: Iterable[Tile], budget: Budget
) -> Iterator[tuple[Tile, AlignedProducts]]:
    """Compute tiles, in their order.

    Parameters
    ----------
    pairing : Pairing
    x, y : Activations
        `y` is None for inputs with themselves.
    grid : Grid
    tiles : iterable of Tile
        Those wanted.
    budget : Budget
        How many blocks are kept in memory, of `x` and `y` together.
    """
    other = x if y is None else y

    @lru_cache(maxsize=budget.blocks)
    def block(of_columns: bool, number: int) -> Activations:
        source = other if of_columns else x
        inputs = grid.block(number, len(source))
        return source.part(inputs.start, inputs.stop).in_memory()

    for tile in tiles:
        rows = block(False, tile.row)
        columns = None if grid.on_diagonal(tile) else block(y is not None, tile.column)
        yield tile, pairing.compute(rows, columns, budget.threads)
