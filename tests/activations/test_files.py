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

from simplugins import Activations, compute_rsm, read_activations
from simplugins._common import filesystem

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
def test_a_file_of_several_arrays_needs_a_key(folder, name):
    with pytest.raises(ValueError, match=r"2 arrays.*key.*\(a, b\)"):
        read_activations(folder / name)
    with pytest.raises(ValueError, match=r"'c'.*a, b"):
        read_activations(folder / name, "c")


@pytest.mark.parametrize("name", ["one.npy", "one.pt", "array.zarr"])
def test_a_key_is_an_error_where_arrays_have_no_names(folder, name):
    with pytest.raises(ValueError, match="key='a'"):
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


def test_a_missing_file_or_an_unknown_format_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_activations(tmp_path / "none.npy")
    with pytest.raises(ValueError, match=r"unknown format '.csv', expected one of .npy, .npz"):
        read_activations(tmp_path / "none.csv")


# Saved activations


MAPS = np.random.default_rng(0).normal(size=(4, 3, 2, 5))
SAVED = {
    "maps": lambda: Activations.from_array(MAPS, labels=list("abcd")),
    "float32": lambda: Activations.from_array(MAPS, dtype="f4", labels=range(4)),
    "masked": lambda: Activations.from_array(MAPS, mask=MAPS[:, 0] > -0.5),
    "sets": lambda: Activations.from_sets([MAPS[i, :, 0, : i + 1].T for i in range(4)], labels=list("abcd")),
    "huge": lambda: Activations.from_array(MAPS * 1e60, dtype="f4"),
}


@pytest.mark.parametrize("make", SAVED.values(), ids=SAVED)
def test_saved_activations_are_read_as_they_were(tmp_path, make):
    x = make()
    x.save(tmp_path / "x.npz")
    again = read_activations(tmp_path / "x.npz")
    assert repr(again) == repr(x)
    assert again.digest() == x.digest()
    np.testing.assert_array_equal(again.labels, x.labels)
    rsm = compute_rsm(tmp_path / "x.npz", "semantic-linear")
    np.testing.assert_allclose(rsm, compute_rsm(x, "semantic-linear"), rtol=1e-6)
    np.testing.assert_array_equal(rsm.labels, x.labels)


def test_tokens_of_saved_activations_may_still_be_dropped(tmp_path):
    tokens = MAPS.reshape(4, 3, 10)
    Activations.from_array(tokens).save(tmp_path / "x.npz")
    rsm = compute_rsm(tmp_path / "x.npz", drop_tokens=1)
    np.testing.assert_array_equal(rsm, compute_rsm(tokens, drop_tokens=1))


def test_numpy_reads_saved_activations(tmp_path):
    Activations.from_array(MAPS).save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as archive:
        np.testing.assert_array_equal(archive["vectors"].reshape(4, 10, 3), Activations.from_array(MAPS))
        assert archive["positions"].tolist() == [10] * 4


def test_activations_replace_a_file_only_if_allowed(tmp_path):
    x = Activations.from_array(MAPS)
    x.save(tmp_path / "x.npz")
    with pytest.raises(FileExistsError, match=r"x\.npz.*overwrite=True.*--force"):
        x.save(tmp_path / "x.npz")
    Activations.from_array(2 * MAPS).save(tmp_path / "x.npz", overwrite=True)
    np.testing.assert_array_equal(read_activations(tmp_path / "x.npz"), 2 * x.array())
    with pytest.raises(ValueError, match=r"x\.npy.*\.npz"):
        x.save(tmp_path / "x.npy")


def test_damaged_files_of_activations_are_errors(tmp_path):
    Activations.from_array(MAPS).save(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="key='a'"):
        read_activations(tmp_path / "x.npz", "a")
    contents, header = filesystem.read_npz(tmp_path / "x.npz")
    for changes, positions, message in [
        ({"format_version": 2}, [10] * 4, r"version.*\b2\b"),
        ({}, [10] * 3, "40.*30"),
        ({"dtype": "f2"}, [10] * 4, "float16"),
    ]:
        filesystem.write_npz(tmp_path / "bad.npz", contents | {"positions": np.array(positions)}, header | changes)
        with pytest.raises(ValueError, match=rf"bad\.npz.*{message}"):
            read_activations(tmp_path / "bad.npz")
        (tmp_path / "bad.npz").unlink()


def test_tuples_in_torch_files_have_their_numbers_as_keys(tmp_path):
    path, values = tmp_path / "saved.pt", torch.tensor(VALUES)
    torch.save((values, ["cat"] * len(values)), path)
    np.testing.assert_array_equal(read_activations(path), VALUES)
    torch.save((values, torch.arange(len(values))), path)
    np.testing.assert_array_equal(read_activations(path, "0"), VALUES)
    with pytest.raises(ValueError, match=r"2 arrays.*0, 1"):
        read_activations(path)


def test_a_folder_is_called_a_folder(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        read_activations(tmp_path)
