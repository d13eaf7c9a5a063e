# SPDX-License-Identifier: Apache-2.0
"""Emulated devices with separate memory, which compile and run CUDA kernels."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from emulation.compiler import load

GUARD = np.tile(np.array([0xA5, 0xA5, 0xF5, 0xFF], np.uint8), 16)
"""Guard before and after each array: NaN as a number, and unlikely to be written by a CUDA kernel."""


class EmulationError(RuntimeError):
    """A CUDA kernel was launched or behaved in a way that GPUs do not allow."""


class Program(Protocol):
    source: str
    functions: tuple[str, ...]


class EmulatedDevice:
    """Runs CUDA kernels on the CPU, on NumPy arrays.

    Threads take turns if `seed` is 0, and otherwise run in a random order determined by the seed. `memory` is the size
    of device memory in bytes, `arch` the value of `__CUDA_ARCH__`.
    """

    name = "emulated"
    multiprocessors = 4
    shared_bytes = 227 * 1024
    block_threads = 1024

    def __init__(self, *, seed: int = 0, memory: int = 2**30, arch: int = 900):
        self.seed = seed
        self.memory = memory
        self.arch = arch
        self._allocated: dict[int, int] = {}

    def __enter__(self) -> EmulatedDevice:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        """Do nothing, as all work is synchronous; the same holds for `retire` and `release`."""

    retire = release = synchronize

    def free_bytes(self) -> int:
        return self.memory - sum(self._allocated.values())

    def ran_out(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def empty(self, shape, dtype) -> np.ndarray:
        """Return an array whose bytes are all 0xFF: NaN or -1."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > self.free_bytes():
            raise MemoryError(f"{size} bytes do not fit: {self.free_bytes()} of {self.memory} are free")
        allocation = np.full(size + 2 * GUARD.size, 0xFF, np.uint8)
        allocation[: GUARD.size] = allocation[-GUARD.size :] = GUARD
        self._allocated[id(allocation)] = size
        weakref.finalize(allocation, self._allocated.pop, id(allocation))
        return allocation[GUARD.size : -GUARD.size].view(dtype).reshape(shape)

    def upload(self, array: np.ndarray) -> np.ndarray:
        """Return a C-contiguous copy on the device; return device arrays as they are."""
        if self._owns(array) and array.flags.c_contiguous:
            return array
        copy = self.empty(array.shape, array.dtype)
        copy[...] = array
        return copy

    def download(self, array: np.ndarray) -> Callable[[], np.ndarray]:
        """Copy immediately, and return a function that returns the copy."""
        copy = array.copy()
        return lambda: copy

    def multiply(self, rows: np.ndarray, columns: np.ndarray, out: np.ndarray, precision: str) -> None:
        """Write the inner products of all rows with all columns, computed in the type of the result."""
        if precision not in ("float32", "float64", "float16x3", "tf32"):
            raise ValueError(f"unknown precision {precision!r}")
        np.matmul(rows.astype(out.dtype, copy=False), columns.astype(out.dtype, copy=False).T, out=out)

    def launch(
        self, program: Program, function: str, grid: int, block: int, arguments: Sequence[object], shared: int = 0
    ) -> None:
        """Run a function of the program on arrays of this device and NumPy scalars."""
        if function not in program.functions:
            raise EmulationError(f"the program has no function {function!r}")
        self._check_configuration(function, grid, block, shared)
        library = load(program.source, program.functions, self.arch)
        values = [self._value(argument) for argument in arguments]
        check_types(function, values, getattr(library, f"signature_{function}")())
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
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

    def _owns(self, array: object) -> bool:
        return isinstance(array, np.ndarray) and id(array.base) in self._allocated

    def _value(self, argument: object) -> np.ndarray:
        """Return the value of a parameter as a zero-dimensional array."""
        if isinstance(argument, np.generic):
            return np.asarray(argument)
        if self._owns(argument):
            return np.asarray(np.uintp(argument.ctypes.data))
        raise TypeError(f"arguments must be arrays of this device or NumPy scalars, got {type(argument).__name__}")

    def _check_guards(self, function: str, arguments: Sequence[object]) -> None:
        for position, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray):
                for side, guard in (("before", argument.base[: GUARD.size]), ("after", argument.base[-GUARD.size :])):
                    if not np.array_equal(guard, GUARD):
                        guard[:] = GUARD
                        raise EmulationError(f"{function}: wrote {side} the array of argument {position}")


def check_types(function: str, values: Sequence[np.ndarray], signature: bytes) -> None:
    expected = [np.dtype(letter) for letter in signature.decode()]
    dtypes = [value.dtype for value in values]
    if dtypes != expected:
        raise TypeError(f"{function} takes ({', '.join(map(str, expected))}), got ({', '.join(map(str, dtypes))})")


class LateDevice(EmulatedDevice):
    """Delays all work except uploads for as long as a GPU may: until a result is awaited, or all work.

    Uploads overtake other work, as if they had a separate stream. They reuse the memory of unreferenced uploads, after
    the work that was queued before the last `retire`.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self._waiting: deque[Callable[[], object]] = deque()
        self._started = self._finished = self._retired = 0
        self._unused: list[np.ndarray] = []

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

    def release(self) -> None:
        self._finish(self._started)
        self._unused.clear()

    def upload(self, array: np.ndarray) -> np.ndarray:
        if self._owns(array) and array.flags.c_contiguous:
            return array
        self._finish(self._retired)
        fitting = [k for k, memory in enumerate(self._unused) if memory.nbytes >= array.nbytes]
        memory = self._unused.pop(fitting[0]) if fitting else self.empty(array.nbytes, np.uint8)
        copy = memory[: array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        weakref.finalize(copy, self._unused.append, memory)
        return copy

    def multiply(self, rows, columns, out, precision) -> None:
        self._later(partial(super().multiply, rows.view(), columns.view(), out.view(), precision))

    def launch(self, program, function, grid, block, arguments, *, shared=0) -> None:
        views = [argument.view() if isinstance(argument, np.ndarray) else argument for argument in arguments]
        self._later(partial(super().launch, program, function, grid, block, views, shared=shared))

    def download(self, array: np.ndarray) -> Callable[[], np.ndarray]:
        copies: list[np.ndarray] = []
        source = array.view()
        last = self._later(lambda: copies.append(source.copy()))

        def fetch() -> np.ndarray:
            self._finish(last)
            return copies[0]

        return fetch
