# SPDX-License-Identifier: Apache-2.0
"""CuPy arrays and Torch tensors on a GPU give the results of NumPy arrays."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import simplugins
from simplugins._common import arrays
from simplugins.activations.activations import Activations
from simplugins.compute.engines.cuda import tile_run

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["cupy", "torch"])
def to_gpu(request):
    """Copy a NumPy array to the GPU, as CuPy array or Torch tensor."""
    if request.param == "cupy":
        import cupy

        return cupy.asarray
    import torch

    return lambda array: torch.from_numpy(np.ascontiguousarray(array)).cuda()


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(5, 6, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("center", [None, "channel", "position", ("channel", "position")])
@pytest.mark.parametrize("normalize", [None, "position"])
def test_prepared_arrays_give_the_results_of_numpy_arrays(to_gpu, maps, center, normalize):
    maps[1, :, 2, 3] = 0
    options = {"center": center, "normalize": normalize}
    expected = simplugins.compute_rsm(maps, other=2 * maps + 1, engine="cpu", **options)
    for other in (2 * maps + 1, to_gpu(2 * maps + 1)):
        rsm = simplugins.compute_rsm(to_gpu(maps), other=other, **options)
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert rsm.metadata["engine"] == "cuda"


@pytest.mark.parametrize("measure", ["semantic-cosine", "semantic-rbf", "spatio-semantic-linear"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_rsms_equal_those_of_numpy_arrays(to_gpu, maps, measure, dtype):
    maps = (10 * maps).astype(dtype)
    expected = simplugins.compute_rsm(maps, measure, engine="cpu")
    for engine in ("auto", "cuda", "cpu"):
        rsm = simplugins.compute_rsm(to_gpu(maps), measure, engine=engine)
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)
        assert rsm.metadata["engine"] == ("cpu" if engine == "cpu" else "cuda")


def test_layouts_masks_and_options_give_the_results_of_numpy_arrays(to_gpu, maps):
    mask = np.random.default_rng(1).random((5, 20)) < 0.7
    tokens = maps.reshape(5, 6, 20).transpose(0, 2, 1).copy()
    ways = [
        (maps.transpose(0, 2, 3, 1).copy(), {"layout": "nhwc"}),
        (tokens, {"drop_tokens": [0, 3]}),
        (maps, {"mask": mask}),
        (tokens, {"matching": simplugins.BatchOptimal(window=8)}),
        (maps, {"matching": "greedy", "certify": True}),
        (np.float32(1e-30) * maps, {}),
        (np.float32(1e30) * maps, {}),
    ]
    for activations, options in ways:
        expected = simplugins.compute_rsm(activations, engine="cpu", **options)
        rsm = simplugins.compute_rsm(to_gpu(activations), engine="cuda", **options)
        np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)


def test_sets_of_different_sizes_and_other_inputs(to_gpu, maps):
    sets = [tokens.reshape(6, 20).T[:size].copy() for tokens, size in zip(maps, [20, 3, 15, 9, 20], strict=True)]
    expected = simplugins.compute_rsm(sets, other=maps, engine="cpu")
    rsm = simplugins.compute_rsm([to_gpu(vectors) for vectors in sets], other=maps, engine="cuda")
    np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("measure", ["semantic-linear", "semantic-cosine"])
def test_a_search_finds_the_same_inputs(to_gpu, measure):
    """Among clusters of inputs, in several tiles, with the affinities of tensor cores where there are any."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 1, 49, 64)) + 0.2 * rng.normal(size=(60, 10, 49, 64))).reshape(-1, 49, 64)
    x = x.astype(np.float32)
    for queries, gallery in ((x, None), (x[:300], x[300:])):
        expected = simplugins.search(queries, other=gallery, k=5, measure=measure, engine="cpu")
        moved = None if gallery is None else to_gpu(gallery)
        for array, other in ((to_gpu(queries), moved), (queries, gallery)):
            found = simplugins.search(array, other=other, k=5, measure=measure, engine="cuda")
            np.testing.assert_allclose(found.similarities, expected.similarities, rtol=1e-5)
            assert (found.indices == expected.indices).mean() > 0.99  # near ties may swap places
            assert found.metadata["engine"] == "cuda"
            assert found.solved < found.pairs


def test_a_single_pair_is_matched_from_gpu_arrays(to_gpu, maps):
    expected = simplugins.match(maps[0], maps[1])
    pair = simplugins.match(to_gpu(maps[0]), to_gpu(maps[1]), engine="cuda")
    np.testing.assert_array_equal(pair.columns, expected.columns)
    assert pair.value == pytest.approx(expected.value, rel=1e-5)


