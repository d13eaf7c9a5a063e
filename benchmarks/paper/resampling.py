# SPDX-License-Identifier: Apache-2.0
"""Semantic beside spatio-semantic: means, and their difference, with intervals over what is independent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from networks import KINDS
from numpy.typing import NDArray

from simplugins.comparisons.resampling import interval

SEMANTIC, SPATIAL = KINDS[1], KINDS[0]
CONFIDENCE = 0.95
RESAMPLES = 2000

Found = dict[str, Any]
"""What is known of a number: its estimate, and the low and the high end of its interval."""


def beside(values: Mapping[str, NDArray[np.float64]], groups: NDArray[np.int64]) -> dict[str, Found]:
    """Return the means of both kinds and of their difference, with intervals by drawing groups with replacement.

    Parameters
    ----------
    values : mapping of str to (N,) array
        By kind of RSM.
    groups : (N,) int64 array
        Values of one group are drawn together, such as those of the crops of one photograph.
    """
    weights = _weights(groups)
    semantic, spatial = (values[kind] for kind in (SEMANTIC, SPATIAL))
    series = {SEMANTIC: semantic, SPATIAL: spatial, "difference": semantic - spatial}
    return {name: _found(of_all.mean(), weights @ of_all) for name, of_all in series.items()}


def beside_distributions(found: Mapping[str, Any]) -> dict[str, Found]:
    """Return both kinds' estimates and their difference, of bootstrap intervals that drew the same inputs.

    Parameters
    ----------
    found : mapping of str to BootstrapInterval
        By kind of RSM.
    """
    semantic, spatial = (found[kind] for kind in (SEMANTIC, SPATIAL))
    return {
        SEMANTIC: _found(semantic.estimate, semantic.distribution),
        SPATIAL: _found(spatial.estimate, spatial.distribution),
        "difference": _found(semantic.estimate - spatial.estimate, semantic.distribution - spatial.distribution),
    }


def _found(estimate: float, distribution: NDArray[np.float64]) -> Found:
    low, high = interval(distribution, CONFIDENCE)
    return {"estimate": float(estimate), "low": low, "high": high}


def _weights(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weight of each value in the mean of each resample of groups, (R, N)."""
    rng = np.random.default_rng(0)
    _, number = np.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)[:, number]
    weights: NDArray[np.float64] = drawn / drawn.sum(1, keepdims=True)
    return weights
