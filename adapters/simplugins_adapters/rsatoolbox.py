# SPDX-License-Identifier: Apache-2.0
"""rsatoolbox: RSMs as its RDMs, with measure, layer and labels as descriptors, and RDMs as RSMs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.descriptions import PARTIAL, common_labels, labels_or_numbers, plain_labels, read_labels
from simplugins_adapters.dissimilarities import Dissimilarity, Missing, dissimilarities, matrix_as_rsm

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs

TOOL = "rsatoolbox"
_NUMBERS = "index"
"""The descriptor in which rsatoolbox numbers patterns."""


def to_rdms(rsms: Mapping[str, RSM], *, dissimilarity: Dissimilarity = "squared-distance") -> RDMs:
    """Return RSMs of the same inputs as one stack of RDMs.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L in total.
    dissimilarity : {"squared-distance", "distance", "complement"}
        With squared distances, ``compare(..., "cosine_cov")`` is the biased CKA of the RSMs, even if these are not
        positive semi-definite. With complements, rank and Pearson correlations are those of the similarities.

    Returns
    -------
    rsatoolbox.rdm.RDMs
        L RDMs of N patterns, float64. RDMs have the descriptors "layer", "measure" and "dissimilarity", patterns the
        descriptor "label", an array, so that ``rsatoolbox.rdm.concat`` can reorder them.

    Raises
    ------
    ValueError
        If an RSM compares inputs with other inputs, or the kind of dissimilarity is unknown.
    """
    from rsatoolbox.rdm import RDMs

    stack = np.stack([dissimilarities(rsm, dissimilarity, TOOL) for rsm in rsms.values()])
    measures = [rsm.measure for rsm in rsms.values()]
    labels = common_labels(rsms.values())
    return RDMs(
        stack,
        dissimilarity_measure=f"{measures[0]} {dissimilarity}" if len(set(measures)) == 1 else dissimilarity,
        rdm_descriptors={"layer": list(rsms), "measure": measures, "dissimilarity": [dissimilarity] * len(rsms)},
        pattern_descriptors={
            "label": labels_or_numbers(next(iter(rsms.values()))) if labels is None else plain_labels(labels)
        },
    )


def from_rdms(
    rdms: RDMs,
    *,
    dissimilarity: Dissimilarity | None = None,
    layer: str = "layer",
    label: str | None = None,
    missing: Missing = "raise",
) -> RSM | dict[str, RSM]:
    """Return RDMs as RSMs.

    Parameters
    ----------
    rdms : rsatoolbox.rdm.RDMs
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        The kind of dissimilarities: squared distances, distances, or 1 minus similarities. By default it is read from
        the descriptors, if simplugins made the RDMs, or from the measure, if it is rsatoolbox's "squared euclidean",
        "squared mahalanobis", "crossnobis" or "correlation".
    layer : str, default "layer"
        The descriptor that names RDMs; if it is missing, they are numbered.
    label : str, optional
        The descriptor that identifies patterns, by which rsatoolbox sorts them. By default "label", which simplugins
        writes; else the only descriptor with unique values ("index", the numbers of patterns, is only used if patterns
        were reordered); else the only descriptor. Without any, there are no labels.
    missing : {"raise", "omit"}, default "raise"
        With "omit", complements may be NaN, as between copies of a pattern in rsatoolbox's bootstrap samples; see
        `simplugins.RSM.from_similarities`.

    Returns
    -------
    RSM, or dict of str to RSM
        An RSM for one RDM, a dict by layer for several. RSMs from distances are centred (see
        `simplugins.RSM.from_distances`); the negative estimates of crossnobis are kept. ``metadata["sorted_by"]`` is
        the descriptor of the labels, if rsatoolbox made the RDMs.

    Raises
    ------
    ValueError
        If the kind of dissimilarities is unknown; if distances are negative and not squared; if values are NaN and
        `missing` is "raise"; or if `label` is not a descriptor, or several descriptors may identify patterns.
    """
    descriptors = rdms.rdm_descriptors
    kinds = descriptors.get("dissimilarity", [None] * rdms.n_rdm)
    measures = descriptors.get("measure", [str(rdms.dissimilarity_measure)] * rdms.n_rdm)
    names = [str(name) for name in descriptors.get(layer, range(rdms.n_rdm))]
    if len(set(names)) < len(names):
        raise ValueError(f"layer: the descriptor {layer!r} gives several RDMs the same name: choose another one")
    label, labels = _labels(rdms.pattern_descriptors, rdms.n_cond, label)
    is_ours = "dissimilarity" in descriptors  # simplugins writes missing labels as empty texts
    if is_ours:
        labels = read_labels(labels, {PARTIAL: labels is not None and "" in labels.tolist()})
    rsms = {
        name: matrix_as_rsm(
            matrix,
            dissimilarity or kind or _kind_of(rdms.dissimilarity_measure),
            labels=labels,
            measure=measure,
            tool=TOOL,
            missing=missing,
        )
        for name, matrix, kind, measure in zip(names, rdms.get_matrices(), kinds, measures, strict=True)
    }
    if label is not None and not is_ours:
        rsms = {name: replace(rsm, metadata={**rsm.metadata, "sorted_by": label}) for name, rsm in rsms.items()}
    return rsms if len(rsms) > 1 else rsms[names[0]]


def _labels(descriptors: Mapping[str, Any], count: int, label: str | None) -> tuple[str | None, NDArray[Any] | None]:
    """Return the descriptor that identifies patterns, and its values; None if there is none."""
    columns = {name: np.array(list(values), dtype=object) for name, values in descriptors.items()}
    if label is not None:
        if label not in columns:
            raise ValueError(f"label: patterns have no descriptor {label!r}; they have {', '.join(columns) or 'none'}")
        return label, columns[label]
    if "label" in columns:
        return "label", columns["label"]
    numbers = columns.pop(_NUMBERS, np.arange(count))
    distinct = [name for name, values in columns.items() if len(set(values.tolist())) == count]
    candidates = distinct or list(columns)
    if len(candidates) > 1:
        raise ValueError(
            f"several descriptors may identify the patterns: pass one of them as label ({', '.join(candidates)})"
        )
    if candidates:
        return candidates[0], columns[candidates[0]]
    return (None, None) if numbers.tolist() == list(range(count)) else (_NUMBERS, numbers)


def _kind_of(measure: Any) -> Dissimilarity:
    """Return the kind of dissimilarities of a measure of rsatoolbox."""
    if measure not in _KINDS:
        raise ValueError(
            f"the kind of dissimilarities of measure {measure!r} is unknown: pass dissimilarity='squared-distance', "
            f"'distance' or 'complement' (1 minus similarity)"
        )
    return _KINDS[measure]


_KINDS: Mapping[Any, Dissimilarity] = {
    "squared euclidean": "squared-distance",
    "squared mahalanobis": "squared-distance",
    "crossnobis": "squared-distance",
    "correlation": "complement",
}

adapter = Adapter(
    tool=TOOL,
    modules=("rsatoolbox",),
    install="pip install 'simplugins[rsatoolbox]'",
    rsms=to_rdms,
    reader=from_rdms,
)
