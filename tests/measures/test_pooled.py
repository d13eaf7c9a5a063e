# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice

import simplugins
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import engine as cuda
from simplugins.compute.engines.cuda.squares_engine import summed_squares
from simplugins.matching.identity import Identity
from simplugins.measures import pooled
from simplugins.measures.measure import Options
from simplugins.testing import check_measure

KERNELS = ["linear", "cosine", "rbf"]
POOLED = {
    f"{kind}-{kernel}": getattr(pooled, f"{kind.replace('-', '_')}_{kernel}")
    for kind, kernel in itertools.product(("mean-pooled", "max-pooled", "second-order"), KERNELS)
}


def moment(vectors):
    exact = np.asarray(vectors, np.float64)
    return exact.T @ exact


FEATURES = {
    "mean-pooled": lambda vectors: np.asarray(vectors, np.float64).mean(0),
    "max-pooled": lambda vectors: np.asarray(vectors, np.float64).max(0),
    "second-order": moment,
}


def oracle(name, xs, ys):
    """Similarities of all pairs of sets, in float64, from features of one set at a time."""
    kind, _, kernel = name.rpartition("-")
    u, v = ([FEATURES[kind](s).ravel() for s in sets] for sets in (xs, ys))
    products = np.array([[a @ b for b in v] for a in u])
    norms = [np.array([a @ a for a in side]) for side in (u, v)]
    if kernel == "linear":
        return products
    if kernel == "cosine":
        return products / np.sqrt(np.outer(*norms))
    squares = norms[0][:, None] + norms[1] - 2 * products
    pairs = squares[np.triu_indices(len(u), 1)] if xs is ys else squares.ravel()
    pairs = np.sort(pairs[pairs > 0])
    return np.exp(-squares / (2 * pairs[(len(pairs) - 1) // 2]))


def sets_of(count, sizes, channels=5, seed=0):
    rng = np.random.default_rng(seed)
    return [np.maximum(rng.normal(size=(sizes[i % len(sizes)], channels)), 0) + 0.01 for i in range(count)]


@pytest.mark.parametrize("measure", POOLED.values(), ids=list(POOLED))
def test_the_contract_of_measures_holds(measure):
    check_measure(measure)


@pytest.mark.parametrize(("name", "measure"), POOLED.items(), ids=list(POOLED))
@pytest.mark.parametrize("sizes", [[6], [3, 5, 1]], ids=["equal", "unequal"])
def test_rsms_equal_the_oracle(name, measure, sizes):
    xs, ys = sets_of(9, sizes), sets_of(4, sizes, seed=1)
    np.testing.assert_allclose(simplugins.compute_rsm(xs, measure), oracle(name, xs, xs), rtol=1e-11)
    np.testing.assert_allclose(simplugins.compute_rsm(xs, measure, other=ys), oracle(name, xs, ys), rtol=1e-11)


@pytest.mark.parametrize(("name", "measure"), POOLED.items(), ids=list(POOLED))
def test_masked_positions_are_ignored(name, measure):
    array, rng = np.stack(sets_of(7, [8])), np.random.default_rng(2)
    mask = rng.random((7, 8)) < 0.6
    mask[:, 3] = True
    array[~mask] = np.nan
    sets = [vectors[counts] for vectors, counts in zip(array, mask, strict=True)]
    np.testing.assert_allclose(simplugins.compute_rsm(array, measure, mask=mask), oracle(name, sets, sets), rtol=1e-11)


def test_labels_norms_and_provenance_are_those_of_features_and_inputs(maps):
    rsm = simplugins.compute_rsm(maps, POOLED["second-order-linear"], labels=np.arange(len(maps)) + 5, other=maps[:3])
    norms = [(moment(vectors) ** 2).sum() for vectors in Activations.from_array(maps).sets()]
    np.testing.assert_allclose(rsm.squared_norms, norms, rtol=1e-12)
    np.testing.assert_allclose(rsm.other_squared_norms, norms[:3], rtol=1e-12)
    assert rsm.labels.tolist() == list(range(5, 5 + len(maps)))
    assert (rsm.kernel, rsm.matching) == ("linear", None)
    assert (rsm.metadata["channels"], rsm.metadata["positions"]) == (32, 36)
    assert rsm.metadata["precision"] == "float64"


def test_float32_activations_are_pooled_in_float64():
    array = np.random.default_rng(0).normal(size=(5, 40, 6)).astype(np.float32)
    for name, measure in POOLED.items():
        np.testing.assert_allclose(simplugins.compute_rsm(array, measure), oracle(name, array, array), rtol=1e-10)


@pytest.mark.parametrize("kind", FEATURES)
def test_inner_products_of_features_are_the_linear_rsm(maps, kind):
    measure = POOLED[f"{kind}-linear"]
    features = measure.features(maps)
    assert features.shape == (len(maps), 32 * 33 // 2 if kind == "second-order" else 32)
    np.testing.assert_allclose(features @ features.T, simplugins.compute_rsm(maps, measure), rtol=1e-12)


def test_second_moments_add_up_squared_affinities():
    x, y = sets_of(2, [4, 7])
    rsm = simplugins.compute_rsm([x], POOLED["second-order-linear"], other=[y])
    assert rsm.values.item() == pytest.approx(((x @ y.T) ** 2).sum(), rel=1e-13)


def test_cka_and_rsa_of_pooled_features_are_those_of_rsatoolbox(maps):
    rsatoolbox = pytest.importorskip("rsatoolbox", exc_type=ImportError)  # it needs a newer scikit-learn than others
    other = np.random.default_rng(3).normal(size=maps.shape) + maps
    sides = maps.astype(np.float64), other
    rsms = [simplugins.compute_rsm(side, POOLED["mean-pooled-linear"]) for side in sides]
    means = [side.mean((2, 3)) for side in sides]
    grams = [(m - m.mean(0)) @ (m - m.mean(0)).T for m in means]
    cka = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert simplugins.compare(*rsms, "cka") == pytest.approx(cka, rel=1e-9)
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(m), method="euclidean") for m in means]
    for method, peer in (("rsa-pearson", "corr"), ("rsa-spearman", "spearman")):
        expected = rsatoolbox.rdm.compare(*rdms, method=peer).item()
        ours = simplugins.compare(*(-rsm.rdm(squared=True) for rsm in rsms), method)
        assert ours == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("options", [{"tile_size": 4}, {"memory": "16GB", "tile_size": 5}, {"threads": 1}], ids=str)
@pytest.mark.parametrize("name", ["mean-pooled-rbf", "second-order-cosine"])
def test_tiles_limits_and_threads_do_not_change_values(maps, name, options):
    expected = simplugins.compute_rsm(maps, POOLED[name], other=maps[:5] + 1)
    rsm = simplugins.compute_rsm(maps, POOLED[name], other=maps[:5] + 1, **options)
    np.testing.assert_allclose(rsm, expected, rtol=1e-12)
    square = simplugins.compute_rsm(maps, POOLED[name], **options)
    np.testing.assert_allclose(square, simplugins.compute_rsm(maps, POOLED[name]), rtol=1e-12)


def test_kernels_share_features_and_poolings_do_not(maps, monkeypatch):
    calls = []
    compute = pooled.PooledPairs.compute

    def counted(operation, *arguments, **options):
        calls.append(operation.pooling.name)
        return compute(operation, *arguments, **options)

    monkeypatch.setattr(pooled.PooledPairs, "compute", counted)
    rsms = simplugins.compute_rsms(maps, [*POOLED.values(), "spatio-semantic-linear"])
    assert calls == ["mean-pooled", "max-pooled", "second-order"]
    assert list(rsms) == [*POOLED, "spatio-semantic-linear"]
    for name, measure in POOLED.items():
        np.testing.assert_array_equal(rsms[name], simplugins.compute_rsm(maps, measure))


def test_stores_identify_activations_and_serve_all_kernels(tmp_path, maps):
    pytest.importorskip("zarr")
    path = tmp_path / "run.zarr"
    stored = simplugins.compute_rsm(maps, POOLED["mean-pooled-cosine"], store=path, tile_size=8, threads=2)
    np.testing.assert_allclose(stored, simplugins.compute_rsm(maps, POOLED["mean-pooled-cosine"]), rtol=1e-12)
    next((path / "values" / "c" / "0").iterdir()).unlink()
    continued = simplugins.compute_rsm(maps, POOLED["mean-pooled-cosine"], store=path, threads=1)
    np.testing.assert_allclose(continued, stored, rtol=1e-12)
    for kernel in KERNELS:
        rsm = simplugins.load_rsm(path, measure=f"mean-pooled-{kernel}")
        np.testing.assert_allclose(rsm, simplugins.compute_rsm(maps, POOLED[f"mean-pooled-{kernel}"]), rtol=1e-10)
    for other in ("max-pooled-cosine", "semantic-cosine", "spatio-semantic-linear"):
        with pytest.raises(ValueError, match=other):
            simplugins.load_rsm(path, measure=other)
    with pytest.raises(ValueError, match="pooling was mean-pooled, now max-pooled"):
        simplugins.compute_rsm(maps, POOLED["max-pooled-cosine"], store=path)


def test_stores_continue_although_features_round_differently(tmp_path, maps, monkeypatch):
    pytest.importorskip("zarr")
    stored = simplugins.compute_rsm(maps, POOLED["second-order-linear"], store=tmp_path / "run.zarr")
    features = pooled.SecondMoments.__call__
    monkeypatch.setattr(
        pooled.SecondMoments,
        "__call__",
        lambda self, block: features(self, block).__class__(
            features(self, block).vectors * (1 + 2.0**-50), features(self, block).offsets
        ),
    )
    again = simplugins.compute_rsm(maps, POOLED["second-order-linear"], store=tmp_path / "run.zarr")
    np.testing.assert_array_equal(again, stored)


@pytest.mark.parametrize("on_disk", [True, False])
def test_clusters_compute_the_same(tmp_path, maps, on_disk):
    distributed = pytest.importorskip("distributed")
    source = maps
    if on_disk:
        np.save(tmp_path / "maps.npy", maps)
        source = tmp_path / "maps.npy"
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    with distributed.LocalCluster(silence_logs=50, **options) as cluster, distributed.Client(cluster) as client:
        for name in ("max-pooled-cosine", "second-order-rbf"):
            rsm = simplugins.compute_rsm(source, POOLED[name], scheduler=client, tile_size=6)
            np.testing.assert_allclose(rsm, simplugins.compute_rsm(maps, POOLED[name]), rtol=1e-9)


def test_features_that_are_not_held_are_mapped_from_disk_by_whoever_reads_them(tmp_path, maps, monkeypatch):
    monkeypatch.setattr(pooled, "CACHE_BYTES", 1000)
    monkeypatch.setattr("simplugins.activations.activations.CHUNK_BYTES", 1000)
    np.save(tmp_path / "maps.npy", maps)
    measure = POOLED["second-order-linear"]
    x = Activations.from_array(np.load(tmp_path / "maps.npy", mmap_mode="r"))
    job = measure.job(x, None, measure.operation(Options()))
    assert job.x.is_on_disk
    np.testing.assert_allclose(job.compute(None).values, simplugins.compute_rsm(maps, measure), rtol=1e-12)


def test_the_gpu_engine_multiplies_features(maps, device):
    for kind in FEATURES:
        measure = POOLED[f"{kind}-linear"]
        job = measure.job(*map(Activations.from_array, (maps, maps[:4] + 1)), measure.operation(Options()))
        values = cuda.aligned_products(job.x, job.y, Identity(), device=device).values
        np.testing.assert_allclose(values, simplugins.compute_rsm(maps, measure, other=maps[:4] + 1), rtol=1e-12)


FEW = {"one position": [1], "two positions": [2], "unequal": [1, 3, 2]}


@pytest.mark.parametrize("sizes", FEW.values(), ids=FEW)
@pytest.mark.parametrize("kernel", KERNELS)
def test_few_positions_of_many_channels_need_no_features(sizes, kernel, monkeypatch):
    measure = POOLED[f"second-order-{kernel}"]
    xs, ys = sets_of(30, sizes, channels=50), sets_of(7, sizes, channels=50, seed=1)
    monkeypatch.setattr(pooled.SecondMoments, "__call__", None)  # features are never formed
    for options in ({}, {"tile_size": 9}, {"memory": "16GB"}, {"threads": 1}):
        rsm = simplugins.compute_rsm(xs, measure, other=ys, **options)
        np.testing.assert_allclose(rsm, oracle(measure.name, xs, ys), rtol=1e-10)
        assert rsm.metadata["precision"] == "float64"
    square = simplugins.compute_rsm(xs, measure)
    np.testing.assert_allclose(square, oracle(measure.name, xs, xs), rtol=1e-10)
    np.testing.assert_array_equal(square, square.values.T)
    np.testing.assert_allclose(square.squared_norms, [(moment(x) ** 2).sum() for x in xs], rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_equal_norms_of_different_second_moments_are_no_common_mean():
    sets = sets_of(6, [1], channels=30)
    rsm = simplugins.compute_rsm(sets, "second-order-cosine", normalize="position")
    units = np.concatenate([x / np.linalg.norm(x) for x in sets])
    np.testing.assert_allclose(rsm, (units @ units.T) ** 2, atol=1e-12)


def test_squared_affinities_of_extreme_inputs_are_scaled():
    xs = sets_of(6, [2], channels=30)
    expected = simplugins.compute_rsm(xs, POOLED["second-order-cosine"])
    for factor in (1e-60, 1e60):
        rsm = simplugins.compute_rsm([factor * x for x in xs], POOLED["second-order-cosine"])
        np.testing.assert_allclose(rsm, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"e\+201"):
        simplugins.compute_rsm([1e100 * x for x in xs], POOLED["second-order-cosine"])


def test_squared_affinities_continue_a_store(tmp_path):
    pytest.importorskip("zarr")
    xs, path = sets_of(12, [2, 1], channels=40), tmp_path / "run.zarr"
    rsm = simplugins.compute_rsm(xs, POOLED["second-order-linear"], store=path, tile_size=5)
    next((path / "values" / "c" / "0").iterdir()).unlink()
    again = simplugins.compute_rsm(xs, POOLED["second-order-linear"], store=path)
    np.testing.assert_allclose(again, rsm, rtol=1e-12)
    np.testing.assert_allclose(again, oracle("second-order-linear", xs, xs), rtol=1e-10)


def test_the_gpu_engine_sums_squared_affinities(device):
    xs, ys = sets_of(11, [1, 3], channels=40), sets_of(5, [2, 1], channels=40, seed=1)
    measure = POOLED["second-order-linear"]
    job = measure.job(Activations.from_sets(xs), Activations.from_sets(ys), measure.operation(Options()))
    between = summed_squares(job.x, job.y, device=device).values
    within = summed_squares(job.x, None, device=device)
    np.testing.assert_allclose(between, oracle("second-order-linear", xs, ys), rtol=1e-10)
    np.testing.assert_allclose(within.values, oracle("second-order-linear", xs, xs), rtol=1e-10)
    assert within.metadata["precision"] == "float64"


@pytest.mark.parametrize("device", [LateDevice(), EmulatedDevice(memory=40_000)], ids=["late", "small"])
def test_squares_are_summed_in_the_order_and_memory_of_the_device(device):
    xs = sets_of(40, [2, 3], channels=50)
    values = summed_squares(Activations.from_sets(xs), None, device=device).values
    np.testing.assert_allclose(values, oracle("second-order-linear", xs, xs), rtol=1e-10)


@pytest.mark.gpu
@pytest.mark.parametrize("library", ["cupy", "torch"])
def test_arrays_on_a_gpu_are_pooled_there(maps, library):
    cupy = pytest.importorskip("cupy")
    array = cupy.asarray(maps.astype(np.float32))
    if library == "torch":
        array = pytest.importorskip("torch").from_dlpack(array)
    mask = np.random.default_rng(0).random((len(maps), 36)) < 0.7
    for measure, options in itertools.product(POOLED.values(), ({}, {"mask": mask})):
        rsm = simplugins.compute_rsm(array, measure, engine="cuda", **options)
        expected = simplugins.compute_rsm(maps.astype(np.float32), measure, engine="cpu", **options)
        np.testing.assert_allclose(rsm, expected, rtol=1e-9)
        assert rsm.metadata["engine"] == "cuda"


CHANGES = {
    "rotation": lambda sets, rng: sets @ np.linalg.qr(rng.normal(size=2 * sets.shape[2:]))[0],
    "scaling": lambda sets, rng: 3.7 * sets,
    "translation": lambda sets, rng: sets + rng.normal(size=sets.shape[2]),
    "linear": lambda sets, rng: sets @ rng.normal(size=2 * sets.shape[2:]),
    "positions": lambda sets, rng: np.take_along_axis(sets, np.argsort(rng.random((8, 5, 1)), axis=1), axis=1),
}


@pytest.mark.parametrize("measure", POOLED.values(), ids=list(POOLED))
@pytest.mark.parametrize("change", CHANGES)
def test_declared_effects_are_those_of_real_transformations(measure, change):
    sets = np.random.default_rng(0).normal(0.5, 1, size=(8, 5, 6))
    changed = CHANGES[change](sets, np.random.default_rng(1))
    before, after = (simplugins.compute_rsm(side, measure).values for side in (sets, changed))
    scale, factor = np.abs(after).max(), (before * after).sum() / (before**2).sum()
    shift = after - before
    rest = shift - shift.mean(0) - shift.mean(1)[:, None] + shift.mean()
    errors = {"none": shift, "scaling": after - factor * before, "translation": rest}
    observed = next((effect for effect, error in errors.items() if np.abs(error).max() < 1e-9 * scale), "other")
    assert measure.effects[change] == observed


def test_a_fixed_bandwidth_depends_on_the_scale():
    for measure in POOLED.values():
        expected = "other" if measure.kernel == "rbf" else measure.effects["scaling"]
        assert measure.effects_with(None, 2.0)["scaling"] == expected


@pytest.mark.parametrize(
    "options",
    [{"matching": "greedy"}, {"certify": True}, {"precision": "float16x3"}, {"matching_options": {"k": 3}}],
    ids=str,
)
def test_options_of_matchings_do_not_apply(maps, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        simplugins.compute_rsm(maps, POOLED["mean-pooled-cosine"], **options)


def test_other_channels_raise(maps):
    with pytest.raises(ValueError, match="32 and 30"):
        simplugins.compute_rsm(maps, POOLED["second-order-linear"], other=maps[:, :30])


def test_features_that_do_not_fit_float64_raise():
    with pytest.raises(ValueError, match="input 1"):
        simplugins.compute_rsm([np.ones((2, 3)), np.full((2, 3), 1e120)], POOLED["second-order-linear"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [[4], [1, 2, 5, 7]])
def test_means_of_centred_inputs_are_0_rather_than_rounding_errors(dtype, sizes):
    sets = [(x + 5).astype(dtype) for x in sets_of(6, sizes)]
    for kernel, value in (("linear", 0), ("cosine", 0), ("rbf", 1)):
        rsm = simplugins.compute_rsm(sets, f"mean-pooled-{kernel}", center="input")
        np.testing.assert_array_equal(rsm, np.full((6, 6), value))


def test_inputs_of_zeros_have_cosine_0():
    rsm = simplugins.compute_rsm([np.zeros((3, 2)), np.ones((1, 2))], POOLED["second-order-cosine"])
    np.testing.assert_array_equal(rsm, [[0, 0], [0, 1]])


def test_costs_are_estimated(maps):
    estimate = partial(simplugins.estimate_for, maps, measure=POOLED["second-order-cosine"], seconds=0.05)
    assert estimate().pairs == len(maps) * (len(maps) - 1) // 2
    assert estimate(other=maps[:3]).pairs == 3 * len(maps)
    assert (
        simplugins.estimate(50, 16, 8, measure=POOLED["mean-pooled-rbf"], seconds=0.05).summary()["matching"] == "none"
    )
