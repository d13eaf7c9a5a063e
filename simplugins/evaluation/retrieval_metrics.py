# SPDX-License-Identifier: Apache-2.0
"""Retrieval: whether the inputs most similar to each query share its label."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplugins._common import arrays, filesystem
from simplugins._common.validation import check_between, check_count, error_prefix
from simplugins.activations.named_orders import check_same_places, index_along
from simplugins.comparisons.groups import read_groups
from simplugins.comparisons.inputs import similarities_of
from simplugins.evaluation.label_sets import agreement_of, label_matrices
from simplugins.evaluation.query_means import Metric, mean_metrics
from simplugins.evaluation.searching.neighbours import Neighbours
from simplugins.rsm.matrices import matrix_of
from simplugins.rsm.rsm import RSM

_BLOCK_ENTRIES = 2**22
"""Pairs of queries and gallery inputs whose labels are compared at a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Retrieval:
    """The neighbours of each query, and how many of them are relevant.

    Attributes
    ----------
    k : int
        Number of neighbours per query.
    neighbours : (Q, k) int64 array
        Gallery inputs, most similar first, ties by index.
    similarities : (Q, k) float64 array
        Their similarities to the query.
    relevant : (Q, k) bool array
        Whether they share a label with the query.
    per_query : mapping of str to (Q,) float64 array
        By metric: "precision@k", the share of the k neighbours that are relevant; "recall@k", the share of all relevant
        inputs that are among them; "AP", the average precision of the whole ranking (missing where only the nearest
        neighbours are known); "F1@k", the mean over the k neighbours of the F1 between the query's set of labels and
        theirs. Recall and AP are NaN for queries without relevant inputs, all metrics for queries without a label.
    metrics : mapping of str to Metric
        Means over queries; that of AP is called "mAP".
    """

    k: int
    neighbours: NDArray[np.int64]
    similarities: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    per_query: Mapping[str, NDArray[np.float64]]
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {metric}" for name, metric in self.metrics.items())
        return f"Retrieval of {self.k} for each of {len(self.neighbours)} queries: {means}"

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the result of each query to a file, atomically.

        Parameters
        ----------
        path : path
            Ends in .csv, for one line per query; or in .json, which includes the means.
        overwrite : bool, default False
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is False.
        ValueError
            If the path has another ending.
        """
        suffix = Path(path).suffix
        if suffix not in _TEXTS:
            raise ValueError(f"{path}: expected a name that ends in {' or '.join(TABLES)}")
        filesystem.write_text(path, _TEXTS[suffix](self), overwrite=overwrite)


def _as_csv(result: Retrieval) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["query", *result.per_query, *(f"neighbour {place + 1}" for place in range(result.k))])
    columns = [values.tolist() for values in result.per_query.values()]
    for query, (values, neighbours) in enumerate(zip(zip(*columns, strict=True), result.neighbours, strict=True)):
        writer.writerow([query, *map(repr, values), *neighbours.tolist()])
    return table.getvalue()


def _as_json(result: Retrieval) -> str:
    return filesystem.json_text(
        {
            "k": result.k,
            "metrics": {name: vars(metric) for name, metric in result.metrics.items()},
            "per_query": {name: values.tolist() for name, values in result.per_query.items()},
            "neighbours": result.neighbours.tolist(),
            "similarities": result.similarities.tolist(),
        }
    )


_TEXTS = {".csv": _as_csv, ".json": _as_json}

TABLES = tuple(_TEXTS)
"""Endings of the files that `Retrieval.save` writes."""


def retrieval(
    rsm: Any,
    labels: Any = None,
    *,
    other_labels: Any = None,
    k: int = 1,
    confidence: float = 0.95,
    resamples: int = 1000,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
) -> Retrieval:
    """Rank inputs by their similarity to each query, and measure how many of the top k share its label.

    Parameters
    ----------
    rsm : RSM, array, or Neighbours
        An (N, N) RSM: each input is a query for the others, never for itself. An RSM of inputs with other inputs, or an
        array that is not square, (Q, G): rows are the queries, columns the gallery. Or the result of
        `simplugins.search`, for galleries too large for an RSM.
    labels : sequence, optional
        Labels of the queries; by default those of the RSM. One label per input; one collection of labels per input,
        such as the set of objects in an image; or an (N, L) bool array, True for the labels that an input has. Two
        inputs are relevant to each other if they share a label. Those whose label is missing, which
        `simplugins.partial_labels` allows, are relevant to no query, and NaN as queries.
    other_labels : sequence, optional
        Labels of the gallery, if the queries are not the gallery.
    k : int, default 1
        Number of neighbours per query; at most that of the search for `Neighbours`.
    confidence : float, default 0.95
        Confidence level of the intervals.
    resamples : int, default 1000
        Bootstrap resamples of the queries for the intervals. The gallery stays fixed.
    groups : sequence or "labels", optional
        One label per query, equal for queries that are not independent, such as the crops of one photograph; "labels"
        stands for the labels of the RSM. Whole groups of queries are drawn.
    seed : int or Generator, default 0

    Returns
    -------
    Retrieval
        The ends of intervals are NaN, with a RuntimeWarning, for fewer than 5 queries or groups (at 95 %), or for fewer
        than ``2 / (1 - confidence)`` resamples. If all queries have the same value, the interval is the exact one for
        the share of queries (or groups) that differ, which may have values of 0 or 1.

    Raises
    ------
    TypeError
        If `rsm` is not an array of real numbers.
    ValueError
        If values are NaN or infinite, a square array holds dissimilarities, labels are missing (unless
        `simplugins.partial_labels` allows it), there is not one entry per input, or there are fewer than k neighbours.

    Notes
    -----
    Whole rows are ranked, in O(Q G log G); ties go to the lower column.

    References
    ----------
    "Decoupling Semantic Similarity from Spatial Alignment for Neural Networks" (NeurIPS 2024, arXiv:2410.23107), which
    reports the F1 of sets of objects at k = 1.

    Examples
    --------
    >>> responses = np.array([[2.0, 0.0], [3.0, 1.0], [2.0, 1.0], [0.0, 3.0], [1.0, 2.0]])
    >>> rsm = RSM.from_similarities(np.corrcoef(responses @ responses.T), labels=["cat", "cat", "dog", "dog", "dog"])
    >>> result = retrieval(rsm)
    >>> result.neighbours.ravel()
    array([1, 2, 1, 4, 3])
    >>> result.per_query["precision@1"]
    array([1., 0., 0., 1., 1.])
    """
    check_count("k", k)
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    rankings = _rankings(rsm)
    if k > rankings.most:
        raise ValueError(f"k must be at most {rankings.most}, the number of neighbours of each query, got {k}")
    labels = _labels(rsm, "labels", labels)
    if rankings.symmetric:
        if other_labels is not None:
            raise ValueError("other_labels do not apply here: every input is both query and gallery")
        other_labels = labels
    else:
        other_labels = _labels(rsm, "other_labels", other_labels)
    neighbours, relevant, per_query = _evaluate(rankings, label_matrices(labels, other_labels, *rankings.shape), k)
    numbers = read_groups(groups, getattr(rsm, "labels", None), rankings.shape[0])
    metrics = mean_metrics(per_query, numbers, resamples, confidence, np.random.default_rng(seed))
    return Retrieval(k, neighbours, rankings.similarities(neighbours), relevant, per_query, metrics)


@dataclass(frozen=True)
class _Rankings:
    """Rankings of a gallery by queries.

    Attributes
    ----------
    shape : (int, int)
        Numbers of queries and gallery inputs.
    symmetric : bool
        Whether the queries are the gallery.
    most : int
        Length of each ranking.
    complete : bool
        Whether rankings cover the whole gallery.
    ranked : callable(slice) -> (q, most) int64 array
        Returns the rankings of some queries.
    similarities : callable((Q, k) array) -> (Q, k) array
        Returns the similarities of the first k of all rankings.
    """

    shape: tuple[int, int]
    symmetric: bool
    most: int
    complete: bool
    ranked: Callable[[slice], NDArray[np.int64]]
    similarities: Callable[[NDArray[np.int64]], NDArray[np.float64]]


def _rankings(rsm: Any) -> _Rankings:
    if isinstance(rsm, Neighbours):
        return _Rankings(
            shape=rsm.shape,
            symmetric=rsm.symmetric,
            most=rsm.k,
            complete=rsm.k == rsm.shape[1] - rsm.symmetric,
            ranked=lambda queries: rsm.indices[queries],
            similarities=lambda neighbours: rsm.similarities[:, : neighbours.shape[1]],
        )
    with error_prefix("rsm"):
        shape = rsm.shape if isinstance(rsm, RSM) else tuple(arrays.as_array(rsm).shape)
    square = len(shape) == 2 and shape[0] == shape[1]
    values = (similarities_of if square else matrix_of)("rsm", rsm, missing=None)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"rsm: expected a matrix (queries, gallery), got shape {values.shape}")
    symmetric = rsm.symmetric if isinstance(rsm, RSM) else values.shape[0] == values.shape[1]

    def ranked(queries: slice) -> NDArray[np.int64]:
        distances = -values[queries]
        if symmetric:  # no query finds itself
            distances[np.arange(len(distances)), np.arange(queries.start, queries.start + len(distances))] = np.inf
        ranking = np.argsort(distances, axis=1, kind="stable")
        return ranking[:, :-1] if symmetric else ranking

    return _Rankings(
        shape=values.shape,
        symmetric=symmetric,
        most=values.shape[1] - symmetric,
        complete=True,
        ranked=ranked,
        similarities=lambda neighbours: np.take_along_axis(values, neighbours, 1),
    )


def _labels(rsm: Any, which: str, labels: Any) -> Any:
    own = getattr(rsm, which, None)
    if labels is not None and own is not None:
        message = f"{which}: they are in another order than the inputs of the RSM"
        check_same_places(list(map(str, own)), index_along(labels, 0), message)
    labels = own if labels is None else labels
    if labels is None:
        raise ValueError(f"{which} must be given, since the RSM has no {which}")
    return labels


def _evaluate(
    rankings: _Rankings, labels: tuple[Any, Any, NDArray[np.bool_]], k: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
    """Return neighbours, their relevance, and the metrics of each query, computed in blocks of queries."""
    queries, gallery = rankings.shape
    rows, columns, missing = labels
    size = max(1, _BLOCK_ENTRIES // gallery)
    blocks = []
    for start in range(0, queries, size):
        block = slice(start, min(start + size, queries))
        agreement = agreement_of(rows[block], columns)
        if rankings.symmetric:
            places = np.arange(block.stop - start)
            agreement.relevant[places, start + places] = False
        ranking = rankings.ranked(block)
        nearest = ranking[:, :k]
        relevant = np.take_along_axis(agreement.relevant, ranking, 1)
        f1 = np.take_along_axis(agreement.f1, nearest, 1)
        metrics = _per_query(relevant, agreement.relevant.sum(1), f1, complete=rankings.complete)
        blocks.append((nearest, relevant[:, :k], metrics))
    neighbours, relevant = (np.concatenate([block[part] for block in blocks]) for part in (0, 1))
    per_query = {
        name: np.where(missing, np.nan, np.concatenate([metrics[name] for _, _, metrics in blocks]))
        for name in blocks[0][2]
    }
    return neighbours, relevant, per_query


def _per_query(
    relevant: NDArray[np.bool_], total: NDArray[np.int64], f1: NDArray[np.float64], *, complete: bool
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each query, given the relevance of its ranking and the number of relevant inputs."""
    k = f1.shape[1]
    hits = relevant[:, :k].sum(1)
    precisions = np.cumsum(relevant, 1) / np.arange(1, relevant.shape[1] + 1)
    with np.errstate(invalid="ignore"):
        metrics = {f"precision@{k}": hits / k, f"recall@{k}": hits / total}
        if complete:
            metrics["AP"] = (precisions * relevant).sum(1) / total
    return metrics | {f"F1@{k}": f1.mean(1)}
