# SPDX-License-Identifier: Apache-2.0
"""Search: the k inputs of a gallery that are most similar to each query, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import __version__, plugins
from simplugins._common import arrays
from simplugins._common.threads import check_threads, in_threads
from simplugins._common.validation import check_count, error_prefix
from simplugins.activations.activations import Activations
from simplugins.activations.blocks import Block
from simplugins.activations.reading import read
from simplugins.compute.engines.cpu import ROUNDING, matched_values
from simplugins.compute.job import check_pair
from simplugins.evaluation.searching.bounds import Summary, bounds_of_affinities, upper_bounds
from simplugins.evaluation.searching.candidates import Best, Gallery, Score
from simplugins.matching.matcher import Matcher
from simplugins.matching.options import matcher_options, resolve_matcher
from simplugins.measures.measure import GROUP as MEASURES
from simplugins.measures.semantic import SemanticMeasure
from simplugins.rsm import kernels

QUERIES = 16
"""So many queries are bounded against the whole gallery at a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours:
    """The inputs of a gallery most similar to each query, and what it took to find them.

    Attributes
    ----------
    indices : (Q, k) int64 array
        Of the gallery, most similar first; of equals, the first.
    similarities : (Q, k) float64 array
        Under the measure.
    labels : (Q,) array of str or int64, or None
        Of the queries.
    gallery_labels : (G,) array of str or int64, or None
        Of the gallery; those of the queries if these are it.
    pairs : int
        How many pairs the RSM has: ``Q G``, or ``N (N - 1) / 2`` of inputs with themselves.
    formed, solved : int
        For how many pairs affinities were made, and for how many a matching was found. Of inputs with themselves, two
        that look at each other at the same time, or whose matching is an approximation, count twice.
    metadata : mapping
        How they were found: "measure", "kernel", "matching", "matching_options", "sigma", "dtype", "simplugins".
    """

    indices: NDArray[np.int64]
    similarities: NDArray[np.float64]
    labels: NDArray[Any] | None
    gallery_labels: NDArray[Any] | None
    pairs: int
    formed: int
    solved: int
    metadata: Mapping[str, Any]

    @property
    def share_formed(self) -> float:
        """For what share of the pairs affinities were made."""
        return self.formed / self.pairs

    @property
    def share_solved(self) -> float:
        """For what share of the pairs a matching was found."""
        return self.solved / self.pairs

    def __repr__(self) -> str:
        queries, k = self.indices.shape
        return (
            f"Neighbours under {self.metadata['measure']}: {k} for each of {queries} queries; {self.share_solved:.1%} of "
            f"{self.pairs} matchings solved, {self.share_formed:.1%} of affinities formed"
        )


@dataclass(frozen=True)
class _Queries:
    """Some queries, as a task for a thread."""

    start: int
    stop: int
    gallery: int

    @property
    def pairs(self) -> int:
        """How many pairs of inputs these are."""
        return (self.stop - self.start) * self.gallery


