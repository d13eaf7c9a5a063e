# SPDX-License-Identifier: Apache-2.0
"""Measure the CPU time of the host for a GPU: ``python benchmarks/host_share.py [--inputs 4000]``.

The GPU does nothing in no time; copies between page-locked memory and arrays of the host are done. Needs no GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import simplugins

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from emulation.null_device import NullArray, null_gpu

POSITIONS, CHANNELS = 49, 320
MEASURES = (
    *("semantic-linear", "semantic-cosine", "semantic-rbf", "spatio-semantic-cosine"),
    *("second-order-cosine", "max-sim-cosine"),
)
ROUNDS = 6


def host_seconds(
    array: Any, measure: str, *, clock: Callable[[], float] = time.process_time, rounds: int = ROUNDS
) -> tuple[float, int]:
    """Return the least time of several calls after the first, and the number of allocations in the last."""
    seconds, made = [], 0
    with null_gpu() as pool:
        for _ in range(rounds):
            before, start = pool.allocations, clock()
            simplugins.compute_rsm(array, measure)
            seconds.append(clock() - start)
            made = pool.allocations - before
    return min(seconds[1:]), made


def main() -> None:
    """Print the host's time per pair, from CuPy and from NumPy arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=4000)
    inputs = parser.parse_args().inputs
    host = np.random.default_rng(0).standard_normal((inputs, POSITIONS, CHANNELS), np.float32)
    arrays = {
        "CuPy": NullArray(host.shape, host.dtype),
        "NumPy float32": host,
        "NumPy float16": host.astype(np.float16),
    }
    for kind, array in arrays.items():
        for measure in MEASURES:
            seconds, made = host_seconds(array, measure)
            each = 1e9 * seconds / (inputs * (inputs - 1) / 2)
            print(f"{kind:14} {measure:24} {each:6.2f} ns per pair, {made} allocations in a later call")


if __name__ == "__main__":
    main()
