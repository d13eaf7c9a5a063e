# SPDX-License-Identifier: Apache-2.0
"""Search: the k inputs of a gallery that are most similar to each query, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import __version__
from simplugins._common import arrays
from simplugins._common.progress import compilation_shown
from simplugins._common.threads import check_threads, in_threads
from simplugins._common.validation import check_count
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.activations.preparation import Center, Normalize, Preparation
from simplugins.compute.affinities import ROUNDING, matched_values
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, upper_bounds
from simplugins.evaluation.searching.candidates import Best, Gallery, Score
from simplugins.evaluation.searching.device_search import find_on_device, searching_engine
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import matcher_options
from simplugins.measures.computation import read_inputs
from simplugins.measures.measure import Measure, Options, resolve_measure
from simplugins.measures.semantic import MatchedPairs, SemanticMeasure
from simplugins.rsm import kernels

_QUERIES = 16
"""Queries bounded against the whole gallery at a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours:
    """The inputs of a gallery most similar to each query, and the cost of finding them.

    `simplugins.evaluation.retrieval` evaluates them by their labels.

    Attributes
    ----------
    indices : (Q, k) int64 array
        Gallery inputs, most similar first, ties by index.
    similarities : (Q, k) float64 array
        Their similarities to the query.
    labels, other_labels : (Q,) and (G,) arrays of str or int64, or None
        Labels of the queries and of the gallery, as for `simplugins.RSM`.
    shape : (int, int)
        Numbers of queries and gallery inputs: the shape of the RSM.
    symmetric : bool
        Whether the queries are the gallery, so that no input finds itself.
    formed, solved : int
        Numbers of pairs whose affinities were computed, and that were matched. If the queries are the gallery, two
        inputs that are examined at the same time, or whose matching depends on their order, count twice.
    metadata : mapping
        "measure", "kernel", "matching", "matching_options", "sigma", "engine", "dtype", "center", "normalize",
        "simplugins" (the version).
    """

    indices: NDArray[np.int64]
    similarities: NDArray[np.float64]
    labels: NDArray[Any] | None
    other_labels: NDArray[Any] | None
    shape: tuple[int, int]
    symmetric: bool
    formed: int
    solved: int
    metadata: Mapping[str, Any]

    @property
    def k(self) -> int:
        """Number of neighbours per query."""
        return int(self.indices.shape[1])

    @property
    def pairs(self) -> int:
        """Number of pairs in the RSM: ``N (N - 1) / 2`` if the queries are the gallery, else ``Q G``."""
        queries, gallery = self.shape
        return queries * (queries - 1) // 2 if self.symmetric else queries * gallery

    @property
    def share_formed(self) -> float:
        """Share of the pairs whose affinities were computed."""
        return self.formed / self.pairs

    @property
    def share_solved(self) -> float:
        """Share of the pairs that were matched."""
        return self.solved / self.pairs

    def __repr__(self) -> str:
        return (
            f"Neighbours under {self.metadata['measure']}: {self.k} for each of {self.shape[0]} queries; "
            f"{self.share_solved:.1%} of {self.pairs} pairs matched, {self.share_formed:.1%} of affinities computed"
        )