def search(
    queries: Any,
    gallery: Any = None,
    *,
    k: int = 10,
    measure: str = "semantic-cosine",
    layout: str = "auto",
    mask: Any = None,
    gallery_mask: Any = None,
    labels: Any = None,
    gallery_labels: Any = None,
    drop_tokens: int | Sequence[int] = 0,
    dtype: DTypeLike | None = None,
    matching: str | Matcher = "optimal",
    sigma: float | None = None,
    threads: int | None = None,
    progress: bool | str = False,
    **options: Any,
) -> Neighbours:
    """Find the k inputs of a gallery that are most similar to each query, without matching all pairs.

    The result is that of ranking the rows of the RSM, but what cannot be among the best is never matched: first, bounds
    on what each pair can reach, from the norms of concept vectors about their mean, at the cost of one matrix product;
    then, for the most promising first, affinities, and a better bound from these; and only what that does not exclude
    either is matched.

    Parameters
    ----------
    queries, gallery : arrays, paths, lists of arrays, or Activations
        Responses to Q and G inputs, with as many channels; see `simplugins.compute_rsm`. Without a gallery the queries
        are it, and none finds itself.
    k : int, default 10
        How many to find for each query.
    measure : str, default "semantic-cosine"
        A semantic measure of ours.
    layout, drop_tokens, dtype
        As for `simplugins.compute_rsm`, of both.
    mask, gallery_mask, labels, gallery_labels
        As there, of each.
    matching : str or Matcher, default "optimal"
        Approximations are bounded by what is optimal, too; each candidate is matched to the query, which may find
        something else than the query matched to it. Further keyword options are its own.
    sigma : float, optional
        RBF's bandwidth, which the order does not depend on; needed for "semantic-rbf", as the median would need all
        pairs.
    threads : int, optional
        By default one for each core that this process may use.
    progress : bool or str, default False
        Show a progress bar on standard error; a string is its title.

    Returns
    -------
    Neighbours

    Raises
    ------
    TypeError, ValueError
        As `simplugins.compute_rsm`; also if there are fewer than k others to find, the measure is not one of ours or
        matches no positions, or RBF has no sigma.

    Notes
    -----
    Memory: all concept vectors of both, converted; for each input 8 bytes a channel and 16 a position beside; and, for
    each thread, below 1 kB for each input of the gallery. Runs on the CPU. How much is excluded depends on the data:
    the more the inputs that belong together stand out, the more.
    Similarities equal those of `simplugins.compute_rsm` to the rounding of its type; inputs that differ by no more may
    change places.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> found = simplugins.search(photos["block15"], k=3)
    >>> photos["photo"][found.indices[0]]  # crops of the same photograph
    array([0, 0, 0])
    """
    kernel = _kernel_of(measure, sigma)
    check_count("k", k)
    matcher = resolve_matcher(matching, options)
    how: dict[str, Any] = {"layout": layout, "dtype": dtype, "drop_tokens": drop_tokens}
    x = Activations.from_array(read(queries), mask=mask, labels=labels, **how)
    y = x
    if gallery is not None:
        with error_prefix("gallery"):
            y = Activations.from_array(read(gallery), mask=gallery_mask, labels=gallery_labels, **how)
    elif gallery_mask is not None or gallery_labels is not None:
        raise ValueError("gallery_mask and gallery_labels go with a gallery, which was not given")
    check_pair(x, y, matcher)
    itself = gallery is None
    if k > len(y) - itself:
        raise ValueError(f"k: there are {len(y) - itself} inputs to find for each query, got {k}")
    run = _Search(x, y, itself=itself, matcher=matcher, kernel=kernel, k=k)
    run.compile()
    tasks, count = run.tasks(), check_threads(threads)
    pairs = sum(task.pairs for task in tasks)
    in_threads(run.work, tasks, pairs=pairs, threads=count, progress=progress, title="searching")
    return Neighbours(
        indices=run.indices,
        similarities=run.similarities(sigma),
        labels=x.labels,
        gallery_labels=y.labels,
        pairs=len(x) * (len(x) - 1) // 2 if itself else len(x) * len(y),
        formed=int(run.formed.sum()),
        solved=int(run.solved.sum()),
        metadata={
            "measure": measure,
            "kernel": kernel,
            "matching": matcher.name,
            "matching_options": matcher_options(matcher),
            "sigma": sigma,
            "dtype": str(run.dtype),
            "simplugins": __version__,
        },
    )


