# SPDX-License-Identifier: Apache-2.0
"""Independent truth: plain NumPy and SciPy in float64, one pair at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

Matrix = NDArray[np.float64]


def optimum(affinity: ArrayLike) -> float:
    """The largest sum of affinities over all assignments of the smaller side."""
    exact = np.asarray(affinity, dtype=np.float64)
    return float(exact[linear_sum_assignment(exact, maximize=True)].sum())


def aligned_product(x: ArrayLike, y: ArrayLike) -> float:
    """The aligned inner product of two sets of concept vectors."""
    return optimum(np.asarray(x, np.float64) @ np.asarray(y, np.float64).T)


def aligned_products(xs: Sequence[ArrayLike] | NDArray[Any], ys: Sequence[ArrayLike] | NDArray[Any]) -> Matrix:
    """The aligned inner products of all pairs of sets."""
    return np.array([[aligned_product(x, y) for y in ys] for x in xs])


def norms(sets: Sequence[ArrayLike] | NDArray[Any]) -> Matrix:
    """The squared norm of each set."""
    return np.array([(np.asarray(s, np.float64) ** 2).sum() for s in sets])


def cosine(products: Matrix, norms_x: Matrix, norms_y: Matrix) -> Matrix:
    """The cosine kernel of aligned inner products."""
    return np.asarray(products / np.sqrt(np.outer(norms_x, norms_y)))


def rbf(products: Matrix, norms_x: Matrix, norms_y: Matrix, sigma: float) -> Matrix:
    """The RBF kernel of aligned inner products."""
    return np.asarray(np.exp(-(norms_x[:, None] + norms_y[None, :] - 2 * products) / (2 * sigma**2)))


def concept_vectors(maps: NDArray[Any]) -> Matrix:
    """(N, C, H, W) maps as N sets of (H W, C) concept vectors, in float64."""
    return np.asarray(maps, np.float64).reshape(*maps.shape[:2], -1).transpose(0, 2, 1)


def by_norm(vectors: ArrayLike) -> Matrix:
    """A set of concept vectors in ascending order of norm."""
    exact = np.asarray(vectors, np.float64)
    return np.asarray(exact[np.argsort((exact**2).sum(1), kind="stable")])


def batch_optimal(x: ArrayLike, y: ArrayLike, window: int) -> float:
    """The paper's batch-optimal value; the smaller set is preceded by zero vectors."""
    x, y = by_norm(x), by_norm(y)
    size = max(len(x), len(y))
    total = 0.0
    for start in range(0, size, window):
        windows = [s[max(0, start - size + len(s)) : max(0, start + window - size + len(s))] for s in (x, y)]
        total += aligned_product(*windows) if len(windows[0]) and len(windows[1]) else 0.0
    return total


def greedy_columns(affinity: NDArray[Any]) -> NDArray[np.int64]:
    """Columns of a greedy matching: the row with the highest affinity takes its best column first, and so on."""
    columns = np.full(len(affinity), -1, np.int64)
    left = set(range(affinity.shape[1]))
    for i in sorted(range(len(affinity)), key=lambda i: -affinity[i].max()):
        if left:
            columns[i] = max(sorted(left), key=lambda j: affinity[i, j])
            left.remove(columns[i])
    return columns


def greedy(affinity: NDArray[Any]) -> float:
    """The value of a greedy matching."""
    columns = greedy_columns(affinity)
    rows = np.flatnonzero(columns >= 0)
    return float(np.asarray(affinity, np.float64)[rows, columns[rows]].sum())


def topk_greedy(x: ArrayLike, y: ArrayLike, k: int) -> float:
    """The value if the k positions of largest norm are matched optimally, and the others greedily."""
    x, y = by_norm(x), by_norm(y)
    rest, other_rest = (s[: max(0, len(s) - k)] for s in (x, y))
    top = aligned_product(x[len(rest) :], y[len(other_rest) :])
    return top + (greedy(rest @ other_rest.T) if len(rest) and len(other_rest) else 0.0)


def max_sim(kernel: str, x: ArrayLike, y: ArrayLike) -> float:
    """MaxSim of x to y, one position after the other; for "rbf", the squared Chamfer distance."""
    rows, columns = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if kernel == "rbf":
        return float(sum(min(((row - column) ** 2).sum() for column in columns) for row in rows))
    if kernel == "cosine":
        rows, columns = (np.array([v / (np.linalg.norm(v) or 1) for v in side]) for side in (rows, columns))
    best = [max(float(row @ column) for column in columns) for row in rows]
    return float(np.sum(best) if kernel == "linear" else np.mean(best))


def shifted_products(x: ArrayLike, y: ArrayLike, padding: str) -> dict[tuple[int, ...], float]:
    """The inner product of two (*grid, C) responses for each translation: x at s meets y at s + shift."""
    first, second = np.asarray(x, np.float64), np.asarray(y, np.float64)
    grid = first.shape[:-1]
    if padding == "zeros":
        first, second = (np.pad(side, [(0, size) for size in grid] + [(0, 0)]) for side in (first, second))
    ranges = [range(1 - size, size) if padding == "zeros" else range(size) for size in grid]
    axes = tuple(range(len(grid)))
    products = {}
    for shift in np.ndindex(*map(len, ranges)):
        offsets = tuple(values[k] for values, k in zip(ranges, shift, strict=True))
        products[offsets] = float((first * np.roll(second, [-offset for offset in offsets], axes)).sum())
    return products


def best_pairs(affinity: ArrayLike, count: int) -> float:
    """The largest sum of affinities of `count` pairs: the optimum with dummy rows and columns for the others."""
    exact = np.asarray(affinity, dtype=np.float64)
    rows, columns = exact.shape
    augmented = np.zeros((rows + columns - count, rows + columns - count))
    augmented[:rows, :columns] = exact
    augmented[rows:, columns:] = -4 * np.abs(exact).max() * (min(rows, columns) + 1) - 1
    matched = linear_sum_assignment(augmented, maximize=True)
    inside = (matched[0] < rows) & (matched[1] < columns)
    return float(exact[matched[0][inside], matched[1][inside]].sum())
