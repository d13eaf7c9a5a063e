# SPDX-License-Identifier: Apache-2.0
"""The engine on an emulator that checks each access to memory."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice

from simplugins import BatchOptimal, Greedy, Optimal, Partial, TopKGreedy
from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines import squared_affinities
from simplugins.compute.engines.cuda import engine
from simplugins.compute.engines.cuda.best_matches_engine import best_matches
from simplugins.compute.engines.cuda.squares_engine import summed_squares

MATCHERS = [Optimal(), Greedy(), TopKGreedy(k=3), BatchOptimal(window=4), Partial(threshold=1.0)]


def sets(sizes):
    rng = np.random.default_rng(0)
    return Activations.from_sets([rng.normal(size=(size, 5)).astype(np.float32) for size in sizes])


@pytest.mark.parametrize("memory", [2**30, 2**14], ids=["whole", "regions"])
def test_no_sum_of_squares_reads_memory_that_nothing_has_written(memory):
    x = sets([6, 3, 9, 1, 7, 6, 4, 8, 5, 2] * 4)
    values = summed_squares(x, None, device=EmulatedDevice(checked=True, memory=memory)).values
    np.testing.assert_allclose(values, squared_affinities.summed_squares(x, None).values, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("sizes", [[6] * 8, [6, 3, 9, 1, 7, 80, 4, 8, 70, 2]], ids=["equal", "unequal"])
@pytest.mark.parametrize("matcher", MATCHERS, ids=repr)
def test_no_matching_reads_memory_that_nothing_has_written(matcher, sizes, seed):
    x, y, device = sets(sizes), sets(sizes[:5]), EmulatedDevice(checked=True, seed=seed)
    for other in (None, y):
        for certify in (False, True):
            assert np.isfinite(engine.aligned_products(x, other, matcher, device=device, certify=certify).values).all()


@pytest.mark.slow
@pytest.mark.parametrize("affinity", ["product", "cosine", "distance"])
@pytest.mark.parametrize("both", [True, False])
def test_no_best_match_reads_memory_that_nothing_has_written(affinity, both):
    x, device = sets([6, 3, 9, 1, 7, 80, 4]), EmulatedDevice(checked=True, seed=1)
    assert np.isfinite(best_matches(x, None, BestAffinities(affinity, both), device=device).values).all()
