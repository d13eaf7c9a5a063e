# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simplugins
from simplugins.activations.activations import Activations
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, mean_prices, upper_bounds

KERNELS = ("linear", "cosine", "rbf")
ROUNDING = 2.0**-20


def by_rsm(queries, gallery, k, kernel, sigma, **options):
    """Rank the rows of the whole RSM; return the k best and all similarities."""
    options = options | ({"sigma": sigma} if kernel == "rbf" else {})
    if "matching" in options:  # approximate matchings match the second input to the first
        values = simplugins.compute_rsm(gallery, f"semantic-{kernel}", other=queries, **options).values.T
    else:
        values = simplugins.compute_rsm(queries, f"semantic-{kernel}", other=gallery, **options).values
    scores = values.copy()
    if gallery is None:
        np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], values


def check(queries, gallery=None, *, k, kernel, sigma=3.0, exact=False, **options):
    """Compare a search with the ranking of the RSM: equal, up to ties within rounding unless `exact`."""
    sigma = sigma if kernel == "rbf" else None
    result = simplugins.search(queries, other=gallery, k=k, measure=f"semantic-{kernel}", sigma=sigma, **options)
    expected, values = by_rsm(queries, gallery, k, kernel, sigma, **options)
    if exact:
        np.testing.assert_array_equal(result.indices, expected)
    rows = np.arange(len(values))[:, None]
    scale = np.abs(values).max() or 1
    np.testing.assert_allclose(values[rows, result.indices], values[rows, expected], atol=ROUNDING * scale)
    np.testing.assert_allclose(result.similarities, values[rows, result.indices], atol=ROUNDING * scale)
    for row in result.indices.tolist():
        assert len(set(row)) == k
    if gallery is None:
        assert (result.indices != rows).all()
    assert result.symmetric == (gallery is None)
    assert result.shape == values.shape
    assert 0 < result.solved <= result.formed
    return result


