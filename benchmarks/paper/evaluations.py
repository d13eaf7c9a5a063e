# SPDX-License-Identifier: Apache-2.0
"""The evaluations: each turns the representations of a data set into rows of numbers, one per layer and kernel.

A metric of a row has an estimate of each kind of RSM ("values"), and of the differences between kinds ("differences").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from paper.crops import SHIFTS_BETWEEN
from paper.datasets import Dataset
from paper.design import (
    CONFIDENCE,
    CORRELATIONS,
    DIFFERENCES,
    KERNELS,
    KINDS,
    OUTPUT_RESAMPLES,
    PERMUTATIONS,
    RESAMPLES,
    SEMANTIC,
    SPATIAL,
)
from paper.representations import Layer, Representations
from paper.tables import Row
from simplugins import RSM, bootstrap_interval, calibrate, compare, difference_test
from simplugins._common.progress import progress_bar
from simplugins.comparisons.resampling import interval, resampled_means
from simplugins.evaluation import Retrieval, Translation, retrieval, retrieval_difference
from simplugins.evaluation.label_sets import agreement
from simplugins.evaluation.output_divergences import divergence_rsm

SIMILARITY, SEPARATION = ("crops", "similarity"), ("crops", "separation")
LARGEST_OVERLAPPING_SHIFT = 0.99
"""In units of a crop's side: at larger shifts, two crops do not overlap."""

Result = TypeVar("Result")
Evaluate = Callable[[dict[str, RSM], Layer], Row]


def per_layer(represented: Representations, evaluate: Evaluate) -> list[Row]:
    """Evaluate all kinds of RSM, for each layer and kernel.

    Parameters
    ----------
    represented : Representations
    evaluate : callable
        Called with the RSMs of a layer and kernel, by kind, and with the layer; returns the results by name.
    """
    rows = []
    with progress_bar(list(_cases(represented)), f"{represented.data.name}: evaluating", title="") as cases:
        for layer, kernel in cases:
            rsms = {kind: rsm for (kind, of), rsm in represented.rsms[layer].items() if of == kernel}
            case = {**vars(layer), "kernel": kernel, "inputs": len(rsms[SEMANTIC])}
            rows.append({**case, **evaluate(rsms, layer)})
    return rows


def _cases(represented: Representations) -> Iterator[tuple[Layer, str]]:
    return ((layer, kernel) for layer in represented.rsms for kernel in KERNELS)


def _estimate(result: Any, value: float) -> dict[str, float]:
    return {"estimate": float(value), "low": float(result.low), "high": float(result.high)}


def _pairs(results: Mapping[str, Result]) -> Iterator[tuple[str, Result, Result]]:
    """Return the results whose difference is reported, with its name."""
    for name, (first, second) in DIFFERENCES.items():
        if first in results and second in results:
            yield name, results[first], results[second]


# Retrieval


def evaluate_retrieval(represented: Representations, metrics: Sequence[str], k: int) -> list[Row]:
    """Rank neighbours under each RSM; metrics are those of `Retrieval.metrics`, at 1 or at k."""

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = represented.inputs(layer)
        row = {}
        for metric in metrics:
            neighbours = k if metric.endswith(f"@{k}") else 1
            if neighbours < len(data):
                row[metric] = _compared({kind: rank(rsm, data, neighbours) for kind, rsm in rsms.items()}, metric, data)
        return row

    return per_layer(represented, evaluate)


def rank(rsm: RSM, data: Dataset, k: int) -> Retrieval:
    """Rank the neighbours of each input."""
    return retrieval(rsm, data.labels, k=k, groups=data.groups, resamples=RESAMPLES, confidence=CONFIDENCE)


def _compared(results: Mapping[str, Retrieval], metric: str, data: Dataset) -> Row:
    values = {kind: _estimate(result.metrics[metric], result.metrics[metric].value) for kind, result in results.items()}
    differences = {}
    for name, first, second in _pairs(results):
        options: dict[str, Any] = {"resamples": RESAMPLES, "confidence": CONFIDENCE}
        test = retrieval_difference(first, second, metric, groups=data.groups, **options)
        differences[name] = _estimate(test, test.difference)
    return {"values": values, "differences": differences}


def chance(data: Dataset) -> dict[str, float]:
    """Return the expected precision and F1 of random neighbours."""
    agrees = agreement(data.labels, data.labels, len(data), len(data))
    off_diagonal = ~np.eye(len(data), dtype=bool)
    return {"precision": float(agrees.relevant[off_diagonal].mean()), "F1": float(agrees.f1[off_diagonal].mean())}


# Output similarity


def evaluate_outputs(represented: Representations) -> list[Row]:
    """Correlate RSMs with the divergences between predictions, over all pairs; controls by rank correlation only."""
    divergences = {
        (layer.network, layer.large): divergence_rsm(represented.probabilities_of(layer), None)
        for layer in represented.rsms
    }

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        outputs = divergences[layer.network, layer.large]
        options: dict[str, Any] = {
            "resamples": OUTPUT_RESAMPLES,
            "confidence": CONFIDENCE,
            "groups": represented.inputs(layer).groups,
        }
        row: Row = {}
        for name, method in CORRELATIONS.items():
            values, differences = {}, {}
            for kind, rsm in rsms.items():
                if method == "rsa-spearman" or kind in KINDS:
                    correlation = bootstrap_interval(rsm, outputs, method, **options)
                    values[kind] = _estimate(correlation, correlation.value)
            for pair, first, second in _pairs({kind: rsms[kind] for kind in values}):
                test = difference_test((first, outputs), (second, outputs), method, **options)
                differences[pair] = _estimate(test, test.difference)
            row[name] = {"values": values, "differences": differences}
        return row

    return per_layer(represented, evaluate)


