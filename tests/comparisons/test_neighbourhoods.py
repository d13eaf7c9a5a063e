# SPDX-License-Identifier: Apache-2.0
"""Comparisons of nearest neighbours, against loops over sets, and against explicit permutations and resamples."""

from __future__ import annotations

import itertools
import pickle
import warnings
from math import comb

import numpy as np
import pytest
from comparison_data import indefinite
from hypothesis import given, settings
from hypothesis import strategies as st
from neighbour_oracles import ORACLES, neighbour_lists
from scipy.stats import hypergeom

import simplugins
from simplugins import testing
from simplugins.comparisons import compare, pairwise, resolve_method
from simplugins.comparisons.neighbourhoods import neighbour_method
from simplugins.comparisons.neighbourhoods.neighbour_lists import nearest
from simplugins.comparisons.neighbourhoods.shared_neighbours import MutualKnn

every_method = pytest.mark.parametrize("name", ORACLES)
every_mean = pytest.mark.parametrize("name", [name for name in ORACLES if name != "cknna"])


def tied(seed, inputs=9, levels=4):
    """Return symmetric similarities with many ties, none of which is 0."""
    matrix = np.random.default_rng(seed).integers(1, levels + 1, size=(inputs, inputs)).astype(float)
    return np.triu(matrix, 1) + np.triu(matrix, 1).T + np.diag(np.full(inputs, levels + 1.0))


def with_missing(matrix, seed, share=0.2):
    """Return a matrix in which some pairs are NaN."""
    missing = np.triu(np.random.default_rng(seed).random(matrix.shape) < share, 1)
    return np.where(missing | missing.T, np.nan, matrix)


# Values


@every_method
@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("make", [indefinite, tied])
def test_values_equal_those_of_plain_loops(name, k, make):
    a, b = [make(seed, 14) for seed in (0, 1)], [make(seed, 14) for seed in (2, 3, 4)]
    expected = [[ORACLES[name](x, y, k) for y in b] for x in a]
    np.testing.assert_allclose(pairwise(name, a, b, method_options={"k": k}), expected, atol=1e-12)


@every_method
def test_related_rsms_are_more_similar_than_unrelated_ones(name):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 20))
    a, b, c = (x @ x.T for x in (features, features + 0.5 * rng.normal(size=(200, 20)), rng.normal(size=(200, 20))))
    assert compare(a, b, name) > compare(a, c, name) + 0.1


@pytest.mark.parametrize("k", [5, 64, 65, 79])
def test_lists_of_any_length_are_sorted_by_similarity_then_index(k):
    matrix = with_missing(tied(0, 80, levels=9), 1)
    expected = [row + [-1] * (k - len(row)) for row in neighbour_lists(matrix, k)]
    np.testing.assert_array_equal(nearest(matrix, k), expected)


def test_cknna_of_all_neighbours_is_debiased_cka():
    a, b = indefinite(0, 12), indefinite(1, 12)
    assert compare(a, b, "cknna", method_options={"k": 11}) == pytest.approx(compare(a, b, "cka-debiased"), abs=1e-12)


def test_the_second_order_cosine_of_distances_uses_one_minus_similarity():
    a, b = indefinite(0, 12), indefinite(1, 12)
    value = compare(a, b, "second-order-knn", method_options={"k": 3, "entries": "distances"})
    lists = [{*u, *v} for u, v in zip(neighbour_lists(a, 3), neighbour_lists(b, 3), strict=True)]
    pairs = [(1 - a[i, sorted(row)], 1 - b[i, sorted(row)]) for i, row in enumerate(lists)]
    assert value == pytest.approx(np.mean([x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in pairs]), abs=1e-12)


def test_inputs_without_similar_inputs_have_a_second_order_cosine():
    a, b = np.eye(6), np.eye(6)
    a[0, 1] = a[1, 0] = b[0, 1] = b[1, 0] = b[2, 3] = b[3, 2] = 0.5
    value = compare(a, b, "second-order-knn", method_options={"k": 1})
    assert value == pytest.approx(4 / 6)  # 0, 1: equal; 2, 3: 0 in one of them; 4, 5: 0 in both


# The facts that they declare


@every_method
@pytest.mark.parametrize("options", [{}, {"k": 3}])
def test_methods_pass_the_check(name, options):
    testing.check_comparison(name, options)


def test_the_second_order_cosine_of_distances_passes_the_check():
    testing.check_comparison("second-order-knn", {"entries": "distances"})


def test_the_order_of_rsms_matters_to_cycle_knn_and_cknna():
    a, b = indefinite(0, 30), indefinite(1, 30)
    asymmetric = {name for name in ORACLES if compare(a, b, name) != pytest.approx(compare(b, a, name))}
    assert asymmetric == {"cycle-knn", "cknna"}
    assert asymmetric == {name for name in ORACLES if not resolve_method(name).is_symmetric}


