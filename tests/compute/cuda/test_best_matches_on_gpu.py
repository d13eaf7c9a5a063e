# SPDX-License-Identifier: Apache-2.0
"""MaxSim on a GPU, and emulated, against the CPU engine and NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from emulation.device import EmulatedDevice, EmulationError, LateDevice
from oracle import max_sim

import simplugins
from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.compute.best_affinities import BestAffinities
from simplugins.compute.engines import best_matches as cpu
from simplugins.compute.engines.cuda import best_matches_engine, cupy_device, reductions, tile_run
from simplugins.compute.engines.cuda.launcher import Batch
from simplugins.compute.engines.cuda.reductions import ReductionProgram

AFFINITIES = {"product": "linear", "cosine": "cosine", "distance": "rbf"}
EVERY = [BestAffinities(affinity, both) for affinity in AFFINITIES for both in (False, True)]


def sets_of(sizes, channels=6, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(size, channels)).astype(dtype) for size in sizes]


def truth(best, xs, ys):
    kernel = AFFINITIES[best.affinity]
    values = np.array([[max_sim(kernel, x, y) for y in ys] for x in xs])
    return (values + np.array([[max_sim(kernel, y, x) for y in ys] for x in xs])) / 2 if best.both else values


@pytest.mark.parametrize("best", EVERY, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_equal_the_oracle(device, best, dtype):
    xs, ys = sets_of([1, 40, 7, 150, 33], dtype=dtype), sets_of([25, 1, 300, 64], seed=1, dtype=dtype)
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    x, y = Activations.from_array(xs), Activations.from_array(ys)
    for other, columns in ((None, xs), (y, ys)):
        result = best_matches_engine.best_matches(x, other, best, device=device)
        expected = truth(best, xs, columns)
        np.testing.assert_allclose(result.values, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
        assert result.metadata["engine"] == "cuda"


@pytest.mark.parametrize("best", EVERY, ids=repr)
def test_real_activations_agree_with_the_cpu_engine(device, layers, best):
    for name, count in (("block15", 8), ("block10", 4)):
        x = Activations.from_array(layers[name][:count])
        result = best_matches_engine.best_matches(x, None, best, device=device)
        expected = cpu.best_matches(x, None, best)
        np.testing.assert_allclose(result.values, expected.values, rtol=2e-5, atol=1e-6 * expected.values.max())
        assert (result.values == result.values.T).all() or not best.both


@pytest.mark.parametrize("best", EVERY, ids=repr)
@pytest.mark.parametrize("precision", ["float32", "float16x3"])
def test_precisions_and_extreme_inputs(device, best, precision):
    factors = np.array([1, 1e-24, 1e24, 1, 3e-7])
    xs = [factor * vectors for factor, vectors in zip(factors, sets_of([9, 20, 5, 33, 8], dtype=float), strict=True)]
    x = Activations.from_array(xs, dtype=np.float32)
    result = best_matches_engine.best_matches(x, None, best, device=device, precision=precision)
    expected = truth(best, xs, xs)
    lengths = np.sqrt([(vectors**2).sum() for vectors in xs])
    scale = {"product": np.outer(lengths, lengths), "cosine": 1, "distance": np.add.outer(lengths**2, lengths**2)}
    assert (np.abs(result.values - expected) <= 1e-4 * scale[best.affinity]).all()


@pytest.mark.parametrize("best", EVERY, ids=repr)
def test_results_do_not_depend_on_tiles_or_asynchronous_execution(best, monkeypatch):
    x = Activations.from_array(np.stack(sets_of([20] * 13)))
    y = Activations.from_array(sets_of(range(15, 25), seed=1))
    for other in (None, y):
        whole = best_matches_engine.best_matches(x, other, best, device=EmulatedDevice()).values
        for most in (1, 4, 5):
            monkeypatch.setattr(tile_run, "_MAX_INPUTS", most)
            monkeypatch.setattr(tile_run, "INPUTS_SHARE", 0.25 if most == 5 else 1e-3)
            for late in (EmulatedDevice(seed=most), LateDevice()):
                tiled = best_matches_engine.best_matches(x, other, best, device=late, precision="float16x3").values
                np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5)
        monkeypatch.undo()


def test_tiles_are_halved_if_memory_runs_out():
    class Shrinking(EmulatedDevice):
        def free_bytes(self):
            free = super().free_bytes()
            self.memory = min(self.memory, 2**17)
            return free

    x = Activations.from_array(np.stack(sets_of([30] * 40, channels=16)))
    device = Shrinking(memory=2**22)
    best = BestAffinities("distance", both=True)
    result = best_matches_engine.best_matches(x, None, best, device=device)
    np.testing.assert_allclose(result.values, cpu.best_matches(x, None, best).values, rtol=1e-5)
    assert device.free_bytes() == device.memory


@pytest.mark.parametrize("arch", [750, 900])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_results_do_not_depend_on_the_order_of_threads(arch, seed):
    def sums(device):
        affinities = np.random.default_rng(0).normal(size=(300, 280)).astype(np.float32)
        problems = np.array([[0, 300, 0, 280], [7, 8, 3, 4], [20, 90, 250, 280]])
        return reductions.sum_maxima(device, Batch(device.upload(affinities), device.upload(problems), 3, 300))()

    np.testing.assert_array_equal(sums(EmulatedDevice(seed=seed, arch=arch)), sums(EmulatedDevice()))


PASSAGES = [
    "= highest[k];\n        barrier();",
    "total += most;\n        }\n        barrier();  // before the next panel overwrites the maxima",
]
"""Each ends in a barrier; without it, threads read memory before others have written it, or after."""


@dataclass(frozen=True)
class Shortened(ReductionProgram):
    """A program from which the last line of a passage is removed."""

    passage: str = ""

    @property
    def source(self):
        original = ReductionProgram.source.func(self)
        assert original.count(self.passage) == 1
        return original.replace(self.passage, self.passage.rsplit("\n", 1)[0])


@pytest.mark.parametrize("passage", PASSAGES)
def test_a_missing_barrier_is_detected(monkeypatch, passage):
    single = np.dtype(np.float32)
    shape = {"kernel": "max_sim", "warps": 2, "slots": 1, "staged": False, "affinity": single, "real": single}
    affinities = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)

    def run(program, seed):
        device = EmulatedDevice(seed=seed)
        monkeypatch.setattr(reductions, "reduction_program", lambda *_: program)
        batch = Batch(device.upload(affinities), device.upload(np.array([[0, 100, 0, 100]])), 1, 100)
        return reductions.sum_maxima(device, batch)()

    def is_detected(seed):
        try:
            return not np.array_equal(run(Shortened(**shape, passage=passage), seed), run(ReductionProgram(**shape), 0))
        except EmulationError:
            return True

    assert any(map(is_detected, range(8)))


def test_too_many_positions_are_rejected():
    x = Activations.from_array(np.ones((2, 60_000, 1), np.float32))
    with pytest.raises(ValueError, match=r"60000 positions.*engine='cpu'"):
        best_matches_engine.best_matches(x, None, EVERY[0], device=EmulatedDevice(memory=2**40))


@pytest.fixture
def _emulated_gpu(monkeypatch):
    """Make simplugins find a GPU, which is emulated."""
    monkeypatch.setattr(gpu, "why_unusable", lambda: None)
    monkeypatch.setattr(cupy_device, "CupyDevice", lambda number: EmulatedDevice())


@pytest.mark.usefixtures("_emulated_gpu")
@pytest.mark.parametrize("engine", ["auto", "cuda"])
@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_rsms_are_computed_on_a_gpu(layers, engine, kernel, tmp_path):
    maps = layers["block15"][:6]
    rsm = simplugins.compute_rsm(maps, f"max-sim-{kernel}", engine=engine, precision="float16x3")
    expected = simplugins.compute_rsm(maps, f"max-sim-{kernel}", engine="cpu")
    np.testing.assert_allclose(rsm, expected, rtol=1e-4, atol=1e-6)
    assert rsm.metadata["engine"] == "cuda"
    stored = simplugins.compute_rsm(
        maps, f"max-sim-{kernel}", engine=engine, precision="float16x3", store=tmp_path / "rsm.zarr", tile_size=4
    )
    np.testing.assert_allclose(stored, expected, rtol=1e-4, atol=1e-6)
