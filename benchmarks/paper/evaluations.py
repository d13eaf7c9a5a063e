# SPDX-License-Identifier: Apache-2.0
"""The evaluations: each turns what the networks saw into rows of numbers, one for a layer and kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from networks import KERNELS, KINDS
from numpy.typing import NDArray

from paper.crops import SHIFTS_BETWEEN
from paper.datasets import Dataset
from paper.representations import Layer, Seen
from paper.resampling import RESAMPLES, beside, beside_distributions
from simplugins import RSM, compare
from simplugins._common.progress import progress_bar
from simplugins.comparisons.inference import bootstrap_interval
from simplugins.evaluation import Retrieval, Translation, jensen_shannon, retrieval
from simplugins.evaluation.label_sets import agreement

Row = dict[str, Any]

SIMILARITY, SEPARATION = ("crops", "similarity"), ("crops", "separation")
MOST_OVERLAPPING = 0.99
"""Crops at a larger shift, of one side, have nothing in common."""

CKA = ("cka-debiased", "cka")
CORRELATIONS = {"Pearson": "rsa-pearson", "Spearman": "rsa-spearman"}
OUTPUT_RESAMPLES = RESAMPLES // 10
"""Fewer than elsewhere: each ranks all pairs."""


def per_layer(seen: Seen, evaluate: Callable[[dict[str, RSM], Layer], Row]) -> list[Row]:
    """Evaluate both kinds of RSM of each layer under each kernel.

    Parameters
    ----------
    seen : Seen
    evaluate : callable
        From the RSMs of a layer under a kernel, by kind, and the layer, to numbers.
    """
    rows = []
    with progress_bar(list(_cases(seen)), f"{seen.data.name}: evaluating", title="") as cases:
        for layer, kernel in cases:
            rsms = {kind: seen.rsms[layer][f"{kind}-{kernel}"] for kind in KINDS}
            about = {**vars(layer), "kernel": kernel, "inputs": len(rsms[KINDS[0]])}
            rows.append({**about, **evaluate(rsms, layer)})
    return rows


def _cases(seen: Seen) -> Iterator[tuple[Layer, str]]:
    return ((layer, kernel) for layer in seen.rsms for kernel in KERNELS)


# Retrieval


def evaluate_retrieval(seen: Seen, metrics: Sequence[str], k: int) -> list[Row]:
    """Rank neighbours under each RSM; metrics are those of `Retrieval.per_query`, at 1 or at k."""

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = seen.inputs(layer)
        found = {kind: per_query(rsm, data, k) for kind, rsm in rsms.items()}
        return {
            metric: beside({kind: found[kind][metric] for kind in KINDS}, data.groups)
            for metric in metrics
            if metric in found[KINDS[0]]
        }

    return per_layer(seen, evaluate)


def per_query(rsm: RSM, data: Dataset, k: int) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of each query, at 1 and at k, as far as there are so many others."""
    found = dict(ranked(rsm, data, 1).per_query)
    if k < len(data):
        found |= ranked(rsm, data, k).per_query
    return found


def ranked(rsm: RSM, data: Dataset, k: int) -> Retrieval:
    """Rank the neighbours of each input."""
    return retrieval(rsm, data.labels, k=k, resamples=1)


def chances(data: Dataset) -> dict[str, float]:
    """Return what neighbours drawn at random would reach: the share of relevant ones, and the mean F1."""
    agrees = agreement(data.labels, data.labels, len(data), len(data))
    others = ~np.eye(len(data), dtype=bool)
    return {"precision": float(agrees.relevant[others].mean()), "F1": float(agrees.f1[others].mean())}


# Output similarity


def evaluate_outputs(seen: Seen) -> list[Row]:
    """Correlate RSMs with the divergences of what is predicted, over all pairs."""
    divergences = {(layer.network, layer.large): jensen_shannon(seen.probabilities_of(layer)) for layer in seen.rsms}

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        predicted = divergences[layer.network, layer.large]
        return {
            name: beside_distributions(
                {
                    kind: bootstrap_interval(rsm, predicted, method, resamples=OUTPUT_RESAMPLES)
                    for kind, rsm in rsms.items()
                }
            )
            for name, method in CORRELATIONS.items()
        }

    return per_layer(seen, evaluate)


# CKA


def evaluate_agreement(seen: Seen) -> list[Row]:
    """Compare both kinds of RSM of each layer by CKA, over the few inputs that all layers saw."""
    few = seen.data.few

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        own = np.arange(len(few)) if layer.large else few
        one, other = (rsm.values[np.ix_(own, own)] for rsm in rsms.values())
        return {"inputs": len(few), **{method: compare(one, other, method) for method in CKA}}

    return per_layer(seen, evaluate)


# Translation


def evaluate_translation(seen: Seen) -> list[Row]:
    """Relate similarities of crops of one photograph to the shift between them.

    "separation" is the share of crops of other photographs that are less similar to a crop than the shifted one is:
    1 if none is more similar, 0.5 if the shifted crop is as any other.
    """

    def evaluate(rsms: dict[str, RSM], layer: Layer) -> Row:
        data = seen.inputs(layer)
        moved = {kind: by_shift(rsm, data) for kind, rsm in rsms.items()}
        some = moved[KINDS[0]]
        overlap, photograph = some.shifts < MOST_OVERLAPPING, data.groups[some.pairs[:, 0]]
        separations = {kind: found.similarities[SEPARATION][overlap] for kind, found in moved.items()}
        return {
            "separation": beside(separations, photograph[overlap]),
            "curves": {kind: _curves(found) for kind, found in moved.items()},
        }

    return per_layer(seen, evaluate)


def by_shift(rsm: RSM, data: Dataset) -> Translation:
    """Return similarities of crops of one photograph, and their separations, with the shifts between them."""
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
    """Return for each pair the share of crops of other photographs that are less similar to one of the two."""
    others = data.groups[:, None] != data.groups[None, :]
    both_ways = np.concatenate([pairs, pairs[:, ::-1]])
    shares = [_share_below(rsm.values[i, others[i]], rsm.values[i, j]) for i, j in both_ways]
    means: NDArray[np.float64] = np.reshape(shares, (2, -1)).mean(0)
    return means


def _share_below(values: NDArray[np.float64], value: float) -> float:
    """Return the share of values that are less; of equals, half."""
    return float(((values < value) + 0.5 * (values == value)).mean())


def _curves(found: Translation) -> dict[str, Any]:
    """Return means by shift: each two marks of the ruler make a shift of their own."""
    shifts, similarities, errors = found.curve(*SIMILARITY, bins=SHIFTS_BETWEEN)
    _, separations, _ = found.curve(*SEPARATION, bins=SHIFTS_BETWEEN)
    return {
        "shifts": shifts.tolist(),
        "similarity": similarities.tolist(),
        "error": errors.tolist(),
        "separation": separations.tolist(),
        "apart": found.apart[SIMILARITY],
    }
