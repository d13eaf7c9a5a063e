# SPDX-License-Identifier: Apache-2.0
"""The optimal matching, exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.contract import Assignments, Matcher

_FINE_ENOUGH = 2.0**-20
"""Integer costs may take this share of the matched affinities' magnitude from a value; more, and float64 solves it."""


@dataclass(frozen=True)
class Optimal(Matcher):
    """The assignment with the largest sum of affinities: the permutation of the paper's semantic RSM.

    Exact to rounding (see `simplugins.matching.solver`): O(S^3) at worst, near S^2 on activations. Working memory is
    one matrix of integer costs, S^2 entries. Its prices give an upper bound that proves each value.

    Examples
    --------
    >>> import numpy as np
    >>> Optimal().match(np.array([[1.0, 5.0], [2.0, 4.0]]))  # 5 + 2 beats 1 + 4
    array([1, 0])
    """

    name: ClassVar[str] = "optimal"
    exact: ClassVar[bool] = True

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`."""
        return self.match_batch(np.ascontiguousarray(affinity), np.array([0, len(affinity)])).columns

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver, values  # Numba is slow to import: only when something is matched

        rows, cols = int(np.diff(offsets).max()), affinities.shape[1]
        work = solver.make_workspace(rows, cols, affinities.dtype)
        columns = np.empty(len(affinities), np.int64)
        prices = np.empty((len(offsets) - 1, max(rows, cols)))
        resolution, matched = np.empty((2, len(offsets) - 1))
        solver.solve_batch(affinities, offsets, work, columns, prices, resolution)
        found = Assignments(columns, prices)
        if affinities.dtype == np.float32:
            values.aligned_magnitudes(affinities, offsets, columns, matched)
            for problem in np.flatnonzero(resolution > _FINE_ENOUGH * matched):
                self._solve_in_float64(affinities, offsets, int(problem), found)
        return found

    def _solve_in_float64(
        self, affinities: NDArray[np.floating], offsets: NDArray[np.int64], problem: int, found: Assignments
    ) -> None:
        """Solve one problem of a batch again, on finer costs, in place."""
        rows = slice(offsets[problem], offsets[problem + 1])
        block = affinities[rows].astype(np.float64)
        precise = self.match_batch(block, np.array([0, len(block)]))
        found.columns[rows] = precise.columns
        if found.prices is not None and precise.prices is not None:
            found.prices[problem, : max(block.shape)] = precise.prices[0]
