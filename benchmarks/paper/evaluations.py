# SPDX-License-Identifier: Apache-2.0
"""The evaluations: each turns the representations of a data set into rows of numbers, one per layer and kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paper.crops import SHIFTS_BETWEEN
from paper.datasets import Dataset
from paper.design import CKA, CORRELATIONS, KERNELS, KINDS, OUTPUT_RESAMPLES
from paper.representations import Layer, Representations
from paper.resampling import paired_intervals, paired_means
from paper.tables import Row
from simplugins import RSM, bootstrap_interval, compare
from simplugins._common.progress import progress_bar
from simplugins.evaluation import Retrieval, Translation, jensen_shannon, retrieval
from simplugins.evaluation.label_sets import agreement

SIMILARITY, SEPARATION = ("crops", "similarity"), ("crops", "separation")
LARGEST_OVERLAPPING_SHIFT = 0.99
"""In units of a crop's side: at larger shifts, two crops do not overlap."""


def per_layer(represented: Representations, evaluate: Callable[[dict[str, RSM], Layer], Row]) -> list[Row]:
    """Evaluate both kinds of RSM, for each layer and kernel.

    Parameters
    ----------
    represented : Representations
    evaluate : callable
        Called with the RSMs of a layer and kernel, by kind, and with the layer; returns the results by name.
    """
    rows = []
    with progress_bar(list(_cases(represented)), f"{represented.data.name}: evaluating", title="") as cases:
        for layer, kernel in cases:
            rsms = {kind: represented.rsms[layer][f"{kind}-{kernel}"] for kind in KINDS}
            case = {**vars(layer), "kernel": kernel, "inputs": len(rsms[KINDS[0]])}
            rows.append({**case, **evaluate(rsms, layer)})
    return rows


def _cases(represented: Representations) -> Iterator[tuple[Layer, str]]:
    return ((layer, kernel) for layer in represented.rsms for kernel in KERNELS)


# Retrieval


def evaluate_retrieval(represented: Representations, metrics: Sequence[str], k: int) -> list[Row]:
    """Rank neighbours under each RSM; metrics are those of `Retrieval.per_query`, at 1 or at k."""

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = represented.inputs(layer)
        values = {kind: per_query(rsm, data, k) for kind, rsm in rsms.items()}
        return {
            metric: paired_means({kind: values[kind][metric] for kind in KINDS}, data.groups)
            for metric in metrics
            if metric in values[KINDS[0]]
        }

    return per_layer(represented, evaluate)


def per_query(rsm: RSM, data: Dataset, k: int) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each query at 1 and, if there are enough inputs, at k."""
    values = dict(rank(rsm, data, 1).per_query)
    if k < len(data):
        values |= rank(rsm, data, k).per_query
    return values


def rank(rsm: RSM, data: Dataset, k: int) -> Retrieval:
    """Rank the neighbours of each input."""
    return retrieval(rsm, data.labels, k=k, resamples=1)


def chance(data: Dataset) -> dict[str, float]:
    """Return the expected precision and F1 of random neighbours."""
    agrees = agreement(data.labels, data.labels, len(data), len(data))
    off_diagonal = ~np.eye(len(data), dtype=bool)
    return {"precision": float(agrees.relevant[off_diagonal].mean()), "F1": float(agrees.f1[off_diagonal].mean())}


# Output similarity


def evaluate_outputs(represented: Representations) -> list[Row]:
    """Correlate RSMs with the divergences between predictions, over all pairs."""
    divergences = {
        (layer.network, layer.large): jensen_shannon(represented.probabilities_of(layer)) for layer in represented.rsms
    }

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        divergence = divergences[layer.network, layer.large]
        return {
            name: paired_intervals(
                {
                    kind: bootstrap_interval(rsm, divergence, method, resamples=OUTPUT_RESAMPLES)
                    for kind, rsm in rsms.items()
                }
            )
            for name, method in CORRELATIONS.items()
        }

    return per_layer(represented, evaluate)


# CKA


def evaluate_agreement(represented: Representations) -> list[Row]:
    """Compare both kinds of RSM of each layer by CKA, over the few inputs that all layers share."""
    few = represented.data.few

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        shared = np.arange(len(few)) if layer.large else few
        a, b = (rsm.values[np.ix_(shared, shared)] for rsm in rsms.values())
        return {"inputs": len(few), **{method: compare(a, b, method) for method in CKA.values()}}

    return per_layer(represented, evaluate)


# Translation


def evaluate_translation(represented: Representations) -> list[Row]:
    """Relate the similarities of crops of one photograph to the shifts between them.

    "separation" is the share of crops of other photographs that are less similar to a crop than its shifted version is:
    1 if none is more similar, 0.5 for chance.
    """

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = represented.inputs(layer)
        shifted = {kind: by_shift(rsm, data) for kind, rsm in rsms.items()}
        pairs = shifted[KINDS[0]]
        overlap, photograph = pairs.shifts < LARGEST_OVERLAPPING_SHIFT, data.groups[pairs.pairs[:, 0]]
        separations = {kind: result.similarities[SEPARATION][overlap] for kind, result in shifted.items()}
        return {
            "separation": paired_means(separations, photograph[overlap]),
            "curves": {kind: _curves(result) for kind, result in shifted.items()},
        }

    return per_layer(represented, evaluate)


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
