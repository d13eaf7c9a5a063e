# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import simplugins
from simplugins import Activations

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(4, 3, 2, 5)).astype(np.float32)
TOKENS = RNG.normal(size=(4, 6, 3)).astype(np.float32)
SETS = [RNG.normal(size=(size, 3)) for size in (4, 1, 7)]


def assert_same_sets(activations, expected):
    for vectors, one in zip(activations.sets(), expected, strict=True):
        np.testing.assert_array_equal(vectors, one)


# Reading arrays


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
    assert_same_sets(Activations.from_array(source, layout=layout), expected.astype(np.float32))
    if layout != "nhwc":
        assert Activations.from_array(source).layout == layout


SIZES = {"n": 4, "t": 3, "l": 2, "d": 2, "h": 3, "w": 5, "c": 6}


@given(st.permutations(list(SIZES)), st.sets(st.sampled_from("tldhw")), st.randoms())
def test_letters_in_any_order_name_the_same_concept_vectors(letters, left_out, random):
    letters = [letter for letter in letters if letter not in left_out]
    array = np.random.default_rng(0).normal(size=[SIZES[letter] for letter in letters])
    in_order = [letter for letter in "ntldhwc" if letter in letters]
    expected = array.transpose([letters.index(letter) for letter in in_order]).reshape(4, -1, 6)
    x = Activations.from_array(array, layout=random.choice(["", " "]).join(letters))
    np.testing.assert_array_equal(x, expected)
    assert x.layout == "".join(letters)
    part = np.stack(list(x.chosen(np.array([3, 1])).sets()))
    np.testing.assert_array_equal(part, expected[[3, 1]])


@pytest.mark.parametrize(("letters", "shape"), [("ncwh", (4, 3, 5, 2)), ("whnc", (5, 2, 4, 3)), ("nhwc", (4, 2, 5, 3))])
def test_masks_follow_the_order_of_the_arrays_positions(letters, shape):
    array = RNG.normal(size=shape)
    spatial = [letter for letter in letters if letter in "hw"]
    mask = RNG.random([4, *(shape[letters.index(letter)] for letter in spatial)]) > 0.3
    vectors, used = (
        array.transpose([letters.index(x) for x in "nhwc"]),
        mask.transpose(0, *(1 + spatial.index(x) for x in "hw")),
    )
    expected = [one[use] for one, use in zip(vectors, used, strict=True)]
    assert_same_sets(Activations.from_array(array, layout=letters, mask=mask), expected)
    assert_same_sets(Activations.from_array(array, layout=letters, mask=used.reshape(4, -1)), expected)
    assert_same_sets(Activations.from_array(Activations.from_array(array, layout=letters), mask=mask), expected)


def test_a_mask_in_the_wrong_order_is_an_error_for_activations_as_for_arrays():
    mask = RNG.random((4, 2, 5)) > 0.3
    for source in (MAPS, Activations.from_array(MAPS), Activations.from_array(MAPS, subset=[3, 1, 0, 2])):
        assert_same_sets(
            Activations.from_array(source, mask=mask),
            [one[use] for one, use in zip(source_maps(source), mask, strict=True)],
        )
        with pytest.raises(ValueError, match=r"mask.*\(4, 2, 5\).*\(4, 5, 2\)"):
            Activations.from_array(source, mask=mask.transpose(0, 2, 1))


def source_maps(source):
    return np.asarray(Activations.from_array(source)).reshape(4, 2, 5, 3)


@pytest.mark.parametrize(("source", "grid"), [(MAPS, (2, 5)), (TOKENS, (6,)), (TOKENS[:, 0], ()), (SETS, None)])
def test_the_grid_of_positions_is_kept(source, grid, tmp_path):
    x = Activations.from_array(source)
    assert (x.grid, x.same_positions) == (grid, True)
    x.save(tmp_path / "x.npz")
    assert simplugins.read_activations(tmp_path / "x.npz").grid == grid
    assert x.part(1, 3).grid == x.chosen(np.array([2, 0])).grid == x.in_memory().grid == grid
    if grid not in (None, ()):
        assert Activations.from_array(x, mask=np.arange(x.shape[1])[None] > np.zeros((len(x), 1))).grid is None


