# SPDX-License-Identifier: Apache-2.0
"""Semantic similarity of Torch tensors, with gradients: for losses, regularisers and probes of training.

The matching is computed without a gradient by the exact matcher of `simplugins.compute_rsm`, for tensors on a GPU there
if CuPy can use it; the gradient flows through the inner products of matched positions. The optimal matching changes
only where two matchings have the same value, so almost everywhere this is the exact gradient of the similarity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from simplugins._common import arrays, refusals
from simplugins._common.optional import import_extra
from simplugins.activations.layouts import may_be_channels_last
from simplugins.activations.scaling import LEAST_SPREAD
from simplugins.matching.matcher import Matcher
from simplugins.measures.measure import Options, resolve_measure
from simplugins.measures.semantic import MatchedPairs
from simplugins.measures.tensor_matching import matched_columns
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma

if TYPE_CHECKING:
    from torch import Tensor

_PURPOSE = "similarity of Torch tensors"

_ROUNDING = 8
"""Squared distances below this many times ``eps sqrt(C)``, relative to the squared norms, count as rounding of 0."""


def semantic_similarity(
    x: Tensor, y: Tensor, measure: Any = "semantic-cosine", *, sigma: Sigma | Tensor = "median"
) -> Tensor:
    """Compute the similarity of each response in `x` to the corresponding response in `y`, with gradients.

    Parameters
    ----------
    x, y : (B, C, H, W), (B, S, C) or (B, C) floating-point tensors
        Responses to B inputs, on the same device: maps, tokens, or vectors. Channels must be equal; numbers of
        positions may differ, and then the smaller set is matched into the larger.
    measure : str or measure, default "semantic-cosine"
        {semantic, spatio-semantic}-{linear, cosine, rbf}.
    sigma : "median", float, or 0-dimensional tensor, default "median"
        Bandwidth of the RBF kernel, as for `simplugins.compute_rsm`. "median" is the median over these B pairs, and no
        gradient flows through it. For a loss, pass a number: the median adapts to the distances that the loss should
        reduce. A tensor receives a gradient.

    Returns
    -------
    (B,) tensor
        In the wider type of `x` and `y`, at least float32; float16 and bfloat16 are computed in float32, also under
        autocast, and responses that share a large mean in float64, as by `compute_rsm`.

    Raises
    ------
    TypeError
        If `x` or `y` is not a tensor of floating-point numbers.
    ValueError
        If shapes do not fit, a value is NaN or infinite, a squared norm exceeds the range of the type, the measure is
        not one of these, sigma is not positive, or, for spatio-semantic measures, numbers of positions differ.

    Notes
    -----
    O(B S T C) for the inner products and for their gradient, and O(B S^2) to O(B S^3) for the matching: on the GPU of
    the tensors, where the inner products stay, or else in as many threads as Torch uses. Memory in addition to the
    input: B S T inner products.

    A response of zero has cosine 0 to everything, with gradient 0 where the cosine is not differentiable. Under RBF,
    equal responses have similarity 1 and gradient 0. Rounding may leave cosines slightly above 1, since clipping them
    would clip gradients. The inner products are as precise as Torch's matrix products, whose precision on a GPU may be
    set below float32.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107).

    Examples
    --------
    >>> import torch
    >>> from simplugins.measures.differentiable import semantic_similarity
    >>> maps = torch.rand(4, 8, 5, 5, requires_grad=True)  # 4 inputs, 8 channels, 5 x 5 positions
    >>> moved = maps.detach().roll(2, dims=3)  # the same content at other positions
    >>> torch.allclose(semantic_similarity(maps, moved), torch.ones(4))
    True
    >>> loss = 1 - semantic_similarity(maps, torch.rand(4, 8, 5, 5)).mean()
    >>> loss.backward()
    >>> maps.grad.shape
    torch.Size([4, 8, 5, 5])
    """
    torch = import_extra("torch", extra="torch", purpose=_PURPOSE)
    kernel, matcher = _kernel_and_matcher(measure)
    _check_sigma(sigma)
    x, y = _sets("x", x), _sets("y", y)
    if len(x) != len(y):
        raise ValueError(
            f"x and y must have equal numbers of responses, got {len(x)} and {len(y)}; semantic_rsm compares all pairs"
        )
    x, y, dtype = _in_common_dtype(x, y)
    _check_positions(x, y, matcher)
    with torch.autocast(x.device.type, enabled=False):
        x, y = _in_sufficient_dtype(x, y, [_by_response(x), _by_response(y), torch.cat([x, y], 1)])
        norms_x, norms_y = _squared_norms("x", x), _squared_norms("y", y)
        if kernel == "rbf":
            distances = _aligned_distances(x, y, matcher)
            return _rbf(distances, _bandwidth(distances, sigma)).to(dtype)
        products = (x * y).sum((1, 2)) if matcher.positionwise else _aligned_products(x, y, matcher)
        return _similarities(kernel, products, norms_x, norms_y, sigma, x.shape[2]).to(dtype)


def semantic_rsm(
    x: Tensor, measure: Any = "semantic-cosine", *, other: Tensor | None = None, sigma: Sigma | Tensor = "median"
) -> Tensor:
    """Compute the similarities of all responses to each other, or to those of other inputs, with gradients.

    Parameters
    ----------
    x : (N, C, H, W), (N, S, C) or (N, C) floating-point tensor
        Responses to N inputs.
    measure, sigma
        As for `semantic_similarity`; "median" is the median over all pairs.
    other : (M, ...) tensor, optional
        Responses to M other inputs with equal channels. The result is then N × M.

    Returns
    -------
    (N, N) or (N, M) tensor
        The values of `simplugins.compute_rsm` up to rounding. Without `other` it is symmetric, each pair is matched
        once, and the diagonal is that of the identity.

    Raises
    ------
    TypeError, ValueError
        As for `semantic_similarity`.

    Notes
    -----
    The time is that of N M pairs of `semantic_similarity`, or half of it without `other`; but only N S T inner products
    are in memory at a time, and N M S integers are saved for the gradient.

    Examples
    --------
    >>> import torch
    >>> from simplugins.measures.differentiable import semantic_rsm
    >>> tokens = torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    >>> semantic_rsm(tokens, "semantic-linear")
    tensor([[5., 5., 1.],
            [5., 5., 1.],
            [1., 1., 1.]])
    """
    torch = import_extra("torch", extra="torch", purpose=_PURPOSE)
    kernel, matcher = _kernel_and_matcher(measure)
    _check_sigma(sigma)
    x = _sets("x", x)
    x, y, dtype = _in_common_dtype(x, x if other is None else _sets("other", other))
    _check_positions(x, y, matcher)
    with torch.autocast(x.device.type, enabled=False):
        x, y = _in_sufficient_dtype(x, y, [_by_response(x), _by_response(y)])
        norms_x, norms_y = _squared_norms("x", x), _squared_norms("other", y)
        products = _products_of_all(x, norms_x, matcher) if other is None else _products_with(x, y, matcher)
        return _similarities(kernel, products, norms_x[:, None], norms_y[None, :], sigma, x.shape[2]).to(dtype)


def _kernel_and_matcher(measure: Any) -> tuple[str, Matcher]:
    if arrays.is_torch(measure):
        raise TypeError(
            "measure must be a name or a measure, got a tensor; semantic_rsm takes other responses as other="
        )
    resolved = resolve_measure(measure)
    operation = resolved.operation(Options())
    if resolved.kernel is None or not isinstance(operation, MatchedPairs):
        raise ValueError(
            f"measure {resolved.name!r} has no gradient: only semantic and spatio-semantic measures have one"
        )
    return resolved.kernel, operation.matcher


def _sets(name: str, responses: Tensor) -> Tensor:
    """Check responses, and return them as sets of concept vectors (N, S, C)."""
    if (reason := refusals.refusal(responses)) is not None:
        raise TypeError(f"{name}: {reason}")
    if not arrays.is_torch(responses) or not responses.is_floating_point():
        kind = f"a tensor of {responses.dtype}" if arrays.is_torch(responses) else type(responses).__name__
        raise TypeError(f"{name}: expected a tensor of floating-point numbers, got {kind}")
    if responses.dim() not in (2, 3, 4) or responses.numel() == 0:
        raise ValueError(
            f"{name}: expected responses (inputs, channels, height, width), (inputs, positions, channels) or "
            f"(inputs, channels), without empty dimensions; got shape {tuple(responses.shape)}"
        )
    if may_be_channels_last(tuple(responses.shape)):
        raise ValueError(
            f"{name}: shape {tuple(responses.shape)} looks like images (inputs, height, width, channels): pass "
            f"responses.movedim(-1, 1), or responses.flatten(2).mT if they have {responses.shape[1]} channels"
        )
    bad = ~responses.detach().isfinite()
    if bad.any():
        first = int(bad.flatten(1).any(1).nonzero()[0])
        raise ValueError(
            f"{name} holds {int(bad.sum())} NaN or infinite values, the first in input {first} of {len(responses)}"
        )
    if responses.dim() == 4:
        return responses.flatten(2).mT
    return responses if responses.dim() == 3 else responses[:, None]


def _in_common_dtype(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Any]:
    """Check that sets (N, S, C) and (M, T, C) can be compared; return them in the dtype of the result, and it."""
    import torch

    if x.shape[2] != y.shape[2]:
        raise ValueError(f"concept vectors must have equal channels, got {x.shape[2]} and {y.shape[2]}")
    if x.device != y.device:
        raise ValueError(f"responses must be on the same device, got {x.device} and {y.device}")
    dtype = torch.float64 if x.dtype.itemsize == 8 or y.dtype.itemsize == 8 else torch.float32
    same = y is x
    x = x.to(dtype)
    return x, x if same else y.to(dtype), dtype


def _in_sufficient_dtype(x: Tensor, y: Tensor, groups: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return sets in the dtype to compute in: as in `compute_rsm`, float64 if compared vectors share a large mean.

    Parameters
    ----------
    groups : list of (G, V, D) tensors
        G groups of V vectors.
    """
    if min(map(_spread, groups)) >= LEAST_SPREAD[np.dtype(np.float32)]:
        return x, y
    same = y is x
    x = x.double()
    return x, x if same else y.double()


