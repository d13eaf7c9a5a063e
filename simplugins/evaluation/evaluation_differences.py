# SPDX-License-Identifier: Apache-2.0
"""Paired tests that two RSMs of the same inputs differ: in their correlation with outputs, or in retrieval."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simplugins._common.validation import check_between, check_count
from simplugins.comparisons.differences import PairedDifference, difference_of, difference_test, names_of_two
from simplugins.comparisons.groups import first_labels, group_count, read_groups, renumbered
from simplugins.comparisons.inputs import labels_of
from simplugins.comparisons.resampling import enough_units, interval, resampled_means
from simplugins.evaluation.output_divergences import divergence_rsm
from simplugins.evaluation.query_means import metric_name
from simplugins.evaluation.retrieval_metrics import Retrieval

Correlation = Literal["pearson", "spearman"]


def output_difference(
    first: Any,
    second: Any,
    probabilities: Any,
    correlation: Correlation = "spearman",
    *,
    names: tuple[str, str] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
    progress: bool | str = False,
) -> PairedDifference:
    """Test whether two RSMs of the same inputs differ in their correlation with the predictions of a network.

    Parameters
    ----------
    first, second : RSMs or (N, N) arrays
        Such as the semantic and the spatio-semantic RSM of one layer.
    probabilities : (N, classes) array
        As for `output_correlation`.
    correlation : {"pearson", "spearman"}, default "spearman"
        As in the result of `output_correlation`. The more negative, the better an RSM agrees with the predictions: the
        first agrees better if the difference is negative.
    names : (str, str), optional
        Names of the RSMs; by default their measures, if these differ.
    resamples, confidence, groups, seed, progress
        As for `simplugins.difference_test`.

    Returns
    -------
    PairedDifference

    Raises
    ------
    TypeError, ValueError
        As for `simplugins.difference_test` and `output_correlation`.

    Examples
    --------
    >>> import simplugins
    >>> from simplugins.data import load_photos
    >>> photos = load_photos()
    >>> measures = ["semantic-cosine", "spatio-semantic-cosine"]
    >>> rsms = simplugins.compute_rsms(photos["block10"], measures, labels=photos["photo"])
    >>> result = output_difference(*rsms.values(), photos["probabilities"], groups="labels", resamples=200)
    >>> result.names
    ('semantic-cosine', 'spatio-semantic-cosine')
    """
    if correlation not in get_args(Correlation):
        raise ValueError(f"correlation must be one of {', '.join(get_args(Correlation))}, got {correlation!r}")
    count, rows = len(np.asarray(first)), len(np.asarray(probabilities))
    if count != rows:
        raise ValueError(f"probabilities: expected {count} rows, one per input of the RSMs, got {rows}")
    labels = first_labels([labels_of("first", first), labels_of("second", second)])
    outputs = divergence_rsm(probabilities, labels)
    return difference_test(
        (first, outputs),
        (second, outputs),
        f"rsa-{correlation}",
        names=names or _measures(first, second),
        resamples=resamples,
        confidence=confidence,
        groups=groups,
        seed=seed,
        progress=progress,
    )


def retrieval_difference(
    first: Retrieval,
    second: Retrieval,
    metric: str,
    *,
    names: tuple[str, str] = ("first", "second"),
    resamples: int = 1000,
    confidence: float = 0.95,
    groups: Any = None,
    seed: int | np.random.Generator = 0,
) -> PairedDifference:
    """Test whether two RSMs differ in the retrieval of the same queries, by resampling queries.

    Parameters
    ----------
    first, second : Retrieval
        Results of `retrieval` for the same queries in the same order.
    metric : str
        A metric that both have, such as "precision@1", "F1@1" or "mAP".
    names : (str, str), optional
    resamples : int, default 1000
        The number of resamples of the queries for which both metrics are defined. The gallery stays fixed.
    confidence : float, default 0.95
        The share of resampled differences within the interval.
    groups : sequence, optional
        One label per query, equal for queries that are not independent. Whole groups are drawn.
    seed : int or Generator, default 0

    Returns
    -------
    PairedDifference
        The values are means over the queries for which both are defined. Interval and p-value are NaN, with a
        RuntimeWarning, for fewer than 5 queries or groups (at 95 %), or fewer than ``2 / (1 - confidence)`` resamples.

    Raises
    ------
    ValueError
        If a result does not have the metric, or the numbers of queries differ; or as for `retrieval`.

    Notes
    -----
    If no query differs, the interval is [0, 0] and the p-value 1.

    Examples
    --------
    >>> from simplugins.evaluation import retrieval
    >>> x = np.random.default_rng(0).normal(size=(40, 8)) + 3 * np.repeat(np.eye(8)[:4], 10, axis=0)
    >>> labels = np.repeat(["a", "b", "c", "d"], 10)
    >>> all_channels, one_channel = (retrieval(features @ features.T, labels) for features in (x, x[:, 7:]))
    >>> retrieval_difference(all_channels, one_channel, "mAP", resamples=200).low > 0
    True
    """
    check_count("resamples", resamples)
    check_between("confidence", confidence, 0, 1)
    names = names_of_two(names)
    values = _scores(first, second, metric)
    defined = ~np.isnan(values[0] + values[1])
    numbers = read_groups(groups, None, len(defined))
    numbers = None if numbers is None else renumbered(numbers[defined])
    estimates = values[:, defined].mean(1).tolist() if defined.any() else [float("nan")] * 2
    differences = values[0, defined] - values[1, defined]
    units, kind = group_count(numbers, differences.size), "queries" if groups is None else "groups of queries"
    ends = float("nan"), float("nan")
    distribution = np.full(resamples, np.nan)
    if differences.size:
        distribution = resampled_means(differences, resamples, np.random.default_rng(seed), numbers)
    if enough_units(units, 1, confidence, metric_name(metric), kind):
        ends = interval(distribution, confidence)
    return difference_of(names, estimates, distribution, ends, metric_name(metric), confidence)


def _scores(first: Retrieval, second: Retrieval, metric: str) -> NDArray[np.float64]:
    """Return the (2, Q) results of each query."""
    key = "AP" if metric == "mAP" else metric
    for name, result in (("first", first), ("second", second)):
        if not isinstance(result, Retrieval):
            raise TypeError(
                f"{name}: expected a result of simplugins.evaluation.retrieval, got {type(result).__name__}"
            )
        if key not in result.per_query:
            raise ValueError(f"metric: expected one of {', '.join(result.metrics)} of {name}, got {metric!r}")
    sizes = [len(result.per_query[key]) for result in (first, second)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"only the same queries can be compared: first has {sizes[0]}, second has {sizes[1]}")
    return np.stack([first.per_query[key], second.per_query[key]])


def _measures(first: Any, second: Any) -> tuple[str, str] | None:
    """Return the measures of two RSMs, if both are known and differ."""
    measures = str(getattr(first, "measure", "")), str(getattr(second, "measure", ""))
    return measures if all(measures) and measures[0] != measures[1] else None
