# SPDX-License-Identifier: Apache-2.0
"""The type that inputs are computed in: its range, for which extreme inputs are scaled, and its precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PLAIN_EXPONENTS = {np.dtype(np.float32): 30, np.dtype(np.float64): 400}
"""By dtype: inputs whose largest magnitude lies between two to minus and plus this power need no scaling."""
_LARGEST_EXPONENT = 480
LEAST_SPREAD = {np.dtype(np.float32): 2.0**-6, np.dtype(np.float64): 2.0**-36}
"""By dtype: the smallest share of squared norms that inputs may not have in common, for inner products of this type.

Squared distances lose about ``eps / share``: at these limits 1e-6 to 1e-5 in float32, and 2e-5 in float64.
"""
SINGLE_POSITION = 8
"""Factor of `LEAST_SPREAD` for single positions, of which errors do not average, and float64 costs next to nothing."""
_NORM_TOLERANCE = 1e-5
"""Allowed relative difference of an input's squared norm when it is read again, possibly in float32."""


def read_dtype(dtype: DTypeLike) -> np.dtype[np.floating]:
    """Return the type to compute in, after checking that it is float32 or float64."""
    result = np.dtype(dtype)
    if result not in _PLAIN_EXPONENTS:
        raise TypeError(f"dtype must be float32 or float64, got {result}")
    return result  # type: ignore[return-value]


def scaling_exponents(largest: NDArray[np.float64], dtype: np.dtype[np.floating], start: int) -> NDArray[np.int64]:
    """Return the power of two of each input's largest value, or 0 where inner products need no scaling."""
    powers = np.where(largest > 0, np.frexp(largest)[1], 0)
    if np.abs(powers).max() > _LARGEST_EXPONENT:
        worst = int(np.abs(powers).argmax())
        raise ValueError(
            f"input {start + worst} has a largest absolute value of {largest[worst]:.3g}, whose square does not "
            f"fit a float64: rescale the activations"
        )
    return np.where(np.abs(powers) <= _PLAIN_EXPONENTS[dtype], 0, powers)


def check_norms(squared_norms: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Raise a ValueError if norms differ from the first reading: files change, and may differ between machines."""
    differs = ~(np.abs(squared_norms - expected) <= _NORM_TOLERANCE * expected)
    if differs.any():
        raise ValueError(
            f"the activations have changed since the run began: {int(differs.sum())} of {len(differs)} inputs differ, "
            f"the first of them number {int(np.argmax(differs))}; was the file modified, or does a worker have a "
            f"different file at the same path?"
        )