class _Search:
    """One search: its inputs, and its results, filled in by threads."""

    def __init__(self, x: Activations, y: Activations, *, itself: bool, matcher: Matcher, kernel: str, k: int) -> None:
        self.x, self.y, self.itself, self.matcher, self.kernel, self.k = x, y, itself, matcher, kernel, k
        self.dtype = np.result_type(x.dtype, y.dtype)
        self.rounding = ROUNDING[self.dtype]
        self.x_block = _whole(x, self.dtype, matcher)
        self.y_block = self.x_block if itself else _whole(y, self.dtype, matcher)
        width = int(max(x.positions.max(), y.positions.max()))
        self.x_summary = Summary.of(self.x_block, width)
        self.y_summary = self.x_summary if itself else Summary.of(self.y_block, width)
        self.gallery = Gallery(self.y_block, self.y_summary, matcher)
        self.known: list[list[tuple[int, float]]] | None = None
        if itself and matcher.name == "optimal":  # of others, the order of two inputs can matter
            self.known = [[] for _ in range(len(x))]
        self.indices = np.empty((len(x), k), np.int64)
        self.products = np.empty((len(x), k))
        self.formed, self.solved = np.zeros((2, len(x)), np.int64)

    def compile(self) -> None:
        """Have the kernels compiled here, in the caller's thread, where Ctrl-C can stop it."""
        affinity, offsets = np.ones((1, 1), self.dtype), np.array([0, 1])
        matched_values(self.matcher, affinity, offsets)
        bounds_of_affinities(affinity, offsets, np.zeros((1, 1)))

    def tasks(self) -> list[_Queries]:
        """Cut the queries into runs that are bounded together."""
        count = len(self.x)
        return [_Queries(i, min(i + QUERIES, count), len(self.y)) for i in range(0, count, QUERIES)]

    def work(self, task: _Queries) -> None:
        """Find the best of the gallery for some queries."""
        bounds = upper_bounds(self.x_summary.rows(task.start, task.stop), self.y_summary)
        for i in range(task.start, task.stop):
            self._find(i, bounds[i - task.start])

    def _find(self, i: int, bounds: NDArray[np.float64]) -> None:
        score, everyone = self._score(i), np.arange(len(self.y))
        lengths = np.sqrt(self.x_summary.squares[i]) * np.sqrt(self.y_summary.squares)
        reachable = score(bounds + 2 * self.rounding * lengths, everyone)
        best = Best(self.k)
        done = self._recall(i, score, best)
        everyone, reachable = np.delete(everyone, done), np.delete(reachable, done)
        order = np.argsort(-reachable, kind="stable")
        query = self.x_block.vectors[self.x_block.offsets[i] : self.x_block.offsets[i + 1]]
        self.gallery.find(query, everyone[order], reachable[order], score, best)
        self._remember(i, best)
        self.indices[i], self.products[i] = best.numbers, best.products
        self.formed[i], self.solved[i] = best.formed, sum(len(numbers) for numbers, _ in best.solved)

    def _recall(self, i: int, score: Score, best: Best) -> NDArray[np.int64]:
        """Add what other queries found out about this one; return the candidates that need no look."""
        known: list[tuple[int, float]] = []
        if self.known is not None:
            known, self.known[i] = self.known[i], []
        numbers = np.array([number for number, _ in known], np.int64)
        products = np.array([product for _, product in known])
        best.add(numbers, products, score(products, numbers))
        return np.append(numbers, i) if self.itself else numbers

    def _remember(self, i: int, best: Best) -> None:
        """Tell the queries that come later what this one found out about them."""
        if self.known is None:
            return
        for numbers, products in best.solved:
            later = numbers > i
            for number, product in zip(numbers[later].tolist(), products[later].tolist(), strict=True):
                self.known[number].append((i, product))

    def _score(self, i: int) -> Score:
        """Return what turns aligned inner products of query i with others into the order of the kernel."""
        own = self.x.squared_norms[i : i + 1]

        def score(products: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
            scaled = np.ldexp(products, self.x.exponents[i] + self.y.exponents[numbers])[None]
            norms = self.y.squared_norms[numbers]
            if self.kernel == "cosine":
                return kernels.cosine(scaled, own, norms)[0]  # type: ignore[no-any-return]
            if self.kernel == "rbf":
                return -kernels.squared_distances(scaled, own, norms, rounding=self.rounding)[0]  # type: ignore[no-any-return]
            return scaled[0]  # type: ignore[no-any-return]

        return score

    def similarities(self, sigma: float | None) -> NDArray[np.float64]:
        """Return the similarities of what was found, under the kernel."""
        scores: NDArray[np.float64] = np.empty_like(self.products)
        for i, products in enumerate(self.products):
            scores[i] = self._score(i)(products, self.indices[i])
        if sigma is None:
            return scores
        return kernels.rbf(-scores, sigma)


def _kernel_of(measure: str, sigma: float | None) -> str:
    """Return the kernel of a measure that can be searched by."""
    found = plugins.load(MEASURES, measure)
    if not isinstance(found, SemanticMeasure) or found.matcher.positionwise:
        raise ValueError(
            f"search is by a semantic measure of ours, got {measure!r}; others are ranked by their RSM "
            f"(simplugins.evaluation.retrieval)"
        )
    if (found.kernel == "rbf") != (sigma is not None):
        raise ValueError(
            "sigma: semantic-rbf needs a number, such as 1.0, as the median would need all pairs; the order is the "
            "same for any"
            if sigma is None
            else f"sigma goes with semantic-rbf, not with {measure!r}"
        )
    if sigma is not None:
        kernels.check_sigma(sigma)
    return found.kernel


def _whole(activations: Activations, dtype: np.dtype[np.floating], matcher: Matcher) -> Block:
    """Return all inputs as one block, converted, and in the order of positions that the matcher wants."""
    block = activations.block(0, len(activations))
    ordered = block.by_norm()[0] if matcher.by_norm else block
    return Block(arrays.to_numpy(ordered.vectors, dtype), block.offsets)
