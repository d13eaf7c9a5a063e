# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from simplugins import compute_rsm, plugins
from simplugins.measures.differentiable import semantic_rsm, semantic_similarity

KERNELS = ["linear", "cosine", "rbf"]
SEMANTIC = [f"semantic-{kernel}" for kernel in KERNELS]
MEASURES = SEMANTIC + [f"spatio-{measure}" for measure in SEMANTIC]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
"""Some hundred roundings of the inner products, whose terms have both signs, and RBF's exponent."""


def responses(*shape, dtype=torch.float64, seed=0, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(requires_grad)


# Values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", MEASURES)
def test_an_rsm_is_that_of_compute_rsm(measure, dtype):
    maps, other = responses(6, 5, 3, 4, dtype=dtype), responses(3, 5, 3, 4, dtype=dtype, seed=1)
    for y in (None, other):
        found = semantic_rsm(maps, measure, other=y)
        expected = compute_rsm(maps, measure, other=y).values
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    symmetric = semantic_rsm(maps, measure)
    np.testing.assert_array_equal(symmetric, symmetric.T)


@pytest.mark.parametrize("sizes", [(4, 9), (9, 4)])
@pytest.mark.parametrize("measure", SEMANTIC)
def test_the_smaller_set_is_matched_into_the_larger(measure, sizes):
    x, y = responses(4, sizes[0], 5), responses(3, sizes[1], 5, seed=1)
    expected = compute_rsm(x, measure, other=y).values
    np.testing.assert_allclose(semantic_rsm(x, measure, other=y), expected, rtol=1e-12)


def test_values_are_those_of_the_definition():
    x, y = responses(5, 6, 4), responses(5, 6, 4, seed=1)
    products = np.diag(oracle.aligned_products(x, y))
    norms = oracle.norms(x), oracle.norms(y)
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-linear"), products)
    np.testing.assert_allclose(semantic_similarity(x, y), products / np.sqrt(norms[0] * norms[1]))
    expected = np.diag(oracle.rbf(np.diag(products), *norms, 3.0))
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-rbf", sigma=3.0), expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_pairs_are_the_diagonal_of_all_pairs(measure):
    x, y = responses(6, 5, 3, 3), responses(6, 5, 3, 3, seed=1)
    found = semantic_similarity(x, y, measure, sigma=2.0)
    np.testing.assert_allclose(found, semantic_rsm(x, measure, other=y, sigma=2.0).diagonal(), rtol=1e-12)


def test_the_median_is_that_of_the_pairs():
    x, y = responses(5, 6, 4), responses(5, 6, 4, seed=1)
    distances = -2 * semantic_similarity(x, y, "semantic-rbf", sigma=1.0).log()
    expected = (distances / distances.median() / -2).exp()
    np.testing.assert_allclose(semantic_similarity(x, y, "semantic-rbf"), expected)


@pytest.mark.parametrize("shape", [(7, 4), (7, 6, 4), (7, 4, 2, 3)])
def test_layouts_are_told_by_dimensions(shape):
    x = responses(*shape)
    np.testing.assert_allclose(semantic_rsm(x), compute_rsm(x).values, rtol=1e-12)


def test_maps_are_compared_with_tokens():
    maps = responses(3, 4, 2, 3)
    tokens = maps.flatten(2).mT[:, torch.randperm(6)]
    np.testing.assert_allclose(semantic_similarity(maps, tokens), 1)


def test_threads_and_batches_do_not_matter():
    x, y = responses(7, 6, 4), responses(7, 6, 4, seed=1)
    threads = torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(semantic_similarity(x, y))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(*found)
    torch.testing.assert_close(torch.cat([semantic_similarity(x[i : i + 1], y[i : i + 1]) for i in range(7)]), found[0])
    torch.testing.assert_close(semantic_rsm(x[:1]), torch.ones(1, 1, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_in_float32(dtype):
    x, y = (responses(3, 6, 4, dtype=dtype, seed=seed, requires_grad=True) for seed in (0, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, rsm = semantic_similarity(x, y), semantic_rsm(x, other=y)
    assert found.dtype == rsm.dtype == torch.float32
    np.testing.assert_allclose(found.detach(), semantic_similarity(x.double(), y.double()).detach(), rtol=1e-5)
    found.sum().backward()
    assert x.grad.dtype == dtype
    assert semantic_similarity(x, y.double()).dtype == torch.float64


# Gradients


@pytest.mark.parametrize("shapes", [((2, 3, 2, 2), (2, 3, 2, 2)), ((2, 2, 3), (2, 4, 3)), ((2, 4, 3), (2, 2, 3))])
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_of_pairs(kernel, shapes):
    x, y = (responses(*shape, seed=seed, requires_grad=True) for seed, shape in enumerate(shapes))

    def similarity(x, y):
        return semantic_similarity(x, y, f"semantic-{kernel}", sigma=2.0)

    assert gradcheck(similarity, (x, y))
    assert gradgradcheck(similarity, (x, y), fast_mode=True)


@pytest.mark.parametrize("measure", MEASURES)
def test_gradients_of_all_pairs(measure):
    x, y = responses(3, 3, 2, requires_grad=True), responses(2, 3, 2, seed=1, requires_grad=True)
    assert gradcheck(lambda x, y: semantic_rsm(x, measure, other=y, sigma=2.0), (x, y))
    assert gradcheck(lambda x: semantic_rsm(x, measure, sigma=2.0), (x,))


def test_the_median_is_a_constant_of_the_gradient_and_a_tensor_is_not():
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
    for found in (rsm, semantic_rsm(x, measure, other=x.detach(), sigma=sigma)):
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert gradient.isfinite().all()
        if measure.endswith("cosine"):
            assert (gradient[0] == 0).all()


@pytest.mark.parametrize("measure", ["semantic-rbf", "spatio-semantic-rbf"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_responses_that_are_all_equal_have_an_rbf_of_1(measure, dtype):
    one = responses(1, 64, 512, dtype=dtype).abs()
    x = one.repeat(4, 1, 1).requires_grad_()
    shuffled = one[:, torch.randperm(64)] if measure.startswith("semantic") else one
    for found in (semantic_rsm(x, measure), semantic_similarity(x, shuffled.repeat(4, 1, 1), measure)):
        torch.testing.assert_close(found, torch.ones_like(found))
        assert torch.autograd.grad(found.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("measure", SEMANTIC)
def test_a_few_steps_make_responses_similar(measure):
    x = responses(4, 6, 2, 2, dtype=torch.float32, requires_grad=True)
    y = responses(4, 6, 2, 2, dtype=torch.float32, seed=1)
    optimiser = torch.optim.Adam([x], lr=0.1)
    found = []
    for _ in range(30):
        optimiser.zero_grad()
        similarity = semantic_similarity(x, y, measure, sigma=5.0)
        (-similarity.mean()).backward()
        optimiser.step()
        found.append(similarity.detach())
    assert (found[-1] > found[0] + 0.2).all()
    if measure != "semantic-linear":  # which grows with norms, too
        assert (found[-1] > 0.95).all()


# Errors


X = responses(3, 4, 5)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (X.numpy(), X, TypeError, "x: expected a tensor of floating-point numbers, got ndarray"),
        (X, X.long(), TypeError, "y: expected a tensor of floating-point numbers, got a tensor of torch.int64"),
        (X[0, 0], X, ValueError, r"x: expected responses .* got shape \(5,\)"),
        (X, X[:0], ValueError, r"y: expected responses .* none of them empty; got shape \(0, 4, 5\)"),
        (X, X[:, :, :4], ValueError, "concept vectors must have equal channels: got 5 and 4"),
        (X, X[:2], ValueError, "one response to each input, got 3 and 2; semantic_rsm compares all pairs"),
        (
            X,
            torch.cat([X[:1], X[1:] * torch.inf]),
            ValueError,
            "y holds 40 NaN or infinite values, the first of them in input 1 of 3",
        ),
        (X / 0, X, ValueError, "x holds 60 NaN or infinite values, the first of them in input 0 of 3"),
        (
            X.float() * 1e30,
            X.float() * 1e30,
            ValueError,
            "x: squared norms exceed the range of torch.float32: rescale the",
        ),
    ],
)
def test_bad_input_is_named(x, y, error, message):
    with pytest.raises(error, match=message):
        semantic_similarity(x, y)


def test_positions_must_be_equal_where_they_count():
    measure, message = "spatio-semantic-cosine", r"pairs position s with position s.* got 4 and 3; a semantic measure"
    with pytest.raises(ValueError, match=message):
        semantic_similarity(X, X[:, :3], measure)
    with pytest.raises(ValueError, match=message):
        semantic_rsm(X, measure, other=X[:, :3])


@pytest.mark.parametrize("sigma", ["mean", 0, -1.0, float("nan"), float("inf"), None, True, torch.ones(1), [1.0]])
def test_sigma_is_the_median_or_a_number(sigma):
    with pytest.raises(ValueError, match="sigma must be 'median' or a number above 0, got"):
        semantic_rsm(X, "semantic-rbf", sigma=sigma)


def test_measures_are_names_of_ours(monkeypatch):
    with pytest.raises(TypeError, match="measure must be the name of a measure, got Tensor; semantic_rsm takes others"):
        semantic_rsm(X, X)
    with pytest.raises(TypeError, match="other: expected a tensor of floating-point numbers, got ndarray"):
        semantic_rsm(X, other=X.numpy())
    with pytest.raises(ValueError, match="no plugin 'semantic-cosin'"):
        semantic_rsm(X, "semantic-cosin")
    monkeypatch.setattr(plugins, "load", lambda group, name: len)
    with pytest.raises(ValueError, match="measure 'theirs' has no gradient here"):
        semantic_rsm(X, "theirs")
