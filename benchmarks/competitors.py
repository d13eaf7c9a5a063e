# SPDX-License-Identifier: Apache-2.0
"""Competitors: functions that compute the aligned inner products of all pairs of N inputs.

Each takes float32 activations (N, S, C) and a number of threads, and returns an (N, N) array with valid entries above
the diagonal. One table feeds both the benchmarks and the check that all competitors agree, so every timed function is
also a checked one. Each competitor uses the batch size and the number of BLAS threads with which it was fastest. BLAS
gets one thread in those that solve assignments, because OpenBLAS's idle threads spin and slow down the solver.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from threadpoolctl import ThreadpoolController

import simplugins
from simplugins._common.threads import usable_cores

Activations = NDArray[np.float32]
Products = NDArray[np.float64]

TILE_BYTES = 8 * 2**20
"""Maximum size of the affinities of a tile (of one pair, if that is more), so that they stay in the caches."""

TILES_A_BATCH = 32
"""Number of tiles per call of lapx; large batches keep its threads busy."""

RTOL = 1e-5
"""Float32 rounds each of up to 320 products by at most 2**-24. Errors partly cancel, to about sqrt(320) * 2**-24 = 1e-6
of the sum of magnitudes, which is a few times the sum. A wrong assignment differs by more."""


class Tile(NamedTuple):
    """One input by a range of later ones."""

    one: int
    others: slice

    @property
    def pairs(self) -> int:
        """Number of pairs of inputs."""
        return int(self.others.stop - self.others.start)


class Competitor(NamedTuple):
    """A function with the reference that it must agree with."""

    compute: Callable[[Activations, int], Products]
    reference: Callable[[Activations], Products]


def scipy_loop(activations: Activations, threads: int) -> Products:
    """Solve pair by pair with SciPy, as is common today; uses one core regardless of `threads`."""
    products = np.zeros((len(activations), len(activations)))
    with _blas().limit(limits=1):
        for i, j in _pairs(activations):
            products[i, j] = _scipy_pair(activations[i], activations[j])
    return products


def scipy_threads(activations: NDArray[np.floating], threads: int) -> Products:
    """Solve pairs with SciPy in a pool of threads, which is possible because its solver releases the GIL."""
    products = np.zeros((len(activations), len(activations)))

    def solve(pair: tuple[int, int]) -> None:
        i, j = pair
        products[i, j] = _scipy_pair(activations[i], activations[j])

    _in_threads(solve, list(_pairs(activations)), threads)
    return products


def lapx_batch(activations: Activations, threads: int) -> Products:
    """Solve large batches with lapx, which distributes them to its own threads."""
    products = np.zeros((len(activations), len(activations)))
    negated = -activations
    tiles = _tiles(activations)
    batches = [tiles[start : start + TILES_A_BATCH] for start in range(0, len(tiles), TILES_A_BATCH)]
    memory = _memory(activations, max(sum(tile.pairs for tile in batch) for batch in batches))
    with _blas().limit(limits=1):
        for batch in batches:
            filled = 0
            for tile in batch:
                filled += len(_multiply(negated[tile.one], activations[tile.others], memory[filled:]))
            ones = np.repeat([tile.one for tile in batch], [tile.pairs for tile in batch])
            others = np.concatenate([np.arange(tile.others.start, tile.others.stop) for tile in batch])
            products[ones, others] = -lap.lapjvr_batch(memory[:filled], n_threads=threads)[0]
    return products


def lapx_threads(activations: Activations, threads: int) -> Products:
    """Solve tiles with lapx in a pool of threads, each of which computes and solves one tile at a time."""
    products = np.zeros((len(activations), len(activations)))
    negated = -activations
    tiles = _tiles(activations)
    local = threading.local()

    def solve(tile: Tile) -> None:
        if not hasattr(local, "memory"):
            local.memory = _memory(activations, max(tile.pairs for tile in tiles))
        costs = _multiply(negated[tile.one], activations[tile.others], local.memory)
        products[tile.one, tile.others] = -lap.lapjvr_batch(costs, n_threads=1)[0]

    _in_threads(solve, tiles, threads)
    return products


def affinities_alone(activations: Activations, threads: int) -> Products:
    """Compute all affinities without matching, as a lower limit; return those of the first positions of each pair."""
    firsts = np.zeros((len(activations), len(activations)))
    tiles = _tiles(activations)
    memory = _memory(activations, max(tile.pairs for tile in tiles))
    with _blas().limit(limits=threads):
        for tile in tiles:
            affinities = _multiply(activations[tile.one], activations[tile.others], memory)
            firsts[tile.one, tile.others] = affinities[:, 0, 0]
    return firsts


def simplugins_call(activations: Activations, threads: int) -> Products:
    """Compute the RSMs of all three kernels by the public function, and return the linear one."""
    return np.asarray(simplugins.compute_rsms(activations, threads=threads)["semantic-linear"])


def optimal_products(activations: Activations) -> Products:
    """Return the optimal aligned inner products, computed in float64."""
    return scipy_threads(activations.astype(np.float64), usable_cores())


def first_affinities(activations: Activations) -> Products:
    """Return the inner products of the vectors at the first position of each pair."""
    firsts = activations[:, 0].astype(np.float64)
    return np.asarray(firsts @ firsts.T)


OWN = "simplugins"
FLOOR = "affinities"

COMPETITORS: dict[str, Competitor] = {
    OWN: Competitor(simplugins_call, optimal_products),
    "scipy": Competitor(scipy_loop, optimal_products),
    "scipy, threads": Competitor(scipy_threads, optimal_products),
    "lapx": Competitor(lapx_batch, optimal_products),
    "lapx, threads": Competitor(lapx_threads, optimal_products),
    FLOOR: Competitor(affinities_alone, first_affinities),
}


def _pairs(activations: Activations) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(len(activations)) for j in range(i + 1, len(activations)))


def _scipy_pair(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    affinities = x @ y.T
    rows, columns = linear_sum_assignment(affinities, maximize=True)
    return float(affinities[rows, columns].sum())


def _tiles(activations: Activations) -> list[Tile]:
    """Cut the pairs above the diagonal into tiles of at most `TILE_BYTES` of affinities."""
    count, positions = activations.shape[:2]
    most = max(1, TILE_BYTES // (positions**2 * activations.itemsize))
    return [
        Tile(one, slice(start, min(start + most, count)))
        for one in range(count - 1)
        for start in range(one + 1, count, most)
    ]


def _memory(activations: Activations, pairs: int) -> NDArray[np.float32]:
    positions = activations.shape[1]
    return np.empty((pairs, positions, positions), np.float32)


def _multiply(one: Activations, others: Activations, memory: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write the affinities (B, S, S) of other inputs (B, S, C) with one input (S, C) to memory, as one product."""
    count, positions, channels = others.shape
    affinities = memory[:count]
    np.matmul(others.reshape(-1, channels), one.T, out=affinities.reshape(-1, positions))
    return affinities


@cache
def _blas() -> Any:
    """Find the loaded BLAS libraries, once, because that takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def _in_threads(work: Callable[[Any], None], items: list[Any], threads: int) -> None:
    with _blas().limit(limits=1), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass
