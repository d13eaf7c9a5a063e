# SPDX-License-Identifier: Apache-2.0
"""Calibration by permutation, against a plain loop, stored results of calibrated-similarity, and the package itself."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from comparison_data import METHODS, Closeness, gram, method_name

import simplugins
from simplugins.comparisons import resolve_method

NAMES = [method.name for method in METHODS]


def unrelated(seed, inputs=20, channels=60):
    rng = np.random.default_rng(seed)
    return [gram(rng.normal(size=(inputs, channels))) for _ in range(2)]


def related_features(seed=0, inputs=20):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, 6))
    return x, x @ rng.normal(size=(6, 8)) + rng.normal(size=(inputs, 8))


def related(seed=0, inputs=20):
    return [gram(x) for x in related_features(seed, inputs)]


def random_orders(inputs=20, count=99, seed=5):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(inputs) for _ in range(count)])


def by_definition(observed, null, alpha, best, sign=1):
    """Return threshold, score and p-value as Gröger et al. define them, of signed values."""
    observed, best, null = sign * observed, sign * best, [sign * value for value in null]
    threshold = sorted([observed, *null])[math.ceil((1 - alpha) * (len(null) + 1)) - 1]
    score = min(1.0, max(0.0, (observed - threshold) / (best - threshold)))
    return sign * threshold, score, (1 + sum(value >= observed for value in null)) / (len(null) + 1)


@pytest.mark.parametrize("data", [related, unrelated])
@pytest.mark.parametrize("method", [*NAMES, Closeness()], ids=method_name)
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_calibrations_follow_the_definitions(data, method, alpha):
    a, b = data(1)
    orders = random_orders()
    compare = resolve_method(method)
    null = [compare(a, b[np.ix_(order, order)]) for order in orders]
    distance = compare.larger_is_more_similar is False
    best = compare.range[0 if distance else 1]
    expected = by_definition(compare(a, b), null, alpha, best, -1 if distance else 1)
    result = simplugins.calibrate(a, b, method, orders=orders, alpha=alpha)
    assert (result.threshold, result.score, result.p_value) == pytest.approx(expected, abs=1e-9)
    assert result.value == compare(a, b)
    assert result.chance == pytest.approx(np.mean(null))
    np.testing.assert_allclose(result.null_distribution, null, atol=1e-9)
    assert (result.score > 0) == (result.p_value <= alpha)


def test_the_seed_determines_the_permutations():
    a, b = related()
    rng = np.random.default_rng(3)
    orders = np.array([rng.permutation(20) for _ in range(50)])
    seeded = simplugins.calibrate(a, b, permutations=50, seed=3)
    stated = simplugins.calibrate(a, b, orders=orders)
    np.testing.assert_array_equal(seeded.null_distribution, stated.null_distribution)
    test = simplugins.permutation_test(a, b, "cka-debiased", permutations=50, seed=3)
    np.testing.assert_array_equal(seeded.null_distribution, test.null_distribution)
    assert (seeded.value, seeded.p_value) == (test.value, test.p_value)
    assert seeded.permutations == 50


@pytest.mark.parametrize("method", [*NAMES, Closeness()], ids=method_name)
def test_equal_rsms_have_a_score_of_one(method):
    a, _ = related()
    result = simplugins.calibrate(a, a, method, permutations=99)
    assert (result.score, result.p_value) == (1, 0.01)


def test_methods_without_a_best_value_have_no_score():
    def overlap(a, b):
        return float((a * b).sum())

    a, b = related()
    result = simplugins.calibrate(a, b, overlap, permutations=99)
    assert result.score is None
    assert result.p_value == simplugins.permutation_test(a, b, overlap, permutations=99).p_value == 0.01
    assert result.value > result.threshold
    overlap.range = (0, np.inf)
    assert simplugins.calibrate(a, b, overlap, permutations=99).score is None
    assert "score" in repr(result)


def test_ties_within_rounding_are_not_above_the_threshold():
    matrix = np.ones((6, 6)) + np.eye(6)
    matrix[0, 1] = matrix[1, 0] = 1.5
    orders = np.array([[0, 1, *rest] for rest in ([2, 3, 5, 4], [3, 2, 4, 5], [5, 4, 3, 2])] * 7)
    result = simplugins.calibrate(matrix, matrix, "cka", orders=orders)
    np.testing.assert_allclose(result.null_distribution, 1, atol=1e-12)
    assert (result.score, result.p_value) == (0, 1)


def test_all_orders_are_used_if_there_are_few():
    a, b = related(inputs=5)
    result = simplugins.calibrate(a, b, permutations=119)
    assert (result.exact, result.permutations) == (True, 119)
    assert "all 119 permutations" in repr(result)
    assert not simplugins.calibrate(a, b, permutations=118).exact


def test_too_few_permutations_for_the_level_raise_a_warning():
    a, b = related()
    with pytest.warns(RuntimeWarning, match=r"18 permutations.* 19 "):
        result = simplugins.calibrate(a, b, permutations=18)
    assert result.score == 0
    assert simplugins.calibrate(a, b, permutations=19).score > 0


def test_whole_groups_are_exchanged():
    rng = np.random.default_rng(1)
    a, b = (gram(rng.normal(size=(12, 5))) for _ in range(2))
    groups = np.array([3, 1, 2, 0, 3, 1, 2, 0, 3, 1, 2, 0])
    result = simplugins.calibrate(a, b, "rsa-pearson", groups=groups, permutations=20)
    test = simplugins.permutation_test(a, b, "rsa-pearson", groups=groups, permutations=20)
    np.testing.assert_array_equal(result.null_distribution, test.null_distribution)
    assert result.p_value == test.p_value
    everything = simplugins.calibrate(a, b, "rsa-pearson", groups=groups, permutations=23)
    assert everything.exact
    assert everything.permutations == 23
    with pytest.raises(ValueError, match=r"groups.*orders"):
        simplugins.calibrate(a, b, groups=groups, orders=[range(12)])
    with pytest.raises(ValueError, match=r"groups.*equal size"):
        simplugins.calibrate(a, b, groups=[0] * 5 + [1] * 7)


def test_crops_of_unrelated_networks_are_not_significant_by_groups():
    def crops(rng):
        return gram(np.repeat(rng.normal(size=(10, 8)), 3, axis=0) + 0.5 * rng.normal(size=(30, 8)))

    rng, groups = np.random.default_rng(0), np.repeat(np.arange(10), 3)
    pairs = [(crops(rng), crops(rng)) for _ in range(40)]
    by_groups, by_inputs = (
        [simplugins.calibrate(*pair, groups=each, permutations=39).score > 0 for pair in pairs]
        for each in (groups, None)
    )
    assert sum(by_groups) <= 6
    assert sum(by_inputs) >= 36  # what groups are for


@pytest.mark.parametrize("unit", [1e-14, 1.0, 1e9])
def test_the_unit_of_a_function_does_not_matter(unit):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 5))
    a, b = gram(x), gram(x + rng.normal(size=x.shape))

    def scaled(first, second):
        return unit * float((first * second).mean())

    scaled.range = (0, unit * 1e4)
    result = simplugins.calibrate(a, b, scaled, permutations=39)
    values = [float((a * b[np.ix_(order, order)]).mean()) for order in _orders(20, 39)]
    expected = (1 + np.count_nonzero(values >= (a * b).mean())) / 40
    assert result.p_value == pytest.approx(expected)
    assert result.score > 0
    assert simplugins.permutation_test(a, b, scaled, permutations=39).p_value == pytest.approx(expected)
    with pytest.warns(RuntimeWarning, match="plain function"):
        difference = simplugins.difference_test((a, a), (a, b), scaled, resamples=60)
    assert difference.p_value == pytest.approx(2 / 61)


def _orders(inputs, permutations, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(inputs) for _ in range(permutations)]


def test_constant_rsms_have_no_calibration():
    a, _ = related()
    with pytest.warns(RuntimeWarning, match="constant"):
        result = simplugins.calibrate(a, np.ones((20, 20)))
    assert np.isnan([result.value, result.threshold, result.score, result.p_value]).all()


def test_missing_pairs_are_left_out():
    a, b = related()
    a[3, 7] = a[7, 3] = np.nan
    orders = random_orders(count=40)
    result = simplugins.calibrate(a, b, "rsa-spearman", orders=orders, missing="omit")
    null = [simplugins.compare(a, b[np.ix_(o, o)], "rsa-spearman", missing="omit") for o in orders]
    np.testing.assert_allclose(result.null_distribution, null, atol=1e-12)


def test_bad_options_are_named():
    a, b = related()
    for alpha in (0, 1, "0.05"):
        with pytest.raises(ValueError, match="alpha"):
            simplugins.calibrate(a, b, alpha=alpha)
    with pytest.raises(ValueError, match="permutations"):
        simplugins.calibrate(a, b, permutations=0)
    with pytest.raises(ValueError, match=r"orders\b.*\(K, 20\).*\(1, 19\)"):
        simplugins.calibrate(a, b, orders=[range(19)])
    with pytest.raises(ValueError, match=r"orders\[1\]"):
        simplugins.calibrate(a, b, orders=[[*range(20)], [0] * 20])


# calibrated-similarity


def linear_cka(x, y):
    """CKA of linear kernels, in float64."""
    x, y = (z - z.mean(0) for z in (x, y))
    a, b = x @ x.T, y @ y.T
    return (a * b).sum() / (a.norm() * b.norm())


# calibrated-similarity 0.1.1 with `linear_cka`, K=99, alpha=0.05 and the permutations of random_orders(), in float64
# (see test_calibrations_equal_those_of_calibrated_similarity, which computes them again where it is installed).
STORED = {
    "related": (0.6643878937340779, 0.01, 0.28726628614558847),  # score, p-value, threshold
    "unrelated": (0.0, 0.45, 0.7705081910633835),
}


def layers_of_features(inputs=20):
    rng = np.random.default_rng(4)
    x, y = related_features(1, inputs)
    first = {"conv1": x, "conv2": rng.normal(size=(inputs, 5))}
    return first, {"block1": y, "block2": rng.normal(size=(inputs, 5)), "block3": x + 2 * rng.normal(size=x.shape)}


def features(name):
    if name == "related":
        return related_features()
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 60)), rng.normal(size=(20, 60))


@pytest.mark.parametrize("name", STORED)
def test_calibrations_equal_stored_ones_of_calibrated_similarity(name):
    x, y = features(name)
    result = simplugins.calibrate(gram(x), gram(y), "cka", orders=random_orders())
    assert (result.score, result.p_value, result.threshold) == pytest.approx(STORED[name], abs=1e-9)


def float64_calibration(monkeypatch):
    """Return calibrated_similarity's module, computing in float64 rather than float32."""
    module = pytest.importorskip("calibrated_similarity.calibration")
    torch = pytest.importorskip("torch")
    precise = SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch)})
    precise.float32 = torch.float64
    monkeypatch.setattr(module, "torch", precise)
    return module, torch


