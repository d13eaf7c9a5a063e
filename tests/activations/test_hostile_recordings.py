# SPDX-License-Identifier: Apache-2.0
"""Recordings whose index contradicts their files, or whose files lie elsewhere."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import simplugins
from simplugins.activations import recordings

VALUES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A recording of layers a and b with labels."""
    path = tmp_path / "recorded"
    with recordings.writing(path) as recording:
        for name in ("a", "b"):
            recording.append(name, VALUES)
        arrays = recording.arrays()
        entry = {"shape": [3, 4], "dtype": "float32", "layout": "nd", "drop_tokens": 0}
        recording.describe({name: dict(entry) for name in arrays}, np.array(["x", "y", "z"]))
    assert list(simplugins.read_recorded(path)) == ["a", "b"]
    return path


def edit(folder, change):
    index = json.loads((folder / "recording.json").read_text())
    change(index)
    (folder / "recording.json").write_text(json.dumps(index))


def layer(**changes):
    return lambda index: index["layers"]["a"].update(changes)


def renamed(name):
    return lambda index: index["layers"].update({name: index["layers"].pop("a")})


CHANGES = {
    "another shape": layer(shape=[4, 3]),
    "a huge shape": layer(shape=[2**62, 4]),
    "a negative shape": layer(shape=[-3, -4]),
    "a nested shape": layer(shape=[[3], 4]),
    "a shape of floats": layer(shape=[3.0, float("nan")]),
    "no shape": layer(shape=None),
    "another type": layer(dtype="float64"),
    "a type that is no text": layer(dtype=["float32"]),
    "a layout that is no text": layer(layout={"a": 1}),
    "an unknown layout": layer(layout="<script>"),
    "a layout of another size": layer(layout="nchw"),
    "tokens that are no numbers": layer(drop_tokens="__import__('os')"),
    "huge tokens": layer(drop_tokens=10**30),
    "tokens that are not a number": layer(drop_tokens=float("nan")),
    "a layer in another folder": renamed("../../a"),
    "a layer of an absolute path": renamed("/etc/passwd"),
    "a layer with a null character": renamed("a\0"),
    "a layer of half a character": renamed("\ud800"),
    "a layer of a long name": renamed("x" * 300),
    "a layer that is no mapping": lambda index: index["layers"].update(a=[1]),
    "layers as a list": lambda index: index.update(layers=["a", "b"]),
    "layers as a text": lambda index: index.update(layers="ab"),
    "no layers": lambda index: index.pop("layers"),
    "too few labels": lambda index: index.update(labels=["x"]),
    "nested labels": lambda index: index.update(labels=[["x", "y", "z"]]),
    "labels as a text": lambda index: index.update(labels="xyz"),
    "labels of several types": lambda index: index.update(labels=[{"x": 1}, None, 2.5]),
    "a later version": lambda index: index.update(format_version=99),
    "a version that is no number": lambda index: index.update(format_version=[1]),
    "many layers": lambda index: index["layers"].update({f"layer{n}": index["layers"]["a"] for n in range(3000)}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_index_that_contradicts_the_files_is_an_error(folder, change):
    edit(folder, change)
    before = sorted(os.listdir(folder.parent))
    with pytest.raises(ValueError) as error:  # noqa: PT011 several messages
        simplugins.read_recorded(folder)
    assert len(str(error.value)) < 12 * (300 + len(str(folder)))
    assert sorted(os.listdir(folder.parent)) == before


TEXTS = [
    "",
    "[]",
    "null",
    "{",
    "[" * 100_000,
    '{"a":' * 100_000,
    "\x00",
    '{"format": "simplugins recording", "format": 1}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_an_index_that_is_no_json_object_is_an_error(folder, text):
    (folder / "recording.json").write_text(text)
    with pytest.raises(ValueError, match=r"recording\.json"):
        simplugins.read_recorded(folder)


def test_a_key_that_is_there_twice_is_an_error(folder):
    text = (folder / "recording.json").read_text()
    (folder / "recording.json").write_text(text.replace('"b": {', '"a": {'))
    with pytest.raises(ValueError, match=r"recording\.json.*'a' appears twice"):
        simplugins.read_recorded(folder)


@pytest.mark.parametrize("name", ["a.npy", "recording.json"])
def test_files_that_link_elsewhere_are_errors(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(ValueError, match=r"link to .*, outside"):
        simplugins.read_recorded(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(os.path.join("..", name))
    with pytest.raises(ValueError, match=r"link to .*, outside"):
        simplugins.read_recorded(folder)


def test_links_within_a_recording_and_to_it_are_read(folder, tmp_path):
    (folder / "a.npy").unlink()
    (folder / "a.npy").symlink_to("b.npy")
    (tmp_path / "link").symlink_to(folder)
    np.testing.assert_array_equal(simplugins.read_recorded(tmp_path / "link")["a"], VALUES[:, None])


def test_pipes_in_recordings_are_not_opened(folder):
    (folder / "a.npy").unlink()
    os.mkfifo(folder / "a.npy")
    with pytest.raises(ValueError, match=r"a\.npy is not a file"):
        simplugins.read_recorded(folder)


def test_an_index_of_gigabytes_is_not_read(folder):
    os.truncate(folder / "recording.json", 2**33)
    with pytest.raises(ValueError, match=str(2**33)):
        simplugins.read_recorded(folder)