def search(
    activations: Any,
    *,
    other: Any = None,
    k: int = 10,
    measure: Any = "semantic-cosine",
    layout: str = "auto",
    mask: Any = None,
    other_mask: Any = None,
    labels: Any = None,
    other_labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    center: Center | None = None,
    normalize: Normalize | None = None,
    matching: str | Matcher | None = None,
    matching_options: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    engine: str = "cpu",
    threads: int | None = None,
    progress: bool | str = False,
) -> Neighbours:
    """Find the k inputs of a gallery that are most similar to each query, without matching all pairs.

    The result equals that of ranking the rows of the RSM, but pairs that cannot be among the best are never matched.
    For each pair, the norms of the centred concept vectors give a first upper bound, at the cost of one matrix product.
    The affinities of the most promising pairs give a tighter one, and only pairs that it does not exclude are matched.

    Parameters
    ----------
    activations : array, path, list of arrays, or Activations
        Responses to Q queries; see `simplugins.compute_rsm`.
    other : as activations, optional
        The gallery: G inputs with equal channels. By default the queries themselves, where no input finds itself.
    k : int, default 10
        Number of neighbours per query.
    measure : str or measure, default "semantic-cosine"
        A semantic measure: "semantic-linear", "semantic-cosine" or "semantic-rbf". Others have no bounds; rank their
        RSM with `simplugins.evaluation.retrieval`.
    layout, mask, other_mask, labels, other_labels, drop_tokens, dtype, center
        As for `simplugins.compute_rsm`.
    normalize : {None, "position"}, default None
        As for `simplugins.compute_rsm`; there are no bounds on similarities with "matched" or "mass".
    matching, matching_options
        As for `simplugins.compute_rsm`. Approximate matchings are bounded by the optimum as well; each candidate is
        matched to the query, which may differ from matching the query to the candidate.
    sigma : float, optional
        Bandwidth of the RBF kernel, required for "semantic-rbf": the median would need all pairs. The order does not
        depend on it.
    engine : {"cpu", "cuda", "auto"}, default "cpu"
        As for `simplugins.compute_rsm`. "cuda" has only run on an emulated GPU so far.
    threads : int, optional
        CPU threads; by default one per core that this process may use.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    Neighbours

    Raises
    ------
    TypeError, ValueError
        As for `simplugins.compute_rsm`; also if the gallery has fewer than k inputs to find, the measure has no bounds,
        or sigma is missing or does not apply.

    Notes
    -----
    Memory: all concept vectors of both sets, converted; per input, 8 bytes per channel and 16 per position; and per
    thread, less than 1 kB per gallery input. The share of excluded pairs depends on the data: it is
    large if similar inputs stand out. Similarities equal those of `simplugins.compute_rsm` up to the rounding of its
    type; inputs whose similarities differ by no more may swap places.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> neighbours = simplugins.search(photos["block15"], k=3)
    >>> photos["photo"][neighbours.indices[0]]  # crops of the same photograph
    array([0, 0, 0])
    """
    check_count("k", k)
    count = check_threads(threads)
    preparation = _preparation(center, normalize)
    resolved, matcher = _bounded(resolve_measure(measure), matching, matching_options)
    _check_sigma(resolved, sigma)
    engine = searching_engine(engine, matcher)
    x, gallery = read_inputs(activations, other, layout, (mask, other_mask), (labels, other_labels), drop_tokens, dtype)
    x, gallery = preparation.apply(x, gallery)
    symmetric = gallery is None
    y = x if gallery is None else gallery
    MatchedPairs(matcher).check(x, y)
    if k > (most := len(y) - symmetric):
        raise ValueError(f"k must be at most {most}, the number of inputs to find for each query, got {k}")
    run = _Search(x, y, symmetric=symmetric, matcher=matcher, kernel=resolved.kernel, k=k)
    run.run(engine, count, progress)
    return Neighbours(
        indices=run.indices,
        similarities=run.similarities(sigma),
        labels=x.labels,
        other_labels=None if symmetric else y.labels,
        shape=(len(x), len(y)),
        symmetric=symmetric,
        formed=int(run.formed.sum()),
        solved=int(run.solved.sum()),
        metadata={
            "measure": resolved.name,
            "kernel": resolved.kernel,
            "matching": matcher.name,
            "matching_options": matcher_options(matcher),
            "sigma": sigma,
            "engine": engine,
            "dtype": str(run.dtype),
            **({"dtype_reason": "large common mean"} if x.widened or y.widened else {}),
            **x.prepared,
            "simplugins": __version__,
        },
    )


