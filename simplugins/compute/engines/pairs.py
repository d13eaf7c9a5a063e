# SPDX-License-Identifier: Apache-2.0
"""What every engine does with pairs of inputs: check that they can be compared, and complete the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.engines.result import AlignedProducts
from simplugins.matching.matcher import Matcher


def check_pair(x: Activations, y: Activations, matcher: Matcher) -> None:
    """Check that inputs of two sets can be matched with each other.

    Raises
    ------
    ValueError
        If channels differ, or a positionwise matcher meets unequal numbers of positions.
    """
    if x.channels != y.channels:
        raise ValueError(f"concept vectors must have equal channels to be compared: got {x.channels} and {y.channels}")
    if matcher.positionwise:
        counts = np.unique(np.concatenate([x.positions, y.positions]))
        if counts.size > 1:
            raise ValueError(
                f"matching {matcher.name!r} pairs position s with position s, so all inputs need equally many: got "
                f"{counts[0]} to {counts[-1]} positions; a semantic measure compares sets of different sizes"
            )


def complete(
    x: Activations,
    y: Activations | None,
    values: NDArray[np.float64],
    gap: NDArray[np.float64] | None,
    rounding: float,
    **made: str,
) -> AlignedProducts:
    """Undo the scaling of extreme inputs, and, if `y` is None, complete matrices whose upper triangles are filled."""
    other = x if y is None else y
    if x.exponents.any() or other.exponents.any():
        values = np.ldexp(values, x.exponents[:, None] + other.exponents[None, :])
    if y is None:
        for matrix, diagonal in ((values, x.squared_norms), (gap, 0.0)):
            if matrix is not None:
                mirror(matrix)
                np.fill_diagonal(matrix, diagonal)
    return AlignedProducts(values, rounding, gap, made)


def mirror(matrix: NDArray[np.float64]) -> None:
    """Copy the upper triangle to the lower, row by row: no second matrix is made."""
    for i in range(len(matrix)):
        matrix[i:, i] = matrix[i, i:]


def relative_gap(values: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(upper - value) / |upper|``, infinite where the bound is 0 and the value is not."""
    missing = np.maximum(upper - values, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(missing == 0, 0.0, missing / np.abs(upper))
