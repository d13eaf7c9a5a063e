# SPDX-License-Identifier: Apache-2.0
"""What the engine needs of a GPU.

The engine and the launcher know a device by this interface alone. `simplugins.compute.engines.cuda.cupy_device` is the
real one; the tests have another, on which the CPU runs the same CUDA kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.engines.cuda.programs import Program

Precision = str
"""How affinities are computed: "float32", "float16x3", "tf32" or "float64".

"float32" and "float64" are what they say. "float16x3" splits each number into two of 16 bits and adds three products of
these in float32; vectors are scaled for that so that their numbers are around 1. "tf32" rounds the factors to 11
significant bits. Tensor cores, which do the last two, add with fewer guard bits than float32 has."""


class DeviceMemoryError(MemoryError):
    """The GPU has not enough free memory."""


class Device(Protocol):
    """A GPU: memory, matrix products and kernels, each done in the order of the calls, and not waited for."""

    name: str
    multiprocessors: int
    shared_bytes: int
    """The most shared memory that a block can have, static and dynamic."""

    def __enter__(self) -> Self:
        """Make it the current device."""

    def __exit__(self, *exception: object) -> None:
        """Go back to the device that was current."""

    def free_bytes(self) -> int:
        """Return how much memory can be allocated."""

    def ran_out(self, error: Exception) -> bool:
        """Tell whether an error means that memory ran out; any call below may raise one."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Return a new array."""

    def upload(self, array: Any) -> Any:
        """Return an array of the host as one of the device, and an array of the device as it is; both C-contiguous."""

    def retire(self) -> None:
        """Let memory of uploaded arrays that are no longer referred to be used again once all work so far is done."""

    def release(self) -> None:
        """Wait for all work, and give back the memory that is kept for later."""

    def download(self, array: Any) -> Callable[[], NDArray[Any]]:
        """Have an array copied to the host as it is now; returns what waits for the copy and returns it."""

    def multiply(self, rows: Any, columns: Any, out: Any, precision: Precision) -> None:
        """Write the inner products of all rows with all columns, as `operands.operand` makes them, to a matrix."""

    def launch(
        self,
        program: Program,
        function: str,
        grid: int,
        block: int,
        arguments: Sequence[Any],
        *,
        shared: int,
    ) -> None:
        """Start a kernel on arrays of the device and NumPy scalars."""
