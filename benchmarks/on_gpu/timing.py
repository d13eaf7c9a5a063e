# SPDX-License-Identifier: Apache-2.0
"""Timing of asynchronous work on a device, within a time budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from on_gpu.device import Gpu

MOST_ROUNDS = 5
ROUNDS_SHARE = 0.03
"""Maximum share of the remaining time for the rounds of a measurement, which has at least one."""

Timed = Callable[[], float]
"""A function that does some work, and returns the seconds that count."""


class SkippedError(Exception):
    """A step is skipped, for a reason other than a failure."""


@dataclass(frozen=True)
class Budget:
    """The time budget of a run.

    Attributes
    ----------
    deadline : float
        On the clock of `time.time`, which processes share.
    """

    deadline: float

    def left(self) -> float:
        """Return the remaining seconds."""
        return self.deadline - time.time()

    def rounds(self, once: float) -> int:
        """Return the number of rounds that time permits, given the seconds of one."""
        return int(np.clip(ROUNDS_SHARE * self.left() / once, 1, MOST_ROUNDS))


def timed(gpu: Gpu, work: Callable[[], object]) -> Timed:
    """Return a function that does some work, waits for it, and returns the seconds."""

    def run() -> float:
        gpu.synchronize()
        start = time.perf_counter()
        work()
        gpu.synchronize()
        return time.perf_counter() - start

    return run


def take_turns(works: Mapping[str, Timed], budget: Budget) -> dict[str, list[float]]:
    """Return the seconds of each work in several rounds, in which they take turns, after a warm-up round."""
    start = time.perf_counter()
    for work in works.values():
        work()
    rounds = budget.rounds(time.perf_counter() - start)
    turns = [{name: work() for name, work in works.items()} for _ in range(rounds)]
    return {name: [turn[name] for turn in turns] for name in works}
