# SPDX-License-Identifier: Apache-2.0
"""Where the values of an RSM lie: dense in memory; `stored_values` has those in a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Part = tuple[slice, slice, NDArray[np.float64]]
"""A block of a matrix: its rows, its columns and its values."""


class Values(Protocol):
    """The (N, M) values of an RSM, in memory or in a store."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""

    @property
    def matrix(self) -> NDArray[np.float64]:
        """All values, (N, M)."""

    @property
    def gap(self) -> NDArray[np.float64] | None:
        """All optimality gaps, (N, M), or None."""

    @property
    def location(self) -> str | None:
        """The path of the store; None for values in memory."""

    def part(self, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Return the values of some rows and columns, reading no more than these."""

    def tiles(self) -> Iterator[Part]:
        """Yield blocks that together hold every pair once."""


@dataclass(frozen=True, eq=False)
class DenseValues:
    """Values in memory.

    Attributes
    ----------
    matrix : (N, M) float64 array
    gap : (N, M) float64 array or None
    """

    matrix: NDArray[np.float64]
    gap: NDArray[np.float64] | None = None
    location = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", np.asarray(self.matrix, np.float64))
        if self.matrix.ndim != 2:
            raise ValueError(f"values: expected a matrix, got an array of shape {self.matrix.shape}")
        if self.gap is not None:
            object.__setattr__(self, "gap", np.asarray(self.gap, np.float64))
            if self.gap.shape != self.matrix.shape:
                raise ValueError(f"gap: expected shape {self.matrix.shape}, one value per pair, got {self.gap.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.matrix.shape

    def part(self, rows: Any, columns: Any) -> NDArray[np.float64]:
        """Return the values of some rows and columns."""
        i, j = index_arrays(self.shape, rows, columns)
        return self.matrix[np.ix_(np.atleast_1d(i), np.atleast_1d(j))].reshape(i.shape + j.shape)

    def tiles(self) -> Iterator[Part]:
        """Yield the whole matrix as one block."""
        rows, columns = self.shape
        yield slice(0, rows), slice(0, columns), self.matrix


def index_arrays(shape: tuple[int, int], rows: Any, columns: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows and columns that a pair of indices selects.

    Raises
    ------
    IndexError
        If an index is out of range, or not a number, slice, or sequence of numbers.
    """
    i, j = (np.asarray(np.arange(count)[index]) for count, index in zip(shape, (rows, columns), strict=True))
    if i.ndim > 1 or j.ndim > 1:
        raise IndexError("expected rows and columns as numbers, slices or lists of numbers, such as rsm[:10, [3, 5]]")
    return i, j
