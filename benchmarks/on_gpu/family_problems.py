# SPDX-License-Identifier: Apache-2.0
"""The step that times matching alone on families of affinities."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from solvers.families import FAMILIES

from on_gpu.checks import DisagreementError
from on_gpu.context import Context
from on_gpu.tiles import FLOAT
from on_gpu.timing import take_turns, timed
from simplugins.compute.engines.cuda import launcher
from simplugins.compute.engines.cuda.launcher import Batch, Solved
from simplugins.compute.engines.cuda.pair_problems import FINE_ENOUGH

DIFFERENT = {49: 32, 196: 16, 784: 3}
"""Number of different problems by number of positions, at most; with more positions, a single one."""

CHECKED_POSITIONS = 200
"""Largest number of positions at which values are compared with SciPy's."""

ALLOWED = 2 * FINE_ENOUGH
"""Largest shortfall from the optimum, relative to the magnitude of the matched affinities."""


def family(context: Context, key: str, positions: int) -> dict[str, Any]:
    """Solve many problems of a family, as the engine does: those with loose certificates a second time in float64.

    There are few different problems, of which each has many copies in device memory.
    """
    few = next((count for size, count in DIFFERENT.items() if positions <= size), 1)
    blocks = FAMILIES[key].problems(positions, positions, few, np.float32)
    gpu = context.gpu
    with gpu.device:
        batch = _copies(context, blocks)
        loose = _loose(launcher.solve(gpu.device, batch, FLOAT)())
        again = _chosen(context, batch, loose)

        def solve() -> tuple[Solved, Solved | None]:
            first = launcher.solve(gpu.device, batch, FLOAT)
            second = launcher.solve(gpu.device, again, np.dtype(np.float64)) if again else None
            return first(), second() if second else None

        first, second = solve()
        turns = take_turns({"solve": timed(gpu, solve)}, context.budget)["solve"]
    values, magnitudes, upper = (
        _final(getattr(first, name), loose, getattr(second, name, None)) for name in ("values", "magnitudes", "upper")
    )
    gaps = np.divide(upper - values, magnitudes, out=np.zeros_like(values), where=magnitudes > 0)
    if positions <= CHECKED_POSITIONS:
        _check(blocks, values[:few], magnitudes[:few])
    return {
        "problems": batch.count,
        "different": few,
        "again": float(loose.mean()),
        "gap": float(gaps.max()),
        "seconds_a_problem": median(turns) / batch.count,
    }


def _copies(context: Context, blocks: NDArray[np.float32]) -> Batch:
    """Return problems below each other in one matrix, `family_bytes` in all."""
    device, (few, size, _) = context.gpu.device, blocks.shape
    copies = max(1, context.plan.family_bytes // blocks.nbytes)
    affinities = device.empty((copies * few * size, size), FLOAT)
    affinities.reshape(copies, blocks.size)[:] = device.upload(blocks.reshape(1, -1))
    starts = size * np.arange(copies * few)
    problems = np.stack([starts, starts + size, np.zeros_like(starts), np.full_like(starts, size)], 1)
    return Batch(affinities, device.upload(problems.astype(np.int64)), len(problems), size)


def _chosen(context: Context, batch: Batch, loose: NDArray[np.bool_]) -> Batch | None:
    """Return some of the problems of a batch."""
    if not loose.any():
        return None
    size = batch.largest
    starts = size * np.flatnonzero(loose)
    problems = np.stack([starts, starts + size, np.zeros_like(starts), np.full_like(starts, size)], 1)
    return Batch(batch.affinities, context.gpu.device.upload(problems.astype(np.int64)), len(problems), size)


def _loose(solved: Solved) -> NDArray[np.bool_]:
    return ~(solved.upper - solved.values <= FINE_ENOUGH * solved.magnitudes)


def _final(
    first: NDArray[np.float64], loose: NDArray[np.bool_], second: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    result = first.copy()
    if second is not None:
        result[loose] = second
    return result


def _check(blocks: NDArray[np.float32], values: NDArray[np.float64], magnitudes: NDArray[np.float64]) -> None:
    for block, value, magnitude in zip(blocks.astype(np.float64), values, magnitudes, strict=True):
        optimum = block[linear_sum_assignment(block, maximize=True)].sum()
        if not abs(optimum - value) <= ALLOWED * max(magnitude, abs(optimum)):
            raise DisagreementError(f"a value is {value:.9g}, but the optimum {optimum:.9g}")