def test_float32_vectors_are_not_copied(to_gpu, maps):
    tokens = maps.reshape(5, 20, 6)
    uploaded = to_gpu(tokens)
    vectors = arrays.to_float(uploaded, np.dtype(np.float32))
    pointer = uploaded.data_ptr() if hasattr(uploaded, "data_ptr") else uploaded.data.ptr
    assert vectors.data.ptr == pointer
    assert Activations.from_array(uploaded).gpu == arrays.gpu_of(uploaded) is not None


def test_non_finite_values_are_counted_on_the_gpu(to_gpu, maps):
    maps[3, 2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="1 NaN or infinite values, the first of them in input 3 of 5"):
        simplugins.compute_rsm(to_gpu(maps))


def test_torch_tensors_on_another_stream_are_read_in_order(maps):
    import torch

    expected = simplugins.compute_rsm(maps, engine="cpu")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        tensor = torch.from_numpy(maps).cuda(non_blocking=True)
        for _ in range(50):  # pending work of the stream when the tensor is read
            tensor = tensor * 2 / 2
        rsm = simplugins.compute_rsm(tensor.requires_grad_(), engine="cuda")
    np.testing.assert_allclose(rsm, expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_supported(maps):
    import torch

    tensor = torch.from_numpy(maps).bfloat16()
    expected = simplugins.compute_rsm(tensor, engine="cpu")
    np.testing.assert_allclose(simplugins.compute_rsm(tensor.cuda()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("measure", ["semantic-cosine", "semantic-rbf", "spatio-semantic-cosine", "max-sim-cosine"])
def test_memory_is_kept_for_the_next_call_and_freed_on_request(maps, measure):
    import cupy

    pool = cupy.get_default_memory_pool()
    simplugins.free_gpu_memory()
    simplugins.compute_rsm(maps, measure, engine="cuda")
    gc.collect()
    kept = pool.total_bytes()
    assert pool.used_bytes() == 0
    assert kept > 0
    for _ in range(2):
        simplugins.compute_rsm(maps, measure, engine="cuda")
    gc.collect()
    assert pool.total_bytes() == kept
    simplugins.free_gpu_memory()
    assert pool.total_bytes() == 0


@pytest.mark.parametrize("layout", ["nd", "ntd", "nchw"])
def test_arrays_in_host_memory_are_uploaded_as_they_are(maps, layout):
    import torch

    arrays_of = {"nd": maps.reshape(20, 30), "ntd": maps.reshape(5, 20, 6), "nchw": maps}
    array = arrays_of[layout]
    for given in (array.astype(np.float16), array.astype(np.float64), (100 * array).astype(np.int16), array[::2, ::-1]):
        expected = simplugins.compute_rsm(given, layout=layout, engine="cpu")
        for source in (given, torch.from_numpy(np.ascontiguousarray(given))):
            np.testing.assert_allclose(simplugins.compute_rsm(source, layout=layout), expected, rtol=1e-5, atol=1e-6)
    tensor = torch.from_numpy(array).bfloat16()
    expected = simplugins.compute_rsm(tensor, layout=layout, engine="cpu")
    np.testing.assert_allclose(simplugins.compute_rsm(tensor, layout=layout), expected, rtol=1e-5, atol=1e-6)


def test_a_limited_memory_pool_suffices(maps):
    import cupy

    pool = cupy.get_default_memory_pool()
    many = np.concatenate([maps] * 40)
    expected = simplugins.compute_rsm(many, engine="cpu")
    before = pool.get_limit()
    pool.set_limit(size=2**20)
    try:
        np.testing.assert_allclose(simplugins.compute_rsm(many, engine="cuda"), expected, rtol=1e-5, atol=1e-6)
    finally:
        pool.set_limit(size=before)


@pytest.mark.parametrize("measure", ["semantic-cosine", "semantic-rbf"])
def test_tiles_that_take_turns_on_two_streams_give_the_same_results(to_gpu, monkeypatch, measure):
    vectors = np.maximum(np.random.default_rng(4).normal(size=(300, 49, 32)), 0).astype(np.float32)
    monkeypatch.setattr(tile_run, "block_size", lambda *_: 32)
    in_turns = simplugins.compute_rsm(to_gpu(vectors), measure)
    monkeypatch.setattr(tile_run.TileRun, "in_lanes", True)
    for _ in range(5):
        np.testing.assert_array_equal(simplugins.compute_rsm(to_gpu(vectors), measure), in_turns)
