# SPDX-License-Identifier: Apache-2.0
"""How fast this machine is: samples of a run are compared for some seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.measures.cost.planned import Counts, PlannedRun

T = TypeVar("T")

Opener = Callable[[], Activations]
"""Reads and checks activations, which is timed too."""

MOST_POSITIONS = 4096
"""Stand-ins have so many positions at most; beyond, a power of the number of positions is extrapolated."""

SAMPLE_BYTES = 64 * 2**20
"""Sampled activations take so much memory at most, unless the least sample takes more."""

_ROUNDS = 5
"""The two largest samples are compared so many times at most."""

_PAIRS_A_THREAD = 3
"""The least sample gives each thread so many pairs, so that all are busy nearly all the time."""


@dataclass(frozen=True)
class Speed:
    """What was measured: a run takes ``fixed + per_input (N + M) + per_pair pairs`` seconds.

    Attributes
    ----------
    fixed, per_input, per_pair : float
        In seconds.
    pairs : int
        How many pairs the largest sample had.
    """

    fixed: float
    per_input: float
    per_pair: float
    pairs: int

    def seconds(self, inputs: int, pairs: int) -> float:
        """Return what so many inputs and pairs take."""
        return self.fixed + self.per_input * inputs + self.per_pair * pairs


def calibrate(
    run: PlannedRun,
    rows: Callable[[int], Opener],
    columns: Callable[[int], Opener],
    counts: Counts,
    input_bytes: int,
    seconds: float,
) -> Speed:
    """Measure how fast a run goes: samples are doubled while there is time for a larger one, or until they are all.

    Parameters
    ----------
    run : callable
        Computes the RSM of activations.
    rows, columns : callables
        Give what reads so many inputs, and so many others.
    counts : (int, int or None)
        How many there are of each in the run.
    input_bytes : int
        Of the largest input, converted.
    seconds : float
        How long to measure.

    Returns
    -------
    Speed
        What the last two samples tell. If the last is all that is to be compared, its time is the run's.
    """
    fixed = fixed_cost(run, rows(1)().dtype)
    started = perf_counter()

    def left() -> float:
        return seconds - (perf_counter() - started)

    samples: list[_Sample] = []
    for some in sample_sizes(counts, run.threads, input_bytes):
        if samples and fixed + (samples[-1].seconds - fixed) * some.pairs / samples[-1].counts.pairs > left():
            break
        opener = rows(some.inputs), None if some.others is None else columns(some.others)
        samples.append(_Sample.of(run, some, *opener))
    samples = samples[-2:]
    for _ in range(_ROUNDS - 1):
        if sum(sample.seconds for sample in samples) > left():
            break
        samples = [sample.timed_again(run) for sample in samples]
    largest = samples[-1]
    before = (samples[0].counts.pairs, samples[0].seconds) if len(samples) > 1 else (0, fixed)
    fixed, per_pair = line(before, (largest.counts.pairs, largest.seconds))
    return Speed(fixed, largest.reading / largest.counts.total, per_pair, largest.counts.pairs)


@dataclass(frozen=True)
class _Sample:
    """Some inputs, and what it took to read and to compare them: at the least, as all else only adds to it."""

    counts: Counts
    x: Activations
    y: Activations | None
    reading: float
    seconds: float

    @classmethod
    def of(cls, run: PlannedRun, counts: Counts, rows: Opener, columns: Opener | None) -> _Sample:
        """Read a sample and compare it."""
        reading, (x, y) = timed(lambda: (rows(), None if columns is None else columns()))
        return cls(counts, x, y, reading, timed(lambda: run(x, y))[0])

    def timed_again(self, run: PlannedRun) -> _Sample:
        """Compare the sample once more."""
        return replace(self, seconds=min(self.seconds, timed(lambda: run(self.x, self.y))[0]))


def fixed_cost(run: PlannedRun, dtype: np.dtype[np.floating]) -> float:
    """Return the seconds of the smallest run there is, once everything is imported and compiled."""
    smallest = Activations.from_array(np.ones((2, 1, 1), dtype))
    run(smallest, None)
    return min(timed(lambda: run(smallest, None))[0] for _ in range(_ROUNDS))


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Call, and return the seconds that took, and what came of it."""
    start = perf_counter()
    found = call()
    return perf_counter() - start, found


def sample_sizes(counts: Counts, threads: int, input_bytes: int) -> Iterator[Counts]:
    """Yield the sizes of samples, each twice the one before; the last is all, or as much as memory is given to."""
    least = math.isqrt(2 * _PAIRS_A_THREAD * threads) + 1
    most = min(counts.largest, max(least, SAMPLE_BYTES // input_bytes))
    while least < most:
        yield counts.at_most(least)
        least *= 2
    yield counts.at_most(most)


def line(fewer: tuple[int, float], more: tuple[int, float]) -> tuple[float, float]:
    """Return what a run takes once, and for each pair, by the pairs and seconds of two runs.

    Neither is below zero, and a pair takes a quarter of the larger run's mean at least, however noisy times are.

    Examples
    --------
    >>> line((10, 2.0), (30, 4.0))
    (1.0, 0.1)
    """
    pairs, seconds = more
    mean = seconds / pairs
    per_pair = min(max((seconds - fewer[1]) / (pairs - fewer[0]), mean / 4), mean)
    return seconds - per_pair * pairs, per_pair


def extrapolated(fewer: Speed, at: int, more: Speed, positions: int) -> Speed:
    """Return the speed for more positions than were measured: times go on growing by the same power, at most the third.

    Parameters
    ----------
    fewer, more : Speed
        For `at` and for `MOST_POSITIONS` positions.
    positions : int
    """
    power = min(3.0, math.log(more.per_pair / fewer.per_pair) / math.log(MOST_POSITIONS / at))
    times = positions / MOST_POSITIONS
    return replace(more, per_input=more.per_input * times, per_pair=more.per_pair * times**power)
