# SPDX-License-Identifier: Apache-2.0
"""The optimal matching, exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Assignments, BatchMatcher
from simplugins.matching.problems import whole_problems


@dataclass(frozen=True)
class Optimal(BatchMatcher):
    """The assignment with the largest sum of affinities: the permutation of the paper's semantic RSM.

    Exact to rounding (see `simplugins.matching.search`): O(S^3) at worst; on activations near S^2 up to some 800
    positions, and S^2.7 from there to 3,136. Working memory is one matrix of integer costs, S^2 entries. Its prices
    give an upper bound that proves each value.

    Examples
    --------
    >>> import numpy as np
    >>> Optimal().match(np.array([[1.0, 5.0], [2.0, 4.0]]))  # 5 + 2 beats 1 + 4
    array([1, 0])
    """

    name: ClassVar[str] = "optimal"
    symmetric: ClassVar[bool] = True

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver

        return solver.solve(affinities, whole_problems(offsets, affinities.shape[1]))
