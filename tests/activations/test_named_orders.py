# SPDX-License-Identifier: Apache-2.0
"""Indexes of pandas and xarray that contradict each other about the order of inputs or channels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import simplugins
from simplugins import Activations, evaluation

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(5, 4))
INPUTS, CHANNELS, ORDER = list("abcde"), list("wxyz"), [2, 0, 1, 3]


def frame(inputs=INPUTS, channels=CHANNELS):
    return pd.DataFrame(VALUES, index=inputs, columns=channels)


def data_array(inputs=INPUTS, channels=CHANNELS):
    return xr.DataArray(VALUES, dims=("presentation", "neuroid"), coords={"presentation": inputs, "neuroid": channels})


ALL = pytest.mark.parametrize("make", [frame, data_array])


def reordered(array):
    return array.iloc[:, ORDER] if isinstance(array, pd.DataFrame) else array[:, ORDER]


@ALL
@pytest.mark.parametrize(
    "labels",
    [
        INPUTS[::-1],
        np.array(INPUTS[::-1]),
        pd.Series(list("vwxyz"), index=INPUTS[::-1]),
        pd.Series(list("ccdde"), index=["b", "a", "f", "g", "h"]),
        xr.DataArray(list("ccdde"), dims="presentation", coords={"presentation": INPUTS[::-1]}),
    ],
)
def test_labels_in_another_order_than_the_inputs_are_an_error(make, labels):
    with pytest.raises(ValueError, match="labels: they are in another order"):
        simplugins.compute_rsm(make(), labels=labels)


@ALL
@pytest.mark.parametrize(
    "labels", [list("ccdde"), pd.Series(list("ccdde"), index=INPUTS), pd.Series(list("ccdde")), INPUTS, range(5)]
)
def test_labels_that_contradict_nothing_are_taken(make, labels):
    assert simplugins.compute_rsm(make(), labels=labels).labels.tolist() == list(labels)


@ALL
def test_channels_of_other_inputs_are_in_the_same_order(make):
    expected = simplugins.compute_rsm(VALUES, other=VALUES).values
    first, default = make(), make(channels=range(4))
    np.testing.assert_array_equal(simplugins.compute_rsm(first, other=make()).values, expected)
    np.testing.assert_array_equal(simplugins.compute_rsm(first, other=default).values, expected)
    for compute in (simplugins.compute_rsm, simplugins.search):
        with pytest.raises(ValueError, match="other: channels are in another order"):
            compute(first, other=reordered(make()))
    with pytest.raises(ValueError, match="other: channels are in another order"):
        simplugins.compute_rsm(first, other=make(channels=list("vwxy")))


@pytest.mark.parametrize("layout", ["auto", "cn"])
def test_channels_along_the_first_axis_are_compared_too(layout):
    first = data_array().T
    with pytest.raises(ValueError, match="channels are in another order"):
        simplugins.compute_rsm(first, other=reordered(data_array()).T, layout=layout)


@ALL
def test_channels_of_sets_are_in_the_same_order(make):
    def sets(second):
        one, two = make(), second
        return [one, two] if make is frame else [each.rename(presentation="position") for each in (one, two)]

    assert Activations.from_sets(sets(make())).channels == 4
    for read in (Activations.from_sets, Activations.from_array):
        with pytest.raises(ValueError, match="channels of elements 0 and 1"):
            read(sets(reordered(make())))
    with pytest.raises(ValueError, match="channels are in another order"):
        simplugins.match(*sets(reordered(make())))


def test_lists_of_vectors_have_their_channels_in_the_same_order():
    vectors = [pd.Series(row, index=CHANNELS) for row in VALUES]
    expected = simplugins.compute_rsm(VALUES).values
    np.testing.assert_array_equal(simplugins.compute_rsm(vectors).values, expected)
    with pytest.raises(ValueError, match="channels of elements 0 and 2"):
        simplugins.compute_rsm([*vectors[:2], vectors[2].iloc[ORDER], *vectors[3:]])


@pytest.mark.parametrize("names", [("x", "y", "presentation"), ("width", "n", "height"), ("row", "col", "image")])
def test_dimensions_of_a_mask_go_by_their_names(names):
    maps, mask = RNG.normal(size=(3, 4, 3, 3)), RNG.random((3, 3, 3)) > 0.4
    mask[:, 0, 0] = True
    letters = ["nhw".index({"p": "n", "i": "n", "x": "w", "c": "w", "y": "h", "r": "h"}.get(n[0], n[0])) for n in names]
    named = xr.DataArray(mask.transpose(letters), dims=names)
    expected = Activations.from_array(maps, mask=mask).digest()
    assert Activations.from_array(maps, mask=named).digest() == expected
    with pytest.raises(ValueError, match="mask: expected dimensions"):
        Activations.from_array(maps, mask=named.rename({names[0]: "channel"}))


def test_evaluations_check_the_order_of_what_they_are_given():
    rsm = simplugins.compute_rsm(frame(range(5, 10)), labels=INPUTS)
    probabilities = RNG.dirichlet(np.ones(3), 5)
    expected = evaluation.output_correlation(rsm, probabilities, resamples=40).spearman.value
    table = pd.DataFrame(probabilities, index=INPUTS)
    assert evaluation.output_correlation(rsm, table, resamples=40).spearman.value == expected
    with pytest.raises(ValueError, match="probabilities: inputs are in another order"):
        evaluation.output_correlation(rsm, table.iloc[::-1])
    classes = pd.Series(list("ccddd"), index=INPUTS)
    assert evaluation.retrieval(rsm, classes).metrics.keys() == evaluation.retrieval(rsm, list("ccddd")).metrics.keys()
    with pytest.raises(ValueError, match="labels: they are in another order"):
        evaluation.retrieval(rsm, classes.iloc[::-1])
