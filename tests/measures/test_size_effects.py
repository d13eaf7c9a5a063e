# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import numpy as np
import pytest

import simplugins


def random_sets(rng, sizes, channels=64):
    return [np.maximum(rng.normal(size=(size, channels)), 0) for size in sizes]


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return random_sets(rng, rng.integers(5, 21, 30))


def test_cosines_that_are_mostly_the_ratio_of_sizes_warn(sets, tmp_path):
    rng = np.random.default_rng(1)
    for options in (
        {},
        {"other": random_sets(rng, range(5, 21))},
        {"store": tmp_path / "run.zarr"},
        {"normalize": "position"},
    ):
        with pytest.warns(RuntimeWarning, match=r"semantic-cosine.*\b5 to 20 .*0\.9.*'mass'.*'matched'") as caught:
            simplugins.compute_rsm(sets, **options)
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "options",
    [
        {"normalize": "mass"},
        {"normalize": "matched"},
        {"center": "channel"},
        {"measure": "semantic-linear"},
        {"measure": "semantic-rbf"},
        {"subset": 9},
    ],
)
def test_other_similarities_and_few_inputs_do_not_warn(sets, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.compute_rsm(sets, **options)


@pytest.mark.parametrize("block", ["block10", "block15"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_photographs_with_masks_of_any_size_do_not_warn(photos, block, share):
    rng = np.random.default_rng(0)
    maps = photos[block].astype(np.float32)
    mask = rng.random((24, *maps.shape[2:])) < rng.uniform(share / 3, share, size=(24, 1, 1))
    mask[:, 0, 0] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.compute_rsm(maps, mask=mask)


def test_classes_of_sets_do_not_warn():
    rng = np.random.default_rng(0)
    templates = random_sets(rng, [20] * 5)
    sets = [
        np.maximum(templates[i % 5][rng.permutation(20)[:size]] + 0.5 * rng.normal(size=(size, 64)), 0)
        for i, size in enumerate(rng.integers(5, 21, 40))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.compute_rsm(sets)


def test_masks_that_leave_almost_all_positions_do_not_warn():
    rng = np.random.default_rng(0)
    sets = random_sets(rng, rng.integers(95, 101, 30))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simplugins.compute_rsm(sets)
