# SPDX-License-Identifier: Apache-2.0
"""The solvers that are compared: functions from problems (B, rows, cols) to the column of each row, (B, rows).

All maximise. Those that minimise take negated affinities, which are computed outside of the measured time. Rows without
a column, where rows outnumber columns, have -1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from simplugins.matching.matcher import Assignments
from simplugins.matching.optimal import Optimal

Problems = NDArray[np.floating]
Columns = NDArray[np.int64]
Solve = Callable[[Problems], Columns]

OURS, SCIPY, LAPX, POT = "simplugins", "scipy", "lapx", "pot"


def assign(problems: Problems) -> Assignments:
    """Solve a batch by our solver, as an engine does."""
    count, rows, cols = problems.shape
    return Optimal().match_batch(problems.reshape(-1, cols), np.arange(count + 1) * rows)


def ours(problems: Problems) -> Columns:
    """Solve a batch by our solver."""
    return assign(problems).columns.reshape(problems.shape[:2])


def scipy(problems: Problems) -> Columns:
    """Solve one problem after the other by SciPy, which maximises by itself."""
    return _collect(problems, (linear_sum_assignment(problem, maximize=True) for problem in problems))


def lapx_batch(problems: Problems, *, routine: str) -> Columns:
    """Solve a batch of negated problems by one of lapx's routines for batches, on one thread."""
    _, rows, columns = getattr(lap, routine)(problems, extend_cost=True, n_threads=1)
    return _collect(problems, zip(rows, columns, strict=True))


def lapx_single(problems: Problems, *, routine: str) -> Columns:
    """Solve negated problems one after the other by one of lapx's routines that return rows and columns."""
    solve = getattr(lap, routine)
    options = {} if routine == "lapjvc" else {"extend_cost": True}
    return _collect(problems, (solve(problem, return_cost=False, **options) for problem in problems))


def pot(problems: Problems) -> Columns:
    """Solve negated square problems as optimal transport by POT's network simplex."""
    import ot  # type: ignore[import-untyped]

    weights = np.ones(problems.shape[1])  # whole numbers are exact
    plans = [
        ot.emd(weights, weights, problem.astype(np.float64) - problem.min(), numItermax=10**8, check_marginals=False)
        for problem in problems
    ]
    return np.array([plan.argmax(1) for plan in plans])


LAPX_ROUTINES: Mapping[str, Solve] = {
    **{name: partial(lapx_batch, routine=name) for name in ("lapjvr_batch", "lapjvh_batch", "lapjvx_batch")},
    **{name: partial(lapx_single, routine=name) for name in ("lapjvx", "lapjvc")},
}
"""Routines of lapx; the fastest one on a problem takes part. `lapjv` is `lapjvx` with another form of output."""


def has_pot() -> bool:
    """Return whether POT is installed."""
    return find_spec("ot") is not None


def count_work(problems: Problems) -> dict[str, float] | None:
    """Return how often our solver did what per row, such as scans; None if the solver does not count."""
    from simplugins.matching import assignment_problems, integer_costs, linear_assignment

    count, rows, cols = problems.shape
    work: Any = integer_costs.make_workspace(rows, cols, problems.dtype)
    if not hasattr(work, "counts"):
        return None
    work.counts[:] = 0
    offsets = np.arange(count + 1) * rows
    results = np.full(count * rows, -1), np.zeros((count, max(rows, cols))), np.empty(count)
    linear_assignment.assign_batch(
        problems.reshape(-1, cols), assignment_problems.whole_problems(offsets, cols), work, None, *results
    )
    names = getattr(integer_costs, "COUNTS", range(len(work.counts)))
    return {str(name): float(value) / (count * min(rows, cols)) for name, value in zip(names, work.counts, strict=True)}


def values(problems: Problems, columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sum of the matched affinities and of their magnitudes per problem, in float64.

    Raises
    ------
    ValueError
        If a result is not an assignment.
    """
    _, rows, cols = problems.shape
    matched = columns >= 0
    if (matched.sum(1) != min(rows, cols)).any() or (columns >= cols).any():
        raise ValueError(f"expected {min(rows, cols)} matched rows per problem, got {set(matched.sum(1).tolist())}")
    for row, used in zip(columns, matched, strict=True):
        if len(np.unique(row[used])) != used.sum():
            raise ValueError("a column is matched twice")
    affinities = np.take_along_axis(problems, np.maximum(columns, 0)[..., None], 2)[..., 0].astype(np.float64)
    affinities[~matched] = 0
    return affinities.sum(1), np.abs(affinities).sum(1)


def _collect(problems: Problems, assignments: Any) -> Columns:
    columns = np.full(problems.shape[:2], -1)
    for row, (index, found) in zip(columns, assignments, strict=True):
        row[index] = found
    return columns