@st.composite
def galleries(draw):
    """Random, tied or clustered sets of concept vectors, whose inner products are exact in float32 if they are tied."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    inputs, positions, channels = draw(st.integers(5, 24)), draw(st.integers(1, 9)), draw(st.integers(1, 6))
    kind = draw(st.sampled_from(["random", "tied", "clustered", "rectified", "copies"]))
    shape = inputs, positions, channels
    if kind == "tied":
        return kind, rng.integers(-2, 3, size=shape).astype(np.float32)
    if kind == "copies":
        return kind, rng.integers(0, 4, size=shape).astype(np.float32)[rng.integers(3, size=inputs)]
    x = rng.normal(size=shape)
    if kind == "clustered":
        x = x[rng.integers(3, size=inputs)] + 0.1 * x
    return kind, np.maximum(x, 0) + 0.01 if kind == "rectified" else x


@settings(deadline=None, max_examples=150)
@given(drawn=galleries(), k=st.integers(1, 4), kernel=st.sampled_from(KERNELS))
def test_inputs_find_each_other_as_the_rsm_ranks_them(drawn, k, kernel):
    kind, x = drawn
    check(x, k=k, kernel=kernel, exact=kind == "tied" and kernel == "linear")


@settings(deadline=None, max_examples=60)
@given(drawn=galleries(), k=st.integers(1, 3), kernel=st.sampled_from(KERNELS))
def test_queries_find_gallery_inputs_as_the_rsm_ranks_them(drawn, k, kernel):
    _, x = drawn
    check(x[:2], x[2:], k=k, kernel=kernel)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**16), kernel=st.sampled_from(KERNELS))
def test_sets_of_different_sizes_are_searched(seed, kernel):
    rng = np.random.default_rng(seed)
    sets = [rng.normal(size=(rng.integers(1, 8), 4)) + rng.normal() for _ in range(14)]
    check(sets, k=3, kernel=kernel)
    check(sets[:4], sets[4:], k=3, kernel=kernel)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**16), sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)), shift=st.floats(-3, 3))
def test_bounds_are_at_least_the_optimum(seed, sizes, shift):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(3, size, 4)) + shift * rng.normal(size=4) for size in sizes)
    optimum = simplugins.compute_rsm(x, "semantic-linear", other=y).values
    slack = 1e-12 * np.abs(optimum).max()
    blocks = [Activations.from_array(a).block(0, 3) for a in (x, y)]
    summaries = [Summary.from_block(block, max(sizes)) for block in blocks]
    assert (upper_bounds(*summaries) >= optimum - slack).all()
    rows, query = blocks[0], y[1]
    prices = mean_prices(rows.vectors, rows.offsets, summaries[0].means, query)
    bounds = bounds_of_affinities(rows.vectors @ query.T, rows.offsets, prices)
    assert (bounds >= optimum[:, 1] - slack).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("layer", ["block10", "block15"])
def test_real_activations_are_searched(photos, layer, kernel):
    result = check(photos[layer], k=3, kernel=kernel, sigma=900.0, exact=True)
    assert result.pairs == 24 * 23 // 2
    assert result.share_solved <= 1
    assert result.metadata["measure"] == f"semantic-{kernel}"
    assert result.metadata["kernel"] == kernel
    assert repr(result).startswith(f"Neighbours under semantic-{kernel}: 3 for each of 24 queries; ")
    assert "\n" not in repr(result)


@pytest.mark.parametrize("matching", ["greedy", "batch-optimal", "auction", "topk-greedy"])
def test_other_matchings_are_searched_with_queries_and_a_gallery(photos, matching):
    maps = photos["block15"]
    check(maps[:8], maps[8:], k=3, kernel="cosine", matching=matching)


def test_masked_positions_and_labels(photos):
    maps = photos["block15"]
    mask = np.abs(maps).sum(axis=1) > 300
    mask[:, 0, 0] = True
    check(maps, k=2, kernel="cosine", mask=mask)
    result = simplugins.search(maps[:3], other=maps, k=2, labels=list("abc"), other_labels=photos["photo"])
    assert result.labels.tolist() == list("abc")
    np.testing.assert_array_equal(result.other_labels, photos["photo"])
    np.testing.assert_array_equal(result.indices[:, 0], [0, 1, 2])
    masked = simplugins.search(maps[:3], other=maps, k=1, mask=mask[:3], other_mask=mask)
    np.testing.assert_array_equal(masked.indices[:, 0], [0, 1, 2])


def test_huge_and_tiny_inputs_and_zeros(photos):
    maps = photos["block15"].astype(np.float64)
    maps[:8] *= 1e30
    maps[8:16] *= 1e-30
    maps[20] = 0
    for kernel in ("cosine", "linear"):
        check(maps.astype(np.float32), k=5, kernel=kernel)


def test_results_do_not_depend_on_threads(photos):
    results = [simplugins.search(photos["block10"], k=4, threads=threads) for threads in (1, 3)]
    np.testing.assert_array_equal(results[0].indices, results[1].indices)
    np.testing.assert_allclose(results[0].similarities, results[1].similarities, rtol=1e-6)


def test_clustered_galleries_are_matched_in_part():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16, 8)) + 4 * rng.normal(size=(20, 1, 8))
    gallery = np.repeat(centres, 15, axis=0) + 0.1 * rng.normal(size=(300, 16, 8))
    result = check(gallery, k=5, kernel="cosine")
    assert result.share_solved < 0.2
    assert (result.indices // 15 == np.arange(300)[:, None] // 15).all()


class Backwards(simplugins.Matcher):
    """A third-party matcher: position s with position S - 1 - s."""

    name = "backwards"

    def match(self, affinity):
        rows, columns = affinity.shape
        return np.where(np.arange(rows) < columns, columns - 1 - np.arange(rows), -1)


def test_matchings_are_accepted_by_name_with_options_and_as_objects(photos):
    maps = photos["block15"]
    by_name = simplugins.search(maps[:5], other=maps, k=2, matching="batch-optimal", matching_options={"window": 7})
    by_object = simplugins.search(maps[:5], other=maps, k=2, matching=simplugins.BatchOptimal(window=7))
    np.testing.assert_array_equal(by_name.indices, by_object.indices)
    assert by_name.metadata["matching_options"] == by_object.metadata["matching_options"] == {"window": 7}
    check(maps[:5], maps, k=2, kernel="cosine", matching=Backwards())


def norm_products(x, y=None):
    """A third-party measure."""
    return np.outer(x.squared_norms, (x if y is None else y).squared_norms)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 24}, r"k must be at most 23\b.*\b24\b"),
        ({"k": 0}, r"k must be .*\b0\b"),
        ({"measure": "spatio-semantic-cosine"}, "search needs upper bounds.*'spatio-semantic-cosine'"),
        ({"measure": norm_products}, "search needs upper bounds.*'norm_products'.*simplugins.evaluation.retrieval"),
        ({"measure": "semantic-rbf"}, "sigma: .*'semantic-rbf'.*None"),
        ({"measure": "semantic-rbf", "sigma": "median"}, "sigma: .*'semantic-rbf'.*'median'"),
        ({"sigma": 2.0}, r"sigma=2\.0 .*'semantic-cosine'"),
        ({"measure": "semantic-rbf", "sigma": -1.0}, r"sigma must be .*-1\.0"),
        ({"measure": "semantic-cos"}, "'semantic-cos'.*semantic-cosine"),
        ({"other_labels": ["a"]}, "other_labels need other"),
        ({"other": np.ones((5, 3, 7, 7))}, r"channels.*\b320\b.*\b3\b"),
        ({"other": np.full((5, 320, 7, 7), np.nan)}, "other: .*NaN"),
        ({"threads": 0}, r"threads must be .*\b0\b"),
    ],
)
def test_bad_input_raises(photos, options, match):
    with pytest.raises(ValueError, match=match):
        simplugins.search(photos["block15"], **options)


def test_progress_goes_to_standard_error(photos, capsys):
    simplugins.search(photos["block15"], k=1, progress=True)
    assert "searching" in capsys.readouterr().err
