# SPDX-License-Identifier: Apache-2.0
"""Solve very many hostile problems: check values and certificates against SciPy, and search for slow ones.

::

    python benchmarks/solvers/fuzz.py --problems 1000000 --seed 0 [--seconds 600] [-o FILE.json]
    python benchmarks/solvers/fuzz.py --remake 0:12:3/77

Each problem is solved as it is and with rows and columns exchanged. Both values must reach SciPy's in float64 (to 2^-20
of the matched magnitudes in float32, 2^-44 in float64), and the dual bounds must hold and agree with the values as
closely. Slowness is a problem's processor time over the median of `SAMPLED` hostile problems of its shape and
precision, both without the fixed cost of a call (that of a 1 x 1 problem) and with `FLOOR` added. A quarter of the
batches are mutations of the slowest problems found so far. The report lists the slowest with their lineage, from which
``--remake`` makes them again. The exit status is 1 if a value or bound is wrong.

Batches are made from the seed and their number, so a run without mutations (``--no-search``) is the same each time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from machine import environment
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from simplugins.matching import objective
from solvers.competing import assign, count_work, values
from solvers.hostile import make, mutate, plan, remake, sample
from solvers.timing import EXACT

FLOOR = 5e-6
"""Seconds added to times of either side of a ratio, which is about the noise of a single call."""

ELEMENTS, MOST = 60_000, 48
"""A batch has at most this many affinities (but at least one problem), and this many problems."""

SLOW = 3.0
"""Problems this many times as slow as the median are measured again, and may become parents of mutations."""

PARENTS = 12
"""Number of slowest problems per shape that have mutations."""

SHARE_OF_MUTATIONS = 0.25
LISTED = 25
SAMPLED = 151
LIMITS = (5, 10, 20)
"""Ratios for which the report counts the problems beyond, not counting mutations."""


@dataclass(frozen=True, order=True)
class Slow:
    """A slow problem."""

    ratio: float
    microseconds: float
    shape: str
    kind: str
    lineage: str


@dataclass
class Record:
    """What a run has found so far."""

    problems: int = 0
    new: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)
    references: dict[str, float] = field(default_factory=dict)
    beyond: dict[int, int] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0))
    slowest: dict[str, list[Slow]] = field(default_factory=lambda: defaultdict(list))
    kinds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    exchanged: list[tuple[float, str, str]] = field(default_factory=list)

    def keep(self, slow: Slow) -> None:
        """Keep a slow problem if it is among the slowest of its shape."""
        group = self.slowest[slow.shape]
        group.append(slow)
        group.sort(reverse=True)
        del group[PARENTS:]


def seconds_of(problem: NDArray[np.floating], repeats: int = 1) -> float:
    """Return the processor time of one call, the shortest of some."""
    times = []
    for _ in range(repeats):
        start = process_time()
        assign(problem[None])
        times.append(process_time() - start)
    return min(times)


def check(problems: NDArray[np.floating], best: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Solve a batch and return which problems have a valid value and bound, and the values."""
    count, rows, cols = problems.shape
    assignments = assign(problems)
    value, size = values(problems, assignments.columns.reshape(count, rows))
    upper, gap = np.empty((2, count))
    offsets = np.arange(count + 1) * rows
    prices = np.ascontiguousarray(assignments.prices)
    objective.dual_bounds(problems.reshape(-1, cols), offsets, prices, value, upper, gap)
    allowed = EXACT[str(problems.dtype)] * size + 4 * max(rows, cols) * np.finfo(np.float64).eps * size
    right = (best - value <= allowed) & (upper >= best - allowed) & (upper - value <= 4 * allowed + _rounding(prices))
    return np.asarray(right), value


