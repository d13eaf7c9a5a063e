# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plotting import LONG, assert_inside

import simplugins
from simplugins.plotting.layer_heatmaps import comparison_figure, plot_comparison
from simplugins.plotting.trend_figures import trend_figure


def layers(names, seed=0):
    rng = np.random.default_rng(seed)
    matrices = (x @ x.T for x in rng.normal(size=(len(names), 12, 5)))
    return {name: simplugins.RSM.from_similarities(m) for name, m in zip(names, matrices, strict=True)}


@pytest.fixture(scope="module")
def comparison():
    return simplugins.compare_layers(layers(["a", "b"]), method="cka")


def color_bar(axes):
    return axes.get_images()[0].colorbar.ax


def test_colours_of_a_cka_go_from_0_to_1_and_need_no_words(comparison):
    near = replace(comparison, values=np.array([[0.966, 0.99], [np.nan, 1.0]]))
    axes = plot_comparison(near, Figure().add_subplot())
    assert axes.get_images()[0].get_clim() == (0, 1)
    assert color_bar(axes).get_ylabel() == "cka"


def test_other_limits_are_written_next_to_the_colour_bar(comparison):
    axes = plot_comparison(comparison, Figure(figsize=(12, 12)).add_subplot(), vmin=0.966, vmax=1)
    assert axes.get_images()[0].get_clim() == (0.966, 1)
    assert color_bar(axes).get_ylabel() == "cka (colours from 0.966 to 1)"
    assert comparison.plot(Figure().add_subplot(), vmax=0.5).get_images()[0].get_clim() == (0, 0.5)
    with pytest.raises(ValueError, match="vmin"):
        comparison.plot(Figure().add_subplot(), vmin=1, vmax=0)


def test_colours_reach_below_0_only_for_values_that_do(comparison):
    values = np.array([[1.0, -0.25], [0.5, 1.0]])
    axes = replace(comparison, values=values).plot(Figure().add_subplot())
    assert axes.get_images()[0].get_clim() == (-0.25, 1)
    assert "from -0.25 to 1" in color_bar(axes).get_ylabel().replace("\n", " ")


def test_distances_start_at_0_and_end_at_the_largest_possible():
    distances = simplugins.compare_layers(layers(["a", "b"]), method="norm-difference")
    assert distances.plot(Figure().add_subplot()).get_images()[0].get_clim() == (0, 2)
    unknown = replace(distances, metadata={**distances.metadata, "range": None})
    assert unknown.plot(Figure().add_subplot()).get_images()[0].get_clim() == (0, distances.values.max())


def test_the_title_names_the_method_the_measure_and_the_number_of_inputs(comparison):
    maps = np.random.default_rng(0).normal(size=(6, 3, 2, 2))
    axes = simplugins.compare_layers({"a": maps}).plot(Figure(figsize=(12, 4)).add_subplot())
    assert axes.get_title().replace("\n", " ") == "cka-debiased of semantic-cosine RSMs, 6 inputs"


@pytest.mark.parametrize("count", [1, 2, 7, 40])
@pytest.mark.parametrize("long", [False, True])
def test_nothing_is_clipped_however_many_layers_there_are(count, long):
    names = [f"{LONG[0] if long else 'layer'}{number}" for number in range(count)]
    figure = comparison_figure(simplugins.compare_layers(layers(names), method="cka-debiased"))
    assert_inside(figure)
    assert max(figure.get_size_inches()) < 20


def test_nothing_is_clipped_next_to_yardsticks_calibration_and_intervals():
    options = {"calibrate": "max", "permutations": 20, "intervals": True, "resamples": 40}
    table = simplugins.compare_layers(layers(["a", "b"]), layers(LONG[:3], 1), yardsticks={"ceiling": 0.9}, **options)
    assert_inside(comparison_figure(table))


def test_labels_are_small_in_the_column_of_a_paper(comparison):
    figure = Figure(figsize=(3.3, 2.6), layout="constrained")
    axes = comparison.plot(figure.add_subplot())
    assert axes.get_yticklabels()[0].get_fontsize() == 7
    assert_inside(figure)


def test_undefined_values_alone_are_drawn(comparison):
    assert_inside(comparison_figure(replace(comparison, values=np.full((2, 2), np.nan))))


@pytest.mark.parametrize("count", [1, 40])
def test_curves_are_not_squeezed_by_long_names(count):
    names = [f"backbone.encoder.layer{number}.attention.self.query" for number in range(count)]
    figure = trend_figure(simplugins.compare_layers(layers(names), method="cka"))
    assert_inside(figure)
    assert figure.axes[0].bbox.height > 200


def test_curves_with_values_below_0_still_reach_up_to_1(comparison):
    figure = trend_figure(replace(comparison, values=np.array([[0.1, -0.2], [0.05, 0.0]])))
    low, high = figure.axes[0].get_ylim()
    assert low == pytest.approx(-0.22)
    assert high == pytest.approx(1.02)
