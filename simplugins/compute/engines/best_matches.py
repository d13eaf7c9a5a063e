# SPDX-License-Identifier: Apache-2.0
"""The CPU engine for measures of each position's best match: strips of affinities, reduced in place.

Works through the strips of `simplugins.compute.engines.cpu`, with the same limits of memory; in place of a matcher, a
compiled loop finds the largest entries of rows and columns in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.affinities import ROUNDING
from simplugins.compute.best_affinities import BestAffinities, sum_maxima
from simplugins.compute.engines.cpu import Strip, Strips
from simplugins.compute.job import TileResult
from simplugins.compute.memory import TILE_BYTES


def best_matches(
    x: Activations,
    y: Activations | None,
    best: BestAffinities,
    *,
    threads: int | None = None,
    tile_bytes: int = TILE_BYTES,
    progress: bool | str = False,
) -> TileResult:
    """Compute the values of all pairs of inputs from each position's best match.

    Parameters
    ----------
    x, y, threads, tile_bytes, progress
        As for `simplugins.compute.engines.cpu.aligned_products`.
    best : BestAffinities

    Returns
    -------
    TileResult
        (N, M); symmetric if y is None and both directions are averaged.
    """
    other = x if y is None else y
    run = _Run(x, other, symmetric=y is None and best.both, best=best, tile_bytes=tile_bytes)
    run.compile()
    count = check_threads(threads)
    in_threads(run.reduce_strip, run.strips(), pairs=run.pairs, threads=count, progress=progress, title="matching")
    return best.result(
        run.values,
        x,
        other,
        rounding=ROUNDING[run.dtype],
        symmetric=run.symmetric,
        engine="cpu",
        precision=str(run.dtype),
    )


class _Run(Strips):
    """One computation."""

    with_diagonal = True

    def __init__(
        self, x: Activations, y: Activations, *, symmetric: bool, best: BestAffinities, tile_bytes: int
    ) -> None:
        super().__init__(x, y, symmetric=symmetric, tile_bytes=tile_bytes, convert=best.convert)
        self.best, self.powers = best, (best.powers(x), best.powers(y))
        self.x_prices = _cached_prices(self.x_block, best, self.dtype)
        self.y_prices = _cached_prices(self.y_block, best, self.dtype)

    def compile(self) -> None:
        """Compile the loop in the caller's thread, so that Ctrl-C can interrupt it."""
        one, sums = np.ones((1, 1), self.dtype), np.empty(1)
        sum_maxima(one, np.array([0, 1]), one[0], one[0], np.ones((1, 3), self.dtype), sums, sums.copy())

    def reduce_strip(self, strip: Strip) -> None:
        """Compare a run of inputs with one other input."""
        inputs, other = self._inputs(strip)
        affinities = self.scratch.product(inputs.vectors, other.vectors.T)
        row_powers, column_powers = self.powers[0][strip.rows], self.powers[1][strip.columns]
        prices = self._part(self.x_prices, strip.rows).vectors, self._part(self.y_prices, strip.columns).vectors
        scales, powers = self.best.scales(row_powers, np.repeat(column_powers, len(row_powers)))
        rows, columns = np.empty((2, len(row_powers)))
        sum_maxima(affinities, inputs.offsets, *prices, scales.astype(self.dtype), rows, columns)
        values = self.best.combined(rows, columns, (np.diff(inputs.offsets), len(other.vectors)))
        self.values[strip.rows, strip.columns.start] = np.ldexp(values, powers)


def _cached_prices(
    block: Callable[[int], Block], best: BestAffinities, dtype: np.dtype[np.floating]
) -> Callable[[int], Block]:
    """Return a function that returns the prices of the vectors of a block, given its number."""
    return lru_cache(maxsize=4)(lambda number: best.prices(block(number), dtype))
