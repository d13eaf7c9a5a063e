# SPDX-License-Identifier: Apache-2.0
"""Vectors as they are multiplied, on whatever device they lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.compute.engines.cuda.device import Precision

_DROPPED = 13
"""Bits of a float32's mantissa that TF32 has not."""


def operand(vectors: Any, precision: Precision, *, columns: bool) -> Any:
    """Return (T, C) vectors as `Device.multiply` takes them, for the rows of a product or for its columns.

    For "float16x3" that is (T, 3 C) of float16: each number as the sum of a high and a low part, so laid out that a
    product adds high by high, high by low and low by high. For "tf32" numbers are rounded here, to nearest, even, since
    some GPUs would cut them.
    """
    if precision == "float64":
        return vectors.astype(np.float64, copy=False)
    if precision == "tf32":
        bits = vectors.view(np.uint32)
        half = (bits >> _DROPPED & 1) + ((1 << (_DROPPED - 1)) - 1)
        return ((bits + half) & (2**32 - (1 << _DROPPED))).view(np.float32)
    if precision == "float16x3":
        high = vectors.astype(np.float16)
        low = (vectors - high).astype(np.float16)
        parts = [high, low, high] if columns else [high, high, low]
        return arrays.namespace(vectors).concatenate(parts, axis=1)
    return vectors
