# SPDX-License-Identifier: Apache-2.0
"""All pairs of many matrices, each embedded once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import usable_cores
from simplugins.comparisons.inputs import check_same_inputs

if TYPE_CHECKING:
    from simplugins.comparisons.method import Method

VECTOR_BYTES = 2**30
"""Limit of the memory of all vectors, unless two vectors need more."""

_THREAD_BYTES = 2**30
"""Limit of the working memory of all threads, unless a single thread needs more."""

_ENTRY_BYTES = 48
"""Working memory of a thread per entry of the matrix that it embeds."""


def relate_all(
    method: Method, a: Mapping[str, Any], b: Mapping[str, Any] | None, *, vector_bytes: int = VECTOR_BYTES
) -> NDArray[np.float64]:
    """Compare each matrix of `a` with each matrix of `b`, or of `a` again if `b` is None.

    Parameters
    ----------
    method : Method
    a, b : mapping of str to matrix
        RSMs or (N, N) arrays by the names that errors use.
    vector_bytes : int
        If the vectors of all matrices need more memory, `a` is worked through in parts, and the vectors of `b` are
        computed anew for each part.

    Returns
    -------
    (A, B) float64 array
        NaN, with one RuntimeWarning, where the method is not defined.

    Raises
    ------
    TypeError, ValueError
        If a matrix is not symmetric and finite, or its inputs are not those of the others.
    """
    items_a = list(a.items())
    items_b = items_a if b is None else list(b.items())
    items = items_a if b is None else items_a + items_b
    count = check_same_inputs(items, method.least_inputs, method.name)
    capacity = max(2, vector_bytes // (4 * count * (count + 1)))
    sizes = (len(items_a), len(items_b)) if len(items) <= capacity else (capacity - 1, 1)
    values = np.empty((len(items_a), len(items_b)))
    undefined = set()
    by_chance: list[tuple[str, str, float, float]] = []
    for rows in slices(len(items_a), sizes[0]):
        u = embed_all(method, items_a[rows], count)
        for columns in slices(len(items_b), sizes[1]):
            same = items_b is items_a and columns == rows
            v = u if same else embed_all(method, items_b[columns], count)
            values[rows, columns] = method.relate(u, v)
            undefined |= _undefined(items_b[columns], v)
            if method.near_chance is not None:
                expected = method.near_chance(u, v, values[rows, columns])
                by_chance += _near_chance(items_a[rows], items_b[columns], values[rows, columns], expected)
        undefined |= _undefined(items_a[rows], u)
    if undefined:
        names = ", ".join(name for name, _ in items if name in undefined)
        warnings.warn(f"{method.name} is NaN because an RSM is constant: {names}", RuntimeWarning, stacklevel=4)
    if by_chance:
        warnings.warn(_chance_warning(method.name, by_chance, count), RuntimeWarning, stacklevel=4)
    return values


def _near_chance(
    a: list[tuple[str, Any]], b: list[tuple[str, Any]], values: NDArray[np.float64], expected: NDArray[np.float64]
) -> list[tuple[str, str, float, float]]:
    """Return the names, the value and the expected value of each pair that has one."""
    cells = np.argwhere(~np.isnan(expected))
    return [(a[i][0], b[j][0], float(values[i, j]), float(expected[i, j])) for i, j in cells]


def _chance_warning(method: str, by_chance: list[tuple[str, str, float, float]], inputs: int) -> str:
    a, b, value, expected = by_chance[0]
    more = f" (and {len(by_chance) - 1} more pairs of RSMs)" if len(by_chance) > 1 else ""
    return (
        f"{method} of {a} and {b} is {value:.4g}, close to the {expected:.4g} expected by chance for such RSMs of "
        f"{inputs} inputs{more}: use 'cka-debiased', which is 0 by chance, or calibrate the value "
        f"(simplugins.calibrate, or calibrate= of compare_layers)"
    )


def embed_all(method: Method, items: list[tuple[str, Any]], count: int) -> NDArray[np.float64]:
    """Return the vectors of RSMs or arrays of `count` inputs, one per row, after checking each."""
    return _vectors(method, lambda item: method.matrix(*item), items, count)


def embed_matrices(method: Method, matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the vectors of checked matrices, one per row."""
    return _vectors(method, lambda matrix: matrix, matrices, len(matrices[0]))


def _vectors(
    method: Method, matrix_of: Callable[[Any], NDArray[np.float64]], items: Sequence[Any], count: int
) -> NDArray[np.float64]:
    once = np.ones(count)

    def embed(item: Any) -> NDArray[np.float64]:
        return method.embed(matrix_of(item), once)

    first = embed(items[0])
    vectors = np.empty((len(items), first.size))
    vectors[0] = first
    if len(items) > 1:
        with ThreadPoolExecutor(threads_for(_ENTRY_BYTES * count * count)) as pool:
            for i, vector in enumerate(pool.map(embed, items[1:]), 1):
                vectors[i] = vector
    return vectors


def threads_for(bytes_each: int) -> int:
    """Return the number of threads: one per core, or fewer if their working memory would exceed the limit."""
    return max(1, min(usable_cores(), _THREAD_BYTES // bytes_each))


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut `count` items into runs of at most `size`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _undefined(items: list[tuple[str, Any]], vectors: NDArray[np.float64]) -> set[str]:
    return {name for (name, _), vector in zip(items, vectors, strict=True) if np.isnan(vector[0])}