@every_method
@pytest.mark.parametrize("scale", [1e-160, 1e150])
def test_extreme_values_neither_overflow_nor_vanish(name, scale):
    a, b = (matrix / np.abs(matrix).max() for matrix in (indefinite(0, 14), indefinite(1, 14)))
    assert compare(scale * a, b / scale, name) == pytest.approx(compare(a, b, name), abs=1e-9)


# Unrelated RSMs


def all_orders(name, a, b, k):
    method = resolve_method(name, {"k": k})
    return method.permuted(a, b)(np.array(list(itertools.permutations(range(len(a)))))).mean()


def test_expected_values_over_all_permutations_are_those_of_the_documentation():
    a, b, n, k = indefinite(0, 7), indefinite(1, 7), 7, 3
    m = np.arange(k + 1)
    share = hypergeom(n - 1, k, k).pmf(m)
    harmonic = np.array([sum(1 / i for i in range(1, count + 1)) for count in m])
    ranks = [2 / ((1 + abs(r - s)) * (r + s)) for r in range(1, k + 1) for s in range(1, k + 1)]
    popularity = np.bincount(np.ravel(neighbour_lists(a, k)), minlength=n)
    expected = {
        "mutual-knn": k / (n - 1),
        "jaccard-knn": share @ (m / (2 * k - m)),
        "rank-knn": share[1:] @ (m[1:] / harmonic[1:]) * np.mean(ranks),
        "cycle-knn": np.mean([1 - comb(n - 1 - h, k) / comb(n - 1, k) for h in popularity]),
    }
    assert {name: all_orders(name, a, b, k) for name in expected} == pytest.approx(expected, abs=1e-12)


def test_the_longest_common_subsequence_is_at_most_the_shared_neighbours():
    a, b = indefinite(0, 7), indefinite(1, 7)
    assert 0.5 * 3 / 6 < all_orders("lcs-knn", a, b, 3) < 3 / 6
    np.testing.assert_array_less(
        pairwise("lcs-knn", [a], [b, b[::-1, ::-1]], method_options={"k": 3}),
        pairwise("mutual-knn", [a], [b, b[::-1, ::-1]], method_options={"k": 3}) + 1e-12,
    )


def test_a_resample_of_unrelated_rsms_has_the_expected_value_of_the_original():
    a, b = indefinite(0, 60), indefinite(1, 60)
    interval = simplugins.bootstrap_interval(a, b, "mutual-knn", method_options={"k": 6}, resamples=200)
    assert interval.distribution.mean() == pytest.approx(interval.value, abs=0.02)
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize(("name", "direction"), [("lcs-knn", "larger"), ("cycle-knn", "smaller")])
def test_methods_that_resamples_bias_warn(name, direction):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(150, 10))
    a, b = (x @ x.T for x in (features, features + 0.7 * rng.normal(size=features.shape)))
    with pytest.warns(RuntimeWarning, match=rf"{name} has {direction} values in resamples"):
        interval = simplugins.bootstrap_interval(a, b, name, resamples=100)
    difference = interval.distribution.mean() - interval.value
    assert difference > 0.02 if direction == "larger" else difference < -0.02


# Permutations, resamples and missing pairs


@every_method
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6), levels=st.sampled_from([2, 4, 10**6]))
def test_permuting_neighbours_equals_permuting_the_rsm(name, seed, k, levels):
    a, b, method = tied(seed, 9, levels), tied(seed + 1, 9, levels), resolve_method(name, {"k": k})
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(9), (5, 1)), axis=1)
    with warnings.catch_warnings(action="ignore"):  # cknna need not be defined
        expected = [method(a, b[np.ix_(order, order)]) for order in orders]
    np.testing.assert_allclose(method.permuted(a, b)(orders), expected, atol=1e-12)


@every_method
def test_all_pairs_of_rsms_are_permuted_alike(name):
    a, b = [indefinite(seed, 14) for seed in (0, 1)], [indefinite(2, 14), np.eye(14), tied(3, 14)]
    method, orders = resolve_method(name, {"k": 4}), np.random.default_rng(0).permuted([range(14)] * 4, axis=1)
    values = method.permuted_all(a, b, orders)
    assert np.isnan(values[:, :, 1]).all()
    for i, j in itertools.product((0, 1), (0, 2)):
        expected = [method(a[i], b[j][np.ix_(order, order)]) for order in orders]
        np.testing.assert_allclose(values[:, i, j], expected, atol=1e-12)


