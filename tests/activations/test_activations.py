# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

from simplugins.activations.activations import Activations

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(4, 3, 2, 5)).astype(np.float32)
TOKENS = RNG.normal(size=(4, 6, 3)).astype(np.float32)


def sets_of(activations):
    block = activations.block(0, len(activations))
    return [block.vectors[a:b] for a, b in zip(block.offsets[:-1], block.offsets[1:], strict=True)]


@pytest.mark.parametrize(
    ("source", "layout", "expected"),
    [
        (TOKENS[:, 0], "nd", TOKENS[:, :1]),
        (TOKENS, "ntd", TOKENS),
        (MAPS, "nchw", oracle.concept_vectors(MAPS)),
        (np.moveaxis(MAPS, 1, -1), "nhwc", oracle.concept_vectors(MAPS)),
    ],
    ids=["nd", "ntd", "nchw", "nhwc"],
)
def test_every_layout_gives_its_concept_vectors(source, layout, expected):
    np.testing.assert_array_equal(sets_of(Activations.from_array(source, layout=layout)), expected.astype(np.float32))
    if layout != "nhwc":
        assert Activations.from_array(source).layout == layout


@pytest.mark.parametrize(
    "source",
    [
        MAPS,
        MAPS.astype(np.float16),
        np.asfortranarray(MAPS),
        MAPS[::-1],
        MAPS.astype(">f4"),
        (MAPS * 10).astype(np.int8),
        torch.tensor(MAPS),
        torch.tensor(MAPS, requires_grad=True),
        torch.tensor(MAPS).bfloat16(),
        torch.tensor(MAPS).permute(0, 1, 3, 2),
        list(torch.tensor(MAPS)),
        MAPS.tolist(),
    ],
)
def test_any_array_is_read_as_its_float32_values(source):
    if isinstance(source, torch.Tensor):
        plain = source.detach().float().numpy()
    else:
        plain = np.asarray(source, dtype=np.float64)
    found = Activations.from_array(source, dtype=np.float32)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(sets_of(found), oracle.concept_vectors(plain).astype(np.float32))
    np.testing.assert_allclose(found.squared_norms, oracle.norms(plain), rtol=1e-6)


def test_a_memmap_is_read_block_by_block(tmp_path):
    np.save(tmp_path / "maps.npy", MAPS)
    found = Activations.from_array(np.load(tmp_path / "maps.npy", mmap_mode="r"))
    block = found.block(1, 3)
    np.testing.assert_array_equal(block.vectors, oracle.concept_vectors(MAPS[1:3]).reshape(-1, 3).astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "asked", "computed"),
    [
        ("f2", None, "f4"),
        ("f4", None, "f4"),
        ("f8", None, "f8"),
        (">f8", None, "f8"),
        ("i8", None, "f4"),
        ("f8", "f4", "f4"),
        ("f2", "f8", "f8"),
    ],
)
def test_what_is_computed_in(dtype, asked, computed):
    found = Activations.from_array(np.ones((2, 3), dtype), dtype=asked)
    assert found.dtype == np.dtype(computed)
    assert found.block(0, 2).vectors.dtype == np.dtype(computed)


def test_float64_keeps_what_float32_would_lose():
    large = np.array([[2**24 + 1], [1]])
    assert Activations.from_array(large, dtype="f8").block(0, 1).vectors[0, 0] == 2**24 + 1
    assert Activations.from_array(np.array([[1 / 3], [1]], ">f8")).block(0, 1).vectors[0, 0] == 1 / 3


def test_extreme_values_are_scaled_by_powers_of_two_and_ordinary_ones_are_not():
    values = MAPS * np.array([1e30, 1, 1e-30, 0], np.float32)[:, None, None, None]
    found = Activations.from_array(values)
    assert found.exponents[1] == found.exponents[3] == 0
    assert 95 < found.exponents[0] < 105
    assert -105 < found.exponents[2] < -95
    back = [np.ldexp(s.astype(np.float64), e) for s, e in zip(sets_of(found), found.exponents, strict=True)]
    np.testing.assert_array_equal(back, oracle.concept_vectors(values))
    np.testing.assert_allclose(found.squared_norms, oracle.norms(values), rtol=1e-12)
    wide = Activations.from_array(np.full((2, 2), 1e60), dtype=np.float32)
    np.testing.assert_allclose(wide.squared_norms, 2e120)


@pytest.mark.parametrize(
    ("drop", "kept"), [(0, range(6)), (1, range(1, 6)), ([0], range(1, 6)), ([0, -1], range(1, 5)), ([], range(6))]
)
def test_tokens_are_left_out(drop, kept):
    found = Activations.from_array(TOKENS, drop_tokens=drop)
    np.testing.assert_array_equal(sets_of(found), TOKENS[:, list(kept)])
    assert (found.positions == len(kept)).all()


def test_a_dropped_token_may_be_nan():
    spoiled = TOKENS.copy()
    spoiled[:, 0] = np.nan
    np.testing.assert_array_equal(sets_of(Activations.from_array(spoiled, drop_tokens=1)), TOKENS[:, 1:])


