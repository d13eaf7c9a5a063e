# SPDX-License-Identifier: Apache-2.0
"""Rankings of models, against rsatoolbox's bootstraps with the same draws, and models whose order is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rsatoolbox.inference.evaluate as tool
from comparison_data import Closeness, gram, indefinite, method_name
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs
from scipy.special import stdtr, stdtrit

import simplugins
from simplugins.comparisons.resampling import draw

TOOL = {
    "rsa-pearson": "corr",
    "rsa-spearman": "spearman",
    "rsa-kendall-tau-a": "tau-a",
    "rsa-cosine": "cosine",
}


def rdms(matrices):
    upper = np.triu_indices(len(matrices[0]), 1)
    return RDMs(np.array([matrix[upper] for matrix in matrices]))


def models_and_targets(seed=0, inputs=14, targets=5, levels=(0.4, 0.9, 2.0)):
    """Return candidates, less like the truth from one to the next, and targets that are the truth with noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(inputs, 6))
    noisy = [truth + level * rng.normal(size=truth.shape) for level in levels]
    candidates = {f"noise {level}": gram(x) for level, x in zip(levels, noisy, strict=True)}
    return candidates, [gram(truth + 0.7 * rng.normal(size=truth.shape)) for _ in range(targets)]


@pytest.fixture
def same_draws(monkeypatch):
    """Return a function that makes rsatoolbox draw the inputs and targets that `rank_models` draws."""

    def prepare(least, inputs, targets, seed):
        rng = np.random.default_rng(seed)

        def sample(data, **options):
            numbers = np.repeat(np.arange(inputs), draw(rng, inputs, least))
            chosen = rng.integers(targets, size=targets)
            both = data.subsample("index", chosen).subsample_pattern("index", numbers)
            return both, chosen, numbers

        def sample_inputs(data, *options):
            numbers = np.repeat(np.arange(inputs), draw(rng, inputs, least))
            return data.subsample_pattern("index", numbers), numbers

        def sample_targets(data, *options):
            chosen = rng.integers(targets, size=targets)
            return data.subsample("index", chosen), chosen

        monkeypatch.setattr(tool, "bootstrap_sample", sample)
        monkeypatch.setattr(tool, "bootstrap_sample_pattern", sample_inputs)
        monkeypatch.setattr(tool, "bootstrap_sample_rdm", sample_targets)

    return prepare


