# SPDX-License-Identifier: Apache-2.0
"""Affinities of generated concept vectors, as networks make them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]


def rectified(rng: np.random.Generator, count: int, channels: int, below: float = 0.0) -> Matrix:
    """Return normal vectors, rectified after subtracting `below`."""
    return np.maximum(rng.standard_normal((count, channels)) - below, 0)


def relu(rng: np.random.Generator, rows: int, cols: int, below: float = 0.0) -> Matrix:
    """Inner products of independent rectified vectors with 64 channels."""
    return rectified(rng, rows, 64, below) @ rectified(rng, cols, 64, below).T


def offset(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Vectors with a large part in common, so that affinities differ by little."""
    return (rectified(rng, rows, 32) + 10) @ (rectified(rng, cols, 32) + 10).T


def noisy_copy(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Vectors and the same vectors with noise: the optimum is close to the diagonal."""
    x = rectified(rng, max(rows, cols), 32)
    return x[:rows] @ (x + 0.05 * rectified(rng, len(x), 32))[:cols].T


def shifted_map(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Two windows of one smooth map in two dimensions, a few positions apart."""
    side = int(np.ceil(np.sqrt(max(rows, cols))))
    size, channels = side + 4, 32
    waves = rng.normal(0, 8 / size, (2, channels)), rng.uniform(0, 2 * np.pi, channels)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
    field = np.maximum(np.cos(grid @ waves[0] + waves[1]), 0)
    first, second = field[:side, :side].reshape(-1, channels), field[2 : side + 2, 3 : side + 3].reshape(-1, channels)
    return first[:rows] @ second[:cols].T


def shifted_waves(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of a smooth sequence of vectors with the same sequence, shifted, with a little noise."""
    size = max(rows, cols)
    x = np.cos(np.linspace(0, 1, size)[:, None] * np.arange(1, 33))
    y = np.roll(x, size // 5, 0) + 0.01 * rectified(rng, size, 32)
    return np.asarray(x[:rows] @ y[:cols].T)


def outliers(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of vectors of which a few have norms a hundred times those of the rest, as in transformers."""
    x, y = rectified(rng, rows, 64), rectified(rng, cols, 64)
    x[: max(1, rows // 64)] *= 100
    y[: max(1, cols // 64)] *= 100
    return x @ y.T


def half_empty(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """About half of the vectors are zero on either side: nothing is there."""
    x, y = rectified(rng, rows, 64), rectified(rng, cols, 64)
    x[rng.random(rows) < 0.5] = 0
    y[rng.random(cols) < 0.5] = 0
    return x @ y.T


def padded(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Zeros at the end on one side: the input was shorter."""
    x, y = rectified(rng, rows, 64), rectified(rng, cols, 64)
    x[rows - rows // 5 :] = 0
    return x @ y.T


def binary(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Vectors of zeros and ones: affinities are small integers with many ties."""
    x, y = ((rng.random((count, 64)) < 0.2).astype(np.float64) for count in (rows, cols))
    return np.asarray(x @ y.T)


def eight_bit(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Rectified vectors quantised to 8 bits, as integers."""
    x, y = rectified(rng, rows, 64), rectified(rng, cols, 64)
    step = max(x.max(), y.max()) / 255
    return np.asarray(np.round(x / step) @ np.round(y / step).T)


def spikes(rng: np.random.Generator, rows: int, cols: int) -> Matrix:
    """Inner products of counts of spikes of 32 neurons with unequal rates."""
    rates = rng.gamma(0.5, 1.0, 32)
    return (rng.poisson(rates, (rows, 32)) @ rng.poisson(rates, (cols, 32)).T).astype(np.float64)
