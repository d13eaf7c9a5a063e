# SPDX-License-Identifier: Apache-2.0
"""Cuts the matrix of all pairs into regions whose results fit the device, and these into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator

from simplugins.compute.engines.cuda.pair_results import Tile


def cut(inputs: slice, size: int) -> Iterator[slice]:
    """Cut consecutive inputs into blocks of a size."""
    for start in range(inputs.start, inputs.stop, size):
        yield slice(start, min(start + size, inputs.stop))


def block_size(products: float, inputs: float, most: int) -> int:
    """Return the number of inputs per block.

    Parameters
    ----------
    products : float
        Number of pairs whose affinities fit the memory; a tile's two sides have a block each.
    inputs : float
        Number of inputs that fit the memory; those of two blocks must.
    most : int
    """
    return max(1, min(most, math.isqrt(int(products)), int(inputs / 2)))


def regions(shape: tuple[int, int], size: int, most: float, *, symmetric: bool) -> Iterator[Tile]:
    """Yield regions with up to `most` pairs, in multiples of the block size; a single one if they all fit."""
    rows, columns = shape
    if rows * columns <= most:
        yield Tile(slice(0, rows), slice(0, columns))
        return
    height = max(1, int(most / columns) // size) * size
    width = max(1, int(most / height) // size) * size
    for panel in cut(slice(0, rows), height):
        for across in cut(slice(panel.start if symmetric else 0, columns), width):
            yield Tile(panel, across)


def tiles_of(region: Tile, size: int, *, symmetric: bool) -> Iterator[Tile]:
    """Yield the tiles of a region; if symmetric, those on and above the diagonal."""
    for rows in cut(region.rows, size):
        for columns in cut(region.columns, size):
            if not symmetric or columns.start >= rows.start:
                yield Tile(rows, columns)
