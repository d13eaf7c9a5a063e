# SPDX-License-Identifier: Apache-2.0
"""The identity matching, which makes an RSM spatio-semantic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Matcher


@dataclass(frozen=True)
class Identity(Matcher):
    """Position s goes with position s: similarity depends on where things are.

    Examples
    --------
    >>> import numpy as np
    >>> Identity().match(np.zeros((3, 3)))
    array([0, 1, 2])
    """

    name: ClassVar[str] = "identity"
    positionwise: ClassVar[bool] = True

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`.

        Raises
        ------
        ValueError
            If the inputs differ in their number of positions.
        """
        rows, cols = affinity.shape
        if rows != cols:
            raise ValueError(f"identity matching needs equal numbers of positions, got {rows} and {cols}")
        return np.arange(rows)
