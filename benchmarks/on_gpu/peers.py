# SPDX-License-Identifier: Apache-2.0
"""The step that compares other GPU solvers with ours, on the same affinities.

They minimise costs given as Torch tensors (B, S, S), and return the column of each row. Negation and layout of the
affinities are not timed.
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
"""Functions by module; torch_linear_assignment belongs to torch-linear-assignment or to torch-hungarian."""

OURS, PEER = "simplugins", "peer"

FEW = 8
"""Number of inputs on each side of the tile that checks a peer and estimates its speed."""

MOST_ENTRIES = 2**29
"""Maximum number of affinities per batch: some peers use 32-bit indices, or 16 bytes per affinity."""

SHARE = 0.04
"""Maximum share of the remaining time for one call of a peer, as estimated from the small tile."""


def peer(context: Context, module: str, case: Case) -> dict[str, Any]:
    """Check a peer's values against ours, then time both on the same problems."""
    solve, name = load_peer(module)
    gpu, vectors = context.gpu, load(case)
    with gpu.device, warnings.catch_warnings():
        warnings.filterwarnings("error", ".*[Uu]sing (SciPy on )?CPU")
        difference, seconds = _compare(gpu, _tiles(gpu, vectors, FEW), solve)
        affordable = FEW * math.sqrt(SHARE * context.budget.left() / seconds)
        most = min(MOST_INPUTS, math.isqrt(MOST_ENTRIES // case.positions**2))
        tiles = _tiles(gpu, vectors, max(FEW, min(most, int(affordable))))
        batch = tiles.batch(0, 1)
        ours, theirs = partial(tiles.solve, batch), partial(solve, costs_of(batch, case.positions))
        turns = take_turns({OURS: timed(gpu, ours), PEER: timed(gpu, theirs)}, context.budget)
    return {
        "version": name,
        "problems": batch.count,
        "difference": difference,
        "rounds": len(turns[OURS]),
        "seconds_a_problem": {key: median(of_turns) / batch.count for key, of_turns in turns.items()},
        "times_as_fast": ratio(turns[PEER], turns[OURS]),
    }


def _tiles(gpu: Gpu, vectors: Vectors, side: int) -> Tiles:
    """Return a tile of `side` inputs by as many others."""
    side = min(side, len(vectors) // 2)
    return Tiles(gpu, vectors[: 2 * side], most=side)


def load_peer(module: str) -> tuple[Callable[[Any], Any], str]:
    """Import a peer; return its solver, and the name and version of its distribution.

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
    """Return the largest difference of values, relative to the magnitude of the matched affinities, and the seconds."""
    batch = tiles.batch(0, 1)
    solved, costs = tiles.solve(batch), costs_of(batch, tiles.positions)
    columns = solve(costs)
    seconds = timed(gpu, partial(solve, costs))()
    return relative_difference(solved, costs, columns), seconds


def costs_of(batch: Batch, positions: int) -> Any:
    """Return a tile's negated affinities as a Torch tensor (B, S, S) on the same device."""
    torch, xp = import_module("torch"), arrays.namespace(batch.affinities)
    rows, columns = (length // positions for length in batch.affinities.shape)
    by_pair = batch.affinities.reshape(rows, positions, columns, positions).swapaxes(1, 2)
    return torch.from_dlpack(xp.ascontiguousarray(-by_pair).reshape(-1, positions, positions))


def relative_difference(solved: Solved, costs: Any, columns: Any) -> float:
    """Compare a peer's values with ours.

    Raises
    ------
    ValueError
        If the peer does not return permutations.
    """
    assignments: NDArray[np.int64] = columns.long().cpu().numpy()
    if not (np.sort(assignments, 1) == np.arange(assignments.shape[1])).all():
        raise ValueError("the peer did not return permutations")
    matched = np.take_along_axis(costs.cpu().numpy(), assignments[:, :, None], 2)
    values = -matched.sum((1, 2), dtype=np.float64)
    return float((np.abs(values - solved.values) / solved.magnitudes).max())
