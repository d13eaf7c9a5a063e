# SPDX-License-Identifier: Apache-2.0
"""Calibrated tables of layers, against calibrations of each pair under the same permutations."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from comparison_data import METHODS, Closeness, gram, method_name, relabelled, reordered
from matplotlib.figure import Figure

import simplugins
from simplugins.comparisons import resolve_method
from simplugins.comparisons.layers import compare_layers
from simplugins.comparisons.method import ComparisonMethod
from simplugins.comparisons.permuting import relate_permuted
from simplugins.plotting.layer_heatmaps import comparison_figure

NAMES = [method.name for method in METHODS]
INPUTS, PERMUTATIONS, SEED = 15, 60, 2
RELATED = {("conv1", "block1"), ("conv1", "block3")}


def networks(seed=4, inputs=INPUTS):
    """Return RSMs of two networks, of whose layers two pairs are related."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, 6))
    first = {"conv1": x, "conv2": rng.normal(size=(inputs, 5))}
    second = {"block1": 2 * x[:, ::-1], "block2": rng.normal(size=(inputs, 5)), "block3": x + rng.normal(size=x.shape)}
    return [
        {name: simplugins.RSM.from_similarities(gram(layer)) for name, layer in layers.items()}
        for layers in (first, second)
    ]


def orders(inputs=INPUTS, permutations=PERMUTATIONS, seed=SEED):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(inputs) for _ in range(permutations)])


def calibrated(method="cka-debiased", mode="each", layers=None, **options):
    a, b = networks() if layers is None else layers
    return compare_layers(a, b, method, calibrate=mode, permutations=PERMUTATIONS, seed=SEED, **options)


@pytest.mark.parametrize(
    "method", [*NAMES, "mutual-knn", Closeness(), lambda a, b: float((a * b).sum())], ids=method_name
)
def test_each_cell_is_calibrated_as_the_pair_of_layers(method):
    a, b = networks()
    table = calibrated(method)
    result = table.calibration
    for i, row in enumerate(a.values()):
        for j, column in enumerate(b.values()):
            pair = simplugins.calibrate(row, column, method, orders=orders())
            np.testing.assert_allclose(result.null_distribution[:, i, j], pair.null_distribution, atol=1e-9)
            assert result.thresholds[i, j] == pytest.approx(pair.threshold, abs=1e-9)
            assert result.p_values[i, j] == pair.p_value
            assert result.chance[i, j] == pytest.approx(pair.chance, abs=1e-9)
            if pair.score is None:
                assert result.scores is None
            else:
                assert result.scores[i, j] == pytest.approx(pair.score, abs=1e-9)
    np.testing.assert_array_equal(table.values, compare_layers(a, b, method).values)
    assert (result.permutations, result.aggregate) == (PERMUTATIONS, None)


@pytest.mark.parametrize("method", ["cka-debiased", "angular-cka", "rsa-spearman"])
def test_the_maximum_accounts_for_the_search_over_layers(method):
    each, table = calibrated(method), calibrated(method, "max")
    result = table.calibration
    distance = method == "angular-cka"
    most = np.min if distance else np.max
    null = most(each.calibration.null_distribution, axis=(1, 2))
    np.testing.assert_allclose(result.aggregate.null_distribution, null, atol=1e-12)
    assert result.aggregate.value == most(table.values)
    for i, j in np.ndindex(table.values.shape):
        extreme = null <= table.values[i, j] + 1e-9 if distance else null >= table.values[i, j] - 1e-9
        assert result.p_values[i, j] == (1 + extreme.sum()) / (1 + PERMUTATIONS)
    assert (result.p_values >= each.calibration.p_values).all()
    assert np.unique(result.thresholds) == result.aggregate.threshold
    assert result.scores.max() == result.aggregate.score > 0
    np.testing.assert_array_equal(result.significant, result.scores > 0)
    significant = {(table.rows[i], table.columns[j]) for i, j in np.argwhere(result.significant)}
    assert significant == RELATED


def test_the_mean_is_calibrated_in_addition_to_each_cell():
    each, table = calibrated(), calibrated(mode="mean")
    np.testing.assert_array_equal(table.calibration.scores, each.calibration.scores)
    aggregate = table.calibration.aggregate
    np.testing.assert_allclose(aggregate.null_distribution, each.calibration.null_distribution.mean((1, 2)))
    assert aggregate.value == table.values.mean()
    assert 0 < aggregate.score < 1


