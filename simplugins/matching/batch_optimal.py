# SPDX-License-Identifier: Apache-2.0
"""The paper's batch-optimal matching: optimal within windows of positions of similar norm."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_count
from simplugins.matching.matcher import Assignments, BatchMatcher
from simplugins.matching.norm_windows import norm_windows
from simplugins.matching.optimal import Optimal


@dataclass(frozen=True)
class BatchOptimal(BatchMatcher):
    """Positions sorted by norm, cut into windows, and matched optimally within each window.

    The approximation recommended by the paper. For S positions and windows of k, time and memory grow with S k instead
    of S^2, because engines only compute the affinities within windows. (They compute all affinities for certificates,
    and for small sets of different sizes, where a single product is faster.) Sets of at most k positions are matched
    optimally. `match` expects rows and columns in ascending order of norm, which is how engines pass them.

    Parameters
    ----------
    window : int, default 128
        Number k of positions per window. The paper uses 128 to 1024.

    Raises
    ------
    ValueError
        If the window is not a whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> BatchOptimal(window=2).match(np.array([[1, 2, 9], [3, 1, 9], [9, 9, 4]], np.float32))
    array([1, 0, 2])
    """

    name: ClassVar[str] = "batch-optimal"
    by_norm: ClassVar[bool] = True
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = False
    symmetric: ClassVar[bool] = True
    cuda_kernel: ClassVar[str | None] = "assignment"
    window: int = 128

    def __post_init__(self) -> None:
        check_count("window", self.window)

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver

        if max(np.diff(offsets).max(), affinities.shape[1]) <= self.window:
            return Optimal().match_batch(affinities, offsets)
        problems = [
            (start + rows.start, start + rows.stop, cols.start, cols.stop)
            for start, stop in pairwise(offsets.tolist())
            for rows, cols in norm_windows(stop - start, affinities.shape[1], self.window)
        ]
        return Assignments(solver.solve(affinities, np.array(problems)).columns)