@every_mean
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 6),
    levels=st.sampled_from([2, 4, 10**6]),
    share=st.floats(0, 0.3),
    groups=st.sampled_from([None, [0, 1, 1, 2, 0, 0, 3, 4, 4]]),
)
def test_a_resample_equals_an_rsm_in_which_pairs_of_copies_are_missing(name, seed, k, levels, share, groups):
    a, b = (with_missing(tied(seed + i, 9, levels), seed + i, share) for i in (0, 1))
    units = np.arange(9) if groups is None else np.array(groups)
    number = units.max() + 1
    counts = np.bincount(np.random.default_rng(seed).integers(number, size=number), minlength=number)[units]
    origin = np.repeat(np.arange(9), counts)
    copy = np.concatenate([np.arange(count) for count in counts])
    same = units[origin][:, None] == units[origin]
    copies = same & ((copy[:, None] != copy) | (origin[:, None] == origin))
    explicit = [np.where(copies, np.nan, matrix[np.ix_(origin, origin)]) for matrix in (a, b)]
    with warnings.catch_warnings(action="ignore"):
        value = resolve_method(name, {"k": k}).resampled(a, b, None if groups is None else units)(counts)
    constant = any(np.unique(x[~np.isnan(x)]).size < 2 for x in explicit_jointly(*explicit))
    assert value == pytest.approx(np.nan if constant else ORACLES[name](*explicit, k), abs=1e-12, nan_ok=True)


def explicit_jointly(a, b):
    return np.where(np.isnan(b), np.nan, a), np.where(np.isnan(a), np.nan, b)


def test_copies_take_places_in_a_resample_of_cknna():
    a, b = indefinite(0, 12), indefinite(1, 12)
    counts = np.array([2, 0, 1, 1, 3, 0, 1, 1, 1, 1, 0, 1])
    origin = np.repeat(np.arange(12), counts)
    copies = origin[:, None] == origin
    explicit = [np.where(copies, np.nan, matrix[np.ix_(origin, origin)]) for matrix in (a, b)]
    value = resolve_method("cknna", {"k": 4}).resampled(a, b)(counts)
    assert value == pytest.approx(ORACLES["cknna"](*explicit, 4), abs=1e-12)


@every_mean
def test_a_missing_pair_is_never_a_pair_of_neighbours(name):
    a, b = (with_missing(indefinite(seed, 16), seed) for seed in (0, 1))
    options = {"method_options": {"k": 4}, "missing": "omit"}
    assert compare(a, b, name, **options) == pytest.approx(ORACLES[name](a, b, 4), abs=1e-12)
    test = simplugins.permutation_test(a, b, name, permutations=3, seed=1, **options)
    rng = np.random.default_rng(1)
    orders = [rng.permutation(16) for _ in range(3)]
    expected = [ORACLES[name](a, b[np.ix_(order, order)], 4) for order in orders]
    np.testing.assert_allclose(test.null_distribution, expected, atol=1e-12)


def test_missing_pairs_of_which_too_many_are_left_out_yield_nan():
    a = with_missing(indefinite(0, 12), 0, share=0.9)
    with pytest.warns(RuntimeWarning, match=r"NaN.*\b5 pairs\b.*rsm_a with rsm_b"):
        assert np.isnan(compare(a, a, "mutual-knn", method_options={"k": 5}, missing="omit"))


def test_cknna_needs_whole_matrices():
    a = with_missing(indefinite(0, 12), 0)
    with pytest.raises(ValueError, match="cknna needs whole matrices"):
        compare(a, a, "cknna", missing="omit")


# Bad and degenerate input


@every_method
@pytest.mark.parametrize("k", [0, 2.5, "ten", True])
def test_k_must_be_a_whole_number(name, k):
    with pytest.raises(ValueError, match=rf"k must be a whole number.*{k!r}"):
        resolve_method(name, {"k": k})


def test_cknna_needs_two_neighbours():
    with pytest.raises(ValueError, match="k of at least 2, got 1"):
        resolve_method("cknna", {"k": 1})


def test_unknown_entries_are_refused():
    with pytest.raises(ValueError, match="entries must be one of similarities, distances, got 'ranks'"):
        resolve_method("second-order-knn", {"entries": "ranks"})


@pytest.mark.parametrize(
    ("name", "least"), [("mutual-knn", 7), ("cycle-knn", 7), ("cknna", 6), ("second-order-knn", 6)]
)
def test_errors_about_too_few_inputs_name_k(name, least):
    a = indefinite(0, least)
    assert np.isfinite(compare(a, a, name, method_options={"k": 5}))
    with pytest.raises(ValueError, match=rf"{name} with k=5 needs at least {least} inputs, got {least - 1}"):
        compare(a[1:, 1:], a[1:, 1:], name, method_options={"k": 5})


