# SPDX-License-Identifier: Apache-2.0
"""The optimal matching: exact linear assignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments, BatchMatcher


@dataclass(frozen=True)
class Optimal(BatchMatcher):
    """The assignment that maximises the sum of affinities, as in the paper's semantic RSM.

    Exact to rounding (see `simplugins.matching.integer_costs`). Time is O(S^3) in the worst case; on activations it
    grows like S^2 up to about 800 positions, and like S^2.7 from there to 3,136. Working memory is one S × S matrix of
    integer costs. Dual prices certify each value.

    Examples
    --------
    >>> import numpy as np
    >>> Optimal().match(np.array([[1.0, 5.0], [2.0, 4.0]]))  # 5 + 2 beats 1 + 4
    array([1, 0])
    """

    name: ClassVar[str] = "optimal"
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = True
    symmetric: ClassVar[bool] = True
    cuda_kernel: ClassVar[str | None] = "assignment"

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver

        return solver.solve(affinities, whole_problems(offsets, affinities.shape[1]))
