# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gc
import os
import signal
import subprocess
import threading
import weakref
from functools import partial

import numpy as np
import pytest
from emulation.device import EmulatedDevice
from oracle import aligned_products, norms
from processes import running
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_info

from simplugins.activations.activations import Activations
from simplugins.compute.engines import check_engine, cpu
from simplugins.compute.engines.cuda import engine as cuda
from simplugins.compute.engines.cuda.cupy_device import CupyDevice
from simplugins.matching.identity import Identity
from simplugins.matching.optimal import Optimal


def random_sets(count, positions, channels=6, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(count, positions, channels)), 0).astype(dtype)


@pytest.fixture(params=["cpu", "emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def products(request):
    """The same call of each engine."""
    if request.param == "cpu":
        return cpu.aligned_products
    return partial(cuda.aligned_products, device=EmulatedDevice() if request.param == "emulated" else CupyDevice())


def test_matched_products_equal_the_oracle(products):
    x, y = random_sets(7, 20), random_sets(4, 20, seed=1)
    within = products(Activations.from_array(x), None, Optimal()).values
    between = products(Activations.from_array(x), Activations.from_array(y), Optimal()).values
    np.testing.assert_allclose(within, aligned_products(x, x), rtol=1e-6)
    np.testing.assert_allclose(between, aligned_products(x, y), rtol=1e-6)
    np.testing.assert_array_equal(within, within.T)
    np.testing.assert_allclose(within.diagonal(), norms(x), rtol=1e-12)


def test_positionwise_products_are_exact_to_float64(products):
    x, y = random_sets(7, 30, channels=500), random_sets(4, 30, channels=500, seed=1)
    result = products(Activations.from_array(x), Activations.from_array(y), Identity()).values
    flat_x, flat_y = (sets.reshape(len(sets), -1).astype(np.float64) for sets in (x, y))
    np.testing.assert_allclose(result, flat_x @ flat_y.T, rtol=1e-13)
    within = products(Activations.from_array(x), None, Identity()).values
    np.testing.assert_allclose(within, flat_x @ flat_x.T, rtol=1e-13)
    np.testing.assert_array_equal(within, within.T)


@pytest.mark.parametrize("matcher", [Optimal(), Identity()], ids=lambda m: m.name)
def test_results_do_not_depend_on_threads_and_tiles(matcher):
    x, y = Activations.from_array(random_sets(70, 10)), Activations.from_array(random_sets(9, 10, seed=1))
    for other in (None, y):
        reference = cpu.aligned_products(x, other, matcher, threads=1).values
        for threads, tile_bytes in [(2, cpu.TILE_BYTES), (3, 1), (1, 3000), (2, 10_000)]:
            result = cpu.aligned_products(x, other, matcher, threads=threads, tile_bytes=tile_bytes).values
            np.testing.assert_allclose(result, reference, rtol=1e-6)


@pytest.mark.parametrize("sizes", [(7, 8), (3, 9)], ids=["equal", "unequal"])
@pytest.mark.parametrize("certify", [False, True])
def test_values_and_gaps_are_equal_for_any_number_of_threads(sizes, certify):
    rng = np.random.default_rng(0)
    x, y = (
        Activations.from_array([rng.normal(size=(size, 5)) for size in np.sort(rng.integers(*sizes, count))])
        for count in (150, 40)
    )
    for other in (None, y):
        one = cpu.aligned_products(x, other, Optimal(), threads=1, certify=certify)
        np.testing.assert_allclose(one.values, aligned_products(list(x.sets()), list((other or x).sets())), rtol=1e-9)
        for threads in (2, 3, 40):
            many = cpu.aligned_products(x, other, Optimal(), threads=threads, certify=certify)
            np.testing.assert_array_equal(many.values, one.values)
            assert not certify or np.array_equal(many.gap, one.gap)


@pytest.mark.parametrize("count", [2, 24, 100])
@pytest.mark.parametrize("threads", [1, 2, 64])
def test_batches_hold_every_pair_once_within_the_limit(count, threads):
    sizes = np.random.default_rng(count).integers(1, 4, count).cumsum()[::-1] % 5 + 1
    x = Activations.from_array([np.ones((size, 2)) for size in sizes])
    run = cpu.Run(x, x, symmetric=True, matcher=Optimal(), certify=False, tile_bytes=50 * 8 * 25)
    met = np.zeros((count, count), int)
    for batch in run.batches(threads):
        assert batch.pairs <= 50
        assert len({sizes[strip.columns.start] for strip in batch.strips}) == 1
        for strip in batch.strips:
            met[strip.rows, strip.columns] += 1
    np.testing.assert_array_equal(met, np.triu(np.ones((count, count), int), 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sets_of_different_sizes_match_the_smaller_into_the_larger(products, dtype):
    rng = np.random.default_rng(3)
    x = [random_sets(1, size, seed=k, dtype=dtype)[0] for k, size in enumerate(rng.integers(1, 30, 9))]
    y = [random_sets(1, size, seed=50 + k, dtype=dtype)[0] for k, size in enumerate(rng.integers(1, 30, 5))]
    result = products(Activations.from_array(x), Activations.from_array(y), Optimal()).values
    np.testing.assert_allclose(result, aligned_products(x, y), rtol=1e-6, atol=1e-6)
    within = products(Activations.from_array(x), None, Optimal()).values
    np.testing.assert_allclose(within, aligned_products(x, x), rtol=1e-6, atol=1e-6)


def test_every_pair_can_be_certified(products, layers):
    activations = Activations.from_array(layers["block15"])
    result = products(activations, None, Optimal(), certify=True)
    sets = list(activations.sets())
    magnitudes = [[_matched_magnitude(a, b) for b in sets] for a in sets]
    assert result.gap.min() == 0
    assert (result.gap * np.abs(result.values) / magnitudes).max() <= 4e-6


def _matched_magnitude(x, y):
    affinity = x.astype(np.float64) @ y.T.astype(np.float64)
    return np.abs(affinity[linear_sum_assignment(affinity, maximize=True)]).sum()


def test_one_set_of_huge_and_one_of_tiny_values(products):
    x = random_sets(3, 12, dtype=np.float32)
    scales = np.array([1e30, 1.0, 1e-30], np.float32)[:, None, None]
    result = products(Activations.from_array(x * scales), None, Optimal()).values
    exact = (x * scales).astype(np.float64)
    np.testing.assert_allclose(result, aligned_products(exact, exact), rtol=1e-6)


def test_progress_counts_every_pair(products, capsys):
    products(Activations.from_array(random_sets(5, 4)), None, Optimal(), progress="pairs of five")
    output = capsys.readouterr().err
    assert "pairs of five: 100%" in output
    assert "10.0/10.0" in output


def test_blas_threads_are_restored():
    before = threadpool_info()
    cpu.aligned_products(Activations.from_array(random_sets(3, 4)), None, Optimal())
    assert threadpool_info() == before


def test_an_error_in_a_thread_reaches_the_caller():
    class Failing(Optimal):
        def match_batch(self, affinities, offsets):
            if affinities.size > 1:  # not in the warm-up
                raise RuntimeError("matcher failed")
            return super().match_batch(affinities, offsets)

    with pytest.raises(RuntimeError, match="matcher failed"):
        cpu.aligned_products(Activations.from_array(random_sets(20, 4)), None, Failing())


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "two"])
def test_invalid_numbers_of_threads_raise(threads):
    with pytest.raises(ValueError, match=rf"threads.*{threads!r}"):
        cpu.aligned_products(Activations.from_array(random_sets(3, 4)), None, Optimal(), threads=threads)


def test_incompatible_inputs_raise(products):
    x = Activations.from_array(random_sets(3, 4))
    with pytest.raises(ValueError, match=r"channels.*\b6 and 5\b"):
        products(x, Activations.from_array(random_sets(3, 4, channels=5)), Optimal())
    with pytest.raises(ValueError, match=r"'identity'.*positions.*\b4 to 7\b"):
        products(x, Activations.from_array(random_sets(3, 7)), Identity())


def test_unknown_engines_and_precisions_raise():
    check_engine("auto")
    check_engine("cpu")
    with pytest.raises(ValueError, match="engine 'gpu'"):
        check_engine("gpu")
    with pytest.raises(ValueError, match="precision 'half'"):
        check_engine("cpu", "half")


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupt_ends_a_long_run_within_seconds():
    code = """
        import os
        import numpy as np
        from simplugins import Optimal, compute_rsm

        class Announcing(Optimal):
            def match_batch(self, affinities, offsets):
                if len(offsets) > 2:
                    os.write(1, b"m")
                return super().match_batch(affinities, offsets)

        maps = np.random.default_rng(0).random((3000, 400, 8), dtype=np.float32)
        compute_rsm(maps, matching=Announcing())
    """
    with running(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1) == "m"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_overlapping_calls_in_two_threads_restore_blas():
    before = threadpool_info()
    first = threading.Thread(target=lambda: compute(60))
    second = threading.Thread(target=lambda: compute(90))
    first.start()
    second.start()
    first.join()
    second.join()
    assert threadpool_info() == before


def compute(count):
    cpu.aligned_products(Activations.from_array(random_sets(count, 30)), None, Optimal())


def test_activations_are_released_after_a_run(products):
    activations = Activations.from_array(random_sets(5, 4))
    gc.disable()
    try:
        reference = weakref.ref(activations)
        products(activations, None, Optimal())
        del activations
        assert reference() is None
    finally:
        gc.enable()


def test_rounding_is_within_the_stated_bound(products):
    sets = np.abs(random_sets(6, 50, channels=2048)) + 100
    exact, norms_of_sets = aligned_products(sets, sets), norms(sets)
    result = products(Activations.from_array(sets), None, Optimal())
    means = (norms_of_sets[:, None] + norms_of_sets) / 2
    assert (np.abs(result.values - exact) <= result.rounding * means).all()
