# SPDX-License-Identifier: Apache-2.0
"""Search: the k inputs of a gallery that are most similar to each query, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from simplugins import __version__
from simplugins._common.threads import check_threads
from simplugins._common.validation import check_count
from simplugins.activations.preparation import Center, Normalize, Preparation
from simplugins.evaluation.searching.device_search import find_on_device, searching_engine
from simplugins.evaluation.searching.host_search import find
from simplugins.evaluation.searching.scoring import Scoring
from simplugins.matching.matcher import Matcher
from simplugins.matching.matcher_options import matcher_options
from simplugins.measures.computation import read_inputs
from simplugins.measures.measure import Measure, Options, resolve_measure
from simplugins.measures.semantic import MatchedPairs, SemanticMeasure
from simplugins.rsm import kernels


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
        "simplugins" (the version); "precision" and "device" if the engine is "cuda".
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
    scoring = Scoring(x, y, resolved.kernel, symmetric)
    on_device = engine == "cuda"
    found = find_on_device(scoring, matcher, k, progress) if on_device else find(scoring, matcher, k, count, progress)
    return Neighbours(
        indices=found.numbers,
        similarities=scoring.similarities(found.products, found.numbers, sigma),
        labels=x.labels,
        other_labels=None if symmetric else y.labels,
        shape=(len(x), len(y)),
        symmetric=symmetric,
        formed=found.formed,
        solved=found.solved,
        metadata={
            "measure": resolved.name,
            "kernel": resolved.kernel,
            "matching": matcher.name,
            "matching_options": matcher_options(matcher),
            "sigma": sigma,
            **found.metadata,
            "dtype": str(scoring.dtype),
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