def _rounding(prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a bound may be off because it is a sum of prices much larger than the value."""
    sums = np.abs(prices).sum(1)
    return np.asarray(8 * prices.shape[1] * np.finfo(np.float64).eps * sums + 2.0**-24 * sums)


class Fuzz:
    """A run: batches of new problems and of mutations."""

    def __init__(self, seed: int, search: bool) -> None:
        self.seed, self.search = seed, search
        self.record = Record()
        self.rng = np.random.default_rng([seed, 2**31])
        self.overhead = seconds_of(np.ones((1, 1), np.float32), 200)

    def run(self, number: int) -> None:
        """Make and solve the batch with this number, or mutations instead."""
        parents = [slow for group in self.record.slowest.values() for slow in group]
        if self.search and parents and self.rng.random() < SHARE_OF_MUTATIONS:
            parent = parents[self.rng.integers(len(parents))]
            seeds = self.rng.integers(0, 2**31, 8)
            original = remake(parent.lineage)
            lineages = [f"{parent.lineage}/{seed}" for seed in seeds]
            self._solve([mutate(original, int(seed)) for seed in seeds], lineages, parent.kind)
            return
        batch = plan(self.seed, number)
        count = int(np.clip(ELEMENTS // (batch.rows * batch.cols), 1, MOST))
        lineages = [f"{self.seed}:{number}:{index}" for index in range(count)]
        self._solve([make(self.seed, number, index) for index in range(count)], lineages, batch.kind)

    def _solve(self, problems: list[NDArray[np.floating]], lineages: list[str], kind: str) -> None:
        record = self.record
        stack = np.stack(problems)
        _, rows, cols = stack.shape
        best = _best(stack)
        turned = np.ascontiguousarray(stack.transpose(0, 2, 1))
        for each, way in ((stack, ""), (turned, " exchanged")):
            right, _ = check(each, best)
            for index in np.flatnonzero(~right):
                record.wrong.append({"lineage": lineages[index] + way, "kind": kind, "shape": f"{rows}x{cols}"})
        shape = f"{rows}x{cols} {stack.dtype}"
        there = [max(seconds_of(problem) - self.overhead, 0) for problem in stack]
        back = [max(seconds_of(problem) - self.overhead, 0) for problem in turned]
        if shape not in record.references:
            record.references[shape] = self._reference(rows, cols, str(stack.dtype))
        for k, lineage in enumerate(lineages):
            self._judge((stack[k], turned[k]), (there[k], back[k]), (shape, kind, lineage))
        record.problems += len(problems)

    def _reference(self, rows: int, cols: int, dtype: str) -> float:
        """Return the median seconds of hostile problems of a shape, in the slower orientation."""
        problems = sample(rows, cols, dtype, SAMPLED if rows * cols < ELEMENTS else SAMPLED // 5, self.seed)
        times = [max(seconds_of(x, 2), seconds_of(np.ascontiguousarray(x.T), 2)) for x in problems]
        return max(float(np.median(times)) - self.overhead, 0)

    def _judge(
        self,
        ways: tuple[NDArray[np.floating], ...],
        seconds: tuple[float, float],
        labels: tuple[str, str, str],
    ) -> None:
        """Measure a problem again if it was slow, in either orientation, and keep it if it still is."""
        shape, kind, lineage = labels
        reference = self.record.references[shape] + FLOOR
        ratio = (max(seconds) + FLOOR) / reference
        if ratio > SLOW:
            there, back = (max(seconds_of(way, 4) - self.overhead, 0) + FLOOR for way in ways)
            ratio = max(there, back) / reference
            if ratio > SLOW:
                self.record.keep(Slow(ratio, 1e6 * (max(there, back) - FLOOR), shape, kind, lineage))
            factor = max(there / back, back / there)
            self.record.exchanged.append((factor, shape, lineage))
            self.record.exchanged = sorted(self.record.exchanged, reverse=True)[:LISTED]
        if "/" not in lineage:
            self.record.new += 1
            base, *changes = kind.split(" + ")
            for name in {base, *(f"+ {change}" for change in changes)}:
                self.record.kinds[name].append(ratio)
            for limit in LIMITS:
                self.record.beyond[limit] += ratio > limit


def _best(stack: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return SciPy's values in float64."""
    wide = stack.astype(np.float64)
    best = np.empty(len(wide))
    for k, problem in enumerate(wide):
        rows, columns = linear_sum_assignment(problem, maximize=True)
        best[k] = problem[rows, columns].sum()
    return best


def summarise(fuzz: Fuzz, seconds: float) -> dict[str, Any]:
    """Return the results of a run."""
    record = fuzz.record
    slow = sorted((slow for group in record.slowest.values() for slow in group), reverse=True)
    kinds = {
        kind: {"median": float(np.median(x)), "most": max(x), "beyond_5": float(np.mean(np.array(x) > 5))}
        for kind, x in record.kinds.items()
    }
    return {
        "command": f"python benchmarks/solvers/fuzz.py --seed {fuzz.seed}",
        **environment(1),
        "problems": record.problems,
        "seconds": seconds,
        "wrong": record.wrong,
        "new_problems": record.new,
        "beyond": record.beyond,
        "slowest": [asdict(item) for item in slow[:LISTED]],
        "exchanged": [{"factor": f, "shape": s, "lineage": x} for f, s, x in record.exchanged],
        "kinds": dict(sorted(kinds.items(), key=lambda item: -item[1]["most"])),
        "median_microseconds": {shape: 1e6 * time for shape, time in sorted(record.references.items())},
    }


def print_summary(summary: dict[str, Any]) -> None:
    """Print the results of a run."""
    wrong = summary["wrong"]
    print(f"{summary['problems']} problems, both orientations, {summary['seconds']:.0f} s; wrong: {len(wrong)}")
    for item in wrong[:LISTED]:
        print(f"  WRONG {item['lineage']} {item['shape']} {item['kind']}")
    counts = ", ".join(f"{count} beyond {limit}" for limit, count in summary["beyond"].items())
    print(f"times relative to the median of their shape: of {summary['new_problems']} new problems {counts}; slowest:")
    for item in summary["slowest"]:
        time = f"{item['ratio']:7.1f} {item['microseconds']:9.0f} us"
        print(f"  {time} {item['shape']:16s} {item['lineage']:30s} {item['kind']}")
    print("largest factors between both orientations, among slow problems:")
    for item in summary["exchanged"][:8]:
        print(f"  {item['factor']:7.1f} {item['shape']:16s} {item['lineage']}")
    print("kinds: largest and median ratio, share beyond 5")
    for kind, entry in summary["kinds"].items():
        print(f"  {entry['most']:7.1f} {entry['median']:6.2f} {entry['beyond_5']:7.2%} {kind}")


def show(lineage: str) -> None:
    """Make one problem again, and print its times and counts in both orientations."""
    problem = remake(lineage)
    print(lineage, problem.shape, problem.dtype, plan(*map(int, lineage.split("/")[0].split(":")[:2])).kind)
    for way in (problem, np.ascontiguousarray(problem.T)):
        right, value = check(way[None], _best(way[None]))
        time, counts = 1e6 * seconds_of(way, 20), count_work(way[None]) or ""
        print(f"  {time:.1f} us, value {float(value[0])!r}, {'right' if right[0] else 'WRONG'} {counts}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, run, print the results, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problems", type=int, default=20_000, help="number of problems (default: 20000)")
    parser.add_argument("--seconds", type=float, default=np.inf, help="stop after this many seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-search", action="store_true", help="no mutations of slow problems")
    parser.add_argument("--remake", help="print one problem, by its lineage")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the results")
    options = parser.parse_args(arguments)
    with threadpool_limits(1):
        if options.remake:
            show(options.remake)
            return 0
        fuzz, start, number = Fuzz(options.seed, not options.no_search), perf_counter(), 0
        while fuzz.record.problems < options.problems and perf_counter() - start < options.seconds:
            fuzz.run(number)
            number += 1
        summary = summarise(fuzz, perf_counter() - start)
    print_summary(summary)
    if options.output:
        options.output.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 1 if summary["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