def _by_response(sets: Tensor) -> Tensor:
    """Return all responses as a group of vectors, or the vectors of a single one."""
    return sets.flatten(1)[None] if len(sets) > 1 else sets


def _spread(groups: Tensor) -> float:
    """Return the share of squared norms that is not along the mean of each group of vectors, (G, V, D)."""
    count = groups.shape[1]
    if count < 2:
        return 1.0
    groups = groups.detach()
    norms = groups.square().sum(2)
    means = (_inverse_roots(norms)[:, None] @ groups).mT
    shared = (groups @ means)[:, :, 0].square() / (norms * means.square().sum(1))
    spread = (1 - float(shared.nanmedian())) * count / (count - 1)
    return 1.0 if math.isnan(spread) else spread  # all zero, or squared norms that overflow


def _check_positions(x: Tensor, y: Tensor, matcher: Matcher) -> None:
    if matcher.positionwise and x.shape[1] != y.shape[1]:
        raise ValueError(
            f"a spatio-semantic measure compares position with the same position, so numbers of positions must be "
            f"equal, got {x.shape[1]} and {y.shape[1]}; a semantic measure compares sets of different sizes"
        )


def _squared_norms(name: str, sets: Tensor) -> Tensor:
    norms = sets.square().sum((1, 2))
    if not norms.detach().isfinite().all():
        raise ValueError(f"{name}: squared norms exceed the range of {norms.dtype}; rescale the responses")
    return norms


