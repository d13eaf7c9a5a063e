# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
import zarr
from safetensors.numpy import save_file

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
    for other in ("head.npz", "head.PT"):
        if other.endswith("npz"):
            simplugins.compute_rsm(network["head"]).save(tmp_path / other)
        else:
            torch.save(torch.tensor(network["head"]), tmp_path / other)
        names = {"head.npy", other}
        with pytest.raises(ValueError, match=" and ".join(sorted(names))):
            read_layers(tmp_path)
        (tmp_path / other).unlink()


def test_hidden_and_other_files_are_left_out_and_suffixes_may_be_upper_case(network, tmp_path):
    np.save(tmp_path / "fc.npy", network["head"])
    (tmp_path / "fc.npy").rename(tmp_path / "fc.NPY")
    simplugins.compute_rsm(network["head"]).save(tmp_path / "rsm.npz")
    (tmp_path / "rsm.npz").rename(tmp_path / "rsm.Npz")
    for name in ("._fc.npy", ".DS_Store", "Thumbs.db", "notes.txt", ".hidden.npz"):
        (tmp_path / name).write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X        ")
    layers = read_layers(tmp_path)
    assert list(layers) == ["fc", "rsm"]
    np.testing.assert_array_equal(layers["fc"], network["head"])
    assert isinstance(layers["rsm"], simplugins.RSM)
    np.testing.assert_array_equal(read_layers(tmp_path / "fc.NPY")["fc"], network["head"])


def save_network(network, path):
    """Save layers as arrays of one file; those of groups have the names of the groups before theirs."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **network)
    elif path.suffix in (".pt", ".pth"):
        torch.save({name: torch.tensor(values) for name, values in network.items()} | {"epoch": 3}, path)
    elif path.suffix == ".safetensors":
        save_file(network, path)
    elif path.suffix == ".zarr":
        group = zarr.create_group(path)
        for name, values in network.items():
            group.create_array(name, data=values)
    else:
        with h5py.File(path, "w") as file:
            file.update(network)


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".pth", ".safetensors", ".h5", ".hdf5", ".zarr", ".H5"])
@pytest.mark.parametrize("names", [("conv1", "conv2", "head"), ("one",)])
def test_files_of_several_arrays_are_networks(network, tmp_path, suffix, names):
    layers = {name: network.get(name, network["head"]) for name in names}
    path = tmp_path / f"network{suffix}"
    save_network(layers, path.with_suffix(suffix.lower()))
    path.with_suffix(suffix.lower()).rename(path)
    read = read_layers(path)
    assert list(read) == list(names)
    for name, values in layers.items():
        np.testing.assert_array_equal(np.asarray(read[name]), values)
    assert list(read_layers(path, [names[-1]])) == [names[-1]]
    with pytest.raises(ValueError, match="'relu'"):
        read_layers(path, ["relu"])


@pytest.mark.parametrize("suffix", [".h5", ".zarr"])
def test_arrays_of_nested_groups_are_layers(network, tmp_path, suffix):
    layers = {"stage1/conv1": network["conv1"], "stage1/block/conv2": network["conv2"], "head": network["head"]}
    save_network(layers, tmp_path / f"network{suffix}")
    read = read_layers(tmp_path / f"network{suffix}")
    assert set(read) == set(layers)
    for name, values in layers.items():
        np.testing.assert_array_equal(np.asarray(read[name]), values)


def test_tensors_of_nested_mappings_are_layers(network, tmp_path):
    tensors = {name: torch.tensor(values) for name, values in network.items()}
    torch.save({"epoch": 3, "layers": tensors, "head": tensors["head"]}, tmp_path / "network.pt")
    read = read_layers(tmp_path / "network.pt")
    assert list(read) == ["layers.conv1", "layers.conv2", "layers.head", "head"]
    np.testing.assert_array_equal(read["layers.conv2"], network["conv2"])
    torch.save({1: tensors["head"], "1": tensors["head"]}, tmp_path / "network.pt")
    with pytest.raises(ValueError, match="'1'"):
        read_layers(tmp_path / "network.pt")


def test_saved_activations_are_one_layer(network, tmp_path):
    simplugins.Activations.from_array(network["conv1"], labels=range(6)).save(tmp_path / "conv1.npz")
    (layer,) = read_layers(tmp_path / "conv1.npz").values()
    assert layer.labels.tolist() == [*range(6)]
    assert list(read_layers(tmp_path)) == ["conv1"]


def test_a_file_of_several_arrays_among_files_of_layers_is_an_error(network, tmp_path):
    np.save(tmp_path / "fc.npy", network["head"])
    save_network(network, tmp_path / "more.safetensors")
    with pytest.raises(ValueError, match=r"more\.safetensors holds 3 arrays \(conv1, conv2, head\)") as error:
        read_layers(tmp_path)
    assert "key" not in str(error.value)


@pytest.mark.parametrize("twice", [{1: 0, "1": 0}, {"0.5": 0, 0.5: 0}, {None: 0, "None": 0}])
def test_names_that_are_the_same_text_are_an_error(network, twice):
    layers = dict.fromkeys(twice, network["head"])
    first, second = map(repr, twice)
    for arguments in ((layers,), ({"a": network["head"]}, layers)):
        with pytest.raises(ValueError, match=re.escape(f"{first} and {second} are the same name")):
            compare_layers(*arguments)


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
