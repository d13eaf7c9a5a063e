# SPDX-License-Identifier: Apache-2.0
"""The CPU engine for the best translation of a grid: a transform per input, and one inverse transform per pair.

The transforms of a block of inputs are computed once and cached. A strip is a pair of blocks: BLAS multiplies their
spectra frequency by frequency, summing over channels, and the inverse transforms give the inner products under all
translations. All of it is in float64: it takes a fraction of the time of the affinities nevertheless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.affinities import ROUNDING
from simplugins.compute.engines.cpu import BLOCK_INPUTS, Strip, Strips
from simplugins.compute.grid_shifts import GridShifts, Padding
from simplugins.compute.job import TileResult, complete
from simplugins.compute.memory import CACHE_BYTES, TILE_BYTES

_COPIES = 4
"""Number of arrays of the size of the products' spectra that exist at once."""


def best_translations(
    x: Activations,
    y: Activations | None,
    padding: Padding,
    *,
    threads: int | None = None,
    tile_bytes: int = TILE_BYTES,
    progress: bool | str = False,
) -> TileResult:
    """Compute the largest inner product of each pair of inputs under all translations of the grid.

    Parameters
    ----------
    x, y, threads, tile_bytes, progress
        As for `simplugins.compute.engines.cpu.aligned_products`.
    padding : {"circular", "zeros"}
        See `GridShifts`.

    Returns
    -------
    TileResult
        (N, M); symmetric, with the squared norms on the diagonal, if y is None.

    Raises
    ------
    ValueError
        As for `GridShifts.of`.
    """
    other = x if y is None else y
    run = _Run(x, other, GridShifts.of(x, other, padding), symmetric=y is None, tile_bytes=tile_bytes)
    count = check_threads(threads)
    in_threads(run.shift_strip, run.strips(), pairs=run.pairs, threads=count, progress=progress, title="shifting")
    precision = np.dtype(np.float64)
    metadata = {"engine": "cpu", "precision": str(precision)}
    return complete(x, y, run.values, None, ROUNDING[precision], **metadata)


def pair_bytes(shifts: GridShifts) -> int:
    """Return the bytes of the arrays of one pair."""
    return _COPIES * 16 * shifts.frequencies


def spectrum_bytes(shifts: GridShifts, channels: int) -> int:
    """Return the bytes of the spectrum of one input."""
    return 16 * shifts.frequencies * channels


class _Run(Strips):
    """One computation."""

    def __init__(self, x: Activations, y: Activations, shifts: GridShifts, *, symmetric: bool, tile_bytes: int) -> None:
        inputs = max(1, min(BLOCK_INPUTS, math.isqrt(tile_bytes // pair_bytes(shifts))))
        super().__init__(x, y, symmetric=symmetric, tile_bytes=tile_bytes, most_inputs=inputs)
        self.shifts = shifts
        capacity = max(4, CACHE_BYTES // 2 // (self.block_size * spectrum_bytes(shifts, x.channels)))
        x_spectra = _cached_spectra(self.x_block, shifts, capacity)
        self.y_spectra = x_spectra if y is x else _cached_spectra(self.y_block, shifts, capacity)
        # Strips go through all columns before the next rows.
        self.conjugates = lru_cache(maxsize=2)(lambda number: x_spectra(number).conj())

    @property
    def pairs(self) -> int:
        """Number of pairs in all strips; strips on the diagonal include the pairs below it."""
        return self.pairs_of_strips()

    def _cut(self, rows: slice, columns: slice) -> Iterator[Strip]:
        yield Strip(rows, columns)

    def shift_strip(self, strip: Strip) -> None:
        """Compare all inputs of two blocks."""
        rows = self.conjugates(strip.rows.start // self.block_size)
        columns = self.y_spectra(strip.columns.start // self.block_size)
        self.values[strip.rows, strip.columns] = self.shifts.products(rows, columns).max(-1)


def _cached_spectra(
    block: Callable[[int], Block], shifts: GridShifts, capacity: int
) -> Callable[[int], NDArray[np.complex128]]:
    """Return a function that transforms a block of inputs by its number, and caches the `capacity` most recent ones.

    It does not refer to the run that holds it, so that memory is freed with the run.
    """
    return lru_cache(maxsize=capacity)(lambda number: shifts.spectra(block(number)))
