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
from simplugins.matching.optimal import Optimal
from simplugins.matching.windows import windows


@dataclass(frozen=True)
class BatchOptimal(BatchMatcher):
    """Positions in the order of their norms, cut into windows, and matched optimally within each window.

    The approximation that the paper recommends. For S positions and windows of k, time and memory grow with S k, not
    with S^2: an engine makes only the affinities within windows (but for certificates, and for small sets of different
    sizes, where all in one go is faster). Sets of at most k positions are matched optimally.
    `match` expects rows and columns in ascending order of norm, as an engine hands them over.

    Parameters
    ----------
    window : int, default 128
        Number of positions k in a window. The paper uses 128 to 1024.

    Raises
    ------
    ValueError
        If the window is no whole number of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> BatchOptimal(window=2).match(np.array([[1, 2, 9], [3, 1, 9], [9, 9, 4]], np.float32))
    array([1, 0, 2])
    """

    name: ClassVar[str] = "batch-optimal"
    by_norm: ClassVar[bool] = True
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
            for rows, cols in windows(stop - start, affinities.shape[1], self.window)
        ]
        return Assignments(solver.solve(affinities, np.array(problems)).columns)