def _products_with(x: Tensor, y: Tensor, matcher: Matcher) -> Tensor:
    """Return the (N, M) aligned inner products of two sets of responses."""
    import torch

    if matcher.positionwise:
        return x.flatten(1) @ y.flatten(1).mT
    return torch.stack([_aligned_products(x, response, matcher) for response in y], 1)


def _products_of_all(x: Tensor, norms: Tensor, matcher: Matcher) -> Tensor:
    """Return the (N, N) aligned inner products of responses with each other, exactly symmetric."""
    import torch

    diagonal = norms.diag()
    if len(x) == 1:
        return diagonal
    if matcher.positionwise:
        triangle = _products_with(x, x, matcher).tril(-1)
    else:
        rows, columns = torch.tril_indices(len(x), len(x), -1, device=x.device)
        below = torch.cat([_aligned_products(x[:i], x[i], matcher) for i in range(1, len(x))])
        triangle = torch.zeros_like(diagonal).index_put((rows, columns), below)
    return triangle + triangle.mT + diagonal


def _aligned_products(x: Tensor, y: Tensor, matcher: Matcher) -> Tensor:
    """Return the (P,) aligned inner products of responses (P, S, C) with (P, T, C) pair by pair, or with one (T, C)."""
    affinities = x @ y.mT
    if affinities.shape[1] > affinities.shape[2]:
        affinities = affinities.mT
    return affinities.gather(2, matched_columns(affinities, matcher)[:, :, None]).sum((1, 2))