# Agreement


def evaluate_agreement(represented: Representations) -> list[Row]:
    """Compare semantic and spatio-semantic RSMs of each layer by CKA, over the few inputs that all layers share.

    "calibrated" is by permutations of the groups of inputs.
    """
    few = represented.data.few
    orders = permuted_groups(represented.data.groups[few], PERMUTATIONS)

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        shared = np.arange(len(few)) if layer.large else few
        a, b = (rsms[kind].values[np.ix_(shared, shared)] for kind in (SEMANTIC, SPATIAL))
        calibration = calibrate(a, b, "cka-debiased", orders=orders)
        return {
            "inputs": len(few),
            "debiased": calibration.value,
            "calibrated": calibration.score,
            "p": calibration.p_value,
            "biased": compare(a, b, "cka"),
        }

    return per_layer(represented, evaluate)


def permuted_groups(groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return permutations of inputs that exchange whole groups of equal size, one per row."""
    rng = np.random.default_rng(0)
    members = np.argsort(groups, kind="stable").reshape(len(np.unique(groups)), -1)
    orders = np.empty((count, len(groups)), np.int64)
    for order in orders:
        order[members] = members[rng.permutation(len(members))]
    return orders


# Translation


def evaluate_translation(represented: Representations) -> list[Row]:
    """Relate the similarities of crops of one photograph to the shifts between them.

    "separation" is the share of crops of other photographs that are less similar to a crop than its shifted version is:
    1 if none is more similar, 0.5 for chance.
    """

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = represented.inputs(layer)
        shifted = {kind: by_shift(rsm, data) for kind, rsm in rsms.items()}
        pairs = shifted[SEMANTIC]
        overlap, photograph = pairs.shifts < LARGEST_OVERLAPPING_SHIFT, data.groups[pairs.pairs[:, 0]]
        separations = {kind: result.similarities[SEPARATION][overlap] for kind, result in shifted.items()}
        return {
            "separation": _compared_means(separations, photograph[overlap]),
            "curves": {kind: _curves(result) for kind, result in shifted.items()},
        }

    return per_layer(represented, evaluate)


def _compared_means(values: Mapping[str, NDArray[np.float64]], groups: NDArray[np.int64]) -> Row:
    """Return the mean of each kind, and of semantic minus each other kind; whole groups of values are resampled."""
    numbers = np.unique(groups, return_inverse=True)[1]

    def mean(series: NDArray[np.float64]) -> dict[str, float]:
        resampled = resampled_means(series, RESAMPLES, np.random.default_rng(0), numbers)
        low, high = interval(resampled, CONFIDENCE)
        return {"estimate": float(series.mean()), "low": low, "high": high}

    return {
        "values": {kind: mean(each) for kind, each in values.items()},
        "differences": {name: mean(first - second) for name, first, second in _pairs(values)},
    }


def by_shift(rsm: RSM, data: Dataset) -> Translation:
    """Return similarities, separations and shifts of all pairs of crops of one photograph."""
    first, second = np.triu_indices(len(data), 1)
    same = data.groups[first] == data.groups[second]
    pairs = np.stack([first[same], second[same]], axis=1)
    assert data.places is not None
    return Translation(
        shifts=np.hypot(*(data.places[pairs[:, 0]] - data.places[pairs[:, 1]]).T),
        pairs=pairs,
        similarities={SIMILARITY: rsm.values[first, second][same], SEPARATION: separation(rsm, data, pairs)},
        apart={SIMILARITY: float(rsm.values[first, second][~same].mean()), SEPARATION: 0.5},
    )


def separation(rsm: RSM, data: Dataset, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each pair the share of crops of other photographs that are less similar to either of the two."""
    different = data.groups[:, None] != data.groups[None, :]
    both_ways = np.concatenate([pairs, pairs[:, ::-1]])
    shares = [_share_below(rsm.values[i, different[i]], rsm.values[i, j]) for i, j in both_ways]
    means: NDArray[np.float64] = np.reshape(shares, (2, -1)).mean(0)
    return means


def _share_below(values: NDArray[np.float64], value: float) -> float:
    """Return the share of values below `value`; equal values count half."""
    return float(((values < value) + 0.5 * (values == value)).mean())


def _curves(result: Translation) -> dict[str, Any]:
    """Return means by shift, with one bin for each shift between two crops."""
    shifts, similarities, errors = result.curve(*SIMILARITY, bins=SHIFTS_BETWEEN)
    _, separations, _ = result.curve(*SEPARATION, bins=SHIFTS_BETWEEN)
    return {
        "shifts": shifts.tolist(),
        "similarity": similarities.tolist(),
        "error": errors.tolist(),
        "separation": separations.tolist(),
        "apart": result.apart[SIMILARITY],
    }


# Cost


def costs(represented: Representations) -> list[Row]:
    """Return the CPU time of each kind of RSM, in microseconds per pair, for each layer."""
    rows = []
    for layer, seconds in represented.seconds.items():
        inputs = len(represented.inputs(layer))
        pairs = inputs * (inputs - 1) // 2
        per_pair = {kind: 1e6 * each.cpu / pairs for kind, each in seconds.items()}
        rows.append({**vars(layer), "kernel": None, "inputs": inputs, "microseconds": per_pair})
    return rows
