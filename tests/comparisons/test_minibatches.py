# SPDX-License-Identifier: Apache-2.0
"""CKA from minibatches: against ckatorch, by hand, against all pairs, and how often intervals hold the truth."""

from __future__ import annotations

import dataclasses
from math import sqrt

import numpy as np
import oracle
import pytest
import torch
from ckatorch import cka_batch
from ckatorch.hsic import hsic1
from scipy.stats import t as student

import simplugins
from simplugins.activations.activations import Activations
from simplugins.comparisons import compare, minibatches
from simplugins.comparisons.cka import cka_debiased
from simplugins.comparisons.minibatches import estimate_cka, minibatch_cka

MEASURES = [f"{kind}-{kernel}" for kind in ("semantic", "spatio-semantic") for kernel in ("linear", "cosine", "rbf")]


def gram(features):
    return features @ features.T


def related(inputs, signal=1.0, seed=0, channels=(6, 4)):
    """Features of normal inputs, and noisy combinations of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(inputs, channels[0]))
    mixing = np.random.default_rng(7).normal(size=channels)
    return x, signal * x @ mixing + rng.normal(size=(inputs, channels[1]))


def population_cka(signal, channels=(6, 4)):
    """Linear CKA of unlimited inputs of `related`: that of the covariances."""
    mixing = signal * np.random.default_rng(7).normal(size=channels)
    own = mixing.T @ mixing + np.eye(channels[1])
    return np.square(mixing).sum() / np.sqrt(channels[0] * np.square(own).sum())


@pytest.fixture(scope="module")
def crops(photos):
    """Windows of the bundled maps, at the same places in both layers: 96 inputs of 49 and of 16 positions."""
    places = [(row, column) for row in (0, 6) for column in (0, 6)]
    one = np.concatenate([photos["block10"][:, :, i : i + 7, j : j + 7] for i, j in places])
    two = np.concatenate([photos["block15"][:, :, i // 2 : i // 2 + 4, j // 2 : j // 2 + 4] for i, j in places])
    return one.astype(np.float32), two.astype(np.float32)


# RSMs of batches


def batches(number=6, size=16, channels=8):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(number, size, channels))
    return x, 0.5 * x @ rng.normal(size=(channels, 5)) + rng.normal(size=(number, size, 5))


def test_minibatch_cka_is_that_of_ckatorch():
    x, y = batches()
    expected = cka_batch(torch.from_numpy(x), torch.from_numpy(y)).item()
    assert minibatch_cka(zip(map(gram, x), map(gram, y), strict=True)) == pytest.approx(expected, abs=1e-12)


def test_batches_of_any_size_count_alike():
    x, y = (features[:2] for features in batches())
    parts = [
        (torch.from_numpy(gram(a[:size])[None]), torch.from_numpy(gram(b[:size])[None]))
        for a, b, size in zip(x, y, (5, 16), strict=True)
    ]
    both, of_x, of_y = (
        sum(hsic1(*kernels).item() for kernels in chosen)
        for chosen in (parts, [(a, a) for a, _ in parts], [(b, b) for _, b in parts])
    )
    found = minibatch_cka((a[0], b[0]) for a, b in parts)
    assert found == pytest.approx(both / sqrt(of_x * of_y), abs=1e-12)


def test_one_batch_of_all_inputs_is_debiased_cka():
    a, b = map(gram, related(12))
    assert minibatch_cka([(a, b)]) == pytest.approx(cka_debiased(a, b), abs=1e-12)


def test_minibatch_cka_comes_near_debiased_cka_of_many_inputs():
    x, y = batches(number=60, size=10)
    whole = cka_debiased(gram(x.reshape(600, -1)), gram(y.reshape(600, -1)))
    sizes = [(part[: 4 + k % 7], other[: 4 + k % 7]) for k, (part, other) in enumerate(zip(x, y, strict=True))]
    assert minibatch_cka((gram(a), gram(b)) for a, b in zip(x, y, strict=True)) == pytest.approx(whole, abs=0.05)
    assert minibatch_cka((gram(a), gram(b)) for a, b in sizes) == pytest.approx(whole, abs=0.1)


def test_minibatch_cka_checks_each_batch():
    a, b = map(gram, related(12))
    with pytest.raises(ValueError, match="batches: expected at least one, got none"):
        minibatch_cka([])
    with pytest.raises(ValueError, match="same inputs: batch 1, first RSM has 12, batch 1, second RSM 11"):
        minibatch_cka([(a, b), (a, b[1:, 1:])])
    with pytest.raises(ValueError, match="minibatch CKA needs at least 4 inputs, got 3"):
        minibatch_cka([(a[:3, :3], b[:3, :3])])
    with pytest.raises(
        ValueError, match="labels differ: input 0 is 'a' in batch 0, first RSM, 'x' in batch 0, second RSM"
    ):
        minibatch_cka([[simplugins.compute_rsm(related(5)[0], labels=list(labels)) for labels in ("abcde", "xbcde")]])
    with pytest.warns(RuntimeWarning, match="constant in every batch"):
        assert np.isnan(minibatch_cka([(a, np.full((12, 12), 1 / 3))]))


# Estimates


def test_an_estimate_is_minibatch_cka_of_matched_rsms_by_hand():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(20, 5, 3)), rng.normal(size=(20, 4, 2))
    b[:, :3, 0] += a[:, :3, 0]
    found = estimate_cka(a, b, batch_size=6, batches=5, seed=3)
    draws = np.random.default_rng(3)
    passes = [draws.permutation(20)[:18].reshape(3, 6) for _ in range(2)]  # two inputs are left out of each
    rsms = []
    for batch in np.concatenate(passes)[:5]:
        norms = [oracle.norms(side[batch]) for side in (a, b)]
        products = [oracle.aligned_products(side[batch], side[batch]) for side in (a, b)]
        rsms.append([oracle.cosine(product, norm, norm) for product, norm in zip(products, norms, strict=True)])
    assert float(found) == found.value == pytest.approx(minibatch_cka(rsms), abs=1e-12)
    assert found.pairs == 5 * 15
    assert found.share == pytest.approx(75 / 190)


@pytest.mark.parametrize("measure", MEASURES)
def test_one_batch_of_all_is_debiased_cka(photos, measure):
    layers = (photos["block10"][:12, :, :7, :7], photos["block15"][:12])
    expected = compare(*(simplugins.compute_rsm(layer, measure) for layer in layers), "cka-debiased")
    found = estimate_cka(*layers, measure=measure, batch_size=12, batches=1)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.low < found.value < found.high
    assert found.share == 1


@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_is_near_debiased_cka_of_all_inputs(crops, seed):
    whole = compare(*(simplugins.compute_rsm(layer) for layer in crops), "cka-debiased")
    found = estimate_cka(*crops, batch_size=16, batches=12, seed=seed)
    assert found.value == pytest.approx(whole, abs=0.05)
    assert found.low < whole < found.high
    assert found.high - found.low < 0.3
    assert found.share < 0.4


@pytest.mark.parametrize("measure", MEASURES)
def test_the_same_network_has_cka_one(photos, measure):
    maps = photos["block15"][:20, :, :4, :4]
    found = estimate_cka(maps, 2 * maps, measure=measure, batch_size=5, batches=6)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1), abs=1e-6)


def test_places_do_not_matter_to_a_semantic_measure(photos):
    maps = photos["block15"][:20, :, :4, :4]
    mirrored = np.where(np.arange(20)[:, None, None, None] % 2, maps[:, :, ::-1], maps)
    how = {"batch_size": 5, "batches": 4}
    assert float(estimate_cka(maps, mirrored, **how)) == pytest.approx(1, abs=1e-6)
    assert float(estimate_cka(maps, mirrored, measure="spatio-semantic-cosine", **how)) < 0.999
    assert float(estimate_cka(maps, mirrored, matching="identity", **how)) < 0.999


def test_a_seed_draws_the_same_batches():
    a, b = related(40)
    found, again, other = (estimate_cka(a, b, batch_size=8, batches=7, seed=seed) for seed in (5, 5, 6))
    generated = estimate_cka(a, b, batch_size=8, batches=7, seed=np.random.default_rng(5))
    for same in (again, generated):
        assert (same.value, same.low, same.high) == (found.value, found.low, found.high)
    assert other.value != found.value


@pytest.mark.parametrize(("inputs", "batch_size", "batches"), [(12, 4, 3), (13, 4, 8), (9, 5, 3), (30, 7, 2)])
def test_a_pass_sees_no_input_twice(inputs, batch_size, batches):
    drawn = minibatches._draw(np.random.default_rng(0), inputs, batch_size, batches)
    assert drawn.shape == (batches, batch_size)
    whole = inputs // batch_size
    for start in range(0, batches, whole):
        of_pass = drawn[start : start + whole]
        assert len(np.unique(of_pass)) == of_pass.size


# Intervals


def jackknifed_error(a, b, drawn):
    """The jackknife's standard error over inputs, on the scale of Fisher's z: each left out of all its batches."""
    left_out = []
    for i in np.unique(drawn):
        kept = [batch[batch != i] for batch in drawn]
        left_out.append(np.arctanh(minibatch_cka((gram(a[batch]), gram(b[batch])) for batch in kept)))
    inputs = len(left_out)
    return sqrt((inputs - 1) * np.var(left_out))


@pytest.mark.parametrize("batches", [3, 6])
def test_an_interval_is_that_of_the_jackknife_over_inputs(batches):
    a, b = related(60)
    found = estimate_cka(a, b, measure="semantic-linear", batch_size=20, batches=batches)
    middle = np.arctanh(found.value)
    reach = student.ppf(0.975, 59) * jackknifed_error(
        a, b, minibatches._draw(np.random.default_rng(0), 60, 20, batches)
    )
    assert np.arctanh(found.high) - middle == pytest.approx(reach, rel=0.1)
    assert middle - np.arctanh(found.low) == pytest.approx(np.arctanh(found.high) - middle)


@pytest.mark.parametrize(("signal", "batches"), [(0, 3), (0.5, 3), (0.5, 12), (2, 3), (2, 12)])
def test_intervals_hold_the_populations_cka(signal, batches):
    """At 80 %; three batches see each input once, twelve four times, which an interval over batches would get wrong."""
    held = []
    for seed in range(200):
        a, b = related(60, signal, seed)
        drawn = minibatches._draw(np.random.default_rng(seed), 60, 20, batches)
        shares = np.array([minibatches._shares("batch", gram(a[batch]), gram(b[batch])) for batch in drawn])
        value = minibatches._ratio(shares.mean((0, 1)))
        low, high = minibatches._interval(value, minibatches._influences(value, shares, drawn), 0.8)
        held.append(low <= population_cka(signal) <= high)
    assert np.mean(held) > 0.74
    assert np.mean(held) < (0.9 if signal else 1)


def test_more_inputs_and_lower_levels_make_intervals_shorter():
    def width(inputs, **how):
        found = estimate_cka(*related(inputs), measure="spatio-semantic-linear", batch_size=20, **how)
        return found.high - found.low

    assert width(40, batches=20) > 0.6 * width(40, batches=2)
    assert width(400, batches=20) < 0.5 * width(40, batches=20)
    assert width(40, batches=2, level=0.5) < 0.5 * width(40, batches=2)


# Options and what comes in


def test_an_estimate_says_what_it_is(photos):
    maps = photos["block15"][:, :, :3, :3]
    found = estimate_cka(maps, maps, batch_size=6, batches=4, level=0.9)
    assert repr(found) == "CkaEstimate 1.000 [1.000, 1.000] at 90 %, 4 batches of 6"
    assert (found.batches, found.batch_size, found.level) == (4, 6, 0.9)
    assert (found.measure, found.metadata["inputs"], found.metadata["sigma_inputs"]) == ("semantic-cosine", 24, None)
    assert found.metadata["a"]["matching"] == "optimal"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.value = 0


def test_rbf_has_one_sigma_for_all_batches():
    a, b = related(30)
    found = estimate_cka(a, b, measure="semantic-rbf", batch_size=10, batches=3)
    sigmas = [simplugins.compute_rsm(side, "semantic-rbf").metadata["sigma"] for side in (a, b)]
    assert (found.metadata["a"]["sigma"], found.metadata["b"]["sigma"]) == pytest.approx(sigmas)
    assert found.metadata["sigma_inputs"] == 30
    rsms = [
        [simplugins.compute_rsm(side[batch], "semantic-rbf", sigma=s) for side, s in zip((a, b), sigmas, strict=True)]
        for batch in minibatches._draw(np.random.default_rng(0), 30, 10, 3)
    ]
    assert found.value == pytest.approx(minibatch_cka(rsms), abs=1e-12)
    given = estimate_cka(a, b, measure="semantic-rbf", batch_size=10, batches=3, sigma=2.0)
    assert (given.metadata["a"]["sigma"], given.metadata["b"]["sigma"], given.metadata["sigma_inputs"]) == (2, 2, None)


def test_a_median_is_found_on_some_inputs():
    a, b = related(300)
    found = estimate_cka(a, b, measure="spatio-semantic-rbf", batch_size=30, batches=2)
    whole = simplugins.compute_rsm(a, "spatio-semantic-rbf").metadata["sigma"]
    assert found.metadata["sigma_inputs"] == 128
    assert found.metadata["a"]["sigma"] == pytest.approx(whole, rel=0.1)
    assert found.metadata["a"]["sigma"] != whole


def test_files_memmaps_and_tensors_give_what_arrays_give(tmp_path):
    a, b = (x.reshape(30, 3, -1).astype(np.float32) for x in related(30, channels=(12, 6)))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    how = {"batch_size": 7, "batches": 6, "layout": "ntd", "drop_tokens": [1], "dtype": np.float64}
    expected = estimate_cka(a[:, [0, 2]], b[:, [0, 2]], batch_size=7, batches=6, dtype=np.float64)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for given in ((tmp_path / "a.npy", str(tmp_path / "b.npy")), (mapped, torch.from_numpy(b))):
        found = estimate_cka(*given, **how)
        assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_activations_bring_masks_and_labels():
    a, b = (x.reshape(30, 3, -1) for x in related(30, channels=(12, 6)))
    mask = np.ones((30, 3), bool)
    mask[:, 1] = False
    labelled = Activations.from_array(a, mask=mask, labels=[f"input {i}" for i in range(30)])
    how = {"batch_size": 7, "batches": 4}
    assert estimate_cka(labelled, b, **how).value == estimate_cka(a[:, [0, 2]], b, **how).value
    assert float(estimate_cka(labelled, labelled, **how)) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"^labels differ: input 0 is 'input 0' in a, 0 in b$"):
        estimate_cka(labelled, Activations.from_array(b, labels=range(30)), **how)


def test_sets_of_different_sizes_are_compared():
    rng = np.random.default_rng(0)
    sets = [rng.normal(size=(size, 3)) for size in rng.integers(1, 6, size=20)]
    assert float(estimate_cka(sets, [s[::-1] for s in sets], batch_size=5, batches=4)) == pytest.approx(1)


def test_constant_rsms_have_no_cka():
    a, _ = related(20)
    with pytest.warns(RuntimeWarning, match="RSMs are constant in every batch"):
        found = estimate_cka(a, np.full((20, 3), 0.1), batch_size=5, batches=4)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert repr(found).startswith("CkaEstimate nan [nan, nan] at 95 %")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batches": 0}, ValueError, "batches must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, ValueError, r"batch_size must be a whole number of at least 1, got 2\.5"),
        ({"batch_size": 3}, ValueError, "batch_size must be from 4 to 20, the number of inputs; got 3"),
        ({"batch_size": 21}, ValueError, "batch_size must be from 4 to 20, the number of inputs; got 21"),
        ({"batch_size": 20}, ValueError, "each of 3 batches would be all 20 inputs: ask for batches=1"),
        ({"level": 95}, ValueError, "level must be a number above 0 and below 1, got 95"),
        ({"measure": "cosine"}, ValueError, "has no plugin 'cosine'"),
        ({"measure": "semantic-rbf", "sigma": -1}, ValueError, "sigma must be 'median' or a number above 0, got -1"),
        ({"layout": "nchw"}, ValueError, "a: layout 'nchw'"),
        ({"matching": "greedi"}, ValueError, "has no plugin 'greedi'"),
        ({"window": 3}, TypeError, "no option 'window'"),
        ({"mask": np.ones((20, 1), bool)}, TypeError, "estimate_cka takes no option 'mask'"),
        ({"other": np.ones((20, 6))}, TypeError, "estimate_cka takes no option 'other'"),
    ],
)
def test_impossible_options(options, error, message):
    a, b = related(20)
    with pytest.raises(error, match=message):
        estimate_cka(a, b, **{"batch_size": 5, "batches": 3, **options})


def test_bad_activations():
    a, b = related(20)
    with pytest.raises(ValueError, match="inputs are the same: a has 20, b 19"):
        estimate_cka(a, b[:19])
    with pytest.raises(ValueError, match=r"^b: .*\b1 NaN.*input 4\b"):
        estimate_cka(a, np.where(np.arange(80).reshape(20, 4) == 17, np.nan, b))
    with pytest.raises(FileNotFoundError, match="no such file"):
        estimate_cka("missing.npy", b)
    with pytest.raises(ValueError, match="the median distance of 20 inputs drawn at random is 0 in b"):
        estimate_cka(a, np.ones((20, 2)), measure="semantic-rbf", batch_size=5)


def test_progress_goes_to_standard_error(capsys):
    a, b = related(20)
    estimate_cka(a, b, batch_size=5, batches=3)
    assert capsys.readouterr() == ("", "")
    estimate_cka(a, b, batch_size=5, batches=3, progress="at work")
    written = capsys.readouterr()
    assert written.out == ""
    assert "at work: 100%" in written.err
    assert "3/3" in written.err


def test_an_interruption_comes_through(monkeypatch, capsys):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(minibatches, "compute_rsm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimate_cka(*related(20), batch_size=5, batches=3, progress=True)
    assert capsys.readouterr().err.endswith("\n")
