# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from comparison_data import Closeness
from comparison_measures import Scaled, pooled, standardised

import simplugins
from simplugins.comparisons.comparison_files import load_comparison
from simplugins.comparisons.layer_comparison import Comparison
from simplugins.comparisons.layers import compare_layers
from simplugins.plotting.layer_heatmaps import comparison_figure, plot_comparison


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return {
        "conv1": rng.normal(size=(6, 4, 5, 5)),
        "conv2": rng.normal(size=(6, 8, 3, 3)),
        "head": rng.normal(size=(6, 9)),
    }


@pytest.fixture
def comparison(network):
    return compare_layers(network, {"first": network["conv1"][:, :, ::-1], "last": network["head"]})


def test_each_entry_compares_two_layers(network, comparison):
    second = {"first": network["conv1"][:, :, ::-1], "last": network["head"]}
    for i, a in enumerate(network.values()):
        for j, b in enumerate(second.values()):
            rsms = simplugins.compute_rsm(a), simplugins.compute_rsm(b)
            assert comparison.values[i, j] == pytest.approx(simplugins.compare(*rsms), abs=1e-12)
    assert comparison.rows == ("conv1", "conv2", "head")
    assert comparison.columns == ("first", "last")
    assert comparison.values[0, 0] == pytest.approx(1)
    assert comparison.metadata == {
        "method": "cka-debiased",
        "method_options": {},
        "larger_is_more_similar": True,
        "range": [-1.0, 1.0],
        "symmetric": False,
        "measure": "semantic-cosine",
        "inputs": 6,
        "simplugins": simplugins.__version__,
    }
    assert repr(comparison) == "Comparison cka-debiased: 3 x 2 layers, 6 inputs"
    nearest = comparison.columns[comparison.values[1].argmax()]
    assert comparison.best_match() == {"conv1": "first", "conv2": nearest, "head": "last"}


def test_one_network_is_compared_with_itself(network):
    comparison = compare_layers(network, method="rsa-spearman", measure="spatio-semantic-linear")
    np.testing.assert_allclose(comparison.values.diagonal(), 1)
    np.testing.assert_allclose(comparison.values, comparison.values.T)
    assert comparison.symmetric
    assert comparison.rows == comparison.columns == tuple(network)


def test_each_rsm_is_computed_once(network):
    calls = []

    def counted(x, y=None):
        calls.append(len(x))
        return pooled(x, y)

    compare_layers(network, network, measure=counted)
    assert calls == [6] * 6


def test_rsms_of_several_measures_are_compared_by_a_function(network):
    rsms = {name: simplugins.compute_rsm(network["conv1"], name) for name in ("semantic-linear", "semantic-rbf")}
    comparison = compare_layers(rsms, method=lambda a, b: float(np.abs(a - b).max()))
    assert comparison.metadata["measure"] == ["semantic-linear", "semantic-rbf"]
    assert comparison.metadata["larger_is_more_similar"] is None
    np.testing.assert_array_equal(comparison.values.diagonal(), 0)
    with pytest.raises(ValueError, match="larger_is_more_similar"):
        comparison.best_match()


def test_methods_with_options_declare_their_direction(network):
    comparison = compare_layers(network, method=Closeness(power=2))
    assert comparison.method == "closeness"
    assert comparison.best_match() == {name: name for name in network}


@pytest.mark.parametrize("measure", [pooled, Scaled, Scaled(2.0), standardised])
def test_measures_of_third_parties_are_accepted_with_all_options(network, measure):
    options = {"labels": list("abcdef"), "subset": [0, 2, 3, 5], "dtype": np.float32, "threads": 1, "seed": 1}
    comparison = compare_layers(network, measure=measure, progress=True, **options)
    rsms = [simplugins.compute_rsm(layer, measure, **options) for layer in network.values()]
    np.testing.assert_allclose(comparison.values, simplugins.comparisons.pairwise("cka-debiased", rsms))
    assert comparison.metadata["inputs"] == 4
    with pytest.raises(ValueError, match="matching='greedy'"):
        compare_layers(network, measure=measure, matching="greedy")


def test_options_of_measures_and_matchings_reach_every_layer(network):
    scaled = compare_layers(network, measure=Scaled, measure_options={"scale": 3.0}, method="norm-difference")
    np.testing.assert_allclose(scaled.values, compare_layers(network, measure=pooled, method="norm-difference").values)
    maps = {name: network[name] for name in ("conv1", "conv2")}
    options = {"matching": "topk-greedy", "matching_options": {"k": 2}, "layout": "nchw", "dtype": "float32"}
    rsms = {name: simplugins.compute_rsm(layer, **options) for name, layer in maps.items()}
    np.testing.assert_array_equal(compare_layers(maps, **options).values, compare_layers(rsms).values)


