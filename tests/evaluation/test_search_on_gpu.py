# SPDX-License-Identifier: Apache-2.0
"""Exact search on a GPU, real or emulated, finds what ranking the RSM of the CPU finds."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from emulation.unordered import UnorderedDevice
from hypothesis import given, settings
from hypothesis import strategies as st

import simplugins
from simplugins._common import gpu
from simplugins.activations.blocks import Block
from simplugins.compute.engines.cuda import cupy_device
from simplugins.compute.engines.cuda.device import DeviceMemoryError
from simplugins.compute.engines.cuda.nearest_programs import NearestProgram
from simplugins.compute.engines.cuda.pair_programs import NULL
from simplugins.evaluation.searching.bounds import Summary

KERNELS = ("linear", "cosine", "rbf")
ROUNDING = 2.0**-19


def emulate(patch, make=EmulatedDevice):
    """Make simplugins find a GPU, which is emulated."""
    patch.setattr(gpu, "why_unusable", lambda: None)
    patch.setattr(cupy_device, "CupyDevice", lambda number=None: make())


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def any_gpu(request, monkeypatch):
    """The GPU, or an emulated one."""
    if request.param == "emulated":
        emulate(monkeypatch)


def check(queries, gallery=None, *, k, kernel="cosine", exact=False, **options):
    """Compare a search on the GPU with the exhaustive ranking, up to ties within rounding unless `exact`."""
    sigma = {"sigma": 3.0} if kernel == "rbf" else {}
    measure = f"semantic-{kernel}"
    result = simplugins.search(queries, other=gallery, k=k, measure=measure, engine="cuda", **sigma, **options)
    if "matching" in options:  # each candidate is matched to the query
        values = simplugins.compute_rsm(gallery, measure, other=queries, engine="cpu", **sigma, **options).values.T
    else:
        values = simplugins.compute_rsm(queries, measure, other=gallery, engine="cpu", **sigma, **options).values
    scores = values.copy()
    if gallery is None:
        np.fill_diagonal(scores, -np.inf)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    rows, scale = np.arange(len(values))[:, None], np.abs(values).max() or 1
    if exact:
        np.testing.assert_array_equal(result.indices, expected)
    np.testing.assert_allclose(scores[rows, result.indices], scores[rows, expected], atol=ROUNDING * scale)
    np.testing.assert_allclose(result.similarities, values[rows, result.indices], atol=ROUNDING * scale)
    assert all(len(set(row)) == k for row in result.indices.tolist())
    assert result.metadata["engine"] == "cuda"
    assert 0 < result.solved <= result.formed
    return result


def gallery_of(kind, rng, inputs, positions, channels):
    """Random, tied or clustered sets, or copies; inner products of tied sets and copies are exact in float32."""
    shape = inputs, positions, channels
    if kind == "tied":
        return rng.integers(-2, 3, size=shape).astype(np.float32)
    if kind == "copies":
        return rng.integers(0, 4, size=shape).astype(np.float32)[rng.integers(3, size=inputs)]
    x = rng.normal(size=shape)
    return (x[rng.integers(3, size=inputs)] + 0.1 * x if kind == "clustered" else x).astype(np.float32)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr("simplugins.compute.engines.cuda.tile_run._MAX_INPUTS", 5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", ["random", "tied", "clustered", "copies"])
@pytest.mark.usefixtures("any_gpu", "small_tiles")
def test_neighbours_are_those_of_the_rsm(kind, kernel):
    x = gallery_of(kind, np.random.default_rng(0), 17, 6, 4)
    check(x, k=3, kernel=kernel, exact=kernel == "linear" and kind in ("tied", "copies"))
    check(x[:7], x[7:], k=6, kernel=kernel)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    kind=st.sampled_from(["random", "tied", "clustered", "copies", "ragged", "masked"]),
    kernel=st.sampled_from(KERNELS),
    k=st.integers(1, 4),
    most=st.sampled_from([1, 2, 3, 5, 256]),
    device=st.sampled_from([EmulatedDevice, LateDevice, UnorderedDevice]),
)
def test_any_gallery_in_any_tiles_on_any_device(seed, kind, kernel, k, most, device):
    rng = np.random.default_rng(seed)
    inputs, positions, channels = rng.integers(6, 16), rng.integers(1, 9), rng.choice([1, 2, 3, 4, 5, 33])
    x, options = gallery_of(kind, rng, inputs, positions, channels), {}
    if kind == "ragged":
        x = [rng.normal(size=(rng.integers(1, 8), channels)) + rng.normal() for _ in range(inputs)]
    if kind == "masked":
        options["mask"] = rng.random((inputs, positions)) < 0.6
        options["mask"][:, 0] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simplugins.compute.engines.cuda.tile_run._MAX_INPUTS", most)
        emulate(patch, lambda: device(seed=seed))
        check(x, k=k, kernel=kernel, exact=kind in ("tied", "copies") and kernel == "linear", **options)
        if kind != "masked":
            check(x[:2], x[2:], k=k, kernel=kernel)


@pytest.mark.slow
@pytest.mark.parametrize("matching", ["greedy", "batch-optimal", "topk-greedy"])
@pytest.mark.usefixtures("any_gpu", "small_tiles")
def test_other_matchings(matching):
    x = gallery_of("random", np.random.default_rng(1), 14, 7, 4)
    check(x[:5], x[5:], k=3, matching=matching)


@pytest.mark.slow
@pytest.mark.usefixtures("any_gpu")
def test_float64_huge_tiny_and_zero_inputs():
    x = np.random.default_rng(2).normal(size=(15, 6, 4))
    x[:5] *= 1e30
    x[5:10] *= 1e-30
    x[12] = 0
    check(x, k=4)
    check(x.astype(np.float32), k=4)


@pytest.mark.usefixtures("any_gpu", "small_tiles")
def test_clusters_are_matched_in_part():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 4, 8)) + 4 * rng.normal(size=(6, 1, 8))
    x = np.repeat(centres, 5, axis=0) + 0.1 * rng.normal(size=(30, 4, 8))
    result = check(x, k=3)
    assert result.share_solved < 0.5
    assert result.share_formed < 1.0


@pytest.mark.slow
def test_memory_bounds_the_chunks_of_the_gallery(monkeypatch):
    x = gallery_of("random", np.random.default_rng(3), 24, 8, 16)
    devices = []

    def device():
        devices.append(EmulatedDevice(memory=40_000))
        return devices[-1]

    emulate(monkeypatch, device)
    check(x[:9], x[9:], k=3)
    assert devices[0].free_bytes() == devices[0].memory
    emulate(monkeypatch, lambda: EmulatedDevice(memory=500))
    with pytest.raises(DeviceMemoryError):
        simplugins.search(x, k=1, engine="cuda")


def test_several_gpus_are_refused():
    with pytest.raises(ValueError, match="cuda:all"):
        simplugins.search(np.ones((3, 2, 2), np.float32), k=1, engine="cuda:all")


@pytest.mark.usefixtures("any_gpu", "small_tiles")
def test_affinities_have_the_precision_of_compute_rsm():
    x = gallery_of("clustered", np.random.default_rng(4), 14, 5, 40)
    rsm = simplugins.compute_rsm(x, engine="cuda")
    assert check(x, k=3).metadata["precision"] == rsm.metadata["precision"]
    assert check(x.astype(np.float64), k=3).metadata["precision"] == "float64"


@pytest.mark.parametrize(("tensor_cores", "precision"), [(True, "float16x3"), (False, "float32")])
@pytest.mark.parametrize("kind", ["tied", "clustered", "copies", "constant", "multiples"])
@pytest.mark.usefixtures("small_tiles")
def test_tensor_cores_find_the_same_neighbours(kind, tensor_cores, precision, monkeypatch):
    """Bounds from norms are equal to the products of constant inputs and of multiples: they must allow for rounding."""
    device = EmulatedDevice()
    device.tensor_cores = tensor_cores
    emulate(monkeypatch, lambda: device)
    rng = np.random.default_rng(5)
    x = gallery_of(kind, rng, 17, 6, 33)
    if kind == "constant":
        x[:] = x[:, :1]
    if kind == "multiples":
        x[:] = x[np.arange(17) % 4] * rng.uniform(0.99, 1.01, 17)[:, None, None]
    x *= np.logspace(-20, 12, 17, dtype=np.float32)[:, None, None] if kind == "clustered" else 1
    exact = kind in ("tied", "copies")
    found = check(x, k=3, kernel="linear", exact=exact)
    assert found.metadata["precision"] == precision
    check(x, k=3)
    check(x[:5], x[5:], k=4, kernel="rbf")
    check([part[: 1 + i % 6] for i, part in enumerate(x)], k=3)


def test_the_gallery_may_be_the_queries_themselves(monkeypatch):
    emulate(monkeypatch)
    x = simplugins.Activations.from_array(gallery_of("random", np.random.default_rng(6), 9, 5, 4))
    for engine in ("cpu", "cuda"):
        found = simplugins.search(x, other=x, k=2, engine=engine)
        np.testing.assert_array_equal(found.indices[:, 0], np.arange(9))
        found = simplugins.search(x, k=2, engine=engine)
        assert (found.indices != np.arange(9)[:, None]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(6, 6, 6), (1, 7, 3), (90, 2, 90)], ids=str)
def test_the_device_summarises_inputs_as_the_host_does(device, sizes, dtype):
    rng, width, channels = np.random.default_rng(7), max(sizes), 37
    block = Block(rng.normal(1, size=(sum(sizes), channels)).astype(dtype), np.concatenate([[0], np.cumsum(sizes)]))
    block.vectors[1:3] = block.vectors[0]  # equal norms
    expected = Summary.from_block(block, width)
    equal = len(set(sizes)) == 1
    program = NearestProgram(real="double" if dtype == np.float64 else "float")
    with device:
        means = device.empty((len(sizes), channels + width * equal), np.dtype(np.float64))
        norms, centred = (device.empty((len(sizes), width), np.dtype(np.float64)) for _ in range(2))
        arguments = [device.upload(block.vectors), NULL if equal else device.upload(block.offsets), np.int64(sizes[0])]
        arguments += [np.int64(channels), np.int64(width), means, *((NULL, NULL) if equal else (norms, centred))]
        device.launch(program, "summarise", len(sizes), program.threads, arguments, shared=8 * width)
        means = device.download(means)()
        if equal:
            means, centred = np.split(means, [channels], axis=1)
            means /= np.sqrt(width)
        else:
            np.testing.assert_allclose(device.download(norms)(), expected.norms, rtol=1e-13)
            centred = device.download(centred)()
    np.testing.assert_allclose(means, expected.means, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(centred, expected.centred_norms, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.usefixtures("small_tiles")
def test_no_search_reads_memory_that_nothing_has_written(seed, monkeypatch):
    emulate(monkeypatch, lambda: EmulatedDevice(checked=True, seed=seed))
    x = gallery_of("clustered", np.random.default_rng(8), 13, 6, 33)
    check(x, k=3)
    check(x[:5], x[5:], k=8, kernel="rbf")
    check([part[: 1 + i % 6] for i, part in enumerate(x)], k=6)