def test_positions_that_masks_leave_out_differently_are_not_compared_by_position(tmp_path):
    mask = np.ones((4, 10), bool)
    mask[:, 3] = False
    assert simplugins.compute_rsm(MAPS, "spatio-semantic-cosine", mask=mask).shape == (4, 4)
    mask[2, [3, 7]] = True, False
    masked = Activations.from_array(MAPS, mask=mask)
    assert not masked.same_positions
    masked.save(tmp_path / "x.npz")
    for source in (masked, Activations.from_array(Activations.from_array(MAPS), mask=mask), tmp_path / "x.npz"):
        with pytest.raises(ValueError, match="different positions"):
            simplugins.compute_rsm(source, "spatio-semantic-cosine")
        assert simplugins.compute_rsm(source, "semantic-cosine").shape == (4, 4)


@pytest.mark.parametrize(("letters", "axes"), [("tnc", (1, 0, 2)), ("ncl", (0, 2, 1)), ("cns", (2, 0, 1))])
def test_tokens_are_dropped_whatever_the_layout(letters, axes):
    array = TOKENS.transpose(axes)
    assert_same_sets(Activations.from_array(array, layout=letters, drop_tokens=[0, 4]), np.delete(TOKENS, [0, 4], 1))


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
    x = Activations.from_array(source, dtype=np.float32)
    assert x.dtype == np.float32
    assert_same_sets(x, oracle.concept_vectors(plain).astype(np.float32))
    np.testing.assert_allclose(x.squared_norms, oracle.norms(plain), rtol=1e-6)


def test_a_memmap_is_read_block_by_block(tmp_path):
    np.save(tmp_path / "maps.npy", MAPS)
    x = Activations.from_array(np.load(tmp_path / "maps.npy", mmap_mode="r"))
    expected = oracle.concept_vectors(MAPS[1:3]).reshape(-1, 3).astype(np.float32)
    np.testing.assert_array_equal(x.block(1, 3).vectors, expected)


