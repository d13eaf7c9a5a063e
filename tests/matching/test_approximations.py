# SPDX-License-Identifier: Apache-2.0
"""Approximate matchings and their certificates."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simplugins
from simplugins import Auction, BatchOptimal, Greedy, Identity, Optimal, TopKGreedy
from simplugins.matching.matcher import check_assignment
from simplugins.matching.matcher_options import resolve_matcher
from simplugins.matching.norm_windows import norm_windows

MATCHERS = [
    Optimal(),
    Auction(),
    Auction(tolerance=0.3),
    Auction(tolerance=1e-7),
    BatchOptimal(window=3),
    BatchOptimal(),
    Greedy(),
    TopKGreedy(k=2),
    TopKGreedy(),
    Identity(),
]
ANY_SIZES = [matcher for matcher in MATCHERS if not matcher.positionwise]
ROUNDING = 1e-12
"""Rounding of float64 sums, relative to the magnitudes of their terms."""


def names(matcher):
    return str(matcher)


def assert_certified(pair, affinity):
    """The optimum lies between the value of a match and its upper bound."""
    best = oracle.optimum(affinity)
    slack = ROUNDING * min(affinity.shape) * np.abs(affinity).max()
    rows = np.flatnonzero(pair.columns >= 0)
    assert pair.value == pytest.approx(affinity[rows, pair.columns[rows]].sum(), rel=0, abs=slack)
    assert pair.value <= best + slack
    assert best <= pair.upper_bound + slack
    missing = pair.upper_bound - pair.value
    if pair.gap == 0:
        assert missing <= 10 * slack
    elif np.isfinite(pair.gap):
        assert pair.gap == pytest.approx(missing / abs(pair.upper_bound))
    else:
        assert pair.upper_bound == 0


finite = st.floats(-1e3, 1e3, width=32)
tied = st.sampled_from([np.float32(v) for v in (-1, 0, 0.5, 1)])


def concept_vectors(rows):
    channels = st.shared(st.integers(1, 4), key="channels")
    shape = st.tuples(rows, channels)
    return shape.flatmap(
        lambda s: st.one_of(
            arrays(np.float32, s, elements=finite),
            arrays(np.float32, s, elements=tied),
            finite.map(lambda value: np.full(s, value, np.float32)),
        )
    )


@pytest.mark.filterwarnings("ignore:the inputs have so much in common")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("matcher", ANY_SIZES, ids=names)
@given(x=concept_vectors(st.integers(1, 12)), y=concept_vectors(st.integers(1, 12)))
@settings(max_examples=60, deadline=None)
def test_the_optimum_lies_between_value_and_bound(matcher, dtype, x, y):
    pair = simplugins.match(x, y, matcher, dtype=dtype)
    check_assignment(pair.columns, len(x), len(y), name=matcher.name)
    assert_certified(pair, pair.affinity)


@pytest.mark.filterwarnings("ignore:the inputs have so much in common")
@pytest.mark.parametrize("tolerance", [0.5, 0.05, 0.01, 1e-4, 1e-9])
@given(
    x=concept_vectors(st.integers(1, 12)),
    y=concept_vectors(st.integers(1, 12)),
)
@settings(max_examples=60, deadline=None)
def test_an_auction_is_within_its_tolerance(tolerance, x, y):
    pair = simplugins.match(x, y, Auction(tolerance=tolerance))
    best = oracle.optimum(pair.affinity)
    assert pair.gap <= tolerance
    slack = ROUNDING * min(pair.affinity.shape) * np.abs(pair.affinity).max()
    assert pair.value >= best - tolerance * abs(best) - slack


@pytest.mark.parametrize("size", [(450, 450), (420, 500), (500, 420), (60, 60), (10, 200)])
@pytest.mark.parametrize("tolerance", [0.1, 0.01, 0.001])
def test_an_auction_is_within_its_tolerance_for_large_and_unequal_sets(size, tolerance):
    rng = np.random.default_rng(0)
    for kind in ("rectified", "signed", "few values", "rank one"):
        channels = 1 if kind == "rank one" else 12
        x, y = (rng.normal(size=(n, channels)) for n in size)
        if kind == "rectified":
            x, y = np.maximum(x, 0), np.maximum(y, 0)
        if kind == "few values":
            x, y = np.sign(x), np.sign(y)
        pair = simplugins.match(x.astype(np.float32), y.astype(np.float32), Auction(tolerance=tolerance))
        assert pair.gap <= tolerance
        assert pair.value >= (1 - tolerance) * oracle.optimum(pair.affinity)
        assert_certified(pair, pair.affinity)
        if tolerance == 0.1 and kind == "rectified":
            if min(size) > 400:
                assert pair.gap > 1e-4  # it stopped early
            else:  # the first rounds found the optimum
                assert pair.gap <= 1e-6
                assert pair.value == pytest.approx(oracle.optimum(pair.affinity), rel=1e-6)


def test_an_auction_stops_early_on_real_activations(layers):
    vectors = oracle.concept_vectors(layers["block4"][:3]).astype(np.float32)
    rsms = {t: simplugins.compute_rsm(vectors, matching=Auction(tolerance=t), certify=True) for t in (0.05, 0.01)}
    exact = simplugins.compute_rsm(vectors)
    off = ~np.eye(3, dtype=bool)
    for tolerance, rsm in rsms.items():
        assert 1e-6 < rsm.gap[off].max() <= tolerance
        assert (rsm.values[off] < exact.values[off]).all()
        np.testing.assert_allclose(rsm.values, exact.values, rtol=tolerance)


@pytest.mark.parametrize("affinity", [np.zeros((4, 4)), np.array([[1.0, 2.0], [-2.0, -1.0]])], ids=["zero", "cancel"])
def test_an_optimum_of_zero_has_no_gap(affinity):
    x, y = np.eye(len(affinity)), affinity.T
    for matcher in (Optimal(), Auction(), Auction(tolerance=1e-6)):
        pair = simplugins.match(x, y, matcher)
        assert (pair.value, pair.gap) == (0, 0)


@pytest.mark.parametrize("matcher", [Optimal(), Auction(), Auction(tolerance=1e-6)], ids=names)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unmatched_affinities_that_dwarf_the_others_do_not_reduce_accuracy(matcher, dtype):
    rng = np.random.default_rng(3)
    for shape in [(9, 9), (60, 60), (12, 30), (30, 12)]:
        for power in (8, 12, 16, 20, 30):
            affinity = rng.random(shape)
            affinity[rng.random(shape) < 0.1] = -(10.0**power)
            affinity = affinity.astype(dtype)
            columns = matcher.match(affinity)
            rows = np.flatnonzero(columns >= 0)
            value, best = affinity[rows, columns[rows]].sum(dtype=np.float64), oracle.optimum(affinity)
            tolerance = getattr(matcher, "tolerance", 1e-6)
            assert best * (1 - tolerance) <= value <= best * (1 + 1e-12)


def test_outliers_are_certified():
    x, y = np.array([[1e9, 0], [0, 1], [0, 2]]), np.array([[-1e9, 0], [0, 2], [0, 1]])
    for matcher in (Optimal(), Auction()):
        pair = simplugins.match(x, y, matcher)
        assert (pair.value, pair.gap) == (4, 0)


@pytest.mark.parametrize("matcher", [Optimal(), Auction(), BatchOptimal(window=2), Greedy()], ids=names)
@pytest.mark.parametrize("scale", [1e-310, 1e-300, 1e-200, 1e200, 1e300, 1e307])
def test_affinities_of_any_magnitude_are_matched(matcher, scale):
    affinity = np.array([[-1, 2, 1], [3, -1, 1], [4, 2, 7]]) * scale
    np.testing.assert_array_equal(matcher.match(affinity), [1, 0, 2])


@pytest.mark.parametrize("layer", ["block4", "block10"])  # block15 fits one window
@pytest.mark.parametrize("window", [64, 128])
@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_batch_optimal_equals_the_authors(layers, authors_rsms, layer, window, kernel):
    theirs = authors_rsms[f"{layer}/batch-optimal-{window}/{kernel}"]
    rsm = simplugins.compute_rsm(layers[layer], f"semantic-{kernel}", matching=BatchOptimal(window=window))
    np.testing.assert_allclose(rsm.values, theirs, rtol=2e-6, atol=2e-6 if kernel == "rbf" else 0)


def ragged_sets(sizes, channels=5, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(size, channels)) for size in sizes]


@pytest.mark.parametrize("window", [1, 4, 7, 100])
def test_batch_optimal_equals_the_oracle_on_sets_of_any_size(window):
    x, y = ragged_sets([1, 9, 9, 9, 14, 3, 3]), ragged_sets([9, 12, 2], seed=1)
    rsm = simplugins.compute_rsm(x, "semantic-linear", other=y, matching=BatchOptimal(window=window))
    expected = [[oracle.batch_optimal(a, b, window) for b in y] for a in x]
    np.testing.assert_allclose(rsm.values, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("k", [1, 4, 100])
def test_topk_greedy_equals_the_oracle_on_sets_of_any_size(k):
    x, y = ragged_sets([1, 9, 14, 3]), ragged_sets([9, 12, 2], seed=1)
    rsm = simplugins.compute_rsm(x, "semantic-linear", other=y, matching=TopKGreedy(k=k))
    expected = [[oracle.topk_greedy(a, b, k) for b in y] for a in x]
    np.testing.assert_allclose(rsm.values, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (15, 15), (16, 16), (17, 40), (40, 17), (130, 131)])
def test_greedy_equals_the_oracle_ties_included(shape, dtype):
    rng = np.random.default_rng(4)
    for affinity in (rng.normal(size=shape), rng.integers(-1, 2, size=shape), np.zeros(shape)):
        columns = Greedy().match(affinity.astype(dtype))
        np.testing.assert_array_equal(columns, oracle.greedy_columns(affinity.astype(dtype)))


def test_the_earlier_input_provides_the_rows_of_a_greedy_rsm():
    sets = ragged_sets([9, 6, 12])
    rsm = simplugins.compute_rsm(sets, "semantic-linear", matching="greedy").values
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        expected = oracle.greedy(sets[i] @ sets[j].T)
        assert rsm[i, j] == rsm[j, i] == pytest.approx(expected)
        assert simplugins.match(sets[i], sets[j], "greedy").value == pytest.approx(expected)


@pytest.mark.parametrize("matcher", [BatchOptimal(window=4), TopKGreedy(k=3), Greedy(), Auction()], ids=names)
def test_a_single_pair_agrees_with_the_rsm(matcher):
    sets = ragged_sets([9, 6])
    rsm = simplugins.compute_rsm(sets, "semantic-linear", matching=matcher)
    pair = simplugins.match(*sets, matcher)
    assert pair.value == pytest.approx(rsm.values[0, 1])
    rows = np.flatnonzero(pair.columns >= 0)
    assert pair.value == pytest.approx((sets[0][rows] * sets[1][pair.columns[rows]]).sum())


@given(rows=st.integers(1, 30), cols=st.integers(1, 30), size=st.integers(1, 35))
def test_windows_cover_the_smaller_set_exactly_once(rows, cols, size):
    pairs = list(norm_windows(rows, cols, size))
    for side, count in zip(zip(*pairs, strict=True), (rows, cols), strict=True):
        covered = [k for part in side for k in range(part.start, part.stop)]
        assert covered == sorted(set(covered))
        assert covered[-1] == count - 1
    smaller = 0 if rows <= cols else 1
    for pair in pairs:
        sizes = [part.stop - part.start for part in pair]
        assert sizes[smaller] <= sizes[1 - smaller] <= size
    assert sum(pair[smaller].stop - pair[smaller].start for pair in pairs) == min(rows, cols)


@pytest.mark.parametrize(
    ("matching", "options", "message"),
    [
        ("batch-optimal", {"window": 0}, r"window.*\b0\b"),
        ("batch-optimal", {"window": 2.5}, r"window.*\b2\.5\b"),
        ("topk-greedy", {"k": True}, r"\bk\b.*True"),
        ("auction", {"tolerance": 0}, r"tolerance.*\b0$"),
        ("auction", {"tolerance": "1%"}, "tolerance.*'1%'"),
        ("auction", {"tolerance": float("nan")}, r"tolerance.*\bnan\b"),
    ],
)
def test_impossible_option_values_are_rejected(matching, options, message):
    with pytest.raises(ValueError, match=message):
        resolve_matcher(matching, options)
