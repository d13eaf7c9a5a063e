# SPDX-License-Identifier: Apache-2.0
"""The GPU engine, on a GPU and emulated, against the CPU engine and SciPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from oracle import aligned_products, batch_optimal, concept_vectors, greedy, topk_greedy

import simplugins
from simplugins import Auction, BatchOptimal, Greedy, Identity, Optimal, Partial, TopKGreedy
from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.compute.engines import choose_engine, cpu
from simplugins.compute.engines.cuda import cupy_device, engine, launcher, one_pair, pair_problems, tile_run
from simplugins.compute.engines.cuda.device import DeviceMemoryError
from simplugins.compute.engines.cuda.pair_problems import FINE_ENOUGH
from simplugins.compute.engines.cuda.tile_run import INPUTS_SHARE, PRODUCTS_SHARE, RESULTS_SHARE
from simplugins.compute.job import Job
from simplugins.compute.run import Resources, make_tiling
from simplugins.matching.certificates import match_and_certify
from simplugins.measures.semantic import MatchedPairs

MATCHERS = [
    Optimal(),
    Auction(),
    BatchOptimal(window=20),
    Greedy(),
    TopKGreedy(k=10),
    Identity(),
    Partial(threshold=2.0),
]


def by_engine(x, y, matcher, *, engine="auto", precision=None, threads=None, certify=False):
    return MatchedPairs(matcher, certify, engine, precision).compute(x, y, threads=threads)


def sets_of(sizes, channels=6, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [np.maximum(rng.normal(size=(size, channels)), 0).astype(dtype) for size in sizes]


def equal_sets(count, positions, **options):
    return np.stack(sets_of([positions] * count, **options))


@pytest.mark.parametrize("matcher", MATCHERS, ids=lambda matcher: matcher.name)
@pytest.mark.parametrize("certify", [False, True])
def test_real_activations_agree_with_the_cpu_engine(device, layers, matcher, certify):
    for name, count in (("block15", 8), ("block10", 4)):
        activations = Activations.from_array(layers[name][:count])
        products = engine.aligned_products(activations, None, matcher, device=device, certify=certify)
        expected = cpu.aligned_products(activations, None, matcher, certify=certify)
        tolerance = getattr(matcher, "tolerance", 1e-6)
        np.testing.assert_allclose(products.values, expected.values, rtol=tolerance)
        np.testing.assert_array_equal(products.values, products.values.T)
        assert (products.gap is None) == (not certify)
        if certify:
            assert matcher.partial or products.gap.min() == 0
            # For matchers without dual prices, the CPU's bounds come from an auction.
            assert (products.gap <= expected.gap + 1e-6).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_approximations_of_unequal_sets_equal_the_oracle(device, dtype):
    x = sets_of([1, 30, 7, 55, 20, 21, 40], dtype=dtype)
    y = sets_of([25, 1, 60, 20], seed=1, dtype=dtype)
    oracles = {
        BatchOptimal(window=20): lambda a, b: batch_optimal(a, b, 20),
        Greedy(): lambda a, b: greedy(a @ b.T),
        TopKGreedy(k=10): lambda a, b: topk_greedy(a, b, 10),
    }
    for matcher, oracle in oracles.items():
        expected = np.array([[oracle(a, b) for b in y] for a in x])
        products = engine.aligned_products(Activations.from_array(x), Activations.from_array(y), matcher, device=device)
        np.testing.assert_allclose(products.values, expected, rtol=1e-5)


def test_masked_positions_are_ignored(device):
    maps, mask = equal_sets(6, 40), np.random.default_rng(5).random((6, 40)) < 0.6
    x = Activations.from_array(maps, mask=mask)
    products = engine.aligned_products(x, None, Optimal(), device=device, certify=True)
    sets = [positions[used] for positions, used in zip(maps, mask, strict=True)]
    np.testing.assert_allclose(products.values, aligned_products(sets, sets), rtol=1e-6)
    assert products.gap.max() <= FINE_ENOUGH


@pytest.mark.parametrize("matcher", [Optimal(), BatchOptimal(window=8), Identity()], ids=lambda matcher: matcher.name)
def test_results_do_not_depend_on_tiles(matcher, monkeypatch):
    x, y = Activations.from_array(equal_sets(13, 24)), Activations.from_array(equal_sets(5, 24, seed=1))
    for other in (None, y):
        whole = engine.aligned_products(x, other, matcher, device=EmulatedDevice()).values
        for most in (1, 3, 4):
            monkeypatch.setattr(tile_run, "_MAX_INPUTS", most)
            tiled = engine.aligned_products(x, other, matcher, device=EmulatedDevice(seed=most)).values
            np.testing.assert_allclose(tiled, whole, rtol=1e-6)
        monkeypatch.undo()


@pytest.mark.parametrize("matcher", [*MATCHERS, BatchOptimal(window=7)], ids=repr)
@pytest.mark.parametrize("most", [4, 5])
@pytest.mark.parametrize("share", [INPUTS_SHARE, 1e-6])
def test_results_do_not_depend_on_asynchronous_execution(matcher, most, share, monkeypatch):
    """Several tiles in flight, windows of several sizes, and blocks that evict others."""
    monkeypatch.setattr(tile_run, "INPUTS_SHARE", share)
    monkeypatch.setattr(tile_run, "block_size", lambda *_: most)
    x, y = Activations.from_array(equal_sets(13, 49)), Activations.from_array(sets_of(range(20, 31), seed=1))
    for other in (None, x if matcher.positionwise else y):
        expected = engine.aligned_products(x, other, matcher, device=EmulatedDevice()).values
        values = engine.aligned_products(x, other, matcher, device=LateDevice()).values
        np.testing.assert_array_equal(values, expected)


def test_device_memory_stays_within_the_stated_share(monkeypatch):
    x = Activations.from_array(equal_sets(60, 30, channels=16))
    least = []

    class Watched(EmulatedDevice):
        def empty(self, shape, dtype):
            array = super().empty(shape, dtype)
            least.append(self.free_bytes())
            return array

    device = Watched(memory=2**19)
    products = engine.aligned_products(x, None, Optimal(), device=device)
    np.testing.assert_allclose(products.values, cpu.aligned_products(x, None, Optimal()).values, rtol=1e-6)
    assert min(least) >= (1 - PRODUCTS_SHARE - INPUTS_SHARE - RESULTS_SHARE - 0.05) * device.memory
    assert device.free_bytes() == device.memory  # everything is freed


def test_tiles_are_halved_if_memory_runs_out():
    """Another program allocates memory after the engine has queried the free memory."""

    class Shrinking(EmulatedDevice):
        def free_bytes(self):
            free = super().free_bytes()
            self.memory = min(self.memory, 2**17)
            return free

    x = Activations.from_array(equal_sets(40, 30, channels=16))
    products = engine.aligned_products(x, None, Optimal(), device=Shrinking(memory=2**22))
    np.testing.assert_allclose(products.values, cpu.aligned_products(x, None, Optimal()).values, rtol=1e-6)


def test_a_pair_that_does_not_fit_raises_an_error_and_frees_the_device():
    device = EmulatedDevice(memory=2**16)
    x = Activations.from_array(equal_sets(3, 200))
    with pytest.raises(DeviceMemoryError, match=r"one pair.*emulated.*engine='cpu'"):
        engine.aligned_products(x, None, Optimal(), device=device)
    assert device.free_bytes() == device.memory


def test_an_error_midway_frees_the_device(monkeypatch):
    device = EmulatedDevice()
    x = Activations.from_array(equal_sets(6, 10))
    monkeypatch.setattr(launcher, "program_for", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.aligned_products(x, None, Optimal(), device=device)
    assert device.free_bytes() == device.memory


def test_pairs_with_loose_float32_bounds_are_solved_in_float64(device, monkeypatch):
    sets = [*sets_of([30, 12, 30, 25]), *sets_of([1])]  # float32 is exact for the set with one position
    launched = []
    solve = launcher.start
    monkeypatch.setattr(pair_problems, "FINE_ENOUGH", 1e-12)
    monkeypatch.setattr(
        launcher, "start", lambda *arguments, **options: launched.append(arguments[2]) or solve(*arguments, **options)
    )
    products = engine.aligned_products(Activations.from_array(sets), None, Optimal(), device=device, certify=True)
    assert launched.count(np.float64) >= 1
    np.testing.assert_allclose(products.values, aligned_products(sets, sets), rtol=1e-6)
    assert products.gap.max() <= 1e-12


@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-7), ("float16x3", 2e-7)])
def test_precisions_are_within_their_stated_errors(device, layers, precision, error):
    sets = (concept_vectors(layers["block15"][:6]) / 1.1).astype(
        np.float32
    )  # undoes the coarseness of the stored float16
    x = Activations.from_array(sets)
    products = engine.aligned_products(x, None, Optimal(), device=device, precision=precision)
    exact = aligned_products(sets, sets)
    means = (x.squared_norms[:, None] + x.squared_norms) / 2
    off = np.abs(products.values - exact) / means
    assert off.max() <= error <= products.rounding
    assert products.metadata == {"engine": "cuda", "precision": precision, "device": device.name}


def test_float64_activations_are_computed_in_float64(device):
    x = equal_sets(5, 20, dtype=np.float64)
    products = engine.aligned_products(Activations.from_array(x), None, Optimal(), device=device)
    np.testing.assert_allclose(products.values, aligned_products(x, x), rtol=1e-13)
    assert products.metadata["precision"] == "float64"


@pytest.mark.parametrize("matcher", MATCHERS, ids=lambda matcher: matcher.name)
def test_a_single_pair_agrees_with_the_cpu(device, matcher):
    for rows, columns in [(30, 30), (25, 41), (41, 25), (1, 1)]:
        if matcher.positionwise and rows != columns:
            continue
        x, y = (Activations.from_array(sets_of([size], seed=size)).block(0, 1) for size in (rows, columns))
        certified, affinity = one_pair.match_and_certify(x, y, matcher, device=device)
        np.testing.assert_allclose(affinity, x.vectors @ y.vectors.T, rtol=1e-5)
        expected = match_and_certify(matcher, np.ascontiguousarray(affinity), x.offsets)
        tolerance = getattr(matcher, "tolerance", 1e-6)
        assert certified.values[0] == pytest.approx(expected.values[0], rel=tolerance)
        assert certified.values[0] <= certified.upper[0] * (1 + 1e-12)
        assert certified.upper[0] == pytest.approx(expected.upper[0], rel=0.01)
        matched = np.flatnonzero(certified.columns >= 0)
        assert len(matched) == len(set(certified.columns[matched].tolist()))
        assert len(matched) == np.count_nonzero(expected.columns >= 0)
        assert affinity[matched, certified.columns[matched]].sum() == pytest.approx(certified.values[0], rel=1e-5)


class Inherited(Greedy):
    name = "inherited"


@dataclass(frozen=True)
class Declared(BatchOptimal):
    name = "declared"
    cuda_kernel = "assignment"


class Unknown(Greedy):
    name = "unknown"
    cuda_kernel = "hungarian"


class WindowedGreedy(Greedy):
    name = "windowed-greedy"
    cuda_kernel = "greedy"
    window = 4


@pytest.mark.parametrize("matcher", [Inherited(), Unknown(), WindowedGreedy()], ids=lambda matcher: matcher.name)
def test_matchers_without_a_cuda_kernel_need_the_cpu(device, matcher):
    x = Activations.from_array(equal_sets(3, 4))
    with pytest.raises(ValueError, match=f"'{matcher.name}'.*engine='cpu'.*{matcher.cuda_kernel!r}"):
        engine.aligned_products(x, None, matcher, device=device)
    assert choose_engine("auto", matcher) == "cpu"


def test_third_party_matchers_may_declare_a_cuda_kernel(device):
    x = Activations.from_array(equal_sets(5, 30))
    ours, theirs = (
        engine.aligned_products(x, None, matcher, device=device) for matcher in (BatchOptimal(window=8), Declared(8))
    )
    np.testing.assert_array_equal(theirs.values, ours.values)


def test_too_many_positions_are_rejected(monkeypatch):
    x = Activations.from_array(equal_sets(2, 7200, channels=1))
    with pytest.raises(ValueError, match=r"7168 positions.*7200.*engine='cpu'"):
        engine.aligned_products(x, None, Optimal(), device=EmulatedDevice())


@pytest.fixture
def _emulated_gpu(monkeypatch):
    """Make simplugins find a GPU, which is emulated."""
    monkeypatch.setattr(gpu, "why_unusable", lambda: None)
    monkeypatch.setattr(cupy_device, "CupyDevice", lambda number: EmulatedDevice())


@pytest.mark.usefixtures("_emulated_gpu")
@pytest.mark.parametrize("engine", ["auto", "cuda"])
def test_rsms_are_computed_on_a_gpu(layers, engine, tmp_path):
    maps = layers["block15"][:6]
    measures = ["semantic-cosine", "semantic-rbf", "spatio-semantic-rbf"]
    rsms = simplugins.compute_rsms(maps, measures, engine=engine, certify=True, precision="float16x3")
    expected = simplugins.compute_rsms(maps, measures, engine="cpu")
    for name in measures:
        np.testing.assert_allclose(rsms[name], expected[name], rtol=1e-5, atol=1e-6)
        assert rsms[name].metadata["engine"] == "cuda"
        assert rsms[name].metadata["device"] == "emulated"
    rsms["semantic-cosine"].save(tmp_path / "rsm.npz")
    assert simplugins.load_rsm(tmp_path / "rsm.npz").metadata["precision"] == "float16x3"
    assert rsms["spatio-semantic-rbf"].metadata["precision"] == "float64"


@pytest.mark.usefixtures("_emulated_gpu")
def test_arrays_keep_their_type_on_the_way_to_the_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    array = equal_sets(6, 9)
    uploaded = []
    upload = EmulatedDevice.upload
    monkeypatch.setattr(
        EmulatedDevice, "upload", lambda self, values: uploaded.append(values.dtype) or upload(self, values)
    )
    for given, dtype in (
        (array, np.float32),
        (array.astype(np.float16), np.float16),
        (array.astype(np.float64), np.float64),
        (torch.from_numpy(array).half(), np.float16),
        (torch.from_numpy(array).bfloat16(), np.uint16),
    ):
        uploaded.clear()
        rsm = simplugins.compute_rsm(given, other=given)
        expected = simplugins.compute_rsm(given, other=given, engine="cpu")
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert uploaded[:2] == [dtype] * 2


def test_tiles_of_a_gpu_are_larger(monkeypatch):
    x = Activations.from_array(np.zeros((5000, 49, 1), np.float32))
    sizes = [make_tiling(Job(x, None, MatchedPairs(Optimal())), Resources(), stored=True).size]
    monkeypatch.setattr(gpu, "why_unusable", lambda: None)
    for matcher in (Optimal(), Inherited()):  # the second has no CUDA kernel
        sizes.append(make_tiling(Job(x, None, MatchedPairs(matcher)), Resources(), stored=True).size)
    assert sizes == [512, 4096, 512]


@pytest.mark.usefixtures("_emulated_gpu")
@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-cosine", "max-sim-cosine", "second-order-rbf"])
def test_stores_and_tiles_take_results_from_a_gpu(measure, tmp_path):
    array = equal_sets(7, 9)
    expected = simplugins.compute_rsm(array, measure, engine="cpu")
    stored = simplugins.compute_rsm(array, measure, store=tmp_path / "rsm.zarr", tile_size=3)
    tiled = simplugins.compute_rsm(array, measure, tile_size=3)
    for rsm in (stored, tiled):
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert rsm.metadata["engine"] == "cuda"


@pytest.mark.usefixtures("_emulated_gpu")
@pytest.mark.parametrize("matching", ["optimal", "batch-optimal", "greedy"])
def test_a_single_pair_is_matched_on_a_gpu(layers, matching):
    maps = layers["block10"][:2] * np.array([1, 1e-30])[:, None, None, None]
    pair = simplugins.match(*maps, matching, engine="cuda")
    expected = simplugins.match(*maps, matching)
    assert pair.value == pytest.approx(expected.value, rel=1e-6)
    assert pair.value <= pair.upper_bound <= expected.upper_bound * (1 + 1e-9)
    np.testing.assert_allclose(pair.affinity, expected.affinity, rtol=1e-6)


def test_a_missing_gpu_raises_an_error_with_the_extra_to_install(monkeypatch):
    monkeypatch.setattr(gpu, "why_unusable", lambda: f"CuPy is not installed: {gpu.INSTALL}")
    message = r"engine 'cuda' cannot be used here: CuPy is not installed: pip install 'simplugins\[cuda12\]'"
    with pytest.raises(ValueError, match=message):
        simplugins.compute_rsm(np.eye(3), engine="cuda")
    with pytest.raises(ValueError, match=message):
        simplugins.match(np.eye(3), np.eye(3), engine="cuda")
    assert simplugins.compute_rsm(np.eye(3), engine="auto").metadata["engine"] == "cpu"


def test_precision_requires_a_gpu_and_float32():
    x = Activations.from_array(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="precision='float16x3' needs engine='cuda'"):
        by_engine(x, None, Optimal(), engine="cpu", precision="float16x3")
    with pytest.raises(ValueError, match="precision='float32' is for float32 activations"):
        by_engine(Activations.from_array(np.eye(3)), None, Optimal(), precision="float32")
    assert by_engine(x, None, Optimal(), engine="cpu", precision="float32").metadata["precision"] == "float32"
