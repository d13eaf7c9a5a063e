# SPDX-License-Identifier: Apache-2.0
"""The error for activations with values that are NaN or infinite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.blocks import chunks
from simplugins.activations.reader_protocol import Reader


def report_not_finite(reader: Reader, positions: NDArray[np.int64], channels: int) -> None:
    """Read all inputs, and raise a ValueError with the number of values that are not finite, and the first input."""
    count, first = 0, -1
    for start, stop in chunks(positions, channels):
        block = reader(start, stop)
        by_vector = arrays.small_numpy((~arrays.namespace(block.vectors).isfinite(block.vectors)).sum(1))
        if by_vector.any() and first < 0:
            row = int(np.flatnonzero(by_vector)[0])
            first = start + int(np.searchsorted(block.offsets, row, side="right")) - 1
        count += int(by_vector.sum())
    raise ValueError(
        f"activations contain {count} NaN or infinite values, the first of them in input {first} of {len(positions)}"
    )
