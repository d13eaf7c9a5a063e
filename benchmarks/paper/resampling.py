# SPDX-License-Identifier: Apache-2.0
"""Paired estimates for both kinds of RSM and their difference, with bootstrap intervals over independent groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.design import CONFIDENCE, RESAMPLES, SEMANTIC, SPATIAL
from simplugins.comparisons.resampling import interval

Estimate = dict[str, float]
"""An "estimate", and the "low" and "high" bounds of its interval."""


def paired_means(values: Mapping[str, NDArray[np.float64]], groups: NDArray[np.int64]) -> dict[str, Estimate]:
    """Return the means of both kinds and of their difference, with intervals from the bootstrap over groups.

    Parameters
    ----------
    values : mapping of str to (N,) array
        By kind of RSM.
    groups : (N,) int64 array
        Values of one group are resampled together, such as those of the crops of one photograph.
    """
    weights = _weights(groups)
    semantic, spatial = (values[kind] for kind in (SEMANTIC, SPATIAL))
    series = {SEMANTIC: semantic, SPATIAL: spatial, "difference": semantic - spatial}
    return {name: _estimate(each.mean(), weights @ each) for name, each in series.items()}


def paired_intervals(intervals: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return the estimates of both kinds and of their difference, from bootstrap intervals with equal resamples.

    Parameters
    ----------
    intervals : mapping of str to BootstrapInterval
        By kind of RSM.
    """
    semantic, spatial = (intervals[kind] for kind in (SEMANTIC, SPATIAL))
    return {
        SEMANTIC: _estimate(semantic.estimate, semantic.distribution),
        SPATIAL: _estimate(spatial.estimate, spatial.distribution),
        "difference": _estimate(semantic.estimate - spatial.estimate, semantic.distribution - spatial.distribution),
    }


def _estimate(estimate: float, distribution: NDArray[np.float64]) -> Estimate:
    low, high = interval(distribution, CONFIDENCE)
    return {"estimate": float(estimate), "low": low, "high": high}


def _weights(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (R, N) weights of all values in the means of R resamples of groups."""
    rng = np.random.default_rng(0)
    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)[:, number]
    weights: NDArray[np.float64] = drawn / drawn.sum(1, keepdims=True)
    return weights