@every_method
def test_a_constant_rsm_has_no_neighbours(name):
    a, constant = indefinite(0, 12), np.eye(12) + 0.3
    with pytest.warns(
        RuntimeWarning, match=rf"{name} with k=3 is NaN.*constant.*: .*\[0\] with .*\[1\], and 2 more"
    ) as caught:
        values = pairwise(name, [a, constant], method_options={"k": 3})
    np.testing.assert_array_equal(np.isnan(values), [[False, True], [True, True]])
    assert len(caught) == 1
    assert np.isnan(resolve_method(name, {"k": 3}).permuted(a, constant)(np.arange(12)[None])).all()


# Options


@every_method
def test_parts_of_limited_memory_have_the_same_values(name, monkeypatch):
    a, b = [indefinite(seed, 14) for seed in range(4)], [indefinite(seed, 14) for seed in range(4, 9)]
    expected = pairwise(name, a, b), pairwise(name, a)
    monkeypatch.setattr(neighbour_method, "VECTOR_BYTES", 1)
    np.testing.assert_array_equal(pairwise(name, a, b), expected[0])
    np.testing.assert_array_equal(pairwise(name, a), expected[1])


def test_functions_take_options_of_the_method():
    a, b, options = indefinite(0, 20), indefinite(1, 20), {"k": 4}
    value = compare(a, b, MutualKnn(k=4))
    assert value != compare(a, b, "mutual-knn")
    assert compare(a, b, "mutual-knn", method_options=options) == value
    assert compare(a, b, MutualKnn, method_options=options) == value
    assert pairwise("mutual-knn", [a], [b], method_options=options) == value
    rsms = [simplugins.RSM.from_similarities(matrix) for matrix in (a, b)]
    table = simplugins.compare_layers({"a": rsms[0]}, {"b": rsms[1]}, "mutual-knn", method_options=options)
    assert table.values == value
    assert table.metadata["method_options"] == options
    assert repr(table) == "Comparison mutual-knn (k=4): 1 x 1 layers, 20 inputs"
    test = simplugins.permutation_test(a, b, "mutual-knn", method_options=options, permutations=5)
    assert (test.value, test.method_options) == (value, options)
    assert repr(test).startswith("PermutationTest mutual-knn (k=4) ")
    interval = simplugins.bootstrap_interval(a, b, "mutual-knn", method_options=options, resamples=50)
    assert (interval.value, interval.method_options) == (value, options)
    assert repr(interval).startswith("BootstrapInterval mutual-knn (k=4) ")


def test_options_are_in_saved_comparisons(tmp_path):
    rsm = simplugins.RSM.from_similarities(indefinite(0, 20))
    table = simplugins.compare_layers({"a": rsm}, method="mutual-knn", method_options={"k": 4})
    table.save(tmp_path / "table.npz")
    assert simplugins.load_comparison(tmp_path / "table.npz").metadata["method_options"] == {"k": 4}


def test_options_of_an_object_or_a_method_without_options_are_refused():
    with pytest.raises(TypeError, match=r"takes no options: pass its name or its class; got 'k'"):
        resolve_method(MutualKnn(k=4), {"k": 5})
    with pytest.raises(TypeError, match="method 'cka' takes no options; got 'k'"):
        compare(np.eye(4), np.eye(4), "cka", method_options={"k": 5})
    with pytest.raises(TypeError, match=r"no option 'kk'.*did you mean 'k'"):
        compare(np.eye(4), np.eye(4), "mutual-knn", method_options={"kk": 5})


def test_similarities_of_networks_take_options_and_pickle():
    maps = np.random.default_rng(0).normal(size=(2, 12, 4, 3, 3))
    similarity = simplugins.similarity("semantic-cosine", "mutual-knn", method_options={"k": 3})
    assert similarity.name == "semantic-cosine-mutual-knn"
    assert repr(similarity) == "NetworkSimilarity semantic-cosine-mutual-knn (k=3)"
    rsms = [simplugins.compute_rsm(x) for x in maps]
    assert similarity(*maps) == compare(*rsms, "mutual-knn", method_options={"k": 3})
    again = pickle.loads(pickle.dumps(similarity))
    assert (repr(again), again(*maps)) == (repr(similarity), similarity(*maps))
    assert (again.larger_is_more_similar, again.is_symmetric, again.is_metric) == (True, True, False)
    assert again.invariant_to_isotropic_scaling
    assert again.invariant_to_translation is False


def test_structure_takes_options_of_the_method():
    maps = np.random.default_rng(0).normal(size=(2, 12, 4, 4, 4))
    table = simplugins.structure(*maps, "mutual-knn", method_options={"k": 3})
    grams = [x[0].reshape(4, 16).T @ x[0].reshape(4, 16) for x in maps]
    assert table.values[0, 0] == pytest.approx(compare(*grams, MutualKnn(k=3)))