@pytest.mark.parametrize("drop", [-1, 1.0, [1.5], True, [True, False], "cls", None, 10**13, [[0]]])
def test_drop_tokens_is_a_count_or_places(drop):
    with pytest.raises(ValueError, match="drop_tokens must be how many tokens"):
        Activations.from_array(TOKENS, drop_tokens=drop)


def test_tokens_that_cannot_be_left_out():
    with pytest.raises(ValueError, match=r"there are 6 tokens, cannot leave out \[6\]"):
        Activations.from_array(TOKENS, drop_tokens=[6])
    with pytest.raises(ValueError, match="drop_tokens applies to layout 'ntd'"):
        Activations.from_array(MAPS, drop_tokens=1)
    with pytest.raises(ValueError, match="input 0 has no positions"):
        Activations.from_array(TOKENS, drop_tokens=6)


def test_masked_positions_are_left_out_even_if_nan():
    mask = RNG.random((4, 2, 5)) < 0.5
    mask[:, 0, 0] = True
    spoiled = np.where(mask[:, None], MAPS, np.nan)
    for form in (mask, mask.reshape(4, 10), torch.tensor(mask)):
        found = Activations.from_array(spoiled, mask=form)
        for one, vectors, used in zip(sets_of(found), oracle.concept_vectors(MAPS), mask.reshape(4, 10), strict=True):
            np.testing.assert_array_equal(one, vectors[used].astype(np.float32))


def test_sets_of_different_sizes():
    sets = [RNG.normal(size=(size, 3)) for size in (4, 1, 7)]
    found = Activations.from_array(sets)
    assert found.layout == "ragged"
    assert found.positions.tolist() == [4, 1, 7]
    for one, expected in zip(sets_of(found), sets, strict=True):
        np.testing.assert_array_equal(one, expected)
    np.testing.assert_allclose(found.squared_norms, oracle.norms(sets))


def test_labels_are_text_or_whole_numbers():
    assert Activations.from_array(TOKENS, labels=list("abcd")).labels.tolist() == ["a", "b", "c", "d"]
    assert Activations.from_array(TOKENS, labels=torch.arange(4)).labels.dtype == np.int64
    assert Activations.from_array(TOKENS).labels is None


def nan_at(index):
    values = TOKENS.copy()
    values[index] = np.nan
    return values


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (nan_at((2, 0, 0)), {}, ValueError, "hold 1 NaN or infinite values, the first of them in input 2 of 4"),
        (np.where(TOKENS > 1, np.inf, TOKENS), {}, ValueError, r"hold \d+ NaN or infinite values"),
        (np.zeros(3), {}, ValueError, r"expected activations of 2, 3 or 4 dimensions, got shape \(3,\)"),
        (TOKENS, {"layout": "nchw"}, ValueError, r"layout 'nchw' is \(inputs, channels, height, width\), 4 dim"),
        (TOKENS, {"layout": "nwc"}, ValueError, "unknown layout 'nwc'"),
        (np.zeros((0, 3)), {}, ValueError, "at least one input and one channel, got 0 inputs of 3 channels"),
        (np.zeros((3, 0)), {}, ValueError, "got 3 inputs of 0 channels"),
        (np.zeros((3, 0, 2)), {}, ValueError, "input 0 has no positions"),
        (TOKENS > 0, {}, TypeError, "expected real numbers, got an array of bool"),
        (TOKENS + 1j, {}, TypeError, "expected real numbers, got an array of complex64"),
        (np.array([["a"]]), {}, TypeError, "expected real numbers"),
        ([[1, 2], [3]], {}, TypeError, "expected an array, got list that makes none"),
        (np.ma.masked_greater(TOKENS, 0), {}, TypeError, "masked arrays are not read"),
        (TOKENS, {"dtype": "f2"}, TypeError, "dtype must be float32 or float64, got float16"),
        (TOKENS, {"labels": ["a"]}, ValueError, r"labels: expected 4, one an input, got an array of shape \(1,\)"),
        (TOKENS, {"mask": np.ones((4, 5), bool)}, ValueError, r"mask: expected booleans of shape \(4, 6\)"),
        (TOKENS, {"mask": np.ones((4, 6))}, ValueError, "got float64 of shape"),
        (TOKENS, {"mask": np.zeros((4, 6), bool)}, ValueError, "input 0 has no positions"),
        ([TOKENS[0], TOKENS[1, :, :2]], {}, ValueError, "set 0 has 3, set 1 has 2"),
        ([TOKENS[0], TOKENS[1]], {"mask": np.ones((2, 6), bool)}, ValueError, "mask does not apply to a list of sets"),
        (np.full((2, 2), 1e200), {}, ValueError, "input 0 has a largest absolute value of 1e.200"),
        (Activations.from_array(TOKENS), {"labels": list("abcd")}, ValueError, "labels does not apply to Activations"),
    ],
)
def test_bad_input_is_named(source, options, error, message):
    with pytest.raises(error, match=message):
        Activations.from_array(source, **options)
