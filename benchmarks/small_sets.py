# SPDX-License-Identifier: Apache-2.0
"""Measure the parts of calls on small sets: ``python benchmarks/small_sets.py [--threads N] [--against CHECKOUT]``.

For 49 positions and 24 to 300 inputs, prints the time of a call of `compute_rsm`, and as multiples of it those of lapx
and of the affinities alone; of the call's processor time, the shares of the affinities, of the matcher, and of the
caller's thread, which no further thread can take over. With ``--against``, also the time of another checkout, which
takes turns in processes of its own. Times are minima of turns. Takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter, process_time, thread_time

import numpy as np
from competitors import Activations, affinities_alone, lapx_batch, lapx_threads
from inputs import load_layer, with_copies
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import simplugins
from simplugins._common.threads import usable_cores

LAYER = "block15"
COPIES = {24: 1, 96: 4, 300: 13}
"""Copies of the layer's inputs, by the number of inputs used."""

TURNS, SECONDS, BATCH = 5, 0.3, 200


def call(activations: Activations, threads: int) -> None:
    """Compute an RSM."""
    simplugins.compute_rsm(activations, threads=threads)


@cache
def affinities_of_pairs() -> NDArray[np.float32]:
    """Return the affinities of `BATCH` pairs of the layer, one below the other."""
    rows = np.resize(with_copies(load_layer(LAYER), 2), (BATCH, *load_layer(LAYER).shape[1:]))
    return np.ascontiguousarray(rows.reshape(-1, rows.shape[2]) @ load_layer(LAYER)[0].T)


def match_alone(activations: Activations, threads: int) -> None:
    """Match as many pairs as a call, in one thread; always the same, whose affinities are in memory."""
    affinities, size = affinities_of_pairs(), activations.shape[1]
    match, pairs = simplugins.Optimal().match_batch, len(activations) * (len(activations) - 1) // 2
    for start in range(0, pairs, BATCH):
        problems = min(BATCH, pairs - start)
        match(affinities[: problems * size], np.arange(problems + 1) * size)


COMPETITORS = {"simplugins": call, "lapx": lapx_batch, "lapx, threads": lapx_threads, "affinities": affinities_alone}


def least(work: Callable[[Activations, int], object], activations: Activations, threads: int) -> tuple[float, ...]:
    """Return the least wall time, processor time and processor time of the caller's thread of repeated calls."""
    times: list[NDArray[np.float64]] = []
    end = perf_counter() + SECONDS
    while not times or perf_counter() < end:
        before = perf_counter(), process_time(), thread_time()
        work(activations, threads)
        after = perf_counter(), process_time(), thread_time()
        times.append(np.subtract(after, before))
    return tuple(np.min(times, 0).tolist())


def measure(threads: int, names: list[str]) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return the least times of competitors, by the number of inputs and by name."""
    call(np.zeros((2, 1, 1), np.float32), threads)
    affinities_of_pairs()
    parts = {"matcher": match_alone, **COMPETITORS}
    result: dict[str, dict[str, tuple[float, ...]]] = {}
    for count, copies in COPIES.items():
        activations = with_copies(load_layer(LAYER), copies)[:count]
        turns = [{name: least(parts[name], activations, threads) for name in names} for _ in range(TURNS)]
        result[str(count)] = {name: tuple(np.min([turn[name] for turn in turns], 0).tolist()) for name in names}
    return result


def measure_checkout(checkout: Path, threads: int) -> dict[str, float]:
    """Return the least wall time of calls of the package in a checkout, by the number of inputs."""
    variables = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, "--threads", str(threads), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return {count: times["simplugins"][0] for count, times in json.loads(done.stdout).items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout to compare with")
    parser.add_argument("--json", action="store_true", help="only print the times of calls, as JSON")
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure(options.threads, ["simplugins"])))
        return
    for count, times in measure(options.threads, list(COMPETITORS)).items():
        own = times.pop("simplugins")[0]
        others = ", ".join(f"{name} {time[0] / own:.2f}" for name, time in times.items())
        print(f"{count} inputs, {options.threads} threads: {1000 * own:.2f} ms; as multiples of it: {others}")
    with threadpool_limits(1, user_api="blas"):
        parts = measure(1, ["simplugins", "affinities", "matcher"])
    for count, times in parts.items():
        _, whole, caller = times["simplugins"]
        shares = {name: times[name][1] / whole for name in ("affinities", "matcher")} | {"caller": caller / whole}
        text = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        print(f"{count} inputs, 1 thread: {1000 * whole:.2f} ms of processor time; {text}")
    if options.against:
        own_checkout = Path(__file__).resolve().parents[1]
        turns = [
            (measure_checkout(options.against, options.threads), measure_checkout(own_checkout, options.threads))
            for _ in range(TURNS)
        ]
        for count in turns[0][0]:
            before, now = (min(turn[which][count] for turn in turns) for which in (0, 1))
            print(f"{count} inputs: the other checkout takes {before / now:.2f} times as long")


if __name__ == "__main__":
    main()
