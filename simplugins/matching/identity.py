# SPDX-License-Identifier: Apache-2.0
"""The identity matching, used by spatio-semantic measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins.matching.matcher import Matcher


@dataclass(frozen=True)
class Identity(Matcher):
    """Position s is matched with position s, so similarity depends on location.

    Examples
    --------
    >>> import numpy as np
    >>> Identity().match(np.zeros((3, 3)))
    array([0, 1, 2])
    """

    name: ClassVar[str] = "identity"
    positionwise: ClassVar[bool] = True
    invariant_to_order: ClassVar[bool | None] = False
    invariant_to_translation: ClassVar[bool | None] = True
    symmetric: ClassVar[bool] = True

    def match(self, affinity: NDArray[np.floating]) -> NDArray[np.int64]:
        """Match one pair of inputs; see `Matcher.match`.

        Raises
        ------
        ValueError
            If the inputs have different numbers of positions.
        """
        rows, cols = affinity.shape
        if rows != cols:
            raise ValueError(f"matching 'identity': inputs must have equal numbers of positions, got {rows} and {cols}")
        return np.arange(rows)
