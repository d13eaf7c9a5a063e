# SPDX-License-Identifier: Apache-2.0
"""Exact search on a GPU; see `simplugins.compute.engines.cuda.nearest_engine`."""

from __future__ import annotations

from simplugins.compute.engines import check_engine, choose_engine
from simplugins.compute.engines.cuda import cupy_device
from simplugins.compute.engines.cuda.nearest_engine import Order, nearest
from simplugins.compute.search_result import SearchResult
from simplugins.evaluation.searching.scoring import Scoring
from simplugins.matching.matcher import Matcher
from simplugins.rsm import kernels


def searching_engine(engine: str, matcher: Matcher) -> str:
    """Return the engine of a search, "cpu" or "cuda".

    Raises
    ------
    ValueError
        If the engine is unknown, or cannot be used here.
    """
    if engine == "cuda:all":
        raise ValueError("a search uses one GPU: expected engine='cuda', 'cpu' or 'auto', got 'cuda:all'")
    check_engine(engine)
    return choose_engine(engine, matcher)


def find_on_device(scoring: Scoring, matcher: Matcher, k: int, progress: bool | str) -> SearchResult:
    """Find the k best candidates of each query on the GPU that holds the inputs, or the current one."""
    gallery, queries = scoring.gallery, scoring.queries
    order = Order(scoring.kernel, scoring.rounding, kernels.EQUAL)
    device = cupy_device.CupyDevice(queries.gpu if queries.gpu is not None else gallery.gpu)
    return nearest(gallery, queries, matcher, itself=scoring.itself, k=k, order=order, device=device, progress=progress)
