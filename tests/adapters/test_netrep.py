# SPDX-License-Identifier: Apache-2.0
import importlib
import itertools
import pickle

import numpy as np
import pytest
from checkouts import tool_on_path
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_validate

import simplugins
from simplugins import RSM


@pytest.fixture(autouse=True)
def netrep(request, monkeypatch):
    """Return a function that imports a module of netrep."""
    for _ in tool_on_path(request, monkeypatch, "netrep", ("netrep", "simplugins_adapters.subclasses.netrep_metric")):
        yield lambda module: importlib.import_module(f"netrep.{module}")


def test_the_page_prints_what_it_shows(run_page):
    run_page("netrep")


def test_angular_distance_of_kernels_is_angular_cka_even_for_indefinite_rsms(netrep, indefinite, kernel, unchanged):
    pair = indefinite[kernel]
    unchanged(*pair)
    assert np.linalg.eigvalsh(pair[0].values)[0] < -1e-4 * np.linalg.norm(pair[0].values, 2)
    x, y = simplugins.to_tool("netrep", pair)
    angle = netrep("utils").angular_distance(x, y)
    assert angle == pytest.approx(simplugins.compare(*pair, "angular-cka"), abs=1e-9)
    assert abs(angle - netrep("utils").angular_distance(*(rsm.values for rsm in pair))) > 0.01
    x[:] = 0


def test_kernels_are_centred_and_exactly_symmetric(netrep, photos):
    rsm = simplugins.compute_rsm(photos["block15"], dtype="float32")
    x = rsm.to("netrep")
    np.testing.assert_allclose(x, netrep("utils").centered_kernel(rsm.values, metric="precomputed"), atol=1e-6)
    np.testing.assert_array_equal(x, x.T)
    np.testing.assert_allclose(x.sum(0), 0, atol=1e-6)


def test_permuted_inputs_are_an_error_or_aligned(photo_rsms, permuted):
    a, b = photo_rsms.values()
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        simplugins.to_tool("netrep", (a, permuted(b)))
    aligned = simplugins.to_tool("netrep", (a, permuted(b)), align=True)
    np.testing.assert_array_equal(aligned, simplugins.to_tool("netrep", (a, b)))
    metric = simplugins.similarity().to("netrep")
    with pytest.raises(ValueError, match=r"labels.* 0 .*align=True"):
        metric.score(a, permuted(b))


def test_rsms_with_other_inputs_are_an_error(photos):
    between = simplugins.compute_rsm(photos["block15"][:4], other=photos["block15"][4:8])
    with pytest.raises(ValueError, match=r"netrep.* 4 .* 4 "):
        between.to("netrep")


@pytest.mark.parametrize("method", ["cka", "cka-debiased", "rsa-pearson", "rsa-spearman", "rsa-kendall-tau-b"])
@pytest.mark.parametrize("distance", ["angle", "complement"])
def test_similarities_become_angles_or_complements(indefinite, kernel, method, distance):
    pair = indefinite[kernel]
    similarity = simplugins.compare(*pair, method)
    expected = {"angle": np.arccos(similarity), "complement": 1 - similarity}[distance]
    metric = simplugins.similarity(f"semantic-{kernel}", method).to("netrep", distance=distance)
    result = metric.fit(*pair).score(*pair)
    assert type(result) is float
    assert result == metric.fit_score(*pair) == pytest.approx(expected, abs=1e-12)
    assert metric.score(pair[0], pair[0]) == 0


@pytest.mark.parametrize("method", ["angular-cka", "norm-difference"])
@pytest.mark.parametrize("distance", ["angle", "complement"])
def test_distances_are_not_changed(photo_rsms, method, distance):
    metric = simplugins.similarity("semantic-cosine", method).to("netrep", distance=distance)
    assert metric.score(*photo_rsms.values()) == simplugins.compare(*photo_rsms.values(), method)


def test_unknown_distances_and_directions_are_an_error():
    with pytest.raises(ValueError, match=r"distance.*angle, complement.*'cosine'"):
        simplugins.similarity().to("netrep", distance="cosine")
    with pytest.raises(ValueError, match=r"'constant'.*larger_is_more_similar"):
        simplugins.to_tool("netrep", constant)


def constant(one, other):
    return 1.5


def test_plain_callables_compare_activations_but_not_rsms(photos, photo_rsms, monkeypatch):
    monkeypatch.setattr(constant, "larger_is_more_similar", True, raising=False)
    maps = photos["block10"], photos["block15"]
    assert simplugins.to_tool("netrep", constant, distance="complement").score(*maps) == -0.5
    with pytest.raises(ValueError, match=r"constant is 1\.5.*complement"):
        simplugins.to_tool("netrep", constant).score(*maps)
    with pytest.raises(TypeError, match=r"netrep.*'constant'.*function"):
        simplugins.to_tool("netrep", constant).score(*photo_rsms.values())


