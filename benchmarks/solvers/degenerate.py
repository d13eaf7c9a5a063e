# SPDX-License-Identifier: Apache-2.0
"""Affinities with ties, duplicates, wide ranges or little structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.concept_vectors import rectified

Matrix = NDArray[np.floating]


def uniform(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Independent uniform values."""
    return rng.random((rows, cols))


def integers(rng: np.random.Generator, rows: int, cols: int, *, below: int) -> Matrix:
    """Independent integers from a small range."""
    return rng.integers(0, below, (rows, cols)).astype(np.float64)


def lognormal(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Vectors whose norms range over several powers of ten."""
    x = np.exp(3 * rng.standard_normal((rows, 1))) * rectified(rng, rows, 32)
    y = np.exp(3 * rng.standard_normal((cols, 1))) * rectified(rng, cols, 32)
    return x @ y.T


def wide(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Independent magnitudes from 1e-15 to 1e15, of both signs."""
    return rng.choice([-1, 1], (rows, cols)) * 10.0 ** rng.uniform(-15, 15, (rows, cols))


def duplicates(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of vectors, a share of which are equal on either side, such as padding or sky."""
    x, y = rectified(rng, rows, 32), rectified(rng, cols, 32)
    x[: rows // 2] = x[0]
    y[: int(0.35 * cols)] = y[0]
    return x @ y.T


def few_vectors(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Every vector is one of eight: a transport problem."""
    x, y = rectified(rng, 8, 32), rectified(rng, 8, 32)
    return x[rng.integers(0, 8, rows)] @ y[rng.integers(0, 8, cols)].T


def plain_rows(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Match a plain image with another one: rows are nearly equal."""
    return (1 + 1e-3 * rng.standard_normal((rows, 32))) @ rectified(rng, cols, 32).T


def nearly_equal(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Two plain images: all affinities are nearly equal."""
    x, y = 1 + 1e-3 * rng.standard_normal((rows, 32)), 1 + 1e-3 * rng.standard_normal((cols, 32))
    return x @ y.T


def rank_one(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Products of two positive factors: the optimum sorts both."""
    return rng.random((rows, 1)) * rng.random((1, cols))


def rank_two(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of normal vectors with two channels."""
    return rng.standard_normal((rows, 2)) @ rng.standard_normal((2, cols))


def constant(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Every assignment is optimal."""
    return np.full((rows, cols), rng.random())
