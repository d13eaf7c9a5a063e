# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pytest
import torch
import zarr
from safetensors.torch import save_file

from simplugins import read_activations
from simplugins._common import filesystem
from simplugins.activations import labels

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "one.npy", VALUES)
    np.savez(tmp_path / "one.npz", a=VALUES)
    np.savez(tmp_path / "two.npz", a=VALUES, b=VALUES + 1)
    torch.save(torch.tensor(VALUES), tmp_path / "one.pt")
    torch.save({"a": torch.tensor(VALUES), "b": torch.tensor(VALUES + 1), "epoch": 3}, tmp_path / "two.pth")
    save_file({"a": torch.tensor(VALUES), "b": torch.tensor(VALUES + 1)}, tmp_path / "two.safetensors")
    for name, arrays in {"one": {"a": VALUES}, "two": {"a": VALUES, "b": VALUES + 1}}.items():
        group = zarr.create_group(tmp_path / f"{name}.zarr")
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for key, values in arrays.items():
                file[f"{key}"] = values
                group.create_array(key, data=values)
    zarr.create_array(tmp_path / "array.zarr", data=VALUES)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("one.npy", None),
        ("one.npz", None),
        ("one.npz", "a"),
        ("two.npz", "a"),
        ("one.pt", None),
        ("two.pth", "a"),
        ("two.safetensors", "a"),
        ("one.h5", None),
        ("two.h5", "a"),
        ("one.zarr", None),
        ("two.zarr", "a"),
        ("array.zarr", None),
    ],
)
def test_every_format_is_read(folder, name, key):
    np.testing.assert_array_equal(np.asarray(read_activations(folder / name, key)), VALUES)


def test_npy_is_opened_as_a_memmap(folder):
    assert isinstance(read_activations(folder / "one.npy"), np.memmap)


@pytest.mark.parametrize("name", ["two.npz", "two.pth", "two.safetensors", "two.h5", "two.zarr"])
def test_a_key_must_single_out_an_array(folder, name):
    with pytest.raises(ValueError, match="holds 2 arrays: say which with a key; it holds a, b"):
        read_activations(folder / name)
    with pytest.raises(ValueError, match="holds no array 'c'; it holds a, b"):
        read_activations(folder / name, "c")


@pytest.mark.parametrize("name", ["one.npy", "one.pt", "array.zarr"])
def test_a_key_where_there_are_no_names(folder, name):
    with pytest.raises(ValueError, match="holds one array without a name, so there is no 'a' in it"):
        read_activations(folder / name, "a")


class Exploding:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_pickles_are_never_run(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([Exploding()], object), allow_pickle=True)
    np.savez(tmp_path / "pickled.npz", a=np.array([Exploding()], object))
    torch.save(Exploding(), tmp_path / "pickled.pt")
    for name in ("pickled.npy", "pickled.npz", "pickled.pt"):
        with pytest.raises(ValueError, match="could not be read"):
            read_activations(tmp_path / name)


@pytest.mark.parametrize("dtype", ["<f4", "|O"])
@pytest.mark.parametrize("codecs", [("filters",), ("compressor",), ("delta",)])
def test_pickles_in_zarr_are_never_run(tmp_path, dtype, codecs):
    folder, pickled = tmp_path / "pickled.zarr", {"id": "pickle", "protocol": 5}
    folder.mkdir()
    delta = [{"id": "delta", "dtype": "<f4"}, pickled]
    described = {
        "zarr_format": 2, "shape": [3, 4], "chunks": [3, 4], "dtype": dtype, "fill_value": 0, "order": "C",
        "filters": [pickled] if "filters" in codecs else delta if "delta" in codecs else None,
        "compressor": pickled if "compressor" in codecs else None,
    }  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(described), encoding="ascii")
    (folder / "0.0").write_bytes(pickle.dumps(Exploding()))
    with pytest.raises(ValueError, match="could not be read"):
        read_activations(folder)


@pytest.mark.parametrize("name", ["one.npy", "two.npz", "one.pt", "two.safetensors", "one.h5"])
def test_a_truncated_file_is_an_error(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="could not be read as"):
        read_activations(folder / name, "a" if name.startswith("two") else None)


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_activations(tmp_path / "none.npy")
    with pytest.raises(ValueError, match=r"unknown format '.mat', expected one of .npy, .npz"):
        read_activations(tmp_path / "none.mat")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    def write(file):
        file.write(b"half")
        raise error

    (tmp_path / "kept").write_bytes(b"before")
    for name in ("new", "kept"):
        with pytest.raises(error):
            filesystem.write_whole(tmp_path / name, write, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_bytes() == b"before"


def test_files_are_replaced_only_if_allowed(tmp_path):
    path = tmp_path / "file"
    filesystem.write_whole(path, lambda file: file.write(b"one"))
    with pytest.raises(FileExistsError, match="exists; choose another name"):
        filesystem.write_whole(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"one"
    filesystem.write_whole(path, lambda file: file.write(b"two"), overwrite=True)
    assert path.read_bytes() == b"two"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        filesystem.write_whole(tmp_path / "no" / "file", lambda file: None)


def test_labels_are_lines(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("chelsea\ncoffee  \n", encoding="utf-8")
    assert labels.read_labels(path) == ["chelsea", "coffee"]
    path.write_text("chelsea\n\ncoffee\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2 is empty"):
        labels.read_labels(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not a text file of labels"):
        labels.read_labels(path)
    with pytest.raises(FileNotFoundError):
        labels.read_labels(tmp_path / "none.txt")


def test_sets_of_labels_have_commas_between_them_and_may_be_empty(tmp_path):
    (tmp_path / "sets.txt").write_text("cup, dog\n\ncat\n , cup,\n", encoding="utf-8")
    assert labels.read_label_sets(tmp_path / "sets.txt") == [["cup", "dog"], [], ["cat"], ["cup"]]
    with pytest.raises(FileNotFoundError, match="no such file"):
        labels.read_label_sets(tmp_path / "other.txt")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match="not a text file of labels"):
        labels.read_label_sets(tmp_path / "bad.txt")
