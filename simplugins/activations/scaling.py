# SPDX-License-Identifier: Apache-2.0
"""Types to compute in, and the scaling that keeps inner products in their range."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

_PLAIN_EXPONENTS = {np.dtype(np.float32): 30, np.dtype(np.float64): 400}
"""Inputs whose largest value is within two to this power, both ways, need no scaling, by type."""
_LARGEST_EXPONENT = 480
_NORM_TOLERANCE = 1e-5
"""Relative difference allowed between squared norms of an input that is read twice, once in float64."""


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
    """Check that inputs still have the norms of the first reading: files change, and differ between machines.

    Raises
    ------
    ValueError
        If they do not.
    """
    differs = ~(np.abs(squared_norms - expected) <= _NORM_TOLERANCE * expected)
    if differs.any():
        raise ValueError(
            f"the activations have changed since the run began: {int(differs.sum())} of {len(differs)} inputs differ, "
            f"first number {int(np.argmax(differs))} of these; was the file written to, or does a worker find another "
            f"file at the same path?"
        )