def test_layers_of_one_network_are_calibrated_alike_in_both_orders():
    a, _ = networks()
    for mode in ("each", "max"):
        result = calibrated("cka-debiased", mode, (a, None)).calibration
        for array in (result.scores, result.p_values, result.thresholds):
            np.testing.assert_array_equal(array, array.T)
        np.testing.assert_array_equal(result.scores.diagonal(), 1)
    null = result.null_distribution
    np.testing.assert_array_equal(result.aggregate.null_distribution, null[:, 0, 1])  # the pair of different layers
    alone = calibrated("cka-debiased", "max", ({"conv1": a["conv1"]}, None)).calibration
    assert alone.aggregate.score == 1


def test_undefined_layers_are_left_out_of_the_maximum():
    a, b = networks()
    b["constant"] = simplugins.RSM.from_similarities(np.ones((INPUTS, INPUTS)))
    with pytest.warns(RuntimeWarning, match="constant"):
        table = calibrated(mode="max", layers=(a, b))
    expected = calibrated(mode="max").calibration
    np.testing.assert_array_equal(table.calibration.scores[:, :3], expected.scores)
    assert np.isnan(table.calibration.scores[:, 3]).all()
    assert table.calibration.aggregate.p_value == expected.aggregate.p_value


def test_missing_pairs_are_left_out():
    a, b = networks()
    values = a["conv1"].values.copy()
    values[2, 5] = values[5, 2] = np.nan
    a["conv1"] = simplugins.RSM.from_similarities(values, missing="omit")
    result = calibrated("rsa-pearson", layers=(a, b), missing="omit").calibration
    pair = simplugins.calibrate(a["conv1"], b["block1"], "rsa-pearson", orders=orders(), missing="omit")
    np.testing.assert_allclose(result.null_distribution[:, 0, 0], pair.null_distribution, atol=1e-12)


class _Traces(ComparisonMethod):
    """A method that relies on the contract's way to permute several matrices."""

    name, larger_is_more_similar, range, least_inputs = "traces", True, None, 2
    is_symmetric = is_metric = invariances = None
    omits_missing = False

    def compare_all(self, a, b, *, missing="raise"):
        rows, columns = ([np.asarray(m, float) for m in x.values()] for x in (a, a if b is None else b))
        return np.array([[(x * y).sum() for y in columns] for x in rows])

    def matrix(self, name, rsm, *, missing="raise"):
        return np.asarray(rsm, float)

    def permuted(self, a, b):
        return lambda orders: np.array([(a * b[np.ix_(order, order)]).sum() for order in orders])

    def resampled(self, a, b):
        raise NotImplementedError


def test_other_methods_are_permuted_pair_by_pair():
    result = calibrated(_Traces()).calibration
    a, b = networks()
    for i, j in np.ndindex(2, 3):
        x, y = [*a.values()][i].values, [*b.values()][j].values
        expected = [(x * y[np.ix_(order, order)]).sum() for order in orders()]
        np.testing.assert_allclose(result.null_distribution[:, i, j], expected)
    assert result.scores is None


@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-kendall"])
@pytest.mark.parametrize(("vector_bytes", "chunk_bytes"), [(1, 1), (3 * 8 * INPUTS**2, 10_000), (2**30, 2**20)])
def test_results_are_independent_of_the_memory(method, vector_bytes, chunk_bytes):
    resolved = resolve_method(method)
    a, b = ([rsm.values for rsm in rsms.values()] for rsms in networks())
    limits = {"chunk_bytes": chunk_bytes, "vector_bytes": vector_bytes}
    values = relate_permuted(resolved, a, b, orders(), progress=False, **limits)
    for (p, order), i, j in ((x, i, j) for x in enumerate(orders()[:7]) for i in range(2) for j in range(3)):
        assert values[p, i, j] == pytest.approx(resolved(a[i], b[j][np.ix_(order, order)]), abs=1e-9)


def test_many_inputs_are_permuted_in_threads():
    a, b = networks(inputs=200)
    result = compare_layers(a, b, calibrate="each", permutations=19, seed=SEED, progress=True).calibration
    for order, values in zip(orders(200, 19), result.null_distribution, strict=True):
        permuted = {name: simplugins.RSM.from_similarities(rsm.values[np.ix_(order, order)]) for name, rsm in b.items()}
        np.testing.assert_allclose(values, compare_layers(a, permuted).values, atol=1e-12)


