# SPDX-License-Identifier: Apache-2.0
"""What an engine returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AlignedProducts:
    """Aligned inner products of all pairs.

    Attributes
    ----------
    values : (N, M) float64 array
        Sum of the affinities of matched positions, of input i of one set and j of the other.
    rounding : float
        Bound on the rounding error of a value, relative to the mean of the two squared norms.
    gap : (N, M) float64 array or None
        Proven relative gaps, if they were asked for: see `simplugins.matching.objective.dual_bounds`.
    made : dict of str to str
        What computed them: the engine, the precision of the affinities, and, of a GPU, its name.
    """

    values: NDArray[np.float64]
    rounding: float
    gap: NDArray[np.float64] | None = None
    made: dict[str, str] = field(default_factory=dict)
