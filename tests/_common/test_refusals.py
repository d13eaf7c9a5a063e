# SPDX-License-Identifier: Apache-2.0
"""Objects that are not arrays of real numbers: errors that say what to pass instead."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
import xarray
from PIL import Image

from simplugins import compute_rsm, estimate_for, match, record
from simplugins._common import arrays

VALUES = np.random.default_rng(0).normal(size=(6, 10))
MAPS = [np.ones((4, 3, 3)), np.ones((4, 2, 3))]


class Exchanged:
    """An array of a library that knows DLPack alone."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


class Convertible:
    """An array of a library that becomes NumPy's by ``__array__`` alone, as TensorFlow's and JAX's."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize("kind", [Exchanged, Convertible])
def test_arrays_of_other_libraries_are_read(kind):
    np.testing.assert_array_equal(compute_rsm(kind(VALUES)), compute_rsm(VALUES))


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        (None, "None"),
        (3.0, r"number 3\.0"),
        (np.float32(3), r"number 3\.0"),
        ("text", "'text'"),
        ({"conv1": VALUES}, r"activations\['conv1'\]"),
        (xarray.Dataset({"conv1": ("n", VALUES[0])}), r"activations\['conv1'\]"),
        ((row for row in VALUES), "list"),
        ({1.0, 2.0}, "list"),
        (scipy.sparse.csr_array(VALUES), r"array\.toarray\(\)"),
        (scipy.sparse.coo_matrix(VALUES), r"array\.toarray\(\)"),
        (torch.tensor(VALUES).to_sparse(), r"tensor\.to_dense\(\)"),
        (torch.ones(2, 3, device="meta"), "meta"),
        (da.from_array(VALUES)[da.from_array(VALUES[:, 0] > -9)], r"compute_chunk_sizes\(\)"),
        (da.from_array(VALUES).map_blocks(scipy.sparse.csr_matrix), "map_blocks"),
        (MAPS, r"\(4, 3, 3\).*element 1.*\(S_i, C\)"),
        ([torch.tensor(m) for m in MAPS], r"\(4, 3, 3\).*element 1.*\(S_i, C\)"),
        (Image.new("RGB", (4, 4)), "nhwc"),
        ([Image.new("L", (4, 4))] * 3, "nhwc"),
        (VALUES > 0, "astype"),
        (torch.tensor(VALUES > 0), "astype"),
        (VALUES + 1j, "absolute"),
        (np.array([["a"]]), "labels="),
        (pd.DataFrame(VALUES).assign(name="a"), "'name'"),
        (pd.DataFrame(VALUES).assign(flag=True), "'flag'"),
        (pd.Series(list(VALUES)), "Series"),
    ],
)
def test_the_error_says_what_to_pass_instead(value, instead):
    with pytest.raises(TypeError, match=instead):
        arrays.as_array(value)
    if not isinstance(value, str):
        with pytest.raises(TypeError, match=instead):
            compute_rsm(value)


def test_a_layer_is_to_be_chosen_of_what_record_returns():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    layers = record(net, torch.ones(2, 3, 8, 8))
    for call in (compute_rsm, estimate_for, lambda layers: match(layers, layers)):
        with pytest.raises(TypeError, match=r"activations\['0'\]"):
            call(layers)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors_are_lists_of_sets(layout):
    sets = [torch.rand(3, 4), torch.rand(2, 4)]
    nested = torch.nested.nested_tensor(sets, layout=layout)
    np.testing.assert_array_equal(compute_rsm(nested), compute_rsm(sets))


def test_a_tensor_that_requires_gradients_in_a_list_with_arrays_is_a_type_error():
    with pytest.raises(TypeError, match="list"):
        arrays.as_array([torch.rand(3, requires_grad=True), np.ones(3)])


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_tensors_of_compressed_rows_are_sparse():
    with pytest.raises(TypeError, match="to_dense"):
        arrays.as_array(torch.tensor(VALUES).to_sparse_csr())
