# SPDX-License-Identifier: Apache-2.0
"""Stores whose manifest contradicts their arrays or lies about sizes, and links that lead out of them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import simplugins
from simplugins._common.filesystem import is_store
from simplugins.compute.sinks.zarr_store import Store

zarr = pytest.importorskip("zarr")

VALUES = np.random.default_rng(0).normal(size=(6, 4, 3))
LABELS = list("abcdef")


@pytest.fixture
def store(tmp_path):
    simplugins.compute_rsm(VALUES, "semantic-linear", labels=LABELS, store=tmp_path / "run.zarr", tile_size=4)
    return tmp_path / "run.zarr"


def resume(path):
    return simplugins.compute_rsm(VALUES, "semantic-linear", labels=LABELS, store=path)


def edit(path, change):
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def entry(name, value):
    return lambda manifest: manifest.update({name: value})


def within(name, **values):
    return lambda manifest: manifest[name].update(values)


CHANGES = {
    "huge": within("tiling", rows=2**62, columns=2**62),
    "negative": within("tiling", rows=-6, columns=-6),
    "tiles of no size": within("tiling", size=0),
    "tiles beyond the memory": within("tiling", rows=2**40, columns=2**40, size=2**40),
    "norms beyond the memory": within("tiling", rows=2**50, columns=2**50),
    "sizes as texts": within("tiling", rows="6"),
    "sizes as floats": within("tiling", rows=6.0),
    "sizes that are not numbers": within("tiling", size=float("nan")),
    "sizes as truth": within("tiling", size=True),
    "symmetry as a number": within("tiling", symmetric=1),
    "symmetry of unequal sides": within("tiling", rows=5),
    "more entries": within("tiling", evil=1),
    "tiling as a list": entry("tiling", [6, 6, 4, True]),
    "run as a text": entry("run", "run"),
    "certified as a text": within("run", certify="no"),
    "matching as a list": within("run", matching=["optimal"]),
    "other inputs as a number": within("run", other=3),
    "computed as a list": entry("computed", []),
    "rounding that is not a number": within("computed", rounding=float("nan")),
    "negative rounding": within("computed", rounding=-1),
    "rounding as a text": within("computed", rounding="0"),
    "metadata as a list": entry("metadata", []),
    "measure as a number": entry("measure", 3),
    "sigma as a list": entry("sigma", [1]),
    "sigma that is not a number": entry("sigma", float("nan")),
    "sigma of 0": entry("sigma", 0),
    "too few labels": entry("labels", ["a"]),
    "nested labels": entry("labels", [[label] for label in LABELS]),
    "labels as a text": entry("labels", "abcdef"),
    "labels of floats": entry("labels", [1.5] * 6),
    "labels of columns that are the rows": entry("other_labels", ["a"]),
    "a version as a text": entry("format_version", "1"),
    "a later version": entry("format_version", 99),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("read", [simplugins.load_rsm, resume])
def test_a_manifest_that_lies_is_an_error(store, change, read):
    edit(store / "zarr.json", lambda metadata: change(metadata["attributes"]["simplugins"]))
    with pytest.raises(ValueError, match=r"run\.zarr"):
        read(store)


def test_sizes_that_lie_everywhere_are_errors(store):
    """Billions of tiles, of which none is there, in the manifest and in the metadata of the array alike."""
    size = 2**30
    edit(store / "zarr.json", lambda metadata: metadata["attributes"]["simplugins"].update(
        tiling={"rows": size, "columns": size, "size": 4, "symmetric": True}, labels=None))  # fmt: skip
    edit(store / "values" / "zarr.json", lambda metadata: metadata.update(shape=[size, size]))
    with pytest.raises(ValueError, match=r"not finished: it holds 3 of"):
        simplugins.load_rsm(store)


ARRAYS = {
    "another shape": lambda metadata: metadata.update(shape=[6, 7]),
    "another type": lambda metadata: metadata.update(data_type="float32"),
    "other tiles": lambda metadata: metadata["chunk_grid"]["configuration"].update(chunk_shape=[6, 6]),
    "compressed": lambda metadata: metadata["codecs"].insert(1, {"name": "gzip", "configuration": {"level": 1}}),
    "unchecked": lambda metadata: metadata.update(codecs=metadata["codecs"][:1]),
    "an unknown codec": lambda metadata: metadata.update(codecs=[{"name": "pickle"}]),
    "objects": lambda metadata: metadata.update(data_type="object"),
}


@pytest.mark.parametrize("change", ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_contradict_the_manifest_are_errors(store, change):
    edit(store / "values" / "zarr.json", change)
    for read in (simplugins.load_rsm, resume):
        with pytest.raises(ValueError, match=r"run\.zarr.*values"):
            read(store)


def test_norms_of_another_length_are_errors(store):
    edit(store / "squared_norms" / "zarr.json", lambda metadata: metadata.update(shape=[2**62]))
    with pytest.raises(ValueError, match="squared_norms"):
        simplugins.load_rsm(store)
    np.testing.assert_array_equal(resume(store), simplugins.compute_rsm(VALUES, "semantic-linear"))


@pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:Object at .lock")
def test_metadata_of_the_group_do_not_replace_those_of_the_arrays(store):
    expected = np.asarray(simplugins.load_rsm(store))
    zarr.consolidate_metadata(store)
    edit(
        store / "zarr.json",
        lambda metadata: metadata["consolidated_metadata"]["metadata"]["values"].update(fill_value=7),
    )
    np.testing.assert_array_equal(simplugins.load_rsm(store), expected)


LINKS = ["values/c/0/0", "values/c/0", "values/c", "values", ".lock", "zarr.json", "values/zarr.json", "values/c/9"]


@pytest.mark.parametrize("name", LINKS)
def test_links_that_lead_out_of_a_store_are_errors_and_nothing_is_written_there(store, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    if (store / name).exists():
        (store / name).rename(elsewhere)
    (store / name).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*")) if elsewhere.is_dir() else elsewhere.exists() and elsewhere.read_bytes()
    for read in (simplugins.load_rsm, resume):
        with pytest.raises(ValueError, match=r"run\.zarr"):
            read(store)
    after = sorted(elsewhere.rglob("*")) if elsewhere.is_dir() else elsewhere.exists() and elsewhere.read_bytes()
    assert before == after


def test_a_store_that_is_itself_a_link_is_read_and_continued(store, tmp_path):
    (tmp_path / "link.zarr").symlink_to(store)
    np.testing.assert_array_equal(simplugins.load_rsm(tmp_path / "link.zarr"), simplugins.load_rsm(store))
    (store / "values" / "c" / "0" / "0").unlink()
    np.testing.assert_array_equal(resume(tmp_path / "link.zarr"), simplugins.load_rsm(store))


def test_pipes_in_stores_are_errors(store):
    (store / "values" / "c" / "0" / "0").unlink()
    os.mkfifo(store / "values" / "c" / "0" / "0")
    with pytest.raises(ValueError, match=r"run\.zarr"):
        simplugins.load_rsm(store)


def test_odd_names_of_chunks_are_ignored(store):
    for name in ("\u00b2", "\u0663", "9" * 200, "-1", "1.5"):
        (store / "values" / "c" / name).mkdir()
        (store / "values" / "c" / "0" / name).write_bytes(b"")
    assert len(Store.open(store).done()) == 3


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", '{"attributes": 3}', '{"attributes": {"simplugins": 3}}', "\x00"]
)
def test_damaged_manifests_are_not_stores(store, text):
    (store / "zarr.json").write_text(text)
    assert not is_store(store)
    with pytest.raises(ValueError, match=r"run\.zarr"):
        simplugins.load_rsm(store)


def test_a_manifest_of_gigabytes_is_not_read(store):
    os.truncate(store / "zarr.json", 2**33)
    assert not is_store(store)
    with pytest.raises(ValueError, match=str(2**33)):
        simplugins.load_rsm(store)
