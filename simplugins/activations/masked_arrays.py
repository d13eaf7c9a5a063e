# SPDX-License-Identifier: Apache-2.0
"""Masked arrays as activations: whole masked positions become a mask."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.layouts import Layout, layout_of
from simplugins.activations.positions import read_mask


def is_masked(array: Any) -> bool:
    """Return whether an array is a masked array, or a Dask array of masked blocks."""
    return isinstance(getattr(array, "_meta", array), np.ma.MaskedArray)


def plain_and_mask(array: Any, layout: str, mask: Any) -> tuple[Any, Any]:
    """Return the data of a masked array, and the mask of the positions to use that are not masked.

    Parameters
    ----------
    array : masked array, or Dask array of masked blocks
    layout : str
        As for `Activations.from_array`.
    mask : bool array or None
        True for positions to use, as for `Activations.from_array`.

    Raises
    ------
    ValueError
        If only some channels of a position are masked and `mask` does not exclude the position, or if an input has no
        positions left.
    """
    shape = tuple(map(int, array.shape))
    axes = layout_of(shape, layout)
    masked, partly = _masked_positions(array, axes)
    data = np.ma.getdata(array) if isinstance(array, np.ma.MaskedArray) else _dask().ma.getdata(array)
    if not (masked.any() or partly.any()):
        return data, mask
    count, positions = masked.shape
    grid = tuple(shape[axis] for axis in axes.positions)
    used = np.ones((count, positions), bool) if mask is None else read_mask(mask, count, positions, axes, grid)
    _check_whole_positions(partly & used, grid)
    remaining = used & ~masked
    if not remaining.any(1).all():
        number = int(np.argmin(remaining.any(1)))
        left_out = "" if mask is None else " or left out"
        raise ValueError(
            f"input {number} has no positions left, because all its values are masked{left_out}: leave the input out "
            f"of the array"
        )
    return data, remaining


def rows_with_values(vectors: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Return the rows of a masked (S, C) set that are not masked.

    Raises
    ------
    ValueError
        If only some channels of a position are masked.
    """
    hidden = np.ma.getmaskarray(vectors)
    masked = hidden.all(1)
    if (partly := hidden.any(1) & ~masked).any():
        raise ValueError(
            f"position {int(np.argmax(partly))} is masked in some channels but not in all: fill the masked values, or "
            f"leave the position out"
        )
    return np.asarray(np.ma.getdata(vectors))[~masked]


def _masked_positions(array: Any, axes: Layout) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the (N, S) masks of positions masked in all channels, and of those masked only in some."""
    if isinstance(array, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(array)
        some, every = hidden.any(axes.channels), hidden.all(axes.channels)
    else:
        hidden = _dask().ma.getmaskarray(array)
        some, every = sys.modules["dask"].compute(hidden.any(axes.channels), hidden.all(axes.channels))
    order = [axis - (axis > axes.channels) for axis in (axes.inputs, *axes.positions)]
    some, every = (np.asarray(flags).transpose(order).reshape(array.shape[axes.inputs], -1) for flags in (some, every))
    return every, some & ~every


def _check_whole_positions(partly: NDArray[np.bool_], sizes: tuple[int, ...]) -> None:
    if not partly.any():
        return
    number, position = (int(axis[0]) for axis in np.nonzero(partly))
    place = ", ".join(str(int(index)) for index in np.unravel_index(position, sizes)) if len(sizes) > 1 else position
    where = f"position {place} of input {number}" if sizes else f"input {number}"
    raise ValueError(
        f"{int(partly.sum())} positions are masked in some channels but not in all, the first of them {where}: "
        f"fill the masked values, or leave the positions out with mask="
    )


def _dask() -> Any:
    return sys.modules["dask.array"]
