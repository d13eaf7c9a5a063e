# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import simplugins
from simplugins.comparisons.layers import Comparison, compare_layers, load_comparison, read_layers
from simplugins.plotting.heatmaps import comparison_figure, plot_comparison


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return {
        "conv1": rng.normal(size=(6, 4, 5, 5)),
        "conv2": rng.normal(size=(6, 8, 3, 3)),
        "head": rng.normal(size=(6, 9)),
    }


@pytest.fixture
def found(network):
    return compare_layers(network, {"first": network["conv1"][:, :, ::-1], "last": network["head"]})


def test_each_entry_compares_two_layers(network, found):
    others = {"first": network["conv1"][:, :, ::-1], "last": network["head"]}
    for i, a in enumerate(network.values()):
        for j, b in enumerate(others.values()):
            rsms = simplugins.compute_rsm(a), simplugins.compute_rsm(b)
            assert found.values[i, j] == pytest.approx(simplugins.compare(*rsms), abs=1e-12)
    assert found.rows == ("conv1", "conv2", "head")
    assert found.columns == ("first", "last")
    assert found.values[0, 0] == pytest.approx(1)
    assert found.metadata == {
        "method": "cka",
        "larger_is_more_similar": True,
        "symmetric": False,
        "measure": "semantic-cosine",
        "inputs": 6,
        "simplugins": simplugins.__version__,
    }
    assert repr(found) == "Comparison cka: 3 x 2 layers, of 6 inputs"
    assert found.best_match() == {"conv1": "first", "conv2": found.columns[found.values[1].argmax()], "head": "last"}


def test_one_network_is_compared_with_itself(network):
    found = compare_layers(network, method="rsa-spearman", measure="spatio-semantic-linear")
    np.testing.assert_allclose(found.values.diagonal(), 1)
    np.testing.assert_allclose(found.values, found.values.T)
    assert found.symmetric
    assert found.rows == found.columns == tuple(network)


def test_each_rsm_is_computed_once(network, monkeypatch):
    computed = []
    compute = simplugins.compute_rsm
    monkeypatch.setattr(
        "simplugins.measures.computation.compute_rsm",
        lambda *given, **how: computed.append(1) or compute(*given, **how),
    )
    compare_layers(network, network)
    assert len(computed) == 6
    rsms = {name: compute(layer) for name, layer in network.items()}
    compare_layers(rsms, rsms, "angular-cka")
    assert len(computed) == 6


def test_rsms_of_several_measures_and_a_function_as_method(network):
    rsms = {name: simplugins.compute_rsm(network["conv1"], name) for name in ("semantic-linear", "semantic-rbf")}
    found = compare_layers(rsms, method=lambda a, b: float(np.abs(a - b).max()))
    assert found.measure == ["semantic-linear", "semantic-rbf"]
    assert found.metadata["larger_is_more_similar"] is None
    np.testing.assert_array_equal(found.values.diagonal(), 0)
    with pytest.raises(ValueError, match="not known whether larger values"):
        found.best_match()


def test_labels_are_checked_and_aligned(network):
    labels = list("abcdef")
    order = [3, 1, 5, 0, 2, 4]
    a = {"a": simplugins.compute_rsm(network["conv1"], labels=labels)}
    b = {"b": simplugins.compute_rsm(network["conv1"][order], labels=[labels[k] for k in order])}
    with pytest.raises(ValueError, match="labels differ: input 0 is 'a'"):
        compare_layers(a, b)
    assert compare_layers(a, b, align=True).values.item() == pytest.approx(1)


def test_bad_layers_are_named(network):
    with pytest.raises(TypeError, match="a: expected layers by name, as a dictionary; got list"):
        compare_layers([network["conv1"]])
    with pytest.raises(ValueError, match="b: expected at least one layer"):
        compare_layers(network, {})
    with pytest.raises(ValueError, match=r"b\['bad'\]: .*\b1 NaN"):
        compare_layers(network, {"bad": np.array([[np.nan, 1.0], [1.0, 1.0]])})
    with pytest.raises(ValueError, match=r"same inputs: .*'conv1'.* has 6, .*'few'.* 3"):
        compare_layers(network, {"few": network["conv1"][:3]})
    with pytest.raises(ValueError, match=r"no plugin 'ckaa' \(nearest: cka"):
        compare_layers(network, method="ckaa")


