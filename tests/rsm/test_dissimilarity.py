# SPDX-License-Identifier: Apache-2.0
"""Dissimilarities are told from similarities wherever a matrix comes in, and no kernel is mistaken for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rsatoolbox
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

import simplugins
from simplugins import RSM
from simplugins.comparisons import pairwise
from simplugins.comparisons.cka import cka
from simplugins.evaluation import output_correlation, retrieval
from simplugins.rsm.dissimilarity import check_similarities

X = np.random.default_rng(0).normal(size=(12, 8))
SIMILARITIES = X @ X.T
EUCLIDEAN = cdist(X, X)


def torch_distances():
    """Float32 distances by matrix products, whose diagonal is not quite 0, of inputs with a large common mean."""
    x = torch.from_numpy(X[:10].repeat(3, axis=0)).float() + 20
    return torch.cdist(x, x).numpy()


DISSIMILARITIES = {
    "euclidean": EUCLIDEAN,
    "squared euclidean": EUCLIDEAN**2,
    "cityblock": cdist(X, X, "cityblock"),
    "correlation": cdist(X, X, "correlation"),
    "cosine": 1 - np.corrcoef(X),
    "with equal inputs": cdist(X[:6].repeat(2, axis=0), X[:6].repeat(2, axis=0)),
    "float32": torch_distances(),
    "tiny": 1e-200 * EUCLIDEAN,
    "cross-validated": EUCLIDEAN**2 - 12 * (1 - np.eye(12)),
    "complement of another maximum": SIMILARITIES.max() - np.corrcoef(X),
    "negated kernel": -SIMILARITIES,
    "negated cosines": -np.corrcoef(X),
    "centred squared distances": -2 * RSM.from_distances(EUCLIDEAN).values,
    "two inputs": np.array([[0.0, 1.5], [1.5, 0.0]]),
    "zeros on the diagonal": np.corrcoef(X) - np.eye(12),
}

LEGAL = {
    "linear": SIMILARITIES,
    "linear with dead inputs": SIMILARITIES * np.outer(np.arange(12) > 3, np.arange(12) > 3),
    "large mean": (X + 1e4) @ (X + 1e4).T,
    "cosine": np.corrcoef(X),
    "rbf": np.exp(-(EUCLIDEAN**2)),
    "narrow rbf": np.exp(-1e6 * EUCLIDEAN**2),
    "centred": RSM.from_distances(EUCLIDEAN).values,
    "negated distances": -EUCLIDEAN,
    "negated squared distances": -(EUCLIDEAN**2),
    "log similarities": -1 - EUCLIDEAN,
    "complements of distances": 1 - EUCLIDEAN,
    "identity": np.eye(6),
    "zeros": np.zeros((5, 5)),
    "constant": np.full((5, 5), -0.3),
    "one input": np.array([[0.0]]),
    "diagonal that is not the maximum of its row": np.outer(np.arange(1, 8), np.arange(1, 8)),
}


@pytest.mark.parametrize("name", DISSIMILARITIES)
def test_dissimilarities_are_recognised(name):
    with pytest.raises(ValueError, match=r"matrix.*dissimilarities.*RSM\.from_distances.*squared=True"):
        check_similarities("matrix", DISSIMILARITIES[name])


@pytest.mark.parametrize("name", LEGAL)
def test_similarities_pass(name):
    check_similarities("matrix", LEGAL[name])


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), inputs=st.integers(2, 9), features=st.integers(1, 12), kind=st.integers(0, 3))
def test_no_kernel_is_mistaken_for_dissimilarities(seed, inputs, features, kind):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(scale=3), rng.exponential(size=(inputs, 1)), size=(inputs, features))
    x = np.maximum(x, 0) if kind == 1 else x - x.mean(0) if kind == 2 else x
    kernel = np.exp(-cdist(x, x) / rng.exponential()) if kind == 3 else x @ x.T
    check_similarities("kernel", kernel)
    if kernel.any() and np.ptp(distances := cdist(x, x)) > 1e-6:
        with pytest.raises(ValueError, match="dissimilarities"):
            check_similarities("distances", distances)


DOORS = {
    "compare, first": lambda d: simplugins.compare(d, SIMILARITIES),
    "compare, second": lambda d: simplugins.compare(SIMILARITIES, d, "rsa-spearman"),
    "compare, a function": lambda d: simplugins.compare(SIMILARITIES, d, lambda a, b: (a * b).sum()),
    "pairwise": lambda d: pairwise("cka-debiased", [SIMILARITIES, d]),
    "a method": lambda d: cka(d, SIMILARITIES),
    "permutation_test": lambda d: simplugins.permutation_test(d, SIMILARITIES),
    "bootstrap_interval": lambda d: simplugins.bootstrap_interval(SIMILARITIES, d),
    "rank_models": lambda d: simplugins.rank_models(SIMILARITIES, {"d": d}),
    "noise_ceiling": lambda d: simplugins.noise_ceiling([SIMILARITIES, d]),
    "minibatch_cka": lambda d: simplugins.minibatch_cka([(SIMILARITIES, d)]),
    "from_similarities": RSM.from_similarities,
    "retrieval": lambda d: retrieval(d, [*"abcdefabcdef"]),
    "output_correlation": lambda d: output_correlation(d, np.full((12, 4), 0.25)),
    "numpy": lambda d: simplugins.from_tool("numpy", d),
    "pandas": lambda d: simplugins.from_tool("pandas", pd.DataFrame(d)),
    "xarray": lambda d: simplugins.from_tool("xarray", xr.DataArray(d, dims=("i", "j"))),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["euclidean", "correlation", "cross-validated", "negated kernel"])
def test_no_door_takes_dissimilarities_for_similarities(door, name):
    with pytest.raises(ValueError, match=r"dissimilarities.*RSM\.from_distances.*dissimilarity="):
        DOORS[door](DISSIMILARITIES[name])


@pytest.mark.parametrize("convert", [torch.from_numpy, np.ndarray.tolist, lambda d: d.astype(np.float32)])
def test_dissimilarities_are_recognised_in_any_form(convert):
    with pytest.raises(ValueError, match="rsm_b holds dissimilarities"):
        simplugins.compare(SIMILARITIES, convert(EUCLIDEAN))


def test_distances_passed_as_such_compare_as_their_similarities():
    rsm = RSM.from_distances(EUCLIDEAN)
    assert simplugins.compare(rsm, SIMILARITIES) == pytest.approx(1)
    assert simplugins.compare(RSM.from_distances(EUCLIDEAN**2, squared=True), SIMILARITIES) == pytest.approx(1)


def test_condensed_distances_are_those_of_the_matrix():
    for squared, metric in ((False, "euclidean"), (True, "sqeuclidean")):
        rsm = RSM.from_distances(pdist(X, metric), squared=squared)
        np.testing.assert_allclose(rsm.values, RSM.from_distances(EUCLIDEAN).values, atol=1e-12)
    np.testing.assert_array_equal(RSM.from_distances(torch.tensor([2.0])).values, [[1, -1], [-1, 1]])
    for call in (RSM.from_similarities, lambda d: simplugins.compare(d, SIMILARITIES)):
        with pytest.raises(ValueError, match=r"\(66,\).*condensed.* 12 inputs.*RSM\.from_distances"):
            call(pdist(X))


@pytest.mark.parametrize("values", [SIMILARITIES, np.corrcoef(X), np.exp(-EUCLIDEAN)])
@pytest.mark.parametrize("squared", [False, True])
def test_similarities_are_not_read_as_distances(values, squared):
    with pytest.raises(ValueError, match=r"diagonal.*RSM\.from_similarities"):
        RSM.from_distances(values, squared=squared)


@pytest.mark.parametrize(
    "matrix",
    [
        SIMILARITIES,
        EUCLIDEAN,
        torch.from_numpy(EUCLIDEAN),
        EUCLIDEAN.tolist(),
        tuple(torch.from_numpy(EUCLIDEAN)),
        pd.DataFrame(EUCLIDEAN),
        pd.DataFrame(EUCLIDEAN, index=list("abcdefghijkl")),
    ],
)
def test_matrices_of_pairs_are_not_read_as_activations(matrix, tmp_path):
    calls = [
        lambda: simplugins.compare_layers({"layer": matrix}),
        lambda: simplugins.compare_layers({"layer": X}, {"layer": matrix}),
        lambda: simplugins.similarity()(X, matrix),
        lambda: simplugins.estimate_cka(X, matrix, batch_size=5),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"symmetric 12 x 12 matrix.*RSM\.from_distances.*layout='nd'"):
            call()
    assert simplugins.compare_layers({"layer": matrix}, layout="nd").values == pytest.approx(1)


@pytest.mark.parametrize("activations", [X[:8], X[:8].tolist(), pd.DataFrame(X[:8], index=list("abcdefgh"))])
def test_square_activations_that_are_no_matrix_of_pairs_are_activations(activations):
    assert simplugins.compare_layers({"layer": activations}).values == pytest.approx(1)
    assert simplugins.estimate_cka(activations, activations, batch_size=5, batches=1).value == pytest.approx(1)


@pytest.mark.parametrize("result", [RSM.from_similarities(SIMILARITIES), simplugins.compare_layers({"layer": X})])
def test_results_are_not_read_as_activations(result):
    calls = [simplugins.compute_rsm, simplugins.search, lambda x: simplugins.estimate_cka(x, x, batch_size=5)]
    for call in calls:
        with pytest.raises(TypeError, match=r"expected activations, got .*np\.asarray"):
            call(result)


def test_objects_of_rsatoolbox_are_read_by_their_adapter():
    objects = {"from_tool": rsatoolbox.rdm.RDMs(EUCLIDEAN[None]), "measurements": rsatoolbox.data.Dataset(X)}
    for hint, value in objects.items():
        for call in (
            simplugins.compute_rsm,
            lambda x: simplugins.compare(x, SIMILARITIES),
            retrieval,
            RSM.from_distances,
        ):
            with pytest.raises(TypeError, match=f"of rsatoolbox.*{hint}"):
                call(value)


def test_one_hot_responses_are_activations():
    assert simplugins.compare_layers({"one-hot": np.eye(5)}, method="cka").values == pytest.approx(1)
