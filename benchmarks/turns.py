# SPDX-License-Identifier: Apache-2.0
"""Taking turns: machines are noisy and drift, so competitors run one after the other, several times over.

Reports compare times of the same turn.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from solvers import Activations, Products

TURNS = 5
TURN_SECONDS = 0.5
"""A turn repeats a call for so long, unless told otherwise, but so many times at least and at most:"""
LEAST_ROUNDS, MOST_ROUNDS = 3, 50


def first_call(
    compute: Callable[[Activations, int], Products],
    activations: Activations,
    threads: int,
    *,
    turn_seconds: float = TURN_SECONDS,
    least: int = LEAST_ROUNDS,
) -> tuple[Products, int]:
    """Call a competitor once, which warms it up; return its result, and how many rounds a turn should have."""
    start = perf_counter()
    found = compute(activations, threads)
    seconds = perf_counter() - start
    return found, int(np.clip(turn_seconds / seconds, least, MOST_ROUNDS))
