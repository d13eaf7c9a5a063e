# SPDX-License-Identifier: Apache-2.0
"""Curves of similarity by the number of matched positions, against single matchings."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from matplotlib.figure import Figure

import simplugins
from simplugins.data import load_photos


def pair(shape, channels=6, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return tuple(rng.normal(0.2, 1, (size, channels)) for size in shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (8, 8), (5, 9), (9, 5), (30, 30)])
def test_each_value_is_that_of_the_best_pairs(shape):
    x, y = pair(shape)
    curve = simplugins.share_curve(x, y)
    expected = [oracle.best_pairs(x @ y.T, count) for count in range(1, min(shape) + 1)]
    np.testing.assert_allclose(curve.values, expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(curve.shares * min(shape), np.arange(1, min(shape) + 1))
    assert (np.diff(curve.values, 2) <= 1e-9).all()


@pytest.mark.parametrize("share", [0.2, 0.6, 1.0])
def test_values_and_cosines_are_those_of_partial_matchings(share):
    x, y = pair((10, 13), seed=1)
    curve = simplugins.share_curve(x, y, normalize="position")
    result = simplugins.match(x, y, simplugins.Partial(share=share), normalize="position")
    rows = np.flatnonzero(result.columns >= 0)
    assert curve.values[len(rows) - 1] == pytest.approx(result.value)
    assert curve.cosines[len(rows) - 1] == pytest.approx(result.value / len(rows))  # of unit vectors


def test_values_of_tied_and_of_real_activations_are_optimal():
    maps = load_photos()["block15"][[0, 1]]
    tied = np.random.default_rng(2).integers(-1, 2, (2, 14, 3)).astype(float)
    for x, y in [oracle.concept_vectors(maps), tied]:
        curve = simplugins.share_curve(x, y)
        for count in (1, 3, len(x) // 2, len(x) - 1, len(x)):
            assert curve.values[count - 1] == pytest.approx(oracle.best_pairs(x @ y.T, count), rel=1e-6)


def test_the_elbow_is_where_objects_in_common_end():
    rng = np.random.default_rng(3)
    objects = 3 * rng.normal(size=(7, 64))
    x, y = (np.concatenate([objects, rng.normal(0, 0.3, (20, 64))]) for _ in range(2))
    curve = simplugins.share_curve(x, y[rng.permutation(27)])
    assert curve.elbow == 7
    assert curve.cosines[6] == pytest.approx(1)
    assert "7 pairs" in repr(curve)


def test_up_to_the_elbow_pairs_add_more_than_the_mean():
    curve = simplugins.share_curve(*pair((12, 12), seed=5))
    steps, mean = np.diff(curve.values, prepend=0), curve.values[-1] / 12
    assert (steps[: curve.elbow] > mean - 1e-12).all()
    assert (steps[curve.elbow :] <= mean + 1e-12).all()


def test_zero_and_extreme_activations_have_curves():
    curve = simplugins.share_curve(np.zeros((3, 2)), np.ones((4, 2)))
    assert curve.elbow == 1
    assert not curve.values.any()
    assert not curve.cosines.any()
    large = simplugins.share_curve(*(1e30 * np.abs(side).astype(np.float32) for side in pair((4, 4))))
    np.testing.assert_allclose(
        large.values / 1e60, simplugins.share_curve(*map(np.abs, pair((4, 4)))).values, rtol=1e-5
    )


def test_unequal_channels_are_rejected():
    with pytest.raises(ValueError, match="channels"):
        simplugins.share_curve(np.ones((3, 2)), np.ones((3, 4)))


def test_the_figure_shows_the_curve_and_its_elbow():
    curve = simplugins.share_curve(*pair((8, 8)))
    axes = curve.plot(Figure().add_subplot(), title="two scenes")
    assert axes.get_title() == "two scenes"
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["aligned inner product"].get_ydata()[1:], curve.values)
    assert lines[f"elbow: {curve.elbow} of 8"].get_xdata().tolist() == [curve.elbow]
