# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of what approximate matchings trade: time, and how much of the optimal similarity they reach.

All matchings of a size take turns (see `turns`); the peers, which take seconds a pair at worst, have one turn, beside
the others' first. Nothing is asserted of time, but every result is checked before it is timed: none is above SciPy's
optimum in float64, and none is further below it than its matching promises.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from inputs import describe, load_layer
from machine import surroundings
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from solvers import COMPETITORS, RTOL, Activations, Products, optimal_products
from turns import LEAST_ROUNDS, first_call

import simplugins

LAYERS = {49: "block15", 196: "block10", 784: "block4", 3136: "block2"}
"""By number of positions."""

TURNS, TURN_SECONDS = 9, 0.15
"""More turns than exact RSMs have, and shorter ones, since there are more competitors: so a turn is still a matter of
seconds, and a disturbance hits all or few."""

WINDOWS = 32, 64, 128, 256, 512
TOP = 128
"""The k of top-k greedy matching, but at most a quarter of the positions."""

WORST_AMONG = 0.05
"""The worst pair is looked for where the optimum is at least this share of both norms' product: near zero and below,
the share of an optimum means nothing."""


class Matching(NamedTuple):
    """A way to match, and the share of an optimum that it may miss: 0 if it is exact, infinite if it promises none."""

    compute: Callable[[Activations, int], Products]
    may_miss: float
    turns: int = TURNS
    least_rounds: int = LEAST_ROUNDS


def own(may_miss: float = math.inf, measure: str = "semantic-linear", **options: Any) -> Matching:
    """Compute an RSM as a user does, with the given options of `compute_rsm`."""

    def compute(activations: Activations, threads: int) -> Products:
        return np.asarray(simplugins.compute_rsm(activations, measure, threads=threads, **options))

    return Matching(compute, may_miss)


def peer(name: str) -> Matching:
    """Solve with another library; see `solvers`."""
    return Matching(COMPETITORS[name].compute, may_miss=0, turns=1, least_rounds=1)


OPTIMAL = "optimal"
GREEDY, TOP_GREEDY, IDENTITY = "greedy", "topk-greedy", "identity"
AUCTIONS = {f"auction, {percent} %": percent / 100 for percent in (1, 5)}
BATCHES = {f"batch-optimal, {window}": window for window in WINDOWS}
PEERS = {"scipy, threads (optimal)": "scipy, threads", "lapx (optimal)": "lapx"}


@cache
def matchings(positions: int) -> dict[str, Matching]:
    """Return all matchings of sets of so many positions."""
    return {
        OPTIMAL: own(0, matching="optimal"),
        **{name: own(tolerance, matching="auction", tolerance=tolerance) for name, tolerance in AUCTIONS.items()},
        **{name: own(matching="batch-optimal", window=k) for name, k in BATCHES.items() if k < positions},
        TOP_GREEDY: own(matching="topk-greedy", k=min(TOP, positions // 4)),
        GREEDY: own(matching="greedy"),
        IDENTITY: own(measure="spatio-semantic-linear"),
        **{name: peer(competitor) for name, competitor in PEERS.items()},
    }


def cases() -> list[tuple[int, int, str]]:
    """List positions, turn and matching: the matchings of a size and turn run in succession."""
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
    """Have simplugins compiled, so that no timed call does."""
    smallest = np.zeros((2, 1, 1), np.float32)
    for matching in matchings(max(LAYERS)).values():
        matching.compute(smallest, 1)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("positions", "turn", "name"), cases())
def test_trade(benchmark: BenchmarkFixture, threads: int, positions: int, turn: int, name: str) -> None:
    """Check a matching, which also warms it up, then time it."""
    activations, matching = load_layer(LAYERS[positions]), matchings(positions)[name]
    optima = expected(positions)
    found, rounds = first_call(
        matching.compute, activations, threads, turn_seconds=TURN_SECONDS, least=matching.least_rounds
    )
    check(found, optima, matching.may_miss)
    benchmark.group = f"S={positions}"
    benchmark.extra_info.update(describe(activations), **surroundings(threads), key=(positions, name, turn))
    benchmark.extra_info.update(reached(found, optima, activations))
    benchmark.pedantic(matching.compute, args=(activations, threads), rounds=rounds)


def check(found: Products, optima: Products, may_miss: float) -> None:
    """Check that no pair is above its optimum, nor further below it than promised, but for rounding."""
    values, best = above_diagonal(found), above_diagonal(optima)
    rounding = RTOL * (np.abs(best) + np.median(np.abs(best)))
    assert (values <= best + rounding).all()
    if may_miss < math.inf:
        assert (values >= best - may_miss * np.abs(best) - rounding).all()


def reached(found: Products, optima: Products, activations: Activations) -> dict[str, float]:
    """Return the share of the optimum that all pairs reach together, and the one that the worst pair does."""
    values, best = above_diagonal(found), above_diagonal(optima)
    norms = np.sqrt(np.square(activations, dtype=np.float64).sum((1, 2)))
    counts = best >= WORST_AMONG * above_diagonal(np.outer(norms, norms))
    return {
        "reached": float(values.sum() / best.sum()),
        "worst": float((values[counts] / best[counts]).min()),
        "worst_among": int(counts.sum()),
    }


def above_diagonal(matrix: Products) -> NDArray[np.float64]:
    """Return the values of all pairs."""
    return matrix[np.triu_indices(len(matrix), 1)]
