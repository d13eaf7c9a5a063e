# SPDX-License-Identifier: Apache-2.0
"""Assignments of a batch of problems that stay on the device."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from scipy.optimize import linear_sum_assignment

from simplugins import BatchOptimal, Greedy, Optimal, Partial
from simplugins.compute.engines.cuda.batched_matching import matches_batches, optimal_columns


def optimal(affinities):
    return [linear_sum_assignment(affinity, maximize=True)[1] for affinity in affinities.astype(np.float64)]


@pytest.mark.parametrize("shape", [(5, 7, 7), (3, 6, 20), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_assignments_are_those_of_scipy(device, shape, dtype):
    affinities = np.random.default_rng(0).normal(size=shape).astype(dtype)
    with device:
        columns = device.download(optimal_columns(device, device.upload(affinities)))()
    np.testing.assert_array_equal(columns, optimal(affinities))


def test_a_wide_range_of_affinities_is_matched_in_float64():
    affinities = np.random.default_rng(0).lognormal(0, 20, (4, 12, 12)).astype(np.float32)
    device = EmulatedDevice()
    columns = optimal_columns(device, device.upload(affinities))
    for affinity, assignment, expected in zip(affinities.astype(np.float64), columns, optimal(affinities), strict=True):
        rows = np.arange(12)
        assert affinity[rows, assignment].sum() >= affinity[rows, expected].sum() * (1 - 2.0**-18)


def test_later_batches_do_not_overwrite_the_problems_of_earlier_ones():
    rng, device = np.random.default_rng(0), LateDevice()
    batches = [rng.normal(size=(count, 5, size)) for count, size in ((6, 9), (6, 5), (2, 30))]
    fetch = [device.download(optimal_columns(device, device.upload(affinities))) for affinities in batches]
    for affinities, columns in zip(batches, fetch, strict=True):
        np.testing.assert_array_equal(columns(), optimal(affinities))


def test_only_whole_optimal_matchings_have_batches():
    assert matches_batches(Optimal(), 5, 9)
    assert not matches_batches(Optimal(), 9, 5)
    assert not matches_batches(Optimal(), 5, 10_000)
    assert not any(matches_batches(matcher, 5, 5) for matcher in (Greedy(), Partial(share=0.5), BatchOptimal(window=3)))
