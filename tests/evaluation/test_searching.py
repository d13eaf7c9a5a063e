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
    how = options | ({"sigma": sigma} if kernel == "rbf" else {})
    if "matching" in options:  # an approximation matches the second to the first
        values = simplugins.compute_rsm(gallery, f"semantic-{kernel}", other=queries, **how).values.T
    else:
        values = simplugins.compute_rsm(queries, f"semantic-{kernel}", other=gallery, **how).values
    scores = values.copy()
    if gallery is None:
        np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k], values


def check(queries, gallery=None, *, k, kernel, sigma=3.0, exact=False, **options):
    """Compare a search with the ranking of the RSM: equal, or where similarities are equal to rounding."""
    found = simplugins.search(
        queries, gallery, k=k, measure=f"semantic-{kernel}", sigma=sigma if kernel == "rbf" else None, **options
    )
    expected, values = by_rsm(queries, gallery, k, kernel, sigma, **options)
    if exact:
        np.testing.assert_array_equal(found.indices, expected)
    rows = np.arange(len(values))[:, None]
    scale = np.abs(values).max() or 1
    np.testing.assert_allclose(values[rows, found.indices], values[rows, expected], atol=ROUNDING * scale)
    np.testing.assert_allclose(found.similarities, values[rows, found.indices], atol=ROUNDING * scale)
    for row in found.indices.tolist():
        assert len(set(row)) == k
    if gallery is None:
        assert (found.indices != rows).all()
    assert 0 < found.solved <= found.formed
    return found


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
def test_inputs_find_the_others_that_the_rsm_ranks_first(drawn, k, kernel):
    kind, x = drawn
    check(x, k=k, kernel=kernel, exact=kind == "tied" and kernel == "linear")


@settings(deadline=None, max_examples=60)
@given(drawn=galleries(), k=st.integers(1, 3), kernel=st.sampled_from(KERNELS))
def test_queries_find_what_the_rsm_ranks_first(drawn, k, kernel):
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
def test_no_matching_is_better_than_the_bounds(seed, sizes, shift):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(3, size, 4)) + shift * rng.normal(size=4) for size in sizes)
    optimum = simplugins.compute_rsm(x, "semantic-linear", other=y).values
    slack = 1e-12 * np.abs(optimum).max()
    blocks = [Activations.from_array(a).block(0, 3) for a in (x, y)]
    summaries = [Summary.of(block, max(sizes)) for block in blocks]
    assert (upper_bounds(*summaries) >= optimum - slack).all()
    rows, query = blocks[0], y[1]
    prices = mean_prices(rows.vectors, rows.offsets, summaries[0].means, query)
    bounds = bounds_of_affinities(rows.vectors @ query.T, rows.offsets, prices)
    assert (bounds >= optimum[:, 1] - slack).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("layer", ["block10", "block15"])
def test_real_activations_are_searched(photos, layer, kernel):
    found = check(photos[layer], k=3, kernel=kernel, sigma=900.0, exact=True)
    assert found.pairs == 24 * 23 // 2
    assert found.share_solved <= 1
    assert found.measure == f"semantic-{kernel}"
    assert repr(found).startswith(f"Neighbours under semantic-{kernel}: 3 for each of 24 queries; ")


@pytest.mark.parametrize("matching", ["greedy", "batch-optimal", "auction", "topk-greedy"])
def test_other_matchings_are_searched_with_queries_and_a_gallery(photos, matching):
    maps = photos["block15"]
    check(maps[:8], maps[8:], k=3, kernel="cosine", matching=matching)


def test_masked_positions_and_labels(photos):
    maps = photos["block15"]
    mask = np.abs(maps).sum(axis=1) > 300
    mask[:, 0, 0] = True
    check(maps, k=2, kernel="cosine", mask=mask)
    found = simplugins.search(maps[:3], maps, k=2, labels=list("abc"), gallery_labels=photos["photo"])
    assert found.labels.tolist() == list("abc")
    np.testing.assert_array_equal(found.gallery_labels, photos["photo"])
    np.testing.assert_array_equal(found.indices[:, 0], [0, 1, 2])
    masked = simplugins.search(maps[:3], maps, k=1, mask=mask[:3], gallery_mask=mask)
    np.testing.assert_array_equal(masked.indices[:, 0], [0, 1, 2])


def test_huge_and_tiny_inputs_and_zeros(photos):
    maps = photos["block15"].astype(np.float64)
    maps[:8] *= 1e30
    maps[8:16] *= 1e-30
    maps[20] = 0
    for kernel in ("cosine", "linear"):
        check(maps.astype(np.float32), k=5, kernel=kernel)


def test_results_do_not_depend_on_threads(photos):
    found = [simplugins.search(photos["block10"], k=4, threads=threads) for threads in (1, 3)]
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    np.testing.assert_allclose(found[0].similarities, found[1].similarities, rtol=1e-6)


def test_clustered_galleries_are_matched_in_part():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 16, 8)) + 4 * rng.normal(size=(20, 1, 8))
    gallery = np.repeat(centres, 15, axis=0) + 0.1 * rng.normal(size=(300, 16, 8))
    found = check(gallery, k=5, kernel="cosine")
    assert found.share_solved < 0.2
    assert (found.indices // 15 == np.arange(300)[:, None] // 15).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 24}, "k: there are 23 inputs to find for each query, got 24"),
        ({"k": 0}, "k must be"),
        ({"measure": "spatio-semantic-cosine"}, "search is by a semantic measure of ours"),
        ({"measure": "semantic-rbf"}, "sigma: semantic-rbf needs a number"),
        ({"sigma": 2.0}, "sigma goes with semantic-rbf, not with 'semantic-cosine'"),
        ({"measure": "semantic-rbf", "sigma": -1.0}, "sigma must be"),
        ({"measure": "semantic-cos"}, "nearest: semantic-cosine"),
        ({"gallery_labels": ["a"]}, "go with a gallery, which was not given"),
        ({"gallery": np.ones((5, 3, 7, 7))}, "equal channels"),
        ({"gallery": np.full((5, 320, 7, 7), np.nan)}, "gallery: .*NaN"),
        ({"threads": 0}, "threads must be"),
    ],
)
def test_bad_input_is_told(photos, options, match):
    with pytest.raises(ValueError, match=match):
        simplugins.search(photos["block15"], **options)


def test_progress_goes_to_standard_error(photos, capsys):
    simplugins.search(photos["block15"], k=1, progress=True)
    assert "searching" in capsys.readouterr().err
