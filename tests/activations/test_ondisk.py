# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle

import numpy as np
import pytest

import simplugins
from simplugins._common.ondisk import address_of, chunk_bytes, is_lazy
from simplugins.activations.activations import Activations
from simplugins.activations import activations as room
from simplugins.activations.subsets import choose_inputs

VALUES = np.random.default_rng(0).normal(size=(11, 6, 3, 4)).astype(np.float16)


def memmap(folder):
    np.save(folder / "x.npy", VALUES)
    return np.load(folder / "x.npy", mmap_mode="r")


def part_of_memmap(folder):
    np.save(folder / "x.npy", np.concatenate([VALUES[:2] * 0, VALUES]))
    return np.load(folder / "x.npy", mmap_mode="r")[2:]


def zarr_array(folder):
    array = pytest.importorskip("zarr").create_array(
        folder / "x.zarr", shape=VALUES.shape, chunks=(4, 6, 3, 4), dtype="f2"
    )
    array[:] = VALUES
    return array


def zarr_in_memory(folder):
    return pytest.importorskip("zarr").array(VALUES, chunks=(4, 6, 3, 4))


def dataset(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("layers/one", data=VALUES, chunks=(2, 6, 3, 4))
    return h5py.File(folder / "x.h5", "r")["layers/one"]


def dask_array(folder):
    return pytest.importorskip("dask.array").from_array(VALUES, chunks=(3, 6, 3, 4))


ON_DISK = [memmap, part_of_memmap, zarr_array, dataset]
SOURCES = [*ON_DISK, zarr_in_memory, dask_array]


@pytest.fixture
def nothing_is_small(monkeypatch):
    """Have nothing converted and kept because it is small."""
    monkeypatch.setattr(room, "CHUNK_BYTES", 1)


@pytest.mark.parametrize("make", SOURCES)
def test_they_are_read_as_what_they_hold(make, tmp_path, nothing_is_small):
    source = make(tmp_path)
    found, plain = Activations.from_array(source), Activations.from_array(VALUES)
    assert found.digest() == plain.digest()
    np.testing.assert_array_equal(found.squared_norms, plain.squared_norms)
    np.testing.assert_array_equal(found.block(3, 9).vectors, plain.block(3, 9).vectors)
    rsm = simplugins.compute_rsm(source, "semantic-cosine")
    np.testing.assert_array_equal(rsm, simplugins.compute_rsm(VALUES, "semantic-cosine"))


@pytest.mark.parametrize("make", SOURCES)
def test_another_process_reads_parts_of_them(make, tmp_path, nothing_is_small):
    found = Activations.from_array(make(tmp_path))
    sent = pickle.loads(pickle.dumps(found.part(2, 9).part(1, 5)))
    np.testing.assert_array_equal(sent.block(1, 4).vectors, Activations.from_array(VALUES).block(4, 7).vectors)
    assert found.is_on_disk == (make in ON_DISK)


@pytest.mark.parametrize("make", ON_DISK)
def test_those_on_disk_are_sent_as_their_address(make, tmp_path, nothing_is_small):
    assert len(pickle.dumps(Activations.from_array(make(tmp_path)))) < 3000
    assert VALUES.nbytes * 2 < len(pickle.dumps(Activations.from_array(VALUES.astype(np.float64))))


def test_what_was_changed_in_memory_only_has_no_address(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0] = 7
    assert address_of(changed) is None
    assert (Activations.from_array(changed).block(0, 1).vectors == 7).all()
    assert address_of(memmap(tmp_path)[:, ::2]) is None
    assert address_of(VALUES) is None


@pytest.mark.parametrize(("make", "expected"), [(memmap, 0), (zarr_array, 576), (dataset, 288), (dask_array, 432)])
def test_chunks_are_counted(make, expected, tmp_path):
    assert chunk_bytes(make(tmp_path)) == expected


def test_only_their_arrays_are_lazy(tmp_path):
    assert [is_lazy(make(tmp_path)) for make in (zarr_array, dataset, dask_array)] == [True] * 3
    assert not is_lazy(VALUES)
    assert not is_lazy([1])


@pytest.mark.parametrize("make", SOURCES)
def test_a_subset_is_what_its_inputs_are(make, tmp_path, nothing_is_small):
    inputs = [5, 6, 7, 1, 10]
    found = simplugins.compute_rsm(make(tmp_path), "semantic-rbf", subset=inputs)
    np.testing.assert_array_equal(found, simplugins.compute_rsm(VALUES[inputs], "semantic-rbf"))
    assert found.labels.tolist() == inputs


def test_a_subset_takes_labels_and_masks_along():
    mask = np.random.default_rng(1).random((11, 12)) < 0.6
    labels = [f"input {i}" for i in range(11)]
    found = simplugins.compute_rsm(VALUES, mask=mask, labels=labels, subset=4, seed=3)
    inputs = choose_inputs(11, 4, seed=3)
    np.testing.assert_array_equal(found, simplugins.compute_rsm(VALUES[inputs], mask=mask[inputs]))
    assert found.labels.tolist() == [labels[i] for i in inputs]


def test_a_subset_of_activations_of_sets_and_of_other_inputs(tmp_path):
    ready = Activations.from_array(VALUES)
    whole = np.asarray(simplugins.compute_rsm(VALUES, "semantic-linear"))
    np.testing.assert_array_equal(
        simplugins.compute_rsm(ready, "semantic-linear", subset=[3, 1]), whole[[3, 1]][:, [3, 1]]
    )
    sets = [np.random.default_rng(i).normal(size=(i + 1, 4)) for i in range(5)]
    of_sets = np.asarray(simplugins.compute_rsm(sets, "semantic-linear"))
    np.testing.assert_allclose(
        simplugins.compute_rsm(sets, "semantic-linear", subset=[0, 4]), of_sets[[0, 4]][:, [0, 4]]
    )
    to_others = simplugins.compute_rsm(VALUES, "semantic-linear", other=VALUES, subset=[2])
    assert to_others.shape == (1, 11)
    np.testing.assert_allclose(np.delete(to_others.values[0], 2), np.delete(whole[2], 2), rtol=1e-6)


@pytest.mark.parametrize(
    ("subset", "said"),
    [
        (0, "cannot draw 0 of 11"),
        (12, "cannot draw 12 of 11"),
        ([], "expected numbers from 0 to 10"),
        ([11], "expected numbers from 0 to 10"),
        ([-1], "expected numbers from 0 to 10"),
        ([3, 4, 3], "input 3 is there twice"),
        (2.5, "subset must be"),
        ([[1, 2]], "subset must be"),
    ],
)
def test_a_subset_that_is_none_is_refused(subset, said):
    with pytest.raises(ValueError, match=said):
        simplugins.compute_rsm(VALUES, subset=subset)


def test_values_outside_of_a_subset_are_not_looked_at():
    broken = VALUES.copy()
    broken[4] = np.nan
    assert np.isfinite(simplugins.compute_rsm(broken, subset=[0, 1, 10])).all()
    with pytest.raises(ValueError, match="NaN"):
        simplugins.compute_rsm(broken, subset=[0, 4])
