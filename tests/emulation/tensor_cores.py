# SPDX-License-Identifier: Apache-2.0
"""Matrix products as the tensor cores of Hopper compute them, which was measured there."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

_TERMS = 16
"""Number of products that are added at once."""

_BITS = 24
_GUARD_BITS = 2


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def cut(number: float) -> float:
    """Cut a number to 24 bits."""
    unit = math.ldexp(1.0, math.frexp(number)[1] - _BITS)
    return float(np.trunc(number / unit) * unit)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def tensor_core_product(rows: NDArray[np.float32], columns: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the inner products of rows and columns.

    Each step adds 16 products to the sum so far: all are aligned to the largest and cut to 24 + 2 bits, and the
    new sum is cut to 24.
    """
    for i in range(len(rows)):
        for j in range(len(columns)):
            total = 0.0
            for start in range(0, rows.shape[1], _TERMS):
                stop = min(start + _TERMS, rows.shape[1])
                largest = abs(total)
                for k in range(start, stop):
                    largest = max(largest, abs(np.float64(rows[i, k]) * np.float64(columns[j, k])))
                if largest > 0:
                    unit = math.ldexp(1.0, math.frexp(largest)[1] - _BITS - _GUARD_BITS)
                    scale = 1 / unit
                    units = np.trunc(total * scale)
                    for k in range(start, stop):
                        units += np.trunc(np.float64(rows[i, k]) * np.float64(columns[j, k]) * scale)
                    total = cut(units * unit)
            out[i, j] = total
