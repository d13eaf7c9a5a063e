# SPDX-License-Identifier: Apache-2.0
"""Addresses of memmaps, Zarr arrays and HDF5 datasets, from which another process can open the same array."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.arrays import is_lazy, memmap_of
from simplugins._common.reversed_datasets import ReversedDataset


class Address(ABC):
    """The location of an array on disk."""

    @abstractmethod
    def open(self) -> Any:
        """Open the array."""


def address_of(array: Any) -> Address | None:
    """Return the location of an array on disk; None if it is in memory or cannot be opened twice."""
    if isinstance(array, np.ndarray):
        return _address_of_memmap(array)
    if isinstance(array, ReversedDataset):
        dataset = _address_of_dataset(array.dataset)
        return None if dataset is None else _Reversed(dataset)
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

        return zarr.open_array(self.path, path=self.name, mode="r")  # unlike the array itself, checks that it exists


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


@dataclass(frozen=True)
class _Reversed(Address):
    dataset: _Dataset

    def open(self) -> Any:
        return ReversedDataset(self.dataset.open())


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
    """Return the location of a memmap, or of a part of one that is contiguous in its file."""
    mapped = memmap_of(array)
    if mapped is None or mapped.filename is None or not array.flags.c_contiguous:
        return None
    start = array.__array_interface__["data"][0] - mapped.__array_interface__["data"][0]
    return _Memmap(str(mapped.filename), array.dtype, array.shape, mapped.offset + start)
