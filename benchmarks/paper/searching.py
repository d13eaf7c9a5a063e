# SPDX-License-Identifier: Apache-2.0
"""Exact search: the matchings it solves, and its time compared with all pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from paper.crops import random_crops
from paper.photographs import Photograph
from paper.representations import Network
from simplugins import RSM, compute_rsm, search

K = 10
MEASURE = "semantic-cosine"
WARM_UP_INPUTS = 50

Result = TypeVar("Result")


def evaluate_search(photographs: Sequence[Photograph], network: Network, count: int) -> dict[str, Any]:
    """Find the neighbours of crops in the network's last layer, by search and from the RSM of all pairs."""
    layer = network.layers[-1]
    recorded = network.record(random_crops(photographs, count), [layer.module], f"{count} crops")[layer.module]
    vectors = recorded.array()
    for call in (search, compute_rsm):
        call(vectors[:WARM_UP_INPUTS])
    result, seconds = _timed(lambda: search(vectors, k=K, measure=MEASURE, progress="search"))
    rsm, seconds_of_all = _timed(lambda: compute_rsm(vectors, MEASURE, progress="all pairs"))
    return {
        **vars(layer),
        "inputs": count,
        "k": K,
        "measure": MEASURE,
        "pairs": result.pairs,
        "formed": result.formed,
        "solved": result.solved,
        "seconds": {"search": seconds, "all pairs": seconds_of_all},
        "differing": int((result.similarities < _best(rsm) - 1e-6).sum()),
    }


def _timed(call: Callable[[], Result]) -> tuple[Result, float]:
    start = perf_counter()
    return call(), perf_counter() - start


def _best(rsm: RSM) -> NDArray[np.float64]:
    """Return the similarities of each input's nearest neighbours, best first."""
    values = rsm.values.copy()
    np.fill_diagonal(values, -np.inf)
    return -np.sort(-values, axis=1)[:, :K]
