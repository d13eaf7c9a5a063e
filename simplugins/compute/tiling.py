# SPDX-License-Identifier: Apache-2.0
"""The grid of tiles that all pairs of inputs are cut into: blocks of one set of inputs against blocks of the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_POSITIONS = 50_000
"""About how many positions the inputs of a block have together: so a tile takes a CPU some seconds, whatever the sets'
sizes."""

_LEAST, _MOST = 8, 512


def block_size(positions: int) -> int:
    """Return how many inputs of so many positions a block has by default: a power of two.

    Examples
    --------
    >>> block_size(49), block_size(196), block_size(784), block_size(3136)
    (512, 256, 64, 16)
    """
    return max(_LEAST, min(_MOST, int(2 ** round(math.log2(_POSITIONS / positions)))))


class Tile(NamedTuple):
    """A block of rows against a block of columns, by their numbers."""

    row: int
    column: int


@dataclass(frozen=True)
class Grid:
    """All tiles of N × M pairs; of inputs with themselves, those on and above the diagonal.

    Attributes
    ----------
    rows, columns : int
        N and M.
    size : int
        How many inputs a block has; the last has fewer.
    symmetric : bool
        Whether rows and columns are the same inputs, of which each pair is matched once.

    Examples
    --------
    >>> grid = Grid(5, 5, size=2, symmetric=True)
    >>> len(list(grid.tiles())), grid.total_pairs
    (6, 10)
    >>> grid.slices(Tile(1, 2))
    (slice(2, 4, None), slice(4, 5, None))
    """

    rows: int
    columns: int
    size: int
    symmetric: bool

    @property
    def blocks(self) -> tuple[int, int]:
        """How many blocks of rows and of columns there are."""
        return math.ceil(self.rows / self.size), math.ceil(self.columns / self.size)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """How many rows and columns the first tile, which is a largest one, has."""
        return min(self.size, self.rows), min(self.size, self.columns)

    @property
    def count(self) -> int:
        """How many tiles there are."""
        rows, columns = self.blocks
        return rows * (rows + 1) // 2 if self.symmetric else rows * columns

    @property
    def total_pairs(self) -> int:
        """How many pairs are matched in all tiles together."""
        return self.rows * (self.rows - 1) // 2 if self.symmetric else self.rows * self.columns

    def tiles(self, panel: int = 1) -> Iterator[Tile]:
        """List all tiles, so many blocks of rows at a time against one of columns after the other.

        Whoever keeps those blocks of rows, and one of columns, reads each block of columns once for all of them.
        """
        rows, columns = self.blocks
        for start in range(0, rows, panel):
            for column in range(start if self.symmetric else 0, columns):
                last = min(start + panel, column + 1 if self.symmetric else rows, rows)
                yield from (Tile(row, column) for row in range(start, last))

    def slices(self, tile: Tile) -> tuple[slice, slice]:
        """Return the inputs of a tile."""
        return self.block(tile.row, self.rows), self.block(tile.column, self.columns)

    def block(self, number: int, count: int) -> slice:
        """Return the inputs of a block, out of so many."""
        return slice(number * self.size, min((number + 1) * self.size, count))

    def on_diagonal(self, tile: Tile) -> bool:
        """Whether a tile's rows and columns are the same inputs."""
        return self.symmetric and tile.row == tile.column

    def pairs(self, tile: Tile) -> int:
        """Return how many pairs of a tile are matched."""
        rows, columns = (found.stop - found.start for found in self.slices(tile))
        return int(rows * (rows - 1) // 2 if self.on_diagonal(tile) else rows * columns)