@pytest.mark.parametrize(
    ("dtype", "requested", "computed"),
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
def test_float64_values_are_computed_in_float64_and_others_in_float32_by_default(dtype, requested, computed):
    x = Activations.from_array(np.ones((2, 3), dtype), dtype=requested)
    assert x.dtype == x.array().dtype == x.block(0, 2).vectors.dtype == np.dtype(computed)


def test_float64_keeps_digits_that_float32_loses():
    large = np.array([[2**24 + 1], [1]])
    assert Activations.from_array(large, dtype="f8")[0] == 2**24 + 1
    assert Activations.from_array(np.array([[1 / 3], [1]], ">f8"))[0] == 1 / 3


def test_extreme_values_are_scaled_by_powers_of_two_in_blocks_alone():
    values = MAPS * np.array([1e30, 1, 1e-30, 0], np.float32)[:, None, None, None]
    x = Activations.from_array(values)
    assert x.exponents[1] == x.exponents[3] == 0
    assert 95 < x.exponents[0] < 105
    assert -105 < x.exponents[2] < -95
    block = x.block(0, 4)
    scaled = block.vectors.astype(np.float64).reshape(4, 10, 3)
    expected = oracle.concept_vectors(values)
    np.testing.assert_array_equal(np.ldexp(scaled, x.exponents[:, None, None]), expected)
    np.testing.assert_allclose(x.squared_norms, oracle.norms(values), rtol=1e-12)
    assert x.array().dtype == np.float32
    np.testing.assert_array_equal(x.array(), expected)


def test_values_beyond_float32_are_shown_as_float64():
    x = Activations.from_array(np.full((2, 2), 1e60), dtype=np.float32)
    assert x.dtype == x.block(0, 2).vectors.dtype == np.float32
    np.testing.assert_allclose(x.squared_norms, 2e120)
    np.testing.assert_array_equal(x.array(), np.full((2, 1, 2), 1e60))


# Tokens, masks, labels


@pytest.mark.parametrize(
    ("drop", "remaining"),
    [(0, range(6)), (1, range(1, 6)), ([0], range(1, 6)), ([0, -1], range(1, 5)), ([], range(6))],
)
def test_tokens_are_dropped(drop, remaining):
    for source in (TOKENS, Activations.from_array(TOKENS)):
        x = Activations.from_array(source, drop_tokens=drop)
        np.testing.assert_array_equal(x, TOKENS[:, list(remaining)])
        assert (x.positions == len(remaining)).all()


def test_a_dropped_token_may_be_nan():
    spoiled = TOKENS.copy()
    spoiled[:, 0] = np.nan
    np.testing.assert_array_equal(Activations.from_array(spoiled, drop_tokens=1), TOKENS[:, 1:])


@pytest.mark.parametrize("drop", [-1, 1.0, [1.5], True, [True, False], "cls", None, 10**13, [[0]]])
def test_drop_tokens_is_a_count_or_places(drop):
    with pytest.raises(ValueError, match="drop_tokens"):
        Activations.from_array(TOKENS, drop_tokens=drop)


@pytest.mark.parametrize("convert", [np.asarray, Activations.from_array])
def test_tokens_that_do_not_exist_cannot_be_dropped(convert):
    with pytest.raises(ValueError, match=r"drop_tokens.*\[6\].*\b6\b"):
        Activations.from_array(convert(TOKENS), drop_tokens=[6])
    with pytest.raises(ValueError, match=r"drop_tokens.*'ntd'.*'nchw'"):
        Activations.from_array(convert(MAPS), drop_tokens=1)
    with pytest.raises(ValueError, match="input 0 "):
        Activations.from_array(convert(TOKENS), drop_tokens=6)


def test_masked_positions_are_ignored_and_may_be_nan():
    mask = RNG.random((4, 2, 5)) < 0.5
    mask[:, 0, 0] = True
    spoiled = np.where(mask[:, None], MAPS, np.nan)
    expected = [v[m].astype(np.float32) for v, m in zip(oracle.concept_vectors(MAPS), mask.reshape(4, 10), strict=True)]
    for form in (mask, mask.reshape(4, 10), torch.tensor(mask)):
        assert_same_sets(Activations.from_array(spoiled, mask=form), expected)


def test_labels_are_text_or_whole_numbers():
    assert Activations.from_array(TOKENS, labels=list("abcd")).labels.tolist() == ["a", "b", "c", "d"]
    assert Activations.from_array(TOKENS, labels=torch.arange(4)).labels.dtype == np.int64
    assert Activations.from_array(TOKENS).labels is None


# Sets


@pytest.mark.parametrize("construct", [Activations.from_array, Activations.from_sets])
def test_sets_may_differ_in_size(construct):
    x = construct(SETS, labels=list("abc"), dtype="f8")
    assert x.layout == "ragged"
    assert x.positions.tolist() == [4, 1, 7]
    assert x.labels.tolist() == list("abc")
    assert_same_sets(x, SETS)
    np.testing.assert_allclose(x.squared_norms, oracle.norms(SETS))


def test_sets_may_come_from_a_generator_and_several_libraries():
    x = Activations.from_sets(convert(s) for convert, s in zip((torch.tensor, np.asarray, list), SETS, strict=True))
    assert_same_sets(x, SETS)


@pytest.mark.parametrize(
    ("sets", "error", "message"),
    [
        ([], ValueError, "sets"),
        ([SETS[0], SETS[1][0]], ValueError, r"set 1\b.*\(3,\)"),
        ([SETS[0], SETS[1], SETS[2][:, :2]], ValueError, r"set 2\b.* 3 .* 2\b"),
        ([SETS[0], np.zeros((0, 3))], ValueError, r"input 1\b"),
        ([SETS[0] > 0], TypeError, "bool"),
    ],
)
def test_bad_sets_are_named(sets, error, message):
    with pytest.raises(error, match=message):
        Activations.from_sets(sets)


# Options applied to Activations


def sources(**options):
    """The same activations as an array, and as Activations made without the options."""
    return Activations.from_array(MAPS, **options), Activations.from_array(Activations.from_array(MAPS), **options)


@given(data=st.data())
def test_options_give_the_same_for_an_array_and_for_its_activations(data):
    mask = data.draw(st.none() | st.lists(st.booleans(), min_size=40, max_size=40))
    options = {
        "mask": None if mask is None else np.array(mask).reshape(4, 10) | np.eye(4, 10, dtype=bool),
        "labels": data.draw(st.sampled_from([None, list("abcd")])),
        "dtype": data.draw(st.sampled_from([None, "f4", "f8"])),
        "subset": data.draw(st.none() | st.integers(1, 4) | st.permutations(range(4)).map(lambda order: order[1:])),
        "seed": data.draw(st.integers(0, 3)),
    }
    from_array, from_activations = sources(**options)
    assert repr(from_activations) == repr(from_array)
    assert from_activations.digest() == from_array.digest()
    np.testing.assert_array_equal(from_activations.labels, from_array.labels)
    np.testing.assert_allclose(from_activations.squared_norms, from_array.squared_norms)


def test_every_function_applies_options_to_activations():
    mask = RNG.random((4, 2, 5)) < 0.7
    options = {"mask": mask, "labels": list("abcd"), "dtype": "f8", "subset": [3, 0, 1]}
    rsm = simplugins.compute_rsm(Activations.from_array(MAPS), **options)
    np.testing.assert_array_equal(rsm, simplugins.compute_rsm(MAPS, **options))
    assert rsm.labels.tolist() == ["d", "a", "b"]


def test_masks_apply_to_the_positions_that_remain():
    half = np.zeros((4, 6), bool)
    half[:, 3:] = True
    x = Activations.from_array(Activations.from_array(TOKENS, drop_tokens=1), mask=half[:, 1:], drop_tokens=[3])
    np.testing.assert_array_equal(x, TOKENS[:, [3, 5]])


def test_labels_of_activations_are_kept_or_replaced():
    x = Activations.from_array(TOKENS, labels=list("abcd"))
    assert Activations.from_array(x, subset=[2]).labels.tolist() == ["c"]
    assert Activations.from_array(x, labels=range(4), subset=[2]).labels.tolist() == [2]
    assert Activations.from_array(x) is x


def test_activations_become_float32_or_float64():
    x = Activations.from_array(1e20 * TOKENS.astype(np.float64))
    for converted in (Activations.from_array(x, dtype="f4"), Activations.from_array(x.part(1, 4), dtype="f4")):
        assert converted.dtype == np.float32
        assert (converted.exponents > 60).all()  # inner products would overflow float32
    np.testing.assert_array_equal(Activations.from_array(x, dtype="f4").array(), x.array())


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (SETS, {"mask": np.ones((3, 7), bool)}, "mask.*1 to 7"),
        (SETS, {"drop_tokens": 1}, "drop_tokens.*1 to 7"),
        (MAPS, {"layout": "nhwc"}, "layout.*'nchw'.*'nhwc'"),
        (MAPS, {"mask": np.ones((4, 9), bool)}, r"mask.*\(4, 10\).*\(4, 9\)"),
        (MAPS, {"mask": np.ones((4, 3, 5), bool)}, r"mask.*\(4, 10\)"),
        (TOKENS, {"mask": np.ones((4, 2, 3), bool)}, r"mask.*\(4, 6\).*\(4, 2, 3\)"),
        (TOKENS, {"labels": ["a"]}, r"labels.*\b4\b"),
        (TOKENS, {"mask": np.zeros((4, 6), bool)}, "input 0 "),
    ],
)
def test_options_that_do_not_fit_activations_are_named(source, options, message):
    with pytest.raises(ValueError, match=message):
        Activations.from_array(Activations.from_array(source), **options)


