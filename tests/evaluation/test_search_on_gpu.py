# SPDX-License-Identifier: Apache-2.0
"""Exact search on an emulated GPU finds what ranking the RSM of the CPU finds."""

from __future__ import annotations

import numpy as np
import pytest
from emulation.device import EmulatedDevice, LateDevice
from emulation.unordered import UnorderedDevice
from hypothesis import given, settings
from hypothesis import strategies as st

import simplugins
from simplugins._common import gpu
from simplugins.compute.engines.cuda import cupy_device
from simplugins.compute.engines.cuda.device import DeviceMemoryError

KERNELS = ("linear", "cosine", "rbf")
ROUNDING = 2.0**-19


@pytest.fixture(autouse=True, scope="module")
def _emulated_gpu():
    """Make simplugins find a GPU, which is emulated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "why_unusable", lambda: None)
        patch.setattr(cupy_device, "CupyDevice", lambda number=None: EmulatedDevice())
        yield


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
@pytest.mark.usefixtures("small_tiles")
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
    inputs, positions, channels = rng.integers(6, 16), rng.integers(1, 9), rng.integers(1, 6)
    x, options = gallery_of(kind, rng, inputs, positions, channels), {}
    if kind == "ragged":
        x = [rng.normal(size=(rng.integers(1, 8), channels)) + rng.normal() for _ in range(inputs)]
    if kind == "masked":
        options["mask"] = rng.random((inputs, positions)) < 0.6
        options["mask"][:, 0] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simplugins.compute.engines.cuda.tile_run._MAX_INPUTS", most)
        patch.setattr(cupy_device, "CupyDevice", lambda number=None: device(seed=seed))
        check(x, k=k, kernel=kernel, exact=kind in ("tied", "copies") and kernel == "linear", **options)
        if kind != "masked":
            check(x[:2], x[2:], k=k, kernel=kernel)


@pytest.mark.slow
@pytest.mark.parametrize("matching", ["greedy", "batch-optimal", "topk-greedy"])
@pytest.mark.usefixtures("small_tiles")
def test_other_matchings(matching):
    x = gallery_of("random", np.random.default_rng(1), 14, 7, 4)
    check(x[:5], x[5:], k=3, matching=matching)


@pytest.mark.slow
def test_float64_huge_tiny_and_zero_inputs():
    x = np.random.default_rng(2).normal(size=(15, 6, 4))
    x[:5] *= 1e30
    x[5:10] *= 1e-30
    x[12] = 0
    check(x, k=4)
    check(x.astype(np.float32), k=4)


def test_clusters_are_matched_in_part(small_tiles):
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

    def device(number=None):
        devices.append(EmulatedDevice(memory=40_000))
        return devices[-1]

    monkeypatch.setattr(cupy_device, "CupyDevice", device)
    check(x[:9], x[9:], k=3)
    assert devices[0].free_bytes() == devices[0].memory
    monkeypatch.setattr(cupy_device, "CupyDevice", lambda number=None: EmulatedDevice(memory=500))
    with pytest.raises(DeviceMemoryError):
        simplugins.search(x, k=1, engine="cuda")


def test_several_gpus_are_refused():
    with pytest.raises(ValueError, match="cuda:all"):
        simplugins.search(np.ones((3, 2, 2), np.float32), k=1, engine="cuda:all")
