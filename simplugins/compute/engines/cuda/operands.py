# SPDX-License-Identifier: Apache-2.0
"""Conversion of vectors to operands of matrix products at each precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.compute.engines.cuda.device import Precision

_TRUNCATED_BITS = 13
"""Mantissa bits of float32 that TF32 lacks."""


def operand(vectors: Any, precision: Precision, *, columns: bool) -> Any:
    """Return (T, C) vectors as an operand of `Device.multiply`, for the rows or the columns of a product.

    For "float16x3", the result is a (T, 3 C) float16 array: each number is split into a high and a low part, arranged
    so that the product sums low × high, high × low and high × high, the small terms first: tensor cores truncate each
    partial sum, which loses least while the sum is small. For "tf32", numbers are rounded to nearest, ties to even,
    because some GPUs would truncate them.
    """
    if precision == "float64":
        return vectors.astype(np.float64, copy=False)
    if precision == "tf32":
        bits = vectors.view(np.uint32)
        half = (bits >> _TRUNCATED_BITS & 1) + ((1 << (_TRUNCATED_BITS - 1)) - 1)
        return ((bits + half) & (2**32 - (1 << _TRUNCATED_BITS))).view(np.float32)
    if precision == "float16x3":
        high = vectors.astype(np.float16)
        low = (vectors - high).astype(np.float16)
        parts = [high, low, high] if columns else [low, high, high]
        return arrays.namespace(vectors).concatenate(parts, axis=1)
    return vectors
