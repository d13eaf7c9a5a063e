# SPDX-License-Identifier: Apache-2.0
"""The paper's greedy matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments, BatchMatcher


@dataclass(frozen=True)
class Greedy(BatchMatcher):
    """In descending order of their best affinity, rows are matched with the best column that is still free.

    Ties go to the first row and to the first column. The result depends on which of two inputs provides the rows: the
    first argument, or in a square RSM the input with the lower index. O(S^2) per pair.

    Examples
    --------
    >>> import numpy as np
    >>> Greedy().match(np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]]))  # the last row takes 6, then the first 1
    array([ 0, -1,  1])
    """

    name: ClassVar[str] = "greedy"
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = False
    cuda_kernel: ClassVar[str | None] = "greedy"

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import greedy_assignment

        columns = np.empty(len(affinities), np.int64)
        greedy_assignment.assign_greedily(affinities, whole_problems(offsets, affinities.shape[1]), columns)
        return Assignments(columns)
