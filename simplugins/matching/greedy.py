# SPDX-License-Identifier: Apache-2.0
"""The paper's greedy matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Assignments, BatchMatcher
from simplugins.matching.problems import whole_problems


@dataclass(frozen=True)
class Greedy(BatchMatcher):
    """Rows by their best affinity, highest first; each takes the best column that is still free.

    Of equal affinities, the first row and the first column go first. The outcome depends on which of two inputs the
    rows belong to: the first one, and in an RSM of inputs with themselves the earlier one. O(S^2) a pair.

    Examples
    --------
    >>> import numpy as np
    >>> Greedy().match(np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]]))  # the last row takes 6, then the first 1
    array([ 0, -1,  1])
    """

    name: ClassVar[str] = "greedy"

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import taking

        columns = np.empty(len(affinities), np.int64)
        taking.take_batch(affinities, whole_problems(offsets, affinities.shape[1]), columns)
        return Assignments(columns)
