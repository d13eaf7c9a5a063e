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
from simplugins.activations.named_dimensions import dimension_names, known_letter

_ONE_LETTER = str.maketrans("lsz", "ttd")
"""Names of the same dimension: tokens, times and positions; depth."""


def read_drop_tokens(drop_tokens: int | Sequence[int]) -> NDArray[np.int64] | None:
    """Return the indices of the tokens to drop, given as a count or a list; None if there are none."""
    if isinstance(drop_tokens, str) and drop_tokens == "special":
        raise ValueError("drop_tokens='special' is an option of simplugins.record, which sees the model and its inputs")
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
    mask: Any, count: int, positions: int, axes: Layout | None, grid: tuple[int, ...] | None
) -> NDArray[np.bool_]:
    """Return a mask as an (N, S) array, after checking its type and shape.

    Parameters
    ----------
    mask : (N, S) array, or (N, ...) with one dimension per dimension of positions, in the array's order
        As for `as_booleans`.
    count, positions : int
        N and S.
    axes : Layout or None
        The layout of the array; None for sets.
    grid : tuple of int or None
        Sizes of the dimensions of positions, in the order in which positions are numbered; None if there are none.

    Raises
    ------
    ValueError
        If the mask has another shape or type.
    """
    if axes is not None and not arrays.is_plain(mask) and (names := dimension_names(mask)):
        mask = _in_array_order(mask, names, axes)
    values = as_booleans(mask)
    expected: list[tuple[int, ...]] = [(count, positions)]
    if axes is not None and grid is not None and len(grid) > 1:
        sizes = [grid[axes.mask_axes.index(axis) - 1] for axis in range(1, len(axes.mask_axes))]
        expected.append((count, *sizes))
        if values.shape == (count, *sizes):
            values = values.transpose(axes.mask_axes).reshape(count, math.prod(sizes))
    if values.shape != (count, positions):
        raise ValueError(
            f"mask: expected shape {' or '.join(map(str, expected))}, True or 1 for positions to use; "
            f"got shape {values.shape}"
        )
    return values


def _in_array_order(mask: Any, names: tuple[str, ...], axes: Layout) -> Any:
    """Return a mask whose dimensions have known names with inputs first and positions as in the array."""
    expected = "".join(["n", *(axes.name[axis] for axis in sorted(axes.positions))]).translate(_ONE_LETTER)
    letters = "".join(known_letter(name) or "?" for name in names).translate(_ONE_LETTER)
    if "?" in letters or letters == expected:
        return mask
    if sorted(letters) != sorted(expected):
        raise ValueError(f"mask: expected dimensions of the layout {axes.name!r} but its channels, got {names}")
    return np.asarray(mask).transpose([letters.index(letter) for letter in expected])


def as_booleans(mask: Any, name: str = "mask") -> NDArray[np.bool_]:
    """Return a mask as booleans.

    Parameters
    ----------
    mask : array of bool, or of numbers that are all 0 or 1, such as a tokenizer's attention mask
    name : str
        Its name in error messages.

    Raises
    ------
    TypeError
        If it has masked values.
    ValueError
        If it is not an array, or has other values: 0 and -inf, which are added to attention scores, say nothing about
        positions.

    Examples
    --------
    >>> as_booleans([[1, 1, 0], [1, 0, 0]])
    array([[ True,  True, False],
           [ True, False, False]])
    """
    if isinstance(mask, np.ma.MaskedArray):
        with error_prefix(name):
            mask = arrays.unmasked(mask)
    try:
        values = arrays.small_numpy(mask.float() if arrays.is_torch(mask) and mask.is_floating_point() else mask)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array, got a {type(mask).__name__} that is not one: {error}") from error
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "iuf" or not np.isin(values, (0, 1)).all():
        listed = ", ".join(map(str, np.unique(values)[:3])) if values.dtype.kind in "iuf" else str(values.dtype)
        raise ValueError(f"{name}: expected booleans, or 1 for positions to use and 0 for the others; got {listed}")
    return values.astype(np.bool_)
