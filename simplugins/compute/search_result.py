# SPDX-License-Identifier: Apache-2.0
"""What a search finds, on any engine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SearchResult(NamedTuple):
    """The best candidates of all queries, and the cost of finding them.

    Attributes
    ----------
    numbers : (Q, k) int64 array
    products : (Q, k) float64 array
        Aligned inner products, in the scale of the activations' blocks.
    formed, solved : int
        Number of pairs whose affinities were computed, and number of pairs that were matched.
    metadata : dict
        "engine"; on a GPU also "precision" and "device".
    """

    numbers: NDArray[np.int64]
    products: NDArray[np.float64]
    formed: int
    solved: int
    metadata: dict[str, str]
