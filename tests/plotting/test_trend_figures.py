# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import simplugins
from simplugins.comparisons.comparison_stacks import stack
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.plotting.trend_figures import trend_figure

mpl.use("Agg")
FACTS = {"method": "cka-debiased", "inputs": 8, "symmetric": False, "measure": "semantic-cosine"}


def table(rows, columns, seed=0):
    values = np.random.default_rng(seed).uniform(size=(len(rows), len(columns)))
    return Comparison(values, tuple(rows), tuple(columns), FACTS)


def lines(figure):
    (axes,) = figure.axes
    return [(line.get_xdata(), line.get_ydata()) for line in axes.lines]


def test_each_column_is_a_curve_over_the_rows():
    comparison = table(["stem", "middle", "head"], ["a", "b"])
    figure = trend_figure(comparison)
    for (places, values), column in zip(lines(figure), comparison.values.T, strict=True):
        np.testing.assert_array_equal(places, [0, 1, 2])
        np.testing.assert_array_equal(values, column)
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["stem", "middle", "head"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]


def test_rows_that_are_growing_numbers_are_drawn_to_scale():
    places, _ = lines(trend_figure(table(["0", "100", "1000"], ["a"])))[0]
    np.testing.assert_array_equal(places, [0, 100, 1000])
    places, _ = lines(trend_figure(table(["1", "0", "2"], ["a"])))[0]
    np.testing.assert_array_equal(places, [0, 1, 2])


def test_chosen_columns_and_matching_places_are_drawn():
    comparison = table(["x", "y"], ["a", "b"])
    ((_, values),) = lines(trend_figure(comparison, columns=["b"]))
    np.testing.assert_array_equal(values, comparison.values[:, 1])
    ((_, values),) = lines(trend_figure(comparison, columns="matching"))
    np.testing.assert_array_equal(values, comparison.values.diagonal())


@pytest.mark.parametrize("columns", [["c"], "a"])
def test_unknown_columns_are_errors(columns):
    with pytest.raises(ValueError, match="columns"):
        table(["x", "y"], ["a", "b"]).trend(columns=columns)


def test_matching_needs_a_square_table():
    with pytest.raises(ValueError, match="2 and 3"):
        table(["x", "y"], ["a", "b", "c"]).trend(columns="matching")


def test_bands_are_the_intervals():
    rng = np.random.default_rng(0)
    layers = {name: rng.normal(size=(12, 4, 3)) for name in ("first", "second", "third")}
    comparison = simplugins.compare_layers(layers, {"x": layers["first"] + 0.5}, intervals=True, resamples=50)
    axes = comparison.trend()
    ((x, y),) = [path.vertices.T for band in axes.collections for path in band.get_paths()]
    for place in range(3):
        ends = comparison.intervals.low[place, 0], comparison.intervals.high[place, 0]
        np.testing.assert_allclose([y[x == place].min(), y[x == place].max()], ends)
    mpl.pyplot.close(axes.figure)


def test_many_columns_are_named_in_part():
    comparison = table(["x", "y"], [f"layer {k}" for k in range(40)])
    figure = trend_figure(comparison)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(lines(figure)) == 40
    assert (names[0], names[-1], len(names)) == ("layer 0", "layer 39", 12)


def test_stacked_tables_are_those_of_one_call():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(12, 4, 3)) for name in ("a", "b")}
    columns = {name: rng.normal(size=(12, 5, 2)) for name in ("x", "y")}
    options = {"intervals": True, "resamples": 50, "calibrate": "each", "permutations": 39}
    whole = simplugins.compare_layers(rows, columns, **options)
    by_row = stack([simplugins.compare_layers({n: x}, columns, **options) for n, x in rows.items()], "rows")
    by_column = stack([simplugins.compare_layers(rows, {n: x}, **options) for n, x in columns.items()], "columns")
    for stacked in (by_row, by_column):
        assert (stacked.rows, stacked.columns) == (whole.rows, whole.columns)
        for part in ("values", "intervals.low", "intervals.distribution", "calibration.p_values", "calibration.scores"):
            ours, expected = stacked, whole
            for name in part.split("."):
                ours, expected = getattr(ours, name), getattr(expected, name)
            np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_tables_that_share_no_names_cannot_be_stacked():
    with pytest.raises(ValueError, match="columns a in all, got b"):
        stack([table(["x"], ["a"]), table(["y"], ["b"])], "rows")
    with pytest.raises(ValueError, match="none"):
        stack([], "rows")
