# SPDX-License-Identifier: Apache-2.0
"""Problems that the literature on linear assignment uses because they are hard for some algorithm.

Sources: R. E. Machol and M. Wien, "A hard assignment problem" (Operations Research 24, 1976); A. V. Goldberg and
R. Kennedy, "An efficient cost scaling algorithm for the assignment problem" (Mathematical Programming 71, 1995) for
sparse graphs with two costs, fixed costs and geometry; D. P. Bertsekas, "The auction algorithm" (Annals of Operations
Research 14, 1988) for price wars.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]


def machol_wien(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Costs i j, of which shortest augmenting paths visit nearly all rows each time."""
    return -np.outer(np.arange(1.0, rows + 1), np.arange(1.0, cols + 1))


def integers_to_size(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Independent integers from 0 to the number of columns."""
    return rng.integers(0, cols + 1, (rows, cols)).astype(np.float64)


def two_costs(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Cheap edges that are barely enough for a perfect matching; all others are expensive."""
    return np.where(_edges(rng, rows, cols), -100.0, -1e6)


def fixed_costs(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Each row has one cost for all of its edges, so no row says which of them is right."""
    costs = 100.0 * rng.permutation(np.arange(1, rows + 1))[:, None]
    return np.where(_edges(rng, rows, cols), -costs, -100.0 * rows * 10)


def permuted_diagonal(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Give each row a column of its own that is the best by a wide margin."""
    affinities = rng.random((rows, cols))
    size = min(rows, cols)
    affinities[rng.permutation(rows)[:size], rng.permutation(cols)[:size]] += 2
    return affinities


def staircase(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Allow columns up to i for row i, all equally good: one matching is perfect, and greed misses it."""
    allowed = np.arange(cols)[None] <= np.arange(rows)[:, None]
    affinities = allowed.astype(np.float64)
    return affinities[rng.permutation(rows)][:, rng.permutation(cols)]


def price_war(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """All columns but one are nearly as good for all rows, and one is far worse: bids rise by little for long."""
    affinities = 1e-4 * rng.random((rows, cols))
    affinities[:, rng.integers(cols)] -= 1
    return affinities


def chain(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Each row has two columns, its own and the next, almost equally good: paths run along the whole chain."""
    i = np.arange(rows)
    affinities = np.zeros((rows, cols))
    affinities[i, i % cols] = 1.0
    affinities[i, (i + 1) % cols] = 1.0 + 1e-3 * rng.random(rows)
    affinities[-1] = 0.5 * rng.random(cols)
    return affinities[rng.permutation(rows)][:, rng.permutation(cols)]


def unequal_blocks(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Two blocks with unequal sides, so that some rows have to leave their block at any price."""
    affinities = rng.random((rows, cols))
    affinities[: int(0.6 * rows), : cols // 2] += 10
    affinities[int(0.6 * rows) :, cols // 2 :] += 10
    return affinities[rng.permutation(rows)][:, rng.permutation(cols)]


def _edges(rng: np.random.Generator, rows: int, cols: int) -> NDArray[np.bool_]:
    """Return random edges, about the logarithm of the number of columns per row."""
    return np.asarray(rng.random((rows, cols)) < (np.log(cols) + 1) / cols)
