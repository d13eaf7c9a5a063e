# SPDX-License-Identifier: Apache-2.0
"""Small calls that compile, or load, every compiled function for every type of data that it can receive.

Each part runs in a process of its own: Numba compiles one function at a time in each process.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import simplugins
from simplugins._common.compiled import CACHES
from simplugins.matching.auction import Auction
from simplugins.matching.batch_optimal import BatchOptimal
from simplugins.matching.greedy import Greedy
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.matching.partial import Partial
from simplugins.matching.topk_greedy import TopKGreedy

_DTYPES = ("float32", "float64")


def _maps(dtype: str) -> Any:
    return np.random.default_rng(0).normal(size=(3, 20, 5)).astype(dtype)


def _sets(dtype: str) -> Any:
    return [inputs[:size] for inputs, size in zip(_maps(dtype), (20, 18, 19), strict=True)]


def _rsms(dtype: str, *measures_and_options: tuple[str, dict[str, Any]]) -> None:
    """Compute RSMs of maps and of sets of different sizes, of pairs of the same inputs and of others."""
    for measure, options in measures_and_options:
        for inputs in (_maps(dtype), _sets(dtype)):
            for other in (None, inputs):
                simplugins.compute_rsm(inputs, measure, other=other, engine="cpu", **options)


def _match(dtype: str, *matchers: Matcher) -> None:
    for matcher in matchers:
        for certify in (False, True):
            _rsms(dtype, ("semantic-linear", {"matching": matcher, "certify": certify}))
    x, y = _maps(dtype)[:2]
    for matcher in matchers:
        simplugins.match(x, y, matcher, engine="cpu")
        simplugins.match(x, y[:-1], matcher, engine="cpu")


def _exact(dtype: str) -> None:
    _match(dtype, Optimal(), Auction(), BatchOptimal(window=16))
    simplugins.search(_maps(dtype), k=1)
    Optimal().match(np.array([[-1e9, 1.0], [0.7, 0.3]], dtype))  # 0.7 is no multiple of the step, so it is refined


def _partial(dtype: str) -> None:
    _match(dtype, Partial(share=0.5), Partial(threshold=0.1))
    simplugins.share_curve(*_maps(dtype)[:2], dtype=dtype)


def _others(dtype: str) -> None:
    for matcher in (Greedy(), TopKGreedy(k=2)):
        _rsms(dtype, ("semantic-linear", {"matching": matcher}))
    _rsms(
        dtype,
        ("max-sim-cosine", {}),
        ("max-sim-rbf", {}),
        ("semantic-cosine", {"normalize": "matched"}),
        ("semantic-cosine", {"normalize": "mass"}),
        ("mean-pooled-cosine", {}),
    )
    simplugins.compute_rsm(_maps(dtype).reshape(3, 5, 4, 5), "shift-cosine", layout="nchw", engine="cpu")


def _comparisons() -> None:
    a, b = (np.corrcoef(np.random.default_rng(seed).normal(size=(8, 20))) for seed in (1, 2))
    ours = [
        plugin.name
        for plugin in simplugins.plugins.available("simplugins.comparisons")
        if plugin.target.startswith("simplugins.")
    ]
    for method in ours:
        options = {"k": 3} if method.endswith("knn") or method == "cknna" else None
        simplugins.permutation_test(a, b, method, method_options=options, permutations=9)
        simplugins.bootstrap_interval(a, b, method, method_options=options, resamples=9)
    layers = {"a": simplugins.RSM.from_similarities(a), "b": simplugins.RSM.from_similarities(b)}
    simplugins.compare_layers(layers, calibrate="each", permutations=9)


PARTS: dict[str, Callable[[], None]] = {
    **{
        f"{name}-{dtype}": partial(call, dtype)
        for name, call in (("exact", _exact), ("partial", _partial), ("others", _others))
        for dtype in _DTYPES
    },
    "comparisons": _comparisons,
}
"""The calls by name. Those of the exact solver, which others use as well, come first."""


def run(name: str) -> None:
    """Make the calls of a part, and print as JSON what was compiled and loaded, and where."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of little data
        PARTS[name]()
    caches = [cache for cache in CACHES if cache.loaded or cache.saved or cache.failure]
    summary = {
        "compiled": [f"{cache.name}{signature}" for cache in caches for signature in cache.saved],
        "loaded": [f"{cache.name}{signature}" for cache in caches for signature in cache.loaded],
        "folders": sorted({cache.cache_path for cache in caches if cache.cache_path is not None}),
        "failures": sorted({cache.failure for cache in caches if cache.failure is not None}),
    }
    sys.stdout.write(json.dumps(summary))
