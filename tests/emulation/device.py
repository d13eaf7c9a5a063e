# SPDX-License-Identifier: Apache-2.0
"""A device in the manner of a GPU: memory of its own, and kernels that it compiles and runs."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from emulation.compiler import load

GUARD = np.tile(np.array([0xA5, 0xA5, 0xF5, 0xFF], np.uint8), 16)
"""Lies before and after each array: NaN as numbers, and hardly ever written by a kernel."""


class EmulationError(RuntimeError):
    """A kernel was launched or behaved in a way that a GPU does not allow."""


@dataclass(frozen=True)
class Split:
    """Vectors as high, low and again high or low parts of float16, side by side, times two to a power."""

    parts: np.ndarray
    exponent: int


class Program(Protocol):
    source: str
    functions: tuple[str, ...]


class EmulatedDevice:
    """Runs kernels on the CPU; its arrays are NumPy's.

    Threads take turns where `seed` is 0 and else run in a random order that the seed determines. `memory` is how many
    bytes the device has, `arch` the value of `__CUDA_ARCH__`.
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
        """Nothing is ever under way: nor is there anything to retire or release."""

    retire = release = synchronize

    def free_bytes(self) -> int:
        return self.memory - sum(self._allocated.values())

    def empty(self, shape, dtype) -> np.ndarray:
        """An array whose bytes are all 0xFF: NaN, or -1."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > self.free_bytes():
            from simplugins.engines.cuda.device import DeviceMemoryError

            raise DeviceMemoryError(f"{size} bytes do not fit: {self.free_bytes()} of {self.memory} are free")
        allocation = np.full(size + 2 * GUARD.size, 0xFF, np.uint8)
        allocation[: GUARD.size] = allocation[-GUARD.size :] = GUARD
        self._allocated[id(allocation)] = size
        weakref.finalize(allocation, self._allocated.pop, id(allocation))
        return allocation[GUARD.size : -GUARD.size].view(dtype).reshape(shape)

    def upload(self, array: np.ndarray) -> np.ndarray:
        """A C-contiguous copy on the device, or an array that is one already."""
        if self._owns(array) and array.flags.c_contiguous:
            return array
        copy = self.empty(array.shape, array.dtype)
        copy[...] = array
        return copy

    def download(self, array: np.ndarray) -> Callable[[], np.ndarray]:
        """Copy now, as a stream would in its order; the function that is returned gives the copy."""
        copy = array.copy()
        return lambda: copy

    def operand(self, vectors: np.ndarray, precision: str, *, columns: bool) -> np.ndarray | Split:
        """What `multiply` takes, in memory of the device."""
        if precision == "float16x3":
            return self._split(vectors, columns)
        if precision == "float64" and vectors.dtype != np.float64:
            return self.upload(vectors.astype(np.float64))
        return vectors

    def _split(self, vectors: np.ndarray, columns: bool) -> Split:
        exponent = 4 - int(np.frexp(np.abs(vectors).max(initial=0))[1])
        scaled = np.ldexp(vectors, exponent)
        high = scaled.astype(np.float16)
        low = (scaled - high).astype(np.float16)
        return Split(self.upload(np.hstack([high, low, high] if columns else [high, high, low])), exponent)

    def multiply(self, rows: np.ndarray | Split, columns: np.ndarray | Split, out: np.ndarray, precision: str) -> None:
        """Write the products of all rows with all columns, operands both, as precise as a GPU would compute them."""
        if precision in ("float32", "float64"):
            np.matmul(rows, columns.T, out=out)
        elif precision == "tf32":
            np.matmul(rounded_to_tf32(rows), rounded_to_tf32(columns).T, out=out)
        elif precision == "float16x3":
            product = rows.parts.astype(np.float32) @ columns.parts.astype(np.float32).T
            np.ldexp(product, -(rows.exponent + columns.exponent), out=out)
        else:
            raise ValueError(f"precision must be 'float32', 'float64', 'float16x3' or 'tf32', got {precision!r}")

    def launch(
        self, program: Program, function: str, grid: int, block: int, arguments: Sequence[object], shared: int = 0
    ) -> None:
        """Run `function` of the program; arguments are arrays of this device and NumPy scalars."""
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
        """What the kernel's parameter holds, as an array without dimensions."""
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
    got = [value.dtype for value in values]
    if got != expected:
        raise TypeError(f"{function} takes ({', '.join(map(str, expected))}), got ({', '.join(map(str, got))})")


def rounded_to_tf32(array: np.ndarray) -> np.ndarray:
    """Round to 10 bits of mantissa, ties to even."""
    bits = array.astype(np.float32).view(np.uint32)
    odd = bits >> np.uint32(13) & np.uint32(1)
    return ((bits + np.uint32(0xFFF) + odd) & np.uint32(0xFFFFE000)).view(np.float32)
