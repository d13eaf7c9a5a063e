# SPDX-License-Identifier: Apache-2.0
"""Problems that the device derives from block indices, and their results in the matrix of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from oracle import aligned_products

from simplugins import BatchOptimal, Greedy, Optimal, TopKGreedy
from simplugins.activations.activations import Activations
from simplugins.compute.engines import cpu
from simplugins.compute.engines.cuda import engine, launcher, pair_problems, tile_run
from simplugins.compute.engines.cuda.device_blocks import DeviceBlock
from simplugins.compute.engines.cuda.pair_problems import TilePairs, parts_of
from simplugins.compute.engines.cuda.pair_results import PairResults, Tile
from simplugins.compute.engines.cuda.tasks import make_pairs, make_tasks

TRIANGLES = {0: lambda shape: np.ones(shape, bool), 1: lambda shape: np.triu(np.ones(shape, bool), 1)}
TRIANGLES[2] = lambda shape: np.triu(np.ones(shape, bool))


def tile_pairs(device, sizes, triangle):
    """The pairs of two blocks of inputs with these numbers of positions; their vectors are of no interest."""
    blocks = []
    for side in sizes:
        offsets = np.concatenate([[0], np.cumsum(side)])
        positions = None if len(set(side)) == 1 else device.upload(offsets)
        blocks.append(DeviceBlock(None, offsets, positions=positions))
    region = Tile(*(slice(0, len(side)) for side in sizes))
    results = PairResults(device, region, certify=True)
    return TilePairs(device, *blocks, triangle, results.area(region))


@pytest.mark.parametrize("certify", [False, True])
@pytest.mark.parametrize("triangle", [0, 1, 2])
@pytest.mark.parametrize("matcher", [Optimal(), Greedy(), TopKGreedy(k=5), BatchOptimal(window=4)], ids=repr)
@pytest.mark.parametrize("sizes", [([7] * 6, [7] * 6), ([3, 9, 1, 12, 5, 4], [8, 2, 5, 9, 4, 4])], ids=["equal", "not"])
def test_problems_of_block_indices_are_those_of_the_host(sizes, matcher, triangle, certify):
    if triangle:
        sizes = sizes[0], sizes[0]
    device = EmulatedDevice()
    pairs = tile_pairs(device, sizes, triangle)
    offsets = [np.concatenate([[0], np.cumsum(side)]) for side in sizes]
    selected = make_pairs(TRIANGLES[triangle]([len(side) for side in sizes]), *offsets)
    assert pairs.count == len(selected.numbers)
    expected = {
        (task.kind, task.transposed): sorted(map(tuple, np.column_stack([task.pairs, task.problems]).tolist()))
        for task in make_tasks(selected, matcher, certify=certify)
        if len(task.problems)
    }
    found: dict = {}
    for part in parts_of(matcher, max(map(max, sizes)), certify=certify):
        for orientation in pairs.orientations(part):
            problems = pairs.batch(part, orientation, None).problems
            rows = np.column_stack([selected.numbers, problems])
            used = (rows[:, 1:] != [0, 1, 0, 1]).any(1)
            # A problem of the first entry alone may be real only for the first pair.
            used[0] |= part.kind != "bound" and sizes[0][0] == sizes[1][0] == 1
            found.setdefault((part.kind, orientation == 1), []).extend(map(tuple, rows[used].tolist()))
    assert {key: sorted(rows) for key, rows in found.items() if rows} == expected


@pytest.mark.parametrize("inputs", [1, 2, 3, 50, 300])
@pytest.mark.parametrize("triangle", [1, 2])
def test_pairs_of_a_triangle_are_numbered_row_by_row(inputs, triangle):
    pairs = tile_pairs(EmulatedDevice(), ([2] * inputs, [2] * inputs), triangle)
    i, j = np.nonzero(TRIANGLES[triangle]((inputs, inputs)))
    assert pairs.count == len(i)
    if pairs.count:
        problems = pairs.batch(parts_of(Optimal(), 2, certify=False)[0], 0, None).problems
        np.testing.assert_array_equal(problems, np.column_stack([2 * i, 2 * i + 2, 2 * j, 2 * j + 2]))


@pytest.mark.parametrize("share", [1, 16])
@pytest.mark.parametrize("make", [EmulatedDevice, LateDevice])
def test_loose_results_are_solved_again_on_the_device_or_with_the_whole_tile(share, make, monkeypatch):
    """With memory for a sixteenth of the pairs, a tile of loose results is computed again in float64."""
    launched = []
    start = launcher.start
    monkeypatch.setattr(pair_problems, "FINE_ENOUGH", -1.0)  # no result is fine enough
    monkeypatch.setattr(pair_problems, "_COARSE_SHARE", share)
    monkeypatch.setattr(
        launcher, "start", lambda *arguments, **options: launched.append(arguments[2]) or start(*arguments, **options)
    )
    sets = np.random.default_rng(0).normal(size=(9, 6, 4)).astype(np.float32)
    products = engine.aligned_products(Activations.from_array(sets), None, Optimal(), device=make(), certify=True)
    np.testing.assert_allclose(products.values, aligned_products(sets, sets), rtol=1e-6)
    assert launched == [np.float32, np.float64] + [np.float64] * (share == 16)
    assert products.gap.max() <= 1e-12


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize("certify", [False, True])
def test_results_that_exceed_the_device_are_computed_region_by_region(other, certify, monkeypatch):
    rng = np.random.default_rng(0)
    x = Activations.from_array(rng.normal(size=(13, 5, 4)).astype(np.float32) * np.float32(1e30))
    y = Activations.from_array(rng.normal(size=(7, 5, 4)).astype(np.float32)) if other else None
    whole = engine.aligned_products(x, y, Optimal(), device=EmulatedDevice(), certify=certify)
    np.testing.assert_allclose(whole.values, cpu.aligned_products(x, y, Optimal()).values, rtol=1e-6)
    monkeypatch.setattr(tile_run, "_MAX_INPUTS", 2)
    for most in (1, 20, 60):
        monkeypatch.setattr(tile_run, "RESULTS_SHARE", most * 8 * (1 + certify) / 2**30)
        parts = engine.aligned_products(x, y, Optimal(), device=EmulatedDevice(), certify=certify)
        np.testing.assert_array_equal(parts.values, whole.values)
        if certify:
            np.testing.assert_array_equal(parts.gap, whole.gap)
