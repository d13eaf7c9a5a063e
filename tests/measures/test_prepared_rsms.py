# SPDX-License-Identifier: Apache-2.0
"""RSMs of centred and normalised activations equal those of arrays prepared in NumPy."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
import pytest

import simplugins

MEASURES = [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in ("linear", "cosine", "rbf")]
CENTERS = [None, "channel", "input", "position", ("channel", "position"), ("input", "position")]
PREPARATIONS = list(itertools.product(CENTERS, [None, "position"]))[1:]


def prepared(tokens, center, normalize, mean=None):
    """Prepare (N, S, C) tokens in float64."""
    tokens = np.asarray(tokens, np.float64)
    if "channel" in (center or ()):
        tokens = tokens - (tokens.mean((0, 1)) if mean is None else mean)
    if "input" in (center or ()):
        tokens = tokens - tokens.mean(1, keepdims=True)
    if "position" in (center or ()):
        tokens = tokens - tokens.mean(2, keepdims=True)
    return tokens / np.linalg.norm(tokens, axis=2, keepdims=True) if normalize else tokens


def pooled(x, y):
    """Similarity of mean concept vectors: a measure from elsewhere."""
    means = [np.stack([vectors.mean(0) for vectors in side.sets()]) for side in (x, y)]
    return means[0] @ means[1].T


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).normal(1, 1, size=(7, 6, 5)) * np.linspace(0.5, 3, 5)


@pytest.mark.parametrize(("center", "normalize"), PREPARATIONS)
@pytest.mark.parametrize("measure", [*MEASURES, pooled])
def test_every_measure_sees_prepared_activations(tokens, measure, center, normalize):
    expected = simplugins.compute_rsm(prepared(tokens, center, normalize), measure)
    rsm = simplugins.compute_rsm(tokens, measure, center=center, normalize=normalize)
    np.testing.assert_allclose(rsm, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rsm.squared_norms, expected.squared_norms, rtol=1e-9)
    options = {"center": list(center) if isinstance(center, tuple) else center, "normalize": normalize}
    assert {name: rsm.metadata.get(name) for name in options} == options


def test_plain_rsms_have_no_entries_about_preparation(tokens):
    assert not {"center", "normalize"} & simplugins.compute_rsm(tokens).metadata.keys()


@pytest.mark.parametrize(("center", "normalize"), PREPARATIONS)
def test_both_sides_get_the_mean_over_both(tokens, center, normalize):
    other = 2 * tokens[:3] - 1
    mean = np.concatenate([tokens, other]).mean((0, 1))
    sides = [prepared(side, center, normalize, mean) for side in (tokens, other)]
    expected = simplugins.compute_rsms(sides[0], ["semantic-cosine", pooled], other=sides[1])
    rsms = simplugins.compute_rsms(tokens, ["semantic-cosine", pooled], other=other, center=center, normalize=normalize)
    for name, rsm in rsms.items():
        np.testing.assert_allclose(rsm, expected[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("matching", ["auction", "batch-optimal", "greedy", "topk-greedy"])
def test_every_matching_sees_prepared_activations(tokens, matching):
    expected = simplugins.compute_rsm(prepared(tokens, "channel", "position"), matching=matching, certify=True)
    rsm = simplugins.compute_rsm(tokens, center="channel", normalize="position", matching=matching, certify=True)
    np.testing.assert_allclose(rsm, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rsm.gap, expected.gap, rtol=1e-6, atol=1e-9)


def test_files_tiles_and_memory_limits_give_the_same(tmp_path, tokens):
    tokens = np.tile(tokens, (6, 1, 1)).astype(np.float32) * np.linspace(1, 2, 42, dtype=np.float32)[:, None, None]
    options = {"center": ("channel", "position"), "normalize": "position"}
    expected = simplugins.compute_rsm(prepared(tokens, ("channel", "position"), "position").astype(np.float32))
    np.save(tmp_path / "tokens.npy", tokens)
    with h5py.File(tmp_path / "tokens.h5", "w") as file:
        file.create_dataset("tokens", data=tokens, chunks=(4, 6, 5))
    for path, limits in itertools.product(("tokens.npy", "tokens.h5"), ({}, {"tile_size": 8}, {"memory": "16GB"})):
        rsm = simplugins.compute_rsm(tmp_path / path, **options, **limits)
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert rsm.metadata["dtype"] == "float32"


def test_a_store_belongs_to_one_preparation(tmp_path, tokens):
    centred = tokens - tokens.mean((0, 1))  # so that centring changes no value that a store could tell apart
    stored = simplugins.compute_rsm(centred, store=tmp_path / "run.zarr", center="channel", tile_size=3)
    assert stored.metadata["center"] == "channel"
    assert simplugins.load_rsm(tmp_path / "run.zarr").metadata["center"] == "channel"
    again = simplugins.compute_rsm(centred, store=tmp_path / "run.zarr", center="channel")
    np.testing.assert_allclose(again, simplugins.compute_rsm(centred), rtol=1e-9, atol=1e-12)
    for options in ({}, {"center": ("channel", "position")}, {"center": "channel", "normalize": "position"}):
        with pytest.raises(ValueError, match="another run"):
            simplugins.compute_rsm(centred, store=tmp_path / "run.zarr", **options)


def test_saved_rsms_keep_their_preparation(tmp_path, tokens):
    rsm = simplugins.compute_rsm(tokens, center=("channel", "position"), normalize="position")
    rsm.save(tmp_path / "rsm.npz")
    loaded = simplugins.load_rsm(tmp_path / "rsm.npz")
    assert (loaded.metadata["center"], loaded.metadata["normalize"]) == (["channel", "position"], "position")
    assert all(name in rsm.summary()["center"] for name in ("channel", "position"))


def test_search_ranks_prepared_activations(tokens):
    other = np.random.default_rng(1).normal(size=(12, 4, 5))
    options = {"center": "channel", "normalize": "position"}
    found = simplugins.search(tokens, other=other, k=3, **options)
    rsm = simplugins.compute_rsm(tokens, other=other, **options).values
    np.testing.assert_array_equal(found.indices, np.argsort(-rsm, axis=1)[:, :3])
    np.testing.assert_allclose(found.similarities, -np.sort(-rsm, axis=1)[:, :3])
    assert {"center": "channel", "normalize": "position"}.items() <= found.metadata.items()
    for normalize in ("matched", "mass"):
        with pytest.raises(ValueError, match=normalize):
            simplugins.search(tokens, normalize=normalize)


def test_match_prepares_both_responses(tokens):
    x, y = tokens[0], tokens[1, :4]
    expected = simplugins.match(*(prepared(side[None], "position", "position")[0] for side in (x, y)))
    pair = simplugins.match(x, y, center="position", normalize="position")
    assert pair.columns.tolist() == expected.columns.tolist()
    assert pair.value == pytest.approx(expected.value)
    np.testing.assert_allclose(pair.affinity, expected.affinity, atol=1e-12)
    for options in (
        {"center": "channel"},
        {"center": ("channel", "position")},
        {"normalize": "matched"},
        {"normalize": "mass"},
    ):
        with pytest.raises(ValueError, match=r"channel|matched|mass"):
            simplugins.match(x, y, **options)


def test_costs_of_prepared_rsms_are_estimated(tokens):
    options = {"center": ("channel", "position"), "normalize": "position", "seconds": 0.05}
    for cost in (simplugins.estimate(10, 6, 5, **options), simplugins.estimate_for(tokens, **options)):
        assert cost.seconds > 0
        assert {"center": ["channel", "position"], "normalize": "position"}.items() <= cost.metadata.items()
    with pytest.raises(ValueError, match="center"):
        simplugins.estimate(10, 6, 5, center="channels")