def test_the_repr_says_what_is_significant():
    assert repr(calibrated(mode="each")).endswith("calibrate='each': 2 of 6 significant at 0.05 (60 permutations)")
    text = repr(calibrated(mode="max"))
    assert "2 of 6 significant" in text
    assert text.endswith(", p = 0.01639")


def test_only_significant_matches_are_the_best():
    table = calibrated(mode="max")
    assert compare_layers(*networks(), "cka-debiased").best_match().keys() == {"conv1", "conv2"}
    assert table.best_match() == {"conv1": "block1"}
    assert calibrated("angular-cka", "max").best_match() == {"conv1": "block1"}


def test_impossible_options_are_named():
    with pytest.raises(ValueError, match=r"calibrate\b.*each, max, mean.*'all'"):
        compare_layers(*networks(), calibrate="all")
    with pytest.raises(ValueError, match="alpha"):
        compare_layers(*networks(), calibrate="max", alpha=2)
    with pytest.raises(ValueError, match="permutations"):
        compare_layers(*networks(), calibrate="max", permutations=0)
    with pytest.warns(RuntimeWarning, match=r"18 permutations.* 19 "):
        compare_layers(*networks(), calibrate="max", permutations=18)


# Yardsticks


def test_yardsticks_are_compared_with_the_same_rows():
    a, b = networks()
    untrained = {name: networks(7)[1][name] for name in ("block3", "block1", "block2")}  # in any order
    table = compare_layers(a, b, "cka-debiased", yardsticks={"untrained": untrained, "ceiling": [0.5, 0.6, 0.7]})
    expected = compare_layers(a, {name: untrained[name] for name in b}, "cka-debiased").values
    np.testing.assert_array_equal(table.yardsticks["untrained"], expected)
    np.testing.assert_array_equal(table.yardsticks["ceiling"], [[0.5, 0.6, 0.7]] * 2)
    assert repr(table).endswith(f"untrained: {expected.min():.4g} to {expected.max():.4g}; ceiling: 0.5 to 0.7")
    assert table.table()[1] == {
        "row": "conv1",
        "column": "block2",
        "value": table.values[0, 1],
        "untrained": expected[0, 1],
        "ceiling": 0.6,
    }


def test_yardsticks_are_computed_from_activations_like_the_layers():
    maps = np.random.default_rng(0).normal(size=(3, 8, 4, 5, 5))
    options = {"measure": "semantic-linear", "layout": "nchw"}
    table = compare_layers({"x": maps[0]}, {"x": maps[1]}, yardsticks={"other": {"x": maps[2]}}, **options)
    assert table.yardsticks["other"].item() == compare_layers({"x": maps[0]}, {"x": maps[2]}, **options).values.item()


def test_yardsticks_and_permutations_follow_the_labels():
    a, b = networks()
    labels, order = np.arange(INPUTS), np.random.default_rng(0).permutation(INPUTS)
    first = {name: relabelled(rsm, labels) for name, rsm in a.items()}
    second = {name: reordered(relabelled(rsm, labels), order) for name, rsm in b.items()}
    table = calibrated(mode="max", layers=(first, second), yardsticks={"same": second}, align=True)
    np.testing.assert_allclose(table.values, calibrated(mode="max").values, atol=1e-12)
    np.testing.assert_allclose(table.yardsticks["same"], table.values, atol=1e-12)
    np.testing.assert_allclose(table.calibration.scores, calibrated(mode="max").calibration.scores, atol=1e-12)


