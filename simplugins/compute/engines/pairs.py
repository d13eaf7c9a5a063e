# SPDX-License-Identifier: Apache-2.0
"""Common to all engines: checks that two sets of inputs can be matched, and the completion of results."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.job import TileResult
from simplugins.compute.tiling import mirror
from simplugins.matching.matcher import Matcher


def check_pair(x: Activations, y: Activations, matcher: Matcher) -> None:
    """Check that the inputs of two sets can be matched.

    Raises
    ------
    ValueError
        If channels differ, or the matcher is positionwise and numbers of positions differ.
    """
    if x.channels != y.channels:
        raise ValueError(f"concept vectors must have equal channels to be compared: got {x.channels} and {y.channels}")
    if matcher.positionwise:
        counts = np.unique(np.concatenate([x.positions, y.positions]))
        if counts.size > 1:
            raise ValueError(
                f"matching {matcher.name!r} pairs position s with position s, so all inputs need the same number of "
                f"positions, got {counts[0]} to {counts[-1]}; a semantic measure compares sets of different sizes"
            )


def complete(
    x: Activations,
    y: Activations | None,
    values: NDArray[np.float64],
    gap: NDArray[np.float64] | None,
    rounding: float,
    **metadata: str,
) -> TileResult:
    """Undo the scaling of extreme inputs; if `y` is None, complete matrices whose upper triangles are filled."""
    other = x if y is None else y
    if x.exponents.any() or other.exponents.any():
        values = np.ldexp(values, x.exponents[:, None] + other.exponents[None, :])
    if y is None:
        for matrix, diagonal in ((values, x.squared_norms), (gap, 0.0)):
            if matrix is not None:
                mirror(matrix)
                np.fill_diagonal(matrix, diagonal)
    return TileResult(values, rounding, gap, metadata)


def relative_gap(values: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(upper - value) / |upper|``, infinite where the bound is 0 and the value is not."""
    missing = np.maximum(upper - values, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(missing == 0, 0.0, missing / np.abs(upper))
