# SPDX-License-Identifier: Apache-2.0
"""Semantic and spatio-semantic measures: a kernel on aligned inner products, and the matching that aligns them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins.activations.activations import Activations
from simplugins.compute.job import Job, Operation, TileResult
from simplugins.compute.operations import MatchedPairs
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.matching.optimal import Optimal
from simplugins.matching.options import resolve_matcher
from simplugins.measures.measure import Measure, Options, Similarities
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma

_EFFECT_OF_SCALING = {"linear": "scaling", "cosine": "none", "rbf": "none"}
_EFFECT_OF_TRANSLATION = {"linear": "translation", "cosine": "other", "rbf": "none"}


@dataclass(frozen=True)
class SemanticMeasure(Measure):
    """A kernel on aligned inner products, and a matching.

    Attributes
    ----------
    name : str
    kernel : {"linear", "cosine", "rbf"}
    matcher : Matcher
        The matching that it uses by default.

    Examples
    --------
    >>> import numpy as np
    >>> from simplugins import Activations
    >>> x = Activations.from_array(np.eye(2)[:, None, :])  # two inputs, one position each
    >>> semantic_cosine(x)
    array([[1., 0.],
           [0., 1.]])
    """

    name: str
    kernel: str
    matcher: Matcher
    symmetric: bool = field(default=True, init=False, repr=False)
    pairwise: bool = field(default=True, init=False, repr=False)

    def __call__(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the similarities of all inputs of x to those of y, or of x itself, as an (N, M) float64 array."""
        result = Job(x, y, self.operation(Options())).compute(threads=None)
        return self.similarities(result, x, y, "median").values

    @property
    def positive_semidefinite(self) -> bool:  # type: ignore[override]
        """Whether all RSMs are: only where position is compared with the same position."""
        return self.matcher.positionwise

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return self.effects_with(None, "median")

    def effects_with(self, matcher: Matcher | None, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a matcher and a bandwidth; unknown ones are missing."""
        matcher = matcher or self.matcher
        effects = {"rotation": "none", "scaling": _EFFECT_OF_SCALING[self.kernel], "linear": "other"}
        if self.kernel == "rbf" and sigma != "median":
            effects["scaling"] = "other"
        if self.kernel == "cosine" or matcher.invariant_to_translation:
            effects["translation"] = _EFFECT_OF_TRANSLATION[self.kernel]
        if matcher.positionwise or matcher.invariant_to_order:
            effects["positions"] = "other" if matcher.positionwise else "none"
        return effects

    def operation(self, options: Options) -> Operation:
        """Return the matching of all pairs.

        Raises
        ------
        TypeError
            If a matcher is unknown, or does not have an option.
        ValueError
            If the measure is spatio-semantic and the matcher is not the identity.
        """
        if options.matching is None and options.matching_options:
            matcher = resolve_matcher(self.matcher.name, options.matching_options)
        elif options.matching is None:
            matcher = self.matcher
        else:
            matcher = resolve_matcher(options.matching, options.matching_options)
        if self.matcher.positionwise and not matcher.positionwise:
            raise ValueError(
                f"measure {self.name!r} is spatio-semantic and compares position with the same position, so it takes "
                f"no matching but the identity, got {matcher.name!r}; use 'semantic-{self.kernel}'"
            )
        return MatchedPairs(matcher, options.certify, options.engine, options.precision)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel to aligned inner products."""
        norms = x.squared_norms, (x if y is None else y).squared_norms
        bandwidth, rule = None, None
        if self.kernel == "rbf":
            rule = "median" if sigma == "median" else "given"
            bandwidth = float(sigma) if sigma != "median" else _median(result, norms, symmetric=y is None)
        values = kernels.similarities(self.kernel, result.values, *norms, rounding=result.rounding, sigma=bandwidth)
        return Similarities(values, self.kernel, bandwidth, rule)


def _median(result: TileResult, norms: tuple[Any, Any], *, symmetric: bool) -> float:
    distances = kernels.squared_distances(result.values, *norms, rounding=result.rounding)
    return kernels.median_sigma(distances, symmetric=symmetric)


semantic_linear = SemanticMeasure("semantic-linear", "linear", Optimal())
semantic_cosine = SemanticMeasure("semantic-cosine", "cosine", Optimal())
semantic_rbf = SemanticMeasure("semantic-rbf", "rbf", Optimal())
spatio_semantic_linear = SemanticMeasure("spatio-semantic-linear", "linear", Identity())
spatio_semantic_cosine = SemanticMeasure("spatio-semantic-cosine", "cosine", Identity())
spatio_semantic_rbf = SemanticMeasure("spatio-semantic-rbf", "rbf", Identity())
