# SPDX-License-Identifier: Apache-2.0
"""The paper's top-k greedy matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.contract import Matcher, check_count
from simplugins.matching.greedy import Greedy
from simplugins.matching.optimal import Optimal


@dataclass(frozen=True)
class TopKGreedy(Matcher):
    """The k positions of largest norm of each input matched optimally with each other, the rest greedily.

    The paper finds it a poor approximation; it is here for comparison.

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

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`."""
        rows, cols = (max(0, n - self.k) for n in affinity.shape)
        columns = np.full(len(affinity), -1)
        top = Optimal().match(affinity[rows:, cols:])
        columns[rows:] = np.where(top < 0, -1, top + cols)
        if rows and cols:
            columns[:rows] = Greedy().match(affinity[:rows, :cols])
        return columns
