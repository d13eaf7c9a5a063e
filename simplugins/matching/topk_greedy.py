# SPDX-License-Identifier: Apache-2.0
"""The paper's top-k greedy matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_count
from simplugins.matching.assignment_problems import make_problems
from simplugins.matching.matcher import Assignments, BatchMatcher


@dataclass(frozen=True)
class TopKGreedy(BatchMatcher):
    """Optimal matching of the k positions of largest norm in each input, greedy matching of the remaining positions.

    The paper finds it a poor approximation; it is included for comparison. O(S^2) per pair, in addition to the optimal
    matching of k positions. As with `Greedy`, the result depends on which of two inputs provides the rows. `match`
    expects rows and columns in ascending order of norm, which is how engines pass them.

    Parameters
    ----------
    k : int, default 128
        Number of positions matched optimally, at least 1. Sets of at most k positions are matched optimally as a whole.

    Raises
    ------
    ValueError
        If k is not a whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> TopKGreedy(k=1).match(np.array([[1, 2, 9], [3, 1, 9], [9, 9, 4]], np.float32))
    array([1, 0, 2])
    """

    name: ClassVar[str] = "topk-greedy"
    by_norm: ClassVar[bool] = True
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = False
    cuda_kernel: ClassVar[str | None] = "topk-greedy"
    k: int = 128

    def __post_init__(self) -> None:
        check_count("k", self.k)

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import greedy_assignment, solver

        starts, stops, cols = offsets[:-1], offsets[1:], affinities.shape[1]
        row, col = np.maximum(starts, stops - self.k), max(0, cols - self.k)
        columns = solver.solve(affinities, make_problems(row, stops, col, cols)).columns
        greedy_assignment.assign_greedily(affinities, make_problems(starts, row, 0, col), columns)
        return Assignments(columns)