def test_masks_apply_to_layers_of_the_same_size(network):
    mask = np.ones((6, 25), bool)
    mask[:, ::3] = False
    tokens = {"conv1": network["conv1"], "again": 2 * network["conv1"]}
    expected = simplugins.compute_rsm(network["conv1"], mask=mask)
    masked = compare_layers(tokens, {"conv1": expected}, mask=mask)
    np.testing.assert_allclose(masked.values, 1)
    with pytest.raises(ValueError, match=r"a\['conv2'\]: mask"):
        compare_layers(network, mask=mask)


def test_labels_are_checked_and_aligned(network):
    labels = list("abcdef")
    order = [3, 1, 5, 0, 2, 4]
    a = {"a": simplugins.compute_rsm(network["conv1"], labels=labels)}
    b = {"b": simplugins.compute_rsm(network["conv1"][order], labels=[labels[k] for k in order])}
    with pytest.raises(ValueError, match=r"labels.* 0 is 'a'"):
        compare_layers(a, b)
    assert compare_layers(a, b, align=True).values.item() == pytest.approx(1)


def test_bad_layers_are_named(network):
    with pytest.raises(TypeError, match=r"^a\b.*\blist\b"):
        compare_layers([network["conv1"]])
    with pytest.raises(ValueError, match=r"^b\b"):
        compare_layers(network, {})
    with pytest.raises(ValueError, match=r"b\['bad'\].* 1 NaN"):
        compare_layers(network, {"bad": np.array([[np.nan, 1.0], [1.0, 1.0]])})
    with pytest.raises(ValueError, match=r"a\['conv1'\].* 6 .*b\['few'\].* 3$"):
        compare_layers(network, {"few": network["conv1"][:3]})
    with pytest.raises(ValueError, match=r"'ckaa'.*\bcka\b"):
        compare_layers(network, method="ckaa")
    with pytest.raises(TypeError, match="windw"):
        compare_layers(network, windw=3)


def test_a_saved_comparison_can_be_loaded(comparison, tmp_path):
    path = tmp_path / "comparison.npz"
    comparison.save(path)
    loaded = load_comparison(path)
    np.testing.assert_array_equal(loaded.values, comparison.values)
    assert (loaded.rows, loaded.columns, loaded.metadata) == (comparison.rows, comparison.columns, comparison.metadata)
    with pytest.raises(FileExistsError):
        comparison.save(path)
    comparison.save(path, overwrite=True)
    with pytest.raises(ValueError, match=r"\.npz, \.csv, \.json"):
        comparison.save(tmp_path / "comparison.txt")
    simplugins.compute_rsm(np.eye(3)).save(tmp_path / "rsm.npz")
    with pytest.raises(ValueError, match=r"rsm\.npz is not"):
        load_comparison(tmp_path / "rsm.npz")


def test_tables_are_saved_as_text(tmp_path):
    comparison = Comparison(
        np.array([[0.1, np.nan]]), ("a,b",), ("x", "y"), {"method": "cka", "symmetric": False, "inputs": 4}
    )
    comparison.save(tmp_path / "comparison.csv")
    comparison.save(tmp_path / "comparison.json")
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["cka", "x", "y"], ["a,b", "0.1", "nan"]]
    table = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert table["values"] == [[0.1, None]]
    assert table["rows"] == ["a,b"]


def test_values_must_have_the_shape_of_the_names():
    with pytest.raises(ValueError, match=r"values\b.*\(1, 2\).*\(2, 2\)"):
        Comparison(np.eye(2), ("a",), ("x", "y"), {})


def test_heat_maps_have_names_and_numbers(comparison):
    axes = comparison_figure(comparison).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(comparison.rows)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(comparison.columns)
    assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in comparison.values.ravel()]
    many = [f"$layer_{k}" for k in range(100)]
    large = Comparison(np.eye(100), many, many, {"method": "cka", "symmetric": True, "inputs": 4})
    figure = comparison_figure(large)
    figure.canvas.draw()  # a $ would be read as a formula
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticks()) <= 40
    assert plot_comparison(comparison, figure.axes[0], title="mine").get_title() == "mine"
