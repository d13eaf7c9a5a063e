# SPDX-License-Identifier: Apache-2.0
"""rsatoolbox: RSMs as its RDMs, with measure, layer and labels as descriptors, and RDMs as RSMs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplugins import RSM, Adapter
from simplugins_adapters.shared import (
    Dissimilarity,
    common_labels,
    described,
    dissimilarities,
    from_dissimilarities,
    labels_of,
)

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs

TOOL = "rsatoolbox"


def to_rdms(rsms: Mapping[str, RSM], *, dissimilarity: Dissimilarity = "squared-distance") -> RDMs:
    """Return RSMs of the same inputs as one stack of RDMs.

    Parameters
    ----------
    rsms : mapping of str to RSM
        By layer, L of them.
    dissimilarity : {"squared-distance", "distance", "complement"}
        With squared distances, ``compare(..., "cosine_cov")`` is the biased CKA of the RSMs, also where these are not
        positive semi-definite. With complements, rank and Pearson correlations are those of the similarities.

    Returns
    -------
    rsatoolbox.rdm.RDMs
        L RDMs of N patterns, float64. Descriptors of RDMs are "layer", "measure" and "dissimilarity"; those of patterns
        are "label", as an array, so that ``rsatoolbox.rdm.concat`` puts them in order.

    Raises
    ------
    ValueError
        If an RSM compares inputs with others, or there is no such dissimilarity.
    """
    from rsatoolbox.rdm import RDMs

    stack = np.stack([dissimilarities(rsm, dissimilarity, TOOL) for rsm in rsms.values()])
    names = {described(rsm, dissimilarity) for rsm in rsms.values()}
    return RDMs(
        stack,
        dissimilarity_measure=names.pop() if len(names) == 1 else dissimilarity,
        rdm_descriptors={
            "layer": list(rsms),
            "measure": [rsm.measure for rsm in rsms.values()],
            "dissimilarity": [dissimilarity] * len(rsms),
        },
        pattern_descriptors={"label": _own_labels(rsms)},
    )


def from_rdms(
    rdms: RDMs, *, dissimilarity: Dissimilarity | None = None, layer: str = "layer", label: str = "label"
) -> RSM | dict[str, RSM]:
    """Return RDMs as RSMs.

    Parameters
    ----------
    rdms : rsatoolbox.rdm.RDMs
    dissimilarity : {"squared-distance", "distance", "complement"}, optional
        What they are: squared distances, distances, or 1 minus similarities. By default what their descriptors say, if
        they were made here, or their measure, if it is rsatoolbox's "squared euclidean", "squared mahalanobis" or
        "correlation".
    layer : str, default "layer"
        The descriptor of RDMs that names them; without it they are numbered.
    label : str, default "label"
        The descriptor of patterns that becomes their labels; without it there are none.

    Returns
    -------
    RSM, or dict of str to RSM
        One of one RDM, several by layer. Those of distances are about the mean of all inputs (see
        `simplugins.RSM.from_distances`).

    Raises
    ------
    ValueError
        If it is not known what the RDMs are, or they are not that: NaN, negative distances as of crossnobis.
    """
    described_as = rdms.rdm_descriptors.get("dissimilarity", [None] * rdms.n_rdm)
    measures = rdms.rdm_descriptors.get("measure", [str(rdms.dissimilarity_measure)] * rdms.n_rdm)
    names = [str(name) for name in rdms.rdm_descriptors.get(layer, range(rdms.n_rdm))]
    if len(set(names)) < len(names):
        raise ValueError(f"{layer!r} names several of the RDMs alike: choose another descriptor with layer=")
    found = {
        name: from_dissimilarities(
            matrix,
            dissimilarity or told or _kind_of(rdms.dissimilarity_measure),
            labels=_labels(rdms, label),
            measure=measure,
            source=TOOL,
        )
        for name, matrix, told, measure in zip(names, rdms.get_matrices(), described_as, measures, strict=True)
    }
    return found if len(found) > 1 else found[names[0]]


def _own_labels(rsms: Mapping[str, RSM]) -> NDArray[Any]:
    """Return the labels of RSMs, as an array, without which rsatoolbox does not put inputs in order."""
    found = common_labels(rsms.values())
    return labels_of(next(iter(rsms.values()))) if found is None else found.copy()


def _labels(rdms: RDMs, label: str) -> Any:
    found = rdms.pattern_descriptors.get(label)
    return None if found is None else np.array(found)


def _kind_of(measure: Any) -> Dissimilarity:
    """Return what dissimilarities of rsatoolbox are."""
    if measure not in _KINDS:
        raise ValueError(
            f"RDMs of measure {measure!r}: say with dissimilarity= whether they are squared-distance, distance or "
            f"complement (1 minus similarity)"
        )
    return _KINDS[measure]


_KINDS: Mapping[Any, Dissimilarity] = {
    "squared euclidean": "squared-distance",
    "squared mahalanobis": "squared-distance",
    "correlation": "complement",
}

adapter = Adapter(
    tool=TOOL,
    modules=("rsatoolbox",),
    install="pip install 'simplugins[rsatoolbox]'",
    rsms=to_rdms,
    back=from_rdms,
)
