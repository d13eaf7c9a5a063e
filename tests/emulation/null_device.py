# SPDX-License-Identifier: Apache-2.0
"""A GPU that does nothing in no time, and its arrays, to count and time what the host does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device


class Memory:
    """Memory of an array, which returns to the pool of its lane when it is no longer used."""

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool, self.key = pool, (pool.lane, size)

    def __del__(self) -> None:
        self.pool.free[self.key] += 1


class Pool:
    """Counts allocations that earlier memory of the same size and lane cannot serve."""

    def __init__(self) -> None:
        self.free: Counter[tuple[int | None, int]] = Counter()
        self.allocations = 0
        self.lane: int | None = None

    def take(self, size: int) -> Memory:
        if self.free[self.lane, size]:
            self.free[self.lane, size] -= 1
        else:
            self.allocations += 1
        return Memory(self, size)


POOL = Pool()
BUFFER = np.zeros(2**25, np.uint8)
"""Stands for page-locked memory."""


class NullArray:
    """An array without values, with the interface of CuPy's arrays that simplugins uses; on the host, all are equal."""

    device = SimpleNamespace(id=0)
    value = 1.0

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, memory: Memory | None = None) -> None:
        self.shape, self.dtype = tuple(map(int, shape)), np.dtype(dtype)
        self.memory = memory or POOL.take(self.nbytes)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def T(self) -> NullArray:  # noqa: N802
        return self.transpose()

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NullArray]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> NullArray:
        shape = np.broadcast_to(np.int8(0), self.shape)[index].shape
        return NullArray(shape, self.dtype, self.memory)

    def __setitem__(self, index: Any, value: Any) -> None:
        pass

    def reshape(self, *shape: Any) -> NullArray:
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        known = math.prod(size for size in shape if size >= 0)
        return NullArray(tuple(size if size >= 0 else self.size // known for size in shape), self.dtype, self.memory)

    def transpose(self, *axes: Any) -> NullArray:
        order = axes[0] if axes and not isinstance(axes[0], int) else axes or range(self.ndim)[::-1]
        return NullArray(tuple(self.shape[axis] for axis in order), self.dtype, self.memory)

    def astype(self, dtype: DTypeLike, order: str = "K", copy: bool = True) -> NullArray:
        return self if not copy and self.dtype == dtype else NullArray(self.shape, dtype)

    def view(self, dtype: DTypeLike) -> NullArray:
        return NullArray(self.shape, dtype, self.memory)

    def sum(self, axis: int) -> NullArray:
        return NullArray(self.shape[:axis] + self.shape[axis + 1 :], self.dtype)

    def max(self, axis: int) -> NullArray:
        return self.sum(axis)

    def take(self, indices: NullArray, axis: int) -> NullArray:
        return NullArray((*self.shape[:axis], len(indices), *self.shape[axis + 1 :]), self.dtype)

    def __abs__(self) -> NullArray:
        return self._elementwise(self)

    def get(self) -> NDArray[Any]:
        return np.full(self.shape, self.value, self.dtype)

    def __matmul__(self, other: NullArray) -> NullArray:
        return NullArray(self.shape[:-1] + other.shape[1:], self.dtype)

    def _elementwise(self, other: Any) -> NullArray:
        return NullArray(np.broadcast_shapes(self.shape, getattr(other, "shape", ())), self.dtype)

    def __truediv__(self, other: Any) -> NullArray:
        """Return numbers below one, so that the squared lengths of projections are below those of vectors."""
        quotient = self._elementwise(other)
        quotient.value = 0.5
        return quotient

    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = _elementwise


NullArray.__module__ = "cupy"


class NullDevice:
    """A device that does nothing; downloads are zeros."""

    name = "nothing"
    multiprocessors = 132
    shared_bytes = 227 * 1024
    memory = 80 * 2**30
    tensor_cores = True

    def __init__(self, ordinal: int | None = None) -> None:
        pass

    def __enter__(self) -> NullDevice:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextmanager
    def lane(self, number: int) -> Iterator[None]:
        POOL.lane = number
        try:
            yield
        finally:
            POOL.lane = None

    def free_bytes(self) -> int:
        return self.memory

    def ran_out(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def nothing(self, *_: object, **__: object) -> None:
        pass

    retire = settle = release = multiply = sum_squares = raise_to = launch = nothing

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NullArray:
        return NullArray(shape, dtype)

    def upload(self, array: Any) -> NullArray:
        """Copy a host array to a buffer, as the host must on a real GPU."""
        if isinstance(array, NullArray):
            return array
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, flat.size, BUFFER.size):
            part = flat[start : start + BUFFER.size]
            BUFFER[: part.size] = part
        return NullArray(array.shape, array.dtype)

    def download(self, array: NullArray) -> Callable[[], NDArray[Any]]:
        return lambda: np.zeros(array.shape, array.dtype)

    def fetch(self, array: NullArray, into: NDArray[Any]) -> None:
        """Copy from a buffer."""
        flat = into.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, BUFFER.size):
            part = flat[start : start + BUFFER.size]
            part[:] = BUFFER[: part.size]


def _namespace() -> SimpleNamespace:
    """Return the functions of CuPy that simplugins applies to arrays."""

    def same(array: NullArray, *_: Any, **__: Any) -> NullArray:
        return NullArray(array.shape, array.dtype)

    def asarray(array: Any, dtype: DTypeLike | None = None) -> NullArray:
        return array if isinstance(array, NullArray) else NullArray(np.shape(array), dtype or array.dtype)

    def ascontiguousarray(array: NullArray, dtype: DTypeLike) -> NullArray:
        return array if array.dtype == dtype else NullArray(array.shape, dtype)

    def concatenate(parts: Sequence[NullArray], axis: int = 0) -> NullArray:
        shape = list(parts[0].shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return NullArray(tuple(shape), parts[0].dtype)

    def matmul(first: NullArray, second: NullArray) -> NullArray:
        return first @ second

    def row_sums(_: str, array: NullArray, __: NullArray) -> NullArray:
        return array.sum(1)

    return SimpleNamespace(
        ndarray=NullArray,
        empty=lambda shape: NullArray(shape, np.float64),
        zeros=NullArray,
        ones_like=same,
        square=same,
        sqrt=same,
        rint=same,
        frexp=lambda array: (same(array), NullArray(array.shape, np.int32)),
        ldexp=same,
        einsum=row_sums,
        matmul=matmul,
        multiply=lambda *_, out: out,
        maximum=lambda array, _: same(array),
        asarray=asarray,
        ascontiguousarray=ascontiguousarray,
        concatenate=concatenate,
        finfo=np.finfo,
        cuda=SimpleNamespace(Device=lambda number: nullcontext()),
    )


@contextmanager
def null_gpu() -> Iterator[Pool]:
    """Make simplugins find a GPU that does nothing, and yield the pool of its memory."""
    with (
        mock.patch.object(gpu, "why_unusable", return_value=None),
        mock.patch.object(gpu, "cupy", _namespace),
        mock.patch.object(cupy_device, "CupyDevice", NullDevice),
    ):
        yield POOL
