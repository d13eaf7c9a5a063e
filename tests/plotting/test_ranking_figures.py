# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot

import simplugins
from simplugins.plotting.rankings import ranking_figure


@pytest.fixture(scope="module")
def ranking():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(20, 5))
    models = {"close_$x$": truth + 0.2 * rng.normal(size=truth.shape), "far": rng.normal(size=truth.shape)}
    targets = [truth + 0.5 * rng.normal(size=truth.shape) for _ in range(3)]
    return simplugins.rank_models(
        [x @ x.T for x in targets],
        {name: x @ x.T for name, x in models.items()},
        over="inputs",
        resamples=50,
        permutations=19,
    )


def test_bars_and_intervals_show_the_ranking(ranking):
    (axes,) = ranking_figure(ranking).axes
    bars = [patch for patch in axes.patches if patch.get_height() == pytest.approx(0.6)]
    np.testing.assert_allclose([bar.get_width() for bar in bars], ranking.values)
    (lines,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    np.testing.assert_allclose(
        [segment[:, 0] for segment in lines.get_segments()], np.transpose([ranking.low, ranking.high])
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["close_$x$", "far"]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["a", "b"]


def test_the_noise_ceiling_is_a_band(ranking):
    (axes,) = ranking_figure(ranking).axes
    band = next(patch for patch in axes.patches if patch.get_label() == "noise ceiling")
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(ranking.noise_ceiling)


def test_a_single_target_has_neither_band_nor_points():
    matrix = np.diag(np.arange(9.0)) + 20
    single = simplugins.rank_models(matrix + np.eye(9), {"a": matrix}, "norm-difference", permutations=9, resamples=40)
    axes = single.plot(title="one")
    assert axes.get_title() == "one"
    assert axes.get_legend() is None
    assert not list(axes.texts)
    pyplot.close(axes.figure)
