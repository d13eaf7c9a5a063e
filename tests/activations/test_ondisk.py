# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle

import numpy as np
import pytest

import simplugins
from simplugins import Activations
from simplugins._common.arrays import chunk_bytes, is_lazy
from simplugins._common.ondisk import address_of

VALUES = np.random.default_rng(0).normal(size=(11, 48_000, 3, 4)).astype(np.float16)  # more than is read at once


def memmap(folder):
    np.save(folder / "x.npy", VALUES)
    return np.load(folder / "x.npy", mmap_mode="r")


def part_of_memmap(folder):
    np.save(folder / "x.npy", np.concatenate([VALUES[:2] * 0, VALUES]))
    return np.load(folder / "x.npy", mmap_mode="r")[2:]


def zarr_array(folder):
    array = pytest.importorskip("zarr").create_array(
        folder / "x.zarr", shape=VALUES.shape, chunks=(4, 48_000, 3, 4), dtype="f2"
    )
    array[:] = VALUES
    return array


def zarr_in_memory(folder):
    return pytest.importorskip("zarr").array(VALUES, chunks=(4, 48_000, 3, 4))


def dataset(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("layers/one", data=VALUES, chunks=(2, 48_000, 3, 4))
    return h5py.File(folder / "x.h5", "r")["layers/one"]


def dask_array(folder):
    return pytest.importorskip("dask.array").from_array(VALUES, chunks=(3, 48_000, 3, 4))


ON_DISK = [memmap, part_of_memmap, zarr_array, dataset]
SOURCES = [*ON_DISK, zarr_in_memory, dask_array]


@pytest.mark.parametrize("make", SOURCES)
def test_values_on_disk_equal_those_in_memory(make, tmp_path):
    source = make(tmp_path)
    x, expected = Activations.from_array(source), Activations.from_array(VALUES)
    assert x.digest() == expected.digest()
    np.testing.assert_array_equal(x.squared_norms, expected.squared_norms)
    np.testing.assert_array_equal(x.block(3, 9).vectors, expected.block(3, 9).vectors)
    np.testing.assert_array_equal(x[4], VALUES[4].reshape(48_000, 12).T)
    rsm = simplugins.compute_rsm(source, "semantic-cosine")
    np.testing.assert_array_equal(rsm, simplugins.compute_rsm(VALUES, "semantic-cosine"))


@pytest.mark.parametrize("make", SOURCES)
def test_another_process_reads_parts(make, tmp_path):
    x = Activations.from_array(make(tmp_path))
    sent = pickle.loads(pickle.dumps(x.part(2, 9).part(1, 5)))
    np.testing.assert_array_equal(sent.block(1, 4).vectors, Activations.from_array(VALUES[4:7]).block(0, 3).vectors)
    assert x.is_on_disk == (make in ON_DISK)


@pytest.mark.parametrize("make", ON_DISK)
def test_arrays_on_disk_are_sent_as_their_address(make, tmp_path):
    x = Activations.from_array(make(tmp_path))
    masked = Activations.from_array(x, mask=np.eye(11, 12, dtype=bool))
    assert len(pickle.dumps(x)) < 3000
    assert len(pickle.dumps(Activations.from_array(x, dtype="f8"))) < 3000
    assert masked.array().shape == (11, 1, 48_000)


def test_arrays_in_memory_are_sent_whole():
    x = Activations.from_array(VALUES)
    assert len(pickle.dumps(x)) > VALUES.nbytes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)).block(9, 11).vectors, x.block(9, 11).vectors)


def test_a_memmap_that_was_changed_in_memory_has_no_address(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0] = 7
    assert address_of(changed) is None
    assert (Activations.from_array(changed)[0] == 7).all()


def test_an_array_in_memory_or_in_pieces_has_no_address(tmp_path):
    assert address_of(memmap(tmp_path)[:, ::2]) is None
    assert address_of(VALUES) is None


@pytest.mark.parametrize(
    ("make", "expected"), [(memmap, 0), (zarr_array, 4_608_000), (dataset, 2_304_000), (dask_array, 3_456_000)]
)
def test_the_size_of_chunks_is_known(make, expected, tmp_path):
    array = make(tmp_path)
    assert chunk_bytes(array) == Activations.from_array(array).chunk_bytes == expected


def test_only_zarr_hdf5_and_dask_arrays_are_lazy(tmp_path):
    assert [is_lazy(make(tmp_path)) for make in (zarr_array, dataset, dask_array)] == [True] * 3
    assert not is_lazy(VALUES)
    assert not is_lazy([1])


@pytest.mark.parametrize("make", SOURCES)
def test_a_subset_is_read_from_disk(make, tmp_path):
    indices = [5, 6, 7, 1, 10, 0, 4, 3]
    x = Activations.from_array(make(tmp_path), subset=indices)
    assert x.digest() == Activations.from_array(VALUES[indices]).digest()
    assert x.labels.tolist() == indices
    assert pickle.loads(pickle.dumps(x.part(2, 5))).digest() == Activations.from_array(VALUES[[7, 1, 10]]).digest()
