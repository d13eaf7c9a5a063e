# SPDX-License-Identifier: Apache-2.0
"""Affinities of points by their positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]


def distances(rng: np.random.Generator, rows: int, cols: int, *, dimensions: int) -> Matrix:
    """Negative squared distances of random points."""
    return -_squared(rng.random((rows, dimensions)), rng.random((cols, dimensions)))


def shifted_grid(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Negative distances between a grid and the same grid, shifted by a fraction of a step."""
    side = int(np.ceil(np.sqrt(max(rows, cols))))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
    return -np.sqrt(_squared(grid[:rows].astype(np.float64), grid[:cols] + rng.random(2)))


def kernel(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Return a narrow Gaussian kernel of random points: most affinities are nearly zero."""
    squares = _squared(rng.random((rows, 2)), rng.random((cols, 2)))
    return np.asarray(np.exp(-squares / (2 * 0.05**2)))


def _squared(x: Matrix, y: Matrix) -> Matrix:
    squares: Matrix = np.square(x[:, None] - y[None]).sum(-1)
    return squares
