# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the parts of the exact solver on affinities of real activations: whole batches, and stages one by one.

A part is timed with the state that the parts before it leave. Run for example
``pytest benchmarks/test_solver_parts.py -k 196 --benchmark-columns=median,iqr,rounds``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from solvers.competing import OURS, SCIPY, assign, ours, scipy, values
from solvers.families import FAMILIES
from solvers.timing import EXACT

from simplugins.matching import augmenting_paths, forward_auction, integer_costs, starting_prices

SIZES = 49, 196, 784
KEYS = "efficientnet", "integers", "lognormal", "outliers"
COUNT = {49: 40, 196: 8, 784: 2}
"""Number of problems of a batch."""


class Stage(NamedTuple):
    """A problem on its way through the solver."""

    affinities: NDArray[np.float32]
    costs: NDArray[np.int32]
    work: Any
    top: float
    unit: float

    @property
    def size(self) -> int:
        """Number of positions."""
        return len(self.affinities)


def make_costs(stage: Stage) -> None:
    """Convert affinities to integer costs."""
    _make_costs(stage.affinities, stage.costs, stage.work)


def start(stage: Stage) -> None:
    """Set starting prices."""
    _start(stage.costs, stage.size, stage.work)


def auction(stage: Stage) -> None:
    """Run an auction at increment zero."""
    _bid_twice(stage.costs, stage.size, stage.work)


def paths(stage: Stage) -> None:
    """Assign the rows that the auction left."""
    _augment(stage.costs, stage.work)


@njit(nogil=True)
def _make_costs(affinities, costs, work):  # type: ignore[no-untyped-def]
    size = len(affinities)
    top, bottom = integer_costs.extremes(affinities, 0, size, work)
    return top, integer_costs.make_costs(affinities, 0, size, False, top, bottom, costs)


@njit(nogil=True)
def _start(costs, size, work):  # type: ignore[no-untyped-def]
    integer_costs.reset_prices(costs, size, work)
    starting_prices.set_starting_prices(costs, size, work)


@njit(nogil=True)
def _bid_twice(costs, size, work):  # type: ignore[no-untyped-def]
    forward_auction.start_auction(costs, size, work)
    forward_auction.run_auction(costs, size, np.int64(0), 2 * size, work)


@njit(nogil=True)
def _augment(costs, work):  # type: ignore[no-untyped-def]
    augmenting_paths.augment_free_rows(costs, work)


PARTS: tuple[Callable[[Stage], None], ...] = (make_costs, start, auction, paths)


def begin(key: str, size: int) -> Stage:
    """Return a problem before the first part."""
    affinities = np.asarray(FAMILIES[key].problems(size, size, 1, np.float32)[0])
    work: Any = integer_costs.make_workspace(size, size, affinities.dtype)
    padded = len(work.prices)
    costs = work.costs.reshape(size, padded)
    top, unit = _make_costs(affinities, costs, work)
    return Stage(affinities, costs, work, top, unit)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", KEYS)
def test_part(benchmark: BenchmarkFixture, key: str, size: int, part: Callable[[Stage], None]) -> None:
    """Time one part, after those before it."""
    stage = begin(key, size)

    def prepare() -> tuple[tuple[Stage], dict[str, Any]]:
        for before in PARTS[: PARTS.index(part)]:
            before(stage)
        return (stage,), {}

    benchmark.pedantic(part, setup=prepare, rounds=15, warmup_rounds=2)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", KEYS)
def test_batch(benchmark: BenchmarkFixture, key: str, size: int, dtype: str) -> None:
    """Time whole batches, after comparing their values with SciPy's."""
    problems = FAMILIES[key].problems(size, size, COUNT[size], np.dtype(dtype).type)
    (value, magnitude), (best, _) = values(problems, ours(problems)), values(problems, scipy(problems))
    assert (best - value <= EXACT[dtype] * magnitude).all(), (OURS, SCIPY)
    benchmark.extra_info["problems"] = len(problems)
    benchmark.pedantic(assign, args=(problems,), rounds=7, warmup_rounds=1)
