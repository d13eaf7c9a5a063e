# SPDX-License-Identifier: Apache-2.0
"""Arrays that stay on disk and are read slice by slice: memmaps, Zarr arrays, HDF5 datasets and Dask arrays.

None of their libraries is imported here before the user has: an array's type tells where it comes from.
"""

from __future__ import annotations

import math
import mmap
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KINDS = {("zarr", "Array"), ("h5py", "Dataset"), ("dask", "Array")}


def is_lazy(array: Any) -> bool:
    """Whether an object is an array of Zarr, h5py or Dask: slices of it are read, or computed, when asked for.

    Examples
    --------
    >>> is_lazy(np.ones(3))
    False
    """
    return any((base.__module__.split(".")[0], base.__name__) in _KINDS for base in type(array).__mro__)


def chunk_bytes(array: Any) -> int:
    """Return the bytes of an array's chunks, of Dask's the largest; 0 if it has none."""
    chunks = getattr(array, "chunks", None) if is_lazy(array) else None
    return math.prod(int(np.max(size)) for size in chunks) * int(array.dtype.itemsize) if chunks else 0


class Address(ABC):
    """Where an array lies, so that another process can open it."""

    @abstractmethod
    def open(self) -> Any:
        """Open the array."""


def address_of(array: Any) -> Address | None:
    """Return where an array lies on disk; None if it is in memory, or cannot be opened a second time."""
    if isinstance(array, np.ndarray):
        return _address_of_memmap(array)
    if not is_lazy(array):
        return None
    library = type(array).__module__.split(".")[0]
    if library == "h5py":
        return _address_of_dataset(array)
    return _address_of_zarr(array) if library == "zarr" else None


@dataclass(frozen=True)
class _Zarr(Address):
    path: str
    name: str

    def open(self) -> Any:
        import zarr

        return zarr.open_array(self.path, path=self.name, mode="r")  # which, unlike the array itself, has to be there


def _address_of_zarr(array: Any) -> _Zarr | None:
    root = getattr(array.store, "root", None) if type(array.store).__name__ == "LocalStore" else None
    return None if root is None else _Zarr(os.path.abspath(root), array.path)


@dataclass(frozen=True)
class _Dataset(Address):
    path: str
    name: str

    def open(self) -> Any:
        import h5py

        return h5py.File(self.path, "r")[self.name]


def _address_of_dataset(dataset: Any) -> _Dataset | None:
    file = dataset.file
    if file.mode != "r" or file.driver not in ("sec2", "stdio") or not os.path.isfile(file.filename):
        return None
    return _Dataset(os.path.abspath(file.filename), dataset.name)


@dataclass(frozen=True)
class _Memmap(Address):
    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    def open(self) -> Any:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


def _address_of_memmap(array: NDArray[Any]) -> _Memmap | None:
    """Return where a memmap, or a part of one, lies in its file, if that is contiguous there."""
    mapped = _mapped(array)
    if mapped is None or mapped.filename is None or not array.flags.c_contiguous:
        return None
    beyond = array.__array_interface__["data"][0] - mapped.__array_interface__["data"][0]
    return _Memmap(str(mapped.filename), array.dtype, array.shape, mapped.offset + beyond)


def _mapped(array: Any) -> np.memmap[Any, Any] | None:
    """Return the memmap that an array is a part of, if what is written to it, if anything, goes to the file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return array if array.mode != "c" else None
        array = array.base
    return None


def loaded(part: Any) -> Any:
    """Return a slice of an array that stays on disk, in memory; other arrays as they are.

    The system takes back the memory that a memmap has been read into: what is needed again is read again.
    """
    mapped = _mapped(part)
    if mapped is None:
        return np.asarray(part) if is_lazy(part) else part
    found = np.array(part, subok=False)
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.base.madvise(mmap.MADV_DONTNEED)  # type: ignore[union-attr]
    return found