def _bounded(
    measure: Measure, matching: str | Matcher | None, matching_options: Mapping[str, Any] | None
) -> tuple[SemanticMeasure, Matcher]:
    """Return a measure that has bounds, and its matcher."""
    if not isinstance(measure, SemanticMeasure) or measure.matcher.positionwise:
        raise ValueError(
            f"search needs upper bounds on similarities, which only the semantic measures have, and measure "
            f"{measure.name!r} is not one of them; rank its RSM with simplugins.evaluation.retrieval instead"
        )
    operation = measure.operation(Options(matching, matching_options, engine="cpu"))
    assert isinstance(operation, MatchedPairs)
    if operation.matcher.partial:
        raise ValueError(
            f"search bounds similarities by matchings of all positions, but matching {operation.matcher.name!r} is "
            f"partial; rank its RSM with simplugins.evaluation.retrieval instead"
        )
    return measure, operation.matcher


def _preparation(center: Center | None, normalize: Normalize | None) -> Preparation:
    """Return the preparation of the concept vectors, after checking that there are bounds with it."""
    preparation = Preparation.checked(center, normalize)
    if preparation.of_sets is not None:
        raise ValueError(
            f"search has no upper bounds on similarities with normalize={preparation.of_sets!r}; rank the RSM of "
            f"simplugins.compute_rsm with simplugins.evaluation.retrieval instead"
        )
    return preparation


def _check_sigma(measure: SemanticMeasure, sigma: float | None) -> None:
    if measure.kernel == "rbf":
        if sigma is None or isinstance(sigma, str):
            raise ValueError(
                f"sigma: measure {measure.name!r} needs a number, such as 1.0, since the median would need all pairs; "
                f"got {sigma!r} (the order of the neighbours does not depend on it)"
            )
        kernels.check_sigma(sigma)
    elif sigma is not None:
        raise ValueError(f"sigma={sigma!r} applies to an RBF kernel, not to measure {measure.name!r}")


@dataclass(frozen=True)
class _Queries:
    """A run of queries: a task for a thread."""

    start: int
    stop: int
    gallery: int

    @property
    def pairs(self) -> int:
        """Number of pairs of inputs."""
        return (self.stop - self.start) * self.gallery


