# SPDX-License-Identifier: Apache-2.0
"""All pairs of many matrices, each embedded once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import usable_cores
from simplugins.comparisons.inputs import check_same_inputs
from simplugins.rsm.matrices import symmetric_matrix_of

if TYPE_CHECKING:
    from simplugins.comparisons.method import Method

VECTOR_BYTES = 2**30
"""The most memory that vectors take together, unless two of them need more."""

THREAD_BYTES = 2**30
"""The most memory that threads which make and relate vectors take together, unless one needs more."""

_BYTES_AN_ENTRY = 48
"""What such a thread needs for each entry of a matrix."""


def relate_all(
    method: Method, a: Mapping[str, Any], b: Mapping[str, Any] | None, *, vector_bytes: int = VECTOR_BYTES
) -> NDArray[np.float64]:
    """Compare each of some matrices with each of others, or, if there are none, with each of themselves.

    Parameters
    ----------
    method : Method
    a, b : mapping of str to matrix
        By what errors call them: RSMs or (N, N) arrays.
    vector_bytes : int
        If the vectors of all matrices need more memory than this, those of `b` are made as often as those of `a` come
        in parts.

    Returns
    -------
    (A, B) float64 array
        NaN, with one RuntimeWarning, where the method is not defined.

    Raises
    ------
    TypeError, ValueError
        If a matrix is not symmetric, finite and of the same inputs as the others.
    """
    items_a = list(a.items())
    items_b = items_a if b is None else list(b.items())
    given = items_a if b is None else items_a + items_b
    count = check_same_inputs(given, method.least_inputs, method.name)
    room = max(2, vector_bytes // (4 * count * (count + 1)))
    parts = (len(items_a), len(items_b)) if len(given) <= room else (room - 1, 1)
    values = np.empty((len(items_a), len(items_b)))
    undefined = set()
    for rows in _parts(len(items_a), parts[0]):
        vectors = embed_all(method, items_a[rows], count)
        for columns in _parts(len(items_b), parts[1]):
            same = items_b is items_a and columns == rows
            others = vectors if same else embed_all(method, items_b[columns], count)
            values[rows, columns] = method.relate(vectors, others)
            undefined |= _undefined(items_b[columns], others)
        undefined |= _undefined(items_a[rows], vectors)
    if undefined:
        names = ", ".join(name for name, _ in given if name in undefined)
        warnings.warn(f"{method.name} is NaN, as an RSM is constant: {names}", RuntimeWarning, stacklevel=3)
    return values


def embed_all(method: Method, items: list[tuple[str, Any]], count: int) -> NDArray[np.float64]:
    """Return the vectors of matrices of `count` inputs, a row for each."""
    once = np.ones(count)

    def embed(item: tuple[str, Any]) -> NDArray[np.float64]:
        return method.embed(symmetric_matrix_of(*item), once)

    first = embed(items[0])
    vectors = np.empty((len(items), first.size))
    vectors[0] = first
    with ThreadPoolExecutor(threads(_BYTES_AN_ENTRY * count * count)) as pool:
        for i, vector in enumerate(pool.map(embed, items[1:]), 1):
            vectors[i] = vector
    return vectors


def threads(bytes_each: int) -> int:
    """Return how many threads to work in: one for each core, or fewer if these took too much memory together."""
    return max(1, min(usable_cores(), THREAD_BYTES // bytes_each))


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _undefined(items: list[tuple[str, Any]], vectors: NDArray[np.float64]) -> set[str]:
    return {name for (name, _), vector in zip(items, vectors, strict=True) if np.isnan(vector[0])}
