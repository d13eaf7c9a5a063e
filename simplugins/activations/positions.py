# SPDX-License-Identifier: Apache-2.0
"""Selection of positions by dropped tokens and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays
from simplugins._common.validation import error_prefix
from simplugins.activations.layouts import Layout


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


def remaining_tokens(dropped: NDArray[np.int64], axes: Layout | None, tokens: int) -> NDArray[np.int64]:
    """Return the indices of the remaining tokens, after checking that those to drop exist; axes are None for sets."""
    if axes is None or not axes.has_tokens:
        name = "ragged" if axes is None else axes.name
        raise ValueError(f"drop_tokens applies to layouts with tokens, such as 'ntd', not to {name!r}")
    if dropped.min() < -tokens or dropped.max() >= tokens:
        raise ValueError(f"drop_tokens: cannot drop {dropped[:10].tolist()} from {tokens} tokens")
    return np.delete(np.arange(tokens), dropped)


def read_mask(
    mask: Any, count: int, positions: int, axes: Layout | None, shape: tuple[int, ...] | None = None
) -> NDArray[np.bool_]:
    """Return a mask as an (N, S) array, after checking its type and shape.

    Parameters
    ----------
    mask : (N, S) bool array, or (N, ...) with one dimension per dimension of positions, in the array's order
    count, positions : int
        N and S.
    axes : Layout or None
        The layout of the array; None for sets.
    shape : tuple of int, optional
        The shape of the array; by default any sizes whose product is S are accepted.

    Raises
    ------
    ValueError
        If the mask has another shape or type.
    """
    if isinstance(mask, np.ma.MaskedArray):
        with error_prefix("mask"):
            mask = arrays.unmasked(mask)
    values = arrays.small_numpy(mask)
    expected: list[tuple[int, ...]] = [(count, positions)]
    if axes is not None and len(axes.positions) > 1:
        sizes = values.shape[1:] if shape is None else tuple(shape[axis] for axis in sorted(axes.positions))
        expected.append((count, *sizes))
        if values.shape == (count, *sizes) and values.ndim == len(axes.mask_axes):
            values = values.transpose(axes.mask_axes).reshape(count, math.prod(sizes))
    if values.dtype != np.bool_ or values.shape != (count, positions):
        raise ValueError(
            f"mask: expected booleans of shape {' or '.join(map(str, expected))}, True for positions to use; "
            f"got {values.dtype} of shape {tuple(np.shape(mask))}"
        )
    return values
