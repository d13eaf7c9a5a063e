# SPDX-License-Identifier: Apache-2.0
"""The largest affinity of each position with the positions of another input, and the values that follow from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.compiled import compiled
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.compute.job import TileResult
from simplugins.compute.tiling import mirror
from simplugins.matching.vector_scans import raise_maxima

Affinity = Literal["product", "cosine", "distance"]


@dataclass(frozen=True)
class BestAffinities:
    """Which positions correspond, and how a pair's value follows from them.

    In one direction, each position of the first input goes with the position of the second that has the largest
    affinity with it, whether or not others go with that one too.

    Attributes
    ----------
    affinity : {"product", "cosine", "distance"}
        The inner product of two concept vectors, the cosine of their angle (0 for a vector of zero), or their negative
        squared distance. The pair's value is the sum of the inner products, the mean of the cosines, or the sum of the
        squared distances.
    both : bool
        Whether to take the mean of both directions, rather than the value of the rows' direction.
    """

    affinity: Affinity
    both: bool

    @property
    def convert(self) -> Any:
        """The conversion of blocks of inputs before they are multiplied; None for none."""
        return unit_vectors if self.affinity == "cosine" else None

    @property
    def has_prices(self) -> bool:
        """Whether any price differs from 0."""
        return self.affinity == "distance"

    def prices(self, block: Block, dtype: np.dtype[np.floating]) -> Block:
        """Return the number to subtract from all affinities of each concept vector, as a block of (T,) numbers.

        Half the squared norm for distances, since affinities less these rank positions as negative distances do.
        """
        if self.has_prices:
            return Block((block.squares() / 2).astype(dtype), block.offsets)
        return Block(np.zeros(len(block.vectors), dtype), block.offsets)

    def powers(self, activations: Activations) -> NDArray[np.int64]:
        """Return the (N,) powers of two by which the inputs are divided in blocks; none for unit vectors."""
        return activations.exponents * (self.affinity != "cosine")

    def scales(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the factors of the pairs' affinities, and the powers of two that are left in their results.

        Parameters
        ----------
        rows, columns : (B,) int64 arrays
            The powers of two by which the blocks' vectors are divided, for each pair.

        Returns
        -------
        factors : (B, 3) float64 array
            Of the inner products, of the rows' squared norms and of the columns' squared norms; at most 1, so that
            nothing overflows.
        powers : (B,) int64 array
        """
        factors = np.ones((len(rows), 3))
        if self.affinity != "distance":
            return factors, rows + columns
        largest = np.maximum(rows, columns)
        factors[:] = np.exp2(np.stack([rows + columns, 2 * rows, 2 * columns], 1) - 2.0 * largest[:, None])
        return factors, 2 * largest

    def combined(
        self, rows: NDArray[np.float64], columns: NDArray[np.float64], sizes: tuple[Any, Any]
    ) -> NDArray[np.float64]:
        """Return the (B,) values of pairs from the sums of the largest entries of each row and of each column.

        Parameters
        ----------
        rows, columns : (B,) float64 arrays
        sizes : pair of (B,) arrays or int
            Numbers of positions of the first and the second input of each pair.
        """
        if self.affinity == "cosine":
            rows, columns = rows / sizes[0], columns / sizes[1]
        return (rows + columns) / 2 if self.both else rows

    def completed(
        self, values: NDArray[np.float64], x: Activations, y: Activations, *, rounding: float, symmetric: bool
    ) -> NDArray[np.float64]:
        """Return the values of all pairs from those of `combined`; of pairs above the diagonal only, if symmetric."""
        if self.affinity == "cosine":
            np.clip(values, -1, 1, out=values)
        elif self.affinity == "distance":
            rows, columns = x.squared_norms[:, None], y.squared_norms[None, :]
            norms = (rows + columns) / 2 if self.both else np.broadcast_to(rows, values.shape)
            values = norms - 2 * values
            values[values <= 2 * rounding * norms] = 0
        if symmetric:
            mirror(values)
        return values

    def result(
        self,
        values: NDArray[np.float64],
        x: Activations,
        y: Activations,
        *,
        rounding: float,
        symmetric: bool,
        **metadata: str,
    ) -> TileResult:
        """Return the results of all pairs; arguments as for `completed`."""
        return TileResult(
            self.completed(values, x, y, rounding=rounding, symmetric=symmetric), rounding, metadata=metadata
        )


def unit_vectors(block: Block) -> Block:
    """Return a block with each concept vector divided by its norm; zero stays zero."""
    with arrays.on_gpu(arrays.gpu_of(block.vectors)):
        xp = arrays.namespace(block.vectors)
        lengths = np.sqrt(block.squares())
        lengths[lengths == 0] = 1
        vectors = block.vectors / xp.asarray(lengths)[:, None]
        return Block(vectors.astype(block.vectors.dtype), block.offsets)


@compiled
def sum_maxima(affinities, offsets, row_prices, column_prices, scales, rows, columns):  # type: ignore[no-untyped-def]
    """Sum the largest entries of each row and of each column of each problem, in float64.

    An entry is ``scale * affinity - price``, with the prices of the columns for the largest of a row, and with that of
    the row for the largest of a column. O(rows × columns) per problem, in one pass.

    Parameters
    ----------
    affinities : (T, K) array, C-contiguous
    offsets : (B + 1,) int64 array
    row_prices, column_prices : (T,) and (K,) arrays
    scales : (B, 3) array
        Factors of the affinities, the prices of the rows and the prices of the columns.
    rows, columns : (B,) float64 arrays, written
    """
    prices, maxima = np.empty(column_prices.size, affinities.dtype), np.empty(column_prices.size, affinities.dtype)
    for problem in range(offsets.size - 1):
        scale, row_scale, column_scale = scales[problem, 0], scales[problem, 1], scales[problem, 2]
        for j in range(prices.size):
            prices[j] = column_scale * column_prices[j]
            maxima[j] = -np.inf
        total = 0.0
        for i in range(offsets[problem], offsets[problem + 1]):
            total += np.float64(raise_maxima(affinities, i, scale, prices, row_scale * row_prices[i], maxima))
        rows[problem] = total
        total = 0.0
        for j in range(maxima.size):
            total += np.float64(maxima[j])
        columns[problem] = total
