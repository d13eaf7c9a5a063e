# SPDX-License-Identifier: Apache-2.0
"""Files of MATLAB: version 7.3 (HDF5, dimensions in reverse) and earlier ones."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

import simplugins
from simplugins import Activations, read_activations
from simplugins._common import ondisk

X = np.random.default_rng(0).normal(size=(6, 4, 3, 2))
TEXTS = ["cat", "Hündin", "", "\N{GRINNING FACE}"]
LARGE = np.random.default_rng(1).normal(size=(7, 30_000, 3, 7)).astype(np.float32)


def put(group, name, value, kind, **attributes):
    """Write a dataset as MATLAB does: dimensions in reverse, the class as an attribute."""
    dataset = group.create_dataset(name, data=value.T, chunks=True if value.size else None)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    for key, attribute in attributes.items():
        dataset.attrs[f"MATLAB_{key}"] = np.uint64(attribute)
    return dataset


def put_text(group, name, text):
    if not text:
        return put(group, name, np.array([0, 0], "u8"), "char", empty=1)
    return put(group, name, np.frombuffer(text.encode("utf-16-le"), "u2")[None], "char", int_decode=2)


def put_cell(file, name, elements, shape=None):
    references = file.require_group("#refs#")
    items = []
    for number, element in enumerate(elements):
        write = put_text if isinstance(element, str) else lambda g, n, e: put(g, n, np.atleast_2d(e), "double")
        items.append(write(references, f"{name}{number}", element).ref)
    cells = np.array(items, dtype=h5py.ref_dtype).reshape(shape or (1, -1))
    file.create_dataset(name, data=cells, dtype=h5py.ref_dtype).attrs["MATLAB_class"] = np.bytes_("cell")


@pytest.fixture
def version_73(tmp_path):
    """A file as ``save -v7.3`` writes it, with its header before the HDF5."""
    path = tmp_path / "file.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        put(file, "x", X, "double")
        put(file, "single", X.astype("f4"), "single")
        put(file, "int8", X.astype("i1"), "int8")
        put(file, "logical", (X > 0).astype("u1"), "logical", int_decode=1)
        put(file, "rows", np.array([list(map(ord, text)) for text in ("one  ", "three")], "u2"), "char", int_decode=2)
        put(file, "complex", np.zeros((2, 2), [("real", "f8"), ("imag", "f8")]), "double")
        put(file, "string", np.zeros((6, 1), "u4"), "string", object_decode=3)
        put(file, "empty", np.array([0, 3], "u8"), "double", empty=1)
        put_cell(file, "texts", TEXTS)
        put_cell(file, "column", TEXTS, shape=(-1, 1))
        put_cell(file, "numbers", [np.array(3.0), np.array(1.0)])
        put_cell(file, "sets", [np.ones((3, 2)), np.zeros((4, 2))])
        put_cell(file, "mixed", ["a", np.array(1.0)])
        struct = file.create_group("struct")
        struct.attrs["MATLAB_class"] = np.bytes_("struct")
        put(struct, "field", X, "double")
        sparse = file.create_group("sparse")
        sparse.attrs["MATLAB_class"], sparse.attrs["MATLAB_sparse"] = np.bytes_("double"), np.uint64(6)
        for name in ("data", "ir", "jc"):
            sparse[name] = np.ones(3)
        file["plain"] = X
    with path.open("r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@pytest.fixture
def version_5(tmp_path):
    path = tmp_path / "file.mat"
    variables = {
        "x": X,
        "single": X.astype("f4"),
        "int8": X.astype("i1"),
        "logical": X > 0,
        "rows": np.array(["one  ", "three"]),
        "complex": X + 1j,
        "empty": np.zeros((0, 3)),
        "texts": np.array(TEXTS[:3], object),
        "column": np.array(TEXTS[:3], object)[:, None],
        "numbers": np.array([3, 1], object),
        "sets": np.array([np.ones((3, 2)), np.zeros((4, 2))], object),
        "mixed": np.array(["a", 1.0], object),
        "struct": {"field": X},
        "sparse": scipy.sparse.csc_matrix(np.eye(3)),
    }
    scipy.io.savemat(path, variables, do_compression=True)
    return path


@pytest.fixture(params=["version_5", "version_73"])
def either(request):
    return request.getfixturevalue(request.param)


def dataset_of_matlab(path, values, userblock=512):
    with h5py.File(path, "w", userblock_size=userblock) as file:
        put(file, "x", values, "double")
    return path


# Numbers


@pytest.mark.parametrize(("key", "dtype"), [("x", "f8"), ("single", "f4"), ("int8", "i1")])
def test_numbers_have_the_shape_and_type_that_they_have_in_matlab(either, key, dtype):
    array = read_activations(either, key)
    assert array.shape == X.shape
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.asarray(array), X.astype(dtype))
    np.testing.assert_array_equal(Activations.from_array(array), Activations.from_array(X.astype(dtype)))


@pytest.mark.parametrize("name", ["v.mat", "V.MAT", "v.h5", "v.hdf5"])
def test_the_rsm_of_a_file_of_version_73_is_that_of_the_array(tmp_path, name):
    path = dataset_of_matlab(tmp_path / name, X)
    np.testing.assert_array_equal(simplugins.compute_rsm(path), simplugins.compute_rsm(X))


def test_whole_numbers_saved_as_doubles_stay_doubles(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"x": np.arange(6.0).reshape(2, 3)})  # MATLAB stores them as bytes
    assert read_activations(tmp_path / "x.mat").dtype == np.float64


def test_version_4_is_read(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"x": X[:, :, 0, 0], "t": np.array(["ab", "c "])}, format="4")
    np.testing.assert_array_equal(read_activations(tmp_path / "x.mat", "x"), X[:, :, 0, 0])
    assert read_activations(tmp_path / "x.mat", "t").tolist() == ["ab", "c"]


def test_version_73_stays_on_disk_and_is_read_in_parts_by_other_processes(tmp_path):
    array = read_activations(dataset_of_matlab(tmp_path / "x.mat", LARGE))
    x, expected = Activations.from_array(array), Activations.from_array(LARGE)
    assert x.is_on_disk
    assert x.digest() == expected.digest()
    sent = pickle.dumps(x.part(1, 4))
    assert len(sent) < 3000
    np.testing.assert_array_equal(pickle.loads(sent).block(1, 3).vectors, expected.block(2, 4).vectors)
    np.testing.assert_array_equal(ondisk.address_of(array).open()[2], LARGE[2])


@pytest.mark.parametrize(
    "key", [3, slice(1, 4), (slice(None), 2), (Ellipsis, 1), ([0, 2, 5],), (slice(None), slice(1, 3), 0, Ellipsis)]
)
def test_parts_of_version_73_are_those_of_the_array(version_73, key):
    np.testing.assert_array_equal(read_activations(version_73, "x")[key], X[key])


def test_logical_arrays_are_masks(either):
    mask = read_activations(either, "logical")
    np.testing.assert_array_equal(mask, X > 0)
    x = Activations.from_array(X, mask=mask[:, 0])
    assert x.positions.tolist() == (X[:, 0] > 0).sum((1, 2)).tolist()


def test_an_empty_array_has_its_own_size(either):
    assert read_activations(either, "empty").shape == (0, 3)


def test_hdf5_that_matlab_did_not_write_stays_as_it_is(version_73):
    np.testing.assert_array_equal(read_activations(version_73, "plain"), X)


def test_dimensions_of_octave_are_reversed(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("x")
        group.attrs["OCTAVE_NEW_FORMAT"] = np.uint8(1)
        group["value"], group["type"] = X.T, np.bytes_("matrix")
    np.testing.assert_array_equal(read_activations(tmp_path / "x.h5", "x/value"), X)


def test_a_dataset_of_matlab_opened_by_h5py_needs_a_layout(version_73):
    with h5py.File(version_73) as file:
        with pytest.raises(ValueError, match=r"read_activations\(.*'x'"):
            Activations.from_array(file["x"])
        x = Activations.from_array(file["x"], layout="whcn")
        assert x.digest() == Activations.from_array(X).digest()


# Texts and cells


def test_texts_are_arrays_of_str(either):
    for key in ("texts", "column"):
        texts = read_activations(either, key)
        assert texts.tolist() == TEXTS[: len(texts)]
        assert len(texts) >= 3
    assert read_activations(either, "rows").tolist() == ["one", "three"]


def test_cells_of_numbers_are_labels_and_cells_of_arrays_are_sets(either):
    assert read_activations(either, "numbers").tolist() == [3, 1]
    assert Activations.from_array(read_activations(either, "sets")).positions.tolist() == [3, 4]


def test_texts_in_hdf5_are_arrays_of_str(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["varying"] = np.array(["Katze", "Hündin"], object)
        file["fixed"] = np.array([b"a", b"b"])
    assert read_activations(tmp_path / "x.h5", "varying").tolist() == ["Katze", "Hündin"]
    assert read_activations(tmp_path / "x.h5", "fixed").tolist() == ["a", "b"]


# Errors


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("complex", r"abs\(x\)"),
        ("sparse", r"full\(x\)"),
        ("struct", "field"),
        ("mixed", "texts and numbers"),
        ("__header__", "it holds"),
        (None, "key.*texts"),
    ],
)
def test_other_classes_are_errors_that_say_what_to_do(either, key, advice):
    with pytest.raises(ValueError, match=advice):
        read_activations(either, key)


def test_string_arrays_are_an_error(version_73):
    with pytest.raises(ValueError, match="cellstr"):
        read_activations(version_73, "string")


def test_elements_of_cells_are_not_listed(version_73):
    with pytest.raises(ValueError, match="texts") as caught:
        read_activations(version_73)
    assert "#refs#" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"abc" * 100, b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"x" * 50])
def test_damaged_files_are_errors(tmp_path, content):
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"could not be read|holds 0 arrays"):
        read_activations(tmp_path / "x.mat")
