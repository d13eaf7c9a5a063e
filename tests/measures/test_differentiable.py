# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from contextlib import contextmanager

import numpy as np
import oracle
import pytest
import torch
from emulation.device import EmulatedDevice
from torch.autograd import gradcheck, gradgradcheck

from simplugins import Greedy, compute_rsm
from simplugins.compute.engines.cuda import batched_matching, cupy_device
from simplugins.measures import tensor_matching
from simplugins.measures.differentiable import semantic_rsm, semantic_similarity
from simplugins.measures.semantic import SemanticMeasure, semantic_linear

KERNELS = ["linear", "cosine", "rbf"]
SEMANTIC = [f"semantic-{kernel}" for kernel in KERNELS]
MEASURES = SEMANTIC + [f"spatio-{measure}" for measure in SEMANTIC]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
"""Some hundred roundings of inner products, whose terms have both signs, and of the exponent of RBF."""


def responses(*shape, dtype=torch.float64, seed=0, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(requires_grad)


# Values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", MEASURES)
def test_rsms_equal_those_of_compute_rsm(measure, dtype):
    maps, other = responses(6, 5, 3, 4, dtype=dtype), responses(3, 5, 3, 4, dtype=dtype, seed=1)
    for y in (None, other):
        result = semantic_rsm(maps, measure, other=y)
        expected = compute_rsm(maps, measure, other=y).values
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    symmetric = semantic_rsm(maps, measure)
    np.testing.assert_array_equal(symmetric, symmetric.T)


@pytest.mark.parametrize("sizes", [(4, 9), (9, 4)])
@pytest.mark.parametrize("measure", SEMANTIC)
def test_the_smaller_set_is_matched_into_the_larger(measure, sizes):
    x, y = responses(4, sizes[0], 5), responses(3, sizes[1], 5, seed=1)
    expected = compute_rsm(x, measure, other=y).values
    np.testing.assert_allclose(semantic_rsm(x, measure, other=y), expected, rtol=1e-12)


def test_values_equal_the_definition():
    x, y = responses(5, 6, 4), responses(5, 6, 4, seed=1)
    products = np.diag(oracle.aligned_products(x, y))
    norms = oracle.norms(x), oracle.norms(y)
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-linear"), products)
    np.testing.assert_allclose(semantic_similarity(x, y), products / np.sqrt(norms[0] * norms[1]))
    expected = np.diag(oracle.rbf(np.diag(products), *norms, 3.0))
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-rbf", sigma=3.0), expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_similarities_are_the_diagonal_of_the_rsm(measure):
    x, y = responses(6, 5, 3, 3), responses(6, 5, 3, 3, seed=1)
    result = semantic_similarity(x, y, measure, sigma=2.0)
    np.testing.assert_allclose(result, semantic_rsm(x, measure, other=y, sigma=2.0).diagonal(), rtol=1e-12)


def test_the_median_is_taken_over_the_pairs():
    x, y = responses(5, 6, 4), responses(5, 6, 4, seed=1)
    distances = -2 * semantic_similarity(x, y, "semantic-rbf", sigma=1.0).log()
    expected = (distances / distances.median() / -2).exp()
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-rbf"), expected)


@pytest.mark.parametrize("shape", [(7, 4), (7, 6, 4), (7, 4, 2, 3)])
def test_dimensions_determine_the_layout(shape):
    x = responses(*shape)
    np.testing.assert_allclose(semantic_rsm(x), compute_rsm(x).values, rtol=1e-12)


def test_maps_can_be_compared_with_tokens():
    maps = responses(3, 4, 2, 3)
    tokens = maps.flatten(2).mT[:, torch.randperm(6)]
    np.testing.assert_allclose(semantic_similarity(maps, tokens), 1)


def test_results_do_not_depend_on_threads_or_batches():
    x, y = responses(7, 6, 4), responses(7, 6, 4, seed=1)
    threads = torch.get_num_threads()
    try:
        result = []
        for count in (1, 3):
            torch.set_num_threads(count)
            result.append(semantic_similarity(x, y))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*result)
    torch.testing.assert_close(
        torch.cat([semantic_similarity(x[i : i + 1], y[i : i + 1]) for i in range(7)]), result[0]
    )
    torch.testing.assert_close(semantic_rsm(x[:1]), torch.ones(1, 1, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    x, y = (responses(3, 6, 4, dtype=dtype, seed=seed, requires_grad=True) for seed in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result, rsm = semantic_similarity(x, y), semantic_rsm(x, other=y)
    assert result.dtype == rsm.dtype == torch.float32
    np.testing.assert_allclose(result.detach(), semantic_similarity(x.double(), y.double()).detach(), rtol=1e-5)
    result.sum().backward()
    assert x.grad.dtype == dtype
    assert semantic_similarity(x, y.double()).dtype == torch.float64


# Gradients


@pytest.mark.parametrize("shapes", [((2, 3, 2, 2), (2, 3, 2, 2)), ((2, 2, 3), (2, 4, 3)), ((2, 4, 3), (2, 2, 3))])
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_of_similarities(kernel, shapes):
    x, y = (responses(*shape, seed=seed, requires_grad=True) for seed, shape in enumerate(shapes))

    def similarity(x, y):
        return semantic_similarity(x, y, f"semantic-{kernel}", sigma=2.0)

    assert gradcheck(similarity, (x, y))
    assert gradgradcheck(similarity, (x, y), fast_mode=True)


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients_of_rsms(measure):
    x, y = responses(3, 3, 2, requires_grad=True), responses(2, 3, 2, seed=1, requires_grad=True)
    assert gradcheck(lambda x, y: semantic_rsm(x, measure, other=y, sigma=2.0), (x, y))
    assert gradcheck(lambda x: semantic_rsm(x, measure, sigma=2.0), (x,))


def test_gradients_flow_through_a_tensor_sigma_but_not_through_the_median():
    x, y = responses(3, 4, 3, requires_grad=True), responses(3, 4, 3, seed=1)
    distances = -2 * semantic_similarity(x, y, "semantic-rbf", sigma=1.0).log()
    sigma = distances.detach().median().sqrt()
    expected = torch.autograd.grad(semantic_similarity(x, y, "semantic-rbf", sigma=sigma).sum(), x)
    torch.testing.assert_close(torch.autograd.grad(semantic_similarity(x, y, "semantic-rbf").sum(), x), expected)
    sigma = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda sigma: semantic_similarity(x.detach(), y, "semantic-rbf", sigma=sigma), (sigma,))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("sigma", ["median", 1.0])
def test_zero_and_equal_responses_have_finite_gradients(measure, sigma):
    x = responses(4, 5, 3)
    x[0] = 0
    x[2] = x[1]
    x.requires_grad_()
    rsm = semantic_rsm(x, measure, sigma=sigma)
    np.testing.assert_allclose(rsm.detach(), compute_rsm(x, measure, sigma=sigma).values, atol=1e-12)
    for result in (rsm, semantic_rsm(x, measure, other=x.detach(), sigma=sigma)):
        (gradient,) = torch.autograd.grad(result.sum(), x)
        assert gradient.isfinite().all()
        if measure.endswith("cosine"):
            assert (gradient[0] == 0).all()


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-rbf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_responses_have_rbf_similarity_1(measure, dtype):
    one = responses(1, 64, 512, dtype=dtype).abs()
    x = one.repeat(4, 1, 1).requires_grad_()
    shuffled = one[:, torch.randperm(64)] if measure.startswith("semantic") else one
    for result in (semantic_rsm(x, measure), semantic_similarity(x, shuffled.repeat(4, 1, 1), measure)):
        torch.testing.assert_close(result, torch.ones_like(result))
        assert torch.autograd.grad(result.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("measure", SEMANTIC)
def test_gradient_steps_make_responses_similar(measure):
    x = responses(4, 6, 2, 2, dtype=torch.float32, requires_grad=True)
    y = responses(4, 6, 2, 2, dtype=torch.float32, seed=1)
    optimiser = torch.optim.Adam([x], lr=0.1)
    result = []
    for _ in range(30):
        optimiser.zero_grad()
        similarity = semantic_similarity(x, y, measure, sigma=5.0)
        (-similarity.mean()).backward()
        optimiser.step()
        result.append(similarity.detach())
    assert (result[-1] > result[0] + 0.2).all()
    if measure != "semantic-linear":  # which also grows with norms
        assert (result[-1] > 0.95).all()


# Errors


X = responses(3, 4, 5)


@pytest.mark.parametrize(
    ("x", "y", "error", "match"),
    [
        (X.numpy(), X, TypeError, "x: .*ndarray"),
        (X, X.long(), TypeError, "y: .*torch.int64"),
        (X[0, 0], X, ValueError, r"x: .*\(5,\)"),
        (X, X[:0], ValueError, r"y: .*\(0, 4, 5\)"),
        (X, X[:, :, :4], ValueError, r"channels.*\b5\b.*\b4\b"),
        (X, X[:2], ValueError, r"x and y .*\b3\b.*\b2\b.*semantic_rsm"),
        (X, torch.cat([X[:1], X[1:] * torch.inf]), ValueError, "y holds 40 NaN or infinite values.* input 1 of 3"),
        (X / 0, X, ValueError, "x holds 60 NaN or infinite values.* input 0 of 3"),
        (X.float() * 1e30, X.float() * 1e30, ValueError, "x: squared norms .*torch.float32"),
    ],
)
def test_bad_input_raises(x, y, error, match):
    with pytest.raises(error, match=match):
        semantic_similarity(x, y)


def test_spatio_semantic_measures_need_equal_numbers_of_positions():
    match = r"spatio-semantic.*\b4\b.*\b3\b"
    with pytest.raises(ValueError, match=match):
        semantic_similarity(X, X[:, :3], "spatio-semantic-cosine")
    with pytest.raises(ValueError, match=match):
        semantic_rsm(X, "spatio-semantic-cosine", other=X[:, :3])


@pytest.mark.parametrize("sigma", ["mean", 0, -1.0, float("nan"), float("inf"), None, True, torch.ones(1), [1.0]])
def test_invalid_sigmas_raise(sigma):
    with pytest.raises(ValueError, match=f"sigma .*{re.escape(repr(sigma))}"):
        semantic_rsm(X, "semantic-rbf", sigma=sigma)


def test_measures_are_accepted_as_objects():
    torch.testing.assert_close(semantic_rsm(X, semantic_linear), semantic_rsm(X, "semantic-linear"))


def theirs(x, y=None):
    """A third-party measure."""
    return np.ones((len(x), len(x if y is None else y)))


def test_measures_without_gradients_raise():
    with pytest.raises(TypeError, match=r"measure .*tensor.*other="):
        semantic_rsm(X, X)
    with pytest.raises(TypeError, match=r"other: .*ndarray"):
        semantic_rsm(X, other=X.numpy())
    with pytest.raises(ValueError, match=r"'semantic-cosin'.*semantic-cosine"):
        semantic_rsm(X, "semantic-cosin")
    with pytest.raises(ValueError, match=r"'theirs'.*gradient"):
        semantic_rsm(X, theirs)


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-rbf"])
@pytest.mark.parametrize(("positions", "batch"), [(1, 5), (4, 5), (1, 1), (4, 1)])
@pytest.mark.parametrize("mean", ["all", "response", "response and position"])
def test_similar_pairs_of_large_responses_keep_their_distances(measure, positions, batch, mean):
    shapes = {"all": (1, 1, 1), "response": (batch, 1, 8), "response and position": (batch, positions, 8)}
    large = 3000 * responses(*shapes[mean], seed=2)
    x, y = responses(batch, positions, 8), responses(batch, positions, 8, seed=1)
    x, y = (large + x).float(), (large + y).float()
    result = semantic_similarity(x, y, measure, sigma=5.0)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, semantic_similarity(x.double(), y.double(), measure, sigma=5.0).float())
    assert (result > 1e-6).all()
    assert (result < 0.95).all()


def test_distances_of_sets_of_unequal_sizes_count_unmatched_positions():
    x, y = responses(4, 3, 5), responses(4, 6, 5, seed=1)
    for first, second in ((x, y), (y, x)):
        result = semantic_similarity(first, second, "semantic-rbf", sigma=3.0)
        expected = compute_rsm(first, "semantic-rbf", other=second, sigma=3.0).values.diagonal()
        np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_a_bandwidth_within_rounding_warns():
    x = (3000 * responses(2, 1, 8).repeat_interleave(2, 0) + responses(4, 1, 8, seed=1)).float()
    with pytest.warns(RuntimeWarning, match="sigma=5"):
        semantic_rsm(x, "semantic-rbf", sigma=5.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_does_not_change_the_type_that_is_computed_in(dtype):
    x, y = 1000 * responses(4, 9, 5).float(), 1000 * responses(4, 9, 5, seed=1).float()
    expected = semantic_similarity(x, y, "semantic-rbf", sigma=1000.0)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(semantic_similarity(x, y, "semantic-rbf", sigma=1000.0), expected)


@pytest.mark.parametrize(
    ("responses", "match"),
    [
        (torch.rand(3, 4).to_sparse(), r"sparse.*to_dense\(\)"),
        (torch.rand(3, 4, device="meta"), "meta"),
        (torch.nested.nested_tensor([torch.rand(3, 4), torch.rand(2, 4)], layout=torch.jagged), "nested"),
    ],
)
def test_tensors_of_other_kinds_are_refused(responses, match):
    with pytest.raises(TypeError, match=f"x: .*{match}"):
        semantic_rsm(responses)


def test_images_with_channels_last_are_refused():
    with pytest.raises(ValueError, match=r"x: shape \(2, 16, 16, 3\).*movedim"):
        semantic_rsm(torch.rand(2, 16, 16, 3))
    assert semantic_rsm(torch.rand(2, 16, 16, 3).movedim(-1, 1)).shape == (2, 2)


# On a GPU


@contextmanager
def emulated_gpu():
    """Let tensors pass for those on a GPU, which is emulated; list what it launches; the CPU matches nothing."""
    launched = []

    class Listing(EmulatedDevice):
        def launch(self, program, function, grid, *arguments, **options):
            launched.append((function, grid, np.dtype(program.real)))
            super().launch(program, function, grid, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tensor_matching.arrays, "gpu_of", lambda tensor: 0)
        patched.setattr(cupy_device, "CupyDevice", lambda number: Listing())
        patched.setattr(tensor_matching, "_match", None)
        yield launched


@pytest.mark.parametrize(("dtype", "sizes"), [(torch.float32, (4, 9)), (torch.float64, (9, 4))])
def test_matching_on_a_gpu_gives_the_values_and_gradients_of_the_cpu(sizes, dtype):
    x, y = (responses(5, size, 7, dtype=dtype, seed=size, requires_grad=True) for size in sizes)

    def computed():
        values = [semantic_similarity(x, y, "semantic-rbf", sigma=3.0), semantic_similarity(x, y)]
        values += [semantic_rsm(x, other=y), semantic_rsm(x)]
        return [*values, *torch.autograd.grad(sum(value.square().sum() for value in values), (x, y))]

    with emulated_gpu() as launched:
        on_gpu = computed()
    for result, expected in zip(on_gpu, computed(), strict=True):
        np.testing.assert_array_equal(result.detach(), expected.detach())
    reals = {np.dtype(np.float64)} if dtype == torch.float64 else {np.dtype(np.float32), np.dtype(np.float64)}
    assert {real for _, _, real in launched} == reals


def test_loose_certificates_on_a_gpu_are_replaced_on_the_gpu(monkeypatch):
    x, y = responses(6, 8, 5, dtype=torch.float32), responses(6, 8, 5, dtype=torch.float32, seed=1)
    expected = semantic_similarity(x, y)
    monkeypatch.setattr(batched_matching, "FINE_ENOUGH", -1.0)  # no certificate is tight enough
    with emulated_gpu():
        np.testing.assert_array_equal(semantic_similarity(x, y), expected)


def test_matchings_without_a_kernel_leave_the_gpu():
    measure = SemanticMeasure("greedily", "cosine", Greedy())
    x, y = responses(3, 4, 5), responses(3, 4, 5, seed=1)
    expected = semantic_similarity(x, y, measure)
    match = tensor_matching._match
    with emulated_gpu() as launched, pytest.MonkeyPatch.context() as patched:
        patched.setattr(tensor_matching, "_match", match)
        np.testing.assert_array_equal(semantic_similarity(x, y, measure), expected)
    assert not launched


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_on_a_gpu_are_matched_there(monkeypatch, dtype):
    x, y = (responses(6, size, 5, dtype=dtype, seed=size) for size in (9, 12))
    expected = semantic_similarity(x, y), semantic_rsm(x), semantic_rsm(x, other=y)
    monkeypatch.setattr(tensor_matching, "_match", None)
    x, y = x.cuda().requires_grad_(), y.cuda()
    results = semantic_similarity(x, y), semantic_rsm(x), semantic_rsm(x, other=y)
    for result, values in zip(results, expected, strict=True):
        np.testing.assert_allclose(result.detach().cpu(), values, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    results[1].sum().backward()
    assert x.grad.isfinite().all()
