# SPDX-License-Identifier: Apache-2.0
"""Affinities of a batch of pairs on the CPU, and the resulting aligned inner products."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.blocks import Block
from simplugins.matching.matcher import Matcher, match_batch

ROUNDING = {np.dtype(np.float32): 2.0**-21, np.dtype(np.float64): 2.0**-45}
"""Bounds on the relative rounding error of aligned inner products, verified in the tests."""


class Scratch(threading.local):
    """Thread-local memory for affinities, reused by each product."""

    memory: NDArray[np.floating] | None = None

    def product(self, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return ``rows @ columns``, valid until the thread's next product."""
        shape = (*rows.shape[:-1], columns.shape[-1])
        return np.matmul(rows, columns, out=self._array(shape, rows.dtype))

    def products(self, pairs: Sequence[tuple[Block, Block]]) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the affinities of several blocks with one input each, one after the other, and their offsets.

        All of these inputs have equal numbers of positions. Valid until the thread's next product.
        """
        if len(pairs) == 1:
            inputs, other = pairs[0]
            return self.product(inputs.vectors, other.vectors.T), inputs.offsets
        count, first = sum(len(inputs.vectors) for inputs, _ in pairs), pairs[0][1].vectors
        affinities = self._array((count, len(first)), first.dtype)
        start, offsets = 0, [np.zeros(1, np.int64)]
        for inputs, other in pairs:
            stop = start + len(inputs.vectors)
            np.matmul(inputs.vectors, other.vectors.T, out=affinities[start:stop])
            offsets.append(inputs.offsets[1:] + start)
            start = stop
        return affinities, np.concatenate(offsets)

    def _array(self, shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        size = math.prod(shape)
        if self.memory is None or self.memory.size < size or self.memory.dtype != dtype:
            self.memory = np.empty(size, dtype)
        return self.memory[:size].reshape(shape)


def matched_values(
    matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Match a batch of problems, and return the (B,) aligned inner products; see `Matcher.match_batch`."""
    from simplugins.matching import objective

    products = np.empty(len(offsets) - 1)
    objective.assignment_values(affinities, offsets, match_batch(matcher, affinities, offsets).columns, products)
    return products
