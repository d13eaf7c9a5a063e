# SPDX-License-Identifier: Apache-2.0
"""The speed of this machine, measured by comparing samples for a few seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import numpy as np

from simplugins.activations.activations import Activations
from simplugins.measures.cost.planned import Counts, Opener, PlannedCall

T = TypeVar("T")

MOST_POSITIONS = 4096
"""Largest number of positions of synthetic activations; beyond it, times are extrapolated by a power law."""

SAMPLE_BYTES = 64 * 2**20
"""Memory for sampled activations, unless the smallest sample needs more."""

_ROUNDS = 5
"""Repetitions of the two largest samples, at most."""

_PAIRS_PER_THREAD = 3
"""Pairs per thread in the smallest sample, so that all threads are busy most of the time."""


@dataclass(frozen=True)
class Speed:
    """The model of a call's time: ``fixed + per_input (N + M) + per_pair pairs`` seconds.

    Attributes
    ----------
    fixed, per_input, per_pair : float
        In seconds.
    pairs : int
        Pairs of the largest sample.
    """

    fixed: float
    per_input: float
    per_pair: float
    pairs: int

    def seconds(self, inputs: int, pairs: int) -> float:
        """Return the time of a number of inputs and pairs."""
        return self.fixed + self.per_input * inputs + self.per_pair * pairs


def calibrate(
    call: PlannedCall,
    rows: Callable[[int], Opener],
    columns: Callable[[int], Opener],
    counts: Counts,
    input_bytes: int,
    seconds: float,
) -> Speed:
    """Measure the speed of a call: samples are doubled while time allows, or until they hold all inputs.

    Parameters
    ----------
    call : PlannedCall
    rows, columns : callables
        For a number of inputs, return a function that reads them.
    counts : Counts
        Inputs of the whole call.
    input_bytes : int
        Bytes of the largest input, converted.
    seconds : float
        Time to spend.

    Returns
    -------
    Speed
        From the last two samples. If the last one holds all inputs, its time is that of the call.
    """
    fixed = fixed_cost(call, rows(2)())
    started = perf_counter()

    def remaining() -> float:
        return seconds - (perf_counter() - started)

    samples: list[_Sample] = []
    for size in sample_sizes(counts, call.threads, input_bytes):
        if samples and fixed + (samples[-1].seconds - fixed) * size.pairs / samples[-1].counts.pairs > remaining():
            break
        openers = rows(size.inputs), None if size.other_inputs is None else columns(size.other_inputs)
        samples.append(_Sample.measured(call, size, *openers))
    samples = samples[-2:]
    for _ in range(_ROUNDS - 1):
        if sum(sample.seconds for sample in samples) > remaining():
            break
        samples = [sample.timed_again(call) for sample in samples]
    largest = samples[-1]
    before = (samples[0].counts.pairs, samples[0].seconds) if len(samples) > 1 else (0, fixed)
    fixed, per_pair = line(before, (largest.counts.pairs, largest.seconds))
    return Speed(fixed, largest.reading / largest.counts.total, per_pair, largest.counts.pairs)


@dataclass(frozen=True)
class _Sample:
    """Some inputs, and the shortest times measured for reading and comparing them."""

    counts: Counts
    x: Activations
    y: Activations | None
    reading: float
    seconds: float

    @classmethod
    def measured(cls, call: PlannedCall, counts: Counts, rows: Opener, columns: Opener | None) -> _Sample:
        """Read a sample and compare it."""
        reading, (x, y) = timed(lambda: (rows(), None if columns is None else columns()))
        return cls(counts, x, y, reading, timed(lambda: call(x, y))[0])

    def timed_again(self, call: PlannedCall) -> _Sample:
        """Compare the sample once more."""
        return replace(self, seconds=min(self.seconds, timed(lambda: call(self.x, self.y))[0]))


def fixed_cost(call: PlannedCall, two: Activations) -> float:
    """Return the seconds of the smallest possible call, after imports and compilation.

    It compares two single positions; or the inputs `two`, for plugin measures, which may accept no others.
    """
    smallest = two if call.measure.kernel is None else Activations.from_array(np.ones((2, 1, 1), two.dtype))
    call(smallest, None)
    return min(timed(lambda: call(smallest, None))[0] for _ in range(_ROUNDS))


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that a call takes, and its result."""
    start = perf_counter()
    result = call()
    return perf_counter() - start, result


def sample_sizes(counts: Counts, threads: int, input_bytes: int) -> Iterator[Counts]:
    """Yield sample sizes that double, up to all inputs or the memory for samples."""
    least = math.isqrt(2 * _PAIRS_PER_THREAD * threads) + 1
    most = min(counts.largest, max(least, SAMPLE_BYTES // input_bytes))
    while least < most:
        yield counts.at_most(least)
        least *= 2
    yield counts.at_most(most)


def line(fewer: tuple[int, float], more: tuple[int, float]) -> tuple[float, float]:
    """Return the fixed time and the time per pair, from the pairs and seconds of two calls.

    Neither is negative, and a pair takes at least a quarter of the larger call's mean, however noisy the times are.

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
    """Extrapolate the speed to more positions by the power law of two measurements, at most cubic.

    Parameters
    ----------
    fewer, more : Speed
        Measured at `at` and at `MOST_POSITIONS` positions.
    positions : int
    """
    power = min(3.0, math.log(more.per_pair / fewer.per_pair) / math.log(MOST_POSITIONS / at))
    times = positions / MOST_POSITIONS
    return replace(more, per_input=more.per_input * times, per_pair=more.per_pair * times**power)
