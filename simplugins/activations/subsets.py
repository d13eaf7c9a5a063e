# SPDX-License-Identifier: Apache-2.0
"""Selection of a subset of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays


def choose_inputs(count: int, subset: Any, seed: int = 0) -> NDArray[np.int64]:
    """Return the indices of a subset of inputs.

    Parameters
    ----------
    count : int
        Number of inputs.
    subset : int or sequence of int
        The number of inputs to draw at random without replacement, or indices in any order.
    seed : int, default 0
        Seed of the random draw.

    Returns
    -------
    (n,) int64 array
        Indices; sorted if drawn at random.

    Raises
    ------
    ValueError
        If an index does not exist or is repeated.

    Examples
    --------
    >>> choose_inputs(5, [4, 0])
    array([4, 0])
    >>> len(choose_inputs(1000, 20))
    20
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    values = arrays.small_numpy(subset)
    if values.size and (values.dtype.kind not in "iu" or values.ndim > 1):
        raise ValueError(f"subset must be a number of inputs to draw, or a list of indices; got {subset!r}")
    if values.ndim == 0:
        if not 0 < values <= count:
            raise ValueError(f"subset: cannot draw {values} of {count} inputs")
        return np.sort(np.random.default_rng(seed).choice(count, int(values), replace=False))
    if values.size == 0 or values.min() < 0 or values.max() >= count:
        raise ValueError(f"subset: expected indices from 0 to {count - 1}, got {values[:10].tolist()}")
    indices, repetitions = np.unique(values, return_counts=True)
    if (repetitions > 1).any():
        raise ValueError(f"subset: input {indices[repetitions > 1][0]} is repeated")
    return values.astype(np.int64)
