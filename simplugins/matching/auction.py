# SPDX-License-Identifier: Apache-2.0
"""The auction matching, optimal to a certified tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_between
from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments, BatchMatcher


@dataclass(frozen=True)
class Auction(BatchMatcher):
    """An assignment whose value is certified to lie within a given share of the optimum.

    Auctions with decreasing bid increments stop as soon as dual prices prove the tolerance (see
    `simplugins.matching.linear_assignment`); if they never do, the exact solver takes over. The certified gap is
    therefore at most the tolerance for every pair, and smaller for most: where the exact solver needs no increments, as
    for most pairs of fewer than 100 positions, matchings are optimal. This pays off for large sets of equal size. It
    uses as much memory as `Optimal`.

    Parameters
    ----------
    tolerance : float, default 0.01
        The share of the optimum that a value may fall short of, above 0 and below 1.

    Raises
    ------
    ValueError
        If the tolerance is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> affinity = np.random.default_rng(0).random((500, 500))
    >>> columns = Auction(tolerance=0.02).match(affinity)
    >>> bool(affinity[np.arange(500), columns].sum() > 0.98 * 500 * 0.99)  # 500 at most
    True
    """

    name: ClassVar[str] = "auction"
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = False
    cuda_kernel: ClassVar[str | None] = "assignment"
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        check_between("tolerance", self.tolerance, 0, 1)

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver

        problems = whole_problems(offsets, affinities.shape[1])
        return solver.solve(affinities, problems, tolerance=float(self.tolerance))
