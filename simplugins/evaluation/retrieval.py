# SPDX-License-Identifier: Apache-2.0
"""Retrieval: whether the inputs most similar to each are of its kind."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import filesystem
from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.resampling import interval
from simplugins.evaluation.label_sets import agreement
from simplugins.rsm.matrices import matrix_of
from simplugins.rsm.rsm import RSM


@dataclass(frozen=True)
class Metric:
    """The mean of a metric over queries, and how much it may vary with these.

    Attributes
    ----------
    mean : float
        NaN if it is defined for no query.
    low, high : float
        The ends of its bootstrap interval.
    queries : int
        For how many queries it is defined.
    """

    mean: float
    low: float
    high: float
    queries: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, eq=False, repr=False)
class Retrieval:
    """What was found for each query, and how good that is.

    Attributes
    ----------
    k : int
        How many neighbours are looked at.
    neighbours : (Q, k) int64 array
        The columns of the most similar ones, most similar first, of equals the first.
    similarities : (Q, k) float64 array
        How similar these are.
    relevant : (Q, k) bool array
        Whether they share a label with the query.
    per_query : mapping of str to (Q,) float64 array
        By metric: "precision@k", the share of the k neighbours that are relevant; "recall@k", the share of all relevant
        ones that are among them; "AP", the average precision of the whole ranking; "F1@k", the mean over the k
        neighbours of the F1 of the query's set of labels and theirs. Recall and AP are NaN for queries to which nothing
        is relevant.
    metrics : mapping of str to Metric
        Their means; that of AP is called "mAP".
    """

    k: int
    neighbours: NDArray[np.int64]
    similarities: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    per_query: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {metric}" for name, metric in self.metrics.items())
        return f"Retrieval of {self.k} for each of {len(self.neighbours)} queries: {told}"

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write what was found for each query to a file, whole or not at all.

        Parameters
        ----------
        path : path
            Ends in .csv, a line a query; or in .json, which has the means too.
        overwrite : bool, default False
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and may not be replaced.
        ValueError
            If the path ends in something else.
        """
        suffix = Path(path).suffix
        if suffix not in _TEXTS:
            raise ValueError(f"{path}: expected a name that ends in one of {', '.join(TABLES)}")
        filesystem.write_text(path, _TEXTS[suffix](self), overwrite=overwrite)


def _as_csv(found: Retrieval) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["query", *found.per_query, *(f"neighbour {place + 1}" for place in range(found.k))])
    columns = [values.tolist() for values in found.per_query.values()]
    for query, (values, neighbours) in enumerate(zip(zip(*columns, strict=True), found.neighbours, strict=True)):
        writer.writerow([query, *map(repr, values), *neighbours.tolist()])
    return table.getvalue()


def _as_json(found: Retrieval) -> str:
    told = {
        "k": found.k,
        "metrics": {name: vars(metric) for name, metric in found.metrics.items()},
        "per_query": {name: values.tolist() for name, values in found.per_query.items()},
        "neighbours": found.neighbours.tolist(),
        "similarities": found.similarities.tolist(),
    }
    return filesystem.json_text(told)


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = tuple(_TEXTS)
"""What names of files end in that `Retrieval.save` writes."""


