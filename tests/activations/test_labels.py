# SPDX-License-Identifier: Apache-2.0
"""Labels from any library: what they become, which are missing, and how allowed missing labels are kept."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import json
import pathlib
import pickle
import unicodedata

import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import simplugins
from simplugins import RSM, Activations, partial_labels
from simplugins.activations.labels import as_labels

VALUES = np.random.default_rng(0).normal(size=(3, 4))


def labels_of(labels):
    """Return the labels that an RSM and activations get, which must agree."""
    rsm = RSM.from_similarities(VALUES @ VALUES.T, labels=labels)
    activations = Activations.from_array(VALUES, labels=labels)
    assert rsm.labels.tolist() == activations.labels.tolist()
    assert rsm.labels.dtype == activations.labels.dtype
    return rsm.labels


def cells(values, shape=(3,)):
    """Return a cell array as scipy.io.loadmat does."""
    array = np.empty(3, object)
    for place, value in enumerate(values):
        array[place] = np.array([value]) if value is not None else np.array([], dtype="<U1")
    return array.reshape(shape)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


TEXTS = {
    "list": list("abc"),
    "tuple": tuple("abc"),
    "generator": (letter for letter in "abc"),
    "keys": dict.fromkeys("abc").keys(),
    "bytes": [b"a", b"b", b"c"],
    "NumPy bytes": np.array([b"a", b"b", b"c"]),
    "NumPy objects": np.array(list("abc"), object),
    "column": np.array([["a"], ["b"], ["c"]]),
    "row": np.array([list("abc")]),
    "cells": cells("abc"),
    "column of cells": cells("abc", (3, 1)),
    "nested cells": cells([cells(text, (1, 3))[:, :1] for text in ("a..", "b..", "c..")], (3, 1)),
    "Series with another index": pd.Series(list("abc"), index=[2, 0, 1]),
    "Index": pd.Index(list("abc")),
    "Categorical": pd.Categorical(list("abc")),
    "nullable text": pd.Series(list("abc"), dtype="string"),
    "DataFrame": pd.DataFrame({"name": list("abc")}),
    "xarray": xr.DataArray(list("abc")),
    "Dask": da.from_array(np.array(list("abc"))),
    "unmasked": np.ma.masked_array(list("abc")),
    "paths": [pathlib.PurePosixPath(text) for text in "abc"],
    "white space": [" a", "b\n", "\u00a0c\t"],
    "byte-order mark": ["\ufeffa", "b", "c"],
    "every second": np.array(list("a.b.c."))[::2],
}
if hasattr(np.dtypes, "StringDType"):
    TEXTS["StringDType"] = np.array(list("abc"), dtype=np.dtypes.StringDType())


@pytest.mark.parametrize("labels", TEXTS.values(), ids=TEXTS)
def test_texts_of_any_library(labels):
    if not isinstance(labels, (list, np.ndarray)) and hasattr(labels, "__next__"):
        assert as_labels(labels).tolist() == list("abc")
    else:
        assert labels_of(labels).tolist() == list("abc")


NUMBERS = {
    "range": range(3),
    "iterator": iter(range(3)),
    "floats": [0.0, 1.0, 2.0],
    "float16": np.arange(3, dtype=np.float16),
    "big-endian": np.arange(3, dtype=">i2"),
    "uint64": np.arange(3, dtype=np.uint64),
    "Torch": torch.arange(3, dtype=torch.uint8),
    "tensors": [torch.tensor(0), np.array(1), np.int8(2)],
    "nullable": pd.Series([0, 1, 2], dtype="Int64"),
    "decimals": [decimal.Decimal("0"), decimal.Decimal("1.0"), 2],
}


@pytest.mark.parametrize("labels", NUMBERS.values(), ids=NUMBERS)
def test_whole_numbers_of_any_type(labels):
    result = as_labels(labels)
    assert (result.tolist(), result.dtype) == ([0, 1, 2], np.int64)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([2**63 + 5, 1, 2], np.uint64), ["9223372036854775813", "1", "2"]),
        ([2**70, 1, 2], [str(2**70), "1", "2"]),
        ([-(2**63), 1, 2**63 - 1], [-(2**63), 1, 2**63 - 1]),
        ([0.5, 1.0, np.float32(0.1)], ["0.5", "1", "0.1"]),
        ([True, False, np.True_], ["True", "False", "True"]),
        ([1, "a", 2], ["1", "a", "2"]),
        ([Colour.RED, Colour.BLUE, Number.TWO], ["Colour.RED", "Colour.BLUE", "2"]),
        ([Number.ONE, Number.TWO, 3], [1, 2, 3]),
        (["a\nb", "a b", "01"], ["a\nb", "a b", "01"]),
        (np.array(["NA", "nan", "None"]), ["NA", "nan", "None"]),
        (np.array(["2026-01-01", "2026-01-02"], "M8[ns]"), ["2026-01-01", "2026-01-02"]),
        ([datetime.date(2026, 1, 1), pd.Timestamp("2026-01-02 12:30")], ["2026-01-01", "2026-01-02T12:30:00"]),
        (np.array(["2026-01-02T12:30"], "M8[m]"), ["2026-01-02T12:30:00"]),
        (np.array(["2026-01-02T12:30:00.25"], "M8[ns]"), ["2026-01-02T12:30:00.25"]),
        (pd.period_range("2026", periods=2, freq="M"), ["2026-01", "2026-02"]),
    ],
)
def test_other_labels_become_one_text_each(labels, expected):
    assert as_labels(labels).tolist() == expected


def test_text_of_hdf5_is_decoded(tmp_path):
    with h5py.File(tmp_path / "labels.h5", "w") as file:
        file["labels"] = np.array(["Katze", "H\u00fcndin", "b"], object)
        assert labels_of(file["labels"][:]).tolist() == ["Katze", "H\u00fcndin", "b"]
        assert as_labels(file["labels"]).tolist() == ["Katze", "H\u00fcndin", "b"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")), min_size=1))
def test_forms_of_unicode_are_one_label(texts):
    texts = [f"x{text}x" for text in texts]
    composed, decomposed = (as_labels([unicodedata.normalize(form, text) for text in texts]) for form in ("NFC", "NFD"))
    assert composed.tolist() == decomposed.tolist() == [unicodedata.normalize("NFC", text) for text in texts]
    assert as_labels(np.array(texts)).tolist() == composed.tolist()


# Missing labels


MISSING = {
    "None": ["a", None, None],
    "NaN": ["a", float("nan"), None],
    "floats": np.array([1.0, np.nan, np.nan]),
    "NaN among texts that NumPy made": np.array(["a", np.nan, np.nan]),
    "NA": ["a", pd.NA, pd.NaT],
    "NaT": np.array(["2026", "NaT", "NaT"], "M8[D]"),
    "duration": np.array([1, "NaT", "NaT"], "m8[s]"),
    "empty": ["a", "", " "],
    "blank": np.array(["a", " \n", "\u00a0"]),
    "bytes": [b"a", b"", b" "],
    "masked numbers": np.ma.masked_array([1, 2, 3], [False, True, True]),
    "masked texts": np.ma.masked_array(["a", "b", "c"], [False, True, True]),
    "masked dates": np.ma.masked_array(np.array(["2026", "2027", "2028"], "M8[ns]"), [False, True, True]),
    "masked entries": ["a", np.ma.masked, np.ma.masked],
    "Series": pd.Series(["a", None, None]),
    "nullable numbers": pd.Series([1, None, None], dtype="Int64"),
    "nullable texts": pd.Series(["a", None, None], dtype="string"),
    "categories": pd.Categorical(["a", None, None]),
    "numbered categories": pd.Series(pd.Categorical([1, None, None])),
    "xarray": xr.DataArray([1.0, np.nan, np.nan]),
    "decimals": [decimal.Decimal(1), decimal.Decimal("NaN"), None],
    "cells": cells(["a", None, None]),
    "Torch": torch.tensor([1.0, torch.nan, torch.nan]),
}


@pytest.mark.parametrize("labels", MISSING.values(), ids=MISSING)
def test_missing_labels_are_an_error_or_allowed(labels):
    with pytest.raises(ValueError, match=r"^labels: input 1 has no label .*nor have 1 more of 3.*partial_labels"):
        labels_of(labels)
    allowed = partial_labels(labels)
    first = allowed.tolist()[0]
    assert first
    assert allowed.tolist() == [first, "", ""]
    assert allowed.missing.tolist() == [False, True, True]
    assert labels_of(allowed).tolist() == allowed.tolist()


class Column:
    """Integers of a table, some of them null, which become floats in NumPy, as those of Polars and Arrow do."""

    def __init__(self, values):
        self.to_list = lambda: values
        self.null_count = lambda: values.count(None)

    def __iter__(self):
        return iter(self.to_list())

    def __array__(self, dtype=None, copy=None):
        return np.array(self.to_list(), float)


def test_integers_with_nulls_stay_exact():
    assert partial_labels(Column([2**53 + 1, None, 2**53])).tolist() == [str(2**53 + 1), "", str(2**53)]
    assert as_labels(Column([2, 1])).tolist() == [2, 1]


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u200e", "\u202a", "\u00ad", " \u2060\ufeff\n"])
def test_invisible_characters_around_texts_do_not_make_other_labels(mark):
    assert as_labels([f"{mark}cat", f"cat{mark}", f"{mark}cat{mark}".encode(), "cat"]).tolist() == ["cat"] * 4
    assert as_labels([f"a{mark}b"]).tolist() == [f"a{mark}b"]
    assert partial_labels([mark, "a"]).missing.tolist() == [True, False]


def test_allowed_missing_labels_of_numbers_are_the_texts_of_the_others():
    assert partial_labels([1, 2.0, None]).tolist() == ["1", "2", ""]
    assert partial_labels([1, 2]).tolist() == ["1", "2"]
    assert partial_labels(partial_labels([1, None])).tolist() == ["1", ""]


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        ("abc", TypeError, "got one label: 'abc'"),
        (pathlib.Path("labels.txt"), TypeError, r"got one label: .*labels\.txt"),
        ({"a", "b", "c"}, TypeError, "got a set"),
        ({0: "a", 1: "b", 2: "c"}, TypeError, "got a dict"),
        (3, TypeError, "got a int: 3"),
        ([("a", 1), ("b", 1), ("c", 1)], TypeError, r"input 0.*tuple \('a', 1\)"),
        (["a", object(), "c"], TypeError, "input 1.*object"),
        ([1j, 2, 3], TypeError, "input 0.*complex"),
        ([np.array(["a", "b"]), "c", "d"], TypeError, r"input 0.*\(2,\)"),
        (["abc\0", "abc", "a"], ValueError, r"input 0.*'abc\\x00'.*NUL"),
        ([b"a", b"\xfc", b"c"], ValueError, r"input 1.*xfc.*UTF-8"),
        ([1, "1", 2], ValueError, "number 1 and the text '1'"),
        (np.zeros((3, 2)), ValueError, r"\(3, 2\)"),
        (list("ab"), ValueError, r"\b3\b.*\b2\b"),
        (scipy.sparse.csr_array(np.eye(3)), ValueError, "sparse"),
        (torch.arange(3).bfloat16(), TypeError, "bfloat16"),
        ([2.0**53 + 2, 1, 2], ValueError, r"input 0.*9007199254740994"),
        (np.array([1, 2**24 + 2, 3], np.float32), ValueError, r"input 1.*(6777218e|16777218).*float32"),
        (pd.DataFrame({"a": list("abc"), "b": 1}), ValueError, r"\(3, 2\)"),
        (partial_labels([{"a"}, None, {"b"}]), ValueError, "collections"),
    ],
)
def test_what_labels_no_input_is_an_error(labels, error, match):
    with pytest.raises(error, match=rf"^labels: .*{match}"):
        labels_of(labels)


def test_errors_name_the_labels_of_columns():
    values = {"squared_norms": np.ones(2), "other_squared_norms": np.ones(2)}
    with pytest.raises(ValueError, match=r"^other_labels: input 1 has no label"):
        RSM.from_similarities(np.ones((2, 2)), other_labels=["a", None], **values)


def test_an_endless_iterator_is_an_error():
    with pytest.raises(ValueError, match=r"labels: expected 3\b"):
        Activations.from_array(VALUES, labels=iter(lambda: "a", "b"))


# Labels that are allowed to be missing, on their way


@pytest.fixture
def partial():
    return partial_labels(["cat", None, "dog"])


def test_they_survive_files_copies_and_subsets(partial, tmp_path):
    x = Activations.from_array(VALUES, labels=partial)
    x.save(tmp_path / "x.npz")
    rsm = simplugins.compute_rsm(x)
    rsm.save(tmp_path / "rsm.npz")
    loaded = simplugins.read_activations(tmp_path / "x.npz")
    assert loaded.digest() == x.digest() == Activations.from_array(VALUES).digest()
    for thing in (
        x, rsm, loaded, simplugins.load_rsm(tmp_path / "rsm.npz"), pickle.loads(pickle.dumps(rsm)), copy.deepcopy(x),
        Activations.from_array(loaded), simplugins.compute_rsm(loaded), Activations.from_array(VALUES, labels=x.labels),
    ):  # fmt: skip
        assert thing.labels.tolist() == ["cat", "", "dog"]
        assert thing.labels.missing.tolist() == [False, True, False]
    part = Activations.from_array(x, subset=[2, 1])
    assert simplugins.compute_rsm(part).labels.tolist() == ["dog", ""]
    assert rsm.summary()["labels"] == "2 different, 1 input without a label"


def test_they_survive_stores_and_recordings(partial, tmp_path):
    options = {"store": tmp_path / "run.zarr", "labels": partial}
    simplugins.compute_rsm(VALUES, **options)
    assert simplugins.compute_rsm(VALUES, **options).labels.missing.tolist() == [False, True, False]
    stored = simplugins.load_rsm(tmp_path / "run.zarr")
    assert stored.labels.missing.tolist() == [False, True, False]
    with pytest.raises(ValueError, match="labels: input 1 was '', now 'x'"):
        simplugins.compute_rsm(VALUES, store=tmp_path / "run.zarr", labels=["cat", "x", "dog"])
    model = torch.nn.Sequential(torch.nn.Linear(4, 5))
    for to in (None, tmp_path / "recorded"):
        simplugins.record(model, VALUES.astype(np.float32), to=to, labels=partial)
    recorded = simplugins.read_recorded(tmp_path / "recorded")["0"]
    assert recorded.labels.missing.tolist() == [False, True, False]
    index = json.loads((tmp_path / "recorded" / "recording.json").read_text(encoding="utf-8"))
    assert index["labels"] == ["cat", "", "dog"]


def test_an_input_without_a_label_is_only_the_same_in_the_same_place(partial):
    rsm = simplugins.compute_rsm(VALUES, labels=partial)
    assert simplugins.compare(rsm, rsm, "rsa-pearson") == pytest.approx(1)
    assert simplugins.compare(rsm, rsm, "rsa-pearson", align=True) == pytest.approx(1)
    for other in (["cat", "cow", "dog"], partial_labels(["dog", None, "cat"])):
        labelled = simplugins.compute_rsm(VALUES, labels=other)
        with pytest.raises(ValueError, match="labels differ"):
            simplugins.compare(rsm, labelled, "rsa-pearson")
        with pytest.raises(ValueError, match=r"align.*input 1 of .* has no label"):
            simplugins.compare(rsm, labelled, "rsa-pearson", align=True)


# Numbers and texts of the same inputs


def test_numbers_are_the_labels_that_their_texts_are(tmp_path):
    values = np.random.default_rng(1).normal(size=(6, 5))
    order = [3, 0, 5, 1, 4, 2]
    a = simplugins.compute_rsm(values, labels=range(6), store=tmp_path / "run.zarr")
    same = simplugins.compute_rsm(values, labels=list("012345"))
    b = simplugins.compute_rsm(values[order], labels=[str(i) for i in order])
    assert simplugins.compare(a, same) == pytest.approx(1)
    for first, second in ((a, b), (b, a)):
        assert simplugins.compare(first, second, align=True) == pytest.approx(1)
        assert simplugins.permutation_test(first, second, align=True, permutations=9).value == pytest.approx(1)
        with pytest.raises(ValueError, match=r"labels differ: input 0 is .*align=True"):
            simplugins.compare(first, second)
    table = simplugins.compare_layers({"a": a}, {"b": b, "same": same}, align=True)
    np.testing.assert_allclose(table.values, 1)
    np.testing.assert_array_equal(a.in_order(np.array(order)).values, a.in_order([str(i) for i in order]).values)
    assert simplugins.compute_rsm(values, labels=list("012345"), store=tmp_path / "run.zarr").labels.tolist() == [
        *range(6)
    ]
    x, y = Activations.from_array(values, labels=range(6)), Activations.from_array(values, labels=list("012345"))
    assert simplugins.minibatch_cka([(a, same)]) == pytest.approx(1)
    assert simplugins.estimate_cka(x, y, batch_size=4, batches=20).value == pytest.approx(1)


@pytest.mark.parametrize("labels", [["00", "01", "02"], ["0.0", "1.0", "2.0"], ["+0", "1", "2"]])
def test_other_texts_are_not_those_numbers(labels):
    a, b = (RSM.from_similarities(VALUES @ VALUES.T, labels=each) for each in (range(3), labels))
    with pytest.raises(ValueError, match="labels differ: input 0 is '0'"):
        simplugins.compare(a, b)
    with pytest.raises(ValueError, match="missing"):
        simplugins.compare(a, b, align=True)


def test_an_iterator_of_labels_applies_to_all_layers():
    layers = {"a": VALUES, "b": VALUES[::-1]}
    assert simplugins.compare_layers(layers, method="rsa-pearson", labels=iter("abc")).values.shape == (2, 2)
