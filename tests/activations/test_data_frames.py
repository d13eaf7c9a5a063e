# SPDX-License-Identifier: Apache-2.0
"""Tables of pandas as activations: rows are inputs, the index their labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import simplugins
from simplugins import Activations

X = np.random.default_rng(0).normal(size=(5, 7))
LABELS = list("abcde")
FRAME = pd.DataFrame(X, LABELS)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(X),
        FRAME,
        FRAME.convert_dtypes(),
        FRAME.rename_axis(index="stimulus", columns="neuroid"),
        FRAME.T.rename_axis(index="neuroid"),
        FRAME.T.rename_axis(columns="stimulus"),
        FRAME.T.rename_axis(index="channel", columns="image"),
        pd.DataFrame(X).astype(pd.SparseDtype("float64")),
    ],
)
def test_inputs_are_rows_unless_names_say_the_opposite(frame):
    x = Activations.from_array(frame)
    assert x.digest() == Activations.from_array(X).digest()
    labelled = not isinstance(frame.index, pd.RangeIndex) or not isinstance(frame.columns, pd.RangeIndex)
    assert (None if x.labels is None else x.labels.tolist()) == (LABELS if labelled else None)


@pytest.mark.parametrize(
    ("dtype", "computed"), [("Float32", "f4"), ("Float64", "f8"), ("float32", "f4"), ("Int8", "f4"), ("int64", "f4")]
)
def test_nullable_types_are_those_of_numpy(dtype, computed):
    frame = pd.DataFrame(np.round(X * 3)).astype(dtype)
    x = Activations.from_array(frame)
    assert x.dtype == np.dtype(computed)
    np.testing.assert_array_equal(x.array()[:, 0], np.round(X * 3))


@pytest.mark.parametrize("dtype", ["Float64", "float64", "Int64"])
def test_missing_values_are_named_by_row_and_column(dtype):
    frame = pd.DataFrame(np.round(X), LABELS, [f"unit {i}" for i in range(7)]).astype(dtype)
    frame.loc["c", "unit 3"] = pd.NA if dtype[0].isupper() else np.nan
    with pytest.raises(ValueError, match=r"'c'.*'unit 3'"):
        Activations.from_array(frame)


def test_the_index_gives_labels_unless_labels_are_given():
    assert simplugins.compute_rsm(FRAME).labels.tolist() == LABELS
    assert simplugins.compute_rsm(FRAME, labels=range(5)).labels.tolist() == [0, 1, 2, 3, 4]
    assert Activations.from_array(pd.DataFrame(X).iloc[[3, 1]]).labels.tolist() == [3, 1]
    levels = pd.MultiIndex.from_arrays([LABELS, [0, 0, 1, 1, 1]], names=["image_id", "repetition"])
    assert Activations.from_array(FRAME.set_axis(levels)).labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("frame", "layout", "message"),
    [
        (FRAME.T.rename_axis(index="neuroid"), "nc", "'neuroid'"),
        (FRAME.rename_axis(index="stimulus"), "cn", "'stimulus'"),
        (FRAME.rename_axis(index="stimulus", columns="stimulus"), "auto", "both inputs"),
        (FRAME.rename_axis(index="neuroid", columns="channel"), "auto", "both channels"),
        (pd.DataFrame(X[:, :6], columns=pd.MultiIndex.from_product([range(2), range(3)])), "auto", "2 levels"),
        (FRAME, "ntd", "3 dimensions"),
    ],
)
def test_contradictions_are_errors(frame, layout, message):
    with pytest.raises(ValueError, match=message):
        Activations.from_array(frame, layout=layout)


def test_a_layout_reads_columns_as_inputs():
    x = Activations.from_array(FRAME.T, layout="cn")
    assert x.digest() == Activations.from_array(X).digest()
    assert x.labels.tolist() == LABELS


def test_tables_are_sets_and_single_responses_too():
    sets = [FRAME.iloc[: i + 1] for i in range(3)]
    assert Activations.from_sets(sets).digest() == Activations.from_sets([one.to_numpy() for one in sets]).digest()
    assert simplugins.match(FRAME, FRAME).value == pytest.approx(simplugins.match(X, X).value)


@pytest.mark.parametrize(
    "name", ["Unnamed: 0", "index", "level_0", "__index_level_0__", "label", "stimulus_id", "filename"]
)
def test_columns_that_name_the_inputs_are_not_channels(name):
    table = pd.DataFrame(X).assign(**{name: range(1, 6)})
    for read in (Activations.from_array, lambda frame: Activations.from_sets([frame])):
        with pytest.raises(ValueError, match=f"column '{name}'"):
            read(table)
    assert Activations.from_array(table.set_index(name)).labels.tolist() == list(range(1, 6))
    assert Activations.from_array(table.rename(columns={name: "unit"})).channels == 8


def test_unnamed_levels_of_an_index_are_all_looked_at():
    def labels_of(*levels):
        return Activations.from_array(pd.DataFrame(X, pd.MultiIndex.from_arrays(levels))).labels

    assert labels_of(LABELS, [1] * 5).tolist() == labels_of([1] * 5, LABELS).tolist() == LABELS
    with pytest.raises(ValueError, match="level 0, level 1"):
        labels_of(LABELS, range(5))
