# SPDX-License-Identifier: Apache-2.0
"""thingsvision's CKA, with RSMs as its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from thingsvision.core.cka.cka_numpy import CKANumPy

from simplugins import NetworkSimilarity
from simplugins_adapters.dissimilarities import gram
from simplugins_adapters.similarities import network_rsm


class SemanticCKA(CKANumPy):
    """CKA of RSMs, which are computed once per comparison; see `simplugins_adapters.thingsvision.to_cka`."""

    def __init__(self, similarity: NetworkSimilarity, *, unbiased: bool, layout: str, m: int | None) -> None:
        super().__init__(m=m, kernel=similarity.measure, unbiased=unbiased, sigma=None)
        self.similarity = similarity
        self.layout = layout

    def apply_kernel(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """Return the RSM of features, or a copy of an RSM, because thingsvision centres kernels in place."""
        return gram(network_rsm(self.similarity, X, self.layout), "thingsvision")

    def compare(self, X: Any, Y: Any) -> float:  # noqa: N803
        """Return the CKA of two layers' features, or RSMs, of the same inputs.

        Raises
        ------
        ValueError
            If numbers of inputs or their labels differ, or there are too few.
        """
        one, other = (network_rsm(self.similarity, responses, self.layout) for responses in (X, Y))
        expected = len(one) if self.m is None else self.m
        if (len(one), len(other)) != (expected, expected):
            raise ValueError(f"expected {expected} inputs in X and in Y, got {len(one)} and {len(other)}")
        if one.labels is not None and other.labels is not None and other.in_order(one.labels) is not other:
            raise ValueError("labels of X and Y are the same in another order: reorder Y, as rsm.in_order does")
        least = 4 if self.unbiased else 2
        if expected < least:
            raise ValueError(f"CKA needs at least {least} inputs here, got {expected}")
        return float(super().compare(one, other))
