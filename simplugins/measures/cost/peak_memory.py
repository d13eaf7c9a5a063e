# SPDX-License-Identifier: Apache-2.0
"""What a run takes of memory, by what it is of."""

from __future__ import annotations

from simplugins.compute.engines.cpu import CACHE_BYTES, TILE_BYTES
from simplugins.measures.cost.planned import Counts, PlannedRun, Size

MATRICES = {"linear": 2, "cosine": 3, "rbf": 4}
"""How many matrices of the result's size there are at once, the result among them, when a kernel is applied."""

PROCESS_BYTES = 180 * 2**20
"""What Python takes with NumPy, SciPy and the compiled kernels, before there are any activations."""


def memory_of(size: Size, run: PlannedRun, activations_bytes: int) -> int:
    """Return the bytes that a run takes at its peak, on the CPU.

    That is: the process, the activations as they are given, blocks of them converted (see `simplugins.compute.engines.cpu`),
    for each thread a tile of affinities and the costs of a pair, and matrices of the result's size: while pairs are
    matched that of their products, then those of the kernel. A certified run keeps one more.

    Parameters
    ----------
    size : Size
    run : PlannedRun
    activations_bytes : int
        What the given activations take in memory.
    """
    result = result_bytes(size.counts)
    width = size.positions if run.matcher.window is None or run.certify else min(size.positions, run.matcher.window)
    pair = size.positions * width * size.dtype.itemsize
    converted = min(CACHE_BYTES, size.activations_bytes)
    working = run.threads * (max(TILE_BYTES, pair) + pair)
    matrices = MATRICES[run.measure.kernel] * result
    return PROCESS_BYTES + activations_bytes + converted + working + matrices + (result if run.certify else 0)


def result_bytes(counts: Counts) -> int:
    """Return the bytes of an RSM: float64, N × N or N × M."""
    return 8 * counts.inputs * (counts.inputs if counts.others is None else counts.others)
