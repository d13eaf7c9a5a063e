# SPDX-License-Identifier: Apache-2.0
"""Cross-validated distances, some of which are negative, against rsatoolbox."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare
from scipy.spatial.distance import squareform

import simplugins
from simplugins import RSM


def crossnobis(seed, conditions=6, signal=0.3):
    rng = np.random.default_rng(seed)
    patterns = np.tile(signal * rng.normal(size=(conditions, 10)), (3, 1))
    descriptors = {"condition": np.tile([*"abcdefgh"][:conditions], 3), "run": np.repeat([0, 1, 2], conditions)}
    data = Dataset(patterns + rng.normal(size=patterns.shape), obs_descriptors=descriptors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rsatoolbox casts labels
        return calc_rdm(data, method="crossnobis", descriptor="condition", cv_descriptor="run")


@pytest.fixture(scope="module", params=[0.3, 0.0], ids=["signal", "noise"])
def rdms(request):
    pair = [crossnobis(seed, signal=request.param) for seed in (1, 2)]
    assert all((rdm.dissimilarities < 0).any() for rdm in pair)
    return pair


def read(rdm, **options):
    return simplugins.from_tool("rsatoolbox", rdm, label="condition", **options)


def test_they_come_in_and_go_out_unchanged(rdms, tmp_path):
    for rdm in rdms:
        rsm = read(rdm)
        square = rdm.get_matrices()[0]
        centring = np.eye(6) - 1 / 6
        np.testing.assert_allclose(rsm.values, -centring @ square @ centring / 2, atol=1e-13)
        assert rsm.metadata["negative_distances"] == (rdm.dissimilarities < 0).sum()
        np.testing.assert_allclose(rsm.rdm(squared=True), square, atol=1e-13)
        np.testing.assert_allclose(rsm.to("rsatoolbox").dissimilarities, rdm.dissimilarities, atol=1e-13)
        rsm.save(tmp_path / f"{rdm.dissimilarities[0, 0]}.npz")
        again = simplugins.load_rsm(tmp_path / f"{rdm.dissimilarities[0, 0]}.npz")
        np.testing.assert_allclose(again.in_order([*"fedcba"]).rdm(squared=True), square[::-1, ::-1], atol=1e-13)
        table = simplugins.from_tool("xarray", rsm.to("xarray"))
        np.testing.assert_allclose(table.rdm(squared=True), square, atol=1e-13)


@pytest.mark.parametrize("form", [lambda rdm: rdm.get_matrices()[0], lambda rdm: rdm.dissimilarities[0]])
def test_matrices_and_condensed_vectors_are_accepted(rdms, form):
    for rdm in rdms:
        expected = read(rdm, dissimilarity="squared-distance").values
        np.testing.assert_array_equal(RSM.from_distances(form(rdm), squared=True).values, expected)
        np.testing.assert_array_equal(
            simplugins.from_tool("numpy", form(rdm), dissimilarity="squared-distance").values, expected
        )


def test_comparisons_are_those_of_rsatoolbox(rdms):
    rsms = [read(rdm) for rdm in rdms]
    assert simplugins.compare(*rsms, "cka") == pytest.approx(compare(*rdms, "cosine_cov").item(), abs=1e-9)
    complements = [read(rdm, dissimilarity="complement") for rdm in rdms]
    for theirs, ours in (("spearman", "rsa-spearman"), ("corr", "rsa-pearson"), ("tau-a", "rsa-kendall-tau-a")):
        assert simplugins.compare(*complements, ours) == pytest.approx(compare(*rdms, theirs).item(), abs=1e-9)
    assert np.isfinite(simplugins.permutation_test(*rsms, "rsa-spearman", permutations=99).p_value)


def test_roots_of_negative_distances_are_refused(rdms):
    for rdm in rdms:
        i, j = np.argwhere(np.triu(rdm.get_matrices()[0]) < 0)[0]
        with pytest.raises(ValueError, match=rf"row {i}, column {j} .*squared=True"):
            read(rdm, dissimilarity="distance")
        for call in (RSM.rdm, lambda rsm: rsm.to("rsatoolbox", dissimilarity="distance")):
            with pytest.raises(ValueError, match=rf"inputs {i} and {j} .*squared=True"):
                call(read(rdm))


def test_rounding_below_zero_is_a_distance_of_zero():
    squared = np.array([[0, -1e-9, 4], [-1e-9, 0, 4], [4, 4, 0]])
    for options in ({"squared": True}, {}):
        rsm = RSM.from_distances(squared, **options)
        assert rsm.rdm()[0, 1] == 0
        assert "negative_distances" not in rsm.metadata


def test_indefinite_similarities_have_negative_squared_distances_and_no_distances():
    rsm = RSM.from_similarities([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    np.testing.assert_array_equal(rsm.rdm(squared=True), [[0, -2, 5], [-2, 0, 5], [5, 5, 0]])
    with pytest.raises(ValueError, match="inputs 0 and 1"):
        rsm.rdm()
    assert squareform(rsm.to("rsatoolbox").get_matrices()[0]).min() == -2
