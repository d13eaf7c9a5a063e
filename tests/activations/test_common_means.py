# SPDX-License-Identifier: Apache-2.0
"""Inputs that share so much that float32 would lose their differences are computed in float64."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import simplugins
from simplugins import Activations, read_activations
from simplugins.activations import blocks

MAPS = np.random.default_rng(0).normal(size=(8, 16, 5, 5))
IMAGES = np.s_[:, None, None, None]
SHARED = {
    "all channels": MAPS + 3000,
    "one channel": MAPS + 3000 * (np.arange(16) == 3)[:, None, None],
    "two channels of opposite sign": MAPS + 3000 * ((np.arange(16) == 3) - 1.0 * (np.arange(16) == 7))[:, None, None],
    "one position": MAPS + 3000 * (np.arange(25) == 0).reshape(5, 5),
    "another mean at each position": MAPS + 3000 * np.random.default_rng(1).normal(size=(16, 5, 5)),
    "negative": MAPS - 3000,
    "another mean of each input": MAPS + np.random.default_rng(1).uniform(1000, 5000, size=8)[IMAGES],
    "tiny": 1e-25 * (MAPS + 3000),
    "huge": 1e25 * (MAPS + 3000),
}
DIFFERENT = {
    "no mean": MAPS,
    "rectified": np.maximum(MAPS, 0),
    "a mean of 2 deviations": MAPS + 2,
    "a mean of each input and position": MAPS + 3000 * np.random.default_rng(1).normal(size=(8, 1, 5, 5)),
    "large": 1e25 * MAPS,
}


@pytest.mark.parametrize("kind", SHARED)
def test_inputs_with_a_large_common_mean_are_computed_in_float64(kind):
    x = Activations.from_array(SHARED[kind].astype(np.float32))
    assert x.dtype == np.float64
    assert x.widened
    np.testing.assert_array_equal(np.asarray(x), Activations.from_array(SHARED[kind].astype(np.float32).astype(float)))
    assert "float64 for a large common mean" in repr(x)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_inputs_are_computed_in_float32(kind):
    x = Activations.from_array(DIFFERENT[kind].astype(np.float32))
    assert x.dtype == np.float32
    assert not x.widened


@pytest.mark.parametrize(
    "array",
    [
        np.round(20 * MAPS + 12000).astype(np.int16),
        np.round(2 * MAPS + 128).astype(np.uint8),
        (MAPS + 300).astype(np.float16),
        torch.tensor(MAPS + 100).bfloat16(),
        torch.tensor(MAPS + 3000).float(),
        list((MAPS + 3000).astype(np.float32)),
        np.asfortranarray(MAPS.reshape(8, -1) + 3000, np.float32),
        [(MAPS[i, :, 0, : 2 + i % 3].T + 3000).astype(np.float32) for i in range(8)],
        (MAPS[:1] + 3000).astype(np.float32),
    ],
    ids=["int16", "uint8", "float16", "bfloat16", "torch", "list", "vectors", "sets", "a single input"],
)
def test_every_kind_of_array_is_examined(array):
    assert Activations.from_array(array).widened


def test_single_positions_need_float64_at_smaller_means():
    assert not Activations.from_array((MAPS + 5).astype(np.float32)).widened
    assert Activations.from_array((MAPS.reshape(8, -1) + 5).astype(np.float32)).widened


def test_float32_cannot_be_forced_and_float64_is_not_widened():
    shared = (MAPS + 3000).astype(np.float32)
    assert Activations.from_array(shared, dtype="float32").widened
    assert Activations.from_array(MAPS + 3000, dtype="float32").dtype == np.float64
    assert not Activations.from_array(shared, dtype="float64").widened
    assert Activations.from_array(Activations.from_array(shared), dtype="float32").dtype == np.float64


def test_values_on_disk_are_examined_in_chunks_with_the_same_result(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", (MAPS + 3000).astype(np.float32))
    monkeypatch.setattr(blocks, "CHUNK_BYTES", 4000)
    assert Activations.from_array(np.load(tmp_path / "x.npy", mmap_mode="r")).widened
    assert read_activations(tmp_path / "x.npy", None).dtype == np.float32  # the plain array, as yet unexamined


def test_masked_positions_do_not_count():
    tokens = MAPS.reshape(8, 16, 25).transpose(0, 2, 1).astype(np.float32)
    tokens[:, 0] = 5000
    whole = Activations.from_array(tokens)
    assert whole.widened
    for options in ({"drop_tokens": 1}, {"mask": np.arange(25) > np.zeros((8, 1))}):
        assert Activations.from_array(tokens, **options).dtype == np.float32
        assert Activations.from_array(whole, **options).dtype == np.float32
    ragged = np.arange(25) >= np.arange(8)[:, None] % 2
    assert Activations.from_array(whole, mask=ragged, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("scale", [0, 1e-3, 100])
def test_a_few_different_inputs_hide_nothing(scale):
    array = (np.concatenate([MAPS] * 4) + 3000).astype(np.float32)
    array[::5] *= scale * np.sign(MAPS[:7])
    assert Activations.from_array(array).widened
    sets = [vectors.reshape(16, -1).T[: 20 + i % 5] for i, vectors in enumerate(array)]
    assert Activations.from_array(sets).widened


@pytest.mark.parametrize(
    "array",
    [np.ones((4, 3, 2)), np.zeros((4, 3, 2)), np.full((1, 5, 2), 7.0), np.repeat(MAPS[:1], 4, axis=0), np.ones((1, 3))],
    ids=["ones", "zeros", "constant positions", "equal maps", "a single vector"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_inputs_have_no_differences_to_lose(array, dtype):
    assert not Activations.from_array(array.astype(dtype)).widened


def test_selected_inputs_keep_the_type():
    x = Activations.from_array((MAPS + 3000).astype(np.float32))
    for derived in (x.chosen(np.array([3, 1])), x.part(2, 5), x.in_memory(), pickle.loads(pickle.dumps(x))):
        assert derived.widened
        assert derived.block(0, 2).vectors.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_warning_says_where_even_float64_is_not_enough(dtype):
    array = np.full((4, 3, 2), 1e7, dtype)
    array[2, 1, 0] += 1
    with pytest.warns(RuntimeWarning, match="too little even for float64"):
        assert Activations.from_array(array).dtype == np.float64


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_extreme_values_are_examined_without_overflow(scale):
    assert Activations.from_array(scale * (MAPS + 3000), dtype="float32").widened
    assert not Activations.from_array(scale * MAPS, dtype="float32").widened


def test_inputs_that_differ_in_size_only_differ_enough():
    assert Activations.from_array(np.arange(1.0, 9.0)[:, None]).dtype == np.float64
    assert Activations.from_array(MAPS[:1] * np.arange(1.0, 9.0)[IMAGES]).dtype == np.float64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        [-2, 2, -2, -2],
        [0, 1, 1, 1],
        [1, 2, 3, 4],
        [5, 5, 5, 5],
        [[1, 2], [2, 4], [-1, -2]],
        [[0, 0, 1], [0, 0, 1], [0, 0, 3]],
    ],
    ids=str,
)
def test_inputs_along_one_direction_are_no_reason_to_warn(values):
    array = np.array(values, np.float32).reshape(len(values), -1)
    expected = ((array[:, None] - array) ** 2).sum(-1)
    np.testing.assert_allclose(simplugins.compute_rsm(array, "semantic-linear").rdm(squared=True), expected, atol=1e-5)
