# SPDX-License-Identifier: Apache-2.0
"""Reads the headers of .npy files, checked before memory is allocated. Pickled objects are never read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import numpy as np

_MAGIC = b"\x93NUMPY"
_MOST_BYTES = 10_000
"""The longest header that NumPy reads by default."""

_VERSIONS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
"""For each version of the format, the bytes of the field that holds the header's length, and NumPy's reader."""


@dataclass(frozen=True)
class NpyHeader:
    """The header of a .npy file.

    Attributes
    ----------
    shape : tuple of int
    fortran_order : bool
    dtype : numpy dtype
    offset : int
        The byte at which the values begin.
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        """The declared bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check_size(self, size: int) -> None:
        """Raise a ValueError if a file of `size` bytes does not hold exactly the declared values."""
        if self.offset + self.nbytes != size:
            raise ValueError(
                f"its header declares {self.dtype} values of shape {self.shape}, {self.nbytes} bytes, but it holds "
                f"{size - self.offset}"
            )


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Read the header at the beginning of a .npy file, and nothing further.

    Raises
    ------
    ValueError
        If it is not a .npy header, is longer than NumPy's, or declares objects, records or impossible dimensions.
    """
    start = file.read(len(_MAGIC) + 2)
    if start[:-2] != _MAGIC or len(start) != len(_MAGIC) + 2:
        raise ValueError("it is not in NumPy's .npy format")
    version = start[-2], start[-1]
    if version == (3, 0):
        raise ValueError("it holds records (a structured type), expected plain numbers or text")
    if version not in _VERSIONS:
        raise ValueError(f"unknown version {version[0]}.{version[1]} of the .npy format")
    width, read = _VERSIONS[version]
    field = file.read(width)
    length = int.from_bytes(field, "little")
    if length > _MOST_BYTES:
        raise ValueError(f"its header has {length} bytes, expected at most {_MOST_BYTES}")
    text = file.read(length)
    if len(field) != width or len(text) != length:
        raise ValueError("it ends within its header")
    try:
        shape, fortran_order, dtype = read(BytesIO(field + text))
    except Exception as error:  # NumPy evaluates the header as a Python literal, which fails in many ways
        raise ValueError(f"its header is damaged: {error}") from error
    _check_type(dtype)
    if any(size < 0 for size in shape):
        raise ValueError(f"its header declares shape {shape}, with a negative dimension")
    return NpyHeader(shape, fortran_order, dtype, len(start) + width + length)


def _check_type(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if dtype.names is not None or dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError(f"it holds records of type {dtype}, expected plain numbers or text")
