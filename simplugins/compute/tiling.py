# SPDX-License-Identifier: Apache-2.0
"""The tiling of all pairs of inputs: blocks of rows against blocks of columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_POSITIONS = 50_000
"""Approximate number of positions in a block, such that a tile takes a CPU a few seconds for any size of sets."""

_SMALLEST, _LARGEST = 8, 512


def block_size(positions: int) -> int:
    """Return the default number of inputs in a block, a power of two, for inputs with `positions` positions.

    Examples
    --------
    >>> block_size(49), block_size(196), block_size(784), block_size(3136)
    (512, 256, 64, 16)
    """
    return max(_SMALLEST, min(_LARGEST, int(2 ** round(math.log2(_POSITIONS / positions)))))


class Tile(NamedTuple):
    """A block of rows against a block of columns, by their indices."""

    row: int
    column: int


@dataclass(frozen=True)
class Tiling:
    """All tiles of N × M pairs; only those on and above the diagonal if it is symmetric.

    Attributes
    ----------
    rows, columns : int
        N and M.
    size : int
        Inputs in a block; the last block may have fewer.
    symmetric : bool
        Whether rows and columns are the same inputs and each pair is computed once.

    Examples
    --------
    >>> tiling = Tiling(5, 5, size=2, symmetric=True)
    >>> len(list(tiling.tiles())), tiling.total_pairs
    (6, 10)
    >>> tiling.slices(Tile(1, 2))
    (slice(2, 4, None), slice(4, 5, None))
    """

    rows: int
    columns: int
    size: int
    symmetric: bool

    @property
    def blocks(self) -> tuple[int, int]:
        """Numbers of blocks of rows and of columns."""
        return math.ceil(self.rows / self.size), math.ceil(self.columns / self.size)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Numbers of rows and columns of the largest tile, the first one."""
        return min(self.size, self.rows), min(self.size, self.columns)

    @property
    def count(self) -> int:
        """Number of tiles."""
        rows, columns = self.blocks
        return rows * (rows + 1) // 2 if self.symmetric else rows * columns

    @property
    def total_pairs(self) -> int:
        """Number of pairs computed in all tiles together."""
        return self.rows * (self.rows - 1) // 2 if self.symmetric else self.rows * self.columns

    def tiles(self, panel: int = 1) -> Iterator[Tile]:
        """Iterate over all tiles in panels of `panel` blocks of rows; within a panel, column block by column block.

        An executor that caches `panel` blocks of rows and one of columns reads each block of columns once per panel.
        """
        rows, columns = self.blocks
        for start in range(0, rows, panel):
            for column in range(start if self.symmetric else 0, columns):
                last = min(start + panel, column + 1 if self.symmetric else rows, rows)
                yield from (Tile(row, column) for row in range(start, last))

    def contains(self, tile: Tile) -> bool:
        """Whether a tile is one of these."""
        rows, columns = self.blocks
        return (tile.row if self.symmetric else 0) <= tile.column < columns and tile.row < rows

    def slices(self, tile: Tile) -> tuple[slice, slice]:
        """Return a tile's rows and columns of the result."""
        return self.block(tile.row, self.rows), self.block(tile.column, self.columns)

    def block(self, number: int, count: int) -> slice:
        """Return the inputs of a block, out of `count` inputs."""
        return slice(number * self.size, min((number + 1) * self.size, count))

    def on_diagonal(self, tile: Tile) -> bool:
        """Whether the rows and columns of a tile are the same inputs."""
        return self.symmetric and tile.row == tile.column

    def pairs(self, tile: Tile) -> int:
        """Return the number of pairs computed in a tile."""
        rows, columns = (inputs.stop - inputs.start for inputs in self.slices(tile))
        return int(rows * (rows - 1) // 2 if self.on_diagonal(tile) else rows * columns)


_MIRRORED = 64
"""Rows to mirror at a time: their part below the diagonal is written in whole lines of memory."""


def mirror(matrix: NDArray[np.float64]) -> None:
    """Copy the upper triangle to the lower in place."""
    for start in range(0, len(matrix), _MIRRORED):
        stop = min(start + _MIRRORED, len(matrix))
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T
        square = matrix[start:stop, start:stop]
        for i in range(stop - start):
            square[i:, i] = square[i, i:]
