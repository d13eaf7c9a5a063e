# SPDX-License-Identifier: Apache-2.0
"""Masks of all types and libraries, for arrays, for Activations and for recordings."""

from __future__ import annotations

import dask.array
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import zarr

import simplugins
from simplugins import Activations

RNG = np.random.default_rng(0)
TOKENS = RNG.normal(size=(4, 6, 3)).astype(np.float32)
MAPS = RNG.normal(size=(4, 3, 2, 5)).astype(np.float32)
MASK = np.arange(6) < np.array([[6], [2], [4], [1]])


@pytest.mark.parametrize(
    "form",
    [
        lambda mask: mask.astype(np.int64),
        lambda mask: mask.astype(np.uint8),
        lambda mask: mask.astype(np.float32),
        lambda mask: mask.astype(">i4"),
        lambda mask: mask.tolist(),
        lambda mask: mask.astype(int).tolist(),
        lambda mask: torch.tensor(mask),
        lambda mask: torch.tensor(mask).long(),
        lambda mask: torch.tensor(mask).bfloat16(),
        lambda mask: pd.DataFrame(mask),
        lambda mask: pd.DataFrame(mask.astype(int)),
        lambda mask: dask.array.from_array(mask.astype(int), chunks=2),
        lambda mask: zarr.create_array({}, data=mask.astype(np.int64)),
    ],
)
def test_masks_may_be_booleans_or_zeros_and_ones_of_any_library(form):
    expected = Activations.from_array(TOKENS, mask=MASK)
    assert expected.positions.tolist() == [6, 2, 4, 1]
    assert Activations.from_array(TOKENS, mask=form(MASK)).digest() == expected.digest()
    assert Activations.from_array(Activations.from_array(TOKENS), mask=form(MASK)).digest() == expected.digest()


def test_masks_of_maps_may_be_zeros_and_ones(tmp_path):
    mask = MAPS[:, 0] > -0.5
    expected = simplugins.compute_rsm(MAPS, mask=mask)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["mask"] = mask.astype(np.uint8)
        for each in (mask.astype(int), mask.reshape(4, 10).astype(float), torch.tensor(mask).int(), file["mask"]):
            np.testing.assert_array_equal(simplugins.compute_rsm(MAPS, mask=each), expected)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.where(MASK, 0, -np.inf), r"mask.*-inf"),
        (np.where(MASK, 0.0, np.finfo(np.float32).min), r"mask.*e\+38"),
        (np.where(MASK, 1.0, np.nan), r"mask.*nan"),
        (MASK * 2, r"mask.*\b2\b"),
        (-MASK.astype(int), r"mask.*-1"),
        (MASK.astype(complex), "mask.*complex"),
        (MASK.astype(str), "mask.*<U5"),
        (MASK.astype(object), "mask.*object"),
        (np.ma.masked_array(MASK, ~MASK), "mask.*masked array"),
        ([[1, 0], [1]], "mask.*list"),
        (np.where(MASK, 0.0, -np.inf)[:, None, None], "mask.*-inf"),
        (MASK[:, None, None], r"mask.*\(4, 6\).*\(4, 1, 1, 6\)"),
        (MASK[:, :5], r"mask.*\(4, 6\).*\(4, 5\)"),
        (MASK[0], r"mask.*\(4, 6\).*\(6,\)"),
        (True, r"mask.*\(4, 6\).*\(\)"),
        (MASK & False, "input 0 has no positions"),
    ],
)
def test_other_masks_are_errors(mask, message):
    for source in (TOKENS, Activations.from_array(TOKENS)):
        with pytest.raises((ValueError, TypeError), match=message):
            simplugins.compute_rsm(source, mask=mask)
