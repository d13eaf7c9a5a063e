# SPDX-License-Identifier: Apache-2.0
"""Launches the CUDA kernel that sums the largest entries of rows and of columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.programs import STATIC_BYTES, Program, capacity_for

_NULL = np.uintp(0)
_MAX_WARPS = 4
_MAX_SLOTS = 8


@dataclass(frozen=True)
class ReductionProgram(Program):
    """The program of max_sim.cu."""

    @property
    def functions(self) -> tuple[str, ...]:
        """Name of the function to launch."""
        return ("sum_maxima",)

    @property
    def resident(self) -> int:
        """Number of blocks that must fit a multiprocessor."""
        return 16 // self.warps

    def shared_bytes(self, largest: int) -> int:
        """Return the dynamic shared memory per block, for problems with up to `largest` rows."""
        return (capacity_for(largest) + 32 * self.slots * self.warps) * self.real.itemsize


def reduction_program(largest: int, dtype: np.dtype[np.floating]) -> ReductionProgram:
    """Return the program for problems with up to `largest` rows or columns of a type."""
    warps = min(_MAX_WARPS, -(-largest // 16))
    slots = min(_MAX_SLOTS, -(-largest // 32))
    return ReductionProgram("max_sim", warps, slots, False, np.dtype(dtype), np.dtype(dtype))


def check_size(device: Device, largest: int, dtype: np.dtype[np.floating]) -> None:
    """Raise a ValueError if problems with up to `largest` rows exceed the shared memory of the device."""
    needed = reduction_program(largest, dtype).shared_bytes(largest) + STATIC_BYTES
    if needed > device.shared_bytes:
        raise ValueError(
            f"sets of {largest} positions need {needed} bytes of shared memory, but {device.name} has "
            f"{device.shared_bytes}: use engine='cpu'"
        )


def sum_maxima(
    device: Device, batch: Batch, *, row_prices: Any = None, column_prices: Any = None, scales: Any = None
) -> Callable[[], NDArray[np.float64]]:
    """Start the sums of the largest entries of each row and of each column, of each problem.

    Parameters
    ----------
    device : Device
    batch : Batch
    row_prices, column_prices : (T,) and (K,) device arrays of the type of the affinities, optional
        Numbers to subtract; see `simplugins.compute.best_affinities.sum_maxima`.
    scales : (B, 3) device array of the type of the affinities, optional

    Returns
    -------
    callable
        Waits for the results and returns them, (2, B): of the rows, and of the columns.
    """
    results = device.empty((2, batch.count), np.dtype(np.float64))
    start(device, batch, results, row_prices=row_prices, column_prices=column_prices, scales=scales)
    return device.download(results)


def start(
    device: Device, batch: Batch, results: Any, *, row_prices: Any = None, column_prices: Any = None, scales: Any = None
) -> None:
    """Start as `sum_maxima`; write the sums to a (2, B) float64 device array."""
    program = reduction_program(batch.largest, np.dtype(batch.affinities.dtype))
    arguments = [
        batch.affinities,
        np.int64(batch.affinities.shape[1]),
        batch.problems,
        np.int32(capacity_for(batch.largest)),
        *(_NULL if array is None else array for array in (row_prices, column_prices, scales)),
        results[0],
        results[1],
    ]
    shared = program.shared_bytes(batch.largest)
    device.launch(program, program.functions[0], batch.count, program.threads, arguments, shared=shared)