def test_yardsticks_without_the_layers_of_the_columns_are_an_error():
    a, b = networks()
    with pytest.raises(ValueError, match=r"yardsticks\['untrained'\].*block1, block2, block3.*conv1, conv2"):
        compare_layers(a, b, yardsticks={"untrained": a})
    with pytest.raises(ValueError, match=r"yardsticks\['ceiling'\].*\(2, 3\)"):
        compare_layers(a, b, yardsticks={"ceiling": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"'value'"):
        compare_layers(a, b, yardsticks={"value": 0.5})


# Files


@pytest.mark.parametrize("mode", [None, "each", "max"])
@pytest.mark.parametrize("method", ["cka-debiased", lambda a, b: float((a * b).sum())], ids=method_name)
def test_saved_calibrations_can_be_loaded(mode, method, tmp_path):
    table = calibrated(method, mode, yardsticks={"ceiling/x": 0.5})
    table.save(tmp_path / "table.npz")
    loaded = simplugins.load_comparison(tmp_path / "table.npz")
    assert repr(loaded) == repr(table)
    assert loaded.table() == table.table()
    if mode is not None:
        np.testing.assert_array_equal(loaded.calibration.null_distribution, table.calibration.null_distribution)
        assert repr(loaded.calibration.aggregate) == repr(table.calibration.aggregate)


def test_tables_as_text_have_every_number(tmp_path):
    table = calibrated(mode="max", yardsticks={"untrained": 0.1})
    for suffix in ("csv", "json"):
        table.save(tmp_path / f"table.{suffix}")
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["conv1"] * 3 + ["conv2"] * 3
    for name, key in [("value", "value"), ("score", "score"), ("p_value", "p_value"), ("untrained", "untrained")]:
        assert [float(row[name]) for row in rows] == [cell[key] for cell in table.table()]
    text = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert text["calibration"]["scores"] == table.calibration.scores.tolist()
    assert text["calibration"]["aggregate"]["score"] == table.calibration.aggregate.score
    assert text["calibration"]["mode"] == "max"
    assert text["yardsticks"] == {"untrained": table.yardsticks["untrained"].tolist()}


def test_calibrations_of_other_layers_are_an_error():
    table = calibrated(mode="max")
    other = calibrated(mode="max", layers=(networks()[0], None))
    with pytest.raises(ValueError, match=r"calibration\b.*\(2, 3\).*\(2, 2\)"):
        replace(table, calibration=other.calibration)


# Pictures


def test_the_picture_shows_scores_and_covers_what_is_not_significant():
    table = calibrated(mode="max")
    axes = table.plot(Figure().add_subplot())
    scores, cover = (image.get_array() for image in axes.get_images())
    np.testing.assert_array_equal(scores, table.calibration.scores)
    np.testing.assert_array_equal(~cover.mask, ~table.calibration.significant)
    assert [text.get_text() for text in axes.texts] == [f"{score:.2f}" for score in table.calibration.scores.ravel()]


def test_yardsticks_are_drawn_beside_the_comparison_in_the_same_colours():
    options = {"yardsticks": {"untrained": 0.1, "ceiling": 0.9}}
    plain = compare_layers(*networks(), **options)
    panels = [axes for axes in comparison_figure(plain).axes if axes.get_images() and axes.get_title()]
    assert panels[0].get_title().split() == ["cka-debiased", "of", "precomputed", "RSMs,", "15", "inputs"]
    assert [axes.get_title() for axes in panels[1:]] == ["untrained", "ceiling"]
    assert {axes.get_images()[0].get_clim() for axes in panels} == {(min(plain.values.min(), 0.0), 1.0)}
    panels = [axes for axes in comparison_figure(calibrated(mode="max", **options)).axes if axes.get_title()]
    assert [axes.get_title() for axes in panels[1:]] == ["not calibrated", "untrained", "ceiling"]


@pytest.mark.parametrize("mode", ["each", "max", "mean"])
def test_whole_groups_are_exchanged_in_all_cells(mode, tmp_path):
    groups = np.repeat(np.arange(5), 3)
    table = calibrated(mode=mode, groups=groups, intervals=True, resamples=40)
    a, b = networks()
    for i, row in enumerate(a.values()):
        for j, column in enumerate(b.values()):
            test = simplugins.permutation_test(row, column, permutations=PERMUTATIONS, seed=SEED, groups=groups)
            np.testing.assert_allclose(table.calibration.null_distribution[:, i, j], test.null_distribution, atol=1e-12)
    assert table.calibration.groups == table.intervals.groups == 5
    assert "of 5 groups" in repr(table.calibration)
    table.save(tmp_path / "table.npz")
    assert simplugins.load_comparison(tmp_path / "table.npz").calibration.groups == 5
    table.save(tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())["calibration"]["groups"] == 5


def test_groups_to_calibrate_are_of_equal_size():
    with pytest.raises(ValueError, match=r"groups.*equal size"):
        calibrated(groups=[0] * 4 + [1] * 11, intervals=True)
    assert calibrated(groups=np.arange(INPUTS)).calibration.groups == INPUTS


def test_groups_of_unequal_size_are_an_error_before_rsms_are_computed(monkeypatch):
    monkeypatch.setattr("simplugins.measures.several_measures.compute_rsms", lambda *a, **k: pytest.fail("computed"))
    with pytest.raises(ValueError, match="4 to 11 inputs"):
        simplugins.compare_layers({"layer": np.eye(15)}, calibrate="max", groups=[0] * 4 + [1] * 11)
