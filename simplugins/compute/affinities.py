# SPDX-License-Identifier: Apache-2.0
"""Affinities of a batch of pairs on the CPU, and the resulting aligned inner products."""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Matcher, match_batch

ROUNDING = {np.dtype(np.float32): 2.0**-21, np.dtype(np.float64): 2.0**-45}
"""Bounds on the relative rounding error of aligned inner products, verified in the tests."""


class Scratch(threading.local):
    """Thread-local memory for affinities, reused by each product."""

    memory: NDArray[np.floating] | None = None

    def product(self, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return ``rows @ columns``, valid until the thread's next product."""
        shape = (*rows.shape[:-1], columns.shape[-1])
        size = math.prod(shape)
        if self.memory is None or self.memory.size < size or self.memory.dtype != rows.dtype:
            self.memory = np.empty(size, rows.dtype)
        return np.matmul(rows, columns, out=self.memory[:size].reshape(shape))


def matched_values(
    matcher: Matcher, affinities: NDArray[np.floating], offsets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Match a batch of problems, and return the (B,) aligned inner products; see `Matcher.match_batch`."""
    from simplugins.matching import objective

    products = np.empty(len(offsets) - 1)
    objective.assignment_values(affinities, offsets, match_batch(matcher, affinities, offsets).columns, products)
    return products
