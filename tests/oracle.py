# SPDX-License-Identifier: Apache-2.0
"""Independent truth: plain NumPy and SciPy in float64, one pair at a time."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def optimum(affinity):
    """The largest sum of affinities over all assignments of the smaller side."""
    exact = np.asarray(affinity, dtype=np.float64)
    return exact[linear_sum_assignment(exact, maximize=True)].sum()


def aligned_product(x, y):
    """The aligned inner product of two sets of concept vectors."""
    return optimum(np.asarray(x, np.float64) @ np.asarray(y, np.float64).T)


def aligned_products(xs, ys):
    return np.array([[aligned_product(x, y) for y in ys] for x in xs])


def norms(sets):
    return np.array([(np.asarray(s, np.float64) ** 2).sum() for s in sets])


def cosine(products, norms_x, norms_y):
    return products / np.sqrt(np.outer(norms_x, norms_y))


def rbf(products, norms_x, norms_y, sigma):
    return np.exp(-(norms_x[:, None] + norms_y[None, :] - 2 * products) / (2 * sigma**2))


def concept_vectors(maps):
    """(N, C, H, W) maps as N sets of (H W, C) concept vectors, in float64."""
    return np.asarray(maps, np.float64).reshape(*maps.shape[:2], -1).transpose(0, 2, 1)


def by_norm(vectors):
    """A set of concept vectors, smallest norm first."""
    exact = np.asarray(vectors, np.float64)
    return exact[np.argsort((exact**2).sum(1), kind="stable")]


def batch_optimal(x, y, window):
    """The paper's batch-optimal value, of the smaller set preceded by zero vectors; each window must fill its side."""
    x, y = by_norm(x), by_norm(y)
    size = max(len(x), len(y))
    total = 0.0
    for start in range(0, size, window):
        kept = [s[max(0, start - size + len(s)) : max(0, start + window - size + len(s))] for s in (x, y)]
        total += aligned_product(*kept) if len(kept[0]) and len(kept[1]) else 0.0
    return total


def greedy_columns(affinity):
    """Rows by their best affinity, highest first, each to the best column that is left."""
    columns = np.full(len(affinity), -1)
    left = set(range(affinity.shape[1]))
    for i in sorted(range(len(affinity)), key=lambda i: -affinity[i].max()):
        if left:
            columns[i] = max(sorted(left), key=lambda j: affinity[i, j])
            left.remove(columns[i])
    return columns


def greedy(affinity):
    columns = greedy_columns(affinity)
    rows = np.flatnonzero(columns >= 0)
    return np.asarray(affinity, np.float64)[rows, columns[rows]].sum()


def topk_greedy(x, y, k):
    """The k of largest norm matched optimally, the rest greedily."""
    x, y = by_norm(x), by_norm(y)
    rest, other_rest = (s[: max(0, len(s) - k)] for s in (x, y))
    top = aligned_product(x[len(rest) :], y[len(other_rest) :])
    return top + (greedy(rest @ other_rest.T) if len(rest) and len(other_rest) else 0.0)
