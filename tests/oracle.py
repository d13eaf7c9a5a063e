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
