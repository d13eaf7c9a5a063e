# SPDX-License-Identifier: Apache-2.0
"""Subsets of inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays


def choose_inputs(count: int, subset: Any, seed: int = 0) -> NDArray[np.int64]:
    """Return which inputs belong to a subset.

    Parameters
    ----------
    count : int
        How many there are.
    subset : int or sequence of int
        How many to draw at random, each at most once; or their numbers, in the order wanted.
    seed : int, default 0
        Of the random draw.

    Returns
    -------
    (n,) int64 array
        Numbers of inputs; those drawn, in their order.

    Raises
    ------
    ValueError
        If there are no such inputs, or one is asked for twice.

    Examples
    --------
    >>> choose_inputs(5, [4, 0])
    array([4, 0])
    >>> len(choose_inputs(1000, 20))
    20
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    given = arrays.small_numpy(subset)
    if given.size and (given.dtype.kind not in "iu" or given.ndim > 1):
        raise ValueError(f"subset must be how many inputs to draw, or a list of their numbers; got {subset!r}")
    if given.ndim == 0:
        if not 0 < given <= count:
            raise ValueError(f"subset: cannot draw {given} of {count} inputs")
        return np.sort(np.random.default_rng(seed).choice(count, int(given), replace=False))
    if given.size == 0 or given.min() < 0 or given.max() >= count:
        raise ValueError(f"subset: expected numbers from 0 to {count - 1}, got {given[:10].tolist()}")
    numbers, times = np.unique(given, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"subset: input {numbers[times > 1][0]} is there twice")
    return given.astype(np.int64)