# Looking at activations


def test_activations_are_a_sequence_of_numpy_arrays():
    x = Activations.from_array(torch.tensor(MAPS))
    expected = oracle.concept_vectors(MAPS).astype(np.float32)
    assert len(x) == 4
    assert x.shape == (4, 10, 3)
    np.testing.assert_array_equal(x[np.int64(1)], expected[1])
    np.testing.assert_array_equal(x[-1], expected[3])
    np.testing.assert_array_equal(list(x), expected)
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(x.array(), expected)
    assert np.asarray(x, np.float64).dtype == np.float64
    for number in (4, -5):
        with pytest.raises(IndexError, match=rf"{number}\b.* 4 inputs"):
            x[number]
    for number in ("a", 1.0, slice(2), [0, 1]):
        with pytest.raises(TypeError, match="subset"):
            x[number]


def test_changing_what_is_returned_changes_no_activations():
    x = Activations.from_array(TOKENS)
    for values in (x[0], x.array(), next(x.sets()), np.asarray(x)):
        values[:] = 0
    np.testing.assert_array_equal(x, TOKENS)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, copy=False allowed a copy
        with pytest.raises(ValueError, match="copy"):
            np.array(x, copy=False)


def test_many_values_are_read_in_chunks():
    values = RNG.normal(size=(9, 500, 700)).astype(np.float32)  # 24 MiB as float64
    x = Activations.from_array(values)
    np.testing.assert_array_equal(x, values)
    assert_same_sets(x, values)
    np.testing.assert_allclose(x.squared_norms, oracle.norms(values))


def test_unequal_sets_have_no_array():
    for x in (Activations.from_sets(SETS), Activations.from_array(SETS, subset=[0, 2])):
        assert x.shape == (len(x), None, 3)
        with pytest.raises(ValueError, match=r"to 7.*sets\(\)"):
            np.asarray(x)
    np.testing.assert_array_equal(Activations.from_array(SETS, subset=[2]), [SETS[2]])


