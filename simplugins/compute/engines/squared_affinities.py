# SPDX-License-Identifier: Apache-2.0
"""The CPU engine for sums of squared affinities: blocks of inputs are multiplied, and the products summed in place.

These are inner products of second moments, without forming the moments: see `simplugins.activations.pooling`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import check_threads, in_threads
from simplugins.activations.activations import Activations
from simplugins.compute.affinities import ROUNDING
from simplugins.compute.engines.cpu import Strip, Strips
from simplugins.compute.job import TileResult
from simplugins.compute.memory import TILE_BYTES
from simplugins.compute.tiling import mirror


def summed_squares(
    x: Activations, y: Activations | None, *, threads: int | None = None, progress: bool | str = False
) -> TileResult:
    """Compute the sum of the squared affinities of all pairs of inputs.

    Parameters
    ----------
    x, y, threads, progress
        As for `simplugins.compute.engines.cpu.aligned_products`; in float64.

    Returns
    -------
    TileResult
        (N, M); symmetric if y is None.
    """
    run = _Run(x, x if y is None else y, symmetric=y is None)
    count = check_threads(threads)
    in_threads(run.sum_strip, run.strips(), pairs=run.pairs, threads=count, progress=progress, title="multiplying")
    return squares_result(run.values, x, y, engine="cpu")


def squares_result(values: NDArray[np.float64], x: Activations, y: Activations | None, **metadata: str) -> TileResult:
    """Undo the scaling of extreme inputs, and mirror symmetric results."""
    powers = 2 * (x.exponents[:, None] + (x if y is None else y).exponents[None, :])
    if powers.any():
        values = np.ldexp(values, powers)
    if y is None:
        mirror(values)
    return TileResult(values, ROUNDING[np.dtype(np.float64)], metadata={**metadata, "precision": "float64"})


class _Run(Strips):
    """One computation."""

    with_diagonal = True

    def __init__(self, x: Activations, y: Activations, *, symmetric: bool) -> None:
        largest = max(int(x.positions.max()), int(y.positions.max()))
        most_inputs = max(1, int(np.sqrt(TILE_BYTES / 8)) // largest)
        super().__init__(x, y, symmetric=symmetric, tile_bytes=TILE_BYTES, most_inputs=most_inputs)

    @property
    def pairs(self) -> int:
        """Number of pairs in all strips; those on the diagonal include the pairs below it."""
        return self.pairs_of_strips()

    def _cut(self, rows: slice, columns: slice) -> Iterator[Strip]:
        """Return two blocks as one strip."""
        return iter([Strip(rows, columns)])

    def sum_strip(self, strip: Strip) -> None:
        """Multiply two blocks, and sum the squares of each pair."""
        rows, columns = self._inputs(strip)
        affinities = self.scratch.product(rows.vectors, columns.vectors.T)
        np.multiply(affinities, affinities, out=affinities)
        by_column = np.add.reduceat(affinities, columns.offsets[:-1], axis=1)
        self.values[strip.rows, strip.columns] = np.add.reduceat(by_column, rows.offsets[:-1], axis=0)