def assert_variances_equal(ranking, result, order, degrees):
    """Check intervals and uncorrected p-values of differences against the variances of rsatoolbox."""
    models, upper = len(order), np.triu_indices(len(order), 1)
    quantile = stdtrit(degrees, 0.975)
    radii = (ranking.high - ranking.low) / 2
    np.testing.assert_allclose(radii, quantile * np.sqrt(result.model_var[order]), rtol=1e-9)
    differences = np.zeros((models, models))
    differences[upper] = result.diff_var
    differences = (differences + differences.T)[np.ix_(order, order)]
    widths = ranking.difference_high - ranking.difference_low
    np.testing.assert_allclose(widths / 2, quantile * np.sqrt(differences), rtol=1e-7, atol=1e-12)
    with np.errstate(invalid="ignore"):
        p_values = 2 * stdtr(degrees, -np.abs(ranking.differences) / np.sqrt(differences))[upper]
    expected = np.empty(p_values.size)  # Holm, by its definition
    largest = 0.0
    for step, k in enumerate(np.argsort(p_values)):
        largest = max(largest, min(1, p_values[k] * (p_values.size - step)))
        expected[k] = largest
    np.testing.assert_allclose(ranking.difference_p_values[upper], expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau:UserWarning")
@pytest.mark.parametrize("over", ["both", "inputs", "targets"])
@pytest.mark.parametrize("method", TOOL)
def test_variances_equal_those_of_rsatoolbox(method, over, same_draws):
    candidates, targets = models_and_targets()
    names = list(candidates)
    ranking = simplugins.rank_models(targets, candidates, method, over=over, resamples=40, permutations=9, seed=7)
    same_draws(3, 14, 5, seed=7)
    models = [ModelFixed(name, rdms([matrix])) for name, matrix in candidates.items()]
    evaluate = {
        "both": tool.eval_dual_bootstrap,
        "inputs": tool.eval_bootstrap_pattern,
        "targets": tool.eval_bootstrap_rdm,
    }
    result = evaluate[over](models, rdms(targets), method=TOOL[method], N=40)
    order = [names.index(name) for name in ranking.candidates]
    assert_variances_equal(ranking, result, order, {"both": 4, "inputs": 13, "targets": 4}[over])
    fixed = tool.eval_fixed(models, rdms(targets), method=TOOL[method]).evaluations[0]
    np.testing.assert_allclose(ranking.per_target, fixed[order], atol=1e-12)


@pytest.mark.filterwarnings("ignore:closeness is a plain function:RuntimeWarning")
@pytest.mark.parametrize("method", ["cka", "cka-debiased", "angular-cka", "rsa-spearman", Closeness], ids=method_name)
def test_values_and_p_values_are_those_of_single_comparisons(method):
    candidates, targets = models_and_targets(targets=1)
    ranking = simplugins.rank_models(targets[0], candidates, method, resamples=50, permutations=59, seed=3)
    for name, value, p_value in zip(ranking.candidates, ranking.per_target, ranking.p_values, strict=True):
        test = simplugins.permutation_test(candidates[name], targets[0], method, permutations=59, seed=3)
        assert value.item() == pytest.approx(test.value, abs=1e-12)
        assert p_value == test.p_value
    assert ranking.noise_ceiling is None
    assert ranking.targets == ("target",)


def test_targets_are_permuted_alike():
    candidates, targets = models_and_targets()
    ranking = simplugins.rank_models(targets, candidates, resamples=2, permutations=39, seed=5, confidence=0.3)
    rng = np.random.default_rng(5)
    orders = [np.arange(14), *(rng.permutation(14) for _ in range(39))]
    means = {
        name: np.array(
            [
                np.mean([simplugins.compare(matrix, target[np.ix_(o, o)], "cka-debiased") for target in targets])
                for o in orders
            ]
        )
        for name, matrix in candidates.items()
    }
    z = np.array([(means[name] - means[name].mean()) / means[name].std() for name in ranking.candidates])
    family = [(z.max(0) >= row[0] - 1e-9).mean() for row in z]
    np.testing.assert_allclose(ranking.family_p_values, family)
    single = [(means[name] >= means[name][0] - 1e-9).mean() for name in ranking.candidates]
    np.testing.assert_allclose(ranking.p_values, single)


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman", "norm-difference", "cka", "mutual-knn"])
@pytest.mark.parametrize("several", [True, False])
def test_models_with_more_noise_rank_lower(method, several):
    candidates, targets = models_and_targets(1, inputs=60, targets=6, levels=(4.0, 0.2, 1.0))
    ranking = simplugins.rank_models(targets if several else targets[0], candidates, method, resamples=100)
    assert ranking.candidates == ("noise 0.2", "noise 1.0", "noise 4.0")
    assert ranking.ranks.tolist() == [1, 2, 3]
    assert ranking.letters == ("a", "b", "c")
    assert (ranking.family_p_values >= ranking.p_values).all()


def test_equal_candidates_tie():
    candidates, targets = models_and_targets(inputs=30)
    candidates |= {"twin": candidates["noise 0.4"], "scaled": 3 * candidates["noise 0.4"]}
    ranking = simplugins.rank_models(targets, candidates, resamples=100, permutations=99)
    assert ranking.ranks[:3].tolist() == [1, 1, 1]
    assert set(ranking.candidates[:3]) == {"noise 0.4", "twin", "scaled"}
    np.testing.assert_array_equal(ranking.difference_p_values[:3, :3], 1)


def test_constant_candidates_come_last_without_a_rank():
    candidates, targets = models_and_targets(inputs=20)
    alone = simplugins.rank_models(targets, candidates, "rsa-spearman", resamples=50, permutations=19)
    with pytest.warns(RuntimeWarning, match="constant"):
        ranking = simplugins.rank_models(
            targets, {"constant": np.ones((20, 20)), **candidates}, "rsa-spearman", resamples=50, permutations=19
        )
    assert ranking.candidates == (*alone.candidates, "constant")
    assert ranking.ranks[-1] == 0
    assert np.isnan([ranking.p_values[-1], ranking.family_p_values[-1], ranking.low[-1], ranking.high[-1]]).all()
    np.testing.assert_array_equal(ranking.low[:-1], alone.low)
    np.testing.assert_array_equal(ranking.high[:-1], alone.high)
    np.testing.assert_array_equal(ranking.difference_p_values[:-1, :-1], alone.difference_p_values)


def test_pairs_missing_in_any_matrix_are_left_out_of_all():
    candidates, targets = models_and_targets(inputs=12, targets=3)
    holes = {0: (1, 5), 1: (2, 9)}
    incomplete = {name: matrix.copy() for name, matrix in candidates.items()}
    for number, (i, j) in holes.items():
        list(incomplete.values())[number][[i, j], [j, i]] = np.nan
    ranking = simplugins.rank_models(
        targets, incomplete, "rsa-pearson", missing="omit", resamples=30, permutations=9, confidence=0.9
    )
    upper = np.triu_indices(12, 1)
    present = ~np.isin(np.arange(66), [k for k, pair in enumerate(zip(*upper, strict=True)) if pair in holes.values()])
    for name, row in zip(ranking.candidates, ranking.per_target, strict=True):
        expected = [np.corrcoef(candidates[name][upper][present], t[upper][present])[0, 1] for t in targets]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    assert ranking.noise_ceiling == pytest.approx(
        simplugins.noise_ceiling(
            [np.where(np.isnan(sum(incomplete.values())), np.nan, t) for t in targets], "rsa-pearson", missing="omit"
        )
    )
    with pytest.raises(ValueError, match=r"candidates.*NaN"):
        simplugins.rank_models(targets, incomplete, "rsa-pearson")


def test_inputs_are_aligned_by_label():
    candidates, targets = models_and_targets(inputs=12)
    labels = [f"image{k}" for k in range(12)]
    order = np.random.default_rng(0).permutation(12)
    labelled = [simplugins.RSM.from_similarities(target, labels=labels) for target in targets]
    shuffled = {
        name: simplugins.RSM.from_similarities(matrix[np.ix_(order, order)], labels=np.array(labels)[order])
        for name, matrix in candidates.items()
    }
    options = {"resamples": 50, "permutations": 9}
    expected = simplugins.rank_models(targets, candidates, **options)
    aligned = simplugins.rank_models(labelled, shuffled, align=True, **options)
    np.testing.assert_allclose(aligned.per_target, expected.per_target, atol=1e-12)
    np.testing.assert_allclose([aligned.low, aligned.high], [expected.low, expected.high], atol=1e-12)
    with pytest.raises(ValueError, match="labels differ"):
        simplugins.rank_models(labelled, shuffled, **options)


@pytest.mark.parametrize("method", ["cka-debiased", "rsa-spearman", "mutual-knn"])
def test_groups_are_drawn_and_permuted_together(method):
    candidates, targets = models_and_targets(inputs=16, targets=1)
    name, groups = "noise 0.9", np.tile(np.arange(8), 2)
    options = {"method_options": {"k": 3} if method == "mutual-knn" else None, "groups": groups, "seed": 4}
    ranking = simplugins.rank_models(
        targets[0], {name: candidates[name]}, method, resamples=60, permutations=29, **options
    )
    interval = simplugins.bootstrap_interval(candidates[name], targets[0], method, resamples=60, **options)
    variance = interval.distribution.var(ddof=1) * 8 / 7
    low, high = ranking.low[0], ranking.high[0]
    assert (high - low) / 2 == pytest.approx(stdtrit(7, 0.975) * np.sqrt(variance))
    test = simplugins.permutation_test(candidates[name], targets[0], method, permutations=29, **options)
    assert ranking.p_values[0] == test.p_value


def test_targets_are_named_by_key_or_number():
    candidates, targets = models_and_targets()
    options = {"resamples": 2, "permutations": 9, "confidence": 0.3}
    assert simplugins.rank_models(np.stack(targets), candidates, **options).targets == ("0", "1", "2", "3", "4")
    assert simplugins.rank_models({"s1": targets[0]}, candidates, **options).targets == ("s1",)
    assert simplugins.rank_models(targets[0].tolist(), candidates, **options).targets == ("target",)


def test_few_inputs_have_no_intervals_and_all_their_orders():
    rng = np.random.default_rng(0)
    candidates = {"a": gram(rng.normal(size=(4, 3))), "b": gram(rng.normal(size=(4, 3)))}
    with pytest.warns(RuntimeWarning, match="at least 6 inputs"):
        ranking = simplugins.rank_models(gram(rng.normal(size=(4, 3))), candidates)
    assert np.isnan([ranking.low, ranking.high]).all()
    assert ranking.metadata["exact"]
    assert (ranking.p_values * 24 % 1 == 0).all()
    assert ranking.ranks.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"over": "both"}, ValueError, "over='both'.*at least 2"),
        ({"over": "subjects"}, ValueError, "over.*'subjects'"),
        ({"candidates": [np.eye(8)]}, TypeError, "candidates.*mapping"),
        ({"candidates": {}}, ValueError, "candidates.*at least one"),
        ({"target": []}, ValueError, "target.*at least one"),
        ({"confidence": 1.0}, ValueError, "confidence"),
        ({"groups": [0, 1]}, ValueError, "groups"),
        ({"groups": [0, 0, 0, 1, 1, 2, 2, 2]}, ValueError, "groups of equal size"),
        ({"resamples": 0}, ValueError, "resamples"),
        ({"permutations": 0.5}, ValueError, "permutations"),
        ({"candidates": {"small": indefinite(0, 7)}}, ValueError, r"candidates\['small'\]"),
        ({"candidates": {1: indefinite(0, 8), "1": indefinite(1, 8)}}, ValueError, "candidates.*'1'"),
    ],
)
def test_impossible_options_are_errors(options, error, match):
    arguments = {"target": indefinite(0, 8), "candidates": {"a": indefinite(1, 8)}, **options}
    with pytest.raises(error, match=match):
        simplugins.rank_models(**arguments)


