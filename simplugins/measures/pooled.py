# SPDX-License-Identifier: Apache-2.0
"""Pooled measures: a kernel on inner products of explicit features, one vector per input.

They ignore the order of positions, as semantic measures do, and cost no more than a matrix product: the controls that
show what matching adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common.threads import check_threads
from simplugins._common.validation import error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.mapped import mapped
from simplugins.activations.pooling import MaxPooling, MeanPooling, Pooling, SecondMoments, with_moment_norms
from simplugins.compute.engines import check_engine, choose_engine
from simplugins.compute.job import Job, Operation, Sides, TileResult, check_channels
from simplugins.compute.memory import CACHE_BYTES
from simplugins.compute.run import Resources
from simplugins.matching.identity import Identity
from simplugins.matching.matcher import Matcher
from simplugins.measures.measure import Measure, Options, Similarities, refuse_options
from simplugins.measures.semantic import MatchedPairs, SemanticMeasure
from simplugins.rsm.kernels import Sigma


@dataclass(frozen=True)
class PooledPairs(MatchedPairs):
    """Multiply the features of each pair; the values are their inner products.

    Attributes
    ----------
    pooling : Pooling
        What the inputs of the job are the features of.
    """

    matcher: Matcher = field(default_factory=Identity)
    pooling: Pooling = field(default_factory=MeanPooling)

    def check(self, x: Activations, y: Activations) -> None:
        """Raise a ValueError if channels differ."""
        check_channels(x, y)

    def describe(self) -> dict[str, Any]:
        """Return everything that the values depend on except the activations."""
        return {"pooling": self.pooling.name, "matching": None, "matching_options": {}, "certify": False}


@dataclass(frozen=True)
class SquaredAffinities(PooledPairs):
    """Sum the squared affinities of each pair: inner products of second moments that are not formed.

    The inputs of the job are the concept vectors themselves, in float64.
    """

    def compute(
        self, x: Activations, y: Activations | None, *, threads: int | None, progress: bool | str = False
    ) -> TileResult:
        """Compute the sums of all pairs.

        Raises
        ------
        ValueError
            If the engine cannot be used here.
        """
        if self.engine != "auto":
            check_engine(self.engine)
        if choose_engine(self.engine, self.matcher) == "cpu":
            from simplugins.compute.engines.squared_affinities import summed_squares

            return summed_squares(x, y, threads=threads, progress=progress)
        from simplugins.compute.engines.cuda.cupy_device import CupyDevice
        from simplugins.compute.engines.cuda.squares_engine import summed_squares as summed_on_gpu

        device = CupyDevice(x.gpu if x.gpu is not None or y is None else y.gpu)
        return summed_on_gpu(x, y, device=device, keep=True, progress=progress)

    def pair_bytes(self, x: Activations, y: Activations) -> tuple[int, int]:
        """Return the bytes of the largest pair's affinities, and of their sums."""
        return 8 * int(x.positions.max()) * int(y.positions.max()), 0