class _Search:
    """One search: its inputs, and its results, which threads fill in."""

    def __init__(
        self, x: Activations, y: Activations, *, symmetric: bool, matcher: Matcher, kernel: str, k: int
    ) -> None:
        self.x, self.y, self.symmetric, self.matcher, self.kernel, self.k = x, y, symmetric, matcher, kernel, k
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.rounding = ROUNDING[self.dtype]
        self.x_block = _whole(x, self.dtype, matcher)
        self.y_block = self.x_block if symmetric else _whole(y, self.dtype, matcher)
        width = int(max(x.positions.max(), y.positions.max()))
        self.x_summary = Summary.from_block(self.x_block, width)
        self.y_summary = self.x_summary if symmetric else Summary.from_block(self.y_block, width)
        self.gallery = Gallery(self.y_block, self.y_summary, matcher)
        self.known: list[list[tuple[int, float]]] | None = None
        if symmetric and matcher.symmetric:  # then a product computed for one query also serves the other
            self.known = [[] for _ in range(len(x))]
        self.indices = np.empty((len(x), k), np.int64)
        self.products = np.empty((len(x), k))
        self.formed, self.solved = np.zeros((2, len(x)), np.int64)

    def run(self, engine: str, threads: int, progress: bool | str) -> None:
        """Find the neighbours of all queries."""
        if engine == "cuda":
            self.work_on_device(progress)
            return
        with compilation_shown(progress):
            self.compile()
        pairs = len(self.x) * len(self.y)
        in_threads(self.work, self.tasks(), pairs=pairs, threads=threads, progress=progress, title="searching")

    def compile(self) -> None:
        """Compile the loops in the caller's thread, where Ctrl-C can stop it."""
        affinity, offsets = np.ones((1, 1), self.dtype), np.array([0, 1])
        matched_values(self.matcher, affinity, offsets)
        bounds_of_affinities(affinity, offsets, np.zeros((1, 1)))

    def tasks(self) -> list[_Queries]:
        """Cut the queries into runs that are bounded together."""
        count = len(self.x)
        return [_Queries(i, min(i + _QUERIES, count), len(self.y)) for i in range(0, count, _QUERIES)]

    def work(self, task: _Queries) -> None:
        """Find the neighbours of some queries."""
        bounds = upper_bounds(self.x_summary.rows(task.start, task.stop), self.y_summary)
        for i in range(task.start, task.stop):
            self._find(i, bounds[i - task.start])

    def work_on_device(self, progress: bool | str) -> None:
        """Find the neighbours of all queries on a GPU."""
        summaries = self.y_summary, self.x_summary
        found = find_on_device(self.y, self.x, self.matcher, summaries, self.kernel, self.k, progress)
        self.indices[:], self.products[:] = found.numbers, found.products
        self.formed[0], self.solved[0] = found.formed, found.solved

    def _find(self, i: int, bounds: NDArray[np.float64]) -> None:
        score, candidates = self._score(i), np.arange(len(self.y))
        lengths = np.sqrt(self.x_summary.squares[i]) * np.sqrt(self.y_summary.squares)
        reachable = score(bounds + 2 * self.rounding * lengths, candidates)
        best = Best(self.k)
        done = self._recall(i, score, best)
        candidates, reachable = np.delete(candidates, done), np.delete(reachable, done)
        order = np.argsort(-reachable, kind="stable")
        query = self.x_block.vectors[self.x_block.offsets[i] : self.x_block.offsets[i + 1]]
        self.gallery.find(query, candidates[order], reachable[order], score, best)
        self._remember(i, best)
        self.indices[i], self.products[i] = best.numbers, best.products
        self.formed[i], self.solved[i] = best.formed, sum(len(numbers) for numbers, _ in best.solved)

    def _recall(self, i: int, score: Score, best: Best) -> NDArray[np.int64]:
        """Add products that other queries found with this one; return the candidates that are done."""
        known: list[tuple[int, float]] = []
        if self.known is not None:
            known, self.known[i] = self.known[i], []
        numbers = np.array([number for number, _ in known], np.int64)
        products = np.array([product for _, product in known])
        best.add(numbers, products, score(products, numbers))
        return np.append(numbers, i) if self.symmetric else numbers

    def _remember(self, i: int, best: Best) -> None:
        """Record the products of this query with later ones."""
        if self.known is None:
            return
        for numbers, products in best.solved:
            later = numbers > i
            for number, product in zip(numbers[later].tolist(), products[later].tolist(), strict=True):
                self.known[number].append((i, product))

    def _score(self, i: int) -> Score:
        """Return the function from aligned inner products with query i to scores in the order of the kernel."""
        norm = self.x.squared_norms[i : i + 1]

        def score(products: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
            scaled = np.ldexp(products, self.x.exponents[i] + self.y.exponents[numbers])[None]
            norms = self.y.squared_norms[numbers]
            if self.kernel == "cosine":
                scaled = kernels.cosine(scaled, norm, norms)
            elif self.kernel == "rbf":
                scaled = -kernels.squared_distances(scaled, norm, norms, rounding=self.rounding)
            return np.asarray(scaled[0])

        return score

    def similarities(self, sigma: float | None) -> NDArray[np.float64]:
        """Return the similarities of the neighbours."""
        scores: NDArray[np.float64] = np.empty_like(self.products)
        for i, products in enumerate(self.products):
            scores[i] = self._score(i)(products, self.indices[i])
        if sigma is None:
            return scores
        norms = self.x.squared_norms[:, None], self.y.squared_norms[self.indices]
        kernels.warn_of_unresolved(-scores, sigma, *norms, rounding=self.rounding)
        return kernels.rbf(-scores, sigma)


def _whole(activations: Activations, dtype: np.dtype[np.floating], matcher: Matcher) -> Block:
    """Return all inputs as one converted block, with positions in the order that the matcher needs."""
    block = activations.block(0, len(activations))
    ordered = block.by_norm()[0] if matcher.by_norm else block
    return Block(arrays.to_numpy(ordered.vectors, dtype), block.offsets)
