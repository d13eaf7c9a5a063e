# SPDX-License-Identifier: Apache-2.0
"""Matrix products as the tensor cores of Hopper compute them, which was measured there."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_TERMS = 16
"""Number of products that are added at once."""

_BITS = 24
_GUARD_BITS = 2
_EXPONENT = 0x7FF << 52
_LEAST = 2.0**-400
"""Stands for a sum of zero where its exponent matters; below any product of float16 numbers."""


def tensor_core_product(rows: NDArray[np.float16], columns: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Write the inner products of rows and columns.

    Each step adds 16 products to the sum so far: all are aligned to the largest and cut to 24 + 2 bits, and the new sum
    is cut to 24.
    """
    _multiply(rows.astype(np.float64), np.ascontiguousarray(columns.T, np.float64), out)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _multiply(rows: NDArray[np.float64], columns: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Multiply (n, K) rows by (K, m) columns. The inner loops are over columns, for vector instructions."""
    count, length = columns.shape[1], rows.shape[1]
    largest, scale, total = np.empty(count), np.empty(count), np.empty(count)
    bits = largest.view(np.int64)
    for i in range(len(rows)):
        for j in range(count):
            total[j] = 0
        for start in range(0, length, _TERMS):
            stop = min(start + _TERMS, length)
            for j in range(count):
                largest[j] = max(abs(total[j]), _LEAST)
            for k in range(start, stop):
                for j in range(count):
                    largest[j] = max(largest[j], abs(rows[i, k] * columns[k, j]))
            for j in range(count):
                bits[j] &= _EXPONENT
                scale[j] = 2.0 ** (_BITS - 1 + _GUARD_BITS) / largest[j]
                total[j] = np.trunc(total[j] * scale[j])
            for k in range(start, stop):
                for j in range(count):
                    total[j] += np.trunc(rows[i, k] * columns[k, j] * scale[j])
            for j in range(count):
                total[j] /= scale[j]
                largest[j] = max(abs(total[j]), _LEAST)
            for j in range(count):
                bits[j] &= _EXPONENT
                total[j] = np.trunc(total[j] / largest[j] * 2.0 ** (_BITS - 1)) * (largest[j] * 2.0 ** (1 - _BITS))
        for j in range(count):
            out[i, j] = total[j]
