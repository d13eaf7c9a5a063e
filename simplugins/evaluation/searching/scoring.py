# SPDX-License-Identifier: Apache-2.0
"""Scores that order the candidates of a query, and similarities, from aligned inner products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.affinities import ROUNDING
from simplugins.rsm import kernels

Score = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""From aligned inner products of a query with candidates, and the candidates' numbers, to scores: larger is better."""


@dataclass(frozen=True)
class Scoring:
    """How candidates are ordered.

    Attributes
    ----------
    queries, gallery : Activations
    kernel : {"linear", "cosine", "rbf"}
    itself : bool
        Whether the queries are the gallery, so that an input must not find itself.
    """

    queries: Activations
    gallery: Activations
    kernel: str
    itself: bool

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The type of affinities."""
        return np.result_type(self.queries.dtype, self.gallery.dtype)

    @property
    def rounding(self) -> float:
        """Bound on the relative rounding error of aligned inner products."""
        return ROUNDING[self.dtype]

    def of(self, i: int) -> Score:
        """Return the function from aligned inner products with query i to scores in the order of the kernel."""
        norm = self.queries.squared_norms[i : i + 1]

        def score(products: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
            scaled = np.ldexp(products, self.queries.exponents[i] + self.gallery.exponents[numbers])[None]
            norms = self.gallery.squared_norms[numbers]
            if self.kernel == "cosine":
                scaled = kernels.cosine(scaled, norm, norms)
            elif self.kernel == "rbf":
                scaled = -kernels.squared_distances(scaled, norm, norms, rounding=self.rounding)
            return np.asarray(scaled[0])

        return score

    def similarities(
        self, products: NDArray[np.float64], numbers: NDArray[np.int64], sigma: float | None
    ) -> NDArray[np.float64]:
        """Return the similarities of all queries to their neighbours, from (Q, k) products and numbers."""
        scores: NDArray[np.float64] = np.empty_like(products)
        for i, of_query in enumerate(products):
            scores[i] = self.of(i)(of_query, numbers[i])
        if sigma is None:
            return scores
        norms = self.queries.squared_norms[:, None], self.gallery.squared_norms[numbers]
        kernels.warn_of_unresolved(-scores, sigma, *norms, rounding=self.rounding)
        return kernels.rbf(-scores, sigma)