def test_rankings_are_saved(tmp_path):
    candidates, targets = models_and_targets(inputs=20)
    ranking = simplugins.rank_models(targets, {"=cmd": candidates.pop("noise 0.4"), **candidates}, resamples=50)
    ranking.save(tmp_path / "ranking.json")
    read = json.loads((tmp_path / "ranking.json").read_text())
    assert [row["candidate"] for row in read["candidates"]] == list(ranking.candidates)
    assert read["candidates"][0]["value"] == ranking.values[0]
    assert read["noise_ceiling"] == ranking.noise_ceiling._asdict()
    assert len(read["differences"]) == 3
    ranking.save(tmp_path / "ranking.csv")
    lines = (tmp_path / "ranking.csv").read_text().splitlines()
    assert lines[0] == "candidate,rank,value,low,high,p_value,family_p_value,letters"
    assert lines[1].startswith("'=cmd,1,")
    with pytest.raises(FileExistsError):
        ranking.save(tmp_path / "ranking.csv")
    with pytest.raises(ValueError, match=r"\.csv, \.json"):
        ranking.save(tmp_path / "ranking.txt")


@pytest.mark.slow
def test_the_family_wise_level_holds_under_the_null():
    rejections = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        target = gram(rng.normal(size=(12, 20)))
        candidates = {str(rank): gram(rng.normal(size=(12, rank))) for rank in (1, 2, 5, 40)}
        ranking = simplugins.rank_models(target, candidates, "cka", permutations=39, resamples=2, confidence=0.3)
        rejections.append((ranking.family_p_values <= 0.1).any())
    assert abs(np.mean(rejections) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 400)


@pytest.mark.slow
def test_intervals_and_tests_hold_for_other_inputs_and_targets():
    """Two equally good candidates, with new inputs and targets each time."""
    false, covered = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(40, 8))
        targets = [gram(shared + rng.normal(size=shared.shape)) for _ in range(8)]
        candidates = {name: gram(shared + rng.normal(size=shared.shape)) for name in "ab"}
        ranking = simplugins.rank_models(targets, candidates, "rsa-pearson", resamples=100, permutations=2)
        false.append(ranking.difference_p_values[0, 1] <= 0.05)
        low, high = ranking.difference_low[0, 1], ranking.difference_high[0, 1]
        covered.append(low <= 0 <= high)
    assert np.mean(false) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)
    assert np.mean(covered) > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 100)
