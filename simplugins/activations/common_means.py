# SPDX-License-Identifier: Apache-2.0
"""The dtype to compute in for inputs with so much in common, such as a large mean, that float32 loses the rest."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins.activations.blocks import chunks
from simplugins.activations.reader_protocol import Reader
from simplugins.activations.scaling import LEAST_SPREAD


def sufficient_dtype(
    reader: Reader,
    positions: NDArray[np.int64],
    channels: int,
    dtype: np.dtype[np.floating],
    spread: float,
    *,
    by_input: bool,
) -> np.dtype[np.floating]:
    """Return float64, or `dtype` if all inputs are equal; warn if even float64 cannot distinguish the inputs.

    Parameters
    ----------
    reader, positions, channels, dtype
        As for `simplugins.activations.blocks.measure_norms`.
    spread : float
        The share of squared norms that the inputs do not have in common along the direction of their mean. If it is
        very small, all inputs are read once more.
    by_input : bool
        Whether to compare inputs; otherwise single vectors, for inputs with unequal numbers of them.
    """
    if spread > LEAST_SPREAD[np.dtype(np.float64)]:
        return np.dtype(np.float64)
    steps = _steps(reader, positions, channels, by_input=by_input)
    if not steps.any():
        return dtype
    typical = float(np.median(steps[steps > 0]))  # equal inputs need no precision
    if typical < LEAST_SPREAD[np.dtype(np.float64)]:
        warnings.warn(
            f"the inputs have so much in common, such as a large mean, that they differ by only {np.sqrt(typical):.1g} "
            f"of their size: too little even for float64. Subtract what they have in common, such as the mean over all "
            f"inputs, first",
            RuntimeWarning,
            stacklevel=2,
        )
    return np.dtype(np.float64)


def _steps(reader: Reader, positions: NDArray[np.int64], channels: int, *, by_input: bool) -> NDArray[np.float64]:
    """Return the squared distance of each row to the row before it, relative to the squared norm of the larger one."""
    parts, last = [], None
    for start, stop in chunks(positions, channels):
        vectors = arrays.to_numpy(reader(start, stop).vectors, np.dtype(np.float64))
        rows = vectors.reshape(stop - start, -1) if by_input else vectors
        rows = rows if last is None else np.concatenate([last, rows])
        largest = np.abs(rows).max() or 1.0
        rows, last = rows / largest, rows[-1:]
        squares = np.square(rows).sum(1)
        sizes = np.maximum(squares[1:], squares[:-1])
        distances = np.square(np.diff(rows, axis=0)).sum(1)
        parts.append(np.divide(distances, sizes, out=np.zeros(len(sizes)), where=sizes > 0))
    return np.concatenate(parts)
