# SPDX-License-Identifier: Apache-2.0
"""HDF5 datasets written by MATLAB, with their dimensions in MATLAB's order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False, repr=False)
class ReversedDataset:
    """An HDF5 dataset with its dimensions reversed, read only when it is sliced.

    MATLAB stores arrays in column-major order, so HDF5 lists their dimensions from the last to the first.

    Attributes
    ----------
    dataset : h5py.Dataset
    """

    dataset: Any

    def __repr__(self) -> str:
        return f"<MATLAB array {self.dataset.name!r}: shape {self.shape}, type {self.dtype}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of each dimension, as in MATLAB."""
        return tuple(int(size) for size in self.dataset.shape[::-1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.dataset.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk in the file; None if it has no chunks."""
        return None if self.dataset.chunks is None else tuple(self.dataset.chunks[::-1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Read a part, selected by slices, numbers and at most one list of numbers as in NumPy."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in [part for part in keys if not isinstance(part, np.ndarray)]:
            dots = next(i for i, part in enumerate(keys) if part is Ellipsis)
            keys = (*keys[:dots], *[slice(None)] * (self.ndim - len(keys) + 1), *keys[dots + 1 :])
        keys = (*keys, *[slice(None)] * (self.ndim - len(keys)))
        return np.asarray(self.dataset[keys[::-1]]).T[()]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a dataset can only become a NumPy array by copying: leave out copy=False")
        return np.asarray(self[...], dtype)
