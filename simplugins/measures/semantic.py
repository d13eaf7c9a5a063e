# SPDX-License-Identifier: Apache-2.0
"""Semantic and spatio-semantic measures: a kernel on aligned inner products, and the matching that aligns them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import gpu
from simplugins.activations.activations import Activations
from simplugins.activations.preparation import Normalisation
from simplugins.compute.engines import check_engine, check_precision, choose_engine
from simplugins.compute.job import Job, Operation, TileResult, check_pair
from simplugins.compute.memory import SOLVER_BYTES
from simplugins.compute.run import Resources
from simplugins.matching.auction import Auction
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import matcher_options, resolve_matcher
from simplugins.matching.optimal import Optimal
from simplugins.measures.measure import Measure, Options, Similarities
from simplugins.rsm import kernels
from simplugins.rsm.kernels import Sigma

EFFECT_OF_SCALING = {"linear": "scaling", "cosine": "none", "rbf": "none"}
EFFECT_OF_TRANSLATION = {"linear": "translation", "cosine": "other", "rbf": "none"}


@dataclass(frozen=True)
class MatchedPairs:
    """Match the positions of each pair; the values are aligned inner products.

    Attributes
    ----------
    matcher : Matcher
    certify : bool
    engine : {"auto", "cpu", "cuda", "cuda:all"}
        "auto" is resolved on the machine that computes a tile.
    precision : {"float32", "float16x3"} or None
        Precision of the affinities of float32 activations, on a GPU.
    """

    matcher: Matcher
    certify: bool = False
    engine: str = "auto"
    precision: str | None = None
    symmetric = True

    @property
    def resolved_engine(self) -> str:
        """The engine that computes on this machine, "cpu", "cuda" or "cuda:all"."""
        return "cpu" if self.engine == "auto" and gpu.why_unusable() else choose_engine(self.engine, self.matcher)

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if inputs of the two sets cannot be matched."""
        check_pair(x, y, self.matcher)

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the aligned inner products of all pairs.

        Raises
        ------
        ValueError
            If the engine or precision cannot be used here.
        """
        if self.engine != "auto":
            check_engine(self.engine)
        engine = self.resolved_engine
        if self.precision is not None:
            check_precision(self.precision, engine, x, x if y is None else y)
        if engine == "cpu":
            from simplugins.compute.engines import cpu

            result = cpu.aligned_products(x, y, self.matcher, threads=threads, certify=self.certify, progress=progress)
            if isinstance(self.matcher, Auction):
                _warn_of_tolerance(result, x, y, self.matcher.tolerance)
            return result
        options: Any = {"precision": self.precision, "certify": self.certify, "progress": progress}
        if engine == "cuda:all":
            from simplugins.compute.engines.cuda.cupy_device import all_devices
            from simplugins.compute.engines.cuda.several_devices import aligned_products_on_all

            return aligned_products_on_all(x, y, self.matcher, devices=all_devices(), **options)
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice
        from simplugins.compute.engines.cuda.engine import aligned_products

        device = CupyDevice(x.gpu if x.gpu is not None or y is None else y.gpu)
        return aligned_products(x, y, self.matcher, device=device, keep=True, **options)

    def warm_up(self) -> None:
        """Match a pair of single positions."""
        one = Activations.from_array(np.ones((1, 1, 1), np.float32))
        self.compute(one, one, threads=1)

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of the solver's working memory for it."""
        if self.matcher.positionwise and not self.certify:
            return 0, 0
        columns = int(y.positions.max())
        if self.matcher.window is not None and not self.certify:
            columns = min(columns, self.matcher.window)
        entries = int(x.positions.max()) * columns
        return entries * int(np.result_type(x.dtype, y.dtype).itemsize), entries * SOLVER_BYTES

    def copies(self, x: Activations, y: Activations) -> int:
        """Return how many copies of a block the engine makes: in another order, scaled, or of another type."""
        return 2 if self.matcher.by_norm or x.exponents.any() or y.exponents.any() or x.dtype != y.dtype else 0

    def check_tiles(self) -> None:
        """Accept any job: every pair is matched on its own."""

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {
            "matching": self.matcher.name,
            "matching_options": matcher_options(self.matcher) if vars(self.matcher) else {},
            "certify": self.certify,
        }


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
        """Whether all RSMs are positive semi-definite: only if each position is compared with the same position."""
        return self.matcher.positionwise

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return self.effects_with(None, "median")

    def effects_with(self, matcher: Matcher | None, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a matcher and a bandwidth; unknown ones are missing."""
        matcher = matcher or self.matcher
        effects = {"rotation": "none", "scaling": EFFECT_OF_SCALING[self.kernel], "linear": "other"}
        if not matcher.invariant_to_scaling or (self.kernel == "rbf" and sigma != "median"):
            effects["scaling"] = "other"
        if self.kernel == "cosine" or matcher.invariant_to_translation:
            effects["translation"] = EFFECT_OF_TRANSLATION[self.kernel]
        elif matcher.invariant_to_translation is False:
            effects["translation"] = "other"
        if matcher.positionwise or matcher.invariant_to_order:
            effects["positions"] = "other" if matcher.positionwise else "none"
        return effects

    def normalized(self, normalize: Normalisation) -> Measure:
        """Return the measure with a normalisation of sets of unequal size.

        Raises
        ------
        ValueError
            If it is "matched", and the kernel is not the cosine.
        """
        from simplugins.measures.unequal_sets import normalized

        return normalized(self, normalize)

    def operation(self, options: Options) -> MatchedPairs:
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

    def job(
        self, x: Activations, y: Activations | None, operation: Operation, resources: Resources | None = None
    ) -> Job:
        """Return the job of an operation on x and y as they are."""
        return Job(x, y, operation)

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel to aligned inner products."""
        return kernel_similarities(self.kernel, result, x, y, sigma)


def kernel_similarities(
    kernel: str, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma
) -> Similarities:
    """Apply a kernel to the aligned inner products of all inputs of x with those of y, or of x itself."""
    norms = x.squared_norms, (x if y is None else y).squared_norms
    if result.on_device:
        from simplugins.measures.device_similarities import device_similarities

        similarities = device_similarities(kernel, result, norms, sigma, symmetric=y is None)
        if similarities is not None:
            return similarities
    if kernel == "rbf":
        rule = "median" if sigma == "median" else "given"
        distances = kernels.squared_distances(result.values, *norms, rounding=result.rounding)
        if sigma == "median":
            bandwidth = kernels.median_sigma(distances, symmetric=y is None)
            kernels.warn_of_rounding(bandwidth, *norms, rounding=result.rounding)
        else:
            bandwidth = float(sigma)
            kernels.warn_of_unresolved(distances, bandwidth, *norms, rounding=result.rounding)
        return Similarities(kernels.rbf(distances, bandwidth), kernel, bandwidth, rule)
    values = kernels.similarities(kernel, result.values, *norms, rounding=result.rounding, sigma=None)
    return Similarities(values, kernel, None, None)


def _warn_of_tolerance(result: TileResult, x: Activations, y: Activations | None, tolerance: float) -> None:
    """Issue a RuntimeWarning if inputs differ so little that the tolerance of an auction may exceed their distances."""
    norms = x.squared_norms, (x if y is None else y).squared_norms
    distances = kernels.squared_distances(result.values, *norms, rounding=result.rounding)
    pairs = distances[np.tril_indices(len(distances), -1)] if y is None else distances.ravel()
    if pairs.size and np.median(pairs) < 4 * tolerance * np.median(np.concatenate(norms)) and pairs.any():
        warnings.warn(
            f"half of the pairs are so similar that the tolerance of the auction, {tolerance:g} of the aligned inner "
            f"product, may be half of their squared distance or more: use matching='optimal', a smaller tolerance, or "
            f"subtract from the inputs what they have in common, such as their mean",
            RuntimeWarning,
            stacklevel=2,
        )


semantic_linear = SemanticMeasure("semantic-linear", "linear", Optimal())
semantic_cosine = SemanticMeasure("semantic-cosine", "cosine", Optimal())
semantic_rbf = SemanticMeasure("semantic-rbf", "rbf", Optimal())
spatio_semantic_linear = SemanticMeasure("spatio-semantic-linear", "linear", Identity())
spatio_semantic_cosine = SemanticMeasure("spatio-semantic-cosine", "cosine", Identity())
spatio_semantic_rbf = SemanticMeasure("spatio-semantic-rbf", "rbf", Identity())