def test_the_representation_is_one_line():
    assert (
        repr(Activations.from_array(MAPS)) == "Activations(4 inputs, 10 positions, 3 channels, float32, layout 'nchw')"
    )
    assert repr(Activations.from_sets(SETS, labels=list("abc"))) == (
        "Activations(3 inputs, 1 to 7 positions, 3 channels, float64, layout 'ragged', labelled)"
    )


# Errors


def nan_at(index):
    values = TOKENS.copy()
    values[index] = np.nan
    return values


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (nan_at((2, 0, 0)), {}, ValueError, r"\b1 NaN.*input 2 of 4"),
        (np.where(TOKENS > 1, np.inf, TOKENS), {}, ValueError, r"\d+ NaN or infinite"),
        (np.zeros(3), {}, ValueError, r"dimensions.*\(3,\)"),
        (TOKENS, {"layout": "nchw"}, ValueError, r"layout 'nchw'.*\(4, 6, 3\)"),
        (np.zeros((2, 3, 4, 5, 5)), {}, ValueError, r"\(2, 3, 4, 5, 5\).*layout="),
        (np.zeros((5, 32, 24, 3)), {}, ValueError, r"\(5, 32, 24, 3\).*'nhwc'"),
        (np.zeros((5, 28, 28, 1)), {}, ValueError, r"\(5, 28, 28, 1\).*'nhwc'"),
        (TOKENS, {"layout": "nxc"}, ValueError, "layout 'nxc'.*'x'"),
        (TOKENS, {"layout": "ncc"}, ValueError, "layout 'ncc'.*'c'"),
        (TOKENS, {"layout": "twc"}, ValueError, "layout 'twc'.* n\\b"),
        (TOKENS, {"layout": "nhw"}, ValueError, "layout 'nhw'.* c\\b"),
        (TOKENS, {"layout": "nc"}, ValueError, r"layout 'nc'.*\(4, 6, 3\)"),
        (TOKENS, {"layout": ("n", "t", "c")}, TypeError, "layout"),
        (np.zeros((0, 3)), {}, ValueError, "0 inputs of 3 channels"),
        (np.zeros((3, 0)), {}, ValueError, "3 inputs of 0 channels"),
        (np.zeros((3, 0, 2)), {}, ValueError, "input 0 "),
        (TOKENS > 0, {}, TypeError, "bool"),
        (TOKENS + 1j, {}, TypeError, "complex64"),
        (np.array([["a"]]), {}, TypeError, "<U1"),
        ([[1, 2], [3]], {}, TypeError, "list"),
        (np.ma.masked_greater(TOKENS, 0), {}, ValueError, "masked.*mask="),
        (TOKENS, {"dtype": "f2"}, TypeError, "dtype.*float16"),
        (TOKENS, {"labels": ["a"]}, ValueError, r"labels.*\b4\b.*got 1"),
        (TOKENS, {"mask": np.ones((4, 5), bool)}, ValueError, r"mask.*\(4, 6\).*\(4, 5\)"),
        (MAPS, {"mask": np.ones((4, 5, 2), bool)}, ValueError, r"mask.*\(4, 10\) or \(4, 2, 5\).*\(4, 5, 2\)"),
        (TOKENS, {"mask": np.full((4, 6), 2)}, ValueError, r"mask.*\b2\b"),
        (TOKENS, {"mask": np.zeros((4, 6), bool)}, ValueError, "input 0 "),
        ([TOKENS[0], TOKENS[1, :, :2]], {}, ValueError, r"set 1\b.* 3 .* 2\b"),
        ([TOKENS[0], TOKENS[1]], {"mask": np.ones((2, 6), bool)}, ValueError, "mask.*list of sets"),
        ([Activations.from_array(TOKENS)], {}, TypeError, "list of Activations"),
        (np.full((2, 2), 1e200), {}, ValueError, r"input 0 .*1e.200"),
    ],
)
def test_bad_input_is_named(source, options, error, message):
    with pytest.raises(error, match=message):
        Activations.from_array(source, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_opposite_inputs_have_norms_and_nothing_in_common(dtype):
    x = np.random.default_rng(0).normal(size=(1, 700, 120)).astype(dtype)
    activations = Activations.from_array(np.concatenate([x, -x]))  # a mean of exactly zero
    assert activations.dtype == dtype
    assert not activations.widened
    exact = np.square(x, dtype=np.float64).sum()
    np.testing.assert_allclose(activations.squared_norms, [exact, exact], rtol=1e-14)
