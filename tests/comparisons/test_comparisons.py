# SPDX-License-Identifier: Apache-2.0
"""Methods of comparing RSMs: against rsatoolbox, ckatorch and SciPy, by hand, and by what they declare."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import subprocess
import sys
import warnings
from math import acos, pi, sqrt

import numpy as np
import pytest
import torch
from ckatorch import cka_base
from hypothesis import given, settings
from hypothesis import strategies as st
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as compare_rdms
from scipy.stats import kendalltau, rankdata
from wheels import build_wheel, pip_install

import simplugins
from simplugins import plugins
from simplugins.comparisons import Method, all_pairs, compare, pairwise, resolve_method
from simplugins.comparisons.cka import angular_cka, cka, cka_debiased
from simplugins.comparisons.kendall import tau_a, tau_b
from simplugins.comparisons.norm_difference import norm_difference
from simplugins.comparisons.rsa import ranks, rsa_cosine, rsa_pearson, rsa_spearman

GROUP = "simplugins.comparisons"
METHODS = [
    cka,
    cka_debiased,
    angular_cka,
    rsa_pearson,
    rsa_spearman,
    tau_a,
    tau_b,
    rsa_cosine,
    norm_difference,
]
FACTS = {method.name: method for method in METHODS}
RSATOOLBOX = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-kendall-tau-b": "tau-b",
    "rsa-cosine": "cosine",
}
# Derived once by hand from the features of `pair` below, and found by several tools for CKA and RSA.
BY_HAND = {
    "cka": 0.806586650962,
    "cka-debiased": 0.696740713107,
    "angular-cka": 0.632441590607,
}
BY_HAND_OF_SQUARED_DISTANCES = {
    "cka": 0.806586650962,
    "rsa-spearman": 0.618787182966,
    "rsa-pearson": 0.625171330293,
    "rsa-cosine": 0.938040444144,
    "rsa-kendall-tau-a": 0.457343,
    "rsa-kendall": 0.457343,
}

every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def gram(features):
    return features @ features.T


def features_of_pair():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 7))
    return a, 0.6 * a @ rng.normal(size=(7, 9)) + rng.normal(size=(12, 9))


def pair():
    a, b = features_of_pair()
    return gram(a), gram(b)


def indefinite(seed, inputs=9):
    matrix = np.random.default_rng(seed).normal(size=(inputs, inputs))
    return matrix + matrix.T


def squared_distances(matrix):
    own = matrix.diagonal()
    return own[:, None] + own - 2 * matrix


def rdms(matrix):
    return RDMs(matrix[None])


def matched_rsms(photos):
    """RSMs of matched positions, which are indefinite in general."""
    layers = (photos["block10"], photos["block15"])
    return [simplugins.compute_rsm(layer[:12], "semantic-linear").values for layer in layers]


def with_ties(seed):
    return np.round(indefinite(seed))


PAIRS = {
    "features": pair,
    "indefinite": lambda: (indefinite(1), indefinite(2)),
    "ties": lambda: (with_ties(3), with_ties(4)),
}


@pytest.fixture(params=[*PAIRS, "matched"])
def two(request):
    if request.param == "matched":
        return matched_rsms(request.getfixturevalue("photos"))
    return PAIRS[request.param]()


# Against other tools


@pytest.mark.parametrize("name", RSATOOLBOX)
def test_rsa_is_that_of_rsatoolbox(two, name):
    expected = compare_rdms(*map(rdms, two), method=RSATOOLBOX[name]).item()
    assert compare(*two, name) == pytest.approx(expected, abs=1e-9)


def test_cka_is_rsatoolboxs_whitened_cosine_of_squared_distances(two):
    expected = compare_rdms(*(rdms(squared_distances(matrix)) for matrix in two), method="cosine_cov").item()
    assert compare(*two, "cka") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("inputs", [5, 64])
def test_cka_is_that_of_ckatorch_from_features(unbiased, inputs):
    rng = np.random.default_rng(inputs)
    x, y = rng.normal(size=(inputs, 6)), rng.normal(size=(inputs, 3)) + 1
    expected = cka_base(torch.from_numpy(x), torch.from_numpy(y), unbiased=unbiased, method="fro_norm").item()
    assert compare(gram(x), gram(y), "cka-debiased" if unbiased else "cka") == pytest.approx(expected, abs=1e-9)


def test_debiased_cka_is_the_ratio_of_the_hsics_of_song(two):
    def hsic(k, m):
        n = len(k)
        k, m = k - np.diag(k.diagonal()), m - np.diag(m.diagonal())
        cross = k.sum() * m.sum() / (n - 1) / (n - 2) - 2 * (k @ m).sum() / (n - 2)
        return (np.trace(k @ m) + cross) / (n * (n - 3))

    a, b = two
    expected = hsic(a, b) / sqrt(hsic(a, a) * hsic(b, b))
    assert compare(a, b, "cka-debiased") == pytest.approx(expected, abs=1e-9)


def test_angular_cka_is_the_arc_cosine_of_cka(two):
    assert compare(*two, "angular-cka") == pytest.approx(acos(compare(*two, "cka")), abs=1e-12)


def test_norm_difference_by_its_formula(two):
    a, b = (matrix / np.linalg.norm(matrix) for matrix in two)
    assert compare(*two, "norm-difference") == pytest.approx(np.linalg.norm(a - b), abs=1e-12)


def test_kendall_is_that_of_scipy_which_is_tau_b(two):
    expected = kendalltau(*(matrix[np.triu_indices(len(matrix), 1)] for matrix in two)).statistic
    assert compare(*two, "rsa-kendall") == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_ranks_are_those_of_scipy(values):
    np.testing.assert_array_equal(ranks(np.array(values, float)), rankdata(values))


@pytest.mark.parametrize("name", BY_HAND)
def test_values_by_hand_of_inner_products(name):
    assert compare(*pair(), name) == pytest.approx(BY_HAND[name], abs=1e-12)


@pytest.mark.parametrize("name", BY_HAND_OF_SQUARED_DISTANCES)
def test_values_by_hand_of_squared_distances(name):
    expected = BY_HAND_OF_SQUARED_DISTANCES[name]
    assert compare(*map(squared_distances, pair()), name) == pytest.approx(
        expected, abs=1e-6 if expected < 0.5 else 1e-12
    )


# What a method declares


def transformed(invariance, matrix, rng):
    shifts = rng.normal(size=len(matrix))
    if invariance == "monotone":
        changed = np.exp(matrix / np.abs(matrix).max())
        np.fill_diagonal(changed, matrix.diagonal())
        return changed
    return {
        "scaling": lambda: 3.7 * matrix,
        "constant": lambda: matrix + 2.5,
        "translation": lambda: matrix + shifts[:, None] + shifts,
        "diagonal": lambda: matrix + np.diag(3 * shifts),
    }[invariance]()


INVARIANCES = ["scaling", "constant", "translation", "diagonal", "monotone"]


@every_method
@pytest.mark.parametrize("invariance", INVARIANCES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_declared_invariances_hold_and_others_do_not(method, invariance, seed):
    rng = np.random.default_rng(seed)
    a, b = (gram(rng.normal(size=(12, 5))) + 0.3 * indefinite(seed + k, 12) for k in range(2))
    expected = method(a, b)
    changes = [
        method(transformed(invariance, a, rng), b) - expected,
        method(a, transformed(invariance, b, rng)) - expected,
    ]
    if invariance in method.invariances:
        assert changes == pytest.approx([0, 0], abs=1e-10)
    else:
        assert np.abs(changes).max() > 1e-4


def test_no_other_invariances_are_declared():
    assert set(INVARIANCES) == set().union(*(method.invariances for method in METHODS))


@every_method
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), inputs=st.integers(4, 9))
def test_order_of_inputs_and_of_matrices_does_not_matter(method, seed, inputs):
    a, b = indefinite(seed, inputs), indefinite(seed + 1, inputs)
    order = np.random.default_rng(seed).permutation(inputs)
    shuffled = np.ix_(order, order)
    assert method.is_symmetric
    assert method(b, a) == pytest.approx(method(a, b), abs=1e-12)
    assert method(a[shuffled], b[shuffled]) == pytest.approx(method(a, b), abs=1e-10)


@every_method
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), inputs=st.integers(4, 9))
def test_values_lie_in_the_declared_range_and_reach_the_similar_end(method, seed, inputs):
    low, high = method.range
    a = indefinite(seed, inputs)
    assert low <= method(a, indefinite(seed + 1, inputs)) <= high
    assert method(a, a) == (high if method.larger_is_more_similar else low)
    assert method(a, -a) == pytest.approx(low if method.larger_is_more_similar else high, abs=1e-7)


@pytest.mark.parametrize("method", [m for m in METHODS if m.is_metric], ids=lambda method: method.name)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), nearness=st.floats(1e-4, 10))
def test_metrics_obey_the_triangle_inequality_on_indefinite_matrices_too(method, seed, nearness):
    a, c = indefinite(seed, 5), indefinite(seed + 1, 5)
    b = a + nearness * indefinite(seed + 2, 5)
    for one, other, between in itertools.permutations((a, b, c)):
        assert method(one, other) <= method(one, between) + method(between, other) + 1e-9


def test_only_distances_are_called_metrics():
    assert {method.name for method in METHODS if method.is_metric} == {"angular-cka", "norm-difference"}
    assert {method.name for method in METHODS if not method.larger_is_more_similar} == {
        "angular-cka",
        "norm-difference",
    }


def test_positive_semidefinite_matrices_have_the_narrower_ranges():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = (gram(rng.normal(size=(8, 2))) for _ in range(2))
        assert 0 <= cka(a, b) <= 1
        assert angular_cka(a, b) <= pi / 2
        assert norm_difference(a, b) <= sqrt(2)


@every_method
@pytest.mark.parametrize("scale", [1e-160, 1e-200, 1e150, 1e300])
def test_extreme_values_neither_overflow_nor_vanish(method, scale):
    a, b = pair()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    assert method(scale * a, b / scale) == pytest.approx(method(a, b), abs=1e-9)


def test_debiased_cka_does_not_see_how_large_the_diagonal_is():
    a, b = pair()
    assert cka_debiased(a + 1e200 * np.eye(12), b) == pytest.approx(cka_debiased(a, b), abs=1e-12)


def test_debiased_cka_of_independent_features_is_near_zero_and_biased_cka_is_not():
    rng = np.random.default_rng(0)
    a, b = (gram(rng.normal(size=(64, 512))) for _ in range(2))
    assert cka(a, b) > 0.8
    assert abs(cka_debiased(a, b)) < 0.1


def test_similarities_and_dissimilarities_correlate_with_opposite_signs():
    a, b = (np.corrcoef(features) for features in features_of_pair())
    for method in (rsa_pearson, rsa_spearman, tau_a, tau_b):
        assert method(1 - a, 1 - b) == pytest.approx(method(a, b), abs=1e-12)
        assert method(1 - a, b) == pytest.approx(-method(a, b), abs=1e-12)
    assert abs(rsa_cosine(1 - a, 1 - b) - rsa_cosine(a, b)) > 0.1


def test_a_method_is_frozen_and_shows_its_facts():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cka.name = "other"
    assert repr(cka).startswith("Method(name='cka', larger_is_more_similar=True")


# All pairs


def stacks(inputs=9):
    return [indefinite(seed, inputs) for seed in range(3)], [indefinite(seed, inputs) for seed in range(10, 14)]


def loop(method, a, b):
    return np.array([[method(one, other) for other in b] for one in a])


@every_method
def test_all_pairs_are_what_single_calls_give(method):
    a, b = stacks()
    np.testing.assert_allclose(method.pairwise(a, b), loop(method, a, b), rtol=0, atol=1e-12)
    np.testing.assert_allclose(pairwise(method.name, a, b), loop(method, a, b), rtol=0, atol=1e-12)


@every_method
def test_all_pairs_of_one_set(method):
    a, _ = stacks()
    found = method.pairwise(a)
    np.testing.assert_allclose(found, loop(method, a, a), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(
        found.diagonal(), method.range[1] if method.larger_is_more_similar else method.range[0]
    )


@every_method
@pytest.mark.parametrize("vectors", [2, 3, 6])
def test_all_pairs_do_not_depend_on_the_memory_there_is(method, vectors):
    a, b = ({f"{k}": matrix for k, matrix in enumerate(stack)} for stack in stacks())
    room = {"vector_bytes": vectors * 4 * 9 * 10}
    for other in (b, None):
        found = all_pairs.relate_all(method, a, other, **room)
        np.testing.assert_allclose(found, all_pairs.relate_all(method, a, other), rtol=0, atol=1e-12)


@every_method
def test_each_matrix_is_embedded_once_if_there_is_room(method):
    embedded = []

    def embed(matrix, counts):
        embedded.append(matrix)
        return method.embed(matrix, counts)

    watched = dataclasses.replace(method, embed=embed)
    a, b = stacks()
    watched.pairwise(a, b)
    assert len(embedded) == 7
    embedded.clear()
    watched.pairwise(a)
    assert len(embedded) == 3


def test_all_pairs_by_a_plain_function():
    def overlap(a, b):
        return (a * b).sum()

    a, b = stacks()
    np.testing.assert_array_equal(pairwise(overlap, a, b), loop(overlap, a, b))
    np.testing.assert_array_equal(pairwise(overlap, a), loop(overlap, a, a))


def test_all_pairs_take_mappings_and_stacks():
    a, b = stacks()
    np.testing.assert_array_equal(pairwise("cka", dict(zip("abc", a, strict=True)), np.array(b)), pairwise("cka", a, b))


# Comparing by name


def test_every_plugin_is_a_method_of_its_name():
    names = {plugin.name for plugin in plugins.available(GROUP)}
    assert names >= {*FACTS, "rsa-kendall"}
    for name, method in FACTS.items():
        assert resolve_method(name) is method
    assert resolve_method("rsa-kendall") is tau_b


def test_callables_are_resolved_to_themselves():
    assert resolve_method(max) is max
    assert resolve_method(cka) is cka


def test_unknown_methods():
    with pytest.raises(ValueError, match=r"has no plugin 'rsa-speerman' \(nearest: rsa-spearman.*available: .*cka"):
        compare(*pair(), "rsa-speerman")
    with pytest.raises(TypeError, match=r"name of a comparison, or a callable \(a, b\) -> float, got int"):
        compare(*pair(), 3)


def test_plain_functions_get_float64_arrays_and_are_to_return_a_number():
    def typed(a, b):
        assert type(a) is np.ndarray
        assert a.dtype == b.dtype == np.float64
        return torch.tensor(2.5)

    found = compare(pair()[0].astype(np.float32), torch.from_numpy(pair()[1]), typed)
    assert found == 2.5
    assert type(found) is float
    with pytest.raises(TypeError, match="<lambda> was to return a number, got ndarray"):
        compare(*pair(), lambda a, b: a)
    with pytest.raises(TypeError, match="<lambda> was to return a number, got str"):
        compare(*pair(), lambda a, b: "much")


def test_plain_functions_may_spoil_what_they_get():
    def spoiling(a, b):
        a -= a.mean()
        b *= 0
        return a.sum()

    a, b = pair()
    kept = a.copy(), b.copy()
    compare(a, b, spoiling)
    np.testing.assert_array_equal((a, b), kept)


def test_a_third_partys_plugin_has_a_name(tmp_path):
    wheel = build_wheel(
        tmp_path,
        "trace-comparison",
        "1.0",
        {"trace": "trace_comparison:trace"},
        {"trace_comparison": "def trace(a, b): return (a * b).sum()"},
        group=GROUP,
    )
    subprocess.run(pip_install(tmp_path / "site", wheel), check=True)
    code = (
        "import numpy; from simplugins.comparisons import compare; print(compare(numpy.eye(3), numpy.eye(3), 'trace'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "3.0\n", done.stderr


def test_a_plain_function_may_compare_matrices_that_are_not_symmetric():
    matrix = np.arange(9.0).reshape(3, 3)
    assert compare(matrix, matrix, lambda a, b: (a * b).sum()) == 204


@every_method
def test_results_are_floats_and_arguments_stay_as_they_are(method):
    a, b = pair()
    kept = a.copy(), b.copy()
    assert type(compare(a, b, method)) is float
    method.pairwise([a], [b])
    np.testing.assert_array_equal((a, b), kept)


def test_integers_lists_and_tensors_are_read():
    a = np.array([[4, 1, 0], [1, 5, 2], [0, 2, 6]])
    b = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]])
    expected = compare(a.astype(float), b)
    assert compare(a.tolist(), torch.from_numpy(b)) == expected
    assert compare(a, b.tolist()) == expected


# RSMs and their labels


@pytest.fixture(scope="module")
def rsms():
    sets = np.random.default_rng(0).normal(size=(2, 5, 6, 3))
    return [simplugins.compute_rsm(x, "semantic-cosine", labels=list("abcde")) for x in sets]


def relabelled(rsm, labels):
    return dataclasses.replace(rsm, labels=labels)


def reordered(rsm, order):
    return dataclasses.replace(
        rsm,
        values=rsm.values[np.ix_(order, order)],
        squared_norms=rsm.squared_norms[order],
        labels=rsm.labels[order],
    )


def test_rsms_are_compared_by_their_values(rsms):
    expected = compare(rsms[0].values, rsms[1].values)
    assert compare(*rsms) == expected
    assert compare(rsms[0], rsms[1].values) == expected
    assert cka(*rsms) == expected
    assert compare(rsms[0], relabelled(rsms[1], None)) == expected


def test_labels_are_checked(rsms):
    a, b = rsms
    with pytest.raises(ValueError, match=r"^labels differ: input 2 is 'c' in rsm_a, 'x' in rsm_b$"):
        compare(a, relabelled(b, list("abxde")))
    with pytest.raises(ValueError, match="input 0 is 'a' in rsm_a, 1 in rsm_b"):
        compare(a, relabelled(b, [1, 2, 3, 4, 5]))
    with pytest.raises(
        ValueError,
        match=r"input 0 is 'a' in rsm_a, 'e' in rsm_b; they have the same labels in another order, which comp",
    ):
        compare(a, reordered(b, [4, 3, 2, 1, 0]))
    with pytest.raises(ValueError, match=re.escape("input 1 is 'b' in matrices_a['one'], 'x' in matrices_b['other']")):
        pairwise(max, {"one": a}, {"other": relabelled(b, list("axcde"))})


def test_alignment_puts_the_second_in_the_order_of_the_first(rsms):
    a, b = rsms
    expected = compare(a, b)
    assert compare(a, reordered(b, [2, 0, 4, 1, 3]), align=True) == pytest.approx(expected, abs=1e-12)
    assert compare(a, b, align=True) == expected
    numbered = [relabelled(rsm, [7, 5, 3, 2, 1]) for rsm in rsms]
    assert compare(numbered[0], reordered(numbered[1], [1, 2, 3, 4, 0]), align=True) == pytest.approx(
        expected, abs=1e-12
    )


def test_alignment_needs_labels_that_tell_inputs_apart(rsms):
    a, b = rsms
    with pytest.raises(ValueError, match="by their labels, and rsm_b has none"):
        compare(a, b.values, align=True)
    with pytest.raises(ValueError, match="by their labels, and rsm_a has none"):
        compare(relabelled(a, None), b, align=True)
    with pytest.raises(ValueError, match="rsm_b: it lacks 2 of the labels asked for, the first 'b'"):
        compare(a, relabelled(b, list("axcye")), align=True)
    with pytest.raises(ValueError, match="rsm_b: it has 1 labels that are not asked for, the first 'e'"):
        compare(relabelled(a, list("abcda")), b, align=True)
    with pytest.raises(ValueError, match="label 'a' names more than one input"):
        compare(relabelled(a, list("aabbc")), relabelled(b, list("abcab")), align=True)
    same = [relabelled(rsm, list("aabbc")) for rsm in rsms]
    assert compare(*same, align=True) == compare(*rsms)


def test_rsms_of_inputs_with_others_are_refused(rsms):
    x = np.random.default_rng(1).normal(size=(5, 6, 3))
    between = simplugins.compute_rsm(x, other=x)
    with pytest.raises(ValueError, match="rsm_b holds similarities of 5 inputs to 5 others: only RSMs of inputs with"):
        compare(rsms[0], between)
    with pytest.raises(ValueError, match="rsm_b holds similarities of 5 inputs to 5 others"):
        compare(rsms[0], between, align=True)


# Input that cannot be compared


def spoilt(*changes):
    matrix = gram(np.random.default_rng(0).normal(size=(5, 3)))
    for i, j, value in changes:
        matrix[i, j] = value
    return matrix


@every_method
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((3, 4)), r"rsm_b: expected a square matrix, inputs x inputs, got shape \(3, 4\)"),
        (np.ones(10), r"rsm_b: expected a square matrix, inputs x inputs, got shape \(10,\)"),
        (np.ones((6, 6)), "if they are of the same inputs: rsm_a has 5, rsm_b 6"),
        (spoilt((1, 2, np.nan), (3, 0, np.inf)), "rsm_b holds 2 NaN or infinite values, the first at row 1, column 2"),
        (
            spoilt((1, 2, 9.0), (2, 1, 7.0)),
            "rsm_b is not symmetric: at row 1, column 2 it is 9, at row 2, column 1 it is 7",
        ),
    ],
)
def test_bad_matrices(method, matrix, message):
    with pytest.raises(ValueError, match=message):
        compare(spoilt(), matrix, method)


@pytest.mark.parametrize("matrix", [np.eye(3) == 1, np.eye(3) * 1j, np.eye(3).astype(str), [[1, 2], [3]]])
def test_bad_types(matrix):
    with pytest.raises(TypeError, match="rsm_a: expected"):
        compare(matrix, np.eye(3))


@pytest.mark.parametrize(("name", "least"), [("cka", 2), ("cka-debiased", 4), ("rsa-spearman", 3), ("rsa-cosine", 2)])
def test_too_few_inputs(name, least):
    a, b = indefinite(0, least), indefinite(1, least)
    assert np.isfinite(compare(a, b, name))
    with pytest.raises(ValueError, match=f"{name} needs at least {least} inputs, got {least - 1}"):
        compare(a[1:, 1:], b[1:, 1:], name)
    with pytest.raises(ValueError, match="<lambda> needs at least 2 inputs, got 1"):
        compare([[1]], [[1]], lambda a, b: 0)


def test_asymmetry_of_rounding_counts_for_nothing():
    a, b = pair()
    rounded = (gram(features.astype(np.float32)).astype(float) for features in features_of_pair())
    skewed = a * (1 + 1e-6 * np.triu(np.random.default_rng(0).normal(size=a.shape)))
    assert cka(*rounded) == pytest.approx(cka(a, b), abs=1e-6)
    assert cka(skewed, b) == pytest.approx(cka(a, b), abs=1e-6)
    assert cka(skewed, b) == cka(skewed.T.copy(), b)


def test_errors_name_the_matrix_of_many():
    a, b = stacks()
    b[2] = b[2] * np.nan
    with pytest.raises(
        ValueError, match=re.escape("matrices_b[2] holds 81 NaN or infinite values, the first at row 0")
    ):
        pairwise("cka", a, b)
    with pytest.raises(ValueError, match=re.escape("matrices_a['conv1']: expected a square matrix")):
        pairwise("cka", {"conv1": np.ones((2, 3))})
    with pytest.raises(ValueError, match="matrices_a: expected at least one matrix, got none"):
        pairwise("cka", [])
    with pytest.raises(ValueError, match=re.escape("matrices_a[0]: expected a square matrix, inputs x inputs, got sh")):
        pairwise("cka", a[0])
    with pytest.raises(TypeError, match="matrices_b: expected a sequence of matrices, or a mapping, got int"):
        pairwise("cka", a, 3)
    with pytest.raises(TypeError, match="matrices_a: expected a sequence of matrices, or a mapping, got RSM"):
        pairwise("cka", simplugins.compute_rsm(np.eye(4)))


# Constant RSMs

DEFINED_FOR_CONSTANTS = {"rsa-kendall-tau-a", "rsa-cosine", "norm-difference"}
CONSTANTS = [np.full((5, 5), 0.1), np.full((200, 200), 1 / 3), np.zeros((5, 5))]


@pytest.mark.parametrize("method", [m for m in METHODS if m.name not in DEFINED_FOR_CONSTANTS], ids=lambda m: m.name)
@pytest.mark.parametrize("constant", CONSTANTS, ids=["tenths", "thirds", "zeros"])
def test_a_constant_rsm_gives_nan_with_one_warning(method, constant):
    other = indefinite(0, len(constant))
    with pytest.warns(RuntimeWarning, match=f"^{method.name} is NaN, as an RSM is constant: rsm_b$") as caught:
        assert np.isnan(compare(other, constant, method))
    assert len(caught) == 1
    with pytest.warns(RuntimeWarning, match=r"constant: matrices_a\[1\], matrices_b\['c'\]$") as caught:
        found = pairwise(method, [other, constant], {"b": other, "c": constant, "d": other})
    np.testing.assert_array_equal(np.isnan(found), [[False, True, False], [True, True, True]])
    assert len(caught) == 1


@pytest.mark.parametrize("method", [rsa_cosine, norm_difference], ids=lambda method: method.name)
def test_a_zero_rsm_has_no_direction(method):
    with pytest.warns(RuntimeWarning, match=f"{method.name} is NaN, as an RSM is constant: a"):
        assert np.isnan(method(np.zeros((4, 4)), np.eye(4) + 1))
    assert np.isfinite(method(np.ones((4, 4)), np.eye(4) + 1))


def test_tau_a_of_a_constant_rsm_is_zero():
    assert tau_a(np.ones((4, 4)), indefinite(0, 4)) == 0


@pytest.mark.parametrize("method", [cka, cka_debiased, angular_cka], ids=lambda method: method.name)
def test_nothing_is_left_of_a_sum_of_row_and_column_under_cka(method):
    additive = np.add.outer(np.arange(6.0), np.arange(6.0)) / 3
    with pytest.warns(RuntimeWarning, match="is NaN"):
        assert np.isnan(method(additive, indefinite(0, 6)))


def test_small_variation_is_not_taken_for_rounding():
    a, b = pair()
    assert rsa_pearson(1 + 1e-9 * a, b) == pytest.approx(rsa_pearson(a, b), abs=1e-5)


def test_nothing_warns_on_ordinary_matrices():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            assert isinstance(method, Method)
            method.pairwise(*stacks())
