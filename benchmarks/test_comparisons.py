# SPDX-License-Identifier: Apache-2.0
"""All pairs of 12 layers with 12 others, as RSMs of 1,000 inputs, beside rsatoolbox on the same matrices.

``pytest benchmarks/test_comparisons.py``; what both return is compared first.
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
"""Our methods, and what rsatoolbox calls them."""

Matrices = list[NDArray[np.float64]]


@pytest.fixture(scope="module")
def networks() -> tuple[Matrices, Matrices]:
    """RSMs of layers that drift away from the first one, of two networks."""
    rng = np.random.default_rng(0)
    found: tuple[Matrices, Matrices] = [], []
    for rsms in found:
        features = rng.normal(size=(INPUTS, FEATURES))
        for _ in range(LAYERS):
            features = features + 0.3 * rng.normal(size=features.shape)
            rsms.append(features @ features.T)
    return found


def by_rsatoolbox(networks: tuple[Matrices, Matrices], method: str) -> Callable[[], Any]:
    """Return what compares the same matrices with rsatoolbox: CKA by squared distances, others by what they are."""
    rdm = pytest.importorskip("rsatoolbox.rdm")
    made = [[squared_distances(rsm) if method == "cka" else rsm for rsm in rsms] for rsms in networks]
    one, other = (rdm.RDMs(np.stack(matrices)) for matrices in made)
    return lambda: rdm.compare(one, other, method=METHODS[method])


def squared_distances(rsm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``k(i, i) + k(j, j) - 2 k(i, j)``."""
    own = rsm.diagonal()
    return own[:, None] + own - 2 * rsm


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["simplugins", "rsatoolbox"])
def test_layers_by_layers(
    benchmark: BenchmarkFixture, networks: tuple[Matrices, Matrices], method: str, who: str
) -> None:
    """Time one library's comparison of all layers."""
    benchmark.group = method
    work = (lambda: pairwise(method, *networks)) if who == "simplugins" else by_rsatoolbox(networks, method)
    found = benchmark.pedantic(work, rounds=ROUNDS, warmup_rounds=1)
    if who == "rsatoolbox":
        np.testing.assert_allclose(found, pairwise(method, *networks), atol=1e-9)
