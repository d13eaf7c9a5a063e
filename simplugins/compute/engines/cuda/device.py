# SPDX-License-Identifier: Apache-2.0
"""The interface between the GPU engine and a device.

`simplugins.compute.engines.cuda.cupy_device` implements it for real GPUs. The tests have another implementation, which
runs the same CUDA kernels on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Precision = str
"""How affinities are computed: "float32", "float16x3" or "float64".

"float16x3" splits each number into two 16-bit numbers, and sums three products of these on tensor cores, which truncate
sums where float32 rounds them; such that nothing more is lost than in float32 (see `operands.operand`). Vectors are
scaled to fit 16 bits."""


class DeviceMemoryError(MemoryError):
    """The GPU does not have enough free memory."""


class Source(Protocol):
    """CUDA C++ source code."""

    @property
    def source(self) -> str:
        """The complete source."""

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions to launch."""

    def __hash__(self) -> int:
        """Return a hash, since compiled functions are cached."""


class Device(Protocol):
    """A GPU with memory, matrix products and CUDA kernels.

    Calls are asynchronous and execute in order, except in lanes. The memory of an array that is no longer referenced is
    reused by later arrays of the same lane, or by those made outside of lanes if it was. They only wait for earlier
    calls of that lane, or outside of lanes: see `retire`.
    """

    name: str
    multiprocessors: int
    shared_bytes: int
    """Maximum shared memory per block, static and dynamic."""
    tensor_cores: bool
    """Whether three products of float16 numbers are faster than one of float32 numbers."""

    def __enter__(self) -> Self:
        """Make this the current device."""

    def __exit__(self, *exception: object) -> None:
        """Restore the previous device."""

    def lane(self, number: int) -> AbstractContextManager[None]:
        """Execute the calls inside in order, after all earlier ones outside of lanes, but independently of other lanes.

        Lanes are numbered from 0, and do not nest.
        """

    def free_bytes(self) -> int:
        """Return the number of bytes that can be allocated."""

    def ran_out(self, error: Exception) -> bool:
        """Whether an error means that memory ran out; all methods below may raise such errors."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return a new array."""

    def upload(self, array: Any) -> Any:
        """Return a host array copied to the device, C-contiguous; return a device array unchanged.

        Copies overlap with all earlier calls, but use no memory of theirs except as `retire` permits.
        """

    def retire(self) -> None:
        """Make later uploads, and later calls outside of lanes, execute after all earlier calls, in lanes as well.

        They may then reuse the memory of arrays that are no longer referenced, but that earlier calls still use.
        """

    def settle(self) -> None:
        """Keep a bounded amount of cached memory for later computations, and free the rest."""

    def release(self) -> None:
        """Wait for all work, and free cached memory."""

    def download(self, array: Any) -> Callable[[], NDArray[Any]]:
        """Queue a copy of an array to the host; return a function that waits for the copy and returns it."""

    def fetch(self, array: Any, into: NDArray[Any]) -> None:
        """Copy a C-contiguous array to a C-contiguous host array of the same shape and type, and wait for the copy."""

    def multiply(self, rows: Any, columns: Any, out: Any, precision: Precision) -> None:
        """Write the inner products of all rows with all columns to a matrix; both come from `operands.operand`."""

    def sum_squares(self, matrix: Any, rows: NDArray[np.int64], columns: NDArray[np.int64], out: Any) -> None:
        """Write the sums of the squares of blocks of a float64 matrix, which may be overwritten.

        `rows` and `columns` are the (n + 1,) and (m + 1,) bounds of the blocks, and `out` is an (n, m) float64 array.
        """

    def raise_to(self, array: Any, floor: float) -> None:
        """Raise all numbers of an array to a floor, in place."""

    def launch(
        self,
        program: Source,
        function: str,
        grid: int,
        block: int,
        arguments: Sequence[Any],
        *,
        shared: int,
    ) -> None:
        """Start a CUDA kernel on device arrays and NumPy scalars."""
