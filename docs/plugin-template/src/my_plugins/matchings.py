"""Matchings: affinities of the positions of two inputs to an assignment."""

from typing import ClassVar

import numpy as np

from simplugins import Matcher


class InOrderOfNorm(Matcher):
    """Match the position with the largest concept vector to the one with the largest, and so on."""

    name: ClassVar[str] = "in-order-of-norm"
    by_norm: ClassVar[bool] = True  # simplugins sorts the positions of both inputs by norm, ascending
    invariant_to_order: ClassVar[bool] = True
    symmetric: ClassVar[bool] = True

    def match(self, affinity):
        """Return the column of each row; if there are fewer columns than rows, the smallest rows have none (-1)."""
        rows, columns = affinity.shape
        return np.maximum(np.arange(rows) + columns - rows, -1)
