# SPDX-License-Identifier: Apache-2.0
"""Launches the CUDA kernels on batches of problems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.programs import STATIC_BYTES, capacity_for, program_for

_NULL = np.uintp(0)


@dataclass(frozen=True)
class Batch:
    """Problems on one matrix of affinities.

    Attributes
    ----------
    affinities : (T, K) device array, C-contiguous, float32 or float64
        They should be finite: with infinities or NaN, results are meaningless, but the CUDA kernels end, and return no
        column twice.
    problems : (B, 4) int64 device array
        First row, end of rows, first column and end of columns of each problem.
    count : int
        B, at least 1.
    largest : int
        The largest number of rows or columns of a problem.
    """

    affinities: Any
    problems: Any
    count: int
    largest: int


@dataclass(frozen=True)
class Solved:
    """Optimal assignments of B problems.

    Attributes
    ----------
    values : (B,) float64 array
        Sums of the matched affinities.
    magnitudes : (B,) float64 array
        Sums of their absolute values.
    upper : (B,) float64 array
        Upper bounds on the value of any assignment, from dual prices.
    """

    values: NDArray[np.float64]
    magnitudes: NDArray[np.float64]
    upper: NDArray[np.float64]


def solve(
    device: Device, batch: Batch, real: np.dtype[np.floating], columns: Any = None, *, floor: float = -np.inf
) -> Callable[[], Solved]:
    """Start the optimal assignment of each problem's rows; no problem may have more rows than columns.

    Parameters
    ----------
    device : Device
    batch : Batch
    real : dtype
        float32 or float64: the type of prices and distances.
    columns : (B, R) int32 device array, optional, written
        The column assigned to each row, counted within its problem; -1 for rows that are unmatched.
    floor : float, default -inf
        Rows assigned to an affinity at or below the floor are unmatched, and their affinities count neither for values
        nor for bounds; no affinity may be below the largest number of the affinities' type that the floor reaches.

    Returns
    -------
    callable
        Waits for the results and returns them.
    """
    results = device.empty((3, batch.count), np.dtype(np.float64))
    start(device, batch, real, results, columns, floor=floor)
    fetch = device.download(results)
    return lambda: Solved(*fetch())


def start(
    device: Device, batch: Batch, real: np.dtype[np.floating], results: Any, columns: Any = None, *, floor: float
) -> None:
    """Start as `solve`; write values, magnitudes and upper bounds to `results`, a (3, B) float64 device array."""
    _launch(device, "assignment", batch, real, [results[0], results[1], results[2]], columns, np.float64(floor))


def match_greedily(device: Device, batch: Batch, columns: Any = None) -> Callable[[], NDArray[np.float64]]:
    """Start the greedy matching of each problem, which may have more rows than columns; arguments as for `solve`.

    Returns
    -------
    callable
        Waits for the values and returns them.
    """
    values = device.empty((batch.count,), np.dtype(np.float64))
    start_greedy(device, batch, values, columns)
    return device.download(values)


def start_greedy(device: Device, batch: Batch, values: Any, columns: Any = None) -> None:
    """Start as `match_greedily`; write the values to a (B,) float64 device array."""
    _launch(device, "greedy", batch, np.dtype(batch.affinities.dtype), [values], columns)


def check_size(device: Device, largest: int, dtype: np.dtype[np.floating]) -> None:
    """Check that problems with up to `largest` rows or columns can be launched at any precision.

    Raises
    ------
    ValueError
        If they exceed the CUDA kernels or the device.
    """
    finest = program_for("assignment", largest, dtype, np.dtype(np.float64))
    needed = finest.shared_bytes(largest) + STATIC_BYTES
    if needed > device.shared_bytes:
        raise ValueError(
            f"sets of {largest} positions need {needed} bytes of shared memory, but {device.name} has "
            f"{device.shared_bytes}: use engine='cpu', or matching='batch-optimal'"
        )


def _launch(
    device: Device,
    kernel: str,
    batch: Batch,
    real: np.dtype[np.floating],
    results: list[Any],
    columns: Any,
    *options: np.generic,
) -> None:
    program = program_for(kernel, batch.largest, np.dtype(batch.affinities.dtype), real)
    arguments = [
        batch.affinities,
        np.int64(batch.affinities.shape[1]),
        batch.problems,
        np.int32(capacity_for(batch.largest)),
        *results,
        _NULL if columns is None else columns,
        np.int64(0 if columns is None else columns.shape[1]),
        *options,
    ]
    shared = program.shared_bytes(batch.largest)
    device.launch(program, program.functions[0], batch.count, program.threads, arguments, shared=shared)
