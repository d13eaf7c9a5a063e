# SPDX-License-Identifier: Apache-2.0
"""Optimal assignments of a batch of problems whose affinities are on a GPU already, where the assignments stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from simplugins._common import arrays
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.device import Device
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.pair_problems import FINE_ENOUGH
from simplugins.compute.engines.cuda.programs import LARGEST
from simplugins.matching.matcher import Matcher

_FINE, _COARSE = np.dtype(np.float64), np.dtype(np.float32)


def matches_batches(matcher: Matcher, rows: int, columns: int) -> bool:
    """Whether `optimal_columns` computes the assignments of a matcher for problems of some size."""
    return matcher.cuda_kernel == "assignment" and matcher.window is None and rows <= columns <= LARGEST


def optimal_columns(device: Device, affinities: Any) -> Any:
    """Return the column assigned to each row at the largest sum of affinities.

    Problems with a loose certificate in float32 are solved again in float64; nothing is copied to the host, which does
    not wait for the device either.

    Parameters
    ----------
    device : Device
        Inside its context.
    affinities : (P, S, T) device array, C-contiguous, float32 or float64
        S <= T.

    Returns
    -------
    (P, S) int32 device array
    """
    count, rows, columns = affinities.shape
    starts = rows * np.arange(count)
    problems = np.stack([starts, starts + rows, np.zeros_like(starts), np.full_like(starts, columns)], 1)
    matrix, uploaded = device.upload(affinities.reshape(-1, columns)), device.upload(problems.astype(np.int64))
    batch = Batch(matrix, uploaded, count, columns)
    if matrix.dtype == _FINE:
        assigned, _ = _assign(device, batch, _FINE, rows)
        device.retire()
        return assigned
    assigned, (values, magnitudes, upper) = _assign(device, batch, _COARSE, rows)
    is_fine = (upper - values <= FINE_ENOUGH * magnitudes)[:, None]
    xp = arrays.namespace(matrix)
    single = device.upload(np.array([[0, 1, 0, 1]]))  # takes no time
    loose = device.upload(xp.where(is_fine, single, uploaded))
    again, _ = _assign(device, Batch(matrix, loose, count, columns), _FINE, rows)
    device.retire()
    return xp.where(is_fine, assigned, again)


def _assign(device: Device, batch: Batch, real: np.dtype[np.floating], rows: int) -> tuple[Any, Any]:
    """Start all problems; return their assignments and their results."""
    results = device.empty((3, batch.count), _FINE)
    columns = device.empty((batch.count, rows), np.dtype(np.int32))
    launcher.start(device, batch, real, results, columns, floor=-np.inf)
    return columns, results
