# SPDX-License-Identifier: Apache-2.0
"""Sets of unequal size: norms of matched positions, and sets of mass 1."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

import simplugins

SIZES = (3, 5, 5, 8, 2, 7, 1)


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return [rng.normal(0.3, 1, size=(size, 4)) for size in SIZES]


def matched_cosine(x, y):
    """The cosine of the best matching by brute force, with the norms of the matched positions."""
    if len(x) > len(y):
        x, y = y, x
    best = max(itertools.permutations(range(len(y)), len(x)), key=lambda columns: (x * y[list(columns)]).sum())
    matched = y[list(best)]
    return (x * matched).sum() / np.linalg.norm(x) / np.linalg.norm(matched)


def transported(x, y):
    """The largest mean inner product over all plans between uniform distributions, by linear programming."""
    rows, columns = len(x), len(y)
    marginals = np.concatenate([np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))])
    masses = np.concatenate([np.full(rows, 1 / rows), np.full(columns, 1 / columns)])
    return -linprog(-(x @ y.T).ravel(), A_eq=marginals, b_eq=masses, method="highs").fun


def mean_squares(sets):
    return np.array([np.square(vectors).sum(1).mean() for vectors in sets])


def all_pairs(function, xs, ys):
    return np.array([[function(x, y) for y in ys] for x in xs])


def test_matched_cosines_equal_brute_force(sets):
    small = [vectors[:6] for vectors in sets]
    expected = all_pairs(matched_cosine, small, small)
    rsm = simplugins.compute_rsm(small, normalize="matched")
    np.testing.assert_allclose(rsm, expected, rtol=1e-12)
    assert rsm.metadata["normalize"] == "matched"
    np.testing.assert_allclose(rsm.values.diagonal(), 1, rtol=1e-15)
    between = simplugins.compute_rsm(small[:3], other=small[3:], normalize="matched")
    np.testing.assert_allclose(between, expected[:3, 3:], rtol=1e-12)


@pytest.mark.parametrize("measure", ["semantic-cosine", "spatio-semantic-cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matched_cosines_of_equal_sizes_are_exactly_the_plain_ones(measure, dtype):
    tokens = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(dtype)
    tokens[2] *= dtype(1e-20)  # scaled in blocks
    tokens[4] = 0
    for options in ({}, {"other": 2 * tokens[::-1]}, {"tile_size": 2}):
        plain = simplugins.compute_rsm(tokens, measure, engine="cpu", **options)
        matched = simplugins.compute_rsm(tokens, measure, normalize="matched", **options)
        np.testing.assert_array_equal(matched.values, plain.values)


@pytest.mark.parametrize("matching", ["auction", "batch-optimal", "greedy", "topk-greedy"])
def test_matched_cosines_follow_the_matching(sets, matching):
    options = {"batch-optimal": {"window": 3}, "topk-greedy": {"k": 2}}.get(matching)
    rsm = simplugins.compute_rsm(
        sets, normalize="matched", matching=matching, matching_options=options, certify=matching != "greedy"
    )
    for i, j in itertools.combinations(range(len(sets)), 2):
        pair = simplugins.match(sets[i], sets[j], matching, matching_options=options)
        rows = np.flatnonzero(pair.columns >= 0)
        norms = np.linalg.norm(sets[i][rows]) * np.linalg.norm(sets[j][pair.columns[rows]])
        assert rsm.values[i, j] == pytest.approx(pair.value / norms)
        assert rsm.values[j, i] == rsm.values[i, j]


def test_unmatched_positions_do_not_count(sets):
    """Vectors that no position would be matched to, however long, leave the cosine as it is."""
    x, y = np.abs(sets[0]), np.abs(sets[1])
    extended = np.concatenate([y, -100 * np.abs(sets[2])])
    before, after = (simplugins.compute_rsm([x], other=[z], normalize="matched")[0, 0] for z in (y, extended))
    assert after == pytest.approx(before)
    assert simplugins.compute_rsm([x], other=[extended])[0, 0] < 0.1 * before


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_sets_of_mass_1_equal_linear_programming(sets, kernel):
    values, norms = all_pairs(transported, sets, sets), mean_squares(sets)
    kernels = {
        "linear": values,
        "cosine": oracle.cosine(values, norms, norms),
        "rbf": oracle.rbf(values, norms, norms, 2.0),
    }
    rsm = simplugins.compute_rsm(sets, f"semantic-{kernel}", normalize="mass", sigma=2.0)
    np.testing.assert_allclose(rsm, kernels[kernel], rtol=1e-9)
    np.testing.assert_allclose(rsm.squared_norms, norms)
    assert rsm.metadata["normalize"] == "mass"
    between = simplugins.compute_rsm(sets[:2], f"semantic-{kernel}", other=sets[2:], normalize="mass", sigma=2.0)
    np.testing.assert_allclose(between, kernels[kernel][:2, 2:], rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5))
@settings(max_examples=40, deadline=None)
def test_cosines_of_mass_1_are_bounded_and_ignore_repetition(seed, sizes):
    rng = np.random.default_rng(seed)
    sets = [rng.normal(rng.normal(), 1, size=(size, 3)) for size in sizes]
    rsm = simplugins.compute_rsm(sets, normalize="mass").values
    assert (np.abs(rsm) <= 1).all()
    repeated = [np.repeat(vectors, rng.integers(1, 4), axis=0) for vectors in sets]
    np.testing.assert_allclose(simplugins.compute_rsm(repeated, normalize="mass"), rsm, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("measure", ["semantic-cosine", "semantic-rbf", "spatio-semantic-cosine"])
def test_cosines_of_mass_1_of_equal_sizes_equal_the_plain_ones(measure):
    tokens = np.random.default_rng(0).normal(size=(6, 7, 5))
    plain = simplugins.compute_rsm(tokens, measure)
    np.testing.assert_allclose(simplugins.compute_rsm(tokens, measure, normalize="mass"), plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalize", ["matched", "mass"])
def test_certificates_prove_optimal_values(sets, normalize):
    rsm = simplugins.compute_rsm(sets, normalize=normalize, certify=True)
    np.testing.assert_allclose(rsm.gap, 0, atol=1e-12)
    np.testing.assert_allclose(rsm, simplugins.compute_rsm(sets, normalize=normalize), rtol=1e-12)


@pytest.mark.parametrize("normalize", ["matched", "mass", ("position", "matched"), ["mass", "position"]])
def test_tiles_masks_files_and_stores_give_the_same(tmp_path, normalize):
    rng = np.random.default_rng(0)
    maps, mask = rng.normal(0.5, 1, size=(12, 3, 3, 4)).astype(np.float32), rng.random((12, 3, 4)) < 0.7
    sets = [response[:, positions].T for response, positions in zip(maps, mask, strict=True)]
    options = {"normalize": normalize, "center": "channel"}
    expected = simplugins.compute_rsm(sets, **options)
    np.save(tmp_path / "maps.npy", maps)
    for limits in ({}, {"tile_size": 5}, {"memory": "16GB"}, {"store": tmp_path / "run.zarr", "tile_size": 4}):
        rsm = simplugins.compute_rsm(tmp_path / "maps.npy", mask=mask, **options, **limits)
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert (rsm.kernel, rsm.matching) == ("cosine", "optimal")
        np.testing.assert_allclose(rsm.rdm(), expected.rdm(), atol=2e-3)
    assert set(np.atleast_1d(rsm.metadata["normalize"])) == set(np.atleast_1d(normalize))
    loaded = simplugins.load_rsm(tmp_path / "run.zarr")
    np.testing.assert_allclose(loaded, rsm)
    with pytest.raises(ValueError, match="another run"):
        simplugins.compute_rsm(maps, mask=mask, center="channel", store=tmp_path / "run.zarr")
    if "matched" in normalize:
        with pytest.raises(ValueError, match="semantic-linear"):
            simplugins.load_rsm(tmp_path / "run.zarr", measure="semantic-linear")


def pooled(x, y):
    return np.ones((len(x), len(y)))


@pytest.mark.parametrize(
    ("measure", "options", "named"),
    [
        ("semantic-linear", {"normalize": "matched"}, "matched.*semantic-linear.*semantic-cosine"),
        ("spatio-semantic-rbf", {"normalize": "matched"}, "matched.*spatio-semantic-rbf"),
        (pooled, {"normalize": "matched"}, "matched.*pooled"),
        (pooled, {"normalize": "mass"}, "mass.*pooled"),
        ("semantic-cosine", {"normalize": "mass", "matching": "greedy"}, "mass.*greedy"),
        ("semantic-cosine", {"normalize": "mass", "matching": "identity"}, "size|positions"),
        ("semantic-cosine", {"normalize": "matched", "precision": "float16x3"}, "float16x3"),
    ],
)
def test_options_that_do_not_apply_raise(sets, measure, options, named):
    with pytest.raises(ValueError, match=named):
        simplugins.compute_rsm(sets, measure, **options)


@pytest.mark.parametrize("normalize", ["matched", "mass"])
def test_a_gpu_cannot_be_required(sets, normalize, monkeypatch):
    monkeypatch.setattr("simplugins._common.gpu.why_unusable", lambda: None)  # as on a machine with a GPU
    with pytest.raises(ValueError, match="engine='cpu'"):
        simplugins.compute_rsm(sets, normalize=normalize, engine="cuda")
    assert simplugins.compute_rsm(sets, normalize=normalize).metadata["engine"] == "cpu"


def test_networks_are_compared_by_normalised_sets(sets):
    other = [vectors @ np.ones((4, 6)) for vectors in sets]
    for normalize in ("matched", "mass"):
        rsms = [simplugins.compute_rsm(side, normalize=normalize) for side in (sets, other)]
        expected = simplugins.compare(*rsms, "rsa-cosine")
        assert simplugins.similarity(method="rsa-cosine", normalize=normalize)(sets, other) == pytest.approx(expected)
        table = simplugins.compare_layers({"a": sets}, {"b": other}, "rsa-cosine", normalize=normalize)
        assert table.values.item() == pytest.approx(expected)
        assert simplugins.estimate_for(sets, normalize=normalize, seconds=0.05).metadata["normalize"] == normalize


def test_degenerate_sets_have_cosine_0():
    sets = [np.zeros((2, 3)), np.ones((3, 3)), np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0], [-1, 0, 0]])]
    for normalize in ("matched", "mass"):
        rsm = simplugins.compute_rsm(sets, normalize=normalize).values
        assert (rsm[0] == 0).all()
        assert rsm[1, 1] == pytest.approx(1)


def assigned(x, y):
    affinity = x @ y.T
    rows, columns = linear_sum_assignment(affinity, maximize=True)
    return affinity[rows, columns].sum() / np.linalg.norm(x[rows]) / np.linalg.norm(y[columns])


def test_matched_cosines_of_larger_sets_equal_scipy():
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(size, 16)).astype(np.float32) for size in (40, 70, 55)]
    expected = all_pairs(assigned, *[[vectors.astype(float) for vectors in sets]] * 2)
    np.testing.assert_allclose(simplugins.compute_rsm(sets, normalize="matched"), expected, rtol=1e-5)
