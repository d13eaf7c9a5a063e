# SPDX-License-Identifier: Apache-2.0
"""Saved RSMs and comparisons whose header contradicts their arrays."""

from __future__ import annotations

import numpy as np
import pytest

import simplugins
from simplugins._common import filesystem

VALUES = np.random.default_rng(0).normal(size=(3, 4))


@pytest.fixture
def spoilt(tmp_path):
    """A function that writes an RSM with other arrays and another header, and returns its path."""
    simplugins.compute_rsm(VALUES, "semantic-rbf", labels=list("abc"), certify=True).save(tmp_path / "rsm.npz")

    def spoil(arrays, header):
        contents, entries = filesystem.read_npz(tmp_path / "rsm.npz")
        contents = {name: array for name, array in {**contents, **arrays}.items() if array is not None}
        filesystem.write_npz(tmp_path / "spoilt.npz", contents, {**entries, **header}, overwrite=True)
        return tmp_path / "spoilt.npz"

    return spoil


ARRAYS = {
    "texts": {"values": np.full((3, 3), "1.0")},
    "complex": {"values": np.ones((3, 3), complex)},
    "times": {"values": np.ones((3, 3), "M8[s]")},
    "flat": {"values": np.ones(9)},
    "of another size": {"values": np.ones((4, 4))},
    "not square": {"values": np.ones((3, 2))},
    "none": {"values": None},
    "gaps of another size": {"gap": np.ones((2, 2))},
    "gaps as texts": {"gap": np.full((3, 3), "1")},
    "norms of another size": {"squared_norms": np.ones(2)},
    "norms as texts": {"squared_norms": np.full(3, "1")},
    "no norms": {"squared_norms": None},
    "labels of another size": {"labels": np.array(["a"])},
    "nested labels": {"labels": np.array([["a", "b", "c"]] * 3)},
    "labels of floats": {"labels": np.array([1.5, 2.5, np.nan])},
    "labels of times": {"labels": np.zeros(3, "M8[s]")},
    "unknown arrays": {"source": np.ones(3)},
    "arrays named after attributes": {"measure": np.array("evil")},
}

HEADERS = {
    "a measure that is no text": {"measure": ["a"]},
    "no measure": {"measure": None},
    "a kernel that is no text": {"kernel": 3},
    "a matching that is no text": {"matching": {}},
    "sigma as a text": {"sigma": "1"},
    "a sigma that is not a number": {"sigma": float("nan")},
    "a negative sigma": {"sigma": -1},
    "an infinite sigma": {"sigma": float("inf")},
    "metadata as a list": {"metadata": [1]},
    "options as a text": {"metadata": {"matching_options": "evil"}},
    "arrays as a text": {"arrays": "values"},
    "nested arrays": {"arrays": [["values"]]},
    "unknown arrays": {"arrays": ["values", "evil"]},
    "a version as a text": {"format_version": "2"},
    "a version that is missing": {"format_version": None},
}


@pytest.mark.parametrize("arrays", ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_contradict_the_header_are_errors(spoilt, arrays):
    with pytest.raises(ValueError, match=r"spoilt\.npz cannot be read as an RSM"):
        simplugins.load_rsm(spoilt(arrays, {}))


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers_with_wrong_types_are_errors(spoilt, header):
    with pytest.raises(ValueError, match=r"spoilt\.npz cannot be read as an RSM"):
        simplugins.load_rsm(spoilt({}, header))


def test_the_same_file_unspoilt_is_read(spoilt):
    rsm = simplugins.load_rsm(spoilt({}, {}))
    assert rsm.labels.tolist() == list("abc")
    assert rsm.summary()["measure"] == "semantic-rbf"


COMPARISONS = {
    "rows as a text": {"rows": "a"},
    "rows of numbers": {"rows": [1]},
    "nested columns": {"columns": [["a"]]},
    "too many rows": {"rows": ["a", "b"]},
    "metadata as a list": {"metadata": [1]},
    "metadata without a method": {"metadata": {}},
    "a version as a text": {"format_version": "1"},
}


@pytest.mark.parametrize("header", COMPARISONS.values(), ids=COMPARISONS)
def test_comparisons_with_wrong_types_are_errors(tmp_path, header):
    simplugins.compare_layers({"a": VALUES}, method="rsa-pearson").save(tmp_path / "x.npz")
    contents, entries = filesystem.read_npz(tmp_path / "x.npz")
    filesystem.write_npz(tmp_path / "y.npz", contents, {**entries, **header})
    with pytest.raises(ValueError, match=r"y\.npz cannot be read as a comparison"):
        simplugins.load_comparison(tmp_path / "y.npz")


CALIBRATIONS = {
    "a text": "max",
    "no facts": {},
    "another mode": {"mode": "least"},
    "a level as a text": {"alpha": "0.05"},
    "a level of 0": {"alpha": 0},
    "an aggregate as a list": {"aggregate": [1]},
    "an aggregate with other facts": {"aggregate": {"size": 1}},
    "unknown facts": {"size": 1},
}


@pytest.mark.parametrize("change", CALIBRATIONS.values(), ids=CALIBRATIONS)
def test_calibrations_with_wrong_types_are_errors(tmp_path, change):
    options = {"calibrate": "max", "permutations": 19}
    simplugins.compare_layers({"a": VALUES.T}, method="rsa-pearson", **options).save(tmp_path / "x.npz")
    contents, entries = filesystem.read_npz(tmp_path / "x.npz")
    facts = {**entries["calibration"], **change} if change and isinstance(change, dict) else change
    filesystem.write_npz(tmp_path / "y.npz", contents, {**entries, "calibration": facts})
    with pytest.raises(ValueError, match=r"y\.npz cannot be read as a comparison"):
        simplugins.load_comparison(tmp_path / "y.npz")


@pytest.mark.parametrize("name", ["scores", "p_values", "thresholds", "null_distribution"])
def test_calibrations_of_another_shape_are_errors(tmp_path, name):
    options = {"calibrate": "max", "permutations": 19}
    simplugins.compare_layers({"a": VALUES.T}, method="rsa-pearson", **options).save(tmp_path / "x.npz")
    contents, entries = filesystem.read_npz(tmp_path / "x.npz")
    filesystem.write_npz(tmp_path / "y.npz", {**contents, f"calibration/{name}": np.zeros((2, 3))}, entries)
    with pytest.raises(ValueError, match=r"y\.npz cannot be read as a comparison"):
        simplugins.load_comparison(tmp_path / "y.npz")


def test_comparisons_of_texts_are_errors(tmp_path):
    simplugins.compare_layers({"a": VALUES}, method="rsa-pearson").save(tmp_path / "x.npz")
    _, entries = filesystem.read_npz(tmp_path / "x.npz")
    filesystem.write_npz(tmp_path / "y.npz", {"values": np.array([["1.0"]])}, entries)
    with pytest.raises(ValueError, match=r"y\.npz cannot be read as a comparison"):
        simplugins.load_comparison(tmp_path / "y.npz")