def stepping(torch, orders):
    """Return a `perm_fn` of calibrated-similarity that returns the orders, one after the other."""
    remaining = iter(orders)
    return lambda n, device: torch.as_tensor(next(remaining))


@pytest.mark.parametrize("name", STORED)
def test_calibrations_equal_those_of_calibrated_similarity(name, monkeypatch):
    module, torch = float64_calibration(monkeypatch)
    x, y = features(name)
    expected = module.calibrate(
        torch.as_tensor(x), torch.as_tensor(y), linear_cka, K=99, perm_fn=stepping(torch, random_orders())
    )
    assert tuple(map(float, expected)) == pytest.approx(STORED[name], abs=1e-9)


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_tables_equal_those_of_calibrated_similarity(mode, monkeypatch):
    module, torch = float64_calibration(monkeypatch)
    first, second = layers_of_features()
    rng = np.random.default_rng(2)
    orders = [rng.permutation(20) for _ in range(60)]
    expected = module.calibrate_layers(
        *([torch.as_tensor(x) for x in layers.values()] for layers in (first, second)),
        linear_cka,
        agg=mode,
        K=60,
        alpha=0.1,
        perm_fn=stepping(torch, orders),
    )
    rsms = [
        {name: simplugins.RSM.from_similarities(gram(x)) for name, x in layers.items()} for layers in (first, second)
    ]
    table = simplugins.compare_layers(*rsms, "cka", calibrate=mode, permutations=60, alpha=0.1, seed=2)
    result = table.calibration.aggregate
    assert (result.score, result.p_value, result.threshold) == pytest.approx(tuple(map(float, expected)), abs=1e-9)
