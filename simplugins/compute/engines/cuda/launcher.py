# SPDX-License-Identifier: Apache-2.0
"""Launching the kernels on a batch of problems."""

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
    affinities : (T, K) array of the device, C-contiguous, float32 or float64
    problems : (B, 4) int64 array of the device
        First row, end of rows, first column and end of columns of each.
    count : int
        B, at least 1.
    largest : int
        The most rows or columns of a problem.
    """

    affinities: Any
    problems: Any
    count: int
    largest: int


@dataclass(frozen=True)
class Solved:
    """What the exact kernel found of B problems.

    Attributes
    ----------
    values : (B,) float64 array
        Sums of the matched affinities.
    magnitudes : (B,) float64 array
        Sums of their absolute values.
    upper : (B,) float64 array
        What no assignment exceeds, proven by dual prices.
    """

    values: NDArray[np.float64]
    magnitudes: NDArray[np.float64]
    upper: NDArray[np.float64]


def solve(device: Device, batch: Batch, real: np.dtype[np.floating], columns: Any = None) -> Callable[[], Solved]:
    """Start to assign the rows of each problem, at most as many as its columns, so that its affinities add up to most.

    Parameters
    ----------
    device : Device
    batch : Batch
    real : dtype
        float32 or float64: what prices and distances are computed in.
    columns : (B, R) int32 array of the device, written, optional
        The column that each row takes, within its problem.

    Returns
    -------
    callable
        Waits for the results, and returns them.
    """
    found = device.empty((3, batch.count), np.dtype(np.float64))
    _launch(device, "assignment", batch, real, [found[0], found[1], found[2]], columns)
    fetch = device.download(found)
    return lambda: Solved(*fetch())


def take(device: Device, batch: Batch, columns: Any = None) -> Callable[[], NDArray[np.float64]]:
    """Start to match problems greedily; arguments as for `solve`, and a problem may have more rows than columns.

    Returns
    -------
    callable
        Waits for the values, and returns them.
    """
    found = device.empty((batch.count,), np.dtype(np.float64))
    _launch(device, "greedy", batch, np.dtype(batch.affinities.dtype), [found], columns)
    return device.download(found)


def check_size(device: Device, largest: int, dtype: np.dtype[np.floating]) -> None:
    """Check that problems of up to so many rows or columns can be launched, on affinities of a type, to any precision.

    Raises
    ------
    ValueError
        If they need more than the kernels or the device have.
    """
    finest = program_for("assignment", largest, dtype, np.dtype(np.float64))
    needed = finest.shared_bytes(largest) + STATIC_BYTES
    if needed > device.shared_bytes:
        raise ValueError(
            f"sets of {largest} positions need {needed} bytes of shared memory, of which {device.name} has "
            f"{device.shared_bytes}: use engine='cpu', or matching='batch-optimal'"
        )


def _launch(
    device: Device, kernel: str, batch: Batch, real: np.dtype[np.floating], results: list[Any], columns: Any
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
    ]
    shared = program.shared_bytes(batch.largest)
    device.launch(program, program.functions[0], batch.count, program.threads, arguments, shared=shared)
