# SPDX-License-Identifier: Apache-2.0
"""The paper's top-k greedy matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_count
from simplugins.matching.matcher import Assignments, BatchMatcher
from simplugins.matching.problems import make_problems


@dataclass(frozen=True)
class TopKGreedy(BatchMatcher):
    """The k positions of largest norm of each input matched optimally with each other, the rest greedily.

    The paper finds it a poor approximation; it is here for comparison. O(S^2) a pair, beside the optimal matching of k
    positions. As with `Greedy`, the outcome depends on which of two inputs the rows belong to. `match` expects rows and
    columns in ascending order of norm, as an engine hands them over.

    Parameters
    ----------
    k : int, default 128
        At least 1; sets of at most k positions are matched optimally.

    Raises
    ------
    ValueError
        If k is no whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> TopKGreedy(k=1).match(np.array([[1, 2, 9], [3, 1, 9], [9, 9, 4]], np.float32))
    array([1, 0, 2])
    """

    name: ClassVar[str] = "topk-greedy"
    by_norm: ClassVar[bool] = True
    k: int = 128

    def __post_init__(self) -> None:
        check_count("k", self.k)

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver, taking

        starts, stops, cols = offsets[:-1], offsets[1:], affinities.shape[1]
        row, col = np.maximum(starts, stops - self.k), max(0, cols - self.k)
        columns = solver.solve(affinities, make_problems(row, stops, col, cols)).columns
        taking.take_batch(affinities, make_problems(starts, row, 0, col), columns)
        return Assignments(columns)
