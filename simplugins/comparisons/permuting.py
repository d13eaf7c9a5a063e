# SPDX-License-Identifier: Apache-2.0
"""Permuting the inputs of matrices that are stored as vectors of pairs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform

from simplugins._common.compiled import compiled
from simplugins._common.threads import in_threads, usable_cores
from simplugins.comparisons.all_pairs import VECTOR_BYTES, embed_matrices, slices
from simplugins.rsm.matrices import Matrix, Vector

if TYPE_CHECKING:
    from simplugins.comparisons.method import Method, Orders

_FEW = 100_000
"""Entries of permuted vectors that one thread gathers faster than several start."""


@dataclass(frozen=True)
class _Part:
    """Orders that one thread works through at a time."""

    orders: slice
    pairs: int


def relate_permuted(
    method: Method,
    a: Sequence[Matrix],
    b: Sequence[Matrix],
    orders: Orders,
    *,
    progress: bool | str,
    chunk_bytes: int,
    vector_bytes: int = VECTOR_BYTES,
) -> NDArray[np.float64]:
    """Compare each matrix of `a` with each of `b` under the same orders of the inputs of `b`.

    Parameters
    ----------
    method : Method
    a, b : sequences of (N, N) arrays
        Symmetric and finite.
    orders : (P, N) int64 array
    progress : bool or str
    chunk_bytes : int
        Memory of the permuted vectors of all threads, unless one order of a thread needs more.
    vector_bytes : int
        If vectors of `a` and matrices of `b` need more memory, both are worked through in parts of fewer matrices.

    Returns
    -------
    (P, A, B) float64 array
    """
    values = np.empty((len(orders), len(a), len(b)))
    capacity = max(2, vector_bytes // (8 * len(a[0]) ** 2))
    size = max(1, capacity // 2) if len(a) + len(b) > capacity else max(len(a), len(b))
    for rows in slices(len(a), size):
        vectors = embed_matrices(method, a[rows])
        for columns in slices(len(b), size):
            permuted = _PermutedVectors(embed_matrices(method, b[columns]), orders)
            _relate(method, vectors, permuted, values[:, rows, columns], progress=progress, chunk_bytes=chunk_bytes)
    return values


def _relate(
    method: Method,
    vectors: Matrix,
    permuted: _PermutedVectors,
    values: NDArray[np.float64],
    *,
    progress: bool | str,
    chunk_bytes: int,
) -> None:
    """Compare vectors with permuted vectors, in threads, into the (P, A, B) values."""
    count, pairs, entries = len(permuted.orders), values.shape[1] * values.shape[2], permuted.entries
    threads = usable_cores() if count * entries > _FEW else 1
    step = max(1, min(-(-count // threads), chunk_bytes // (8 * entries * threads)))

    def work(part: _Part) -> None:
        for orders in slices(part.orders.stop - part.orders.start, 1 if values.shape[2] > 1 else step):
            places = slice(part.orders.start + orders.start, part.orders.start + orders.stop)
            results = method.relate(vectors, permuted.of(places))
            values[places] = results.reshape(len(vectors), -1, values.shape[2]).transpose(1, 0, 2)

    parts = [_Part(orders, pairs * (orders.stop - orders.start)) for orders in slices(count, step)]
    if threads == 1 and not progress:
        for part in parts:
            work(part)
    else:
        in_threads(work, parts, pairs=pairs * count, threads=threads, progress=progress, title="permuting")


class _PermutedVectors:
    """Vectors of several matrices under the same orders of their inputs, gathered into a buffer of each thread.

    The entries of all matrices for one pair of inputs are side by side in memory, so that they are gathered together.

    Parameters
    ----------
    vectors : (B, D) array
        One entry per pair of different inputs, optionally preceded by one entry per input.
    orders : (P, N) int64 array
    """

    def __init__(self, vectors: Matrix, orders: Orders) -> None:
        inputs = orders.shape[1]
        self.orders = orders
        self.entries = vectors.size
        diagonals, pairs = np.split(vectors, [vectors.shape[1] - inputs * (inputs - 1) // 2], axis=1)
        self.diagonals = np.ascontiguousarray(diagonals.T)
        self.matrices = np.empty((inputs, inputs, len(vectors)))
        for i, vector in enumerate(pairs):
            self.matrices[:, :, i] = squareform(vector, checks=False)
        self.buffers = threading.local()

    def of(self, part: slice) -> Matrix:
        """Return the vectors under several orders, or those of several matrices under one: (P, D) or (B, D).

        They are valid until the thread asks for the next ones.
        """
        orders, matrices = self.orders[part], self.matrices.shape[2]
        size = len(orders) * self.entries
        if getattr(self.buffers, "vectors", np.empty(0)).size < size:
            self.buffers.vectors = np.empty(size)
        vectors = self.buffers.vectors[:size]
        diagonal = len(self.diagonals)
        if matrices == 1:
            rows: Matrix = vectors.reshape(len(orders), -1)
            if diagonal:
                rows[:, :diagonal] = self.diagonals[:, 0][orders]
            _gather(self.matrices[:, :, 0], orders, rows[:, diagonal:])
            return rows
        columns: Matrix = vectors.reshape(-1, matrices)
        if diagonal:
            columns[:diagonal] = self.diagonals[orders[0]]
        _gather_together(self.matrices, orders[0], columns[diagonal:])
        return columns.T


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


@compiled
def _gather_together(matrices, order, out):  # type: ignore[no-untyped-def]
    place = 0
    for i in range(order.size):
        row = matrices[order[i]]
        for j in range(i + 1, order.size):
            entries = row[order[j]]
            for m in range(entries.size):
                out[place, m] = entries[m]
            place += 1
