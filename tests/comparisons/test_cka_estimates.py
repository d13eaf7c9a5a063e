# SPDX-License-Identifier: Apache-2.0
"""Estimates of CKA: by hand, against all pairs, and the coverage of their intervals."""

from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np
import oracle
import pytest
import torch
from comparison_data import gram
from comparison_measures import Scaled, pooled, standardised
from scipy.stats import t as student

import simplugins
from simplugins.activations.activations import Activations
from simplugins.comparisons import compare
from simplugins.comparisons.cka_estimates import draw_batches, estimate_cka, estimate_from
from simplugins.comparisons.minibatches import hsic_shares, minibatch_cka

MEASURES = [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in ("linear", "cosine", "rbf")]


def related(inputs, signal=1.0, seed=0, channels=(6, 4)):
    """Normal features, and noisy linear combinations of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, channels[0]))
    mixing = np.random.default_rng(7).normal(size=channels)
    return x, signal * x @ mixing + rng.normal(size=(inputs, channels[1]))


def population_cka(signal, channels=(6, 4)):
    """Linear CKA of the population of `related`, from the covariances."""
    mixing = signal * np.random.default_rng(7).normal(size=channels)
    covariance = mixing.T @ mixing + np.eye(channels[1])
    return np.square(mixing).sum() / np.sqrt(channels[0] * np.square(covariance).sum())


@pytest.fixture(scope="module")
def crops(photos):
    """Windows of the bundled maps at the same places in both layers: 96 inputs of 49 and of 16 positions."""
    places = [(row, column) for row in (0, 6) for column in (0, 6)]
    early = np.concatenate([photos["block10"][:, :, i : i + 7, j : j + 7] for i, j in places])
    late = np.concatenate([photos["block15"][:, :, i // 2 : i // 2 + 4, j // 2 : j // 2 + 4] for i, j in places])
    return early.astype(np.float32), late.astype(np.float32)


def test_an_estimate_equals_minibatch_cka_of_matched_rsms():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(20, 5, 3)), rng.normal(size=(20, 4, 2))
    b[:, :3, 0] += a[:, :3, 0]
    estimate = estimate_cka(a, b, batch_size=6, batches=5, seed=3)
    draws = np.random.default_rng(3)
    passes = [draws.permutation(20)[:18].reshape(3, 6) for _ in range(2)]  # each leaves out two inputs
    rsms = []
    for batch in np.concatenate(passes)[:5]:
        norms = [oracle.norms(side[batch]) for side in (a, b)]
        products = [oracle.aligned_products(side[batch], side[batch]) for side in (a, b)]
        rsms.append([oracle.cosine(product, norm, norm) for product, norm in zip(products, norms, strict=True)])
    assert float(estimate) == estimate.value == pytest.approx(minibatch_cka(rsms), abs=1e-12)
    assert estimate.pairs == 5 * 15
    assert estimate.share == pytest.approx(75 / 190)


@pytest.mark.parametrize("measure", MEASURES)
def test_one_batch_of_all_inputs_yields_debiased_cka(photos, measure):
    layers = (photos["block10"][:12, :, :7, :7], photos["block15"][:12])
    expected = compare(*(simplugins.compute_rsm(layer, measure) for layer in layers), "cka-debiased")
    estimate = estimate_cka(*layers, measure=measure, batch_size=12, batches=1)
    assert estimate.value == pytest.approx(expected, abs=1e-9)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.share == 1


@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_is_near_debiased_cka_of_all_inputs(crops, seed):
    whole = compare(*(simplugins.compute_rsm(layer) for layer in crops), "cka-debiased")
    estimate = estimate_cka(*crops, batch_size=16, batches=12, seed=seed)
    assert estimate.value == pytest.approx(whole, abs=0.05)
    assert estimate.low < whole < estimate.high
    assert estimate.high - estimate.low < 0.3
    assert estimate.share < 0.4


@pytest.mark.parametrize("measure", MEASURES)
def test_the_same_network_has_cka_one(photos, measure):
    maps = photos["block15"][:20, :, :4, :4]
    estimate = estimate_cka(maps, 2 * maps, measure=measure, batch_size=5, batches=6)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1, 1, 1), abs=1e-6)


def test_positions_have_no_effect_under_a_semantic_measure(photos):
    maps = photos["block15"][:20, :, :4, :4]
    mirrored = np.where(np.arange(20)[:, None, None, None] % 2, maps[:, :, ::-1], maps)
    options = {"batch_size": 5, "batches": 4}
    assert float(estimate_cka(maps, mirrored, **options)) == pytest.approx(1, abs=1e-6)
    assert float(estimate_cka(maps, mirrored, measure="spatio-semantic-cosine", **options)) < 0.999
    assert float(estimate_cka(maps, mirrored, matching="identity", **options)) < 0.999


def test_a_seed_determines_the_batches():
    a, b = related(40)
    first, same, different = (estimate_cka(a, b, batch_size=8, batches=7, seed=seed) for seed in (5, 5, 6))
    generated = estimate_cka(a, b, batch_size=8, batches=7, seed=np.random.default_rng(5))
    for again in (same, generated):
        assert (again.value, again.low, again.high) == (first.value, first.low, first.high)
    assert different.value != first.value


@pytest.mark.parametrize(("inputs", "batch_size", "batches"), [(12, 4, 3), (13, 4, 8), (9, 5, 3), (30, 7, 2)])
def test_a_pass_uses_no_input_twice(inputs, batch_size, batches):
    drawn = draw_batches(np.random.default_rng(0), inputs, batch_size, batches)
    assert drawn.shape == (batches, batch_size)
    whole = inputs // batch_size
    for start in range(0, batches, whole):
        inputs_of_pass = drawn[start : start + whole]
        assert len(np.unique(inputs_of_pass)) == inputs_of_pass.size


# Intervals


def jackknifed_error(a, b, drawn):
    """Return the jackknife's standard error over inputs on Fisher's z scale: each input is left out of its batches."""
    left_out = []
    for i in np.unique(drawn):
        batches = [batch[batch != i] for batch in drawn]
        left_out.append(np.arctanh(minibatch_cka((gram(a[batch]), gram(b[batch])) for batch in batches)))
    inputs = len(left_out)
    return sqrt((inputs - 1) * np.var(left_out))


@pytest.mark.parametrize("batches", [3, 6])
def test_intervals_agree_with_the_jackknife_over_inputs(batches):
    a, b = related(60)
    estimate = estimate_cka(a, b, measure="semantic-linear", batch_size=20, batches=batches)
    middle = np.arctanh(estimate.value)
    reach = student.ppf(0.975, 59) * jackknifed_error(a, b, draw_batches(np.random.default_rng(0), 60, 20, batches))
    assert np.arctanh(estimate.high) - middle == pytest.approx(reach, rel=0.1)
    assert middle - np.arctanh(estimate.low) == pytest.approx(np.arctanh(estimate.high) - middle)


@pytest.mark.parametrize(("signal", "batches"), [(0, 3), (0.5, 3), (0.5, 12), (2, 3), (2, 12)])
def test_intervals_cover_the_cka_of_the_population(signal, batches):
    """At 80 %. Twelve batches use each input four times, for which a variance over batches would be too small."""
    covered = []
    for seed in range(200):
        a, b = related(60, signal, seed)
        drawn = draw_batches(np.random.default_rng(seed), 60, 20, batches)
        shares = np.array([hsic_shares("batch", gram(a[batch]), gram(b[batch])) for batch in drawn])
        _, low, high = estimate_from(shares, drawn, 0.8)
        covered.append(low <= population_cka(signal) <= high)
    assert np.mean(covered) > 0.74
    assert np.mean(covered) < (0.9 if signal else 1)


def test_more_inputs_and_lower_confidence_make_intervals_shorter():
    def width(inputs, **options):
        estimate = estimate_cka(*related(inputs), measure="spatio-semantic-linear", batch_size=20, **options)
        return estimate.high - estimate.low

    assert width(40, batches=20) > 0.6 * width(40, batches=2)
    assert width(400, batches=20) < 0.5 * width(40, batches=20)
    assert width(40, batches=2, confidence=0.5) < 0.5 * width(40, batches=2)


# Options and inputs


def test_an_estimate_describes_itself(photos):
    maps = photos["block15"][:, :, :3, :3]
    estimate = estimate_cka(maps, maps, batch_size=6, batches=4, confidence=0.9)
    assert repr(estimate) == "CkaEstimate 1.000 [1.000, 1.000] at 90 %, 4 batches of 6"
    assert (estimate.batches, estimate.batch_size, estimate.confidence) == (4, 6, 0.9)
    assert {name: estimate.metadata[name] for name in ("measure", "inputs", "sigma_inputs")} == {
        "measure": "semantic-cosine",
        "inputs": 24,
        "sigma_inputs": None,
    }
    assert estimate.metadata["a"]["matching"] == "optimal"
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.value = 0


def test_rbf_has_one_sigma_for_all_batches():
    a, b = related(30)
    estimate = estimate_cka(a, b, measure="semantic-rbf", batch_size=10, batches=3)
    sigmas = [simplugins.compute_rsm(side, "semantic-rbf").sigma for side in (a, b)]
    assert (estimate.metadata["a"]["sigma"], estimate.metadata["b"]["sigma"]) == pytest.approx(sigmas)
    assert estimate.metadata["sigma_inputs"] == 30
    rsms = [
        [simplugins.compute_rsm(side[batch], "semantic-rbf", sigma=s) for side, s in zip((a, b), sigmas, strict=True)]
        for batch in draw_batches(np.random.default_rng(0), 30, 10, 3)
    ]
    assert estimate.value == pytest.approx(minibatch_cka(rsms), abs=1e-12)
    fixed = estimate_cka(a, b, measure="semantic-rbf", batch_size=10, batches=3, sigma=2.0)
    assert (fixed.metadata["a"]["sigma"], fixed.metadata["b"]["sigma"], fixed.metadata["sigma_inputs"]) == (2, 2, None)


def test_the_median_is_estimated_from_some_inputs():
    a, b = related(300)
    estimate = estimate_cka(a, b, measure="spatio-semantic-rbf", batch_size=30, batches=2)
    whole = simplugins.compute_rsm(a, "spatio-semantic-rbf").sigma
    assert estimate.metadata["sigma_inputs"] == 128
    assert estimate.metadata["a"]["sigma"] == pytest.approx(whole, rel=0.1)
    assert estimate.metadata["a"]["sigma"] != whole


def test_files_memmaps_and_tensors_equal_arrays(tmp_path):
    a, b = (x.reshape(30, 3, -1).astype(np.float32) for x in related(30, channels=(12, 6)))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    options = {"batch_size": 7, "batches": 6, "layout": "ntd", "drop_tokens": [1], "dtype": np.float64}
    expected = estimate_cka(a[:, [0, 2]], b[:, [0, 2]], batch_size=7, batches=6, dtype=np.float64)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for sides in ((tmp_path / "a.npy", str(tmp_path / "b.npy")), (mapped, torch.from_numpy(b))):
        estimate = estimate_cka(*sides, **options)
        assert (estimate.value, estimate.low, estimate.high) == (expected.value, expected.low, expected.high)


def test_activations_bring_masks_and_labels():
    a, b = (x.reshape(30, 3, -1) for x in related(30, channels=(12, 6)))
    mask = np.ones((30, 3), bool)
    mask[:, 1] = False
    labelled = Activations.from_array(a, mask=mask, labels=[f"input {i}" for i in range(30)])
    options = {"batch_size": 7, "batches": 4}
    expected = estimate_cka(a[:, [0, 2]], b, **options).value
    with pytest.warns(UserWarning, match="a has labels and b has none"):
        assert estimate_cka(labelled, b, **options).value == expected
    assert estimate_cka(a, b[:, :1], mask=None, **options).value != expected
    assert estimate_cka(a, a, mask=mask, **options).value == pytest.approx(1)
    with pytest.raises(ValueError, match=r"labels.* 0 is 'input 0' in a, '0' in b$"):
        estimate_cka(labelled, Activations.from_array(b, labels=range(30)), **options)


def test_a_subset_selects_inputs():
    a, b = related(30)
    chosen = [*range(0, 30, 2)]
    options = {"batch_size": 5, "batches": 4}
    assert estimate_cka(a, b, subset=chosen, **options).value == estimate_cka(a[chosen], b[chosen], **options).value
    with pytest.raises(TypeError, match=r"subset\b.*\b20\b"):
        estimate_cka(a, b, subset=20, **options)


@pytest.mark.parametrize("measure", [pooled, Scaled, Scaled(2.0)])
def test_measures_of_third_parties_are_accepted_with_all_options(crops, measure):
    options = {"dtype": np.float64, "subset": [*range(48)], "threads": 1, "layout": "nchw", "progress": True}
    estimate = estimate_cka(*crops, measure=measure, batch_size=48, batches=1, **options)
    rsms = [simplugins.compute_rsm(maps[:48].astype(float), pooled) for maps in crops]
    assert estimate.value == pytest.approx(compare(*rsms, "cka-debiased"))
    assert estimate.metadata["a"]["matching"] is None
    with pytest.raises(ValueError, match="matching='greedy'"):
        estimate_cka(*crops, measure=measure, matching="greedy")


def test_measures_that_are_not_pairwise_are_refused():
    with pytest.raises(ValueError, match=r"'standardised'.*pairwise"):
        estimate_cka(*related(20), measure=standardised)


def test_sets_of_different_sizes_are_compared():
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(size, 3)) for size in rng.integers(1, 6, size=20)]
    assert float(estimate_cka(sets, [s[::-1] for s in sets], batch_size=5, batches=4)) == pytest.approx(1)


def test_constant_rsms_yield_nan():
    a, _ = related(20)
    with pytest.warns(RuntimeWarning, match="NaN"):
        estimate = estimate_cka(a, np.full((20, 3), 0.1), batch_size=5, batches=4)
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
    assert repr(estimate).startswith("CkaEstimate nan [nan, nan] at 95 %")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batches": 0}, ValueError, r"batches\b.*\b0"),
        ({"batch_size": 2.5}, ValueError, r"batch_size\b.*2\.5"),
        ({"batch_size": 3}, ValueError, r"batch_size\b.* 4 to 20\b.*\b3"),
        ({"batch_size": 21}, ValueError, r"batch_size\b.* 4 to 20\b.*\b21"),
        ({"batch_size": 20}, ValueError, r"\b3 batches\b.*\b20 inputs.*batches=1"),
        ({"confidence": 95}, ValueError, r"confidence\b.*\b95"),
        ({"measure": "cosine"}, ValueError, "'cosine'"),
        ({"measure": "semantic-rbf", "sigma": -1}, ValueError, r"sigma\b.*-1"),
        ({"layout": "nchw"}, ValueError, r"^a\b.*'nchw'"),
        ({"matching": "greedi"}, ValueError, "'greedi'"),
        ({"window": 3}, TypeError, "window"),
        ({"other": np.ones((20, 6))}, TypeError, "other"),
    ],
)
def test_impossible_options_are_refused(options, error, message):
    a, b = related(20)
    with pytest.raises(error, match=message):
        estimate_cka(a, b, **{"batch_size": 5, "batches": 3, **options})


def test_bad_activations_are_refused():
    a, b = related(20)
    with pytest.raises(ValueError, match=r"\ba has 20\b.*\bb has 19\b"):
        estimate_cka(a, b[:19])
    with pytest.raises(ValueError, match=r"^b\b.* 1 NaN.* input 4"):
        estimate_cka(a, np.where(np.arange(80).reshape(20, 4) == 17, np.nan, b))
    with pytest.raises(FileNotFoundError, match=r"missing\.npy"):
        estimate_cka("missing.npy", b)
    with pytest.raises(ValueError, match=r"^b\b.*median.*\b20\b.*sigma"):
        estimate_cka(a, np.ones((20, 2)), measure="semantic-rbf", batch_size=5)


def test_progress_goes_to_standard_error(capsys):
    a, b = related(20)
    estimate_cka(a, b, batch_size=5, batches=3)
    assert capsys.readouterr() == ("", "")
    estimate_cka(a, b, batch_size=5, batches=3, progress="at work")
    output = capsys.readouterr()
    assert output.out == ""
    assert "at work: 100%" in output.err
    assert "3/3" in output.err


def test_an_interruption_propagates(capsys):
    def interrupted(x, y=None):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_cka(*related(20), measure=interrupted, batch_size=5, batches=3, progress=True)
    assert capsys.readouterr().err.endswith("\n")
