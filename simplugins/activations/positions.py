# SPDX-License-Identifier: Apache-2.0
"""Selection of positions by dropped tokens and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays

_MAPS = ("nchw", "nhwc")


def read_drop_tokens(drop_tokens: int | Sequence[int]) -> NDArray[np.int64] | None:
    """Return the indices of the tokens to drop, given as a count or a list; None if there are none."""
    values = arrays.small_numpy(drop_tokens)
    if values.size == 0:
        return None
    if values.dtype.kind not in "iu" or values.ndim > 1 or (values.ndim == 0 and not 0 <= values < 2**31):
        raise ValueError(
            f"drop_tokens must be the number of leading tokens to drop, or a list of token indices; got {drop_tokens!r}"
        )
    if values.ndim == 0:
        return np.arange(int(values)) if values else None
    return values.astype(np.int64)


def remaining_tokens(dropped: NDArray[np.int64], layout: str, tokens: int) -> NDArray[np.int64]:
    """Return the indices of the remaining tokens, after checking that those to drop exist."""
    if layout != "ntd":
        raise ValueError(f"drop_tokens applies to layout 'ntd' (tokens), not to {layout!r}")
    if dropped.min() < -tokens or dropped.max() >= tokens:
        raise ValueError(f"drop_tokens: cannot drop {dropped[:10].tolist()} from {tokens} tokens")
    return np.delete(np.arange(tokens), dropped)


def read_mask(
    mask: Any, count: int, positions: int, layout: str, map_shape: tuple[int, ...] | None = None
) -> NDArray[np.bool_]:
    """Return a mask as an (N, S) array, after checking its type and shape.

    Parameters
    ----------
    mask : (N, S) bool array, or (N, height, width) for maps
    count, positions : int
        N and S.
    layout : str
    map_shape : (height, width), optional
        The size of the maps; by default any height and width whose product is S are accepted.

    Raises
    ------
    ValueError
        If the mask has another shape or type.
    """
    values = arrays.small_numpy(mask)
    if layout in _MAPS and values.ndim == 3 and map_shape in (None, values.shape[1:]):
        values = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.dtype != np.bool_ or values.shape != (count, positions):
        maps = f" or {(count, *map_shape)}" if map_shape and layout in _MAPS else ""
        raise ValueError(
            f"mask: expected booleans of shape {(count, positions)}{maps}, True for positions to use; "
            f"got {values.dtype} of shape {tuple(np.shape(mask))}"
        )
    return values