def test_maps_of_different_sizes_in_any_layout(photos):
    similarity = simplugins.similarity("semantic-linear", "angular-cka")
    maps = [photos[layer] for layer in ("block10", "block15")]
    expected = similarity(*maps)
    assert similarity.to("netrep").score(*maps) == pytest.approx(expected, abs=1e-12)
    last = [x.transpose(0, 2, 3, 1) for x in maps]
    assert similarity.to("netrep", layout="nhwc").score(*last) == pytest.approx(expected, abs=1e-9)
    one, two = (x.copy() for x in maps)
    similarity.to("netrep").fit_score(one, two)
    np.testing.assert_array_equal(one, maps[0])


def test_the_tool_makes_tables_of_distances(netrep, photos):
    metric = simplugins.similarity("semantic-rbf", "cka", sigma=500.0).to("netrep")
    maps = [photos["block10"][:, :, ::2, ::2], photos["block15"], photos["block15"][:, :50]]
    rsms = [simplugins.compute_rsm(x, "semantic-rbf", sigma=500.0) for x in maps]
    expected = np.arccos(simplugins.compare_layers(dict(enumerate(rsms)), method="cka").values)
    train, test = netrep("multiset").pairwise_distances(
        metric, [x[:12] for x in maps], [x[12:] for x in maps], verbose=False
    )
    np.testing.assert_allclose(train[0, 1], metric.score(maps[0][:12], maps[1][:12]), atol=1e-12)
    np.testing.assert_allclose(test[0, 2], metric.score(maps[0][12:], maps[2][12:]), atol=1e-12)
    for items in (maps, rsms):
        np.testing.assert_allclose(
            netrep("multiset").pairwise_distances(metric, items, verbose=False), expected, atol=1e-9
        )
        crossed = netrep("multiset").cross_distances(metric, items, items[1:], verbose=False)
        np.testing.assert_allclose(crossed, expected[:, 1:], atol=1e-9)


def test_angles_obey_the_triangle_inequality_on_indefinite_rsms(netrep, indefinite):
    rsms = [rsm for pair in indefinite.values() for rsm in pair]
    metric = simplugins.similarity("semantic-linear", "rsa-spearman").to("netrep")
    d = netrep("multiset").pairwise_distances(metric, rsms, verbose=False)
    assert all(d[i, k] <= d[i, j] + d[j, k] + 1e-12 for i, j, k in itertools.permutations(range(len(rsms)), 3))


def test_the_tool_searches_shifts_of_maps(netrep, photos):
    maps = photos["block15"].transpose(0, 2, 3, 1)[:3, :5, :5]
    shifted = np.roll(maps, (0, 1), (1, 2))
    metric = simplugins.similarity("semantic-linear").to("netrep")
    result = netrep("conv_layers").convolve_metric(
        metric, maps[..., :40], np.pad(shifted[..., :40], [(0, 0)] * 3 + [(0, 1)])
    )
    assert np.unravel_index(result.argmin(), result.shape) == (2, 3)
    assert result.min() == pytest.approx(0, abs=1e-6)


def test_scikit_learn_clones_and_cross_validates(photos):
    metric = simplugins.similarity("semantic-rbf", "rsa-spearman", sigma=900.0, matching="greedy").to("netrep")
    for copied in (clone(metric), pickle.loads(pickle.dumps(metric))):
        assert copied.get_params().keys() == {"similarity", "distance", "layout"}
        assert copied.similarity.options == {"sigma": 900.0, "matching": "greedy"}
    x, y = photos["block10"][:, :, ::2, ::2], photos["block15"]
    scores = cross_validate(metric, x, y, cv=KFold(3), error_score="raise")["test_score"]
    expected = [metric.score(x[test], y[test]) for _, test in KFold(3).split(x)]
    np.testing.assert_array_equal(scores, expected)
    rank = simplugins.compare(
        *(simplugins.compute_rsm(z[:8], "semantic-rbf", sigma=900.0, matching="greedy") for z in (x, y)), "rsa-spearman"
    )
    assert scores[0] == pytest.approx(np.arccos(rank), abs=1e-9)


def test_linear_cka_of_vectors_is_that_of_the_tool(netrep, photos):
    x, y = (photos[layer].mean((2, 3), dtype=float) for layer in ("block10", "block15"))
    metric = simplugins.similarity("semantic-linear", "cka").to("netrep")
    assert metric.score(x, y) == pytest.approx(netrep("metrics").LinearCKA().score(x, y), abs=1e-9)


def test_two_inputs():
    x = RSM.from_similarities([[2.0, 1.0], [1.0, 3.0]]).to("netrep")
    np.testing.assert_allclose(x, [[0.75, -0.75], [-0.75, 0.75]])
