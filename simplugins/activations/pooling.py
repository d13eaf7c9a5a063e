# SPDX-License-Identifier: Apache-2.0
"""Pooling of concept vectors: one feature vector per input, independent of the order and number of its positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import CHUNK_BYTES, Block, chunks
from simplugins.activations.scaling import scaling_exponents

_ROUNDING = 2.0**-40
"""Size of a mean, relative to the largest value, that is attributed to rounding."""


class Pooling(Protocol):
    """Pools the concept vectors of each input of a block into one feature vector; a `BlockMap`."""

    @property
    def name(self) -> str:
        """Name of the pooling."""

    def features(self, channels: int) -> int:
        """Return the length of the feature vectors."""

    def __call__(self, block: Block) -> Block:
        """Return a block with one vector per input."""


@dataclass(frozen=True)
class MeanPooling:
    """The mean of the concept vectors over positions."""

    name: ClassVar[str] = "mean-pooled"

    def features(self, channels: int) -> int:
        """Return the number of channels."""
        return channels

    def __call__(self, block: Block) -> Block:
        """Return the means; those that are due to rounding, as of centred inputs, are 0."""
        return _pooled(block, _means)


@dataclass(frozen=True)
class MaxPooling:
    """The maximum of each channel over positions."""

    name: ClassVar[str] = "max-pooled"

    def features(self, channels: int) -> int:
        """Return the number of channels."""
        return channels

    def __call__(self, block: Block) -> Block:
        """Return the maxima."""
        return _pooled(block, lambda sets: sets.max(1))


@dataclass(frozen=True)
class SecondMoments:
    """The second moments of the concept vectors, ``sum_s x_s x_s^T``, as vectors.

    A vector holds the upper triangle, with entries off the diagonal multiplied by the root of two. Inner products of
    two such vectors are thus inner products of the matrices: the sum of all squared affinities of the pair.
    """

    name: ClassVar[str] = "second-order"

    def features(self, channels: int) -> int:
        """Return the number of entries of an upper triangle."""
        return channels * (channels + 1) // 2

    def __call__(self, block: Block) -> Block:
        """Return the second moments."""
        return _pooled(block, _second_moments)


def _pooled(block: Block, pool: Callable[[Any], Any]) -> Block:
    """Apply a function of (n, S, C) arrays to the inputs of a block, all inputs of equal size at once."""
    sizes, xp = np.diff(block.offsets), arrays.namespace(block.vectors)
    distinct, channels = np.unique(sizes), block.vectors.shape[1]
    if distinct.size == 1:
        vectors = pool(block.vectors.reshape(len(sizes), int(distinct[0]), channels))
        return Block(vectors, np.arange(len(sizes) + 1))
    members = [np.flatnonzero(sizes == size) for size in distinct]
    parts = []
    for size, inputs in zip(distinct.tolist(), members, strict=True):
        rows = (block.offsets[inputs][:, None] + np.arange(size)).ravel()
        parts.append(pool(block.vectors[xp.asarray(rows)].reshape(len(inputs), size, channels)))
    order = np.argsort(np.concatenate(members))
    return Block(xp.concatenate(parts)[xp.asarray(order)], np.arange(len(sizes) + 1))


def _means(sets: Any) -> Any:
    """Return the (n, C) means over positions of sets of equal size, (n, S, C)."""
    means = sets.mean(1)
    inputs = ((means != 0) & (abs(means) <= _ROUNDING * _largest(sets, (1, 2))[:, None])).any(1)
    if inputs.any():  # rarely; only for these are the largest values of each channel worth a pass
        few = means[inputs]
        few[abs(few) <= _ROUNDING * _largest(sets[inputs], 1)] = 0
        means[inputs] = few
    return means


def _largest(sets: Any, axes: int | tuple[int, ...]) -> Any:
    """Return the largest absolute values along some axes."""
    return arrays.namespace(sets).maximum(sets.max(axes), -sets.min(axes))


def _second_moments(sets: Any) -> Any:
    """Return the (n, C (C + 1) / 2) second moments of sets of equal size, (n, S, C)."""
    xp, channels = arrays.namespace(sets), sets.shape[2]
    entries, factors = _triangle(channels)
    entries, factors = xp.asarray(entries), xp.asarray(factors)
    moments = xp.empty((len(sets), len(entries)))
    step = max(1, CHUNK_BYTES // (8 * channels**2))
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        products = xp.matmul(part.transpose(0, 2, 1), part).reshape(len(part), -1)
        xp.multiply(products.take(entries, axis=1), factors, out=moments[start : start + step])
    return moments


@lru_cache(maxsize=8)
def _triangle(channels: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the indices of the upper triangle of a flattened matrix, and the factors of its entries."""
    rows, columns = np.triu_indices(channels)
    return rows * channels + columns, np.where(rows == columns, 1.0, np.sqrt(2))


def with_moment_norms(activations: Activations) -> Activations:
    """Return activations with the squared norms of their second moments, from the inner products of positions.

    Raises
    ------
    ValueError
        If a squared norm does not fit a float64.
    """
    norms = []
    for start, stop in chunks(activations.positions, activations.channels):
        with arrays.on_gpu(activations.gpu):
            block = activations._reader(start, stop)
            wide = Block(block.vectors.astype(np.float64, copy=False), block.offsets)
            norms.append(arrays.small_numpy(_pooled(wide, _moment_norms).vectors[:, 0]))
    every = np.concatenate(norms)
    scaling_exponents(every, np.dtype(np.float64), 0)
    return replace(activations, squared_norms=np.square(every))


def _moment_norms(sets: Any) -> Any:
    """Return the (n, 1) Frobenius norms of the second moments of sets of equal size, (n, S, C)."""
    xp, size = arrays.namespace(sets), sets.shape[1]
    norms = xp.empty((len(sets), 1))
    step = max(1, CHUNK_BYTES // (8 * size**2))
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        products = xp.matmul(part, part.transpose(0, 2, 1)).reshape(len(part), -1)
        largest = xp.maximum(abs(products).max(1), np.finfo(np.float64).tiny)
        products /= largest[:, None]  # so that squares are finite
        norms[start : start + step, 0] = largest * xp.sqrt(xp.einsum("ij,ij->i", products, products))
    return norms