def _aligned_distances(x: Tensor, y: Tensor, matcher: Matcher) -> Tensor:
    """Return the (P,) squared distances of matched responses (P, S, C) and (P, T, C), summed over differences."""
    import torch

    if matcher.positionwise:
        return (x - y).square().sum((1, 2))
    if x.shape[1] > y.shape[1]:
        x, y = y, x
    columns = matched_columns(x.detach() @ y.detach().mT, matcher)
    matched = y.gather(1, columns[:, :, None].expand(-1, -1, y.shape[2]))
    distances = (x - matched).square().sum((1, 2))
    if x.shape[1] == y.shape[1]:
        return distances
    unmatched = torch.ones_like(y[:, :, 0]).scatter(1, columns, 0)
    return distances + (y.square().sum(2) * unmatched).sum(1)


def _similarities(
    kernel: str, products: Tensor, norms_x: Tensor, norms_y: Tensor, sigma: Sigma | Tensor, channels: int
) -> Tensor:
    """Apply a kernel as `simplugins.rsm.kernels` does; the shapes of the norms broadcast to that of the products."""
    if kernel == "linear":
        return products
    if kernel == "cosine":
        return products * (_inverse_roots(norms_x) * _inverse_roots(norms_y))
    sums = norms_x + norms_y
    rounding = _ROUNDING * math.sqrt(channels) * float(np.finfo(str(sums.dtype).removeprefix("torch.")).eps)
    distances = (sums - 2 * products).clamp(min=0)
    unequal = _unequal(distances.detach(), norms_x.detach(), norms_y.detach(), rounding)
    bandwidth = _bandwidth(unequal, sigma)
    if not isinstance(sigma, str):
        values = (values.detach().cpu().double().numpy() for values in (unequal, norms_x, norms_y))
        kernels.warn_of_unresolved(next(values), float(bandwidth), *values, rounding=rounding)
    return _rbf(distances, bandwidth)


def _unequal(distances: Tensor, norms_x: Tensor, norms_y: Tensor, rounding: float) -> Tensor:
    """Return squared distances, 0 for equal responses, as `kernels.squared_distances` does."""
    limit = rounding * (norms_x + norms_y)
    least = (norms_x.sqrt() - norms_y.sqrt()).square().where((norms_x - norms_y).abs() > limit, 0)
    return distances.where(distances > limit, least)


def _rbf(distances: Tensor, bandwidth: float | Tensor) -> Tensor:
    return (distances * 0 if bandwidth == 0 else distances / bandwidth / bandwidth / -2).exp()


def _inverse_roots(norms: Tensor) -> Tensor:
    """Return ``1 / sqrt(norm)``, and 0, with gradient 0, for norms of 0."""
    present = norms > 0
    return norms.where(present, 1).rsqrt().where(present, 0)


def _bandwidth(distances: Tensor, sigma: Sigma | Tensor) -> float | Tensor:
    """Return a bandwidth as given, or from the median of squared distances."""
    if not isinstance(sigma, str):
        return sigma
    # Counting each pair of a symmetric matrix twice does not change the lower median.
    return kernels.median_sigma(distances.detach().reshape(1, -1).cpu().double().numpy(), symmetric=False)


def _check_sigma(sigma: Any) -> None:
    if isinstance(sigma, str) and sigma == "median":
        return
    is_tensor = arrays.is_torch(sigma) and sigma.dim() == 0
    is_number = isinstance(sigma, int | float | np.number) and not isinstance(sigma, bool)
    if not (is_tensor or is_number) or not 0 < (sigma.item() if is_tensor else sigma) < math.inf:
        raise ValueError(f"sigma must be 'median' or a positive number, got {sigma!r}")
