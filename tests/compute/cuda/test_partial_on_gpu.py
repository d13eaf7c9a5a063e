# SPDX-License-Identifier: Apache-2.0
"""Partial matchings on a GPU, and emulated, against the CPU engine and SciPy."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from emulation.device import EmulatedDevice, LateDevice

from simplugins import Partial
from simplugins.activations.activations import Activations
from simplugins.compute.engines import cpu
from simplugins.compute.engines.cuda import engine, one_pair, tile_run
from simplugins.compute.engines.cuda.pair_problems import FINE_ENOUGH
from simplugins.compute.engines.cuda.tasks import largest_number
from simplugins.matching.certificates import match_and_certify

RNG = np.random.default_rng(0)
SETS = [RNG.normal(0.3, 1, (size, 6)) for size in (1, 30, 7, 55, 20)]
OTHERS = [RNG.normal(0.3, 1, (size, 6)) for size in (25, 1, 60)]


def excess(x, y, threshold):
    return oracle.optimum(np.maximum(np.asarray(x, np.float64) @ np.asarray(y, np.float64).T - threshold, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threshold", [-3.0, 0.0, 2.5, 9.0])
def test_thresholds_give_the_values_of_the_cpu_with_certificates(device, dtype, threshold):
    x, y = ([s.astype(dtype) for s in side] for side in (SETS, OTHERS))
    for other in (None, y):
        sides = Activations.from_array(x), None if other is None else Activations.from_array(other)
        result = engine.aligned_products(*sides, Partial(threshold=threshold), device=device, certify=True)
        expected = cpu.aligned_products(*sides, Partial(threshold=threshold), certify=True)
        np.testing.assert_allclose(result.values, expected.values, rtol=1e-5, atol=1e-5)
        assert result.gap.max() <= FINE_ENOUGH
        assert (result.gap >= 0).all()


def test_inputs_without_a_pair_above_the_threshold_have_value_zero(device):
    x = Activations.from_array([s.astype(np.float32) for s in SETS])
    result = engine.aligned_products(x, None, Partial(threshold=1e6), device=device, certify=True)
    assert not result.values.any()
    assert not result.gap.any()


@pytest.mark.parametrize("shape", [(20, 20), (9, 30), (30, 9)])
@pytest.mark.parametrize("threshold", [0.4, 1.7, 50.0])
def test_a_single_pair_is_matched_with_its_unmatched_positions(device, shape, threshold):
    x, y = (Activations.from_array(RNG.normal(size=(1, size, 4))).block(0, 1) for size in shape)
    certified, affinity = one_pair.match_and_certify(x, y, Partial(threshold=threshold), device=device)
    expected = match_and_certify(Partial(threshold=threshold), x.vectors @ y.vectors.T, x.offsets)
    np.testing.assert_array_equal(certified.columns, expected.columns)
    np.testing.assert_allclose(affinity, x.vectors @ y.vectors.T, rtol=1e-12, atol=1e-12)
    assert certified.values[0] == pytest.approx(expected.values[0])
    assert certified.upper[0] == pytest.approx(expected.upper[0])
    assert certified.gap[0] <= 1e-12


def test_pairs_exactly_at_the_threshold_are_unmatched(device):
    sets = np.array([[[1.0], [2.0]], [[1.0], [3.0]]], np.float32)  # affinities 1, 3, 2, 6
    for threshold, value in [(0.5, 7), (1, 6), (5.9, 6), (6, 0)]:
        x, y = Activations.from_array(sets[:1]), Activations.from_array(sets[1:])
        assert engine.aligned_products(x, y, Partial(threshold=threshold), device=device).values[0, 0] == value


def test_ties_are_settled_at_the_largest_excess(device):
    vectors = RNG.integers(-1, 2, (6, 24, 3)).astype(np.float32)
    x = Activations.from_array(vectors)
    result = engine.aligned_products(x, None, Partial(threshold=1), device=device, certify=True)
    assert result.gap.max() <= FINE_ENOUGH
    for i, j in [(0, 1), (2, 5), (4, 3)]:
        assert excess(vectors[i], vectors[j], 1) <= result.values[i, j]  # at least one pair is worth more than 1


@pytest.mark.parametrize("share", [0.01, 0.5, 0.83, 1.0])
def test_shares_give_the_values_of_the_cpu_with_certificates(device, share):
    x, y = ([s.astype(np.float32) for s in side] for side in (SETS, OTHERS))
    for other in (None, y, [s.astype(np.float32) for s in (SETS[3], SETS[3])]):
        sides = Activations.from_array(x), None if other is None else Activations.from_array(other)
        result = engine.aligned_products(*sides, Partial(share=share), device=device, certify=True)
        assert result.metadata["precision"] == "float32"
        expected = cpu.aligned_products(*sides, Partial(share=share), certify=True)
        norms = [side.squared_norms for side in (sides[0], sides[0] if other is None else sides[1])]
        allowed = (result.rounding + FINE_ENOUGH) * np.add.outer(*norms)
        assert (np.abs(result.values - expected.values) <= allowed).all()
        assert (result.gap >= 0).all()
        assert result.gap.max() <= 2 * FINE_ENOUGH


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_shares_in_float64_are_those_of_the_cpu_to_rounding(device, share):
    x = Activations.from_array(SETS)
    result = engine.aligned_products(x, None, Partial(share=share), device=device)
    np.testing.assert_allclose(result.values, cpu.aligned_products(x, None, Partial(share=share)).values, rtol=1e-12)


@pytest.mark.parametrize("make", [LateDevice, lambda: EmulatedDevice(seed=3, memory=2**17)])
def test_shares_do_not_depend_on_tiles_or_asynchronous_execution(make, monkeypatch):
    x = Activations.from_array(RNG.normal(size=(13, 12, 6)).astype(np.float32))
    expected = engine.aligned_products(x, None, Partial(share=0.4), device=EmulatedDevice()).values
    monkeypatch.setattr(tile_run, "_MAX_INPUTS", 3)
    result = engine.aligned_products(x, None, Partial(share=0.4), device=make())
    np.testing.assert_allclose(result.values, expected, rtol=1e-6)


def test_shares_of_extreme_inputs_and_of_zeros(device):
    sets = RNG.normal(size=(6, 8, 4)).astype(np.float32)
    sets *= np.array([1e30, 1e-30, 1, 1e15, 0, 1], np.float32)[:, None, None]
    x = Activations.from_array(sets)
    result = engine.aligned_products(x, None, Partial(share=0.5), device=device)
    expected = cpu.aligned_products(x, None, Partial(share=0.5)).values
    np.testing.assert_allclose(result.values, expected, rtol=1e-5)
    assert not result.values[4].any()


@pytest.mark.parametrize("shape", [(20, 20), (9, 30), (30, 9), (1, 1)])
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_single_pair_leaves_the_positions_that_the_cpu_leaves(device, shape, share):
    x, y = (Activations.from_array(RNG.normal(size=(1, size, 4))).block(0, 1) for size in shape)
    certified, affinity = one_pair.match_and_certify(x, y, Partial(share=share), device=device)
    expected = match_and_certify(Partial(share=share), x.vectors @ y.vectors.T, x.offsets)
    np.testing.assert_array_equal(certified.columns, expected.columns)
    np.testing.assert_allclose(affinity, x.vectors @ y.vectors.T, rtol=1e-12, atol=1e-12)
    assert certified.values[0] == pytest.approx(expected.values[0])
    assert certified.upper[0] == pytest.approx(expected.upper[0])
    assert 0 <= certified.gap[0] <= 1e-11  # rounding relative to the sum with dummies


def test_shares_of_too_many_positions_need_the_cpu():
    x = Activations.from_array(np.ones((2, 4000, 1), np.float32))
    with pytest.raises(ValueError, match=r"share=0\.1 of sets of 4000 positions.*7600 columns.*engine='cpu'"):
        engine.aligned_products(x, None, Partial(share=0.1), device=EmulatedDevice(memory=2**40))


def test_partial_matchings_refuse_float16x3():
    x = Activations.from_array(np.ones((3, 4, 2), np.float32))
    for partial in (Partial(threshold=1), Partial(share=0.5)):
        with pytest.raises(ValueError, match="float16x3"):
            engine.aligned_products(x, None, partial, device=EmulatedDevice(), precision="float16x3")
    values = engine.aligned_products(x, None, Partial(threshold=1), device=EmulatedDevice(), precision="float32").values
    np.testing.assert_array_equal(values, 8)


@pytest.mark.parametrize("floor", [0.1, -0.1, 1 / 3, 2.0, 1e30, -1e30, 1e-60, 0.0])
def test_floors_are_rounded_down(floor):
    number = largest_number(floor, np.dtype(np.float32))
    assert number <= floor < float(np.nextafter(np.float32(number), np.float32(np.inf)))
    assert largest_number(floor, np.dtype(np.float64)) == floor
    assert largest_number(1e300, np.dtype(np.float32)) == np.finfo(np.float32).max
    assert largest_number(-1e300, np.dtype(np.float32)) == -np.inf
