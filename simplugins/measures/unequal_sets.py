# SPDX-License-Identifier: Apache-2.0
"""Semantic and spatio-semantic measures of sets of unequal size that do not depend on the sizes: "matched" and "mass".

"matched" is the cosine with the norms of the matched positions only: the unmatched positions of the larger set do not
count at all. "mass" lets each set weigh 1, distributed evenly over its positions, and replaces the matching by the
optimal transport between the two: all positions count. Both equal the plain measure where sizes are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Normalisation
from simplugins.compute.engines import check_precision
from simplugins.compute.job import TileResult
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.measures.measure import Measure, Options, Similarities
from simplugins.measures.semantic import MatchedPairs, SemanticMeasure
from simplugins.rsm.kernels import Sigma


@dataclass(frozen=True)
class MatchedCosines(MatchedPairs):
    """Match the positions of each pair; the values are cosines with the norms of matched positions, on the CPU."""

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the cosines of all pairs."""
        from simplugins.compute.engines.cpu_unequal_sets import matched_cosines

        if self.precision is not None:
            check_precision(self.precision, "cpu", x, x if y is None else y)
        return matched_cosines(x, y, self.matcher, threads=threads, certify=self.certify, progress=progress)

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, all of which are computed, and of the working memory."""
        whole = self if self.matcher.positionwise else MatchedPairs(self.matcher, certify=True)
        return MatchedPairs.pair_bytes(whole, x, y)

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {**super().describe(), "normalize": "matched"}


@dataclass(frozen=True)
class TransportedPairs(MatchedPairs):
    """Transport the positions of each pair, all of equal mass; the values are those of optimal plans, on the CPU."""

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the values of all pairs."""
        from simplugins.compute.engines.cpu_unequal_sets import transported_products

        if self.precision is not None:
            check_precision(self.precision, "cpu", x, x if y is None else y)
        return transported_products(x, y, threads=threads, certify=self.certify, progress=progress)

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {**super().describe(), "normalize": "mass"}


@dataclass(frozen=True)
class NormalizedMeasure(Measure):
    """A measure of ours with a normalisation of sets of unequal size.

    Attributes
    ----------
    plain : SemanticMeasure
    normalize : {"matched", "mass"}
    """

    plain: SemanticMeasure
    normalize: Normalisation
    symmetric: bool = field(default=True, init=False, repr=False)
    pairwise: bool = field(default=True, init=False, repr=False)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the plain measure."""
        return self.plain.name

    @property
    def kernel(self) -> str:  # type: ignore[override]
        """The kernel of the plain measure."""
        return self.plain.kernel

    @property
    def positive_semidefinite(self) -> bool:  # type: ignore[override]
        """Whether all RSMs are positive semi-definite, as for the plain measure."""
        return self.plain.positive_semidefinite

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations, as for the plain measure, which it equals for equal sizes."""
        return self.plain.effects

    def effects_with(self, matcher: Matcher | None, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a matcher and a bandwidth."""
        return self.plain.effects_with(matcher, sigma)

    def operation(self, options: Options) -> MatchedPairs:
        """Return the operation on pairs of inputs.

        Raises
        ------
        TypeError, ValueError
            As for the plain measure; or if a GPU is required, or a matching other than the optimal one for "mass".
        """
        plain = self.plain.operation(options)
        if self.normalize == "mass" and plain.matcher.positionwise:
            return plain
        if options.engine.startswith("cuda"):
            raise ValueError(f"normalize={self.normalize!r} is computed on the CPU only: pass engine='cpu'")
        if self.normalize == "matched":
            return MatchedCosines(plain.matcher, plain.certify, "cpu", plain.precision)
        if type(plain.matcher) is not Optimal:
            raise ValueError(
                f"normalize='mass' is the optimal transport of positions, so it takes no matching but 'optimal', got "
                f"{plain.matcher.name!r}"
            )
        return TransportedPairs(plain.matcher, plain.certify, "cpu", plain.precision)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel, unless the values are cosines already."""
        if self.normalize == "matched":
            return Similarities(result.values, self.kernel)
        return self.plain.similarities(result, x, y, sigma)


def normalized(measure: SemanticMeasure, normalize: Normalisation) -> NormalizedMeasure:
    """Return a measure with a normalisation of sets of unequal size.

    Raises
    ------
    ValueError
        If it is "matched", and the kernel is not the cosine.
    """
    if normalize == "matched" and measure.kernel != "cosine":
        name = measure.name.removesuffix(measure.kernel) + "cosine"
        raise ValueError(
            f"normalize='matched' replaces the norms of a cosine, which measure {measure.name!r} does not have: use "
            f"{name!r}, or normalize='mass'"
        )
    return NormalizedMeasure(measure, normalize)
