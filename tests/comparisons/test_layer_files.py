# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

import simplugins
from simplugins.comparisons.layer_files import read_layers
from simplugins.comparisons.layers import compare_layers


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return {
        "conv1": rng.normal(size=(6, 4, 5, 5)),
        "conv2": rng.normal(size=(6, 8, 3, 3)),
        "head": rng.normal(size=(6, 9)),
    }


def test_layers_are_read_from_folders_and_archives(network, tmp_path):
    np.savez(tmp_path / "all.npz", **network)
    folder = tmp_path / "network"
    folder.mkdir()
    for k in (1, 2, 10):
        np.save(folder / f"block{k}.npy", network["conv1"] + k)
    simplugins.compute_rsm(network["head"]).save(folder / "head.npz")
    (folder / "notes.txt").write_text("not a layer", encoding="utf-8")
    assert list(read_layers(tmp_path / "all.npz")) == list(network)
    assert list(read_layers(tmp_path / "all.npz", ["conv*"])) == ["conv1", "conv2"]
    layers = read_layers(folder)
    assert list(layers) == ["block1", "block2", "block10", "head"]
    assert isinstance(layers["head"], simplugins.RSM)
    assert list(read_layers(folder / "head.npz")) == list(read_layers(folder, ["head"])) == ["head"]
    assert compare_layers(layers).values.shape == (4, 4)


def test_numbers_in_file_names_compare_by_value_even_after_superscripts(network, tmp_path):
    for name in ("1²", "conv10", "conv2²"):
        np.save(tmp_path / f"{name}.npy", network["head"])
    assert list(read_layers(tmp_path)) == ["1²", "conv2²", "conv10"]


def test_two_files_of_one_layer_raise(network, tmp_path):
    np.save(tmp_path / "head.npy", network["head"])
    simplugins.compute_rsm(network["head"]).save(tmp_path / "head.npz")
    with pytest.raises(ValueError, match=r"head\.np[yz] and head\.np[yz] are both named 'head'"):
        read_layers(tmp_path)


def test_recorded_layers_are_read(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    recorded = simplugins.record(model, torch.rand(6, 3, 9, 9), to=tmp_path / "recorded", labels=list("abcdef"))
    layers = read_layers(tmp_path / "recorded")
    assert list(layers) == list(recorded) == ["0", "1", "2"]
    assert list(read_layers(tmp_path / "recorded", ["2"])) == ["2"]
    np.testing.assert_array_equal(compare_layers(layers).values, compare_layers(recorded).values)
    assert list(layers["0"].labels) == list("abcdef")


def test_unreadable_layers_are_refused(network, tmp_path):
    np.savez(tmp_path / "all.npz", **network)
    with pytest.raises(ValueError, match=r"all\.npz\b.*'relu\*'.*conv1, conv2, head"):
        read_layers(tmp_path / "all.npz", ["relu*"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty "):
        read_layers(tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        read_layers(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(ValueError, match=r"bad\.npz "):
        read_layers(tmp_path / "bad.npz")
