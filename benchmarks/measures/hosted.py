# SPDX-License-Identifier: Apache-2.0
"""Other packages' measures and comparisons as plugins, so that they stand in the same tables as ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Activations, to_tool

Matrix = NDArray[np.float64]


def pooled_by_scikit_learn(x: Activations, y: Activations | None = None) -> Matrix:
    """Return cosine similarities of mean-pooled responses: a measure."""
    from sklearn.metrics.pairwise import cosine_similarity

    return np.asarray(cosine_similarity(*(_means(side) for side in (x, x if y is None else y))), np.float64)


def _means(x: Activations) -> Matrix:
    return np.array([np.asarray(one, np.float64).mean(0) for one in x.sets()])


@dataclass(frozen=True)
class RhoA:
    """Spearman's correlation with a correction for ties, of squared distances: a comparison of rsatoolbox."""

    name: ClassVar[str] = "rho-a, rsatoolbox"
    larger_is_more_similar: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-1, 1)
    least_inputs: ClassVar[int] = 4
    is_symmetric: ClassVar[bool] = True

    def __call__(self, a: Matrix, b: Matrix) -> float:
        """Compare two RSMs."""
        from rsatoolbox.rdm import compare

        first, second = (to_tool("rsatoolbox", RSM.from_similarities(matrix)) for matrix in (a, b))
        return float(compare(first, second, method="rho-a")[0, 0])


@dataclass(frozen=True)
class Procrustes:
    """1 minus the Procrustes disparity of features whose Gram matrices are the RSMs: a function of torchmetrics.

    Negative eigenvalues, which RSMs with matching may have, count as 0.
    """

    name: ClassVar[str] = "Procrustes, torchmetrics"
    larger_is_more_similar: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (0, 1)
    least_inputs: ClassVar[int] = 3
    is_symmetric: ClassVar[bool] = True

    def __call__(self, a: Matrix, b: Matrix) -> float:
        """Compare two RSMs."""
        import torch
        from torchmetrics.functional.shape import procrustes_disparity

        first, second = (torch.from_numpy(features_of(matrix)[None]) for matrix in (a, b))
        return 1 - float(procrustes_disparity(first, second))


def features_of(matrix: Matrix) -> Matrix:
    """Return features with the matrix as their Gram matrix, up to its negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    features: Matrix = vectors * np.sqrt(np.maximum(values, 0))
    return features


def linear_cka(x: Any, y: Any) -> float:
    """Return linear CKA of two (N, D) arrays of features, in NumPy: an independent check.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(10, 3))
    >>> round(linear_cka(features, -2 * features), 9)
    1.0
    """
    first, second = (np.asarray(side, np.float64) - np.mean(side, axis=0) for side in (x, y))
    cross, own = np.linalg.norm(first.T @ second), (np.linalg.norm(side.T @ side) for side in (first, second))
    return float(cross**2 / np.prod(list(own)))
