# SPDX-License-Identifier: Apache-2.0
"""Matching to a tolerance, proven for each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_between
from simplugins.matching.matcher import Assignments, BatchMatcher
from simplugins.matching.problems import whole_problems


@dataclass(frozen=True)
class Auction(BatchMatcher):
    """An assignment whose value is proven to miss no more than a share of the optimum.

    An auction with falling bid increments, stopped as soon as dual prices prove the tolerance (see
    `simplugins.matching.search`); where they do not, the exact search takes over. So the proven gap is at most the
    tolerance for every pair, and most pairs do better. Pays for large sets of equal sizes: 1.2 times as fast as the
    optimal matching at 784 positions, 1.5 times at 3,136, hardly faster at 196. Memory as `Optimal`.

    Parameters
    ----------
    tolerance : float, default 0.01
        The share of the optimum that may be missing, above 0 and below 1.

    Raises
    ------
    ValueError
        If the tolerance is not such a number.

    Examples
    --------
    >>> import numpy as np
    >>> affinity = np.random.default_rng(0).random((500, 500))
    >>> columns = Auction(tolerance=0.02).match(affinity)
    >>> bool(affinity[np.arange(500), columns].sum() > 0.98 * 500 * 0.99)  # of 500 at most
    True
    """

    name: ClassVar[str] = "auction"
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        check_between("tolerance", self.tolerance, 0, 1)

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import solver

        problems = whole_problems(offsets, affinities.shape[1])
        return solver.solve(affinities, problems, tolerance=float(self.tolerance))
