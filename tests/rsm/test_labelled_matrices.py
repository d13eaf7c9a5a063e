# SPDX-License-Identifier: Apache-2.0
"""Matrices to compare whose rows and columns have labels."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import xarray

import simplugins
from simplugins import RSM
from simplugins.rsm.labelled_matrices import matrix_labels

RNG = np.random.default_rng(0)
A, B = (np.cov(RNG.normal(size=(5, 9))) for _ in range(2))
LABELS, ORDER = list("abcde"), [3, 1, 0, 2, 4]
CKA = simplugins.compare(A, B, "cka-debiased")


def frame(rows=LABELS, columns=LABELS):
    return pd.DataFrame(B, rows, columns)


def data_array(rows=LABELS, columns=LABELS):
    return xarray.DataArray(B, dims=("i", "j"), coords={"i": rows, "j": columns})


@pytest.mark.parametrize(
    "matrix",
    [
        frame(),
        frame(columns=None),
        frame(None, None),
        frame(range(1, 6), list("12345")),
        data_array(),
        data_array()[:, :],
    ],
)
def test_labelled_matrices_are_compared(matrix):
    labelled = matrix_labels(matrix) is not None
    with pytest.warns(UserWarning, match="rsm_b has labels") if labelled else nullcontext():
        assert simplugins.compare(A, matrix, "cka-debiased") == pytest.approx(CKA)


@pytest.mark.parametrize("make", [frame, data_array])
@pytest.mark.parametrize("columns", ["dbace", "abcdf"])
@pytest.mark.parametrize(
    "read",
    [
        lambda matrix: simplugins.compare(A, matrix, "cka-debiased"),
        lambda matrix: simplugins.minibatch_cka([(A, matrix)]),
        RSM.from_similarities,
    ],
)
def test_columns_that_are_not_as_rows_are_an_error(make, columns, read):
    with pytest.raises(ValueError, match="columns"):
        read(make(columns=list(columns)))


@pytest.mark.parametrize("make", [frame, data_array])
def test_matrices_in_different_orders_are_compared_by_label(make):
    first, second = pd.DataFrame(A, LABELS, LABELS), make()
    shuffled = second.iloc[ORDER, ORDER] if make is frame else second[ORDER, ORDER]
    with pytest.raises(ValueError, match="labels differ"):
        simplugins.compare(first, shuffled, "cka-debiased")
    assert simplugins.compare(first, shuffled, "cka-debiased", align=True) == pytest.approx(CKA)
    assert simplugins.compare(
        RSM.from_similarities(A, labels=LABELS), shuffled, "cka-debiased", align=True
    ) == pytest.approx(CKA)
    with pytest.raises(ValueError, match="rsm_a has none"):
        simplugins.compare(A, shuffled, "cka-debiased", align=True)


@pytest.mark.parametrize("make", [frame, data_array])
def test_rsms_have_the_labels_of_the_matrix(make):
    matrix = make()
    distances = (matrix - matrix) + 1 - np.eye(5)
    assert RSM.from_similarities(matrix).labels.tolist() == LABELS
    assert RSM.from_distances(distances).labels.tolist() == LABELS
    assert RSM.from_similarities(matrix, labels=list("vwxyz")).labels.tolist() == list("vwxyz")
    rectangular = RSM.from_similarities(
        matrix[matrix.columns[:2]] if make is frame else matrix[:, :2],
        squared_norms=np.diag(B),
        other_squared_norms=np.diag(B)[:2],
    )
    assert (rectangular.labels.tolist(), rectangular.other_labels.tolist()) == (LABELS, LABELS[:2])
    for construct, values in ((RSM.from_similarities, matrix), (RSM.from_distances, distances)):
        with pytest.raises(ValueError, match=r"labels: .*another order"):
            construct(values, labels=[LABELS[i] for i in ORDER])


@pytest.mark.parametrize("make", [frame, data_array])
def test_distances_whose_columns_are_in_another_order_are_an_error(make):
    with pytest.raises(ValueError, match="columns are in another order"):
        RSM.from_distances((make(columns=list("dbace")) * 0) + 1 - np.eye(5))
