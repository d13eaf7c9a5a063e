# SPDX-License-Identifier: Apache-2.0
"""Permuting the inputs of a matrix that is stored as a vector of pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common.compiled import compiled
from simplugins.rsm.matrices import Matrix, Vector


def permuter(vector: Vector, inputs: int) -> Callable[[NDArray[np.int64]], Matrix]:
    """Return a function that permutes the rows and columns of a matrix together.

    Parameters
    ----------
    vector : (D,) array
        One entry per pair of different inputs, optionally preceded by one entry per input.
    inputs : int
        The number of inputs, N.

    Returns
    -------
    callable
        Maps (P, N) int64 orders of the inputs to (P, D) vectors, in O(P N^2).

    Examples
    --------
    >>> permute = permuter(np.array([12.0, 13.0, 23.0]), 3)  # the pairs 1-2, 1-3 and 2-3
    >>> permute(np.array([[0, 2, 1]]))
    array([[13., 12., 23.]])
    """
    diagonal, pairs = np.split(vector, [vector.size - inputs * (inputs - 1) // 2])
    matrix = squareform(pairs, checks=False)

    def permute(orders: NDArray[np.int64]) -> Matrix:
        vectors = np.empty((len(orders), vector.size))
        if diagonal.size:
            vectors[:, :inputs] = diagonal[orders]
        _gather(matrix, orders, vectors[:, diagonal.size :])
        return vectors

    return permute


@compiled
def _gather(matrix, orders, out):  # type: ignore[no-untyped-def]
    for p in range(len(orders)):
        order = orders[p]
        place = 0
        for i in range(order.size):
            row = matrix[order[i]]
            for j in range(i + 1, order.size):
                out[p, place] = row[order[j]]
                place += 1
