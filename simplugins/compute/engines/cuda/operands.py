# SPDX-License-Identifier: Apache-2.0
"""Conversion of vectors to operands of matrix products at each precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.compute.engines.cuda.device import Device, Precision

_GRID_BITS = 12
"""Vectors are less than 2^12 steps of their grid long, so that sums of products of whole steps fit 24 bits."""

_SLACK = 1.02
"""Factor of norms that allows for the rounding of vectors to their grids, and of the norms themselves."""

_LEAST_EXPONENT = -12
"""Norms below 2^-12 get the grid of larger ones, the smallest number that float16 can hold."""

_ALIGNED = 8
"""Multiple of float16 numbers per row that tensor cores need."""

_LEAST_CHANNELS = 32
"""Number of channels from which three float16 products are faster than one float32 product."""


def default_precision(device: Device, channels: int) -> Precision:
    """Return the faster of "float32" and "float16x3", which are equally accurate."""
    return "float16x3" if device.tensor_cores and channels >= _LEAST_CHANNELS else "float32"


def operand(vectors: Any, precision: Precision, *, columns: bool) -> Any:
    """Return (T, C) vectors as an operand of `Device.multiply`, for the rows or the columns of a product.

    For "float16x3", the result is a (T, K) float16 array, K at least 3 C and filled up with zeros. Each vector x is
    split into a vector h of whole steps of a grid and a remainder l, and a product is the sum of l h', x l' and h h',
    in this order. Tensor cores truncate each partial sum to 24 bits, but not those of h h': the grid is a power of two
    such that x is between 2^11 and 2^12 steps long, so that partial sums are whole and less than 2^24 steps. Those of
    the small terms are about 2^-12 times as large, so that truncation hardly matters there. Thus an inner product is
    off by at most 2^-22 of its vectors' norms from truncating the total and, depending on how remainders align,
    sqrt(C + 12) 2^-22 from rounding them to float16; in practice by about 2^-23, at any C. Vectors should be scaled to
    norms between 1 and 2^15.
    """
    if precision == "float64":
        return vectors.astype(np.float64, copy=False)
    if precision == "float16x3":
        return _three_parts(vectors, columns=columns)
    return vectors


def _three_parts(vectors: Any, *, columns: bool) -> Any:
    """Return the parts of vectors whose products add up to theirs, the small ones first."""
    xp = arrays.namespace(vectors)
    count, channels = vectors.shape
    grids = _grids(vectors)
    whole = (xp.rint(vectors / grids) * grids).astype(np.float16)
    result = xp.zeros((count, -(-3 * channels // _ALIGNED) * _ALIGNED), np.float16)
    parts = [result[:, start : start + channels] for start in (0, channels, 2 * channels)]
    parts[columns][:] = vectors - whole
    parts[not columns][:] = whole if columns else vectors
    parts[2][:] = whole
    return result


def _grids(vectors: Any) -> Any:
    """Return the step of each vector's grid, (T, 1)."""
    xp = arrays.namespace(vectors)
    norms = xp.sqrt(xp.square(vectors).sum(1))
    exponents = xp.maximum(xp.frexp(norms * np.float32(_SLACK))[1], _LEAST_EXPONENT)
    return xp.ldexp(xp.ones_like(norms), exponents - _GRID_BITS)[:, None]
