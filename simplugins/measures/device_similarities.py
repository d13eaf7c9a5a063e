# SPDX-License-Identifier: Apache-2.0
"""Kernels applied to results that are in the memory of a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.measures.measure import Similarities
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma

Norms = tuple[NDArray[np.float64], NDArray[np.float64]]


def device_similarities(
    kernel: str, result: Any, norms: Norms, sigma: Sigma, *, symmetric: bool
) -> Similarities | None:
    """Apply a kernel on the device, and download the similarities; None if that must be done on the host.

    Parameters
    ----------
    kernel : {"linear", "cosine", "rbf"}
    result : simplugins.compute.engines.cuda.device_result.DeviceResult
    norms : pair of (N,) and (M,) float64 arrays
        Squared norms of rows and columns.
    sigma : "median" or float
    symmetric : bool
        Whether the matrix holds each pair twice.
    """
    try:
        return _similarities(kernel, result, norms, sigma, symmetric)
    except Exception as error:
        if not result.ran_out(error):
            raise
        return None


def _similarities(kernel: str, result: Any, norms: Norms, sigma: Sigma, symmetric: bool) -> Similarities | None:
    if kernel == "linear":
        return Similarities(result.products(), kernel)
    if kernel == "cosine":
        return Similarities(result.cosines(norms), kernel)
    if sigma == "median":
        bandwidth, rule = float(np.sqrt(result.median(norms, kernels.EQUAL, symmetric=symmetric))), "median"
        kernels.warn_of_rounding(bandwidth, *norms, rounding=result.rounding)
    elif kernels.is_resolved(float(sigma), *norms, rounding=result.rounding):
        bandwidth, rule = float(sigma), "given"
    else:
        return None
    return Similarities(result.rbf(norms, bandwidth, kernels.EQUAL), kernel, bandwidth, rule)