def test_saved_and_loaded(found, tmp_path):
    found.save(tmp_path / "found.npz")
    loaded = load_comparison(tmp_path / "found.npz")
    np.testing.assert_array_equal(loaded.values, found.values)
    assert (loaded.rows, loaded.columns, loaded.metadata) == (found.rows, found.columns, found.metadata)
    with pytest.raises(FileExistsError):
        found.save(tmp_path / "found.npz")
    with pytest.raises(ValueError, match=r"ends in one of \.npz, \.csv, \.json"):
        found.save(tmp_path / "found.txt")
    simplugins.compute_rsm(np.eye(3)).save(tmp_path / "rsm.npz")
    with pytest.raises(ValueError, match="is no comparison of layers"):
        load_comparison(tmp_path / "rsm.npz")


def test_tables_as_text(tmp_path):
    found = Comparison(
        np.array([[0.1, np.nan]]), ("a,b",), ("x", "y"), {"method": "cka", "symmetric": False, "inputs": 4}
    )
    found.save(tmp_path / "found.csv")
    found.save(tmp_path / "found.json")
    with (tmp_path / "found.csv").open(encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["cka", "x", "y"], ["a,b", "0.1", "nan"]]
    told = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert told["values"] == [[0.1, None]]
    assert told["rows"] == ["a,b"]


def test_the_shape_is_checked():
    with pytest.raises(ValueError, match=r"each of 1 x 2 layers, got shape \(2, 2\)"):
        Comparison(np.eye(2), ("a",), ("x", "y"), {})


def test_a_heat_map_with_names_and_numbers(found):
    axes = comparison_figure(found).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(found.rows)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(found.columns)
    assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in found.values.ravel()]
    many = [f"$layer_{k}" for k in range(100)]
    large = Comparison(np.eye(100), many, many, {"method": "cka", "symmetric": True, "inputs": 4})
    figure = comparison_figure(large)
    figure.canvas.draw()  # a $ would be read as a formula
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_xticks()) <= 40
    assert plot_comparison(found, figure.axes[0], title="mine").get_title() == "mine"


def test_layers_of_a_folder_or_an_archive(network, tmp_path):
    np.savez(tmp_path / "all.npz", **network)
    folder = tmp_path / "network"
    folder.mkdir()
    for k in (1, 2, 10):
        np.save(folder / f"block{k}.npy", network["conv1"] + k)
    simplugins.compute_rsm(network["head"]).save(folder / "head.npz")
    (folder / "notes.txt").write_text("not a layer", encoding="utf-8")
    assert list(read_layers(tmp_path / "all.npz")) == list(network)
    assert list(read_layers(tmp_path / "all.npz", ["conv*"])) == ["conv1", "conv2"]
    read = read_layers(folder)
    assert list(read) == ["block1", "block2", "block10", "head"]
    assert isinstance(read["head"], simplugins.RSM)
    assert list(read_layers(folder / "head.npz")) == list(read_layers(folder, ["head"])) == ["head"]
    assert compare_layers(read).values.shape == (4, 4)


def test_layers_that_were_recorded(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    recorded = simplugins.record(model, torch.rand(6, 3, 9, 9), to=tmp_path / "recorded", labels=list("abcdef"))
    read = read_layers(tmp_path / "recorded")
    assert list(read) == list(recorded) == ["0", "1", "2"]
    assert list(read_layers(tmp_path / "recorded", ["2"])) == ["2"]
    np.testing.assert_array_equal(compare_layers(read).values, compare_layers(recorded).values)
    assert list(read["0"].labels) == list("abcdef")


def test_what_cannot_be_read_as_layers(network, tmp_path):
    np.savez(tmp_path / "all.npz", **network)
    with pytest.raises(ValueError, match=r"all\.npz has no layer 'relu\*'; it has conv1, conv2, head"):
        read_layers(tmp_path / "all.npz", ["relu*"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no layers"):
        read_layers(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        read_layers(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ValueError, match=r"bad\.npz is not a readable \.npz file"):
        read_layers(tmp_path / "bad.npz")