@dataclass(frozen=True)
class PooledMeasure(Measure):
    """A kernel on inner products of features, one vector per input.

    Attributes
    ----------
    name : str
    kernel : {"linear", "cosine", "rbf"}
    pooling : Pooling
        Computes the features: the mean of an input's concept vectors, the maximum of each channel, or the second
        moments ``sum_s x_s x_s^T``.

    Notes
    -----
    Features are computed in float64, in O(S C) per input, those of second moments in O(S C^2); then each pair costs one
    inner product of their length, C or C (C + 1) / 2.

    References
    ----------
    Second moments of features are known as bilinear pooling (Lin et al., ICCV 2015, arXiv:1504.07889).

    Examples
    --------
    >>> import numpy as np
    >>> import simplugins
    >>> maps = np.random.default_rng(0).normal(size=(4, 8, 5, 5))
    >>> rsm = simplugins.compute_rsm(maps, "mean-pooled-cosine")
    >>> means = maps.mean((2, 3))
    >>> means /= np.linalg.norm(means, axis=1, keepdims=True)
    >>> np.allclose(rsm, means @ means.T)
    True
    >>> second_order_linear.features(maps).shape
    (4, 36)
    """

    name: str
    kernel: str
    pooling: Pooling
    symmetric: bool = field(default=True, init=False, repr=False)
    pairwise: bool = field(default=True, init=False, repr=False)
    positive_semidefinite: bool = field(default=True, init=False, repr=False)

    def __call__(self, x: Activations, y: Activations | None = None) -> NDArray[np.float64]:
        """Return the similarities of all inputs of x to those of y, or of x itself, as an (N, M) float64 array."""
        job = self.job(x, y, self.operation(Options()))
        return self.similarities(job.compute(threads=None), *job.measured, "median").values

    def features(self, activations: Any) -> NDArray[np.float64]:
        """Return the (N, D) features of N inputs, whose inner products the linear kernel returns.

        Parameters
        ----------
        activations : array, list of arrays, or Activations
            As for `Activations.from_array`, which takes masks and layouts.

        Returns
        -------
        (N, D) float64 array
            D is the number of channels C, or C (C + 1) / 2 for second moments: the upper triangle row by row, with
            entries off the diagonal multiplied by the root of two.

        Raises
        ------
        TypeError, ValueError
            As for `Activations.from_array`.
        """
        return (
            _pooled(Activations.from_array(activations), self.pooling, None)
            .array()[:, 0]
            .astype(np.float64, copy=False)
        )

    def operation(self, options: Options) -> PooledPairs:
        """Return the product of all pairs of features.

        Raises
        ------
        ValueError
            If an option of matchings is set, or a precision.
        """
        refuse_options(
            self.name,
            options,
            *("matching", "matching_options", "certify", "precision"),
            reason="multiplies pooled features in float64, without a matching",
        )
        return PooledPairs(engine=options.engine, pooling=self.pooling)

    def job(
        self, x: Activations, y: Activations | None, operation: Operation, resources: Resources | None = None
    ) -> Job:
        """Return the job of the features of some inputs.

        Raises
        ------
        ValueError
            If channels differ.
        """
        columns = x if y is None else y
        check_channels(x, columns)

        def both(prepare: Callable[[Activations], Activations]) -> Sides:
            return prepare(x), None if y is None else prepare(y)

        with error_prefix(f"{self.pooling.name} features"):
            if self._needs_no_features(x, columns):
                squares = SquaredAffinities(engine=getattr(operation, "engine", "auto"), pooling=self.pooling)
                return Job(*both(_wide), squares, source=(x, y), normed=both(with_moment_norms))
            return Job(*both(lambda side: _pooled(side, self.pooling, resources)), operation, source=(x, y))

    def _needs_no_features(self, x: Activations, y: Activations) -> bool:
        """Whether the squared affinities of a pair cost less than an inner product of features."""
        affinities = float(x.positions.mean() * y.positions.mean()) * x.channels
        return isinstance(self.pooling, SecondMoments) and affinities < self.pooling.features(x.channels)

    @property
    def effects(self) -> Mapping[str, str]:  # type: ignore[override]
        """Effects of changes of the activations on the RSM; see `Measure`."""
        return self.effects_with(None, "median")

    def effects_with(self, matcher: Matcher | None, sigma: Sigma) -> Mapping[str, str]:
        """Return the effects under a bandwidth."""
        effects = dict(self._positionwise.effects_with(None, sigma), positions="none")
        if isinstance(self.pooling, SecondMoments):
            effects["translation"] = "other"
        if isinstance(self.pooling, MaxPooling):
            effects |= {"rotation": "other", "channels": "none"}
        return effects

    def similarities(self, result: TileResult, x: Activations, y: Activations | None, sigma: Sigma) -> Similarities:
        """Apply the kernel to inner products of features."""
        return self._positionwise.similarities(result, x, y, sigma)

    @property
    def _positionwise(self) -> SemanticMeasure:
        """The measure of which this one is the special case of features as single positions."""
        return SemanticMeasure(self.name, self.kernel, Identity())


def _pooled(activations: Activations, pooling: Pooling, resources: Resources | None) -> Activations:
    """Return features as activations, each input a single vector."""
    limited = resources is not None and (resources.memory is not None or resources.scheduler is not None)
    return mapped(
        activations,
        pooling,
        channels=pooling.features(activations.channels),
        positions=np.ones(len(activations), np.int64),
        dtype=np.float64,
        threads=check_threads(None if resources is None else resources.threads),
        **({} if limited else {"held_bytes": CACHE_BYTES}),
    )


def _wide(activations: Activations) -> Activations:
    """Return activations whose blocks are of float64."""
    return replace(activations, dtype=np.dtype(np.float64))


mean_pooled_linear = PooledMeasure("mean-pooled-linear", "linear", MeanPooling())
mean_pooled_cosine = PooledMeasure("mean-pooled-cosine", "cosine", MeanPooling())
mean_pooled_rbf = PooledMeasure("mean-pooled-rbf", "rbf", MeanPooling())
max_pooled_linear = PooledMeasure("max-pooled-linear", "linear", MaxPooling())
max_pooled_cosine = PooledMeasure("max-pooled-cosine", "cosine", MaxPooling())
max_pooled_rbf = PooledMeasure("max-pooled-rbf", "rbf", MaxPooling())
second_order_linear = PooledMeasure("second-order-linear", "linear", SecondMoments())
second_order_cosine = PooledMeasure("second-order-cosine", "cosine", SecondMoments())
second_order_rbf = PooledMeasure("second-order-rbf", "rbf", SecondMoments())