def retrieval(
    rsm: Any,
    labels: Any = None,
    *,
    gallery_labels: Any = None,
    k: int = 1,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int | np.random.Generator = 0,
) -> Retrieval:
    """Rank the inputs by their similarity to each query, and tell how many of the first are of its kind.

    Parameters
    ----------
    rsm : RSM or array
        (N, N): each input is a query for the others, never for itself. An RSM of inputs with others, (Q, G), or an
        array that is not square: rows are the queries, columns the gallery.
    labels : sequence, optional
        Of the queries; by default those of the RSM. One label an input; or a collection of labels, such as the set of
        the objects in a picture; or an (N, L) array of booleans, True for the labels that an input has. Two inputs are
        relevant to each other if they share a label.
    gallery_labels : sequence, optional
        Those of the gallery, if it is not the queries.
    k : int, default 1
        How many neighbours to look at.
    confidence : float, default 0.95
        Of the intervals.
    resamples : int, default 1000
        How often queries are drawn with replacement for the intervals. The gallery stays as it is.
    seed : int or Generator, default 0

    Returns
    -------
    Retrieval

    Raises
    ------
    TypeError
        If the RSM is no array of real numbers.
    ValueError
        If values are NaN or infinite, labels are missing or not one an input, or there are fewer than k neighbours.

    Notes
    -----
    Rankings are of whole rows, O(Q G log G); of equal similarities, the one of the lower column comes first.
    For retrieval from galleries too large for an RSM see `simplugins.search`.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107), which
    reports the F1 of sets of objects at k = 1.

    Examples
    --------
    >>> rsm = RSM.from_similarities([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]], labels=["cat", "cat", "dog"])
    >>> found = retrieval(rsm)
    >>> found.neighbours.ravel()
    array([1, 0, 1])
    >>> found.per_query["precision@1"]
    array([1., 1., 0.])
    """
    values, itself = _values(rsm)
    queries, gallery = values.shape
    labels = _labels_of(rsm, "labels") if labels is None else labels
    if itself and gallery_labels is not None:
        raise ValueError("gallery_labels go with queries and a gallery; here every input is both")
    if not itself and gallery_labels is None:
        gallery_labels = _labels_of(rsm, "other_labels")
    check_count("k", k)
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    if k > gallery - itself:
        raise ValueError(f"k: there are {gallery - itself} neighbours to find for each query, got {k}")
    agrees = agreement(labels, labels if itself else gallery_labels, queries, gallery)
    ranking = _ranking(values, itself)
    relevant = np.take_along_axis(agrees.relevant, ranking, 1)
    per_query = _per_query(relevant, np.take_along_axis(agrees.f1, ranking[:, :k], 1), k)
    rng = np.random.default_rng(seed)
    metrics = {
        "mAP" if name == "AP" else name: _metric(of_queries, rng, resamples, confidence)
        for name, of_queries in per_query.items()
    }
    nearest = ranking[:, :k]
    return Retrieval(k, nearest, np.take_along_axis(values, nearest, 1), relevant[:, :k], per_query, metrics)


def _values(rsm: Any) -> tuple[NDArray[np.float64], bool]:
    """Return similarities, and whether rows and columns are the same inputs."""
    values = matrix_of("rsm", rsm)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"rsm: expected a matrix, queries x gallery, got shape {values.shape}")
    return values, rsm.symmetric if isinstance(rsm, RSM) else values.shape[0] == values.shape[1]


def _labels_of(rsm: Any, which: str) -> Any:
    found = getattr(rsm, which, None)
    if found is None:
        raise ValueError(f"the RSM has no {which}: give {'gallery_labels' if which == 'other_labels' else which}")
    return found


def _ranking(values: NDArray[np.float64], itself: bool) -> NDArray[np.int64]:
    """Return the columns of each row by similarity, the most similar first; without the row itself, if it is one."""
    distances = -values
    if itself:
        np.fill_diagonal(distances, np.inf)
    ranking = np.argsort(distances, axis=1, kind="stable")
    return ranking[:, :-1] if itself else ranking


def _per_query(relevant: NDArray[np.bool_], f1: NDArray[np.float64], k: int) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each query, from whether each neighbour is relevant, in order."""
    hits = relevant[:, :k].sum(1)
    total = relevant.sum(1)
    precisions = np.cumsum(relevant, 1) / np.arange(1, relevant.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        recall = hits / total
        average = (precisions * relevant).sum(1) / total
    return {f"precision@{k}": hits / k, f"recall@{k}": recall, "AP": average, f"F1@{k}": f1.mean(1)}


def _metric(values: NDArray[np.float64], rng: np.random.Generator, resamples: int, confidence: float) -> Metric:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Metric(np.nan, np.nan, np.nan, 0)
    means = np.array([defined[rng.integers(len(defined), size=len(defined))].mean() for _ in range(resamples)])
    low, high = interval(means, confidence)
    return Metric(float(defined.mean()), low, high, len(defined))
