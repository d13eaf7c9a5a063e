# SPDX-License-Identifier: Apache-2.0
"""The step that times other solvers for the GPU on the affinities that ours are matched on.

Both minimise the costs of batches (B, S, S) of Torch's, and return the column of each row. They get the negated
affinities ready as they want them, one problem after the other: only the solving is timed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import packages_distributions, version
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from runs import ratio

from on_gpu.context import Context
from on_gpu.device import Gpu
from on_gpu.inputs import Case, Vectors, load
from on_gpu.tiles import MOST_INPUTS, Tiles
from on_gpu.timing import SkippedError, take_turns, timed
from simplugins._common import arrays
from simplugins.compute.engines.cuda.launcher import Batch, Solved

PEERS = {"torch_linear_assignment": "batch_linear_assignment", "torch_lap_cuda": "solve_lap"}
"""Modules and their functions; torch_linear_assignment is of torch-linear-assignment, or of torch-hungarian."""

OWN, PEER = "simplugins", "peer"

FEW = 8
"""Inputs against as many others, which check a peer and tell how long it takes."""

MOST_ENTRIES = 2**29
"""Of a batch of affinities: some peers count them by 32 bits, or need 16 bytes for each."""

SHARE = 0.04
"""Of the time that is left, a call of a peer may take so much, by its time for few; else it gets fewer problems."""


def peer(context: Context, module: str, case: Case) -> dict[str, Any]:
    """Check a peer against our values, then time both on the same problems."""
    solve, name = load_peer(module)
    gpu, vectors = context.gpu, load(case)
    with gpu.device, warnings.catch_warnings():
        warnings.filterwarnings("error", ".*[Uu]sing (SciPy on )?CPU")
        difference, seconds = _compare(gpu, _tiles(gpu, vectors, FEW), solve)
        affordable = FEW * math.sqrt(SHARE * context.budget.left() / seconds)
        most = min(MOST_INPUTS, math.isqrt(MOST_ENTRIES // case.positions**2))
        tiles = _tiles(gpu, vectors, max(FEW, min(most, int(affordable))))
        batch = tiles.batch(0, 1)
        own, other = partial(tiles.solve, batch), partial(solve, costs_of(batch, case.positions))
        turns = take_turns({OWN: timed(gpu, own), PEER: timed(gpu, other)}, context.budget)
    return {
        "version": name,
        "problems": batch.count,
        "difference": difference,
        "rounds": len(turns[OWN]),
        "seconds_a_problem": {key: median(of_turns) / batch.count for key, of_turns in turns.items()},
        "times_as_fast": ratio(turns[PEER], turns[OWN]),
    }


def _tiles(gpu: Gpu, vectors: Vectors, side: int) -> Tiles:
    """Return a tile of some inputs against as many others."""
    side = min(side, len(vectors) // 2)
    return Tiles(gpu, vectors[: 2 * side], most=side)


def load_peer(module: str) -> tuple[Callable[[Any], Any], str]:
    """Import a peer; returns what solves, and the name and version of its distribution.

    Raises
    ------
    SkippedError
        If it cannot be imported.
    """
    try:
        solve = getattr(import_module(module), PEERS[module])
    except ImportError as error:
        raise SkippedError(f"cannot be imported: {error}") from error
    names = packages_distributions().get(module)
    return solve, f"{names[0]} {version(names[0])}" if names else module


def _compare(gpu: Gpu, tiles: Tiles, solve: Callable[[Any], Any]) -> tuple[float, float]:
    """Return the largest difference of values, relative to the matched affinities' magnitude, and a peer's seconds."""
    batch = tiles.batch(0, 1)
    own, costs = tiles.solve(batch), costs_of(batch, tiles.positions)
    columns = solve(costs)
    seconds = timed(gpu, partial(solve, costs))()
    return relative_difference(own, costs, columns), seconds


def costs_of(batch: Batch, positions: int) -> Any:
    """Return a tile's negated affinities as a tensor, (B, S, S), where they lie."""
    torch, xp = import_module("torch"), arrays.namespace(batch.affinities)
    rows, columns = (length // positions for length in batch.affinities.shape)
    by_pair = batch.affinities.reshape(rows, positions, columns, positions).swapaxes(1, 2)
    return torch.from_dlpack(xp.ascontiguousarray(-by_pair).reshape(-1, positions, positions))


def relative_difference(own: Solved, costs: Any, columns: Any) -> float:
    """Compare a peer's values with ours.

    Raises
    ------
    ValueError
        If it returns something else than permutations.
    """
    found: NDArray[np.int64] = columns.long().cpu().numpy()
    if not (np.sort(found, 1) == np.arange(found.shape[1])).all():
        raise ValueError("the peer returned something else than permutations")
    matched = np.take_along_axis(costs.cpu().numpy(), found[:, :, None], 2)
    values = -matched.sum((1, 2), dtype=np.float64)
    return float((np.abs(values - own.values) / own.magnitudes).max())
