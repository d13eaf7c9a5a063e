# SPDX-License-Identifier: Apache-2.0
"""Timing on a device that works while the host goes on, within a limited time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from on_gpu.device import Gpu

MOST_ROUNDS = 5
ROUNDS_SHARE = 0.03
"""Of the time that is left, rounds of a measurement may take so much; one round there is in any case."""

Timed = Callable[[], float]
"""Does something, and returns how many seconds of it count."""


class SkippedError(Exception):
    """Something is not measured, for a reason that is no failure."""


@dataclass(frozen=True)
class Budget:
    """The time that a run may take.

    Attributes
    ----------
    deadline : float
        As `time.time` counts, which other processes share.
    """

    deadline: float

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.deadline - time.time()

    def rounds(self, once: float) -> int:
        """Return how many rounds there is time for, of so many seconds each."""
        return int(np.clip(ROUNDS_SHARE * self.left() / once, 1, MOST_ROUNDS))


def timed(gpu: Gpu, work: Callable[[], object]) -> Timed:
    """Return what does some work and waits for it, and counts all of that."""

    def run() -> float:
        gpu.synchronize()
        start = time.perf_counter()
        work()
        gpu.synchronize()
        return time.perf_counter() - start

    return run


def take_turns(works: Mapping[str, Timed], budget: Budget) -> dict[str, list[float]]:
    """Return the seconds of each in some rounds, in which they take turns, after one that warms them up."""
    start = time.perf_counter()
    for work in works.values():
        work()
    rounds = budget.rounds(time.perf_counter() - start)
    turns = [{name: work() for name, work in works.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in works}
