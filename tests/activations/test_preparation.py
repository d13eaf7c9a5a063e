# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simplugins.activations import blocks
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Preparation, mean_vector
from simplugins.measures.computation import compute_rsm


def prepared(sets, center=None, normalize=None, other=()):
    """Prepare sets one by one, in float64."""
    sets = [np.asarray(vectors, np.float64) for vectors in sets]
    if "channel" in (center or ()):
        mean = np.concatenate([*sets, *other]).mean(0)
        sets = [vectors - mean for vectors in sets]
    if "input" in (center or ()):
        sets = [vectors - vectors.mean(0) for vectors in sets]
    if "position" in (center or ()):
        sets = [vectors - vectors.mean(1, keepdims=True) for vectors in sets]
    if normalize == "position":
        norms = [np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in sets]
        norms = [np.where(norm > 1e-9, norm, np.inf) for norm in norms]  # centring a single vector leaves nothing
        sets = [vectors / norm for vectors, norm in zip(sets, norms, strict=True)]
    return sets


def assert_equal_sets(activations, expected, **tolerance):
    for vectors, wanted in zip(activations.sets(), expected, strict=True):
        np.testing.assert_allclose(vectors, wanted, **tolerance)


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    center=st.sampled_from([None, "channel", "input", "position", ("channel", "position"), ("position", "input")]),
    normalize=st.sampled_from([None, "position"]),
)
@settings(max_examples=60, deadline=None)
def test_sets_equal_those_prepared_one_by_one(seed, sizes, center, normalize):
    rng = np.random.default_rng(seed)
    sets = [rng.normal(2, 1, size=(size, 5)) for size in sizes]
    other = [rng.normal(size=(size + 1, 5)) for size in sizes]
    preparation = Preparation.checked(center, normalize)
    x, none = preparation.apply(Activations.from_sets(sets))
    assert none is None
    assert_equal_sets(x, prepared(sets, center, normalize), rtol=1e-9, atol=1e-13)
    both = preparation.apply(Activations.from_sets(sets), Activations.from_sets(other))
    assert_equal_sets(both[0], prepared(sets, center, normalize, other), rtol=1e-9, atol=1e-13)
    assert_equal_sets(both[1], prepared(other, center, normalize, sets), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("center", ["channel", ("channel", "position")])
def test_masked_positions_do_not_count_in_the_mean(center):
    rng = np.random.default_rng(0)
    maps, mask = rng.normal(3, 1, size=(6, 4, 3, 3)), rng.random((6, 3, 3)) < 0.6
    mask[:, 0, 0] = True
    maps[:, :, ~mask.any(0)] = np.nan
    for i in range(6):
        maps[i][:, ~mask[i]] = np.inf
    sets = [response[:, positions].T for response, positions in zip(maps, mask, strict=True)]
    x, _ = Preparation.checked(center, None).apply(Activations.from_array(maps, mask=mask))
    assert_equal_sets(x, prepared(sets, center), rtol=1e-10, atol=1e-13)
    if center == "channel":
        np.testing.assert_allclose(np.concatenate([*x.sets()]).mean(0), 0, atol=1e-14)


def test_dropped_tokens_and_inputs_left_out_do_not_count_in_the_mean():
    tokens = np.random.default_rng(0).normal(1, 1, size=(8, 5, 3))
    x = Activations.from_array(tokens, drop_tokens=[0, 2], subset=[6, 1, 2])
    x, _ = Preparation.checked("channel", None).apply(x)
    assert_equal_sets(x, prepared(tokens[[6, 1, 2]][:, [1, 3, 4]], "channel"), rtol=1e-10, atol=1e-13)


def test_the_mean_of_several_chunks_is_that_of_all_vectors(monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK_BYTES", 8 * 3 * 7)
    sets = [np.random.default_rng(size).normal(size=(size, 3)) for size in (4, 7, 1, 5, 6)]
    mean = mean_vector(Activations.from_sets(sets[:3]), Activations.from_sets(sets[3:]))
    np.testing.assert_allclose(mean, np.concatenate(sets).mean(0), rtol=1e-14)


def test_the_mean_of_many_equal_vectors_is_exact_to_rounding():
    vectors = np.full((100_000, 3), 0.1)
    np.testing.assert_allclose(mean_vector(Activations.from_array(vectors)), 0.1, rtol=1e-15)


@pytest.mark.parametrize("center", ["channel", "input", "position", ("channel", "position"), ("input", "position")])
@pytest.mark.parametrize("normalize", [None, "position"])
def test_vectors_that_centring_removes_become_exactly_zero(center, normalize):
    constant = np.full((4, 3, 7), 0.1)
    constant[:, :, :] *= np.arange(1, 8) if center in ("channel", "input") else 1
    x, _ = Preparation.checked(center, normalize).apply(Activations.from_array(constant))
    assert not x.array().any()


@pytest.mark.parametrize("size", [1e-140, 1e-30, 1.0, 1e30, 1e140])
def test_vectors_of_any_size_get_norm_1_and_zero_vectors_stay(size):
    vectors = size * np.random.default_rng(0).normal(size=(4, 3, 5))
    vectors[1, 2] = 0
    vectors[2, 0] *= 1e-150  # far smaller than the input's other vectors
    x, _ = Preparation.checked(None, "position").apply(Activations.from_array(vectors))
    norms = np.linalg.norm(x.array(), axis=2)
    expected = np.ones((4, 3))
    expected[1, 2] = 0
    np.testing.assert_allclose(norms, expected, rtol=1e-13)


def test_centring_of_channels_and_of_positions_commute():
    tokens = np.random.default_rng(0).normal(2, 1, size=(5, 4, 6))
    x = Activations.from_array(tokens)
    channel, position, both = (
        Preparation.checked(center, None) for center in ("channel", "position", ("channel", "position"))
    )
    other_order = channel.apply(position.apply(x)[0])[0]
    np.testing.assert_allclose(both.apply(x)[0].array(), other_order.array(), atol=1e-14)


def test_float32_values_are_prepared_in_float64_and_compared_in_float32():
    rng = np.random.default_rng(0)
    tokens = (1000 + rng.normal(size=(20, 4, 6))).astype(np.float32)
    x = Activations.from_array(tokens)
    assert x.widened  # the mean is large
    centred, _ = Preparation.checked("channel", None).apply(x)
    assert (centred.dtype, centred.widened) == (np.float32, False)
    exact = tokens.astype(np.float64) - tokens.astype(np.float64).mean((0, 1))
    np.testing.assert_array_equal(centred.array(), exact.astype(np.float32))


@pytest.mark.parametrize("measure", ["spatio-semantic-rbf", "shift-rbf"])
@pytest.mark.parametrize(
    "options", [{}, {"center": "channel"}, {"center": ("channel", "position"), "normalize": "position"}]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_distances_of_values_rounded_to_float32_are_exact(measure, options, dtype, scale):
    maps = np.random.default_rng(0).normal(size=(6, 4, 3, 3))
    maps[1], maps[3] = maps[0], maps[2] * (1 + 1e-4 * np.random.default_rng(1).normal(size=maps[2].shape))
    x = Activations.from_array((scale * maps).astype(dtype), dtype=np.float32)
    sets = np.array(list(Preparation.checked(options.get("center"), options.get("normalize")).apply(x)[0].sets()))
    distance = np.square(sets[2].astype(np.float64) - sets[3]).sum()
    rsm = compute_rsm(x, measure, sigma=float(np.sqrt(distance)), **options)
    np.testing.assert_allclose(rsm.values[[0, 2], [1, 3]], [1, np.exp(-0.5)], rtol=1e-3)


def test_prepared_activations_keep_labels_layout_grid_and_survive_pickling_and_selection():
    maps = np.random.default_rng(0).normal(size=(5, 3, 2, 2))
    x = Activations.from_array(maps, labels=list("abcde"))
    result, _ = Preparation.checked("channel", "position").apply(x)
    assert (result.layout, result.grid, result.labels.tolist()) == ("nchw", (2, 2), list("abcde"))
    assert result.prepared == {"center": "channel", "normalize": "position"}
    expected = result.array()
    for changed in (pickle.loads(pickle.dumps(result)), result.in_memory(), result.on_cpu(), result.part(0, 5)):
        np.testing.assert_array_equal(changed.array(), expected)
        assert changed.prepared == result.prepared
        assert changed.digest() == result.digest()
    np.testing.assert_array_equal(result.chosen(np.array([3, 1])).array(), expected[[3, 1]])
    assert result.digest() != x.digest()
    assert Activations.from_array(result, mask=np.ones((5, 4), bool)).prepared == result.prepared


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"center": "channels"}, ValueError, "center.*channels"),
        ({"center": True}, TypeError, "center.*True"),
        ({"center": ("position", "channels")}, ValueError, "center.*channels"),
        ({"center": ("input", "channel")}, ValueError, "center.*channel"),
        ({"center": {"position": 1}}, TypeError, "center"),
        ({"normalize": "unit"}, ValueError, "normalize.*unit"),
        ({"normalize": ("position", "l2")}, ValueError, "normalize.*l2"),
        ({"normalize": True}, TypeError, "normalize.*True"),
        ({"normalize": ["position", 1]}, TypeError, "normalize"),
        ({"normalize": ("matched", "mass")}, ValueError, "matched.*mass"),
    ],
)
def test_options_that_are_no_preparation_raise(options, error, named):
    with pytest.raises(error, match=named):
        Preparation.checked(**{"center": None, "normalize": None, **options})


def test_a_common_mean_needs_equal_channels():
    x, y = (Activations.from_array(np.ones((2, channels))) for channels in (3, 4))
    with pytest.raises(ValueError, match=r"other.*3 channels.*4"):
        Preparation.checked("channel", None).apply(x, y)
