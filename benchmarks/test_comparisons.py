# SPDX-License-Identifier: Apache-2.0
"""Comparison of 12 layers with 12 others, as RSMs of 1,000 inputs, against rsatoolbox on the same matrices.

``pytest benchmarks/test_comparisons.py``. The results of both are compared as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from simplugins.comparisons import pairwise

LAYERS, INPUTS, FEATURES, ROUNDS = 12, 1000, 64, 3
METHODS = {"cka": "cosine_cov", "rsa-pearson": "corr", "rsa-spearman": "spearman"}
"""Our methods and their names in rsatoolbox."""

Matrices = list[NDArray[np.float64]]


@pytest.fixture(scope="module")
def networks() -> tuple[Matrices, Matrices]:
    """RSMs of two networks whose layers drift away from the first one."""
    rng = np.random.default_rng(0)
    networks: tuple[Matrices, Matrices] = [], []
    for rsms in networks:
        features = rng.normal(size=(INPUTS, FEATURES))
        for _ in range(LAYERS):
            features = features + 0.3 * rng.normal(size=features.shape)
            rsms.append(features @ features.T)
    return networks


def by_rsatoolbox(networks: tuple[Matrices, Matrices], method: str) -> Callable[[], Any]:
    """Return a function that compares the matrices with rsatoolbox, which takes squared distances for CKA."""
    rdm = pytest.importorskip("rsatoolbox.rdm")
    rdms = [[squared_distances(rsm) if method == "cka" else rsm for rsm in rsms] for rsms in networks]
    a, b = (rdm.RDMs(np.stack(matrices)) for matrices in rdms)
    return lambda: rdm.compare(a, b, method=METHODS[method])


def squared_distances(rsm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``k(i, i) + k(j, j) - 2 k(i, j)``."""
    diagonal = rsm.diagonal()
    return diagonal[:, None] + diagonal - 2 * rsm


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("library", ["simplugins", "rsatoolbox"])
def test_layers_by_layers(
    benchmark: BenchmarkFixture, networks: tuple[Matrices, Matrices], method: str, library: str
) -> None:
    """Time the comparison of all layers with one library."""
    benchmark.group = method
    compare = (lambda: pairwise(method, *networks)) if library == "simplugins" else by_rsatoolbox(networks, method)
    result = benchmark.pedantic(compare, rounds=ROUNDS, warmup_rounds=1)
    if library == "rsatoolbox":
        np.testing.assert_allclose(result, pairwise(method, *networks), atol=1e-9)
