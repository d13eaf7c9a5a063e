# SPDX-License-Identifier: Apache-2.0
"""RSMs of inputs with a large common mean: as precise as in float64, by every way of computing them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import simplugins
from simplugins import compare, compute_rsm, compute_rsms

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(12, 16, 5, 5))
KERNELS = ["linear", "cosine", "rbf"]
KINDS = {
    "all channels": np.ones((16, 1, 1)),
    "one channel": (np.arange(16) == 3)[:, None, None],
    "two channels": ((np.arange(16) == 3) - 1.0 * (np.arange(16) == 9))[:, None, None],
}


def off_diagonal(rsm):
    return rsm.values[~np.eye(len(rsm), dtype=bool)]


@pytest.mark.parametrize("offset", [0, 1, 3, 7, 10, 100, 1e3, 1e4])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("measure", ["semantic", "spatio-semantic"])
def test_float32_is_as_good_as_float64(measure, kind, offset):
    x = (MAPS + offset * KINDS[kind]).astype(np.float32)
    measures = [f"{measure}-{kernel}" for kernel in KERNELS]
    results, exact = compute_rsms(x, measures), compute_rsms(x.astype(float), measures)
    assert np.abs(off_diagonal(results[measures[2]]) - off_diagonal(exact[measures[2]])).max() < 5e-6
    for name in measures:
        centred, expected = results[name].centred(), exact[name].centred()
        assert np.abs(centred - expected).max() < 1e-5 * np.abs(expected).max()
        assert compare(results[name], exact[name], "cka") == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_rbf_equals_that_of_the_inputs_without_their_mean(offset):
    x = (MAPS + offset).astype(np.float32)
    centred = x.astype(float) - offset  # exact
    result, expected = compute_rsm(x, "semantic-rbf"), compute_rsm(centred, "semantic-rbf")
    np.testing.assert_allclose(result.values, expected.values, atol=1e-5)
    np.testing.assert_allclose(result.rdm(), expected.rdm(), atol=1e-5)
    assert result.sigma == pytest.approx(expected.sigma, rel=1e-6)
    linear = compute_rsm(x, "semantic-linear"), compute_rsm(centred, "semantic-linear")
    np.testing.assert_allclose(linear[0].rdm(), linear[1].rdm(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:half of the pairs .* tolerance of the auction")
@pytest.mark.parametrize("matching", ["optimal", "auction", "batch-optimal", "greedy", "topk-greedy"])
@pytest.mark.parametrize("certify", [False, True])
def test_every_matching_is_that_of_float64(matching, certify):
    x = (MAPS + 3000).astype(np.float32)
    result, expected = (
        compute_rsm(array, "semantic-rbf", matching=matching, certify=certify) for array in (x, x.astype(float))
    )
    np.testing.assert_array_equal(result.values, expected.values)
    if certify:
        np.testing.assert_array_equal(result.gap, expected.gap)


@pytest.mark.parametrize("means", [(3000, 3000), (3000, -3000), (3000, 0), (0, 3000)])
@pytest.mark.parametrize("sizes", [(25, 25), (25, 9)])
def test_other_inputs_may_have_another_mean_and_size(means, sizes):
    x, y = ((RNG.normal(size=(5, size, 8)) + mean).astype(np.float32) for mean, size in zip(means, sizes, strict=True))
    for kernel in KERNELS:
        result, expected = (
            compute_rsm(a, f"semantic-{kernel}", other=b) for a, b in ((x, y), (x.astype(float), y.astype(float)))
        )
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-12, atol=1e-12)
        assert result.metadata["dtype_reason"] == "large common mean"


def test_vectors_have_one_value_under_semantic_and_spatio_semantic_measures():
    for offset in (0, 1, 2, 4, 30, 5000):
        x = (RNG.normal(size=(20, 300)) + offset).astype(np.float32)
        rsms = compute_rsms(x, [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in KERNELS])
        for kernel in ("cosine", "rbf"):
            np.testing.assert_allclose(rsms[f"semantic-{kernel}"], rsms[f"spatio-semantic-{kernel}"], atol=1e-6)


def test_metadata_states_the_type_and_why():
    rsm = compute_rsm((MAPS + 3000).astype(np.float32))
    assert (rsm.metadata["dtype"], rsm.metadata["precision"]) == ("float64", "float64")
    assert rsm.metadata["dtype_reason"] == "large common mean"
    assert "dtype_reason" in rsm.summary()
    for array in (MAPS.astype(np.float32), MAPS + 3000):
        assert "dtype_reason" not in compute_rsm(array).metadata
    with pytest.raises(ValueError, match=r"precision='float32'.*share a large mean"):
        compute_rsm((MAPS + 3000).astype(np.float32), engine="cpu", precision="float32")


def test_memory_limits_tiles_and_stores_give_the_same_values(tmp_path):
    pytest.importorskip("zarr")
    x = (MAPS + 3000).astype(np.float32)
    expected = compute_rsm(x, "semantic-rbf")
    stored = compute_rsm(x, "semantic-rbf", store=tmp_path / "run.zarr", tile_size=5)
    for rsm in (
        stored,
        compute_rsm(x, "semantic-rbf", store=tmp_path / "run.zarr", tile_size=5),  # continues the same run
        simplugins.load_rsm(tmp_path / "run.zarr"),
        compute_rsm(x, "semantic-rbf", memory="16GB", tile_size=4),
        compute_rsm(x, "semantic-rbf", threads=1),
    ):
        np.testing.assert_allclose(rsm.values, expected.values, atol=1e-9)
        assert rsm.metadata["dtype_reason"] == "large common mean"
    np.testing.assert_array_equal(stored.rdm(), simplugins.load_rsm(tmp_path / "run.zarr").rdm())


def test_search_and_match_and_estimates_use_float64():
    x = (MAPS + 3000).astype(np.float32)
    neighbours, exact = (simplugins.search(a, measure="semantic-rbf", sigma=20.0, k=4) for a in (x, x.astype(float)))
    np.testing.assert_array_equal(neighbours.indices, exact.indices)
    np.testing.assert_array_equal(neighbours.similarities, exact.similarities)
    assert neighbours.metadata["dtype_reason"] == "large common mean"
    matching, expected = simplugins.match(x[0], x[1]), simplugins.match(x[0].astype(float), x[1].astype(float))
    np.testing.assert_array_equal(matching.columns, expected.columns)
    assert matching.value == expected.value
    options = {"batch_size": 4, "batches": 3, "measure": "semantic-linear"}
    estimate, truth = (simplugins.estimate_cka(a, a[:, ::-1], **options) for a in (x, x.astype(float)))
    assert estimate.value == pytest.approx(truth.value, abs=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_similarities_of_tensors_are_as_good_as_in_float64(kernel, dtype):
    x = torch.tensor(MAPS + 100).to(dtype).requires_grad_()
    y = x.detach().double().requires_grad_()
    for measure in (f"semantic-{kernel}", f"spatio-semantic-{kernel}"):
        result, expected = simplugins.semantic_rsm(x, measure), simplugins.semantic_rsm(y, measure)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, expected.float(), rtol=0, atol=0)
        pairs = simplugins.semantic_similarity(x[:6], x[6:], measure)
        torch.testing.assert_close(pairs, simplugins.semantic_similarity(y[:6], y[6:], measure).float())
        gradients = (torch.autograd.grad(rsm.sum(), each)[0] for rsm, each in ((result, x), (expected, y)))
        torch.testing.assert_close(*(gradient.to(dtype) for gradient in gradients))


@pytest.mark.parametrize("difference", [1e-3, 1e-4])
def test_a_warning_says_that_distances_are_lost_in_rounding(difference):
    rng = np.random.default_rng(0)
    concepts = rng.normal(size=(30, 8))
    x = np.stack([rng.permutation(concepts) for _ in range(6)]) + difference * rng.normal(size=(6, 30, 8))
    with pytest.warns(RuntimeWarning, match="may be rounding"):
        compute_rsm(x.astype(np.float32), "semantic-rbf")
    compute_rsm(x.astype(np.float32), "semantic-rbf", dtype="float64")  # without a warning
    compute_rsm(np.stack([rng.permutation(concepts) for _ in range(6)]).astype(np.float32), "semantic-rbf")


GROUPS = (3000 * np.random.default_rng(1).normal(size=(3, 16, 1, 1)))[np.arange(12) // 4]


def test_a_bandwidth_within_rounding_warns(tmp_path):
    measure = "semantic-rbf"
    x = (MAPS + GROUPS).astype(np.float32)  # three groups of inputs, each with a mean of its own
    with pytest.warns(RuntimeWarning, match=r"sigma=20 .* 36 RBF similarities"):
        compute_rsm(x, measure, sigma=20)
    with pytest.warns(RuntimeWarning, match="sigma=20"):
        assert compute_rsm(x, measure, sigma=20, store=tmp_path / "store").values.shape == (12, 12)
    exact = compute_rsm(x, measure, sigma=20, dtype="float64")
    expected = compute_rsm(x.astype(float) - GROUPS.astype(np.float32), measure, sigma=20)
    within = GROUPS[:, 0, 0] == GROUPS[:, 0, 0].T
    np.testing.assert_allclose(exact.values[within], expected.values[within], atol=1e-3)


def test_a_bandwidth_within_rounding_warns_in_searches():
    with pytest.warns(RuntimeWarning, match=r"sigma=20 .* 24 RBF similarities"):
        simplugins.search((MAPS + GROUPS).astype(np.float32), k=2, measure="semantic-rbf", sigma=20)


def test_single_vectors_warn_of_a_bandwidth_within_rounding():
    x, y = (RNG.normal(size=(2, 1, 16)) + 5000).astype(np.float32)
    with pytest.warns(RuntimeWarning, match="sigma=5"):
        compute_rsm(x, "semantic-rbf", other=y, sigma=5)


@pytest.mark.parametrize(
    ("x", "sigma"),
    [
        (MAPS, 1e-3),  # all similarities are 0
        (MAPS, 20),
        (np.concatenate([MAPS, MAPS, MAPS[:, :, ::-1]]), 1e-2),  # equal inputs have similarity 1
        (MAPS + 3000, 20),
        (0 * MAPS, 1e-5),
    ],
)
def test_bandwidths_do_not_warn_where_rounding_does_not_matter(x, sigma):
    rsm = compute_rsm(x.astype(np.float32), "semantic-rbf", sigma=sigma)
    np.testing.assert_allclose(
        rsm, compute_rsm(x.astype(np.float32), "semantic-rbf", sigma=sigma, dtype="float64"), atol=2e-5
    )


@pytest.mark.parametrize(
    ("library", "dtype"),
    [*itertools.product([np.asarray], ["int32", "uint32", "int64", ">i4"]), (torch.tensor, "int32")],
)
def test_wide_integers_with_a_common_mean_keep_their_differences(library, dtype):
    values = np.random.default_rng(2).integers(2**24, 2**24 + 5000, size=(8, 6, 3, 3))
    expected = compute_rsm(values - 2.0**24, "semantic-rbf")
    np.testing.assert_allclose(compute_rsm(library(values.astype(dtype)), "semantic-rbf"), expected, atol=1e-6)
    sets = [library(each.reshape(6, -1).T.astype(dtype)) for each in values]
    np.testing.assert_allclose(compute_rsm(sets, "semantic-rbf"), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_ordinary_integers_are_computed_in_float32(dtype):
    values = np.random.default_rng(2).integers(0, 50, size=(8, 6, 3, 3)).astype(dtype)
    assert compute_rsm(values).metadata["dtype"] == "float32"
    np.testing.assert_allclose(compute_rsm(values), compute_rsm(values.astype(float)), atol=1e-6)


@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_bandwidths_count_pairs_whose_distance_is_within_rounding(tmp_path, noise):
    rng = np.random.default_rng(3)
    x = (np.repeat(rng.normal(size=(8, 8)), 2, axis=0) + noise * rng.normal(size=(16, 8))).astype(np.float32)
    expected = compute_rsm(x.astype(float), "semantic-rbf")
    results = compute_rsm(x, "semantic-rbf"), compute_rsm(x, "semantic-rbf", store=tmp_path / "store")
    for result in results:
        assert result.sigma == pytest.approx(expected.sigma, rel=1e-6)
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_auctions_warn_of_inputs_that_differ_less_than_their_tolerance():
    with pytest.warns(RuntimeWarning, match=r"tolerance of the auction, 0\.01"):
        compute_rsm((MAPS + 30).astype(np.float32), matching="auction")
    for array in (MAPS, MAPS + 2, np.repeat(MAPS[:6], 2, axis=0), np.repeat(MAPS[:1], 4, axis=0)):
        compute_rsm(array.astype(np.float32), matching="auction")  # warnings are errors
