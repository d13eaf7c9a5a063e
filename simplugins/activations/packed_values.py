# SPDX-License-Identifier: Apache-2.0
"""Values that netCDF's conventions pack: integers with a scale and an offset, and numbers that stand for no value."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.refusals import libraries

_NEUTRAL = {"scale_factor": 1.0, "add_offset": 0.0}
_FILLS = ("_FillValue", "missing_value")
_CHUNK_BYTES = 2**24
_ADVICE = "open the file with xarray.open_dataset or netCDF4, which"


def check_unpacked(array: Any) -> None:
    """Check that the attributes of an array do not say that its values are packed, or some of them missing.

    Parameters
    ----------
    array : array
        Attributes are read from h5py datasets, Zarr arrays and DataArrays of xarray that were opened without decoding.

    Raises
    ------
    ValueError
        If there is a scale or an offset, or a value is one that stands for missing values.
    """
    if not {"h5py", "zarr", "xarray"} & libraries(array):
        return
    attributes = getattr(array, "attrs", {})
    packed = {name: _number(attributes[name]) for name in _NEUTRAL if name in attributes}
    if any(value != _NEUTRAL[name] for name, value in packed.items()):
        stated = ", ".join(f"{name} {value:g}" for name, value in packed.items())
        raise ValueError(f"values are packed, with the attributes {stated}: {_ADVICE} unpack them")
    for name in (name for name in _FILLS if name in attributes):
        fill = _number(attributes[name])
        count = 0 if np.isnan(fill) else sum(int((part == fill).sum()) for part in _parts(array))
        if count:
            raise ValueError(
                f"{count} values are {fill:g}, which the attribute {name} says stands for missing values: {_ADVICE} "
                f"mask them, or leave these inputs out"
            )


def _number(value: Any) -> float:
    """Return a fill value; xarray writes those of floats to Zarr in base 64."""
    if isinstance(value, str):
        try:
            return float(struct.unpack("<d", base64.standard_b64decode(value))[0])
        except (ValueError, struct.error):
            return float("nan")
    return float(np.asarray(value).ravel()[0])


def _parts(array: Any) -> Iterator[NDArray[Any]]:
    rows = int(array.shape[0]) if array.ndim else 1
    step = max(1, _CHUNK_BYTES * rows // max(1, int(np.prod(array.shape)) * int(array.dtype.itemsize)))
    return (np.asarray(array[start : start + step]) for start in range(0, rows, step))
