# SPDX-License-Identifier: Apache-2.0
"""A resample of inputs, single ones or whole groups, and the vectors of matrices in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simplugins.comparisons.missing_pairs import relate_pairs
from simplugins.comparisons.vectors import pair_counts
from simplugins.rsm.matrices import Matrix, Vector

if TYPE_CHECKING:
    from simplugins.comparisons.method import Method


@dataclass(frozen=True)
class Resample:
    """The inputs that occur in a resample.

    Attributes
    ----------
    inputs : (D,) int64 array
        The different inputs.
    counts : (D,) float64 array
        The number of occurrences of each.
    groups : (D,) int64 array or None
        The group of each, if whole groups were drawn.
    """

    inputs: NDArray[np.int64]
    counts: Vector
    groups: NDArray[np.int64] | None

    @classmethod
    def of(cls, counts: NDArray[np.int64], groups: NDArray[np.int64] | None) -> Resample:
        """Return the resample in which each of the N inputs occurs `counts` times."""
        inputs = np.flatnonzero(counts)
        return cls(inputs, counts[inputs].astype(float), None if groups is None else groups[inputs])

    def chosen(self, matrix: Matrix) -> Matrix:
        """Return the rows and columns of the inputs that occur."""
        return matrix[np.ix_(self.inputs, self.inputs)]

    @cached_property
    def weights(self) -> Vector | None:
        """Number of occurrences of each pair of different inputs; None if all are 1."""
        return pair_counts(self.counts, self.groups)

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of all pairs of different inputs."""
        first, second = np.triu_indices(len(self.inputs), 1)
        return self.inputs[first], self.inputs[second]

    def embedded(self, method: Method, matrix: Matrix) -> Vector:
        """Return the vector of a matrix."""
        if method.embed_pairs is not None:
            return method.embed_pairs(matrix[self._places], self.weights)
        if self.groups is not None and method.embed_groups is not None:
            return method.embed_groups(self.chosen(matrix), self.counts, self.groups)
        return method.embed(self.chosen(matrix), self.counts)

    def related(self, method: Method, a: Sequence[Matrix], b: Sequence[Matrix]) -> Matrix:
        """Compare each matrix of `a` with each of `b` by the pairs that are present in both."""
        rows, columns = ([self.chosen(matrix) for matrix in side] for side in (a, b))
        return np.array([[relate_pairs(method, row, column, self.weights) for column in columns] for row in rows])
