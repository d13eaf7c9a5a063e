# SPDX-License-Identifier: Apache-2.0
"""Turns: competitors run one after the other, several times, because machines are noisy and drift.

Reports compare times of the same turn.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np
from competitors import Activations, Products

TURNS = 5
TURN_SECONDS = 0.5
"""Default duration of a turn, which repeats a call."""

LEAST_ROUNDS, MOST_ROUNDS = 3, 50
"""Bounds of the number of repetitions."""


def first_call(
    compute: Callable[[Activations, int], Products],
    activations: Activations,
    threads: int,
    *,
    turn_seconds: float = TURN_SECONDS,
    least: int = LEAST_ROUNDS,
) -> tuple[Products, int]:
    """Call a competitor once as a warm-up, and return its result and the number of rounds for a turn."""
    start = perf_counter()
    products = compute(activations, threads)
    seconds = perf_counter() - start
    return products, int(np.clip(turn_seconds / seconds, least, MOST_ROUNDS))
