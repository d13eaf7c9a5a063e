# SPDX-License-Identifier: Apache-2.0
"""An emulated GPU with its own memory, which compiles and runs CUDA kernels on the CPU."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from emulation.compiler import load
from emulation.tensor_cores import tensor_core_product

GUARD = np.tile(np.array([0xA5, 0xA5, 0xF5, 0xFF], np.uint8), 16)
"""Bytes before and after each array: NaN if read as numbers, and unlikely to be written by a CUDA kernel."""


class _Array(ctypes.Structure):
    """An array, as global_memory.h declares it."""

    _fields_ = (
        ("start", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("written", ctypes.c_void_p),
        ("guard_bytes", ctypes.c_size_t),
        ("argument", ctypes.c_int),
    )


class EmulationError(RuntimeError):
    """A CUDA kernel was launched, or behaved, in a way that a GPU does not allow."""


class Program(Protocol):
    source: str
    functions: tuple[str, ...]


class EmulatedDevice:
    """A device that runs CUDA kernels on the CPU; its arrays are NumPy arrays.

    Threads take turns if `seed` is 0; otherwise the seed determines a random order. `memory` is the size of the
    device's memory in bytes, `arch` the value of `__CUDA_ARCH__`. If `checked`, all accesses to memory are checked; see
    `compiler.load`.
    """

    name = "emulated"
    multiprocessors = 4
    shared_bytes = 227 * 1024
    block_threads = 1024
    tensor_cores = True

    def __init__(self, *, seed: int = 0, memory: int = 2**30, arch: int = 900, checked: bool = False) -> None:
        self.seed = seed
        self.checked = checked
        self.memory = memory
        self.arch = arch
        self._allocated: dict[int, int] = {}
        self._written: dict[int, NDArray[np.uint8]] = {}

    def __enter__(self) -> EmulatedDevice:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        """Do nothing: every operation is complete when it returns."""

    retire = settle = release = synchronize

    def lane(self, number: int) -> AbstractContextManager[None]:
        return nullcontext()

    def free_bytes(self) -> int:
        return self.memory - sum(self._allocated.values())

    def ran_out(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array whose bytes are all 0xFF: NaN, or -1."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > self.free_bytes():
            raise MemoryError(f"{size} bytes do not fit: {self.free_bytes()} of {self.memory} are free")
        allocation = np.full(size + 2 * GUARD.size, 0xFF, np.uint8)
        allocation[: GUARD.size] = allocation[-GUARD.size :] = GUARD
        self._allocated[id(allocation)] = size
        weakref.finalize(allocation, self._allocated.pop, id(allocation))
        if self.checked:
            self._written[id(allocation)] = np.zeros(size, np.uint8)
            weakref.finalize(allocation, self._written.pop, id(allocation))
        return np.asarray(allocation[GUARD.size : -GUARD.size].view(dtype).reshape(shape))

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a C-contiguous copy on the device, or the array itself if it is one."""
        if self._owns(array) and array.flags.c_contiguous:
            return array
        copy = self.empty(array.shape, array.dtype)
        copy[...] = array
        self._mark_written(copy)
        return copy

    def _mark_written(self, array: NDArray[Any]) -> None:
        """Note that the memory of an array is written, even where it is still all ones."""
        if self.checked:
            allocation: Any = array.base
            start = array.ctypes.data - allocation.ctypes.data - GUARD.size
            self._written[id(allocation)][start : start + array.nbytes] = 1

    def download(self, array: NDArray[Any]) -> Callable[[], NDArray[Any]]:
        """Copy now, in the order of the stream; return a function that returns the copy."""
        copy = array.copy()
        return lambda: copy

    def fetch(self, array: NDArray[Any], into: NDArray[Any]) -> None:
        """Copy to a host array."""
        if array.shape != into.shape or array.dtype != into.dtype or not into.flags.c_contiguous:
            raise TypeError(f"expected a host array of shape {array.shape} and type {array.dtype}")
        into[...] = self.download(array)()

    def multiply(self, rows: NDArray[Any], columns: NDArray[Any], out: NDArray[Any], precision: str) -> None:
        """Write the inner products of all rows and all columns, summed in the type of `out` or as tensor cores do."""
        if precision not in ("float32", "float64", "float16x3"):
            raise ValueError(f"unknown precision {precision!r}")
        if precision == "float16x3":
            tensor_core_product(rows, columns, out)
            return
        np.matmul(rows.astype(out.dtype, copy=False), columns.astype(out.dtype, copy=False).T, out=out)

    def sum_squares(
        self, matrix: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[Any]
    ) -> None:
        """Write the sums of the squares of blocks."""
        out[:] = np.add.reduceat(np.add.reduceat(matrix**2, rows[:-1], 0), columns[:-1], 1)

    def raise_to(self, array: NDArray[Any], floor: float) -> None:
        """Raise all numbers of an array to a floor, in place."""
        np.maximum(array, array.dtype.type(floor), out=array)

    def launch(
        self, program: Program, function: str, grid: int, block: int, arguments: Sequence[object], shared: int = 0
    ) -> None:
        """Run `function` of the program; arguments are arrays of this device and NumPy scalars."""
        if function not in program.functions:
            raise EmulationError(f"the program has no function {function!r}")
        self._check_configuration(function, grid, block, shared)
        library = load(program.source, program.functions, self.arch, checked=self.checked)
        values = [self._value(argument) for argument in arguments]
        check_types(function, values, getattr(library, f"signature_{function}")())
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        arrays = self._checked_arrays(arguments)
        library.emulation_arrays(arrays, len(arrays))
        if getattr(library, f"launch_{function}")(grid, block, shared, addresses, self.seed):
            raise EmulationError(f"{function}: {library.emulation_error().decode()}")
        self._check_guards(function, arguments)

    def _check_configuration(self, function: str, grid: int, block: int, shared: int) -> None:
        if not 0 < grid < 2**31:
            raise EmulationError(f"{function}: invalid configuration: {grid} blocks")
        if not 0 < block <= self.block_threads or block % 32:
            raise EmulationError(f"{function}: invalid configuration: {block} threads in a block")
        if not 0 <= shared <= self.shared_bytes:
            raise EmulationError(f"{function}: invalid configuration: {shared} bytes of shared memory")

    def _checked_arrays(self, arguments: Sequence[object]) -> ctypes.Array[_Array]:
        """Return the arrays that a launch may access, if accesses are checked.

        What the host writes is not observed, but memory that is not all ones must have been written.
        """
        arrays = dict[int, _Array]()
        for position, argument in enumerate(arguments if self.checked else ()):
            if isinstance(argument, np.ndarray):
                allocation: Any = argument.base
                written, size = self._written[id(allocation)], allocation.size - 2 * GUARD.size
                words = np.zeros(-(-size // 4) * 4, bool)
                words[:size] = allocation[GUARD.size : GUARD.size + size] != 0xFF
                written |= np.repeat(words.reshape(-1, 4).any(1), 4)[:size]
                start = allocation.ctypes.data + GUARD.size
                arrays.setdefault(start, _Array(start, size, written.ctypes.data, GUARD.size, position))
        listed: ctypes.Array[_Array] = (_Array * len(arrays))(*arrays.values())
        return listed

    def _owns(self, array: object) -> bool:
        return isinstance(array, np.ndarray) and id(array.base) in self._allocated

    def _value(self, argument: object) -> NDArray[Any]:
        """Return the value of a kernel parameter, as an array without dimensions."""
        if isinstance(argument, np.generic):
            return np.asarray(argument)
        if isinstance(argument, np.ndarray) and self._owns(argument):
            return np.asarray(np.uintp(argument.ctypes.data))
        raise TypeError(f"arguments must be arrays of this device or NumPy scalars, got {type(argument).__name__}")

    def _check_guards(self, function: str, arguments: Sequence[object]) -> None:
        for position, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray):
                allocation: Any = argument.base
                for side, guard in (("before", allocation[: GUARD.size]), ("after", allocation[-GUARD.size :])):
                    if not np.array_equal(guard, GUARD):
                        guard[:] = GUARD
                        raise EmulationError(f"{function}: wrote {side} the array of argument {position}")


def check_types(function: str, values: Sequence[NDArray[Any]], signature: bytes) -> None:
    expected = [np.dtype(letter) for letter in signature.decode()]
    got = [value.dtype for value in values]
    if got != expected:
        raise TypeError(f"{function} takes ({', '.join(map(str, expected))}), got ({', '.join(map(str, got))})")


class LateDevice(EmulatedDevice):
    """A device that does everything except uploads as late as a GPU may: when the host waits for a result.

    Everything is done in order, in lanes as well. Uploads run ahead, as on a stream of their own. They reuse the memory
    of earlier uploads that are no longer referenced, after the work that was pending at the last `retire` is complete.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._waiting: deque[Callable[[], object]] = deque()
        self._started = self._finished = self._retired = 0
        self._unused: list[NDArray[Any]] = []

    def _later(self, work: Callable[[], object]) -> int:
        self._waiting.append(work)
        self._started += 1
        return self._started

    def _finish(self, last: int) -> None:
        while self._finished < last:
            self._waiting.popleft()()
            self._finished += 1

    def retire(self) -> None:
        self._retired = self._started

    def settle(self) -> None:
        self._finish(self._started)

    def free_bytes(self) -> int:
        """Return the number of bytes that are free or kept for later arrays, as CuPy's pool counts them."""
        return super().free_bytes() + self._kept_bytes()

    def _kept_bytes(self) -> int:
        return sum(memory.nbytes for memory in self._unused)

    def release(self) -> None:
        self._finish(self._started)
        self._unused.clear()

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        if self._owns(array) and array.flags.c_contiguous:
            return array
        self._finish(self._retired)
        fitting = [k for k, memory in enumerate(self._unused) if memory.nbytes >= array.nbytes]
        memory = self._unused.pop(fitting[0]) if fitting else self.empty(array.nbytes, np.uint8)
        copy = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        self._mark_written(copy)
        weakref.finalize(copy, self._unused.append, memory)
        return copy

    def multiply(self, rows: NDArray[Any], columns: NDArray[Any], out: NDArray[Any], precision: str) -> None:
        self._later(partial(super().multiply, view_of(rows), view_of(columns), view_of(out), precision))

    def sum_squares(
        self, matrix: NDArray[Any], rows: NDArray[np.int64], columns: NDArray[np.int64], out: NDArray[Any]
    ) -> None:
        self._later(partial(super().sum_squares, view_of(matrix), rows, columns, view_of(out)))

    def raise_to(self, array: NDArray[Any], floor: float) -> None:
        self._later(partial(super().raise_to, view_of(array), floor))

    def launch(
        self, program: Program, function: str, grid: int, block: int, arguments: Sequence[object], shared: int = 0
    ) -> None:
        views = [view_of(argument) if isinstance(argument, np.ndarray) else argument for argument in arguments]
        self._later(partial(super().launch, program, function, grid, block, views, shared))

    def download(self, array: NDArray[Any]) -> Callable[[], NDArray[Any]]:
        copies: list[NDArray[Any]] = []
        source = view_of(array)
        last = self._later(lambda: copies.append(source.copy()))

        def fetch() -> NDArray[Any]:
            self._finish(last)
            return copies[0]

        return fetch


def view_of(array: NDArray[Any]) -> NDArray[Any]:
    """Return another array with the same memory, so that the queue does not keep an array from being let go."""
    allocation: Any = array
    while isinstance(allocation.base, np.ndarray):
        allocation = allocation.base
    offset = array.ctypes.data - allocation.ctypes.data
    return np.ndarray(array.shape, array.dtype, allocation, offset, array.strides)
