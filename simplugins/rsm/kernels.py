# SPDX-License-Identifier: Apache-2.0
"""Kernels: similarities from aligned inner products and norms.

Permuting positions does not change norms, so one matching serves all kernels. For two responses with the aligned inner
product m and squared norms n and n', the squared distance after matching is ``d^2 = n + n' - 2 m``.
"""

from __future__ import annotations

import sys
import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Sigma = float | Literal["median"]
KERNELS = ("linear", "cosine", "rbf")
_RESOLVED = 16
"""Number of rounding errors from which squared distances count as resolved."""
_NEGLIGIBLE = 20
"""Squared distance, in squared bandwidths, from which the RBF kernel is below 1e-4."""
EQUAL = 2.0**-40
"""Relative difference of squared norms that is attributed to rounding."""


def check_sigma(sigma: Sigma) -> None:
    """Check that a bandwidth is "median" or a number above 0.

    Raises
    ------
    ValueError
        If it is not.
    """
    if isinstance(sigma, str) and sigma == "median":
        return
    number = isinstance(sigma, int | float | np.integer | np.floating) and not isinstance(sigma, bool)
    if not number or not 0 < float(sigma) <= sys.float_info.max:
        raise ValueError(f"sigma must be 'median' or a number above 0, got {sigma!r}")


def squared_distances(
    products: NDArray[np.float64],
    norms_x: NDArray[np.float64],
    norms_y: NDArray[np.float64],
    *,
    rounding: float = 0.0,
) -> NDArray[np.float64]:
    """Return squared distances after matching.

    Parameters
    ----------
    products : (N, M) array
        Aligned inner products.
    norms_x, norms_y : (N,) and (M,) arrays
        Squared norms of the responses.
    rounding : float
        Bound on the rounding error of an aligned inner product, relative to ``(n + n') / 2``.

    Returns
    -------
    (N, M) float64 array
        At least 0; exactly 0 where two responses are equal within rounding. Where only their norms tell them apart, the
        squared difference of these, so that `median_sigma` counts the pair.

    Examples
    --------
    >>> squared_distances(np.array([[12.0]]), np.array([9.0]), np.array([16.0]))
    array([[1.]])
    """
    sums = norms_x[:, None] + norms_y[None, :]
    distances = sums - 2 * products
    rows, columns = np.nonzero(distances <= rounding * sums)
    norms, other_norms = norms_x[rows], norms_y[columns]
    least = np.square(np.sqrt(norms) - np.sqrt(other_norms))
    least[np.abs(norms - other_norms) <= EQUAL * (norms + other_norms)] = 0
    distances[rows, columns] = least
    return distances


