# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the trade-off of approximate matchings: their time, and the share of the optimal similarity they reach.

All matchings of a size take turns (see `turns`). Other libraries, which take up to seconds per pair, have one turn,
together with the first of ours. No test asserts a time, but every result is checked before it is timed: no pair is
above SciPy's optimum in float64, or further below it than its matching guarantees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from competitors import COMPETITORS, RTOL, Activations, Products, optimal_products
from inputs import describe, load_layer
from machine import environment
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from turns import LEAST_ROUNDS, first_call

import simplugins

LAYERS = {49: "block15", 196: "block10", 784: "block4", 3136: "block2"}
"""Layers by number of positions."""

TURNS, TURN_SECONDS = 9, 0.15
"""More and shorter turns than for exact RSMs, because there are more competitors: a turn still takes only seconds, so
that a disturbance affects all competitors or few turns."""

WINDOWS = 32, 64, 128, 256, 512
TOP = 128
"""The k of top-k greedy matching, limited to a quarter of the positions."""

WORST_AMONG = 0.05
"""The worst pair is the worst of those whose optimum is at least this share of the product of norms; for optima close
to or below zero, a share of the optimum is meaningless."""


class Matching(NamedTuple):
    """A way to match, and the largest relative gap it guarantees: 0 if exact, infinite if it guarantees none."""

    compute: Callable[[Activations, int], Products]
    largest_gap: float
    turns: int = TURNS
    least_rounds: int = LEAST_ROUNDS


def own(
    matching: simplugins.Matcher | None, largest_gap: float = math.inf, measure: str = "semantic-linear"
) -> Matching:
    """Compute an RSM with `compute_rsm`."""

    def compute(activations: Activations, threads: int) -> Products:
        return np.asarray(simplugins.compute_rsm(activations, measure, threads=threads, matching=matching))

    return Matching(compute, largest_gap)


def peer(name: str) -> Matching:
    """Solve with another library; see `competitors`."""
    return Matching(COMPETITORS[name].compute, largest_gap=0, turns=1, least_rounds=1)


OPTIMAL = "optimal"
GREEDY, TOP_GREEDY, IDENTITY = "greedy", "topk-greedy", "identity"
AUCTIONS = {f"auction, {percent} %": percent / 100 for percent in (1, 5)}
BATCHES = {f"batch-optimal, {window}": window for window in WINDOWS}
PEERS = {"scipy, threads (optimal)": "scipy, threads", "lapx (optimal)": "lapx"}


@cache
def matchings(positions: int) -> dict[str, Matching]:
    """Return all matchings for sets with this number of positions."""
    return {
        OPTIMAL: own(simplugins.Optimal(), 0),
        **{name: own(simplugins.Auction(tolerance=tolerance), tolerance) for name, tolerance in AUCTIONS.items()},
        **{name: own(simplugins.BatchOptimal(window=k)) for name, k in BATCHES.items() if k < positions},
        TOP_GREEDY: own(simplugins.TopKGreedy(k=min(TOP, positions // 4))),
        GREEDY: own(simplugins.Greedy()),
        IDENTITY: own(None, measure="spatio-semantic-linear"),
        **{name: peer(competitor) for name, competitor in PEERS.items()},
    }


def cases() -> list[tuple[int, int, str]]:
    """Return positions, turn and matching of all benchmarks; the matchings of a turn run in succession."""
    return [
        (positions, turn, name)
        for positions in LAYERS
        for turn in range(TURNS)
        for name, matching in matchings(positions).items()
        if turn < matching.turns
    ]


@cache
def expected(positions: int) -> Products:
    """Return the optimal aligned inner products."""
    return optimal_products(load_layer(LAYERS[positions]))


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile simplugins before anything is timed."""
    smallest = np.zeros((2, 1, 1), np.float32)
    for matching in matchings(max(LAYERS)).values():
        matching.compute(smallest, 1)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("positions", "turn", "name"), cases())
def test_trade(benchmark: BenchmarkFixture, threads: int, positions: int, turn: int, name: str) -> None:
    """Check the result of a matching, which also warms it up, then time it."""
    activations, matching = load_layer(LAYERS[positions]), matchings(positions)[name]
    optima = expected(positions)
    products, rounds = first_call(
        matching.compute, activations, threads, turn_seconds=TURN_SECONDS, least=matching.least_rounds
    )
    check(products, optima, matching.largest_gap)
    benchmark.group = f"S={positions}"
    benchmark.extra_info.update(describe(activations), **environment(threads), key=(positions, name, turn))
    benchmark.extra_info.update(reached(products, optima, activations))
    benchmark.pedantic(matching.compute, args=(activations, threads), rounds=rounds)


def check(products: Products, optima: Products, largest_gap: float) -> None:
    """Check that no pair is above its optimum or further below it than guaranteed, up to rounding."""
    values, best = above_diagonal(products), above_diagonal(optima)
    rounding = RTOL * (np.abs(best) + np.median(np.abs(best)))
    assert (values <= best + rounding).all()
    if largest_gap < math.inf:
        assert (values >= best - largest_gap * np.abs(best) - rounding).all()


def reached(products: Products, optima: Products, activations: Activations) -> dict[str, float]:
    """Return the share of the optimum reached by the sum over all pairs, and by the worst pair."""
    values, best = above_diagonal(products), above_diagonal(optima)
    norms = np.sqrt(np.square(activations, dtype=np.float64).sum((1, 2)))
    eligible = best >= WORST_AMONG * above_diagonal(np.outer(norms, norms))
    return {
        "reached": float(values.sum() / best.sum()),
        "worst": float((values[eligible] / best[eligible]).min()),
        "worst_among": int(eligible.sum()),
    }


def above_diagonal(matrix: Products) -> NDArray[np.float64]:
    """Return the values of all pairs."""
    return matrix[np.triu_indices(len(matrix), 1)]
