# SPDX-License-Identifier: Apache-2.0
"""Distances of equal inputs are exactly 0."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import simplugins
from simplugins import RSM, compute_rsm, compute_rsms

RNG = np.random.default_rng(0)
KERNELS = ["linear", "cosine", "rbf"]
MAPS = RNG.normal(size=(7, 16, 5, 5)).astype(np.float32)
MAPS[3], MAPS[5] = MAPS[0], MAPS[1].reshape(16, 25)[:, RNG.permutation(25)].reshape(16, 5, 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("kernel", KERNELS)
def test_distances_of_equal_inputs_are_0_and_those_of_others_are_not(kernel, offset, dtype):
    x = (MAPS + offset).astype(dtype)
    for measure, equal in ((f"semantic-{kernel}", {(0, 3), (1, 5)}), (f"spatio-semantic-{kernel}", {(0, 3)})):
        rsm = compute_rsm(x, measure)
        for squared in (False, True):
            distances = rsm.rdm(squared=squared)
            assert set(zip(*np.nonzero(np.triu(distances == 0, 1)), strict=True)) == equal
            assert (distances >= 0).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_other_inputs_files_and_stores_have_the_same_distances(kernel, tmp_path):
    pytest.importorskip("zarr")
    measure = f"semantic-{kernel}"
    other = compute_rsm(MAPS, measure, other=MAPS[[3, 1, 2]])
    assert other.rdm()[0, 0] == other.rdm()[5, 1] == other.rdm()[2, 2] == 0
    rsm = compute_rsm(MAPS, measure)
    rsm.save(tmp_path / "rsm.npz")
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "rsm.npz").rdm(), rsm.rdm())
    stored = compute_rsm(MAPS, measure, store=tmp_path / "run.zarr")
    np.testing.assert_array_equal(stored.rdm(), rsm.rdm())


def test_small_distances_beyond_rounding_remain():
    x = MAPS.astype(float)
    x[3] += 1e-5
    for measure in (f"semantic-{kernel}" for kernel in KERNELS):
        assert compute_rsm(x, measure).rdm()[0, 3] > 0
    expected = 1e-5 * np.sqrt(MAPS[0].size)
    assert compute_rsm(x, "spatio-semantic-linear").rdm()[0, 3] == pytest.approx(expected, rel=1e-3)


def test_distances_of_other_tools_are_0_where_they_were():
    points = RNG.normal(size=(6, 3))
    points[4] = points[1]
    distances = cdist(points, points)
    result = RSM.from_distances(distances).rdm()
    assert result[1, 4] == 0
    np.testing.assert_allclose(result, distances, atol=1e-12)
    assert RSM.from_similarities(points @ points.T, metadata={"rounding": 1.0}).rdm()[0, 1] > 0


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_position_is_enough(kernel):
    x = RNG.normal(size=(5, 40)).astype(np.float32)
    x[2] = x[4]
    rsms = compute_rsms(x, [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic")])
    for rsm in rsms.values():
        assert rsm.rdm()[2, 4] == 0
        assert rsm.rdm()[2, 3] > 0