def linear(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the linear kernel: the aligned inner products themselves."""
    return products.copy()


def cosine(
    products: NDArray[np.float64], norms_x: NDArray[np.float64], norms_y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the cosine kernel, ``m / sqrt(n n')``; a response of zero has similarity 0 to everything.

    Examples
    --------
    >>> cosine(np.array([[6.0, 0.0]]), np.array([9.0]), np.array([16.0, 0.0]))
    array([[0.5, 0. ]])
    """
    lengths = np.sqrt(norms_x)[:, None] * np.sqrt(norms_y)[None, :]
    similarities: NDArray[np.float64] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    np.clip(similarities, -1, 1, out=similarities)
    return similarities


def rbf(distances: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return the RBF kernel, ``exp(-d^2 / (2 sigma^2))``; 1 everywhere for sigma 0, when all responses are equal.

    Parameters
    ----------
    distances : (N, M) array
        Squared distances.
    sigma : float
        Bandwidth, in units of distance.

    Examples
    --------
    >>> rbf(np.array([[0.0, 2.0]]), sigma=1.0).round(4)
    array([[1.    , 0.3679]])
    """
    if sigma == 0:
        return np.ones_like(distances)
    with np.errstate(over="ignore"):
        return np.exp(distances / sigma / sigma / -2)


def similarities(
    kernel: str,
    products: NDArray[np.float64],
    norms_x: NDArray[np.float64],
    norms_y: NDArray[np.float64],
    *,
    rounding: float,
    sigma: float | None,
) -> NDArray[np.float64]:
    """Apply a kernel to aligned inner products.

    Parameters
    ----------
    kernel : {"linear", "cosine", "rbf"}
    products, norms_x, norms_y, rounding
        As for `squared_distances`.
    sigma : float or None
        Bandwidth of the RBF kernel.

    Returns
    -------
    (N, M) float64 array

    Raises
    ------
    ValueError
        If the kernel is unknown, or RBF has no bandwidth.

    Examples
    --------
    >>> similarities("cosine", np.array([[6.0]]), np.array([9.0]), np.array([16.0]), rounding=0.0, sigma=None)
    array([[0.5]])
    """
    if kernel == "linear":
        return linear(products)
    if kernel == "cosine":
        return cosine(products, norms_x, norms_y)
    if kernel != "rbf" or sigma is None:
        raise ValueError(
            f"expected one of the kernels {', '.join(KERNELS)}, with sigma for rbf; got {kernel!r}, sigma={sigma}"
        )
    return rbf(squared_distances(products, norms_x, norms_y, rounding=rounding), sigma)


def median_sigma(distances: NDArray[np.float64], *, symmetric: bool) -> float:
    """Return the paper's bandwidth: the square root of the median of all non-zero squared distances.

    Parameters
    ----------
    distances : (N, M) array
        Squared distances.
    symmetric : bool
        Whether the matrix holds each pair twice; each is counted once.

    Returns
    -------
    float
        From the lower of two middle values, as in the paper's code; 0 if all distances are zero. The paper's code also
        adds 0.001 to the root, which is omitted here, as its effect depends on the scale of the activations.

    Examples
    --------
    >>> median_sigma(np.array([[0.0, 4.0, 9.0]]), symmetric=False)
    2.0
    """
    pairs = distances[np.tril_indices(len(distances), -1)] if symmetric else distances.ravel()
    positive = pairs[pairs > 0]
    if not positive.size:
        return 0.0
    middle = (positive.size - 1) // 2
    return float(np.sqrt(np.partition(positive, middle)[middle]))


def warn_of_rounding(
    sigma: float, norms_x: NDArray[np.float64], norms_y: NDArray[np.float64], *, rounding: float
) -> None:
    """Issue a RuntimeWarning if squared distances are lost in the rounding error of aligned inner products.

    Parameters
    ----------
    sigma : float
        Square root of the median squared distance; 0 if responses are equal.
    norms_x, norms_y, rounding
        As for `squared_distances`.
    """
    norms = np.concatenate([norms_x, norms_y])
    error = rounding * 2 * float(np.median(norms))
    unequal = sigma > 0 or np.ptp(norms) > EQUAL * norms.max()
    if unequal and sigma * sigma < _RESOLVED * error:
        warnings.warn(
            f"half of the squared distances are at most {sigma * sigma:.2g}, of which up to {error:.1g} may be "
            f"rounding, since the responses are so similar: pass dtype='float64' or, if they are in float64, subtract "
            f"from all inputs what they have in common, such as their mean",
            RuntimeWarning,
            stacklevel=3,
        )


def is_resolved(sigma: float, norms_x: NDArray[np.float64], norms_y: NDArray[np.float64], *, rounding: float) -> bool:
    """Return whether a bandwidth is so large that rounding errors of squared distances hardly change RBF values."""
    return bool(rounding * (norms_x.max(initial=0) + norms_y.max(initial=0)) <= sigma * sigma / _RESOLVED)


def warn_of_unresolved(
    distances: NDArray[np.float64],
    sigma: float,
    norms_x: NDArray[np.float64],
    norms_y: NDArray[np.float64],
    *,
    rounding: float,
) -> None:
    """Issue a RuntimeWarning if a bandwidth is so small that rounding errors of squared distances change RBF values.

    Parameters
    ----------
    distances : (N, M) array
        Squared distances, as `squared_distances` returns them.
    sigma : float
        Bandwidth.
    norms_x, norms_y, rounding
        As for `squared_distances`; norms may also broadcast to the shape of `distances`.
    """
    limit = sigma * sigma / _RESOLVED
    if is_resolved(sigma, norms_x, norms_y, rounding=rounding):
        return
    sums = norms_x[:, None] + norms_y if norms_x.ndim == norms_y.ndim == 1 else norms_x + norms_y
    near = (distances > 0) & (distances < _NEGLIGIBLE * sigma * sigma)
    count = np.count_nonzero((rounding * sums > limit) & near)
    if count:
        warnings.warn(
            f"sigma={sigma:.4g} is so small, relative to the size of the responses, that {count} RBF similarities "
            f"hold rounding errors: pass dtype='float64' or, if the responses are in float64, subtract from the inputs "
            f"what they have in common",
            RuntimeWarning,
            stacklevel=3,
        )
