# SPDX-License-Identifier: Apache-2.0
"""The partial matching, which leaves positions unmatched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.assignment_problems import whole_problems
from simplugins.matching.matcher import Assignments, BatchMatcher


@dataclass(frozen=True)
class Partial(BatchMatcher):
    """The best assignment of a share of the positions, or of the positions whose affinity exceeds a threshold.

    With `share`, the assignment that maximises the sum of affinities among all with k pairs, where k is `share` times
    the number of positions of the smaller set, rounded to the nearest whole number (halves up), and at least 1. There
    are k pairs even if affinities are negative. A share of 1 is the optimal matching.

    With `threshold`, the assignment that maximises the sum of ``affinity - threshold`` over its pairs, of which there
    may be any number, or none. No pair has an affinity at or below the threshold. (This is the optimal matching of
    ``max(affinity - threshold, 0)`` without the pairs of zero: leaving these out changes no sum, and any other
    assignment can be completed by pairs that count at least zero.) If assignments with different numbers of pairs
    attain the maximum, it is not specified which is returned, so the value may depend on which input comes first.

    Exact to rounding, like `Optimal`, and with dual prices for certificates. O(S^3) in the worst case; on activations,
    matching up to 70 % of the positions takes 0.3 to 1.5 times as long as the optimal matching, and more of them 1.3 to
    1.7 times (up to 2.4 times for sets of 784 positions that stem from many inputs). A GPU computes both; shares as
    complete matchings with an additional column for each position that is left.

    Parameters
    ----------
    share : float, optional
        Above 0, and at most 1.
    threshold : float, optional
        In units of affinity, that is, of inner products of concept vectors; with ``normalize="position"`` these are
        cosines. Exactly one of the two parameters must be given.

    Raises
    ------
    TypeError
        If neither parameter is given, or both are.
    ValueError
        If the share is not above 0 and at most 1, or the threshold is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> affinity = np.array([[5.0, 4.0, 0.0], [4.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    >>> Partial(share=0.5).match(affinity)  # two pairs of three: 4 + 4 beats 5 + 2
    array([ 1,  0, -1])
    >>> Partial(threshold=2).match(affinity)  # (4 - 2) + (4 - 2) beats 5 - 2
    array([ 1,  0, -1])
    """

    name: ClassVar[str] = "partial"
    partial: ClassVar[bool] = True
    invariant_to_order: ClassVar[bool | None] = True
    invariant_to_translation: ClassVar[bool | None] = False
    share: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (self.threshold is None):
            raise TypeError(
                f"expected exactly one of the options share (such as 0.5) and threshold, got share={self.share!r} and "
                f"threshold={self.threshold!r}"
            )
        if self.share is not None and not (_is_number(self.share) and 0 < self.share <= 1):
            raise ValueError(f"share must be a number above 0 and at most 1, got {self.share!r}")
        if self.threshold is not None and not (_is_number(self.threshold) and math.isfinite(self.threshold)):
            raise ValueError(f"threshold must be a finite number, got {self.threshold!r}")

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether the value does not depend on the order of two inputs: not for ties with a threshold."""
        return self.threshold is None

    @property
    def cuda_kernel(self) -> str | None:  # type: ignore[override]
        """The CUDA kernel."""
        return "assignment-share" if self.threshold is None else "assignment-above"

    @property
    def invariant_to_scaling(self) -> bool:  # type: ignore[override]
        """Whether scaling leaves the assignment unchanged: not with a threshold."""
        return self.threshold is None

    def match_batch(self, affinities: NDArray[np.floating], offsets: NDArray[np.int64]) -> Assignments:
        """Match a batch of pairs; see `Matcher.match_batch`."""
        from simplugins.matching import partial_solver, solver

        smaller = np.minimum(np.diff(offsets), affinities.shape[1])
        if self.threshold is not None:
            return partial_solver.solve_partially(affinities, offsets, smaller, float(self.threshold))
        counts = pairs_of_share(self.share, smaller)
        if (counts == smaller).all():
            return solver.solve(affinities, whole_problems(offsets, affinities.shape[1]))
        return partial_solver.solve_partially(affinities, offsets, counts)


def pairs_of_share(share: float | None, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of pairs for a share of the positions, rounded to the nearest, halves up, and at least 1.

    Examples
    --------
    >>> pairs_of_share(0.5, np.array([1, 2, 3, 5]))
    array([1, 1, 2, 3])
    """
    assert share is not None
    return np.maximum(1, np.floor(np.float64(share) * positions + 0.5)).astype(np.int64)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
